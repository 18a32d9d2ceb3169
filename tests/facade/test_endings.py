"""V-F1: a call whose answer is complete may end by itself; one that is left before is cancelled.

The server is made by hand, because what counts is how it sees its calls end: by themselves, or cancelled and when.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from facade.conftest import BOTH_KINDS

from nupic_client import InferenceError, StreamClosedError
from nupic_client._core.calls import session
from nupic_client._core.kserve import wire
from nupic_client._sync.transport import Transport
from nupic_client.testing import FakeTriton, fail, text_signature

CLIENT_KINDS = BOTH_KINDS

pytestmark = pytest.mark.fake_only("the server is made by hand")

LATE = 0.02
"""Seconds after its last word that the server takes to end a call."""
FOR_EVER = 20.0


def chunk(text="", *, final=False, error=""):
    response = wire.pb.ModelStreamInferResponse(error_message=error)
    answer = response.infer_response
    if text:
        answer.outputs.add(name="text_output", datatype="BYTES", shape=[1])
        answer.raw_output_contents.append(len(text).to_bytes(4, "little") + text.encode())
    answer.parameters[wire.FINAL_PARAMETER].bool_param = final
    return response


ANSWERS = {
    "error": [chunk(error="broken")],
    "error and mark": [chunk("one"), chunk(error="broken"), 0.005, chunk(final=True)],
    "busy": [chunk(error="Exceeds maximum queue size")],
    "joined": [chunk("one"), chunk(" two", final=True)],
    "separate": [chunk("one"), chunk(" two"), 0.005, chunk(final=True)],
    "middle": [chunk("one"), chunk(" two"), FOR_EVER, chunk(" three")],
    "stop": [chunk("one STOP"), 0.005, chunk(final=True)],
    "stop unknown": [chunk("one STOP"), FOR_EVER, chunk(" two")],
}


class Server:
    """Answers as the prompt says and notes how each call ended, and when after the last word."""

    def __init__(self):
        self.late = LATE
        self.ends = []
        self._ended = threading.Condition()
        self._server = grpc.server(ThreadPoolExecutor(32))
        handlers = {
            "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(
                self._stream,
                request_deserializer=wire.pb.ModelInferRequest.FromString,
                response_serializer=wire.pb.ModelStreamInferResponse.SerializeToString,
            )
        }
        service = wire.method_path("ModelStreamInfer").split("/")[1]
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self.url = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _stream(self, requests, context):
        request = next(requests)
        prompt = (
            request.raw_input_contents[0][4:]
            if request.raw_input_contents
            else (request.inputs[0].contents.bytes_contents[0])
        )
        said, over = time.monotonic(), threading.Event()
        done = []

        def note():
            with self._ended:
                self.ends.append(("cancelled", time.monotonic() - said) if not done else ("itself", 0.0))
                self._ended.notify_all()
            over.set()

        context.add_callback(note)
        for step in [*ANSWERS[prompt.decode()], self.late]:
            if isinstance(step, float):
                over.wait(step)
            else:
                said = time.monotonic()
                yield step
        done.append(True)

    def ended(self, count=1):
        """Return how the calls ended, as soon as so many have."""
        with self._ended:
            assert self._ended.wait_for(lambda: len(self.ends) >= count, 10), self.ends
            return self.ends

    def stop(self):
        self._server.stop(None)


def in_time(test):
    """Run a test up to five times: a loaded machine takes longer than the package waits, 50 ms for a last word.

    What is wrong in the package fails each time.
    """

    @functools.wraps(test)
    def again(*args, **arguments):
        for _ in range(4):
            arguments["server"].ends.clear()
            with contextlib.suppress(AssertionError):
                return test(*args, **arguments)
        arguments["server"].ends.clear()
        return test(*args, **arguments)

    return again


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def connect(client_kind):
    """Return what makes a client of a server."""
    return functools.partial(make_client, client_kind)


def make_client(kind, server, **options):
    return kind("m", url=server.url, signature=text_signature("m"), backend="plain", **options)


def generate(client, prompt, **options):
    client.generate(prompt, **options)


def iterate(client, prompt, **options):
    for text in client.stream(prompt, **options):
        if text == " two":
            break


def drop(client, prompt, **options):
    stream = client.stream(prompt, **options)
    while next(stream) != " two":
        pass


def agenerate(client, prompt, **options):
    asyncio.run(client.agenerate(prompt, **options))


def aiterate(client, prompt, **options):
    async def main():
        async for text in client.astream(prompt, **options):
            if text == " two":
                break

    asyncio.run(main())


def aleave(client, prompt, **options):
    async def main():
        async with client.astream(prompt, **options) as stream:
            while await anext(stream) != " two":
                pass
        await asyncio.sleep(0.3)

    asyncio.run(main())


READ = [generate, agenerate]
LEFT = [iterate, drop, aiterate, aleave]


@pytest.mark.parametrize("closing", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("prompt", ["error", "error and mark"])
@pytest.mark.parametrize("way", READ)
@in_time
def test_a_call_with_an_error_ends_by_itself(connect, server, way, prompt, closing):
    client = connect(server)
    begin = time.monotonic()
    with pytest.raises(InferenceError, match="broken"):
        way(client, prompt)
    assert time.monotonic() - begin < 1
    if closing:
        client.close()
    assert server.ended() == [("itself", 0.0)]
    client.close()


@pytest.mark.parametrize("way", READ)
def test_a_call_that_is_repeated_ends_by_itself(connect, server, way):
    with connect(server, max_retries=2) as client, pytest.raises(Exception, match="capacity"):
        way(client, "busy")
    assert server.ended(3) == [("itself", 0.0)] * 3


@pytest.fixture
def a_long_moment(monkeypatch):
    """The last word of a server comes while the client waits for it, however long a busy machine takes."""
    monkeypatch.setattr(session, "_MOMENT", FOR_EVER)


@pytest.mark.usefixtures("a_long_moment")
@pytest.mark.parametrize("closing", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("prompt", ["joined", "separate"])
@pytest.mark.parametrize("way", LEFT)
@in_time
def test_a_call_that_is_left_with_its_last_chunk_ends_by_itself(connect, server, way, prompt, closing):
    client = connect(server)
    way(client, prompt)
    if closing:
        client.close()
    assert server.ended() == [("itself", 0.0)]
    client.close()


@pytest.mark.usefixtures("a_long_moment")
@pytest.mark.text_only("stop strings are for text")
@pytest.mark.parametrize("way", READ)
@in_time
def test_a_call_that_a_stop_string_ends_may_get_its_mark(connect, server, way):
    with connect(server, stop=["STOP"]) as client:
        way(client, "stop")
        assert server.ended() == [("itself", 0.0)]


@pytest.mark.parametrize("closing", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("way", LEFT)
def test_a_call_that_goes_on_is_cancelled(connect, server, way, closing):
    cancelled_at_once(connect(server), server, way, "middle", closing)


@pytest.mark.text_only("stop strings are for text")
@pytest.mark.parametrize("closing", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("way", READ)
def test_a_call_that_goes_on_after_a_stop_string_is_cancelled(connect, server, way, closing):
    cancelled_at_once(connect(server, stop=["STOP"]), server, way, "stop unknown", closing)


def cancelled_at_once(client, server, way, prompt, closing):
    way(client, prompt)
    if closing:
        client.close()
    ((how, when),) = server.ended()
    assert how == "cancelled"
    assert when < 1.5
    client.close()


@pytest.mark.parametrize("way", [*READ, iterate])
@in_time
def test_the_patience_is_about_a_second(connect, server, way):
    server.late = FOR_EVER
    with connect(server) as client:
        begin = time.monotonic()
        with contextlib.suppress(InferenceError):
            way(client, "joined" if way is iterate else "error")
        assert time.monotonic() - begin < 0.8, "nobody waits for the end of the call"
        if way is not agenerate:  # asyncio.run() takes the loop away
            assert 0.8 < server.ended()[0][1] < 5
    assert server.ended()[0][0] == "cancelled"


EXIT = """
import sys, time
from nupic_client import StreamingClient
from nupic_client.testing import text_signature

