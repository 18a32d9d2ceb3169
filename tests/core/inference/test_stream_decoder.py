"""The responses of one streamed request: results, the end, and what breaks the protocol."""

from __future__ import annotations

import pytest
from core.replies import array_signature, error, inference_request, last, raw_bytes, reply, reply_message

from nupic_client._core.inference.stream_decoder import ResultDecoder
from nupic_client.errors import IncompleteStreamError, InferenceError, ProtocolError


def number(value, *, final=False, name="y", **more):
    return reply((name, "INT32", [1], value.to_bytes(4, "little")), final=final, **more)


def decoder(**options):
    request = inference_request(streamed=True, **options)
    return ResultDecoder(request.codec(array_signature({}, decoupled=True)), "r1")


def test_each_response_is_a_result():
    one = decoder()
    assert [one.feed(number(value))["y"].tolist() for value in (4, 2)] == [[4], [2]]
    assert not one.finished


def test_a_result_says_whose_it_is():
    result = decoder().feed(number(4))
    assert (result.model, result.request_id) == ("model", "r1")
    assert result.parameters == {"triton_final_response": False}


def test_an_empty_final_response_is_the_end_and_no_result():
    one = decoder()
    assert one.feed(last()) is None
    assert (one.finished, one.complete) == (True, True)
    one.end()


def test_an_empty_answer_of_a_model_that_answers_once_is_a_result():
    """It may have given no outputs; its server sends no final response besides."""
    codec = inference_request(streamed=True).codec(array_signature({}, decoupled=False))
    one = ResultDecoder(codec, "r1")
    assert len(one.feed(last())) == 0
    assert (one.finished, one.complete) == (True, True)


def test_an_empty_final_response_behind_the_answer_is_no_result():
    """A server with a model whose configuration is not known may say more than once that it is done."""
    codec = inference_request(streamed=True).codec(array_signature({}, decoupled=False))
    one = ResultDecoder(codec, "r1")
    assert one.feed(number(4))["y"].tolist() == [4]
    assert one.feed(last()) is None
    assert one.finished


def test_a_final_response_with_outputs_is_a_result_and_the_end():
    one = decoder()
    assert one.feed(number(7, final=True))["y"].tolist() == [7]
    assert one.finished


def test_a_final_response_with_parameters_of_the_model_is_a_result():
    response = reply_message(final=True)
    response.infer_response.parameters["tokens"].int64_param = 3
    result = decoder().feed(response.SerializeToString())
    assert (len(result), result.parameters["tokens"]) == (0, 3)


def test_an_empty_response_in_the_middle_is_a_result_without_outputs():
    result = decoder(outputs=["y"]).feed(reply(final=False))
    assert len(result) == 0


def test_an_error_is_typed_and_the_last_word():
    one = decoder()
    with pytest.raises(InferenceError, match="exploded"):
        one.feed(error("exploded"))
    assert one.complete
    assert not one.finished


def test_the_answer_to_another_request_is_refused():
    with pytest.raises(ProtocolError, match="another request, 'r2'"):
        decoder().feed(number(4, request_id="r2"))


def test_a_response_after_the_final_one_is_refused():
    one = decoder()
    one.feed(last())
    with pytest.raises(ProtocolError, match="after the one marked as final"):
        one.feed(number(4))


def test_an_output_that_was_asked_for_must_be_there():
    with pytest.raises(ProtocolError, match="did not send the output 'z'"):
        decoder(outputs=["z"]).feed(number(4))


def test_an_output_that_cannot_be_decoded_is_named():
    with pytest.raises(ProtocolError, match="output 'y' cannot be decoded"):
        decoder().feed(reply(("y", "INT32", [2], b"\0\0\0\0"), final=False))


def test_texts_are_limited_in_each_response():
    text = reply(("y", "BYTES", [1], raw_bytes(b"abcdef")), final=False)
    one = decoder(max_output_bytes=10)
    assert [one.feed(text)["y"].tolist() for _ in range(3)] == [["abcdef"]] * 3
    with pytest.raises(ProtocolError, match="max_output_bytes"):
        decoder(max_output_bytes=9).feed(text)


def test_a_stream_without_its_final_mark_is_incomplete():
    one = decoder()
    one.feed(number(4))
    with pytest.raises(IncompleteStreamError):
        one.end()


def test_bare_responses_are_results_and_the_status_is_their_end():
    answer = reply_message(("y", "INT32", [1], b"\4\0\0\0"), request_id="its own").infer_response
    answer.model_name = "model"
    one = decoder()
    assert one.feed(answer.SerializeToString())["y"].tolist() == [4]
    one.end()
    assert one.finished
