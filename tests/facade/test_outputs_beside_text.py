"""Outputs that a text model gives besides its text: nothing of them is lost, and plain text stays plain."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nupic_client import (
    ConfigurationError,
    Event,
    Finished,
    Generation,
    InferenceClient,
    InferenceError,
    StreamingClient,
    TensorSpec,
    TextDelta,
)
from nupic_client.local import text_signature
from nupic_client.testing import FakeTriton, abort, fail, silence

BEFORE = [
    TensorSpec("score", "FP32", (1,)),
    TensorSpec("ids", "INT64", (-1,)),
    TensorSpec("note", "BYTES", (1,)),
]
STREAM = text_signature("scored.streaming", outputs_before=BEFORE)
ONCE = text_signature("scored", decoupled=False, outputs_before=BEFORE)
EURO = "€".encode()
REPLY = [
    {"text_output": "Hel", "score": 0.5, "ids": [1, 2, 3]},
    {"text_output": "lo ", "score": 1.5},
    {"score": 2.5},
    {"text_output": EURO[:1], "score": 3.5},
    {"text_output": EURO[1:], "note": "é"},
    "!",
]
EXPECTED = [
    ("Hel", {"score": [0.5], "ids": [1, 2, 3]}),
    ("lo ", {"score": [1.5]}),
    ("", {"score": [2.5]}),
    ("", {"score": [3.5]}),
    ("€", {}),
    ("!", {}),
]


def by_events(client: StreamingClient, **options: Any) -> list[Event]:
    return list(client.stream("Hi", **options).events())


def by_async_events(client: StreamingClient, **options: Any) -> list[Event]:
    async def read() -> list[Event]:
        return [event async for event in client.astream("Hi", **options).events()]

    return asyncio.run(read())


EVENTS = [by_events, by_async_events]


def told(outputs: Any) -> Any:
    return None if outputs is None else {name: array.tolist() for name, array in outputs.items()}


def read_events(events: list[Event]) -> tuple[list[tuple[str, Any]], Generation]:
    *deltas, finished = events
    assert isinstance(finished, Finished)
    assert all(isinstance(delta, TextDelta) for delta in deltas)
    return [(delta.text, told(delta.outputs)) for delta in deltas], finished.generation


def test_each_response_with_outputs_is_an_event(serve):
    with (
        serve(REPLY, models=[STREAM, ONCE]) as server,
        StreamingClient("scored.streaming", url=server.url) as client,
    ):
        for read in EVENTS:
            deltas, generation = read_events(read(client, outputs=["score", "ids"]))
            assert deltas == EXPECTED
            assert generation.text == "Hello €!"
            assert told(generation.outputs) == {"score": [3.5], "ids": [1, 2, 3]}
        # Without the option, and with the option where only text is read.
        for options in ({}, {"outputs": ["score", "note"]}):
            assert list(client.stream("Hi", **options)) == ["Hel", "lo ", "€", "!"]
            assert asyncio.run(pieces(client, **options)) == ["Hel", "lo ", "€", "!"]
            stream = client.stream("Hi", **options)
            assert [next(stream), next(stream), next(stream), next(stream), next(stream, None)] == [
                *("Hel", "lo ", "€", "!"),
                None,
            ]
            assert told(stream.result().outputs) == ({"score": [3.5], "note": ["é"]} if options else None)
        whole = client.generate("Hi", outputs=["note"])
        assert told(whole.outputs) == {"note": ["é"]}
        with InferenceClient("scored", url=server.url) as other:
            for generation in (
                other.generate("Hi", outputs=["score", "ids"]),
                asyncio.run(other.agenerate("Hi", outputs=["score", "ids"])),
            ):
                assert told(generation.outputs) == {"score": [3.5], "ids": [1, 2, 3]}
            assert other.generate("Hi").outputs is None
        with InferenceClient("scored.streaming", url=server.url, outputs=["score"]) as other:
            assert told(other.generate("Hi").outputs) == {"score": [3.5]}


async def pieces(client: StreamingClient, **options: Any) -> list[str]:
    async with client.astream("Hi", **options) as stream:
        first = await anext(stream)
        rest = [text async for text in stream]
    async with client.astream("Hi", **options) as stream:
        singles = []
        while (text := await anext(stream, None)) is not None:
            singles.append(text)
    assert singles == [first, *rest]
    return singles


def fake(reply: Any, **options: Any) -> FakeTriton:
    return FakeTriton(reply, models=[STREAM, ONCE], **options)


@pytest.fixture(params=EVENTS, ids=["sync", "async"])
def read_all(request: pytest.FixtureRequest) -> Callable[..., list[Event]]:
    return request.param


@pytest.mark.parametrize("final", ["separate", "with_last"])
def test_outputs_of_the_last_response_are_there(read_all, final):
    with (
        fake([{"text_output": "a"}, {"score": 1.0}], final=final) as server,
        StreamingClient("scored.streaming", url=server.url) as client,
    ):
        deltas, generation = read_events(read_all(client, outputs=["score"]))
    assert deltas == [("a", {}), ("", {"score": [1.0]})]
    assert generation.text == "a"


def test_an_answer_may_have_outputs_and_no_text(read_all):
    with (
        fake([{"score": 1.0}, {"score": 2.0}]) as server,
        StreamingClient("scored.streaming", url=server.url) as client,
    ):
        deltas, generation = read_events(read_all(client, outputs=["score"]))
        assert list(client.stream("Hi", outputs=["score"])) == []
    assert deltas == [("", {"score": [1.0]}), ("", {"score": [2.0]})]
    assert (generation.text, told(generation.outputs)) == ("", {"score": [2.0]})


def test_a_stop_string_cuts_the_text_and_keeps_the_outputs_of_its_response(read_all):
    reply = [
        {"text_output": "ab E", "score": 1.0},
        {"text_output": "ND cd", "score": 2.0},
        {"text_output": "ef", "score": 3.0},
    ]
    with fake(reply) as server, StreamingClient("scored.streaming", url=server.url) as client:
        deltas, generation = read_events(read_all(client, outputs=["score"], stop="END"))
    assert deltas == [("ab ", {"score": [1.0]}), ("", {"score": [2.0]})]
    assert (generation.text, generation.finish_reason) == ("ab ", "stop")
    assert told(generation.outputs) == {"score": [2.0]}


def test_an_answer_that_was_sent_again_has_the_outputs_of_the_second(read_all):
    tries = []

    def reply(_request):
        tries.append(1)
        return [abort("UNAVAILABLE")] if len(tries) == 1 else [{"text_output": "a", "score": 2.0}]

    with fake(reply) as server, StreamingClient("scored.streaming", url=server.url) as client:
        deltas, generation = read_events(read_all(client, outputs=["score"]))
    assert deltas == [("a", {"score": [2.0]})]
    assert len(generation.attempts) == 2


def test_the_error_of_an_answer_comes_after_its_outputs():
    with (
        fake([{"score": 1.0}, fail("engine exploded")]) as server,
        StreamingClient("scored.streaming", url=server.url) as client,
    ):
        events = client.stream("Hi", outputs=["score"]).events()
        assert told(next(events).outputs) == {"score": [1.0]}
        with pytest.raises(InferenceError, match="engine exploded"):
            next(events)


def test_leaving_the_events_cancels():
    with (
        fake([{"score": 1.0}, silence()]) as server,
        StreamingClient("scored.streaming", url=server.url) as client,
    ):
        stream = client.stream("Hi", outputs=["score"])
        for event in stream.events():
            assert told(event.outputs) == {"score": [1.0]}
            break
        assert stream.closed
        assert len(server.wait_for_cancellation()) == 1


def test_events_and_text_may_take_turns():
    with fake(REPLY) as server, StreamingClient("scored.streaming", url=server.url) as client:
        stream = client.stream("Hi", outputs=["score"])
        events = stream.events()
        assert next(events).text == "Hel"
        assert next(stream) == "lo "
        assert next(stream) == "€"
        assert told(next(events).outputs) == {}
        assert stream.result().text == "Hello €!"


@pytest.mark.parametrize("wrong", ["score", {"score": 3}, [1], 5])
def test_outputs_must_be_a_list_of_names(wrong):
    with fake(REPLY) as server, StreamingClient("scored.streaming", url=server.url) as client:
        with pytest.raises(ConfigurationError, match="outputs must be a list of names"):
            client.stream("Hi", outputs=wrong)
        assert not server.requests


def test_an_output_that_the_model_does_not_have_is_refused_before_anything_is_sent():
    with fake(REPLY) as server:
        with (
            StreamingClient("scored.streaming", url=server.url) as client,
            pytest.raises(ConfigurationError, match="has no output 'scores': did you mean 'score'"),
        ):
            client.stream("Hi", outputs=["scores"])
        with (
            InferenceClient("scored", url=server.url) as client,
            pytest.raises(ConfigurationError, match="has no output 'scores': did you mean 'score'"),
        ):
            client.generate("Hi", outputs=["scores"])
        assert not server.requests


def test_arrays_have_the_data_type_of_the_model_and_cannot_be_changed():
    with fake(REPLY) as server, StreamingClient("scored.streaming", url=server.url) as client:
        outputs = client.generate("Hi", outputs=["score", "ids"]).outputs
    assert (outputs["score"].dtype, outputs["ids"].dtype) == (np.float32, np.int64)
    assert not outputs["ids"].flags.writeable


def test_numpy_is_imported_by_the_first_such_output_only():
    code = """
import sys
from nupic_client import StreamingClient
with StreamingClient("scored.streaming", url=sys.argv[1]) as client:
    client.generate("Hi", parameters={"a": 1})
    assert "numpy" not in sys.modules
    client.generate("Hi", outputs=["score"])
    assert "numpy" in sys.modules
"""
    with fake(REPLY) as server:
        subprocess.run([sys.executable, "-c", code, server.url], check=True)
