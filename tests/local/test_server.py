"""The life of a server: its address, its threads, its end."""

import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import grpc
import pytest
from local.raw_client import RawClient, request, text_of

from nupic_client.errors import ConfigurationError
from nupic_client.local.engine import ServedModel
from nupic_client.local.kserve import executor as executor_module
from nupic_client.local.kserve.executor import DaemonExecutor
from nupic_client.local.kserve.repository import Repository
from nupic_client.local.kserve.response_queue import ResponseQueue
from nupic_client.local.kserve.server import InferenceServer
from nupic_client.testing import FakeTriton, silence, sleep, text_signature


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_port_in_use_is_an_error_that_names_it():
    with FakeTriton() as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(
            ConfigurationError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*Choose another port"
        ):
            FakeTriton(port=port).start()


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("no such host", 0)])
def test_an_address_that_is_not_of_this_machine_is_an_error(host, port):
    with pytest.raises(ConfigurationError, match=f"cannot listen on {host}:{port}"):
        FakeTriton(host=host, port=port).start()


def test_a_port_that_is_none_is_an_error():
    with pytest.raises(
        ConfigurationError, match="port must be an integer from 0 to 65535, not 70000"
    ) as caught:
        FakeTriton(port=70000).start()
    assert caught.value.parameter == "port"


def test_a_server_can_be_started_again_on_the_same_port():
    port = free_port()
    for text in ("first", "second"):
        with FakeTriton([text], port=port) as server, RawClient(server.url) as client:
            assert server.url == f"127.0.0.1:{port}"
            assert client.text(request()) == text


def test_an_address_for_all_interfaces_gives_a_url_to_connect_to():
    with FakeTriton(["a"], host="0.0.0.0") as server, RawClient(server.url) as client:
        assert server.url.startswith("127.0.0.1:")
        assert client.text(request()) == "a"


def test_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with FakeTriton(["a"], host="::1") as server, RawClient(server.url) as client:
        assert server.url.startswith("[::1]:")
        assert client.text(request()) == "a"


def test_stopping_ends_what_is_running_with_unavailable():
    with FakeTriton(["a", silence()]) as server, RawClient(server.url) as client:
        call = client.stream(request())
        next(call)
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 1.0
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        server.wait_for_cancellation()
        server.stop()


def test_stopping_ends_unary_calls():
    with FakeTriton([silence()]) as server, RawClient(server.url) as client:
        errors = []

        def call():
            try:
                client.unary("ModelInfer", request(model="gpt"))
            except grpc.RpcError as error:
                errors.append(error.code())

        thread = threading.Thread(target=call)
        thread.start()
        server.wait_for_requests()
        server.stop()
        thread.join()
        assert errors == [grpc.StatusCode.UNAVAILABLE]


def test_stopping_with_grace_lets_calls_finish():
    with FakeTriton(["a", sleep(0.3), "b"]) as server, RawClient(server.url) as client:
        call = client.stream(request(marker=False))
        first = next(call)
        server.stop(grace=20)
        assert b"".join(map(text_of, [first, *call])) == b"ab"


def test_grace_is_not_endless():
    with FakeTriton(["a", silence()]) as server, RawClient(server.url) as client:
        call = client.stream(request())
        next(call)
        server.stop(grace=0.1)
        with pytest.raises(grpc.RpcError):
            next(call)


def test_waiting_for_the_end():
    server = InferenceServer(Repository([]))
    assert server.wait()
    server.start()
    assert not server.wait(0.01)
    stopper = threading.Timer(0.05, server.stop)
    stopper.start()
    assert server.wait(10)
    stopper.join()


def test_no_thread_keeps_the_interpreter_alive():
    with FakeTriton(["a", silence()]) as server, RawClient(server.url) as client:
        call = client.stream(request())
        next(call)
        assert [thread for thread in threading.enumerate() if not thread.daemon] == [threading.main_thread()]
        call.cancel()


def test_a_script_that_never_stops_its_server_ends_quietly():
    script = """if True:
        import grpc
        from nupic_client.testing import FakeTriton, silence
        from nupic_client._core.kserve import wire
        server = FakeTriton(["a", silence()]).start()
        call = grpc.insecure_channel(server.url).unary_stream(wire.method_path("ModelStreamInfer"))
        message = wire.pb.ModelInferRequest(model_name="gpt.streaming")
        text = message.inputs.add(name="text_input", datatype="BYTES", shape=[1])
        text.contents.bytes_contents.append(b"x")
        stream = call(message.SerializeToString())
        next(stream)
        raise SystemExit(3)
    """
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, b"", b"")


def test_an_executor_hands_on_results_and_faults():
    executor = DaemonExecutor()
    assert executor.submit(divmod, 7, 2).result(10) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        executor.submit(divmod, 7, 0).result(10)


def test_an_executor_does_not_run_what_was_cancelled():
    future = Future()
    future.cancel()
    executor_module._run(future, lambda: pytest.fail("it ran"), (), {})


def test_a_closed_outbox_takes_and_gives_nothing():
    queue = ResponseQueue()
    queue.open_producer()
    assert queue.put(1)
    queue.close("last")
    queue.close("later")
    assert not queue.put(2)
    assert list(queue) == ["last"]


class BrokenPiece:
    """What no engine gives: the server, and not the engine, fails at it."""

    @property
    def raw(self):
        raise RuntimeError("secret of the server")


class BrokenEngine:
    def generate(self, _request, _cancelled):
        yield BrokenPiece()


def test_a_bug_in_the_server_ends_the_stream_with_an_error():
    model = ServedModel("gpt.streaming", text_signature("gpt.streaming"), BrokenEngine())
    server = InferenceServer(Repository([model]))
    server.start()
    try:
        with RawClient(server.url) as client, pytest.raises(grpc.RpcError) as caught:
            list(client.stream(request()))
    finally:
        server.stop()
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == "the server failed: RuntimeError"


@pytest.mark.slow
def test_a_producer_is_patient_while_the_consumer_reads_the_items_of_others():
    stalled = []
    queue = ResponseQueue(patience=1.0, on_stall=lambda: stalled.append(True))
    queue.open_producer()
    threads = [threading.Thread(target=lambda: [queue.put(n) for n in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    items = iter(queue)
    for _ in range(80):
        next(items)
        time.sleep(0.02)  # all in all longer than one producer's patience
    for thread in threads:
        thread.join()
    assert not stalled


def test_a_producer_whose_items_nobody_takes_ends_it():
    stalled = []
    queue = ResponseQueue(patience=0.05, on_stall=lambda: stalled.append(True))
    queue.open_producer()
    assert [queue.put(n) for n in range(6)] == [True] * 4 + [False] * 2
    assert stalled == [True]
    assert queue.closed.is_set()


@pytest.mark.parametrize("places", [(0,), (0, 0), (1,)])
def test_tracing_agents_can_put_their_interceptors_among_ours(monkeypatch, places):
    """P-F1: they wrap ``grpc.server`` and expect a list, as most programs give."""
    seen = []

    class Traced(grpc.ServerInterceptor):
        def intercept_service(self, continuation, details):
            seen.append(details.method)
            return continuation(details)

    def traced(*args, made=grpc.server, **kwargs):
        for place in places:
            kwargs["interceptors"].insert(place, Traced())
        kwargs["options"].append(("grpc.max_metadata_size", 16384))
        return made(*args, **kwargs)

    monkeypatch.setattr(grpc, "server", traced)
    with FakeTriton(["one"]) as server, RawClient(server.url) as client:
        assert client.text(request()) == "one"
    assert len(seen) == len(places)
