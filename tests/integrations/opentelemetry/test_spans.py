"""One span for each generation and each embedding, with the attributes of the conventions; sync and async alike."""

from __future__ import annotations

import asyncio
import gc

import numpy as np
import pytest
from needed import need

need("opentelemetry")

from inference.rest_server import RestServer
from inference.tensor_server import TensorServer, signature
from integrations.opentelemetry.recording import Memory, agenerate, amap, generate, map_
from observe.recorder import Recorder
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from nupic_client import (
    ClientFactory,
    Conversation,
    HttpInferenceClient,
    InferenceClient,
    ModelRegistry,
    ModelSpec,
    RequestError,
    RetryPolicy,
    StreamingClient,
    user,
)
from nupic_client._core.kserve import wire
from nupic_client.integrations.opentelemetry import attributes as made
from nupic_client.testing import EndpointGroup, FakeTriton, abort, silence, text_signature

QUICK = RetryPolicy(max_retries=2, initial_backoff=0.01)
WAYS = pytest.mark.parametrize("ask", [generate, agenerate, map_, amap])
ONE = pytest.mark.parametrize("ask", [generate, agenerate])
TYPES = {
    "gen_ai.operation.name": str,
    "gen_ai.provider.name": str,
    "gen_ai.request.model": str,
    "gen_ai.request.max_tokens": int,
    "gen_ai.request.temperature": float,
    "gen_ai.request.top_p": float,
    "gen_ai.request.top_k": float,
    "gen_ai.request.seed": int,
    "gen_ai.request.stop_sequences": tuple,
    "gen_ai.request.frequency_penalty": float,
    "gen_ai.request.presence_penalty": float,
    "gen_ai.request.stream": bool,
    "gen_ai.output.type": str,
    "gen_ai.conversation.id": str,
    "gen_ai.response.id": str,
    "gen_ai.response.model": str,
    "gen_ai.response.finish_reasons": tuple,
    "gen_ai.response.time_to_first_chunk": float,
    "gen_ai.usage.input_tokens": int,
    "gen_ai.usage.output_tokens": int,
    "server.address": str,
    "server.port": int,
    "error.type": str,
    "nupic.attempts": int,
    "nupic.chunks": int,
    "nupic.output_bytes": int,
    "nupic.endpoints": tuple,
}
"""All attributes without content, with the types that the conventions give them."""


def check_types(attributes):
    """Check that all names are known, and that each has the type of the conventions."""
    for name, value in attributes.items():
        assert type(value) is TYPES[name], name


@WAYS
def test_a_generation_has_one_span(memory, client, server, ask):
    memory.instrument(client)
    with memory.user() as parent:
        ask(
            client,
            [user("hi")],
            max_tokens=9,
            temperature=0,
            top_p=0.5,
            top_k=3,
            seed=7,
            stop=["x", "y"],
            frequency_penalty=1,
            presence_penalty=-1,
        )
    span, host = memory.span(), server.url.partition(":")
    assert (span.name, span.kind) == ("chat gpt.streaming", SpanKind.CLIENT)
    assert span.parent.span_id == parent.get_span_context().span_id
    assert span.status.status_code is StatusCode.UNSET
    attributes = memory.attributes
    check_types(attributes)
    first = attributes.pop("gen_ai.response.time_to_first_chunk")
    assert 0 < first <= (span.end_time - span.start_time) / 1e9
    assert len(attributes.pop("gen_ai.response.id")) == 32
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "triton",
        "gen_ai.request.model": "gpt.streaming",
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.top_k": 3.0,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ("x", "y"),
        "gen_ai.request.frequency_penalty": 1.0,
        "gen_ai.request.presence_penalty": -1.0,
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt.streaming",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": attributes["gen_ai.usage.input_tokens"],
        "gen_ai.usage.output_tokens": 2,
        "server.address": host[0],
        "server.port": int(host[2]),
        "nupic.attempts": 1,
        "nupic.chunks": 2,
        "nupic.output_bytes": 2,
    }


@WAYS
def test_what_was_not_asked_for_is_not_there(memory, client, ask):
    memory.instrument(client)
    ask(client)
    assert memory.span().name == "text_completion gpt.streaming"
    assert memory.span().parent is None
    assert {name for name in memory.attributes if name.startswith("gen_ai.request")} == {
        "gen_ai.request.model",
        "gen_ai.request.stream",
    }


