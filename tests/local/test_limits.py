"""What clients may ask of a server: more is refused with an error that says so, and health is told throughout."""

import threading
import time

import grpc
import pytest
from local.raw_client import HeldOpen, RawClient, request, text_of

from nupic_client import (
    ConfigurationError,
    OverloadedError,
    RequestRejectedError,
    RetryPolicy,
    ServerClient,
    StreamingClient,
)
from nupic_client._core.kserve import wire
from nupic_client.local import ServerLimits
from nupic_client.local.kserve.admission import AdmissionQueue, QueueFull
from nupic_client.local.kserve.limits import UNLIMITED
from nupic_client.testing import FakeTriton, silence, text_signature

PATIENCE = 30.0


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.01)


def status_of(call, *arguments, **options):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    return caught.value.code().name, caught.value.details()


def waiting(server):
    """Return how many requests stand before the models of a server."""
    return len(server._server._handler._admission._queue)


def limited(reply=("ok",), **limits):
    return FakeTriton(reply, limits=ServerLimits(**limits))


# --- size


@pytest.mark.slow
@pytest.mark.parametrize("compression", list(grpc.Compression), ids=str)
def test_a_request_that_is_too_large_is_refused_also_if_it_comes_compressed(compression):
    with limited(max_request_bytes=1 << 20) as server, RawClient(server.url) as client:
        assert client.text(request("x" * 1_000_000)) == "ok"
        code, text = status_of(list, client.stream(request("x" * 100_000_000), compression=compression))
        assert code == "RESOURCE_EXHAUSTED"
        assert "essage larger than max" in text
        assert len(server.requests) == 1


def test_what_the_client_makes_of_that():
    with limited(max_request_bytes=1 << 20) as server, StreamingClient("gpt.streaming", server.url) as client:
        with pytest.raises(RequestRejectedError, match="larger than max") as caught:
            client.generate("x" * 2_000_000)
        assert (len(caught.value.attempts), caught.value.retryable) == (1, False)


# --- how many run and wait


@pytest.fixture
def busy():
    """A server that works on one request, lets one wait, and is busy with both."""
    with limited([silence()], max_running=1, max_waiting=1) as server, RawClient(server.url) as client:
        calls = [client.stream(request(request_id="runs"))]
        server.wait_for_requests(1)
        calls.append(client.stream(request(request_id="waits")))
        wait_until(lambda: waiting(server) == 1, "waiting")
        yield server, client, calls


FULL = "[request id: r1] Exceeds maximum queue size: 1 run and 1 wait; try again later"


def test_what_is_too_much_is_refused_at_once_in_the_stream(busy):
    _, client, _ = busy
    (message,) = client.stream(request())
    assert (message.error_message, message.infer_response.id) == (FULL, "r1")


def test_what_is_too_much_is_refused_at_once_without_a_stream(busy):
    _, client, _ = busy
    assert status_of(client.unary, "ModelInfer", request(model="gpt")) == ("UNAVAILABLE", FULL)


def test_questions_are_answered_whatever_the_models_are_busy_with(busy):
    server, client, _ = busy
    assert client.unary("ModelConfig", name="gpt").config.name == "gpt"
    with ServerClient(server.url) as asking:
        assert asking.is_live()
        assert asking.is_ready()
        assert asking.is_model_ready("gpt.streaming")
        assert asking.models()


def test_a_request_that_does_not_fit_is_told_so_and_does_not_wait(busy):
    _, client, _ = busy
    (message,) = client.stream(request(model="nope"))
    assert "unknown model" in message.error_message


def test_who_waits_comes_next(busy):
    server, _, calls = busy
    server.reply = ["next"]
    calls[0].cancel()
    assert b"".join(map(text_of, calls[1])) == b"next"
    assert waiting(server) == 0


def test_who_leaves_the_line_makes_place(busy):
    server, client, calls = busy
    calls[1].cancel()
    wait_until(lambda: waiting(server) == 0, "leaving")
    call = client.stream(request())
    wait_until(lambda: waiting(server) == 1, "waiting")
    assert len(server.requests) == 3
    call.cancel()


