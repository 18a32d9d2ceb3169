"""What an answer tells besides its text: finish reasons, token counts and log probabilities of each backend."""

from __future__ import annotations

import json
import math
import struct

import pytest
from core.replies import raw_bytes, reply_message

from nupic_client._core.generation.details import AnswerDetails
from nupic_client._core.kserve.scalar_outputs import ScalarOutputs
from nupic_client.backends.protocol import OutputNames
from nupic_client.errors import ProtocolError
from nupic_client.results import FinishReason, TokenLogprob, Usage

REASON = OutputNames(finish_reason="reason")
COUNTS = OutputNames(input_tokens="given", output_tokens="made")
LOGPROBS = OutputNames(logprobs="logprobs")


def read(details, *outputs):
    return details.read(ScalarOutputs(reply_message(*outputs).infer_response))


def reason(text):
    return ("reason", "BYTES", [1], raw_bytes(text))


def number(name, value):
    return (name, "INT32", [1], struct.pack("<i", value))


def floats(*values):
    return ("logprobs", "FP32", [len(values)], struct.pack(f"<{len(values)}f", *values))


def written(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return ("logprobs", "BYTES", [1], raw_bytes(data))


# Why it ended


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"stop", FinishReason.STOP),
        (b"STOP", FinishReason.STOP),
        (b"length", FinishReason.LENGTH),
        (b"abort", FinishReason.OTHER),
        (b"\xff", FinishReason.OTHER),
    ],
)
def test_a_reason_is_one_of_the_known_ones_or_another(text, found):
    details = AnswerDetails(REASON)
    assert read(details, reason(text)) is None
    assert details.finish_reason is found


@pytest.mark.parametrize("text", [b"None", b""])
def test_no_reason_yet_is_none(text):
    details = AnswerDetails(REASON)
    assert read(details, reason(text)) == 0
    assert read(details) == 0
    assert details.finish_reason is None


def test_no_later_response_takes_the_reason_back():
    details = AnswerDetails(REASON)
    read(details, reason(b"length"))
    read(details, reason(b"None"))
    assert details.finish_reason is FinishReason.LENGTH


# How many tokens


def test_without_counts_nothing_is_known():
    details = AnswerDetails(COUNTS)
    assert read(details) == 0
    assert details.usage == Usage()


def test_output_tokens_add_up_and_input_tokens_are_those_of_the_first_response():
    details = AnswerDetails(COUNTS)
    assert read(details, number("given", 7), number("made", 2)) == 2
    assert read(details, number("given", 99), number("made", 3)) == 3
    details.count(4)
    assert details.usage == Usage(input_tokens=7, output_tokens=9)


def test_input_tokens_may_come_late():
    details = AnswerDetails(COUNTS)
    read(details, number("made", 1))
    read(details, number("given", 7))
    assert details.usage == Usage(input_tokens=7, output_tokens=1)


def test_a_count_of_zero_is_a_count():
    details = AnswerDetails(COUNTS)
    assert read(details, number("given", 0), number("made", 0)) == 0
    assert details.usage == Usage(input_tokens=0, output_tokens=0)


def test_outputs_that_are_not_asked_for_are_not_looked_at():
    details = AnswerDetails(REASON)
    assert read(details, number("given", 1), number("made", 1), floats(-1.0)) == 0
    assert (details.usage, details.logprobs) == (Usage(), [])


# How likely they were: numbers


def test_numbers_are_log_probabilities():
    details = AnswerDetails(LOGPROBS)
    assert read(details, floats(-0.5, -1.5)) is None
    assert details.logprobs == [TokenLogprob(logprob=-0.5), TokenLogprob(logprob=-1.5)]


def test_numbers_that_repeat_all_so_far_count_once():
    details = AnswerDetails(LOGPROBS)
    for count in (1, 2, 2, 3):
        read(details, floats(*[-1.0, -2.0, -3.0][:count]))
    assert [item.logprob for item in details.logprobs] == [-1.0, -2.0, -3.0]


def test_numbers_that_do_not_repeat_are_new_ones():
    details = AnswerDetails(LOGPROBS)
    for values in ((-1.0,), (-2.0, -3.0), (-1.0, -2.0)):
        read(details, floats(*values))
    assert [item.logprob for item in details.logprobs] == [-1.0, -2.0, -3.0, -1.0, -2.0]


def test_each_log_probability_is_taken_once():
    details = AnswerDetails(LOGPROBS)
    assert details.take_logprobs() == ()
    read(details, floats(-1.0))
    assert details.take_logprobs() == (TokenLogprob(logprob=-1.0),)
    assert details.take_logprobs() == ()
    read(details, floats(-1.0, -2.0))
    assert details.take_logprobs() == (TokenLogprob(logprob=-2.0),)
    assert len(details.logprobs) == 2


def test_a_response_without_them_is_looked_at_all_the_same():
    details = AnswerDetails(LOGPROBS)
    assert read(details) is None
    assert details.logprobs == []


# How likely they were: JSON


def test_vllms_json_gives_the_chosen_token_and_the_likeliest_ones():
    position = {
        "5": {"logprob": -2.0, "rank": 3, "decoded_token": "chosen"},
        "7": {"logprob": -0.5, "rank": 1, "decoded_token": "likelier"},
        "9": {"logprob": -9.0},
    }
    details = AnswerDetails(LOGPROBS)
    assert read(details, written([position])) is None
    (found,) = details.logprobs
    assert (found.logprob, found.token, found.token_id, found.rank) == (-2.0, "chosen", 5, 3)
    assert [(item.token_id, item.token, item.rank) for item in found.top_logprobs] == [
        (7, "likelier", 1),
        (5, "chosen", 3),
        (9, None, None),
    ]


def test_every_response_has_the_json_of_its_own_tokens():
    details = AnswerDetails(LOGPROBS)
    read(details, written([{"1": {"logprob": -1}}, {"2": {"logprob": -2}}]))
    read(details, written([{"1": {"logprob": -1}}]))
    assert [item.token_id for item in details.logprobs] == [1, 2, 1]


@pytest.mark.parametrize("value", [None, [], b"", b"null", [None], [{}]])
def test_json_without_tokens_gives_none(value):
    details = AnswerDetails(LOGPROBS)
    read(details, written(value))
    assert details.logprobs == []


def test_a_probability_of_zero_is_minus_infinity():
    details = AnswerDetails(LOGPROBS)
    read(details, written(b'[{"1": {"logprob": -Infinity}}]'))
    assert details.logprobs[0].logprob == -math.inf


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"\xff",
        b"5",
        b"[5]",
        b'[{"x": {"logprob": 1}}]',
        b'[{"1": {}}]',
        b'[{"1": 5}]',
        b'[{"1": {"logprob": null}}]',
        b"[" * 100_000,
        b'[{"1": {"logprob": "%s"}}]' % (b"x" * 10_000),
    ],
)
def test_json_of_another_form_breaks_the_protocol_and_is_not_shown_whole(data):
    with pytest.raises(ProtocolError, match="'logprobs'") as caught:
        read(AnswerDetails(LOGPROBS), written(data))
    assert caught.value.request_id == "r1"
    assert len(caught.value.message) < 400
    assert caught.value.__suppress_context__


def test_another_data_type_breaks_the_protocol():
    with pytest.raises(ProtocolError, match="'logprobs'"):
        read(AnswerDetails(LOGPROBS), ("logprobs", "BF16", [1], b"\0\0"))
