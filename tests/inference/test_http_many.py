"""`HttpInferenceClient.map` and `embed`: many requests at the same time, each with a thread and a connection."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
import time

import numpy as np
import pytest
from inference.rest_server import RefusedError, RestServer
from inference.tensor_server import echo, signature

from nupic_client import (
    ConfigurationError,
    DeadlineExceededError,
    HttpInferenceClient,
    InferInput,
    RequestError,
    RequestRejectedError,
    RetryPolicy,
    StreamClosedError,
)
from nupic_client._core.calls import flows
from nupic_client._core.kserve import wire
from nupic_client._sync import http_calls

ROWS = signature("rows", {"x": ("INT32", (2,))}, max_batch_size=4)
ARRAYS = [np.array([[number, -number]], np.int32) for number in range(40)]


class Gate:
    """Holds requests whose number is in ``held`` until it is opened."""

    def __init__(self):
        self.opened = threading.Event()
        self.held = lambda number: True
        self.failing = set()
        self.pause = 0.0

    def __call__(self, request):
        number = int.from_bytes(request.raw_input_contents[0][:4], "little")
        if number in self.failing:
            raise RefusedError(400, f"not {number}")
        if self.held(number):
            self.opened.wait(10)
        time.sleep(self.pause)
        return echo(request)


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.opened.set()


@pytest.fixture(params=[True, False], ids=["triton", "plain"])
def server(request, gate):
    gate.opened.set()
    plain = signature("rows", {"x": ("INT32", (-1, 2))})
    described = ROWS if request.param else plain
    with RestServer(described, answer=gate, extensions=request.param) as running:
        yield running


@pytest.fixture
def triton(gate):
    with RestServer(ROWS, answer=gate) as running:
        yield running


@pytest.fixture
def client(triton):
    with HttpInferenceClient("rows", triton.url, timeout=10) as made:
        yield made


def workers():
    return [thread for thread in threading.enumerate() if thread.name == "nupic_client.http"]


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_results_have_the_order_of_the_inputs(server, gate):
    gate.pause = 0.01
    with HttpInferenceClient("rows", server.url) as it, it.map(ARRAYS, concurrency=6) as results:
        found = [result["x"].tolist() for result in results]
    assert found == [array.tolist() for array in ARRAYS]
    assert 1 < server.most_running <= 6
    assert server.connections <= 8  # one for each request at the same time, and one for the questions


def test_results_as_they_complete(client, gate):
    gate.held = lambda number: number == 0
    seen = []
    results = client.map(
        ARRAYS[:5], concurrency=2, ordered=False, callback=lambda index, _: seen.append(index)
    )
    order = [next(results)[0] for _ in range(4)]
    assert set(order) == {1, 2, 3, 4}
    gate.opened.set()
    assert [index for index, _ in results] == [0]
    assert set(seen) == set(range(5))


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_rows_are_combined(client, triton, gate, batch_size):
    gate.opened.set()
    found = [result["x"].tolist() for result in client.map(ARRAYS, batch_size=batch_size)]
    assert found == [array.tolist() for array in ARRAYS]
    assert len(triton.requests) == -(-len(ARRAYS) // batch_size)


def test_an_error_is_raised_or_returned(client, gate):
    gate.opened.set()
    gate.failing = {3}
    found = list(client.map(ARRAYS[:6], errors="return"))
    assert [isinstance(each, RequestRejectedError) for each in found] == [n == 3 for n in range(6)]
    with pytest.raises(RequestRejectedError, match=r"item 3: .*not 3") as caught:
        list(client.map(ARRAYS[:6]))
    assert caught.value.model == "rows"
    assert caught.value.target == client.url


def test_each_input_is_retried(triton, gate):
    gate.opened.set()
    left = dict.fromkeys(range(5), 1)

    def answer(request):
        number = int.from_bytes(request.raw_input_contents[0][:4], "little")
        if left.pop(number, 0):
            raise RefusedError(503, "Exceeds maximum queue size")
        return echo(request)

    triton.answer = answer
    policy = RetryPolicy(max_retries=1, initial_backoff=0.01)
    with HttpInferenceClient("rows", triton.url, max_retries=policy) as it:
        assert [result["x"][0, 0] for result in it.map(ARRAYS[:5])] == [0, 1, 2, 3, 4]


def test_each_input_has_a_deadline(client, gate):
    gate.held = lambda number: number == 1
    found = list(client.map(ARRAYS[:3], errors="return", timeout=0.3))
    assert isinstance(found[1], DeadlineExceededError)
    assert found[1].limit == 0.3
    assert [found[0]["x"][0, 0], found[2]["x"][0, 0]] == [0, 2]


def test_inputs_are_read_a_bounded_number_ahead(client, gate):
    read = []

    def endless():
        number = 0
        while True:
            read.append(number)
            yield np.array([[number, 0]], np.int32)
            number += 1

    gate.opened.set()
    results = client.map(endless(), concurrency=3)
    for number in range(20):
        assert next(results)["x"][0, 0] == number
        assert len(read) <= number + 1 + 2 * 3
    results.close()


@pytest.mark.parametrize("way", ["close", "break", "drop", "error", "client"])
def test_leaving_ends_what_is_on_its_way(triton, gate, way):
    """A server sees its connections closed, and the threads have nothing to wait for."""
    client = HttpInferenceClient("rows", triton.url)
    gate.held = lambda number: number > 0
    gate.pause = 0.2  # so that the others are on their way before the first result is there
    results = client.map(ARRAYS, concurrency=4)
    iterator = iter(results)
    next(iterator)
    triton.wait_until(lambda: triton.running == 3)
    busy = list(client._transport._busy)
    assert len(busy) == 3
    if way == "close":
        results.close()
    elif way == "break":
        iterator.close()
    elif way == "drop":
        del results, iterator
        gc.collect()
    elif way == "client":
        client.close()
    else:
        with pytest.raises(ZeroDivisionError), results:
            raise ZeroDivisionError
    until(lambda: not client._transport._busy)
    assert [connection.sock for connection in busy] == [None] * 3
    if way != "drop":
        with pytest.raises((StreamClosedError, RequestError, ConfigurationError)):
            next(results)
    client.close()


def test_closing_wakes_the_reader(client, triton):
    results = client.map(ARRAYS[:1])
    failure = []

    def read():
        try:
            next(results)
        except StreamClosedError as error:
            failure.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    triton.wait_until(lambda: triton.running == 1)
    results.close()
    reader.join(5)
    assert len(failure) == 1


def test_a_request_that_was_not_begun_is_left_out(triton):
    """Cancelled before its thread has it."""
    with HttpInferenceClient("rows", triton.url) as it:
        call = http_calls.HttpCall()
        call.cancel()
        it._transport._work(call, None, None)
        with pytest.raises(RequestError, match="cancelled") as caught:
            it._transport.finish(call)
        assert caught.value.status == "CANCELLED"


def test_a_call_has_the_headers_of_its_answer(client, gate):
    gate.opened.set()
    client.infer(ARRAYS[0])
    call = client._transport.begin(
        flows.Invoke("ModelMetadata", wire.pb.ModelMetadataRequest(name="rows"), 5.0)
    )
    client._transport.finish(call)
    assert "content-length" in dict(call.trailing_metadata())


def test_threads_start_when_they_are_needed_and_end(triton, gate, monkeypatch):
    gate.opened.set()
    monkeypatch.setattr(http_calls, "_LINGER", 0.1)
    until(lambda: not workers())
    with HttpInferenceClient("rows", triton.url) as it:
        it._transport._workers = http_calls.Workers(0.1)
        it.infer(ARRAYS[0])
        assert not workers()
        list(it.map(ARRAYS, concurrency=4))
        assert 1 <= len(workers()) <= 4
        assert all(thread.daemon for thread in workers())
        until(lambda: not workers())
        assert len(list(it.map(ARRAYS, concurrency=4))) == len(ARRAYS)
    it._transport._workers.close()
    until(lambda: not workers())


def test_closing_ends_the_threads_at_once(triton, gate):
    gate.opened.set()
    it = HttpInferenceClient("rows", triton.url)
    list(it.map(ARRAYS, concurrency=4))
    assert workers()
    it.close()
    until(lambda: not workers())
    with pytest.raises(ConfigurationError, match="client is closed"):
        list(it.map(ARRAYS))


def test_many_maps_in_many_threads(client, gate):
    gate.opened.set()
    wrong = []

    def work():
        found = [result["x"][0, 0] for result in client.map(ARRAYS, concurrency=3)]
        if found != list(range(len(ARRAYS))):
            wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(client, gate):
    gate.opened.set()
    results = client.map(ARRAYS, concurrency=4)
    next(results)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child():
        try:
            next(results)
        except StreamClosedError:
            sender.send([result["x"][0, 0] for result in client.map(ARRAYS[:8], concurrency=4)])

    process = context.Process(target=child)
    process.start()
    assert receiver.poll(10)
    assert [int(number) for number in receiver.recv()] == list(range(8))
    process.join(10)
    assert len(list(results)) == len(ARRAYS) - 1


@pytest.mark.parametrize("inputs", ["text", b"x", {"x": 1}, 5])
def test_what_are_not_many_inputs(client, inputs):
    with pytest.raises(ConfigurationError, match="inputs must be an iterable"):
        client.map(inputs)


@pytest.mark.parametrize(
    "options", [{"concurrency": 0}, {"batch_size": 0}, {"errors": "no"}, {"callback": 1}, {"request_id": "a"}]
)
def test_wrong_options(client, options):
    with pytest.raises(ConfigurationError):
        client.map(ARRAYS, **options)


def test_wrong_headers(client):
    with pytest.raises(ConfigurationError, match="belongs to HTTP itself"):
        client.map(ARRAYS, metadata={"host": "x"})


def test_texts_are_embedded_several_at_a_time(gate):
    sbert = signature("sbert", {"text": ("BYTES", (1,))}, {"vector": ("FP32", (1,))}, max_batch_size=2)

    def answer(request):
        time.sleep(0.02)
        response = echo(request)
        count = request.inputs[0].shape[0]
        del response.outputs[:], response.raw_output_contents[:]
        response.outputs.add(name="vector", datatype="FP32", shape=[count, 1])
        response.raw_output_contents.append(
            np.full((count, 1), len(request.raw_input_contents[0]), "f4").tobytes()
        )
        return response

    with RestServer(sbert, answer=answer) as server, HttpInferenceClient("sbert", server.url) as it:
        assert it.embed([str(n) for n in range(10)], concurrency=3)[:, 0].tolist() == [10.0] * 10
        assert server.most_running > 1
        with pytest.raises(ConfigurationError, match="concurrency must be"):
            it.embed(["a"], concurrency=0)


def test_parameters_of_inputs_and_outputs(client, triton, gate):
    gate.opened.set()
    value = InferInput(ARRAYS[1], {"content_type": "np"})
    (result,) = client.map([{"x": value}], outputs={"x": {"mine": 5}}, parameters={"priority": 2})
    assert result["x"].tolist() == [[1, -1]]
    (request,) = triton.requests
    assert request.inputs[0].parameters["content_type"].string_param == "np"
    assert request.outputs[0].parameters["mine"].int64_param == 5
    assert request.parameters["priority"].int64_param == 2
    assert result.parameters["priority"] == 2
