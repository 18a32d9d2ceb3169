"""Which trace a span belongs to, and what the server is told of it: over threads, tasks, pieces of a stream and forks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from needed import need

need("opentelemetry")

from inference.rest_server import RestServer
from inference.tensor_server import signature
from integrations.opentelemetry.recording import agenerate, amap, generate, map_
from observe.recorder import Recorder, wait_until
from opentelemetry import context, propagate, trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from opentelemetry.util.genai.handler import TelemetryHandler

from nupic_client import HttpInferenceClient, InferenceClient, RetryPolicy, StreamingClient
from nupic_client.integrations.opentelemetry import instrument
from nupic_client.integrations.opentelemetry.attributes import address_of
from nupic_client.testing import abort

WAYS = pytest.mark.parametrize("ask", [generate, agenerate, map_, amap])
QUICK = RetryPolicy(max_retries=2, initial_backoff=0.01)
ARRAY = np.ones(3, np.float32)
PLAIN = signature("m", {"x": ("FP32", (-1,))})
REMOTE = SpanContext(
    trace_id=0x1234,
    span_id=0x5678,
    is_remote=True,
    trace_flags=TraceFlags(1),
    trace_state=TraceState([("vendor", "value")]),
)


def parents(server):
    """Return trace and span that each call to a server belongs to."""
    return [
        (each["traceparent"].split("-")[1:3] if "traceparent" in each else None) for each in server.metadata
    ]


def ids(span):
    return [f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"]


# --- to the server


@WAYS
def test_the_server_is_told_the_span_of_the_request(memory, client, server, ask):
    memory.instrument(client)
    with memory.user() as user:
        ask(client)
        trace_id = user.get_span_context().trace_id
    assert parents(server)[-1] == ids(memory.span())
    assert memory.span().context.trace_id == trace_id


@WAYS
def test_each_attempt_belongs_to_it(memory, server, ask):
    replies = [[abort("UNAVAILABLE", "away")], ["a"]]
    server.reply = lambda request: replies.pop(0)
    with StreamingClient("gpt.streaming", server.url, max_retries=QUICK) as client:
        memory.instrument(client)
        ask(client)
    assert parents(server)[-2:] == [ids(memory.span())] * 2


def infer(client):
    client.infer({"text_input": ["hi"]})


def ainfer(client):
    asyncio.run(client.ainfer({"text_input": ["hi"]}))


def infer_many(client):
    list(client.map([{"text_input": ["hi"]}]))


@pytest.mark.parametrize("ask", [infer, ainfer, infer_many])
def test_requests_without_a_span_go_into_the_users_trace(memory, server, ask):
    with InferenceClient("gpt", server.url) as client, memory.instrument(client):
        with memory.user() as user:
            ask(client)
        wanted = [f"{user.get_span_context().trace_id:032x}", f"{user.get_span_context().span_id:016x}"]
        assert parents(server)[-1] == wanted
        ask(client)
        assert parents(server)[-1] is None
    assert memory.spans == []


@pytest.mark.parametrize("ask", [generate, agenerate])
def test_a_trace_from_elsewhere_goes_on_without_an_sdk(client, server, ask):
    """As with a proxy that only passes headers on."""
    instrument(client).uninstrument()
    with instrument(client):
        token = context.attach(trace.set_span_in_context(NonRecordingSpan(REMOTE)))
        try:
            ask(client)
        finally:
            context.detach(token)
    sent = server.metadata[-1]
    assert sent["traceparent"] == f"00-{REMOTE.trace_id:032x}-{REMOTE.span_id:016x}-01"
    assert sent["tracestate"] == "vendor=value"


def test_without_an_sdk_and_a_trace_nothing_is_sent_and_nothing_told(client, server):
    with instrument(client) as instrumentation:
        client.generate("hi")
        list(client.map(["hi"]))
        assert client._watch("generate") is None
        assert instrumentation._telemetry._has_sdk is False
    assert parents(server) == [None] * 3


def test_the_private_names_that_spare_a_search_exist():
    """Without them each request of a program without an SDK takes a microsecond more, and nothing else changes."""
    from nupic_client.integrations.opentelemetry.observer import _PROVIDERS  # noqa: PLC0415

    for get, name in _PROVIDERS:
        assert name in get.__globals__, f"opentelemetry-api has renamed {name}: find its new name"


@WAYS
@pytest.mark.parametrize("where", ["client", "call", "function"])
def test_the_users_headers_win(memory, server, ask, where):
    mine = {"traceparent": f"00-{1:032x}-{2:016x}-01"}
    of_client = {"metadata": mine} if where == "client" else {}
    of_call = {"call": {"metadata": mine}, "function": {"metadata": lambda: mine}}.get(where, {})
    with StreamingClient("gpt.streaming", server.url, **of_client) as client, memory.instrument(client):
        token = context.attach(trace.set_span_in_context(NonRecordingSpan(REMOTE)))
        try:
            ask(client, **of_call)
        finally:
            context.detach(token)
    assert server.metadata[-1]["traceparent"] == mine["traceparent"]
    assert "tracestate" not in server.metadata[-1], "of another trace"


def test_other_headers_of_the_user_stay(memory, server):
    with StreamingClient("gpt.streaming", server.url, metadata={"x-a": "1"}, bearer_token="token") as client:
        memory.instrument(client)
        client.generate("hi", metadata={"x-b": "2"})
    sent = server.metadata[-1]
    assert (sent["x-a"], sent["x-b"], sent["authorization"]) == ("1", "2", "Bearer token")
    assert parents(server)[-1] == ids(memory.span())


def test_over_http(memory):
    with RestServer(PLAIN) as server, HttpInferenceClient("m", server.url) as client:
        with memory.instrument(client), memory.user() as user:
            client.infer(ARRAY)
            list(client.map([ARRAY] * 2))
        wanted = f"{user.get_span_context().trace_id:032x}-{user.get_span_context().span_id:016x}"
        sent = [each["traceparent"] for each in server.headers if "traceparent" in each]
    assert len(sent) >= 3
    assert {each[3:-3] for each in sent} == {wanted}


class Odd(TextMapPropagator):
    """Writes what gRPC would refuse, and a name in capitals."""

    fields = frozenset()

    def extract(self, carrier, context=None, getter=None):
        return context

    def inject(self, carrier, context=None, setter=None):
        setter.set(carrier, "X-Odd", "fine")
        setter.set(carrier, "x-bad", "ünprintable\n")


def test_a_propagator_of_the_program(memory, client, server, monkeypatch):
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(Odd())
    try:
        with memory.instrument(client):
            client.generate("hi")
    finally:
        propagate.set_global_textmap(before)
    sent = server.metadata[-1]
    assert sent["x-odd"] == "fine"
    assert not {"x-bad", "traceparent"} & sent.keys()


# --- in this process


@pytest.mark.parametrize("read", ["here", "thread"])
def test_a_map_of_100_has_one_span_each_and_keeps_its_parent(memory, client, server, read):
    memory.instrument(client)
    found = []
    with memory.user() as user:
        results = client.map(["hi"] * 100, concurrency=8)
    if read == "here":
        found.extend(results)
    else:
        thread = threading.Thread(target=lambda: found.extend(results))
        thread.start()
        thread.join()
    assert len(found) == len(memory.spans) == 100
    assert {span.parent.span_id for span in memory.spans} == {user.get_span_context().span_id}
    assert sorted(parents(server)[-100:]) == sorted(ids(span) for span in memory.spans)


def test_an_amap_of_100_has_one_span_each_and_keeps_its_parent(memory, client, server):
    memory.instrument(client)

    async def main():
        with memory.user() as user:
            results = client.amap(["hi"] * 100, concurrency=8)
        assert len([each async for each in results]) == 100
        return user

    user = asyncio.run(main())
    assert len(memory.spans) == 100
    assert {span.parent.span_id for span in memory.spans} == {user.get_span_context().span_id}


def test_threads_keep_their_parents(memory, client):
    memory.instrument(client)
    wanted = {}

    def work(number):
        with memory.user() as user:
            client.generate("hi", request_id=str(number))
            wanted[str(number)] = user.get_span_context().span_id

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {span.attributes["gen_ai.response.id"]: span.parent.span_id for span in memory.spans}
    assert found == wanted


def test_tasks_keep_their_parents(memory, client):
    memory.instrument(client)

    async def work(number):
        with memory.user() as user:
            async with client.astream("hi", request_id=str(number)) as stream:
                async for _ in stream:
                    assert trace.get_current_span() is user
                    await asyncio.sleep(0)
            return str(number), user.get_span_context().span_id

    async def main():
        return dict(await asyncio.gather(*[work(number) for number in range(8)]))

    wanted = asyncio.run(main())
    assert {span.attributes["gen_ai.response.id"]: span.parent.span_id for span in memory.spans} == wanted


@pytest.mark.parametrize("way", ["stream", "astream", "generate", "map"])
def test_the_span_is_never_the_current_one_of_the_users_code(memory, client, way):
    """A context that stays attached between two pieces is that of whatever runs meanwhile."""
    memory.instrument(client)
    seen = []

    def note(*_):
        seen.append(trace.get_current_span())

    async def main():
        async with client.astream("hi") as stream:
            async for _ in stream:
                note()
        note()

    with memory.user() as user:
        if way == "astream":
            asyncio.run(main())
        elif way == "generate":
            client.generate("hi", note)
        elif way == "map":
            list(client.map(["hi"] * 3, callback=note))
        else:
            for _ in client.stream("hi"):
                note()
        note()
    assert seen
    assert set(seen) == {user}
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_stream_that_another_thread_drops_ends_its_span(memory, client):
    memory.instrument(client)
    streams = [client.stream("hi")]
    next(streams[0])
    threading.Thread(target=streams.clear).start()
    wait_until(lambda: memory.spans)
    assert memory.attributes["gen_ai.response.finish_reasons"] == ("cancelled",)


# --- where others have a span


@WAYS
def test_nothing_is_written_where_instrumentation_is_suppressed(memory, client, server, ask):
    memory.instrument(client)
    with memory.user(), suppress_instrumentation():
        ask(client)
    assert memory.spans == []
    assert memory.points() == {}
    assert parents(server)[-1] is None
    ask(client)
    assert len(memory.spans) == 1


@WAYS
def test_no_second_span_inside_one_of_the_conventions_own_library(memory, client, server, ask):
    memory.instrument(client)
    handler = TelemetryHandler(memory.tracer_provider, memory.meter_provider)
    with handler.inference("other", request_model="m"):
        ask(client)
    assert [span.name for span in memory.spans] == ["chat m"]
    assert memory.points()["gen_ai.client.operation.duration"][0].count == 1
    assert parents(server)[-1] == ids(memory.span()), "the outer span"


def test_another_observer_is_told_nonetheless(memory, server):
    seen = Recorder()
    with StreamingClient("gpt.streaming", server.url, observer=seen) as client, memory.instrument():
        with suppress_instrumentation():
            client.generate("hi")
    assert len(seen.infos) == 1


# --- processes

FORK = """
import os, sys
from integrations.opentelemetry.recording import Memory
from nupic_client import StreamingClient

