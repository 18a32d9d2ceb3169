"""Metadata that a function makes: for each call to the server, with all clients, beside fixed ones and beside a token."""

from __future__ import annotations

import asyncio
import contextvars
import pickle

import numpy as np
import pytest
from inference.rest_server import RestServer
from inference.tensor_server import TensorServer, signature
from observe.recorder import Recorder

from nupic_client import (
    AuthenticationError,
    ConfigurationError,
    HttpInferenceClient,
    InferenceClient,
    RetryPolicy,
    ServerClient,
    StreamingClient,
)
from nupic_client.testing import FakeTriton, abort

QUICK = RetryPolicy(max_retries=2, initial_backoff=0.01)
SECRET = "s3cr3t-t0k3n"


class Numbers:
    """Counts its calls in a header."""

    def __init__(self):
        self.asked = 0

    def __call__(self):
        self.asked += 1
        return {"x-number": str(self.asked)}


def numbers(server):
    return [metadata.get("x-number") for metadata in server.metadata]


@pytest.fixture
def server():
    with FakeTriton(["a", "b"]) as server:
        yield server


def generate(client, **options):
    return client.generate("hi", **options)


def agenerate(client, **options):
    return asyncio.run(client.agenerate("hi", **options))


WAYS = pytest.mark.parametrize("ask", [generate, agenerate])
MODELS = pytest.mark.parametrize(
    ("kind", "model"),
    [(StreamingClient, "gpt.streaming"), (InferenceClient, "gpt"), (InferenceClient, "gpt.streaming")],
)
TOKEN = pytest.mark.parametrize("token", [{}, {"bearer_token": SECRET}], ids=["plain", "token"])


@WAYS
@MODELS
@TOKEN
def test_it_is_called_for_each_call(server, kind, model, ask, token):
    with kind(model, server.url, metadata=Numbers(), **token) as client:
        ask(client)
        ask(client)
    assert numbers(server) == ["1", "2", "3"]  # the question for the model, and two requests
    wanted = f"Bearer {SECRET}" if token else None
    assert {metadata.get("authorization") for metadata in server.metadata} == {wanted}


@WAYS
@MODELS
@TOKEN
def test_it_is_called_again_for_another_attempt(server, kind, model, ask, token):
    replies = [[abort("UNAVAILABLE", "away")], [abort("RESOURCE_EXHAUSTED", "busy")], ["a"]]
    server.reply = lambda request: replies.pop(0)
    with kind(model, server.url, metadata=Numbers(), max_retries=QUICK, **token) as client:
        assert len(ask(client).attempts) == 3
    assert numbers(server) == ["1", "2", "3", "4"]


@WAYS
def test_the_metadata_of_a_call_goes_over_it(server, ask):
    with StreamingClient("gpt.streaming", server.url, metadata=lambda: {"x-a": "1", "x-b": "1"}) as client:
        ask(client, metadata={"x-b": "2", "x-c": "2"})
        ask(client, metadata=lambda: {"x-b": "3"})
        ask(client, metadata=None)
        ask(client.with_options(metadata={"x-a": "4"}))
    with StreamingClient("gpt.streaming", server.url, metadata={"x-a": "5", "x-b": "5"}) as client:
        ask(client, metadata=lambda: {"x-b": "6"})
    sent = [{key: metadata[key] for key in metadata if key.startswith("x-")} for metadata in server.metadata]
    assert sent == [
        *[{"x-a": "1", "x-b": "2", "x-c": "2"}] * 2,
        {"x-a": "1", "x-b": "3"},
        {"x-a": "1", "x-b": "1"},
        {"x-a": "4", "x-b": "1"},
        *[{"x-a": "5", "x-b": "6"}] * 2,
    ]


@TOKEN
def test_a_coroutine_function_is_awaited(server, token):
    async def headers():
        await asyncio.sleep(0)
        return {"x-number": "1"}

    with StreamingClient("gpt.streaming", server.url, metadata=headers, **token) as client:
        agenerate(client)
        assert numbers(server) == ["1", "1"]
        with pytest.raises(ConfigurationError, match="plain function in a blocking call") as caught:
            generate(client)
    assert caught.value.parameter == "metadata"
    assert len(server.calls) == 2


@WAYS
def test_a_plain_function_is_called_in_the_task(server, ask):
    """So that it sees the context variables of the caller, as tracing libraries keep the current span there."""
    current = contextvars.ContextVar("current", default="nothing")
    current.set("mine")
    with StreamingClient("gpt.streaming", server.url, metadata=lambda: {"x-number": current.get()}) as client:
        ask(client)
    assert numbers(server) == ["mine", "mine"]


@WAYS
@MODELS
@TOKEN
def test_it_sees_what_the_observer_has_set(server, kind, model, ask, token):
    """So the span that `on_start` begins becomes the parent of the server's."""
    current = contextvars.ContextVar("current", default="nothing")

    class Spans(Recorder):
        def on_start(self, info):
            current.set(f"span of {info.request_id}")

    with kind(
        model, server.url, metadata=lambda: {"x-number": current.get()}, observer=Spans(), **token
    ) as client:
        ask(client, request_id="one")
        ask(client, request_id="two")
    assert numbers(server) == ["span of one", "span of one", "span of two"]
    assert current.get() == "nothing"


