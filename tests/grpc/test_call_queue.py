"""Many calls over one completion queue: each ends once, waits end, and leaving it ends all of them."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest
from canary import canary
from inference.tensor_server import TensorServer, signature

from nupic_client import (
    ConfigurationError,
    InferenceClient,
    ModelSignature,
    NupicError,
    StreamClosedError,
    TensorSpec,
)
from nupic_client._core.kserve import wire
from nupic_client._grpc import call_queue, housekeeping, queued_stream
from nupic_client._grpc.call_queue import CallQueue, can_queue, path_of
from nupic_client._grpc.queued_call import QueuedCallError
from nupic_client._grpc.queued_stream import QueuedStream, can_queue_streams
from nupic_client.testing import FakeTriton, abort, silence, sleep

INFER = path_of("ModelInfer")


def message(name="m", request_id="r"):
    request = wire.pb.ModelInferRequest(model_name=name, id=request_id)
    request.inputs.add(name="x", datatype="INT32", shape=[1])
    request.raw_input_contents.append(bytes(4))
    return request.SerializeToString()


@pytest.fixture
def server():
    with TensorServer(signature("m", {"x": ("INT32", (-1,))})) as server:
        yield server


def queue_to(url):
    queue = CallQueue(grpc.insecure_channel(url))
    queue.take()
    yield queue
    if not queue.abandoned:
        queue.abandon()


@pytest.fixture
def calls(server):
    yield from queue_to(server.url)


@pytest.fixture
def silent():
    """Calls to a server that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        queue = CallQueue(grpc.insecure_channel(f"127.0.0.1:{listener.getsockname()[1]}"))
        queue.take()
        yield queue
        if not queue.abandoned:
            queue.abandon()


def test_each_call_ends_once_with_its_work(calls):
    for number in range(50):
        calls.start(INFER, message(request_id=str(number)), 20.0, (("a", "b"),), number)
    ended = [calls.wait() for _ in range(50)]
    assert sorted(call.work for call in ended) == list(range(50))
    for call in ended:
        assert wire.pb.ModelInferResponse.FromString(call.response).id == str(call.work)
        assert call.code() is grpc.StatusCode.OK
    assert calls.running == 0
    assert calls.wait() is None


def test_a_failure_is_what_grpc_says(calls):
    calls.start(b"/nope/Nope", message(), 20.0, (), "work")
    call = calls.wait()
    error = QueuedCallError(call)
    assert (call.work, call.response) == ("work", None)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "Method not found" in error.details()
    assert error.details() in str(error)
    assert isinstance(error.trailing_metadata(), tuple)


def test_a_deadline_ends_a_call(silent):
    silent.start(INFER, message(), 0.05, (), 1)
    call = silent.wait()
    assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("running", [0, 1])
def test_a_wait_ends_after_its_time(silent, running):
    for _ in range(running):
        silent.start(INFER, message(), None, (), 1)
    start = time.monotonic()
    assert silent.wait(0.05) is None
    assert time.monotonic() - start >= 0.04
    assert silent.wait(0.0) is None
    assert silent.running == running


def test_a_shorter_wait_counts_after_a_longer_one(silent):
    silent.start(INFER, message(), None, (), 1)
    threading.Timer(0.05, silent._calls.copy().pop().call.cancel, (1, "")).start()
    assert silent.wait(600.0).work == 1
    silent.start(INFER, message(), None, (), 2)
    assert silent.wait(0.05) is None
    assert silent.wait(0.0) is None
    assert silent.running == 1


def test_what_was_closed_is_not_waited_for(silent):
    silent.start(INFER, message(), None, (), 1)
    silent.abandon()
    silent.abandon()
    for timeout in (None, 0.0, 0.01):
        assert silent.wait(timeout) is None
    assert silent._alarm is None


def test_a_call_that_ends_ends_the_wait_before_its_time(calls):
    calls.start(INFER, message(), 20.0, (), 1)
    assert calls.wait(600.0).work == 1
    calls.abandon()  # with the alarm still set