memory = Memory()
client = StreamingClient("gpt.streaming", sys.argv[1])
memory.instrument()
stream = client.stream("hi")
next(stream)
child = os.fork()
if child == 0:
    stream.close()
    client.generate("hi", request_id="of the child")
    names = [span.attributes["gen_ai.response.id"] for span in memory.spans]
    os.write(1, f"child {names}\\n".encode())
    os._exit(0)
os.waitpid(child, 0)
list(stream)
print("parent", [span.attributes["gen_ai.response.finish_reasons"][0] for span in memory.spans], flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX")
def test_a_forked_child_ends_no_span_of_its_parent(server):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, server.url],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert done.stdout == "child ['of the child']\nparent ['stop']\n", done.stderr


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("gpu-1:8001", ("gpu-1", 8001)),
        ("[::1]:8001", ("::1", 8001)),
        ("dns:///gpu.example:8001", ("gpu.example", 8001)),
        ("unix:/run/triton.sock", ("/run/triton.sock", None)),
        ("unix:///run/triton.sock", ("/run/triton.sock", None)),
        ("proxy.example:8000/triton", ("proxy.example", 8000)),
        ("gpu-1", ("gpu-1", None)),
        ("gpu-1:8001, gpu-2:8001", None),
        ("", None),
    ],
)
def test_addresses(target, found):
    assert address_of(target) == found
