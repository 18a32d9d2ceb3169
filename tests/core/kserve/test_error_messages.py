"""Server messages to typed errors, in all the forms in which they come."""

from __future__ import annotations

from email.message import Message

import grpc
import grpc.aio
import pytest
from core.kserve.error_texts import TEXTS, TOO_LONG, UNKNOWN, WRAPPINGS
from hypothesis import given
from hypothesis import strategies as st
from looping import each

from nupic_client._core.kserve.error_messages import error_from_message, stream_error
from nupic_client._core.kserve.rest_errors import error_from_http
from nupic_client._grpc.status import error_from_rpc
from nupic_client.errors import InferenceError, ModelUnavailableError, RequestError

ALL = pytest.mark.parametrize("said", TEXTS, ids=[said.text[:40] for said in TEXTS])
WRAPPED = each("wrapping", WRAPPINGS)


def rpc(code, details):
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)


@ALL
@WRAPPED
def test_a_known_text_has_its_class_and_status(said, wrapping):
    """P-F6, I-F2, P-F7, I-F3: the class depends on what happened."""
    text = wrapping.replace("{}", said.text)
    error = error_from_message(text)
    assert (type(error), error.status, error.retryable) == (said.error, said.status, said.retryable)
    assert error.server_message == text


@ALL
@WRAPPED
def test_the_same_cause_has_the_same_class_however_it_comes(said, wrapping):
    """P-F6, P-F7, I-F2, I-F3: by stream, by call with whatever status, and over HTTP."""
    text = wrapping.replace("{}", said.text)
    codes = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INVALID_ARGUMENT)
    errors = [stream_error(text), *(error_from_rpc(rpc(code, text), "host:8001") for code in codes)]
    errors += [error_from_http(status, text.encode(), Message()) for status in (400, 500, 503)]
    assert {(type(error), error.retryable) for error in errors} == {(said.error, said.retryable)}
    assert not [error for error in errors if error.message.startswith("cannot reach the server")]


@pytest.mark.parametrize("text", UNKNOWN)
@WRAPPED
def test_a_models_own_words_are_not_known(text, wrapping):
    assert error_from_message(wrapping.replace("{}", text)) is None


@pytest.mark.parametrize(("text", "limit", "requested"), TOO_LONG)
@WRAPPED
def test_a_prompt_that_is_too_long_has_the_numbers(text, limit, requested, wrapping):
    """U-A21: a gateway can make a 400 of it, and knows by how much to shorten."""
    error = stream_error(wrapping.replace("{}", text))
    assert (error.limit, error.requested, error.retryable) == (limit, requested, False)
    assert error.message.startswith("the request has more tokens than the model can hold: ")


def test_the_servers_words_are_kept_verbatim():
    text = "[request id: e5] unexpected shape for input 'x'. "
    assert error_from_message(text).server_message == text


def test_the_sentence_does_not_repeat_what_is_around_the_words():
    text = "in ensemble 'e', [request id: e5] unexpected shape for input 'x'. "
    assert str(error_from_message(text)).startswith(
        "the request does not fit the model: unexpected shape for input 'x'. ("
    )


def test_an_unknown_text_inside_a_stream_is_the_models_failure():
    error = stream_error("engine exploded at token 3")
    assert type(error) is InferenceError
    assert (error.status, error.server_message) == ("INTERNAL", "engine exploded at token 3")
    assert "engine exploded at token 3" in str(error)


def test_of_a_traceback_the_sentence_has_the_last_line():
    text = "Traceback (most recent call last):\n  File 'model.py', line 3\nRuntimeError: out of blocks\n\n"
    error = stream_error(text)
    assert error.message == "the model failed: RuntimeError: out of blocks"
    assert error.server_message == text


def test_a_text_of_spaces_still_makes_a_sentence():
    assert stream_error("  \n").message == "the model failed: without saying why"


def test_names_of_sampling_parameters_are_not_guessed():
    message = stream_error("Error generating stream: 'NoneType' object has no attribute 'lora_name'").message
    assert message.startswith("vLLM refused sampling_parameters (its log says which): ")


@given(st.text(max_size=200))
def test_any_text_inside_a_stream_makes_a_request_error(text):
    error = stream_error(text)
    assert isinstance(error, RequestError)
    assert error.server_message == text


@pytest.mark.parametrize(
    "part",
    [
        "Request for unknown model: '",
        "in ensemble 'x', ",
        "in ensemble '",
        "[request id: ",
        "Failed to process the request(s) for model 'x', message: ",
        "Failed to process the request(s)",
        "sum of prompt length (1) longer than the model length ",
        'Traceback (most recent call last)\n  File "',
        "\n\nAt:\n  x",
        "A.b.C.",
    ],
)
def test_a_hostile_text_does_not_keep_the_rules_busy(part):
    # Each of these begins a match that the rest of the text could complete: that is quadratic time or worse.
    text = part * 150_000
    error = stream_error(text)
    assert error.server_message == text
    assert len(error.message) < 5_000


def test_beginning_and_end_of_a_long_text_are_looked_at_and_shown():
    long = "x" * 100_000
    known = stream_error(f"{long} Stub process 'llm_0_0' is not healthy.")
    assert isinstance(known, ModelUnavailableError)
    shown = stream_error(f"first words {long} last words").message
    assert "first words" in shown
    assert shown.endswith("last words")