def test_stopping_ends_those_that_wait(busy):
    server, _, calls = busy
    server.stop()
    assert [status_of(list, call)[0] for call in calls] == ["UNAVAILABLE"] * 2


def test_the_client_tries_again_later(busy):
    server, _, calls = busy
    with StreamingClient("gpt.streaming", server.url, max_retries=RetryPolicy(max_retries=0)) as client:
        with pytest.raises(OverloadedError, match="has no capacity for this now") as caught:
            client.generate("hi")
    assert caught.value.retryable
    assert caught.value.server_message.endswith("try again later")
    server.reply = ["in the end"]
    seen = len(server.requests)

    def make_room():
        server.wait_for_requests(seen + 2, timeout=PATIENCE)
        for call in calls:
            call.cancel()

    room = threading.Thread(target=make_room)
    room.start()
    many = RetryPolicy(max_retries=100, initial_backoff=0.2, max_backoff=0.2)
    with StreamingClient("gpt.streaming", server.url, max_retries=many) as client:
        generation = client.generate("hi")
    room.join()
    assert generation.text == "in the end"
    assert len(generation.attempts) > 1


def test_requests_of_one_stream_are_taken_one_after_the_other_when_there_are_too_many():
    """Else each of them would have a thread, and most of them a status_error."""
    requests = [request(request_id=str(number)) for number in range(50)]
    with limited(max_running=1, max_waiting=1) as server, RawClient(server.url) as client:
        answers = list(client.streams(requests))
    assert {answer.error_message for answer in answers} == {""}
    assert {answer.infer_response.id for answer in answers} == {str(number) for number in range(50)}


def test_a_stream_that_ends_while_requests_are_left():
    held = HeldOpen()
    with limited([silence()], max_running=1, max_waiting=0) as server, RawClient(server.url) as client:
        call = client.streams(held)
        for number in range(5):
            held.send(request(request_id=str(number)))
        server.wait_for_requests(1)
        call.cancel()
        server.wait_for_cancellation()
        held.close()
        server.reply = ["free"]
        wait_until(lambda: server._server._handler._admission._running == 0, "leaving")
        assert client.text(request()) == "free"
        assert len(server.requests) == 2


def test_a_failure_gives_the_place_back():
    def broken(_request):
        raise ValueError("oops")

    with limited(broken, max_running=1, max_waiting=0) as server, RawClient(server.url) as client:
        for _ in range(3):
            (answer,) = client.stream(request())
            assert "oops" in answer.error_message
        assert server._server._handler._admission._running == 0


def test_the_line_is_served_in_its_order():
    queue = AdmissionQueue(1, 5)
    order, threads = [], []

    def pass_through(number):
        with queue.admitted(threading.Event()) as came:
            assert came
            order.append(number)

    with queue.admitted(threading.Event()):
        for number in range(5):
            threads.append(threading.Thread(target=pass_through, args=(number,)))
            threads[-1].start()
            wait_until(lambda number=number: len(queue._queue) == number + 1, "waiting")
        with pytest.raises(QueueFull, match="1 run and 5 wait"), queue.admitted(threading.Event()):
            pytest.fail("it came through")
    for thread in threads:
        thread.join()
    assert order == list(range(5))


# --- calls and connections


def test_calls_that_are_open_are_counted():
    held = HeldOpen()
    with limited(max_calls=2) as server, RawClient(server.url) as client:
        calls = [client.streams(held) for _ in range(2)]
        wait_until(lambda: len(server._server._servicer._running) == 2, "opening")
        code, text = status_of(list, client.stream(request()))
        assert code == "RESOURCE_EXHAUSTED"
        assert text == "this server takes at most 2 inference calls at a time; try again later"
        assert status_of(client.unary, "ModelInfer", request(model="gpt"))[0] == "RESOURCE_EXHAUSTED"
        assert client.unary("ServerReady").ready
        calls[0].cancel()
        wait_until(lambda: len(server._server._servicer._running) < 2, "closing")
        assert client.text(request()) == "ok"
        held.close()