@ONE
def test_a_model_that_answers_at_once_does_not_stream(memory, server, ask):
    with InferenceClient("gpt", server.url) as client:
        memory.instrument(client)
        ask(client)
    attributes = memory.attributes
    check_types(attributes)
    assert "gen_ai.request.stream" not in attributes
    assert "gen_ai.response.time_to_first_chunk" not in attributes
    assert attributes["gen_ai.operation.name"] == "text_completion"


@ONE
def test_a_model_that_streams_inside_says_so(memory, ask):
    with FakeTriton(["a"], models=[text_signature("gpt.streaming")]) as server:
        with InferenceClient("gpt.streaming", server.url) as client:
            memory.instrument(client)
            ask(client)
    assert memory.attributes["gen_ai.request.stream"] is True


BARE = signature(
    "bare.streaming", {"text_input": ("BYTES", (1,))}, {"text_output": ("BYTES", (1,))}, decoupled=True
)


@ONE
def test_a_server_that_does_not_count_tells_no_tokens(memory, ask):
    with FakeTriton(["a"], models=[BARE]) as server, StreamingClient("bare.streaming", server.url) as client:
        memory.instrument(client)
        assert ask(client).usage.output_tokens is None
    assert not [name for name in memory.attributes if name.startswith("gen_ai.usage")]
    assert not [name for name in memory.points() if "token" in name]


@ONE
def test_the_form_of_the_answer(memory, client, server, ask):
    server.reply = ['{"a": 1}']
    memory.instrument(client)
    ask(client, response_format="json", enforce="validate")
    assert memory.attributes["gen_ai.output.type"] == "json"


@pytest.mark.parametrize(("name", "provider"), [("nupic-x.streaming", "nupic"), ("x.streaming", "triton")])
def test_the_provider_is_known_by_the_name_of_the_server(memory, name, provider):
    registry = ModelRegistry([ModelSpec(name="short", server_name=name)])
    with FakeTriton(["a"], models=[text_signature(name)]) as server:
        with StreamingClient("short", server.url, registry=registry) as client, memory.instrument(client):
            client.generate("hi")
    assert memory.span().name == "text_completion short"
    attributes = memory.attributes
    assert (attributes["gen_ai.request.model"], attributes["gen_ai.response.model"]) == ("short", name)
    assert attributes["gen_ai.provider.name"] == provider
    for point in memory.points()["gen_ai.client.operation.duration"]:
        assert point.attributes["gen_ai.provider.name"] == provider


def test_another_provider(memory, client):
    memory.instrument(client, provider="mine")
    client.generate("hi")
    assert memory.attributes["gen_ai.provider.name"] == "mine"


@pytest.mark.parametrize("way", ["generate", "stream", "agenerate", "astream"])
def test_a_conversation_has_its_id(memory, client, way):
    conversation = Conversation(client)
    memory.instrument(client)

    async def main():
        if way == "astream":
            assert [text async for text in conversation.astream("hi")] == ["a", "b"]
        else:
            await conversation.agenerate("hi")

    if way.startswith("a"):
        asyncio.run(main())
    else:
        list(conversation.stream("hi")) if way == "stream" else conversation.generate("hi")
    assert memory.attributes["gen_ai.conversation.id"] == conversation.id
    assert memory.span().name == "chat gpt.streaming"


# --- ends


@ONE
def test_a_failure(memory, client, server, ask):
    server.reply = [abort("INTERNAL", "the prompt was: s3cr3t")]
    memory.instrument(client)
    with pytest.raises(RequestError):
        ask(client)
    span = memory.span()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "the server failed: …"
    check_types(memory.attributes)
    assert memory.attributes["error.type"] == "InferenceError"
    assert "gen_ai.response.finish_reasons" not in memory.attributes
    assert "s3cr3t" not in span.to_json()


