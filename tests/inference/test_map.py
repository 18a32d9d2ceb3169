"""`map` and `amap`: order, bounds, errors and leaving."""

from __future__ import annotations

import asyncio
import gc
import itertools
import subprocess
import sys
import threading
import tracemalloc

import grpc
import pytest
from inference.tensor_server import RefusedError, TensorServer, echo, signature

from nupic_client import (
    ConfigurationError,
    InferenceClient,
    NupicError,
    ProtocolError,
    RequestRejectedError,
    RetryPolicy,
    StreamClosedError,
    StreamConsumedError,
    TransportError,
)
from nupic_client._async.bulk import AsyncResultStream
from nupic_client._core.calls import flows
from nupic_client._core.calls.bulk import AWAIT_TURN
from nupic_client._core.inference.bulk import Pipeline
from nupic_client._core.kserve import wire
from nupic_client._sync.bulk import ResultStream
from nupic_client.testing import FakeTriton, text_signature

MODELS = (
    signature("single", {"x": ("INT64", (1,))}),
    signature("batched", {"x": ("INT64", (-1,))}, max_batch_size=8),
    signature("texts", {"t": ("BYTES", (1,))}, max_batch_size=8),
)


@pytest.fixture
def server():
    with TensorServer(*MODELS) as server:
        yield server


@pytest.fixture
def client(server):
    with InferenceClient("single", server.url) as client:
        yield client


def value(result):
    return result.only.ravel()[0].item()


def refuse(*numbers):
    """Refuse these inputs and echo all others."""

    def answer(request):
        if any(int.from_bytes(request.raw_input_contents[0][:8], "little") == number for number in numbers):
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "not this one")
        return echo(request)

    return answer


def hold(number, released):
    """Hold one input until the event; echo all others."""

    def answer(request):
        if int.from_bytes(request.raw_input_contents[0], "little") == number:
            assert released.wait(10)
        return echo(request)

    return answer


@pytest.mark.slow
def test_results_come_in_the_order_of_the_inputs(client, map_colour):
    assert [value(result) for result in map_colour(client).map(range(200))] == list(range(200))


def test_results_come_as_they_complete_with_their_index(server, client, map_colour):
    released = threading.Event()
    server.answer = hold(0, released)
    seen = []

    def callback(index, result):
        seen.append(index)
        if len(seen) == 9:
            released.set()

    results = map_colour(client).map(range(10), ordered=False, concurrency=4, callback=callback)
    assert sorted((index, value(result)) for index, result in results) == [(n, n) for n in range(10)]
    assert [index for index, _ in results] == seen
    assert seen[-1] == 0


def test_the_callback_is_called_as_each_completes_and_order_is_kept(server, client, map_colour):
    released = threading.Event()
    server.answer = hold(0, released)
    seen = []

    def callback(index, result):
        seen.append((index, value(result)))
        if len(seen) == 3:
            released.set()

    results = map_colour(client).map(range(6), concurrency=4, callback=callback)
    assert [value(result) for result in results] == list(range(6))
    assert sorted(seen) == [(n, n) for n in range(6)]
    assert (0, 0) in seen[3:]


def test_an_async_callback_is_awaited(client):
    seen = []

    async def callback(index, result):
        await asyncio.sleep(0)
        seen.append(index)

    async def run():
        async for _ in client.amap(range(5), callback=callback):
            pass

    asyncio.run(run())
    assert sorted(seen) == list(range(5))


@pytest.mark.parametrize("concurrency", [1, 3, 32])
def test_never_more_than_concurrency_run(server, client, map_colour, concurrency):
    assert len(map_colour(client).map(range(100), concurrency=concurrency)) == 100
    assert server.most_running <= concurrency


def test_as_many_as_allowed_do_run(server, client):
    server.gate.clear()
    results = client.map(range(100), concurrency=16)
    reader = threading.Thread(target=lambda: next(results))
    reader.start()
    server.wait_for(lambda it: it.running == 16)
    server.gate.set()
    reader.join()
    results.close()


