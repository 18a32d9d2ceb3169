"""Canaries: one test for each private name, or undocumented habit, of gRPC, tritonclient or Python that we rely on.

See `canary`. Each does on a real stream what the library does.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import grpc.experimental
import pytest
from canary import canary

from nupic_client._async import stream as async_stream
from nupic_client._async import transport as async_transport
from nupic_client._core.kserve import messages, wire
from nupic_client._grpc import async_ending, drain, fork, housekeeping, status
from nupic_client._grpc.call import StreamCall
from nupic_client._sync import transport
from nupic_client.testing import FakeTriton, raw, silence

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 10.0
"""Seconds for what should be done at once."""
STREAM = wire.method_path("ModelStreamInfer")


def request() -> Any:
    message = wire.pb.ModelInferRequest(model_name="gpt.streaming")
    text = message.inputs.add(name="text_input", datatype="BYTES", shape=[1])
    text.contents.bytes_contents.append(b"hi")
    return message


REQUEST = request()


def open_stream(channel: Any, deserializer: Any = None) -> Any:
    """Start a stream as the library does."""
    method = channel.unary_stream(
        STREAM,
        request_serializer=wire.pb.ModelInferRequest.SerializeToString,
        response_deserializer=deserializer,
    )
    return method(REQUEST, timeout=6 * PATIENCE)


@pytest.fixture
def server() -> Iterator[FakeTriton]:
    with FakeTriton(["one", silence()]) as server:
        yield server


@pytest.fixture
def channel(server: FakeTriton) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.url, [transport._SINGLE_THREADED]) as channel:
        yield channel


# --- the sync streams of grpcio


def test_a_stream_needs_no_other_thread(server: FakeTriton):
    with canary(
        "grpcio",
        "grpc.experimental.ChannelOptions.SingleThreadedUnaryStream",
        transport,
        "a thread of gRPC stands between the socket and the reader again, and a stream is ten times slower",
    ):
        before = set(threading.enumerate())
        option = grpc.experimental.ChannelOptions.SingleThreadedUnaryStream
        with grpc.insecure_channel(server.url, [(option, 1)]) as channel:
            stream = open_stream(channel)
            assert next(stream)
            new = {thread.name for thread in set(threading.enumerate()) - before}
            assert new == {"nupic_client.local"}  # the threads of the server, which is in this process
            stream.cancel()


def test_the_channel_of_grpc_is_known(channel: grpc.Channel):
    with canary(
        "grpcio",
        "the module of its channels, grpc._channel",
        transport,
        "each stream gets a channel of its own, as if an interceptor hid the calls",
    ):
        assert type(channel).__module__ == "grpc._channel"
        wrapped = grpc.intercept_channel(
            channel,
            type(
                "Idle",
                (grpc.UnaryStreamClientInterceptor,),
                {
                    "intercept_unary_stream": lambda self, go_on, details, request: go_on(details, request),
                },
            )(),
        )
        assert type(wrapped).__module__ != "grpc._channel"


def test_what_of_a_call_is_due(server: FakeTriton, channel: grpc.Channel):
    with canary(
        "grpcio",
        "call._state with its code and due",
        drain,
        "each stream that is left before its end costs 13 KB for ever",
    ):
        server.reply = ["one"]
        stream = open_stream(channel)
        next(stream)
        assert stream._state.code is None
        assert stream._state.due
        list(stream)
        assert stream._state.code is grpc.StatusCode.OK
        assert not stream._state.due


def test_the_last_events_of_a_call_that_was_cancelled_can_be_read(channel: grpc.Channel):
    with canary(
        "grpcio",
        "call._consume_next_event()",
        drain,
        "each stream that is left before its end costs 13 KB for ever",
    ):
        stream = open_stream(channel)
        next(stream)
        stream.cancel()
        read = 0
        while stream._state.due:
            assert read < 10
            stream._consume_next_event()
            read += 1
        assert read
        assert stream._state.code is grpc.StatusCode.CANCELLED


def test_a_call_that_grpc_gave_up_can_be_cancelled(server: FakeTriton, channel: grpc.Channel):
    with canary(
        "grpcio",
        "call._call.cancel(code, details)",
        drain,
        "after a message that could not be read the server generates on, for nobody",
    ):
        server.reply = ["one", raw(b"\xff\xff\xff"), silence()]
        stream = open_stream(channel, wire.pb.ModelStreamInferResponse.FromString)
        with pytest.raises(grpc.RpcError):
            list(stream)
        stream.cancel()  # does nothing now
        stream._call.cancel(grpc.StatusCode.CANCELLED.value[0], "left")
        server.wait_for_cancellation(timeout=PATIENCE)
        while stream._state.due:
            stream._consume_next_event()


def test_leaving_a_stream_reads_its_last_events(server: FakeTriton, channel: grpc.Channel):
    with canary(
        "grpcio",
        "how a call is cancelled and drained",
        drain,
        "each stream that is left before its end costs 13 KB for ever",
    ):
        stream, done, registration = open_stream(channel), threading.Event(), housekeeping.Registration()
        housekeeping.register(registration)
        next(stream)
        StreamCall(stream, channel).drain_once()
        housekeeping.submit(done.set)
        assert done.wait(PATIENCE)
        housekeeping.unregister(registration)
        assert not stream._state.due
        server.wait_for_cancellation(timeout=PATIENCE)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="signals of users are POSIX")
def test_events_of_an_interrupted_wait_can_be_forgotten(channel: grpc.Channel):
    def ring(*_: object) -> None:
        raise ZeroDivisionError

    before = signal.signal(signal.SIGUSR1, ring)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        with canary(
            "grpcio",
            "call._state.due after an exception of a signal in the wait",
            drain,
            "Ctrl-C while a stream is read can hang or crash the process",
        ):
            stream = open_stream(channel)
            next(stream)
            timer.start()
            with pytest.raises(ZeroDivisionError):
                next(stream)
            assert stream._state.due  # though gRPC has freed the queue they would come from
            drain.discard_events(stream)
            assert not stream._state.due
            drain.drain(stream)
    finally:
        if timer.ident is not None:
            timer.join()  # before the handler goes: the signal would end the process
        signal.signal(signal.SIGUSR1, before)


def test_a_closed_channel_raises_value_error(server: FakeTriton):
    channel = grpc.insecure_channel(server.url, [transport._SINGLE_THREADED])
    unary = channel.unary_unary(wire.method_path("ServerLive"), request_serializer=wire.serialize)
    channel.close()
    with canary(
        "grpcio",
        "the ValueError of a channel that is closed",
        transport,
        "who closes a client in another thread gets an exception of gRPC instead of a ConfigurationError",
    ):
        for start in (lambda: open_stream(channel), lambda: unary.future(wire.pb.ServerLiveRequest())):
            with pytest.raises(ValueError, match="closed"):
                start()


def test_bytes_that_are_no_message_are_told_in_these_words(server: FakeTriton, channel: grpc.Channel):
    with canary(
        "grpcio",
        "the words 'Exception deserializing response!'",
        status,
        "an answer that cannot be read is an InferenceError of the server instead of a ProtocolError",
    ):
        server.reply = [raw(b"\xff\xff\xff")]
        stream = open_stream(channel, wire.pb.ModelStreamInferResponse.FromString)
        with pytest.raises(grpc.RpcError):
            list(stream)
        assert stream.details() == status._UNREADABLE


# --- grpc.aio


def test_a_read_that_this_side_cancels_raises_cancelled_error(server: FakeTriton):
    async def main() -> None:
        async with grpc.aio.insecure_channel(server.url) as channel:
            stream = open_stream(channel)
            assert await stream.read()
            asyncio.get_running_loop().call_later(0.05, stream.cancel)
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(asyncio.shield(stream.read()), PATIENCE)

    with canary(
        "grpcio",
        "the CancelledError of a grpc.aio call that this side cancels",
        async_stream,
        "deadlines and aclose() of async streams end in another exception than they promise",
    ):
        asyncio.run(main())


def test_an_async_stream_gives_bytes_and_its_end(server: FakeTriton):
    async def main() -> None:
        server.reply = ["one"]
        async with grpc.aio.insecure_channel(server.url) as channel:
            stream = open_stream(channel)
            while (data := await stream.read()) is not grpc.aio.EOF:
                assert wire.pb.ModelStreamInferResponse.FromString(data).infer_response.model_name

    with canary(
        "grpcio",
        "the EOF of a grpc.aio stream without a deserializer",
        async_stream,
        "async streams cannot be read",
    ):
        asyncio.run(main())


def test_an_async_answer_that_cannot_be_read_is_none(server: FakeTriton):
    def broken(_data: bytes) -> None:
        raise ValueError

    async def main() -> None:
        async with grpc.aio.insecure_channel(server.url) as channel:
            method = channel.unary_unary(
                wire.method_path("ServerLive"),
                request_serializer=wire.serialize,
                response_deserializer=broken,
            )
            assert await method(wire.pb.ServerLiveRequest(), timeout=PATIENCE) is None

    with canary(
        "grpcio",
        "the None that grpc.aio gives for bytes that it cannot read",
        async_transport,
        "an answer that cannot be read is not a ProtocolError for async calls",
    ):
        asyncio.run(main())


# --- Python


def test_a_thing_can_be_kept_for_ever():
    class Thing:
        pass

    with canary(
        "Python",
        "ctypes.pythonapi.Py_IncRef",
        fork,
        "the end of a forked child closes the connections of its parent",
    ):
        thing = Thing()
        kept = weakref.ref(thing)
        before = sys.getrefcount(thing)
        fork.leak(thing)
        assert sys.getrefcount(thing) == before + 1
        del thing
        gc.collect()
        assert kept() is not None
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(kept()))
    assert kept() is None


def test_nothing_is_said_of_a_task_whose_loop_was_closed(caplog: pytest.LogCaptureFixture):
    async def main(*, quiet: bool) -> None:
        task = asyncio.get_running_loop().create_task(asyncio.sleep(60))
        if quiet:
            task._log_destroy_pending = False  # type: ignore[attr-defined]

    with canary(
        "Python",
        "task._log_destroy_pending",
        async_ending,
        "a loop that is closed while a call ends logs that a task was destroyed",
    ):
        for quiet, said in ((True, 0), (False, 1)):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(main(quiet=quiet))
            loop.close()
            del loop
            gc.collect()
            assert sum("destroyed" in record.message for record in caplog.records) == said


# --- tritonclient


def test_the_descriptors_can_be_read_from_the_generated_modules(server: FakeTriton):
    script = f"""if True:
        import sys, grpc
        from nupic_client._core.kserve import messages, wire
        assert not [name for name in sys.modules if name.startswith("tritonclient")], sys.modules
        with grpc.insecure_channel({server.url!r}) as channel:
            method = channel.unary_unary(
                wire.method_path("ModelConfig"),
                request_serializer=wire.serialize,
                response_deserializer=wire.pb.ModelConfigResponse.FromString,
            )
            answer = method(wire.pb.ModelConfigRequest(name="gpt.streaming"), timeout=20)
        assert answer.config.model_transaction_policy.decoupled
        from tritonclient.grpc import service_pb2
        for theirs in (service_pb2, service_pb2.model__config__pb2):
            ours = wire.pb if theirs is service_pb2 else wire.pb.model__config__pb2
            assert ours.DESCRIPTOR.serialized_pb == theirs.DESCRIPTOR.serialized_pb
            assert ours.DESCRIPTOR.pool is not theirs.DESCRIPTOR.pool
    """
    with canary(
        "tritonclient",
        "the descriptors that are constants of grpc/service_pb2.py and grpc/model_config_pb2.py",
        messages,
        "importing nupic_client fails",
    ):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr[-500:]