@ONE
def test_a_server_that_cannot_be_reached(memory, ask):
    with StreamingClient("gpt.streaming", "127.0.0.1:1", max_retries=0, timeout=30) as client:
        memory.instrument(client)
        with pytest.raises(RequestError):
            ask(client)
    assert memory.attributes["error.type"] == "ConnectionFailedError"
    assert memory.span().status.description.startswith("cannot reach the server")
    assert (memory.attributes["server.address"], memory.attributes["server.port"]) == ("127.0.0.1", 1)


def test_an_error_of_the_users_own_function_is_named_only(memory, server):
    def token():
        raise ZeroDivisionError("s3cr3t")

    with StreamingClient("gpt.streaming", server.url, bearer_token=token) as client:
        memory.instrument(client)
        with pytest.raises(ZeroDivisionError):
            client.generate("hi")
    span = memory.span()
    assert (memory.attributes["error.type"], span.status.description) == ("ZeroDivisionError",) * 2
    assert "s3cr3t" not in span.to_json()


def test_a_long_sentence_is_shortened():
    error = RequestError("x" * 1000)
    assert len(made.description_of(error, with_content=False)) == 256


@pytest.mark.parametrize("way", ["close", "break", "drop", "aclose"])
def test_a_stream_that_was_left_is_cancelled_and_no_error(memory, client, way):
    memory.instrument(client)

    async def aclose():
        async with client.astream("hi") as stream:
            await anext(stream)

    if way == "close":
        with client.stream("hi") as stream:
            next(stream)
    elif way == "break":
        for _ in client.stream("hi"):
            break
    elif way == "aclose":
        asyncio.run(aclose())
    else:
        next(client.stream("hi"))
        gc.collect()
    span = memory.span()
    assert memory.attributes["gen_ai.response.finish_reasons"] == ("cancelled",)
    assert "error.type" not in memory.attributes
    assert span.status.status_code is StatusCode.UNSET


def test_a_task_that_was_cancelled(memory, client, server):
    server.reply = ["a", silence()]
    memory.instrument(client)

    async def main():
        task = asyncio.create_task(client.agenerate("hi"))
        while not server.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert memory.attributes["gen_ai.response.finish_reasons"] == ("cancelled",)


# --- retries


@WAYS
def test_each_retry_is_an_event_and_no_span(memory, server, ask):
    replies = [[abort("UNAVAILABLE", "away")], [abort("RESOURCE_EXHAUSTED", "busy")], ["a"]]
    server.reply = lambda request: replies.pop(0)
    with StreamingClient("gpt.streaming", server.url, max_retries=QUICK) as client:
        memory.instrument(client)
        ask(client)
    span = memory.span()
    assert [event.name for event in span.events] == ["nupic.retry"] * 2
    host, _, port = server.url.partition(":")
    for number, (event, error) in enumerate(
        zip(span.events, ["ModelUnavailableError", "OverloadedError"], strict=True), 1
    ):
        found = dict(event.attributes)
        assert found.pop("nupic.retry.delay") >= 0
        assert found == {
            "nupic.retry.attempt": number,
            "error.type": error,
            "server.address": host,
            "server.port": int(port),
        }
    assert memory.attributes["nupic.attempts"] == 3
    assert memory.attributes["nupic.endpoints"] == (server.url,) * 3


def test_a_retry_on_another_server_names_both(memory):
    replies = [[abort("UNAVAILABLE", "away")], ["a"]]
    with EndpointGroup(2, reply=lambda request: replies.pop(0)) as group:
        with StreamingClient("gpt.streaming", group.urls, max_retries=QUICK) as client:
            memory.instrument(client)
            good = client.generate("hi").endpoint
        (bad,) = {*group.urls} - {good}
    attributes = memory.attributes
    check_types(attributes)
    assert attributes["nupic.endpoints"] == (bad, good)
    assert f"{attributes['server.address']}:{attributes['server.port']}" == good
    event = dict(memory.span().events[0].attributes)
    assert f"{event['server.address']}:{event['server.port']}" == bad


# --- embeddings, and what is none of it


SBERT = signature("sbert", {"text": ("BYTES", (1,))}, {"vector": ("FP32", (2,))}, max_batch_size=4)


def embed(client, texts):
    return client.embed(texts)


def aembed(client, texts):
    return asyncio.run(client.aembed(texts))