@WAYS
@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "not NoneType"),
        ("x", "not str"),
        ({"X-Upper": "1"}, "lowercase"),
        ({"grpc-timeout": "1"}, "must not begin with 'grpc-'"),
        ({"x-a": 5}, "printable ASCII"),
        ({"x-a": "secret\n"}, "printable ASCII"),
        ({"x-a-bin": "text"}, "must be bytes"),
    ],
)
@TOKEN
def test_what_it_returns_is_checked(server, ask, found, words, token):
    with StreamingClient("gpt.streaming", server.url, metadata=lambda: found, **token) as client:
        with pytest.raises(ConfigurationError, match=words) as caught:
            ask(client)
    assert caught.value.parameter == "metadata"
    assert "secret" not in str(caught.value)
    assert server.calls == ()


@WAYS
@MODELS
@TOKEN
def test_its_own_errors_pass(server, kind, model, ask, token):
    def headers():
        raise ZeroDivisionError("mine")

    with kind(model, server.url, metadata=headers, **token) as client, pytest.raises(ZeroDivisionError):
        ask(client)


@pytest.mark.parametrize("metadata", ["text", 3, [("a", "b")]])
def test_what_it_must_not_be(metadata):
    for make in (
        lambda: StreamingClient("gpt", metadata=metadata),
        lambda: ServerClient(metadata=metadata),
        lambda: HttpInferenceClient("gpt", metadata=metadata),
    ):
        with pytest.raises(ConfigurationError, match="metadata must be a mapping"):
            make()


@WAYS
def test_a_credential_that_it_returns_is_not_shown(server, ask):
    server.bearer_tokens = ["another"]
    headers = {"authorization": f"Bearer {SECRET}"}
    with StreamingClient("gpt.streaming", server.url, metadata=lambda: headers) as client:
        with pytest.raises(AuthenticationError) as caught:
            ask(client)
        assert SECRET not in repr(client) + str(caught.value) + repr(caught.value.__dict__)
    assert server.metadata[-1]["authorization"] == f"Bearer {SECRET}"


@WAYS
def test_its_own_authorization_goes_before_the_token(server, ask):
    headers = {"authorization": "Bearer mine"}
    with StreamingClient(
        "gpt.streaming", server.url, metadata=lambda: headers, bearer_token="ours"
    ) as client:
        ask(client)
    assert {metadata["authorization"] for metadata in server.metadata} == {"Bearer mine"}


def test_a_token_is_renewed_beside_it(server):
    tokens = ["first", SECRET]
    server.bearer_tokens = [SECRET]
    with StreamingClient(
        "gpt.streaming", server.url, metadata=Numbers(), bearer_token=lambda: tokens.pop(0)
    ) as client:
        client.generate("hi")
    assert numbers(server) == ["1", "2", "3"]


PLAIN = signature("m", {"x": ("FP32", (-1,))})
ARRAY = np.ones(3, np.float32)


@TOKEN
@pytest.mark.parametrize("way", ["map", "amap", "infer", "ainfer", "sequence", "stream"])
def test_each_request_for_arrays(way, token):
    source = Numbers()

    async def amap(client):
        return [result async for result in client.amap([ARRAY] * 20)]

    asks = {
        "map": lambda client: list(client.map([ARRAY] * 20)),
        "amap": lambda client: asyncio.run(amap(client)),
        "infer": lambda client: [client.infer(ARRAY) for _ in range(20)],
        "ainfer": lambda client: [asyncio.run(client.ainfer(ARRAY)) for _ in range(20)],
        "sequence": lambda client: [client.sequence().infer(ARRAY) for _ in range(20)],
        "stream": lambda client: [client.infer_stream(ARRAY).results() for _ in range(20)],
    }
    with TensorServer(PLAIN) as server, InferenceClient("m", server.url, metadata=source, **token) as client:
        assert len(asks[way](client)) == 20
        client.infer(ARRAY, metadata={"x-number": "none"})
    assert source.asked == 22


@TOKEN
def test_over_http(token):
    source = Numbers()
    with RestServer(PLAIN) as server:
        with HttpInferenceClient("m", server.url, metadata=source, **token) as client:
            client.infer(ARRAY)
            list(client.map([ARRAY] * 5))
        assert source.asked == 7
        with HttpInferenceClient(
            "m", server.url, metadata=lambda: {"content-length": "0"}, **token
        ) as client:
            with pytest.raises(ConfigurationError, match="belongs to HTTP itself"):
                client.infer(ARRAY)


def test_the_questions_to_a_server(server):
    with ServerClient(server.url, metadata=Numbers()) as client:
        assert client.is_live()
        assert asyncio.run(client.ais_ready())
        client.models()
        client.wait_until_ready("gpt")
    assert numbers(server) == [str(number + 1) for number in range(len(server.calls))]


def test_waiting_until_a_model_is_ready(server):
    with StreamingClient("gpt.streaming", server.url, metadata=Numbers()) as client:
        client.wait_until_ready()
        asyncio.run(client.await_until_ready())
    assert numbers(server) == ["1", "2", "3", "4"]


def test_a_fixed_mapping_is_sent_as_before(server):
    with StreamingClient("gpt.streaming", server.url, metadata={"x-number": "fixed"}) as client:
        client.generate("hi")
        client.generate("hi", metadata={"x-other-bin": b"\x00"})
    assert numbers(server) == ["fixed"] * 3
    assert server.metadata[-1]["x-other-bin"] == b"\x00"


def headers():
    return {"x-number": "pickled"}


def test_a_pickled_client_has_the_function(server):
    with pickle.loads(pickle.dumps(StreamingClient("gpt.streaming", server.url, metadata=headers))) as client:
        client.generate("hi")
    assert numbers(server) == ["pickled"] * 2
    with pickle.loads(pickle.dumps(ServerClient(server.url, metadata=headers))) as client:
        client.is_live()
    assert numbers(server)[-1] == "pickled"
