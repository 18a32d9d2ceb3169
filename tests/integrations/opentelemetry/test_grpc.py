"""Beside the instrumentation of gRPC: one span of ours, and its spans of the calls are children of it."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from needed import need

need("opentelemetry")

from integrations.opentelemetry.recording import agenerate, amap, generate, map_
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, client_interceptor
from opentelemetry.instrumentation.grpc.grpcext import intercept_channel
from opentelemetry.instrumentation.utils import suppress_instrumentation

from nupic_client import InferenceClient, RequestError, StreamingClient
from nupic_client.testing import FakeTriton, abort


@pytest.fixture
def grpc_spans(memory, monkeypatch):
    """Switch the instrumentation of gRPC on, for clients made later.

    `GrpcInstrumentorClient` takes the global provider, whichever it is given; so what it does is done here.
    """
    make = grpc.insecure_channel
    interceptor = client_interceptor(tracer_provider=memory.tracer_provider)
    monkeypatch.setattr(grpc, "insecure_channel", lambda *given: intercept_channel(make(*given), interceptor))
    of_aio = GrpcAioInstrumentorClient()
    of_aio.instrument(tracer_provider=memory.tracer_provider)
    yield
    of_aio.uninstrument()


@pytest.fixture
def server():
    """It is there before gRPC is instrumented, which is of no matter to it."""
    with FakeTriton(["a", "b"]) as server:
        yield server


def split(memory):
    """Return the spans of ours, and those of the calls."""
    ours = [span for span in memory.spans if "gen_ai.operation.name" in span.attributes]
    return ours, [span for span in memory.spans if "rpc.system" in span.attributes]


@pytest.mark.parametrize("ask", [generate, agenerate, map_, amap])
def test_a_stream_has_one_span_and_that_of_its_call_below(memory, server, grpc_spans, ask):
    with StreamingClient("gpt.streaming", server.url) as client, memory.instrument(client):
        with memory.user() as user:
            ask(client)
    (ours,), calls = split(memory)
    assert ours.parent.span_id == user.get_span_context().span_id
    streams = [span for span in calls if span.name.endswith("ModelStreamInfer")]
    assert [span.parent.span_id for span in streams] == [ours.context.span_id]
    assert server.metadata[-1]["traceparent"].split("-")[2] == f"{streams[0].context.span_id:016x}"


@pytest.mark.parametrize("ask", [generate, agenerate])
def test_a_single_answer_has_one_span_and_those_of_its_calls_below(memory, server, grpc_spans, ask):
    with InferenceClient("gpt", server.url) as client, memory.instrument(client):
        ask(client)
    (ours,), calls = split(memory)
    assert {span.name.rpartition("/")[2] for span in calls} == {"ModelConfig", "ModelInfer"}
    assert {span.parent.span_id for span in calls} == {ours.context.span_id}


def test_a_stream_that_was_left(memory, server, grpc_spans):
    with StreamingClient("gpt.streaming", server.url) as client, memory.instrument(client):
        with client.stream("hi") as stream:
            next(stream)
        (ours,), _ = split(memory)
        assert ours.attributes["gen_ai.response.finish_reasons"] == ("cancelled",)


@pytest.mark.parametrize("ask", [generate, agenerate])
def test_a_failure(memory, server, grpc_spans, ask):
    server.reply = [abort("INTERNAL", "no")]
    with StreamingClient("gpt.streaming", server.url) as client, memory.instrument(client):
        with pytest.raises(RequestError):
            ask(client)
    (ours,), calls = split(memory)
    assert ours.attributes["error.type"] == "InferenceError"
    assert {span.parent.span_id for span in calls} == {ours.context.span_id}


def test_each_element_of_a_map_has_its_own(memory, server, grpc_spans):
    with StreamingClient("gpt.streaming", server.url) as client, memory.instrument(client):
        list(client.map(["hi"] * 20, concurrency=4))
    ours, calls = split(memory)
    streams = [span for span in calls if span.name.endswith("ModelStreamInfer")]
    assert sorted(span.parent.span_id for span in streams) == sorted(span.context.span_id for span in ours)
    assert len(ours) == 20


def test_both_are_suppressed_together(memory, server, grpc_spans):
    with StreamingClient("gpt.streaming", server.url) as client, memory.instrument(client):
        with suppress_instrumentation():
            client.generate("hi")
            asyncio.run(client.agenerate("hi"))
    assert memory.spans == []
