"""Decoupled and stateful models of numbers on the real server: NVIDIA's public examples, with the values of tritonclient."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nupic_client import (
    ConfigurationError,
    InferenceClient,
    InferenceError,
    InferenceResult,
    RequestRejectedError,
    ServerClient,
    StreamStateError,
)
from triton.peer import array_facts, tritonclient_answer, tritonclient_stream
from triton.server import TritonServer

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = Path(__file__).with_name("numbers")
TIMEOUT = 20


@pytest.fixture(scope="module")
def url(needs_triton: None) -> Iterator[str]:
    with TritonServer(MODELS) as server:
        yield server.url


def by_results(client: InferenceClient, inputs: Any, **options: Any) -> list[InferenceResult]:
    return client.infer_stream(inputs, **options).results()


def by_async_results(client: InferenceClient, inputs: Any, **options: Any) -> list[InferenceResult]:
    return asyncio.run(client.ainfer_stream(inputs, **options).results())


@pytest.fixture(params=[by_results, by_async_results], ids=lambda way: way.__name__)
def read(request: pytest.FixtureRequest) -> Any:
    return request.param


def arrays(results: list[InferenceResult]) -> list[dict[str, Any]]:
    return [array_facts(result) for result in results]


REPEAT = {
    "IN": np.array([4, 2, 0, 1], np.int32),
    "DELAY": np.array([1, 2, 3, 4], np.uint32),
    "WAIT": np.array([5], np.uint32),
}


def numbers(value: int, name: str = "IN", shape: tuple[int, ...] = (1,)) -> dict[str, Any]:
    return {name: np.full(shape, value, np.int32)}


@pytest.mark.parametrize(
    ("model", "inputs", "count"),
    [
        ("repeat_int32", REPEAT, 4),
        ("square_int32", numbers(3), 3),
        ("square_int32", numbers(1), 1),
        ("square_int32", numbers(0), 0),
    ],
)
def test_decoupled_models(url: str, read: Any, model: str, inputs: dict[str, Any], count: int) -> None:
    with InferenceClient(model, url, timeout=TIMEOUT) as client:
        found = arrays(read(client, inputs))
    assert len(found) == count
    assert found == tritonclient_stream(url, model, inputs)


def test_single_outputs(url: str, read: Any) -> None:
    with InferenceClient("repeat_int32", url, timeout=TIMEOUT) as client:
        results = read(client, REPEAT, outputs=["IDX"])
    assert [{name: array.tolist() for name, array in result.items()} for result in results] == [
        {"IDX": [index]} for index in range(4)
    ]


def test_inputs_and_outputs_in_shared_memory(url: str, read: Any) -> None:
    with ServerClient(url) as server, InferenceClient("repeat_int32", url, timeout=TIMEOUT) as client:
        with server.shared_memory(1 << 12) as region:
            inputs = {"IN": region.put(REPEAT["IN"]), "DELAY": REPEAT["DELAY"], "WAIT": REPEAT["WAIT"]}
            assert [result["OUT"].tolist() for result in read(client, inputs)] == [[4], [2], [0], [1]]
            one = {**REPEAT, "IN": np.array([7], np.int32), "DELAY": REPEAT["DELAY"][:1]}
            (result,) = read(client, one, outputs={"OUT": region.output(4), "IDX": None})
            assert (result["OUT"].tolist(), result["IDX"].tolist()) == ([7], [0])


def test_an_error_in_the_middle(url: str, read: Any) -> None:
    inputs = {**REPEAT, "IN": np.array([4, 2, -1, 1], np.int32)}
    with InferenceClient("repeat_int32", url, timeout=TIMEOUT) as client:
        with pytest.raises(InferenceError, match="the model failed: cannot repeat -1") as caught:
            read(client, inputs)
    assert [result["OUT"].tolist() for result in caught.value.partial_results] == [[4], [2]]


def test_leaving_stops_the_model(url: str) -> None:
    inputs = {
        "IN": np.arange(2000, dtype=np.int32),
        "DELAY": np.full(2000, 10, np.uint32),
        "WAIT": REPEAT["WAIT"],
    }
    with InferenceClient("repeat_int32", url, timeout=TIMEOUT) as client:
        with client.infer_stream(inputs) as stream:
            assert next(stream)["OUT"].tolist() == [0]
        assert len(client.infer_stream(REPEAT).results()) == 4


def test_infer_says_what_to_use(url: str) -> None:
    with InferenceClient("square_int32", url, timeout=TIMEOUT) as client:
        with pytest.raises(ConfigurationError, match="infer_stream"):
            client.infer([3])


# Sequences


def test_an_iterative_sequence(url: str, read: Any) -> None:
    """One request of ours; the server's scheduler runs the model again until it is done.

    With ``sequence_end`` it runs the model once, and then says nothing more to any client.
    """
    inputs = numbers(4, shape=(1, 1))
    with InferenceClient("iterative_sequence", url, timeout=TIMEOUT) as client:
        found = arrays(read(client, inputs, parameters={"sequence_id": 77, "sequence_start": True}))
        again = arrays(client.sequence().infer_stream(inputs).results())
    assert [answer["OUT"][2] for answer in found] == [[[3]], [[2]], [[1]], [[0]]]
    assert found == again
    assert found == tritonclient_stream(
        url, "iterative_sequence", inputs, sequence_id=78, sequence_start=True
    )


def their_sums(url: str, values: list[int], sequence_id: int | str) -> list[int]:
    return [
        tritonclient_answer(
            url,
            "accumulate",
            numbers(value, "INPUT", (1, 1)),
            sequence_id=sequence_id,
            sequence_start=place == 0,
            sequence_end=place == len(values) - 1,
        )["OUTPUT"][2][0][0]
        for place, value in enumerate(values)
    ]


VALUES = [3, 4, 5, 6]


@pytest.mark.parametrize("sequence_id", [None, 5, "a text", 2**63 - 1])
def test_a_sequence(url: str, sequence_id: int | str | None) -> None:
    with InferenceClient("accumulate", url, timeout=TIMEOUT) as client:
        with client.sequence(sequence_id) as sequence:
            found = [int(sequence.infer([value], end=value == VALUES[-1]).only[0, 0]) for value in VALUES]
    assert found == [3, 7, 12, 18] == their_sums(url, VALUES, 9001)


@pytest.mark.parametrize("sequence_id", [2**63, 2**64 - 1])
def test_an_id_that_is_no_signed_integer(url: str, sequence_id: int) -> None:
    """The server takes signed integers only, of which it reads the bits."""
    with InferenceClient("accumulate", url, timeout=TIMEOUT) as client:
        with client.sequence(sequence_id) as sequence:
            assert [int(sequence.infer([value], end=value == 6).only[0, 0]) for value in VALUES] == [
                3,
                7,
                12,
                18,
            ]
        with pytest.raises(RequestRejectedError, match="expected int64_param or string_param"):
            client.infer([1], parameters={"sequence_id": sequence_id, "sequence_start": True})


def test_an_async_sequence(url: str) -> None:
    async def sums(client: InferenceClient, values: list[int]) -> list[int]:
        async with client.sequence(end_with=[0]) as sequence:
            return [int((await sequence.ainfer([value])).only[0, 0]) for value in values]

    async def main() -> list[list[int]]:
        async with InferenceClient("accumulate", url, timeout=TIMEOUT) as client:
            return await asyncio.gather(*(sums(client, [start, 1, 1]) for start in range(3)))

    assert asyncio.run(main()) == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]


def test_a_sequence_of_streams(url: str) -> None:
    with InferenceClient("accumulate_stream", url, timeout=TIMEOUT) as client:
        with client.sequence(end_with=[0]) as sequence:
            found = [
                [int(result.only[0, 0]) for result in sequence.infer_stream([value])] for value in VALUES
            ]
            stream = sequence.infer_stream([1])
            with pytest.raises(StreamStateError, match="one request at a time"):
                sequence.infer_stream([1])
    assert found == [[3], [3, 7], [3, 7, 12], [3, 7, 12, 18]]
    assert (stream.closed, sequence.ended) == (True, True)


def test_a_sequence_over_both_ways(url: str) -> None:
    """A model that is not decoupled may be asked over both calls."""
    with InferenceClient("accumulate", url, timeout=TIMEOUT) as client:
        sequence = client.sequence()
        assert sequence.infer([3]).only.tolist() == [[3]]
        (result,) = sequence.infer_stream([4])
        assert result.only.tolist() == [[7]]
        assert sequence.infer([5], end=True).only.tolist() == [[12]]


def test_a_sequence_goes_on_after_a_failure_and_a_new_start_is_clean(url: str) -> None:
    with InferenceClient("accumulate", url, timeout=TIMEOUT) as client:
        with client.sequence(end_with=[0]) as sequence:
            with pytest.raises(InferenceError, match="cannot add -1"):
                sequence.infer([-1])  # the server has started it
            assert sequence.infer([3]).only.tolist() == [[3]]
            with pytest.raises(InferenceError, match="cannot add -1"):
                sequence.infer([-1])
            assert sequence.infer([4]).only.tolist() == [[7]]


def test_without_a_sequence_the_server_refuses(url: str) -> None:
    with InferenceClient("accumulate", url, timeout=TIMEOUT) as client:
        with pytest.raises(RequestRejectedError, match="non-zero or non-empty correlation ID"):
            client.infer([1])


def test_a_sequence_that_is_never_ended_keeps_its_slot_until_it_was_idle(url: str) -> None:
    """There are four slots, and two seconds until one is free again."""
    with InferenceClient("accumulate", url, timeout=TIMEOUT) as client:
        for number in range(1, 6):
            begin = time.monotonic()
            assert client.sequence().infer([number]).only.tolist() == [[number]]
    assert time.monotonic() - begin > 0.5
