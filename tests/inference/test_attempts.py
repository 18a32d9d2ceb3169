"""How often a request was sent is counted where an answer comes at once, too; and the answer is checked."""

from __future__ import annotations

import copy
import logging
import pickle
import socket

import grpc
import numpy as np
import pytest
from inference.tensor_server import RefusedError, TensorServer, echo, signature
from inference.tensor_server import streamed as tensors

from nupic_client import (
    ConfigurationError,
    DeadlineExceededError,
    HttpInferenceClient,
    InferenceClient,
    InferenceError,
    OverloadedError,
    ProtocolError,
    RequestRejectedError,
    RetryPolicy,
)
from nupic_client.testing import FakeTriton, abort

BUSY = abort("RESOURCE_EXHAUSTED", "busy")
INPUTS = {"text_input": ["hi"]}


@pytest.fixture
def lines(caplog):
    """What is logged at INFO."""
    caplog.set_level(logging.INFO, logger="nupic_client")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "nupic_client"]


@pytest.fixture
def server():
    """A server that is busy at first."""
    with FakeTriton() as server:
        server.reply = lambda request: [BUSY] if len(server.requests) < 3 else ["fine"]
        yield server


def ask(flavour, client, method, *args, **options):
    return getattr(flavour(client), method)(
        *args, max_retries=RetryPolicy(max_retries=2, initial_backoff=0.01), **options
    )


def test_a_generation_counts_them(flavour, server, lines):
    with InferenceClient("gpt", server.url) as client:
        assert len(ask(flavour, client, "generate", "hi").attempts) == 3
    (line,) = lines()
    assert line.endswith("attempts=3")


def test_a_generation_that_fails_counts_them(flavour, server, lines):
    server.reply = [BUSY]
    with InferenceClient("gpt", server.url) as client, pytest.raises(OverloadedError) as caught:
        ask(flavour, client, "generate", "hi")
    assert len(caught.value.attempts) == 3
    (line,) = lines()
    assert line.endswith("attempts=3")


def test_a_request_for_arrays_counts_them(flavour, server, lines):
    with InferenceClient(
        "gpt", server.url, max_retries=RetryPolicy(max_retries=2, initial_backoff=0.01)
    ) as client:
        flavour(client).infer(INPUTS)
    (line,) = lines()
    assert line.endswith("attempts=3")


def test_the_renewal_of_a_token_counts(flavour, lines):
    tokens = iter(["old", "new"])
    with FakeTriton(["fine"], bearer_tokens={"old"}) as server:
        with InferenceClient("gpt", server.url, bearer_token=lambda: next(tokens)) as client:
            client.infer(INPUTS)
            server.bearer_tokens = {"new"}
            assert len(flavour(client).generate("hi").attempts) == 2
            flavour(client).infer(INPUTS)
    assert [line.rpartition("attempts=")[2] for line in lines()] == ["1", "2", "1"]


def serve(change):
    """Serve a model with a text and a number; ``change`` changes each response."""

    def answer(request):
        response = echo(request)
        change(response)
        return response

    specs = {"text": ("BYTES", (-1,)), "x": ("FP32", (-1,))}
    return TensorServer(signature("m", specs, optional=("text", "x")), answer=answer)


def test_an_answer_to_another_request_is_a_protocol_error(flavour):
    def change(response):
        response.id = "somebody-else"

    with serve(change) as server, InferenceClient("m", server.url) as client:
        with pytest.raises(ProtocolError, match="somebody-else") as caught:
            flavour(client).infer({"x": [1.0]}, request_id="mine")
    assert caught.value.request_id == "mine"


def test_an_answer_without_an_id_is_tolerated(flavour):
    with serve(lambda response: response.ClearField("id")) as server:
        with InferenceClient("m", server.url) as client:
            assert flavour(client).infer({"x": [1.0]}, request_id="mine").request_id == "mine"


def test_texts_over_the_limit_are_a_protocol_error_and_numbers_are_not_limited(flavour):
    with serve(lambda response: None) as server, InferenceClient("m", server.url) as client:
        texts = ["x" * 6] * 10  # 10 bytes each with the length before it
        with pytest.raises(ProtocolError, match=r"max_output_bytes allows \(99 bytes\)"):
            flavour(client).infer({"text": texts}, max_output_bytes=99)
        assert len(flavour(client).infer({"text": texts}, max_output_bytes=100).only) == 10
        assert len(flavour(client).infer({"text": texts}, max_output_bytes=None).only) == 10
        assert len(flavour(client).infer({"x": [1.0] * 100}, max_output_bytes=1).only) == 100
    with (
        serve(lambda response: None) as server,
        InferenceClient("m", server.url, max_output_bytes=9) as client,
    ):
        with pytest.raises(ProtocolError, match="max_output_bytes"):
            flavour(client).infer({"text": ["x" * 6]})


def test_typed_contents_count_as_well(flavour):
    def change(response):
        response.outputs[0].contents.bytes_contents.extend([b"x" * 50])
        del response.raw_output_contents[:]

    with serve(change) as server, InferenceClient("m", server.url) as client:
        with pytest.raises(ProtocolError, match="max_output_bytes"):
            flavour(client).infer({"text": ["hi"]}, max_output_bytes=49)