def test_a_slow_first_input_holds_up_a_bounded_number(server, client, map_colour):
    released = threading.Event()
    server.answer = hold(0, released)
    taken = itertools.count()
    inputs = (next(taken) for _ in itertools.count())
    threading.Thread(
        target=lambda: (server.wait_for(lambda it: it.count == 8 and it.running == 1), released.set())
    ).start()
    assert [value(result) for result in map_colour(client).map(inputs, take=5, concurrency=4)] == list(
        range(5)
    )
    assert next(taken) <= 8 + 5  # twice the concurrency, and one for each result


def test_inputs_may_be_endless(client, map_colour):
    assert [value(result) for result in map_colour(client).map(itertools.count(), take=50)] == list(range(50))


def test_no_inputs_give_no_results(client, map_colour):
    assert map_colour(client).map([]) == []


def test_an_input_that_waits_for_its_predecessors_result_is_fine_with_one_at_a_time(client, map_colour):
    results = []

    def inputs():
        yield 1
        for _ in range(3):
            yield results[-1] * 2

    map_colour(client).map(
        inputs(), concurrency=1, callback=lambda index, result: results.append(value(result))
    )
    assert results == [1, 2, 4, 8]


def test_the_error_of_an_input_is_raised_in_its_place_and_names_it(server, client, map_colour):
    server.answer = refuse(3)
    seen = []
    with pytest.raises(RequestRejectedError, match=r"item 3: .*not this one") as caught:
        map_colour(client).map(range(100), callback=lambda index, result: seen.append(index))
    assert caught.value.model == "single"
    assert isinstance(caught.value.__cause__, grpc.RpcError)
    assert {0, 1, 2} <= set(seen)
    assert 3 not in seen


def test_an_input_that_does_not_fit_is_an_error_of_its_own(client, map_colour):
    inputs = [0, "a", 2]
    results = map_colour(client).map(inputs, errors="return")
    assert [type(result).__name__ for result in results] == [
        "InferenceResult",
        "ConfigurationError",
        "InferenceResult",
    ]
    assert "item 1: input 'x' must be INT64" in str(results[1])


def test_errors_can_be_returned(server, client, map_colour):
    server.answer = refuse(1, 3)
    called = {}
    results = map_colour(client).map(range(5), errors="return", ordered=False, callback=called.__setitem__)
    failed = {index for index, result in results if isinstance(result, NupicError)}
    assert failed == {1, 3}
    assert {index for index, result in called.items() if isinstance(result, NupicError)} == {1, 3}


def test_an_error_of_the_inputs_ends_the_map(client, map_colour):
    def inputs():
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        map_colour(client).map(inputs())


def test_an_error_of_the_callback_ends_the_map(client, map_colour):
    def callback(index, result):
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        map_colour(client).map(range(10), callback=callback)


def hold_all_but_the_first(server):
    """Answer the first input once three others run; hold those for as long as their caller waits."""

    def answer(request):
        server.wait_for(lambda it: it.running == 4)
        return echo(request)

    server.answer = answer
    server.gate.clear()
    server.held = lambda request: int.from_bytes(request.raw_input_contents[0], "little") > 0


def test_a_callback_cannot_end_the_map_by_chance(client):
    results = client.map(range(3), callback=lambda index, result: next(iter(())))
    with pytest.raises(RuntimeError, match="StopIteration"):
        next(results)


def test_leaving_early_cancels_what_is_on_its_way(server, client, map_colour):
    hold_all_but_the_first(server)

    assert len(map_colour(client).map(range(100), take=1, concurrency=4)) == 1
    server.wait_for(lambda it: it.running == 0 and it.cancelled >= 3)


@pytest.mark.parametrize("leave", [ResultStream.close, ResultStream.cancel])
def test_a_map_can_be_closed_from_another_thread(server, client, leave):
    server.gate.clear()
    results = client.map(range(8), concurrency=4)
    failures = []

    def read():
        try:
            next(results)
        except StreamClosedError as error:
            failures.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    server.wait_for(lambda it: it.running == 4)
    leave(results)
    thread.join(10)
    assert len(failures) == 1
    server.wait_for(lambda it: it.cancelled == 4)


