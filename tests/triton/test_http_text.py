"""Texts over the real server's HTTP, beside those over its gRPC: the same pieces, facts and errors."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from nupic_client import (
    ConfigurationError,
    DeadlineExceededError,
    HttpInferenceClient,
    InferenceClient,
    InferenceError,
    RequestError,
    StreamClosedError,
    StreamingClient,
    Timeouts,
)
from triton.test_backends import ENGINE, PROMPT

if TYPE_CHECKING:
    from triton.server import RealTriton

STREAMING = (
    *("vllm_model", "llmapi", "ensemble", "tensorrt_llm_bls", "tensorrt_llm_bls_accumulate", "tensorrt_llm"),
    "gpt.streaming",
)


@pytest.fixture
def clients(real_triton: RealTriton) -> Any:
    """Return what makes a client for HTTP and one for gRPC."""
    made: list[Any] = []

    def make(model: str, kind: Any = StreamingClient, **options: Any) -> Any:
        options.setdefault("backend", ENGINE if model == "tensorrt_llm" else None)
        pair = (
            HttpInferenceClient(model, real_triton.http_url, **options),
            kind(model, real_triton.url, **options),
        )
        made.extend(pair)
        return pair

    yield make
    for client in made:
        client.close()


def facts(generation: Any) -> Any:
    return (
        generation.text,
        generation.finish_reason,
        generation.usage,
        generation.model,
        generation.logprobs,
    )


@pytest.mark.parametrize("model", STREAMING)
def test_streams_are_the_same(clients, model):
    found = []
    for client in clients(model):
        with client.stream(PROMPT) as stream:
            found.append((list(stream), facts(stream.result())))
    assert found[0] == found[1]
    assert len(found[0][0]) > 1


@pytest.mark.parametrize("model", [*STREAMING, "gpt", "llmapi_once"])
def test_whole_texts_are_the_same(clients, model):
    found = [facts(client.generate(PROMPT, max_tokens=4)) for client in clients(model, InferenceClient)]
    assert found[0] == found[1]
    assert found[0][0]


def test_options_and_details_are_the_same(clients):
    options = {"max_tokens": 3, "temperature": 0.5, "stop": ["hi"], "logprobs": 2, "seed": 2**60}
    found = [facts(client.generate(PROMPT, **options)) for client in clients("vllm_model")]
    assert found[0] == found[1]
    assert found[0][4]


def test_inputs_and_parameters_arrive_the_same(clients, real_triton):
    real_triton.clear()
    options = {
        "max_tokens": 5,
        "top_p": 0.5,
        "seed": 2**64 - 1,
        "stop": ["a", "ä"],
        "parameters": {"mine": 2**40, "text": "ä", "flag": True},
    }
    for client in clients("gpt.streaming"):
        with client.stream('hä?\n\0"', request_id="me", **options) as stream:
            assert "".join(stream) == "Hello, world!"
    over_http, over_grpc = real_triton.requests
    assert over_http.inputs == over_grpc.inputs
    assert over_http.request_id == over_grpc.request_id == "me"
    told = dict(over_http.parameters)
    assert told.pop("id") == "me"  # the extension makes a parameter of it too
    assert told == over_grpc.parameters


def test_a_character_that_is_cut_is_whole_again(clients, real_triton):
    real_triton.reply = [b"a\xc3", b"\xa4b", "🎉".encode()[:2], "🎉".encode()[2:]]
    found = ["".join(client.stream("x")) for client in clients("gpt.streaming")]
    assert found == ["aäb🎉"] * 2


@pytest.mark.parametrize("final", ["separate", "last"])
def test_the_final_mark_may_come_with_the_last_piece(clients, real_triton, final):
    real_triton.final = final
    try:
        assert ["".join(client.stream("x")) for client in clients("gpt.streaming")] == ["Hello, world!"] * 2
    finally:
        real_triton.final = "separate"


@pytest.mark.parametrize("reply", [[], [""], [" "], ["\n", "data: x\n\n", '"}']])
def test_odd_texts_are_the_same(clients, real_triton, reply):
    real_triton.reply = reply
    found = [list(client.stream("x")) for client in clients("gpt.streaming")]
    assert found[0] == found[1]


@pytest.mark.parametrize("model", ["vllm_model", "llmapi", "ensemble"])
@pytest.mark.parametrize("fail", [0, 3])
def test_a_model_that_fails_is_the_same_error(clients, model, fail):
    found, texts = [], []
    for client in clients(model, max_retries=0):
        with pytest.raises(InferenceError) as caught, client.stream(f"[fail={fail}] a b c") as stream:
            list(stream)
        error = caught.value
        found.append((type(error), error.message, error.status, error.retryable))
        texts.append(error.partial_text)
    assert found[0] == found[1]
    if model != "ensemble":  # there the error overtakes text that other steps work on
        assert texts[0] == texts[1]
        assert bool(texts[0]) == bool(fail)


def test_refusals_are_the_same(clients):
    found = []
    for client in clients("vllm_model", max_retries=0):
        with pytest.raises(RequestError) as caught:
            client.generate(PROMPT, backend_inputs={"sampling_parameters": {"nonsense": 1}})
        found.append((type(caught.value), caught.value.message))
    assert found[0] == found[1]
    for client in clients("gpt"):
        with pytest.raises(ConfigurationError, match="does not stream"):
            client.stream("x")


@pytest.mark.parametrize("model", ["nope", "nope.streaming"])
def test_an_unknown_model_is_the_same_error(clients, model):
    found = []
    for client in clients(model):
        with pytest.raises(RequestError) as caught:
            client.stream("x")
        found.append((type(caught.value), caught.value.message.replace("\n", " ")))
    assert found[0] == found[1]


@pytest.mark.parametrize("way", ["break", "close", "drop", "deadline", "unread"])
def test_leaving_cancels_on_the_server(real_triton, way):
    """Triton sees that the connection is closed, and the model that its request is cancelled."""
    request_id = f"http-{way}"
    client = HttpInferenceClient("vllm_model", real_triton.http_url)
    options: dict[str, Any] = {"max_tokens": 1000, "request_id": request_id}
    prompt = "[delay=0.02][repeat=1000]"
    if way == "deadline":
        with (
            pytest.raises(DeadlineExceededError) as caught,
            client.stream(prompt, timeout=0.5, **options) as it,
        ):
            list(it)
        assert caught.value.partial_text.startswith(" 0 1")
    else:
        stream = client.stream(prompt, **options)
        if way == "unread":
            time.sleep(0.3)
            stream.close()
        elif way == "drop":
            next(stream)
            del stream
            gc.collect()
        else:
            for number, _ in enumerate(stream):
                if number == 3:
                    break
            if way == "close":
                stream.close()
                with pytest.raises(StreamClosedError):
                    next(stream)
    end = time.monotonic() + 10
    while not any(event.get("request_id") == request_id for event in real_triton.server.events):
        assert time.monotonic() < end, real_triton.server.events[-3:]
        time.sleep(0.05)
    assert client.generate("after", max_tokens=9).text.startswith("You said: after")
    client.close()


def test_a_slow_model_has_deadlines(clients):
    for client in clients("vllm_model", max_retries=0):
        with pytest.raises(DeadlineExceededError) as caught:
            list(client.stream("[delay=5]x", timeout=Timeouts(first_token=0.3)))
        assert caught.value.deadline == "first_token"


def test_many_streams_at_once(clients):
    over_http, _ = clients("vllm_model")
    wrong: list[str] = []

    def work(number: int) -> None:
        for turn in range(5):
            text = over_http.generate(f"{number} {turn}", max_tokens=20).text
            if not text.startswith(f"You said: {number} {turn}"):
                wrong.append(text)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_pieces_come_one_by_one(clients):
    over_http, _ = clients("vllm_model")
    moments: list[float] = []
    with over_http.stream("[delay=0.05][repeat=10]", max_tokens=10) as stream:
        moments.extend(time.monotonic() for _ in stream)
    assert len(moments) == 10
    assert sum(after - before > 0.02 for before, after in itertools.pairwise(moments)) > 5