def vectors(request):
    response = wire.pb.ModelInferResponse(model_name="sbert", model_version="1", id=request.id)
    count = request.inputs[0].shape[0]
    response.outputs.add(name="vector", datatype="FP32", shape=[count, 2])
    response.raw_output_contents.append(np.zeros((count, 2), np.float32).tobytes())
    return response


@pytest.mark.parametrize("embed", [embed, aembed])
def test_embeddings_have_a_span_for_each_request(memory, embed):
    with TensorServer(SBERT, answer=vectors) as server, InferenceClient("sbert", server.url) as client:
        memory.instrument(client)
        with memory.user() as parent:
            assert embed(client, ["text"] * 10).shape == (10, 2)
    assert [span.name for span in memory.spans] == ["embeddings sbert"] * 3
    for span in memory.spans:
        check_types(span.attributes)
        assert span.parent.span_id == parent.get_span_context().span_id
        assert span.attributes["gen_ai.operation.name"] == "embeddings"
        assert "gen_ai.request.stream" not in span.attributes


def test_embeddings_over_http(memory):
    with RestServer(SBERT, answer=vectors) as server, HttpInferenceClient("sbert", server.url) as client:
        memory.instrument(client)
        client.embed(["text"])
    assert memory.span().name == "embeddings sbert"


def test_arrays_have_no_span(memory):
    plain = signature("m", {"x": ("FP32", (-1,))})
    with TensorServer(plain) as server, InferenceClient("m", server.url) as client, memory.instrument(client):
        with memory.user():
            client.infer(np.ones(3, np.float32))
            list(client.map([np.ones(3, np.float32)] * 2))
        client.infer(np.ones(3, np.float32))
    assert memory.spans == []
    assert memory.points() == {}


# --- which clients


def test_all_clients(memory, server):
    with memory.instrument():
        with StreamingClient("gpt.streaming", server.url) as client:
            client.generate("hi")
        with ClientFactory.get_client("gpt", server.url) as client:
            client.generate("hi")
    with StreamingClient("gpt.streaming", server.url) as client:
        client.generate("hi")
    assert len(memory.spans) == 2


def test_one_client(memory, client, server):
    with memory.instrument(client), StreamingClient("gpt.streaming", server.url) as other:
        client.generate("hi")
        other.generate("hi")
    client.generate("hi")
    assert len(memory.spans) == 1


def test_it_is_undone_in_clients_that_were_made_of_it(memory, client):
    instrumentation = memory.instrument(client)
    twin = client.with_options(max_tokens=3)
    twin.generate("hi")
    instrumentation.uninstrument()
    instrumentation.uninstrument()
    twin.generate("hi")
    assert len(memory.spans) == 1


def test_the_span_of_a_stream_that_runs_ends_after_it_is_undone(memory, client):
    instrumentation = memory.instrument(client)
    with client.stream("hi") as stream:
        instrumentation.uninstrument()
        assert memory.spans == []
        list(stream)
    assert memory.attributes["gen_ai.response.finish_reasons"] == ("stop",)


def test_the_users_own_observer_stays(memory, server):
    seen = Recorder()
    with StreamingClient("gpt.streaming", server.url, observer=seen) as client, memory.instrument(client):
        client.generate("hi")
        assert client.observer is seen
    assert len(seen.infos) == len(memory.spans) == 1


def test_a_client_that_is_instrumented_twice_has_one_span(memory, client):
    with memory.instrument(client), memory.instrument(client), memory.instrument():
        client.generate("hi")
        list(client.map(["hi"] * 3))
    assert len(memory.spans) == 4
    assert memory.points()["gen_ai.client.operation.duration"][0].count == 4


def test_a_span_that_is_not_sampled_costs_no_attributes(server):
    memory = Memory(sampler=ALWAYS_OFF)
    replies = [[abort("UNAVAILABLE", "away")], ["a"]]
    server.reply = lambda request: replies.pop(0)
    with StreamingClient("gpt.streaming", server.url, max_retries=QUICK) as client, memory.instrument(client):
        client.generate("hi")
    assert memory.spans == []
    assert memory.points()["gen_ai.client.operation.duration"][0].count == 1
    assert not int(server.metadata[-1]["traceparent"][-2:], 16) & 1  # the server need not trace it either