@pytest.mark.parametrize("way", ["break", "drop", "exception", "close"])
def test_every_way_out_cancels(server, client, way):
    hold_all_but_the_first(server)
    results = client.map(range(100), concurrency=4)
    if way == "break":
        for _ in results:
            break
    elif way == "exception":
        with pytest.raises(LookupError), results:
            next(results)
            raise LookupError
    else:
        next(results)
        if way == "close":
            results.close()
            results.close()
        else:
            del results
            gc.collect()
    server.wait_for(lambda it: it.running == 0 and it.cancelled >= 3)


@pytest.mark.parametrize("way", ["break", "drop", "exception", "close", "cancel"])
def test_every_way_out_cancels_async(server, client, way):
    hold_all_but_the_first(server)

    async def run():
        results = client.amap(range(100), concurrency=4)
        if way == "break":
            async for _ in results:
                break
        elif way == "exception":
            with pytest.raises(LookupError):
                async with results:
                    await anext(results)
                    raise LookupError
        elif way == "cancel":
            await anext(results)
            task = asyncio.create_task(anext_of(results))
            await asyncio.to_thread(server.wait_for, lambda it: it.running == 4)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await anext(results)
            if way == "close":
                await results.aclose()
            else:
                del results
                gc.collect()
        await asyncio.to_thread(server.wait_for, lambda it: it.running == 0 and it.cancelled >= 3)

    asyncio.run(run())


async def anext_of(results):
    return await anext(results)


def test_reading_after_the_end_or_after_leaving_says_so(client):
    results = client.map(range(3))
    assert len(list(results)) == 3
    assert next(results, None) is None
    with pytest.raises(StreamConsumedError):
        iter(results)
    results = client.map(range(3))
    for _ in results:
        break
    with pytest.raises(StreamClosedError, match="leaving a for loop"):
        next(results)


def test_reading_after_the_end_or_after_leaving_says_so_async(client):
    async def run():
        results = client.amap(range(3))
        assert len([result async for result in results]) == 3
        assert await anext(results, None) is None
        with pytest.raises(StreamConsumedError):
            aiter(results)
        results = client.amap(range(3))
        async for _ in results:
            break
        with pytest.raises(StreamClosedError, match="leaving an async for loop"):
            await anext(results)

    asyncio.run(run())


def test_single_results_can_be_read(client):
    results = client.map(itertools.count(), concurrency=2)
    assert [value(next(results)) for _ in range(5)] == list(range(5))
    results.close()


def test_a_dropped_iterator_gives_the_result_that_it_was_asked_for(client):
    async def run():
        results = client.amap(range(3))
        assert value(await anext(aiter(results))) == 0
        with pytest.raises(StreamClosedError):
            await anext(results)

    asyncio.run(run())


def test_as_many_requests_as_have_ended_are_sent_at_once(server, client):
    """A caller who awaits between results keeps the server busy all the same."""
    released = threading.Event()

    def answer(request):
        if int.from_bytes(request.raw_input_contents[0], "little") in {1, 2, 3}:
            assert released.wait(10)
        return echo(request)

    server.answer = answer

    async def run():
        async with client.amap(range(100), concurrency=4) as results:
            assert value(await anext(results)) == 0
            released.set()
            while len(results._inbox.ended) < 3:
                await asyncio.sleep(0.001)
            assert value(await anext(results)) == 1
            await asyncio.to_thread(server.wait_for, lambda it: it.count == 8)

    asyncio.run(run())


def test_an_async_input_may_wait_for_the_result_before_it_with_one_at_a_time(client):
    async def run():
        seen = []

        def inputs():
            yield 1
            for _ in range(3):
                yield seen[-1] * 2

        results = client.amap(inputs(), concurrency=1)
        for _ in range(4):
            seen.append(value(await anext(results)))  # noqa: PERF401 - the inputs look at it
        assert seen == [1, 2, 4, 8]

    asyncio.run(run())


@pytest.mark.parametrize("concurrency", [1, 4])
def test_cancelling_the_reader_is_not_mistaken_for_closing_the_stream(server, client, concurrency):
    server.gate.clear()

    async def run():
        results = client.amap(range(10), concurrency=concurrency)
        task = asyncio.create_task(anext_of(results))
        await asyncio.to_thread(server.wait_for, lambda it: it.running == concurrency)
        if sys.version_info >= (3, 11):  # before, a task cannot tell who cancels what
            results.cancel()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_for, lambda it: it.cancelled == concurrency)

    asyncio.run(run())