def test_an_alarm_of_an_earlier_wait_does_not_hold_up_a_shorter_one(calls):
    calls.start(INFER, message(), 20.0, (), 1)
    assert calls.wait(600.0).work == 1
    start = time.monotonic()
    assert calls.wait(0.0) is None
    calls.start(INFER, message(), 20.0, (), 2)
    assert calls.wait(600.0).work == 2
    assert calls.wait(0.05) is None
    assert 0.04 <= time.monotonic() - start < 20


def test_an_alarm_of_an_earlier_wait_does_not_end_a_longer_one(silent):
    assert silent.wait(0.0) is None
    silent.start(INFER, message(), 0.3, (), 1)
    silent._set_alarm(time.monotonic() + 0.05)
    assert silent.wait(20.0).work == 1


def test_waiting_with_a_limit_after_all_is_over_is_no_error(silent):
    silent.start(INFER, message(), None, (), 1)
    silent.abandon()
    assert silent.wait(20.0) is None


def test_leaving_wakes_the_thread_that_waits(silent):
    silent.start(INFER, message(), None, (), 1)
    found = []
    thread = threading.Thread(target=lambda: found.append(silent.wait()))
    thread.start()
    while not silent._waiting.locked():
        time.sleep(0.001)
    silent.abandon()
    thread.join(20)
    assert not thread.is_alive()
    assert [call and call.code() for call in found] == [grpc.StatusCode.CANCELLED]
    assert silent.wait() is None
    with pytest.raises(ValueError, match="Cannot invoke"):
        silent.start(INFER, message(), None, (), 2)


def test_what_was_left_cannot_be_used_again(silent):
    silent.start(INFER, message(), None, (), 1)
    assert not silent.give_back()
    silent.abandon()
    assert not silent.give_back()


def test_a_queue_that_is_done_can_be_used_again(calls):
    for _ in range(3):
        calls.take()
        calls.start(INFER, message(), 20.0, (), 1)
        calls.wait()
        assert calls.give_back()


def test_only_channels_of_grpc_itself_become_queues(server):
    class Nothing(grpc.UnaryUnaryClientInterceptor):
        def intercept_unary_unary(self, continuation, details, request):
            return continuation(details, request)

    with grpc.insecure_channel(server.url) as channel:
        assert can_queue(channel)
        assert not can_queue(grpc.intercept_channel(channel, Nothing()))
    assert not can_queue(object())


def test_the_private_names_of_grpc(calls):
    with canary(
        "grpcio",
        "grpc._cython.cygrpc.Channel.integrated_call, next_call_event and close_on_fork",
        call_queue,
        "InferenceClient.map and embed must use futures: twice the processor time",
    ):
        calls.start(INFER, message(), 20.0, (), 1)
        assert calls.wait().response
        calls.start(INFER, message(), 20.0, (), 2)
        calls.abandon()


class Taking:
    """Takes the messages of a stream."""

    reported = False
    patience = 0.0

    def __init__(self, enough=100):
        self.messages = []
        self.enough = enough

    def receive(self, message):
        self.messages.append(message)
        self.reported = len(self.messages) == self.enough
        return self.reported


@pytest.fixture
def texts():
    with FakeTriton(["one", "two", "three"]) as server:
        yield server


@pytest.fixture
def streams(texts):
    yield from queue_to(texts.url)


STREAM = path_of("ModelStreamInfer")