@pytest.fixture
def silent_url():
    """The address of a server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("kind", [InferenceClient, HttpInferenceClient])
@pytest.mark.parametrize("method", ["infer", "embed"])
def test_a_silent_server_holds_no_first_call(silent_url, kind, method):
    with kind("m", silent_url, timeout=0.3, max_retries=0) as client, pytest.raises(DeadlineExceededError):
        getattr(client, method)(["hi"])


@pytest.mark.parametrize("method", ["embed", "map"])
def test_a_silent_server_holds_no_first_call_of_many(flavour, silent_url, method):
    with (
        InferenceClient("m", silent_url, timeout=0.3, max_retries=0) as client,
        pytest.raises(DeadlineExceededError),
    ):
        getattr(flavour(client), method)(["hi"])


@pytest.mark.parametrize("concurrency", [0, 1.5, "2", None])
def test_a_wrong_concurrency_is_refused_before_anything_is_sent(flavour, concurrency):
    with FakeTriton() as server, InferenceClient("gpt", server.url) as client:
        with pytest.raises(ConfigurationError, match="concurrency"):
            flavour(client).embed(["hi"], concurrency=concurrency)
        with pytest.raises(ConfigurationError, match="concurrency"):
            client.map([["hi"]], concurrency=concurrency)
        assert not server.calls


def test_the_text_of_an_error_may_be_long(flavour, server):
    """Such as a traceback with the contents of a tensor. It comes as metadata, of which gRPC takes 16 KiB by itself."""
    text = "ValueError: " + "3.14, " * 20_000
    server.reply = [abort("INTERNAL", text)]
    with InferenceClient("gpt", server.url) as client:
        for call, what in (("infer", INPUTS), ("generate", "hi")):
            with pytest.raises(InferenceError) as caught:
                getattr(flavour(client), call)(what)
            assert (caught.value.server_message, len(caught.value.attempts)) == (text, 1)
    with InferenceClient("gpt", server.url, channel_options={"grpc.max_metadata_size": 8192}) as client:
        with pytest.raises(
            ProtocolError, match=r"raise grpc\.max_metadata_size in channel_options"
        ) as caught:
            flavour(client).infer(INPUTS)
        assert len(caught.value.attempts) == 1


def test_metadata_that_are_too_large_are_not_sent_again(flavour, server):
    with InferenceClient("gpt", server.url, metadata={"note": "x" * 40_000}) as client:
        with pytest.raises(RequestRejectedError, match="larger than the server takes") as caught:
            flavour(client).infer(INPUTS)
        assert len(caught.value.attempts) == 1


@pytest.mark.parametrize("streamed", [False, True], ids=["once", "streamed"])
@pytest.mark.parametrize("several", [False, True], ids=["one server", "several"])
def test_an_answer_that_is_wrong_names_the_server_that_gave_it(flavour, streamed, several):
    def wrong(request):
        answer = echo(request)
        answer.id = "another"
        return answer

    model = signature("m", {"x": ("FP32", (-1,))}, decoupled=streamed)
    with (
        TensorServer(model, answer=wrong, stream=lambda request: [tensors(wrong(request))]) as one,
        TensorServer(model, answer=wrong, stream=lambda request: [tensors(wrong(request))]) as other,
        InferenceClient("m", [one.url, other.url] if several else one.url) as client,
    ):
        with pytest.raises(ProtocolError, match="answer to another request") as caught:
            if streamed:
                client.infer_stream(np.float32([1])).results()
            else:
                flavour(client).infer(np.float32([1]))
    error = caught.value
    (asked,) = (server for server in (one, other) if server.requests)
    assert (error.target, error.endpoint) == (asked.url, asked.url)
    assert [attempt.endpoint for attempt in error.attempts] == [asked.url]


TRAILERS = (("load", "named_metrics.x=1"), ("state-bin", b"\x00\xff"))


def test_what_the_server_sends_behind_an_answer_is_on_the_result_and_on_the_error(flavour):
    def answer(request):
        if request.raw_input_contents[0][4:] == b"bad":
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "no")
        return echo(request)

    with (
        TensorServer(signature("m", {"t": ("BYTES", (-1,))}), answer=answer) as server,
        InferenceClient("m", server.url) as client,
    ):
        server.trailers = TRAILERS
        result = flavour(client).infer(["good"])
        assert result.trailing_metadata == TRAILERS
        assert result.rows(0, 1).trailing_metadata == TRAILERS
        with pytest.raises(RequestRejectedError) as caught:
            flavour(client).infer(["bad"])
        assert caught.value.trailing_metadata == TRAILERS
        assert pickle.loads(pickle.dumps(caught.value)).trailing_metadata == TRAILERS
        good, bad = flavour(client).map([["good"], ["bad"]], errors="return")
        assert (good.trailing_metadata, bad.trailing_metadata) == (TRAILERS, TRAILERS)


COPIES = [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))]


@pytest.mark.parametrize("copied", COPIES, ids=["copy", "deep", "pickle"])
def test_a_result_goes_to_other_processes_with_all_that_it_says(flavour, copied):
    """gRPC's call, which knows the metadata, cannot."""
    with (
        TensorServer(signature("m", {"x": ("FP32", (-1,))})) as server,
        InferenceClient("m", server.url) as client,
    ):
        server.trailers = TRAILERS
        results = [flavour(client).infer(np.float32([1, 2]), parameters={"a": 1}) for _ in range(4)]
        results += flavour(client).map([np.float32([1, 2])])
    for result in results:
        twin = copied(copied(result))
        assert twin == result
        facts = [(it.endpoint, it.trailing_metadata, it.request_id, it.parameters) for it in (twin, result)]
        assert facts[0] == facts[1]
        assert facts[0][:2] == (server.url, TRAILERS)