@pytest.mark.parametrize("concurrency", [1, 4])
def test_closing_the_client_ends_an_async_map(server, concurrency):
    server.gate.clear()

    async def run():
        async with InferenceClient("single", server.url) as client:
            task = asyncio.create_task(anext_of(client.amap(range(10), concurrency=concurrency)))
            await asyncio.to_thread(server.wait_for, lambda it: it.running == concurrency)
            await client.aclose()
            with pytest.raises((TransportError, ConfigurationError), match="closed"):
                await task

    asyncio.run(run())


@pytest.mark.parametrize("concurrency", [1, 10])
def test_an_async_map_can_be_cancelled_from_another_thread(server, client, concurrency):
    server.gate.clear()

    async def run():
        results = client.amap(range(10), concurrency=concurrency)
        task = asyncio.create_task(anext_of(results))
        await asyncio.to_thread(server.wait_for, lambda it: it.running == concurrency)
        await asyncio.to_thread(results.cancel)
        with pytest.raises(StreamClosedError):
            await task
        return results

    results = asyncio.run(run())
    results.cancel()  # its loop is gone


def test_one_loop_after_another_leaves_no_connection(client):
    async def work():
        await client.ainfer([1])
        return [value(result) async for result in client.amap([1, 2])]

    def channels():
        gc.collect()
        return sum(isinstance(item, grpc.aio.Channel) for item in gc.get_objects())

    before = channels()
    for _ in range(5):
        assert asyncio.run(work()) == [1, 2]
    assert channels() <= before + 1


GRPC = tuple(int(part) for part in grpc.__version__.split(".")[:2])
LEFT = """
import asyncio, sys
from nupic_client import InferenceClient

client = InferenceClient("single", sys.argv[1])

async def leave():
    async with client.amap([1] * 100) as results:
        async for _ in results:
            break

for _ in range(20):
    asyncio.run(leave())
"""


@pytest.mark.skipif(GRPC < (1, 84), reason="gRPC 1.83 logs it whoever ends the loop")
def test_a_loop_may_end_as_soon_as_a_map_was_left(server):
    """What gRPC tells a loop that is closed becomes an error in the log of the next one."""
    command = [sys.executable, "-c", LEFT, server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_cancelling_while_the_reader_awaits_a_callback_is_not_its_own_cancellation(client):
    async def run():
        async def one():
            yield [1]
            await asyncio.sleep(600)

        async def leave(index, result):
            results.cancel()
            for _ in range(5):  # until the task that reads the inputs has ended
                await asyncio.sleep(0)

        results = client.amap(one(), callback=leave)
        with pytest.raises(StreamClosedError):
            await anext(results)
            await anext(results)

    asyncio.run(run())


def test_slow_async_inputs_do_not_hold_up_results(client):
    async def run():
        more = asyncio.Event()

        async def inputs():
            yield 1
            await more.wait()
            yield 2

        results = client.amap(inputs())
        assert value(await anext(results)) == 1
        more.set()
        assert value(await anext(results)) == 2
        assert await anext(results, None) is None

    asyncio.run(run())


def test_closing_the_client_ends_a_map(server):
    server.gate.clear()
    client = InferenceClient("single", server.url)
    results = client.map(range(10), concurrency=2)
    failures = []

    def read():
        try:
            next(results)
        except NupicError as error:
            failures.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    server.wait_for(lambda it: it.running == 2)
    client.close()
    thread.join(10)
    assert isinstance(failures[0], (TransportError, ConfigurationError))
    assert "closed" in str(failures[0])
    with pytest.raises(ConfigurationError, match="closed"):
        next(client.map([1]))


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ("abc", {}, "inputs must be an iterable of what infer takes, not str"),
        ({"x": 1}, {}, "not dict"),
        (1, {}, "not int"),
        ([1], {"concurrency": 0}, "concurrency must be a whole number above 0, not 0"),
        ([1], {"concurrency": True}, "concurrency must be"),
        ([1], {"batch_size": 0}, "batch_size must be a whole number above 0, not 0"),
        (
            [1],
            {"batch_size": 2},
            "batch_size must be from 1 to 1, the most that model 'single' takes, not 2",
        ),
        ([1], {"errors": "ignore"}, "errors must be 'raise' or 'return', not 'ignore'"),
        ([1], {"callback": 1}, "callback must be a function, not 1"),
        ([1], {"request_id": "x"}, "request_id must be left out here"),
    ],
)
def test_wrong_arguments_are_said(client, flavour, inputs, options, message):
    with pytest.raises(ConfigurationError, match=message):
        flavour(client).map(inputs, **options)