client = StreamingClient("m", url=sys.argv[1], signature=text_signature("m"), backend="plain")
for _ in range(20):
    try:
        client.generate("error")
    except Exception:
        pass
print(time.time())
"""


@in_time
def test_the_end_of_the_process_gives_all_calls_a_moment_and_says_nothing(server):
    done = subprocess.run(
        [sys.executable, "-c", EXIT, server.url], capture_output=True, text=True, check=True
    )
    assert time.time() - float(done.stdout) < 1
    assert done.stderr == ""
    assert server.ended(20) == [("itself", 0.0)] * 20


LOOPS = """
import asyncio, logging, sys
from nupic_client import InferenceError, StreamingClient

logging.basicConfig()
client = StreamingClient("gpt.streaming", url=sys.argv[1])


async def main():
    try:
        await client.agenerate("hi")
    except InferenceError:
        print("failed")


for _ in range(60):
    asyncio.run(main())
"""


def test_many_loops_whose_last_request_failed_log_nothing():
    """V-F3: what arrived for a loop that was closed made gRPC log "Event loop is closed"."""
    with FakeTriton(["one", fail("broken")]) as server:
        done = subprocess.run([sys.executable, "-c", LOOPS, server.url], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "failed\n" * 60, "")


ABRUPT = """
import asyncio, contextlib, logging, sys
from nupic_client import InferenceError, StreamingClient
from nupic_client.testing import text_signature

