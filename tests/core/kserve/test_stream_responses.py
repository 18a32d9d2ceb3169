"""The responses of a stream: taken out of what carries them, their errors, and which one is the last."""

from __future__ import annotations

import pytest
from core.replies import chunk, error, last, reply_message

from nupic_client._core.kserve.stream_responses import StreamResponses
from nupic_client.errors import IncompleteStreamError, InferenceError, ProtocolError


def bare(request_id="r1"):
    """Make a response as MLServer streams it."""
    answer = reply_message(("y", "INT32", [1], b"\1\0\0\0"), request_id=request_id).infer_response
    answer.model_name = "m"
    return answer.SerializeToString()


def test_a_response_is_unwrapped():
    responses = StreamResponses("r1")
    answer, final = responses.read(chunk("Hello", final=False))
    assert (answer.outputs[0].name, final, responses.complete) == ("text_output", False, False)


@pytest.mark.parametrize("response", [last(), chunk("Hello", final=True)])
def test_the_final_mark_is_the_last_word(response):
    responses = StreamResponses("r1")
    assert responses.read(response)[1]
    assert responses.complete


def test_an_error_is_typed_and_the_last_word():
    responses = StreamResponses("r1")
    with pytest.raises(InferenceError, match="exploded") as caught:
        responses.read(error("engine exploded"))
    assert caught.value.request_id == "r1"
    assert responses.complete


def test_what_is_no_message_breaks_the_protocol():
    with pytest.raises(ProtocolError, match="cannot be read"):
        StreamResponses("r1").read(b"\xff\xff")


def test_an_answer_to_another_request_is_refused():
    responses = StreamResponses("r1")
    answer, _ = responses.read(reply_message(request_id="r2", final=False).SerializeToString())
    with pytest.raises(ProtocolError, match="'r2'"):
        responses.check_id(answer)


@pytest.mark.parametrize(("own", "found"), [("r1", "r1"), ("r1", ""), ("", "r2")])
def test_an_answer_without_an_id_is_taken(own, found):
    responses = StreamResponses(own)
    answer, _ = responses.read(reply_message(request_id=found, final=False).SerializeToString())
    responses.check_id(answer)


def test_a_bare_response_is_read_and_its_end_is_the_status():
    responses = StreamResponses("r1")
    answer, final = responses.read(bare("another"))
    assert (answer.outputs[0].name, final) == ("y", False)
    assert (responses.bare, responses.complete) == (True, False)
    responses.check_id(answer)  # such servers make ids of their own
    responses.check_end()


def test_a_stream_of_triton_must_not_end_without_a_final_mark():
    responses = StreamResponses("r1")
    responses.read(chunk("Hello", final=False))
    with pytest.raises(IncompleteStreamError):
        responses.check_end()