def test_a_blocking_map_takes_no_async_callback(client):
    async def callback(index, result):
        pass

    with pytest.raises(ConfigurationError, match="amap takes async ones"):
        client.map([1], callback=callback)


class TestBatches:
    @pytest.fixture
    def client(self, server):
        with InferenceClient("batched", server.url) as client:
            yield client

    def sizes(self, server):
        return sorted(request.inputs[0].shape[0] for request in server.requests)

    def test_inputs_are_put_together_and_results_taken_apart(self, server, client, map_colour):
        results = map_colour(client).map([[n, n + 1] for n in range(20)], batch_size=8)
        assert [result.only.tolist() for result in results] == [[[n, n + 1]] for n in range(20)]
        assert self.sizes(server) == [4, 8, 8]

    def test_inputs_of_several_rows_stay_together(self, server, client, map_colour):
        rows = [[[n]] * count for n, count in enumerate((3, 3, 3, 1, 8))]
        results = map_colour(client).map(rows, batch_size=8)
        assert [result.only.tolist() for result in results] == rows
        assert self.sizes(server) == [4, 6, 8]

    def test_inputs_that_differ_in_shape_go_apart(self, server, client, map_colour):
        inputs = [[1], [2], [1, 2], [3]]
        results = map_colour(client).map(inputs, batch_size=8)
        assert [result.only.tolist() for result in results] == [[item] for item in inputs]
        assert self.sizes(server) == [1, 1, 2]

    def test_an_input_that_does_not_fit_fails_alone(self, client, map_colour):
        results = map_colour(client).map([[1], "a", [2]], batch_size=8, errors="return", ordered=False)
        assert sorted(index for index, result in results if isinstance(result, NupicError)) == [1]
        assert len(results) == 3

    def test_a_failed_request_fails_each_of_its_inputs(self, server, client, map_colour):
        server.answer = refuse(0)
        results = map_colour(client).map([[n] for n in range(6)], batch_size=3, errors="return")
        assert [str(result)[:7] for result in results[:3]] == ["item 0:", "item 1:", "item 2:"]
        assert [value(result) for result in results[3:]] == [3, 4, 5]

    def test_an_answer_without_the_batch_is_a_protocol_error(self, server, client, map_colour):
        def answer(request):
            response = wire.pb.ModelInferResponse()
            response.outputs.add(name="y", datatype="INT64", shape=[1])
            response.raw_output_contents.append(bytes(8))
            return response

        server.answer = answer
        with pytest.raises(
            ProtocolError, match=r"item 0: output 'y' must have the batch size 3 .* shape \[1\]"
        ):
            map_colour(client).map([[n] for n in range(3)], batch_size=3)

    def test_texts_too(self, server, map_colour):
        with InferenceClient("texts", server.url) as client:
            texts = ["a" * n for n in range(10)]
            results = map_colour(client).map(texts, batch_size=4)
        assert [result.only.tolist() for result in results] == [[[text]] for text in texts]


class Pausing(Pipeline):
    """A pipeline whose jobs pause before they call, as one that is sent again does."""

    def feed(self, inputs):
        return [type(job)(job.number, self.pausing(job.flow)) for job in super().feed(inputs)]

    def pausing(self, flow):
        yield flows.Sleep(0.02)
        yield flows.ReadClock()
        return (yield from flow)


