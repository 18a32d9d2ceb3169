"""A generation that is read in parts: what comes when, and what every ending leaves."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from core.replies import chunk, generation_request, last, raw_bytes, reply
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.generation.answer_plan import AnswerPlan
from nupic_client._core.generation.answer_session import AnswerSession, ItemAnswerSession, call_id, with_parts
from nupic_client._core.generation.bulk import ItemSession
from nupic_client._core.generation.request import WireRequest
from nupic_client._core.generation.session import GenerationSession
from nupic_client._core.kserve import wire
from nupic_client.backends.protocol import OutputNames
from nupic_client.errors import InferenceError, OutputError
from nupic_client.prompts import formatter_for
from nupic_client.results import ReasoningDelta, TextDelta, ToolArguments
from nupic_client.tools import Tool, ToolCall

QWEN3 = formatter_for("qwen3").answer
ADD = Tool(
    "add",
    "Add.",
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    },
)
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'


def with_ids(text):
    data = raw_bytes(text.encode())
    return reply(("text_output", "BYTES", (1,), data), ("ids", "INT32", (1,), struct.pack("<i", 7)))


def session(*, must_call=(), stops=(), kind=AnswerSession, extra=(), **options):
    plan = AnswerPlan(answer_format=QWEN3, tools=(ADD,), must_call=must_call)
    request = replace(generation_request(prompt="<|im_start|>assistant\n", **options), answer=plan)
    names = OutputNames(cumulative=False)
    return kind(request, WireRequest(wire.pb.ModelInferRequest(model_name="llm"), names, stops, extra), 100.0)


def read(made, *pieces, end=True):
    """Return the events of an answer, and the texts that a plain iteration yields."""
    events, texts = [], []
    for number, piece in enumerate(pieces):
        text = made.receive(chunk(piece), 101.0 + number)
        if text or made.outputs_only:
            events += made.events(text)
        texts.append(text)
    if end:
        made.receive(last(), 150.0)
        texts.append(made.ended(150.0))
        events += made.last_events()
    return events, "".join(texts)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=60))
def test_parts_do_not_depend_on_the_pieces(sizes):
    whole = f"<think>\nOne.\n</think>\n\nTwo.\n{CALL}\n"
    pieces, place = [], 0
    for size in sizes:
        pieces.append(whole[place : place + size])
        place += size
    pieces = [piece for piece in (*pieces, whole[place:]) if piece]
    made = session()
    events, text = read(made, *pieces)
    result = made.result()
    assert (text, result.text, result.reasoning) == ("Two.", "Two.", "One.")
    assert [call.parsed for call in result.tool_calls] == [{"a": 1}]
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == "One."
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Two."
    assert "".join(event.json_delta for event in events if isinstance(event, ToolArguments)) == '{"a": 1}'


def test_what_is_no_text_lets_a_reader_go_on():
    made = session()
    assert made.receive(chunk("<think>\nOne."), 101.0) == ""
    assert made.outputs_only
    assert list(made.events("")) == [ReasoningDelta("One.")]
    assert made.receive(chunk("\n</think>\n\nTwo."), 102.0) == "Two."
    assert not made.outputs_only


def test_outputs_beside_the_text_come_with_the_parts_of_their_response():
    made = session(extra=("ids",))
    assert made.receive(with_ids("<think>\nOne."), 101.0) == ""
    assert made.outputs_only
    first, second = made.events("")
    assert (first, second.text, second.outputs["ids"].tolist()) == (ReasoningDelta("One."), "", [7])
    made.receive(with_ids("\n</think"), 102.0)
    assert made.outputs_only, "nothing else is certain, but the output came"
    (only,) = made.events("")
    assert (only.text, only.outputs["ids"].tolist()) == ("", [7])
    text = made.receive(with_ids(f">\n\nTwo.\n{CALL}\nThree."), 103.0)
    events = [event for event in made.events(text) if isinstance(event, TextDelta)]
    assert "".join(event.text for event in events) == text
    assert [event.outputs is not None for event in events] == [True, *[False] * (len(events) - 1)]


def test_times_tell_the_first_token_from_the_answer():
    made = session()
    read(made, "<think>\nOne.", "\n</think>\n\nTwo.")
    timing = made.result().timing
    assert (timing.time_to_first_token, timing.time_to_answer) == (1.0, 2.0)
    assert session().result is not None


def test_a_stop_string_ends_the_parts_too():
    made = session(stops=("<|im_end|>",))
    made.receive(chunk(f"{CALL}<|im_end|>"), 101.0)
    assert made.stopped_early
    made.cancelled(102.0)
    assert [type(event) for event in made.events("")][-1] is ToolCall
    assert len(made.result().tool_calls) == 1


def test_a_failure_gives_what_was_held_back_as_text():
    made = session()
    read(made, "Two.\n<tool_call>\n{", end=False)
    error = made.failed(InferenceError("broken"), 103.0)
    assert error.partial_text == "Two.\n<tool_call>\n{"


def test_a_failure_in_the_reasoning_is_not_tried_again():
    made = session()
    read(made, "<think>\nOne.", end=False)
    error = made.failed(InferenceError("broken", retryable=True), 103.0)
    assert (error.partial_text, error.retryable) == ("", False)


def test_a_cancelled_answer_has_what_came_and_is_not_checked():
    made = session(must_call=(ADD,))
    read(made, "<think>\nOne.\n</think>\n\nTwo.", end=False)
    made.cancelled(103.0)
    result = made.result()
    assert (result.finish_reason, result.text, result.reasoning) == ("cancelled", "Two.", "One.")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("No.", "the answer must be a call of 'add', and has no call"),
        (CALL.replace("1", '"x"'), "add: "),
        (CALL.replace("{", '{"b": 2, ', 2).replace('{"b": 2, "name"', '{"name"'), "add: "),
    ],
)
def test_a_call_that_must_come_is_checked(answer, words):
    made = session(must_call=(ADD,))
    read(made, answer)
    with pytest.raises(OutputError, match="did not call a tool as tool_choice asks") as caught:
        made.result()
    assert words in caught.value.violations[0]
    assert caught.value.text == answer
    assert caught.value.generation.text == made.text


def test_the_right_call_is_a_result():
    made = session(must_call=(ADD,))
    read(made, CALL)
    assert made.result().tool_calls[0].name == "add"


def test_the_message_of_the_answer_keeps_its_parts():
    made = session()
    read(made, f"<think>\nOne.\n</think>\n\nTwo.\n{CALL}")
    message = made.answer_message()
    assert (message.role, message.content, message.reasoning) == ("assistant", "Two.", "One.")
    assert message.tool_calls == made.result().tool_calls


def test_ids_are_the_same_for_the_same_call_and_no_other():
    ids = {call_id(request, index) for request in ("r1", "r2") for index in range(50)}
    assert len(ids) == 100
    assert call_id("r1", 0) == call_id("r1", 0)


def test_the_class_for_one_of_many():
    assert with_parts(GenerationSession) is AnswerSession
    assert with_parts(ItemSession) is ItemAnswerSession
    made = session(kind=ItemAnswerSession)
    read(made, CALL)
    assert made.result().tool_calls