def prompt(number=0):
    request = wire.pb.ModelInferRequest(model_name="gpt.streaming", id=str(number))
    request.inputs.add(name="text_input", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(b"\x01\0\0\0a")
    return request.SerializeToString()


def text_of(message):
    return (
        wire.pb.ModelStreamInferResponse.FromString(message)
        .infer_response.raw_output_contents[0][4:]
        .decode()
    )


def test_each_stream_ends_once_with_all_its_messages(streams):
    for number in range(20):
        streams.start(STREAM, prompt(number), 20.0, (), Taking(), QueuedStream)
    ended = [streams.wait() for _ in range(20)]
    assert len({id(call) for call in ended}) == 20
    for call in ended:
        assert call.over
        assert call.code() is grpc.StatusCode.OK
        assert [text_of(message) for message in call.work.messages] == ["one", "two", "three"]
    assert streams.running == 0


def test_a_stream_that_has_enough_is_reported_at_once_and_ends_later(streams):
    call = streams.start(STREAM, prompt(), 20.0, (), Taking(enough=2), QueuedStream)
    assert streams.wait() is call
    assert not call.over
    assert streams.running == 1
    assert streams.wait(20.0) is None or call.over
    while streams.running:
        assert streams.wait(0.1) is None  # it is not reported again
    assert call.over


def test_a_stream_that_fails_says_what_grpc_says(texts, streams):
    texts.reply = ["one", abort("RESOURCE_EXHAUSTED", "full")]
    call = streams.start(STREAM, prompt(), 20.0, (), Taking(), QueuedStream)
    assert streams.wait() is call
    assert (call.code(), call.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
    assert len(call.work.messages) == 1


def test_a_stream_that_is_cancelled_ends(texts, streams):
    texts.reply = ["one", silence()]
    call = streams.start(STREAM, prompt(), 20.0, (), Taking(), QueuedStream)
    assert streams.wait(0.2) is None
    call.cancel()
    assert streams.wait() is call
    assert call.code() is grpc.StatusCode.CANCELLED
    texts.wait_for_cancellation()


def test_streams_whose_answer_may_be_complete_get_their_time(texts, streams):
    texts.reply = ["one", sleep(0.2), "two"]
    patient, other = Taking(), Taking()
    patient.patience = 20.0
    for work in (patient, other):
        streams.start(STREAM, prompt(), 20.0, (), work, QueuedStream)
    while not (patient.messages and other.messages):
        streams.wait(0.05)
    streams.abandon_soon()
    assert len(texts.wait_for_cancellation(timeout=20.0)) == 1


def test_the_private_names_of_grpc_for_streams(streams):
    with canary(
        "grpcio",
        "grpc._cython.cygrpc.IntegratedCall.operate",
        queued_stream,
        "StreamingClient.map must read each stream by a thread: four times the processor time",
    ):
        streams.start(STREAM, prompt(), 20.0, (), Taking(), QueuedStream)
        assert can_queue_streams()
        assert len(streams.wait().work.messages) == 3


PROGRAM = """
import contextlib, gc, socket, sys, threading, time
from nupic_client import InferenceClient, ModelSignature, NupicError, TensorSpec

listener = socket.create_server(("127.0.0.1", 0))
url = "127.0.0.1:%d" % listener.getsockname()[1]
spec = {"x": TensorSpec("x", "INT32", (-1,))}
client = InferenceClient("m", url, signature=ModelSignature("m", spec, spec))
results = client.map([[1], [2]], concurrency=2)
def read():
    with contextlib.suppress(NupicError):
        next(results)

reader = threading.Thread(target=read, daemon=True)
reader.start()
while not results._calls or results._calls._queue.running < 2:
    time.sleep(0.001)
"""
ENDS = {
    "as it is": "",
    "closed": "results.close()",
    "the client closed": "client.close()",
    "dropped": "del results, client, reader; gc.collect()",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_program_ends_while_calls_run(end):
    code = f"{PROGRAM}\n{end}\nprint('end')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


INTERRUPTED = PROGRAM.replace("reader.start()", "").replace(
    "while not results._calls or results._calls._queue.running < 2:\n    time.sleep(0.001)\n",
    """
try:
    print("waiting", flush=True)
    next(results)
except KeyboardInterrupt:
    print("interrupted", flush=True)
client.close()
""",
)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_the_wait():
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "waiting\n"
        end = time.monotonic() + 60
        lines = []
        reader = threading.Thread(target=lambda: lines.append(process.stdout.readline()))
        reader.start()
        while reader.is_alive() and time.monotonic() < end:
            process.send_signal(signal.SIGINT)
            reader.join(0.5)
        assert lines == ["interrupted\n"]
        assert process.wait(60) == 0


@pytest.mark.parametrize("end", ["client", "results"])
def test_a_reader_who_comes_when_all_is_over_is_told_so(end):
    """Who cancels the calls takes in their events too: the reader would wait for ever, or never rest."""
    spec = {"x": TensorSpec("x", "INT32", (-1,))}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"127.0.0.1:{listener.getsockname()[1]}"
        client = InferenceClient("m", url, signature=ModelSignature("m", spec, spec))
        results = client.map([[1], [2]], concurrency=2)

        def read():
            with contextlib.suppress(NupicError):
                next(results)

        reader = threading.Thread(target=read)
        reader.start()
        while not results._calls or results._calls._queue.running < 2:
            time.sleep(0.001)
        calls, queue = results._calls, results._calls._queue
        if end == "client":
            client.close()
        else:
            results.close()
        reader.join(20)
        assert not reader.is_alive()
        end_at = time.monotonic() + 20
        while not (queue.abandoned and not queue.running):
            assert time.monotonic() < end_at
            time.sleep(0.001)
        with pytest.raises(ConfigurationError if end == "client" else StreamClosedError):
            calls.wait(None)
        client.close()


FORK = """
import gc, os, sys
from nupic_client import (
    ConfigurationError,
    InferenceClient,
    ModelSignature,
    NupicError,
    StreamClosedError,
    TensorSpec,
)

client = InferenceClient("m", sys.argv[1])
results = client.map([[1], [2], [3]], concurrency=3)
assert next(results).only.tolist() == [1]
list(client.map([[1]]))  # leaves a queue behind
pid = os.fork()
found = [result.only.tolist() for result in client.map([[7], [8]])]
gc.collect()
if pid:
    assert os.waitpid(pid, 0)[1] == 0
    assert [result.only.tolist() for result in results] == [[2], [3]]
print(found, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_child_has_queues_of_its_own(server):
    """In a program of its own: a process that has made async calls cannot be forked."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[[7], [8]]\n" * 2, "")


def test_queues_are_used_again_and_two_at_once_have_one_each(server):
    with InferenceClient("m", server.url) as client:
        for _ in range(5):
            list(client.map([[1]] * 3))
        assert len(client._transport._queues) == 1
        one, other = client.map([[1]] * 3), client.map([[2]] * 3)
        assert [(first.only[0], second.only[0]) for first, second in zip(one, other, strict=True)] == [
            (1, 2)
        ] * 3
        assert len(client._transport._queues) == 2


def test_leaving_what_is_done_leaves_the_next_reader_alone(server):
    with InferenceClient("m", server.url) as client:
        results = client.map([[1]] * 3)
        first = next(results)
        calls = results._calls
        assert [first.only[0], *(result.only[0] for result in results)] == [1] * 3
        following = client.map([[2]] * 3)
        assert next(following).only[0] == 2
        assert following._calls._queue is calls._queue
        calls.leave()  # as another thread does that saw the map still running
        done = threading.Event()
        housekeeping.submit(housekeeping.submit, done.set)
        assert done.wait(20)
        assert [result.only[0] for result in following] == [2, 2]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="Linux")
def test_a_dropped_client_closes_its_connection_without_garbage_collection(server):
    def connections():
        with InferenceClient("m", server.url) as other:
            other.infer([1])
        return len(list(Path("/proc/self/fd").iterdir()))

    before = connections()
    gc.disable()
    try:
        for _ in range(5):
            client = InferenceClient("m", server.url)
            list(client.map([[1]] * 3))
            del client
        end = time.monotonic() + 20
        while connections() > before + 2:
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        gc.enable()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["interrupted_maps.py", "interrupted_prompts.py"])
def test_an_interrupt_at_any_place_of_a_map(name):
    # Coverage would want the trace function for itself.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    tests = Path(__file__).parents[1]
    environment["PYTHONPATH"] = os.pathsep.join([str(tests), *sys.path])
    program = str(tests / "grpc" / name)
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=110, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    count, word = done.stdout.split()
    assert word == "places"
    assert int(count) > 300, "the places to interrupt were not found"