def test_jobs_may_pause(client):
    opening = client._bulk({}, None, concurrency=2)

    def pausing():
        pipeline = yield from opening
        return Pausing(pipeline._request, pipeline._codec.signature, pipeline._settings)

    with ResultStream(client._transport, pausing(), range(6)) as results:
        assert [value(result) for result in results] == list(range(6))


class Alternating(Pipeline):
    """A pipeline whose jobs wait for their turn, which is when no other has it."""

    has_turn = True

    def feed(self, inputs):
        return [type(job)(job.number, self.in_turn(job.flow)) for job in super().feed(inputs)]

    def in_turn(self, flow):
        yield AWAIT_TURN
        self.has_turn = False
        try:
            return (yield from flow)
        finally:
            self.has_turn = True


@pytest.mark.parametrize("concurrency", [2, 4])
@pytest.mark.parametrize("stream", [ResultStream, AsyncResultStream])
def test_jobs_may_wait_for_their_turn(client, stream, concurrency):
    opening = client._bulk({}, None, concurrency=concurrency)

    def alternating():
        pipeline = yield from opening
        return Alternating(pipeline._request, pipeline._codec.signature, pipeline._settings)

    async def run():
        results = AsyncResultStream(client._async_transport, alternating(), range(6))
        return [value(result) async for result in results]

    if stream is ResultStream:
        found = [value(result) for result in ResultStream(client._transport, alternating(), range(6))]
    else:
        found = asyncio.run(asyncio.wait_for(run(), 60))
    assert found == list(range(6))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_memory_stays_flat_over_ten_thousand_inputs(server, client, flavour):
    server.keep_requests = False
    peaks = []

    def inputs():
        for number in range(10_000):
            if number == 2_000:
                gc.collect()
                tracemalloc.start()
                peaks.append(tracemalloc.get_traced_memory()[0])
                tracemalloc.reset_peak()
            yield number

    counted = itertools.count()
    try:
        if flavour.name == "blocking":
            for _ in client.map(inputs()):
                next(counted)
        else:

            async def run():
                async for _ in client.amap(inputs()):
                    next(counted)

            asyncio.run(run())
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert next(counted) == 10_000
    assert peak - peaks[0] < 4_000_000
    assert after - peaks[0] < 1_000_000


def test_a_request_that_could_not_be_taken_is_sent_again(server, client, map_colour):
    busy = [2]

    def answer(request):
        if busy and int.from_bytes(request.raw_input_contents[0][:8], "little") == busy[0]:
            busy.pop()
            raise RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")
        return echo(request)

    server.answer = answer
    client = client.with_options(max_retries=RetryPolicy(max_retries=1, initial_backoff=0.01))
    results = map_colour(client).map(range(4))
    assert [value(result) for result in results] == [0, 1, 2, 3]


def test_the_token_goes_with_every_request_and_is_fetched_anew_when_it_expires(map_colour):
    tokens = ["first", "second"]
    with FakeTriton(models=[text_signature("gpt", decoupled=False)], bearer_tokens={"first"}) as server:
        with InferenceClient("gpt", server.url, bearer_token=lambda: tokens.pop(0)) as client:
            assert len(list(map_colour(client).map(["a", "b"]))) == 2
            server.bearer_tokens = {"second"}
            assert len(list(map_colour(client).map(["a", "b"], concurrency=1))) == 2
    assert tokens == []


@pytest.mark.parametrize("errors", ["raise", "return"])
def test_a_closed_client_ends_a_map_of_endless_inputs(server, errors):
    with InferenceClient("single", server.url) as client:
        results = client.map(itertools.repeat(1), errors=errors, concurrency=2)
        next(results)
        client.close()
        with pytest.raises((TransportError, ConfigurationError)):
            for _ in range(10_000):
                next(results)


@pytest.mark.parametrize("errors", ["raise", "return"])
def test_a_closed_client_ends_an_async_map_of_endless_inputs(server, errors):
    async def run():
        async with InferenceClient("single", server.url) as client:
            results = client.amap(itertools.repeat(1), errors=errors, concurrency=2)
            await anext(results)
            await client.aclose()
            with pytest.raises((TransportError, ConfigurationError)):
                for _ in range(10_000):
                    await anext(results)

    asyncio.run(run())