logging.basicConfig()
client = StreamingClient("m", url=sys.argv[1], signature=text_signature("m"), backend="plain")
for way in (client.agenerate, lambda prompt: anext(client.astream(prompt))):
    loop = asyncio.new_event_loop()
    with contextlib.suppress(InferenceError):
        loop.run_until_complete(way("error"))
    loop.close()
client.close()
"""


def test_a_loop_that_is_closed_without_ado_says_nothing(server):
    """In a process of its own: gRPC has one poller in a process, which brings what loops of other tests left."""
    server.late = FOR_EVER
    done = subprocess.run([sys.executable, "-c", ABRUPT, server.url], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class Generating(grpc.UnaryStreamClientInterceptor):
    """Hides the call, as tracing agents do."""

    def intercept_unary_stream(self, continuation, details, request):
        return (response for response in continuation(details, request))


@pytest.mark.parametrize("closing", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize(("way", "prompt"), [(generate, "error"), (iterate, "joined"), (drop, "separate")])
@in_time
def test_a_call_that_an_interceptor_hides_ends_by_itself(connect, server, monkeypatch, way, prompt, closing):
    original = Transport._connect
    monkeypatch.setattr(
        Transport, "_connect", lambda self: grpc.intercept_channel(original(self), Generating())
    )
    client = connect(server)
    with contextlib.suppress(InferenceError):
        way(client, prompt)
    if closing:
        client.close()
    assert server.ended() == [("itself", 0.0)]
    client.close()


@in_time
def test_closing_the_client_ends_at_once_what_is_still_read(connect, server):
    """Also where a call that ends by itself keeps the channel."""
    client = connect(server)
    stream = client.stream("middle")
    assert next(stream) == "one"
    with pytest.raises(InferenceError):
        client.generate("error")
    client.close()
    begin = time.monotonic()
    with pytest.raises(StreamClosedError, match="the client was closed"):
        list(stream)
    assert time.monotonic() - begin < 0.5
    assert {how for how, _ in server.ended(2)} == {"itself", "cancelled"}