def test_connections_are_counted():
    with limited(max_connections=1) as server:
        with RawClient(server.url) as first:
            assert first.unary("ServerLive").live
            with grpc.insecure_channel(server.url, options=[("grpc.use_local_subchannel_pool", 1)]) as other:
                live = other.unary_unary(wire.method_path("ServerLive"))
                assert status_of(live, b"", timeout=PATIENCE)[0] == "UNAVAILABLE"
        with ServerClient(server.url) as client:
            wait_until(client.is_live, "another connection")


# --- clients that do not read


def test_a_client_that_does_not_read_loses_its_place():
    with limited(max_running=1, max_waiting=0, read_timeout=0.3) as server, RawClient(server.url) as client:
        server.reply = ["x" * (1 << 20)] * 100
        call = client.stream(request())  # the transport takes a few of them
        server.wait_for_cancellation(timeout=PATIENCE)
        server.reply = ["next"]
        wait_until(lambda: server._server._handler._admission._running == 0, "leaving")
        assert client.text(request()) == "next"
        assert status_of(list, call)[0] == "CANCELLED"


def test_a_client_that_reads_slowly_gets_everything():
    chunks = ["x" * (1 << 20)] * 12
    with limited(max_running=1, read_timeout=5.0) as server, RawClient(server.url) as client:
        server.reply = chunks
        got = []
        for message in client.stream(request()):
            got.append(text_of(message))
            time.sleep(0.02)
    assert b"".join(got).decode() == "".join(chunks)


# --- requests that are made to be hard


@pytest.mark.slow
def test_many_inputs_are_refused_as_fast_as_few():
    message = request(model="gpt")
    for number in range(150_000):
        message.inputs.add(name=f"{number}", datatype="BYTES", shape=[1])
        message.raw_input_contents.append(b"\0\0\0\0")
    with (
        FakeTriton(models=[text_signature("gpt", decoupled=True)]) as server,
        RawClient(server.url) as client,
    ):
        (answer,) = client.stream(message)  # within the client's minute
        assert "expected number of inputs between" in answer.error_message


@pytest.mark.parametrize("version", ["9" * 1_000_000, "-" + "9" * 1_000_000, "1" * 20])
def test_a_version_of_a_million_digits_is_none(version):
    with FakeTriton() as server, RawClient(server.url) as client:
        (answer,) = client.stream(request(version=version))
        assert "version should be an integral value > 0" in answer.error_message


@pytest.mark.parametrize("version", ["1", "0" * 1_000_000 + "1", "+0001"])
def test_zeros_before_a_version_are_nothing(version):
    with FakeTriton() as server, RawClient(server.url) as client:
        assert client.text(request(version=version)) == "Hello, world!"


# --- the values themselves


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_request_bytes": 0},
        {"max_running": 0},
        {"max_waiting": -1},
        {"max_waiting": None},
        {"max_calls": 1.5},
        {"max_connections": True},
        {"max_tokens": 0},
        {"max_tokens": 2**31},
        {"read_timeout": 0},
        {"read_timeout": float("nan")},
        {"read_timeout": "1"},
    ],
    ids=str,
)
def test_a_bound_out_of_its_range_is_an_error_that_names_it(wrong):
    with pytest.raises(ConfigurationError, match=f"^{next(iter(wrong))} must be"):
        ServerLimits(**wrong)


def test_there_are_bounds_by_default_and_none_in_tests():
    usual = ServerLimits()
    assert None not in (usual.max_request_bytes, usual.max_running, usual.max_calls, usual.max_connections)
    assert UNLIMITED.max_on_stream is None
    with FakeTriton() as server, RawClient(server.url) as client:
        assert client.text(request("x" * 10_000_000)) == "Hello, world!"
