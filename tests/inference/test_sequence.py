"""`InferenceSequence`: the requests of one sequence, in order, with its flags; and how its block ends."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import grpc
import pytest
from inference.tensor_server import RefusedError, TensorServer, echo, repeat, signature, streamed

from nupic_client import (
    ConfigurationError,
    InferenceClient,
    InferenceError,
    NupicError,
    OverloadedError,
    StreamStateError,
)
from nupic_client._core.kserve import wire

MODELS = (
    signature("sum", {"x": ("INT32", (1,))}),
    signature("sums", {"x": ("INT32", (-1,))}, {"x": ("INT32", (1,))}, decoupled=True),
)


@pytest.fixture
def server():
    with TensorServer(*MODELS) as server:
        server.stream = lambda request: repeat(request)
        yield server


@pytest.fixture
def client(server):
    with InferenceClient("sum", server.url, timeout=10) as client:
        yield client


@pytest.fixture
def streaming(server):
    with InferenceClient("sums", server.url, timeout=10) as client:
        yield client


def flags(server):
    """Return the parameters of the requests so far, without the one of streams and without the id."""
    return [
        {
            name.removeprefix("sequence_"): wire.parameter_value(value)
            for name, value in request.parameters.items()
            if name not in {wire.EMPTY_FINAL_PARAMETER, "sequence_id"}
        }
        for request in server.requests
    ]


def ids(server):
    return [wire.parameter_value(request.parameters["sequence_id"]) for request in server.requests]


class Blocking:
    """Uses a sequence with ``with``."""

    def __init__(self, client, *args, **options):
        self.arguments = client, args, options

    def run(self, *steps, fail=None):
        """Send the steps ``(inputs, end)`` in a block; one with a list of inputs is streamed."""
        client, args, options = self.arguments
        with client.sequence(*args, **options) as sequence:
            found = [self.step(sequence, *step) for step in steps]
            if fail is not None:
                raise fail
        return sequence, found

    def step(self, sequence, inputs, end=False, **options):
        if len(inputs) > 1:
            return [int(result.only[0]) for result in sequence.infer_stream(inputs, end=end, **options)]
        return int(sequence.infer(inputs, end, **options).only[0])


class Async(Blocking):
    """Uses a sequence with ``async with``."""

    def run(self, *steps, fail=None):
        async def main():
            client, args, options = self.arguments
            async with client.sequence(*args, **options) as sequence:
                found = [await self.astep(sequence, *step) for step in steps]
                if fail is not None:
                    raise fail
            return sequence, found

        return asyncio.run(main())

    async def astep(self, sequence, inputs, end=False, **options):
        if len(inputs) > 1:
            stream = sequence.ainfer_stream(inputs, end=end, **options)
            return [int(result.only[0]) async for result in stream]
        return int((await sequence.ainfer(inputs, end, **options)).only[0])


@pytest.fixture(params=[Blocking, Async], ids=["blocking", "async"])
def sequence_of(request):
    return request.param


# Flags and ids


def test_the_flags_of_a_sequence(client, server, sequence_of):
    sequence, found = sequence_of(client).run(([1],), ([2],), ([3], True))
    assert found == [1, 2, 3]
    assert flags(server) == [{"start": True}, {}, {"end": True}]
    assert set(ids(server)) == {sequence.sequence_id}
    assert sequence.ended


def test_the_flags_of_a_sequence_of_streams(streaming, server, sequence_of):
    _, found = sequence_of(streaming, 7).run(([1, 2],), ([3, 4],), ([5, 6], True))
    assert found == [[1, 2], [3, 4], [5, 6]]
    assert flags(server) == [{"start": True}, {}, {"end": True}]
    assert ids(server) == [7, 7, 7]


def test_an_id_is_random_and_positive(client):
    found = {client.sequence().sequence_id for _ in range(100)}
    assert len(found) == 100
    assert all(0 < number < 2**63 for number in found)


@pytest.mark.parametrize("sequence_id", [5, "a text"])
def test_an_id_may_be_given(client, server, sequence_of, sequence_id):
    sequence_of(client, sequence_id).run(([1], True))
    assert ids(server) == [sequence_id]


@pytest.mark.parametrize("sequence_id", [0, "", -1, 2**64, 1.5, True])
def test_an_impossible_id_is_refused(client, sequence_id):
    with pytest.raises(ConfigurationError, match="sequence_id must be an integer from 1 to"):
        client.sequence(sequence_id)


def test_parameters_of_the_callers_own_stay(client, server):
    sequence = client.sequence()
    sequence.infer([1], parameters={"priority": 3})
    sequence.infer_stream([1], parameters={"priority": 3}).results()
    assert flags(server) == [{"priority": 3, "start": True}, {"priority": 3}]


@pytest.mark.parametrize("name", ["sequence_id", "sequence_start", "sequence_end"])
def test_parameters_of_the_sequence_are_refused(client, server, name):
    sequence = client.sequence()
    for send in (sequence.infer, sequence.infer_stream, sequence.ainfer_stream):
        with pytest.raises(ConfigurationError, match=f"'{name}': the sequence sends them itself"):
            send([1], parameters={name: 1})
    with pytest.raises(ConfigurationError):
        asyncio.run(sequence.ainfer([1], parameters={name: 1}))
    assert server.count == 0


# One request at a time


def test_after_the_end_there_is_no_request(client, server):
    sequence = client.sequence()
    sequence.infer([1], end=True)
    for send in (sequence.infer, sequence.infer_stream):
        with pytest.raises(StreamStateError, match="has ended"):
            send([1])
    with pytest.raises(StreamStateError, match="has ended"):
        asyncio.run(sequence.ainfer([1]))
    assert server.count == 1


def test_a_second_request_while_one_runs_is_refused(client, server):
    sequence = client.sequence()
    server.gate.clear()
    thread = threading.Thread(target=sequence.infer, args=([1],))
    thread.start()
    server.wait_for(lambda it: it.count == 1)
    for send in (sequence.infer, sequence.infer_stream):
        with pytest.raises(StreamStateError, match="one request at a time"):
            send([2])
    server.gate.set()
    thread.join(10)
    sequence.infer([3])
    assert flags(server) == [{"start": True}, {}]


def test_a_second_task_is_refused_too(client, server):
    async def main():
        sequence = client.sequence()
        return await asyncio.gather(sequence.ainfer([1]), sequence.ainfer([2]), return_exceptions=True)

    first, second = asyncio.run(main())
    assert first.only.tolist() == [1]
    assert isinstance(second, StreamStateError)
    assert server.count == 1


def test_a_stream_is_running_until_it_is_read_or_left(streaming):
    sequence = streaming.sequence()
    stream = sequence.infer_stream([1, 2])
    with pytest.raises(StreamStateError, match="one request at a time"):
        sequence.infer_stream([3])
    stream.close()
    dropped = sequence.infer_stream([3])
    del dropped
    gc.collect()
    assert len(sequence.infer_stream([4]).results()) == 1


def test_a_cancelled_task_lets_the_next_one_in(client, server):
    async def main():
        sequence = client.sequence()
        server.gate.clear()
        task = asyncio.create_task(sequence.ainfer([1]))
        await asyncio.to_thread(server.wait_for, lambda it: it.count == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:  # held here, with its frames
            await task
        server.gate.set()
        return (await sequence.ainfer([2])).only.tolist(), caught

    assert asyncio.run(main())[0] == [2]


# Failures


def busy(request):
    raise RefusedError(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")


def test_no_request_is_sent_again(client, server, sequence_of):
    server.answer = busy
    with pytest.raises(OverloadedError) as caught:
        sequence_of(client).run(([1],))
    assert (server.count, len(caught.value.attempts)) == (1, 1)


def test_no_stream_is_sent_again(streaming, server, sequence_of):
    server.stream = lambda request: [
        streamed(error="Exceeds maximum queue size", final=None, request_id=request.id)
    ]
    with pytest.raises(OverloadedError) as caught:
        sequence_of(streaming).run(([1, 2],))
    assert (server.count, len(caught.value.attempts)) == (1, 1)


def test_what_was_not_sent_changes_nothing(client, server):
    with client.sequence(end_with=[0]) as sequence:
        with pytest.raises(ConfigurationError):
            sequence.infer([1.5])
        with pytest.raises(TypeError):
            sequence.infer([1], nonsense=3)
    assert server.count == 0
    sequence.infer([1])
    assert flags(server) == [{"start": True}]


def test_a_first_request_that_failed_is_repeated_as_the_first_one(client, server):
    sequence = client.sequence()
    server.answer = busy
    with pytest.raises(OverloadedError):
        sequence.infer([1])
    server.answer = echo
    sequence.infer([1])
    assert flags(server) == [{"start": True}, {"start": True}]


def test_a_token_that_ran_out_is_renewed(server):
    def answer(request):
        if len(server.requests) == 1:
            raise RefusedError(grpc.StatusCode.UNAUTHENTICATED, "expired")
        return echo(request)

    server.answer = answer
    with InferenceClient("sum", server.url, bearer_token=lambda: "t", allow_insecure_token=True) as client:
        assert client.sequence().infer([1]).only.tolist() == [1]
    assert server.count == 2


# The end of the block


def test_the_end_is_sent_with_the_block(client, server, sequence_of):
    sequence, _ = sequence_of(client, end_with=[9]).run(([1],), ([2],))
    assert flags(server) == [{"start": True}, {}, {"end": True}]
    assert server.requests[-1].raw_input_contents[0] == (9).to_bytes(4, "little")
    assert sequence.ended


def test_the_end_of_a_decoupled_model_is_sent_with_the_block(streaming, server, sequence_of):
    sequence_of(streaming, end_with=[9, 9]).run(([1, 2],))
    assert flags(server) == [{"start": True}, {"end": True}]


@pytest.mark.parametrize("steps", [(), (([1], True),)])
def test_where_there_is_nothing_to_end_nothing_is_sent(client, server, sequence_of, steps):
    sequence_of(client, end_with=[9]).run(*steps)
    assert server.count == len(steps)


def test_without_it_nothing_is_sent(client, server, sequence_of):
    sequence_of(client).run(([1],))
    assert flags(server) == [{"start": True}]


def test_the_end_is_sent_after_an_exception_too(client, server, sequence_of):
    with pytest.raises(ZeroDivisionError):
        sequence_of(client, end_with=[9]).run(([1],), fail=ZeroDivisionError())
    assert flags(server) == [{"start": True}, {"end": True}]


def test_a_request_that_failed_may_have_started_the_sequence(client, server, sequence_of):
    server.answer = busy
    with pytest.raises(OverloadedError):
        sequence_of(client, end_with=[9]).run(([1],))
    assert flags(server) == [{"start": True}, {"start": True, "end": True}]


def broken(request):
    yield streamed(error="exploded", request_id=request.id)


def test_an_error_of_the_end_is_raised(client, server, sequence_of):
    server.stream = broken
    with pytest.raises(InferenceError, match="exploded"):
        sequence_of(client, end_with=[9]).run(([1],))


@pytest.mark.parametrize("end_with", [[9], [1.5]], ids=["broken", "wrong"])
def test_an_error_of_the_end_does_not_hide_the_blocks_own(client, server, sequence_of, end_with):
    server.stream = broken
    with pytest.raises(ZeroDivisionError):
        sequence_of(client, end_with=end_with).run(([1],), fail=ZeroDivisionError())


def test_after_an_exception_the_end_does_not_take_long(client, server, sequence_of, monkeypatch):
    monkeypatch.setattr("nupic_client.sequence._HURRY", 0.2)
    server.stream = lambda request: [20]
    begin = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        sequence_of(client, end_with=[9]).run(([1],), fail=ZeroDivisionError())
    assert time.monotonic() - begin < 3


def test_a_stream_that_is_still_read_is_closed_first(streaming, server):
    with streaming.sequence(end_with=[9]) as sequence:
        stream = sequence.infer_stream([1, 2])
        next(stream)
    assert stream.closed
    assert flags(server) == [{"start": True}, {"end": True}]


def test_an_async_stream_that_is_still_read_is_closed_first(streaming, server):
    async def main():
        async with streaming.sequence(end_with=[9]) as sequence:
            stream = sequence.ainfer_stream([1, 2])
            await anext(stream)
        assert stream.closed

    asyncio.run(main())
    assert flags(server) == [{"start": True}, {"end": True}]


def test_a_task_that_is_cancelled_in_the_block_sends_the_end(client, server):
    async def work():
        async with client.sequence(end_with=[9]) as sequence:
            await sequence.ainfer([1])
            await sequence.ainfer([2])

    async def main():
        server.held = lambda request: request.raw_input_contents[0][0] == 2
        server.gate.clear()
        task = asyncio.create_task(work())
        await asyncio.to_thread(server.wait_for, lambda it: it.count == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert flags(server) == [{"start": True}, {}, {"end": True}]


def test_a_generator_that_is_dropped_in_the_block_sends_nothing(client, server):
    def numbers():
        with client.sequence(end_with=[9]) as sequence:
            while True:
                yield sequence.infer([1])

    generator = numbers()
    next(generator)
    generator.close()
    assert flags(server) == [{"start": True}]


def test_a_closed_client_says_so(client):
    sequence = client.sequence(end_with=[9])
    client.close()
    with pytest.raises(NupicError, match="this client is closed"):
        sequence.infer([1])


def test_many_sequences_at_once(client, server):
    def work(number):
        with client.sequence(number, end_with=[0]) as sequence:
            for _ in range(5):
                sequence.infer([number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for number in range(1, 17):
        own = [flag for key, flag in zip(ids(server), flags(server), strict=True) if key == number]
        assert own == [{"start": True}, {}, {}, {}, {}, {"end": True}]


def test_it_says_what_it_is(client):
    sequence = client.sequence(7)
    assert repr(sequence) == "InferenceSequence(7)"
    sequence.infer([1], end=True)
    assert repr(sequence) == "InferenceSequence(7, ended)"
