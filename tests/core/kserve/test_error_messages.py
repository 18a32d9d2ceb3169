"""Server messages to typed errors: each known text, unknown ones, and hostile ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.kserve.error_messages import error_from_message, stream_error
from nupic_client.errors import (
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    RequestError,
    RequestRejectedError,
    TransportError,
)

# Texts of Triton 2.51.0, verbatim, with the class, the status and whether to send the request again.
OBSERVED = [
    ("[request id: r2] Exceeds maximum queue size", OverloadedError, "UNAVAILABLE", True),
    ("Request for unknown model: 'nope' is not found", ModelUnavailableError, "NOT_FOUND", False),
    ("Request for unknown model: 'llm' version 9 is not found", ModelUnavailableError, "NOT_FOUND", False),
    (
        "Request for unknown model: 'llm' has no available versions",
        ModelUnavailableError,
        "UNAVAILABLE",
        True,
    ),
    ("unexpected inference input 'prompt' for model 'llm'", RequestRejectedError, "INVALID_ARGUMENT", False),
    ("unexpected inference output 'nope' for model 'llm'", RequestRejectedError, "INVALID_ARGUMENT", False),
    (
        "[request id: e4] inference input 'text_input' data-type is 'INT32', but model 'llm' expects 'BYTES'",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        False,
    ),
    (
        "[request id: e5] unexpected shape for input 'text_input' for model 'llm'. Expected [1], got [2]. ",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        False,
    ),
    (
        "[request id: <id_unknown>] expected number of inputs between 1 and 5 but got 0 inputs for model 'llm'.",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        False,
    ),
    (
        "[request id: u] inference request batch-size must be <= 64 for 'embed'",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        False,
    ),
    (
        "parameter keys starting with 'triton_' are reserved for Triton usage.",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        False,
    ),
    (
        "incomplete string data for inference input 'text_input', expecting string of length 50",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        False,
    ),
    *(
        (text, RequestRejectedError, "INVALID_ARGUMENT", False)
        for text in (
            "[request id: r1] expected 1 string elements for inference input 'text_input' for model 'llm', got 0",
            "[request id: r1] unexpected number of string elements 2 for inference input 'text_input' for model 'llm'",
            "[request id: r1] incomplete string length indicator for inference input 'text_input'",
            "[request id: r1] input byte size mismatch for input 'max_tokens' for model 'llm'. Expected 4, got 2",
            "[request id: r1] All input dimensions should be specified for input 'text_input' for model 'llm', got [-1]",
            "[request id: r1] input 'text_input' already exists in request",
            "[request id: r1] input 'text_input' batch size does not match other inputs for 'llm'",
            "[request id: r1] expected 1 inputs but got 2 inputs for model 'llm'. Got input(s) ['a','b'], but missing",
            "unable to find data for input tensor 'max_tokens' for model 'llm' in request.",
            (
                "failed to get model version from specified version string 'x' (details: stol), "
                "version should be an integral value > 0"
            ),
            "invalid model version specified '-1' , version should be an integral value > 0",
        )
    ),
    (
        "ModelInfer RPC doesn't support models with decoupled transaction policy",
        RequestRejectedError,
        "UNIMPLEMENTED",
        False,
    ),
    (
        "SERVER: Received message larger than max (5000000 vs. 4194304)",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        False,
    ),
    ("Stub process 'llm_0_0' is not healthy.", ModelUnavailableError, "UNAVAILABLE", False),
    ("Model is unavailable due to unhealthy vLLM engine", ModelUnavailableError, "UNAVAILABLE", False),
    ("Request was cancelled", TransportError, "CANCELLED", False),
    ("Request cancelled by client", TransportError, "CANCELLED", False),
    (
        "[request id: r1] Server is stopping, scheduler for model has stopped accepting new inference requests",
        ModelUnavailableError,
        "UNAVAILABLE",
        True,
    ),
    ("requested model 'nope' is not available", ModelUnavailableError, "NOT_FOUND", False),
    ("requested model version is not available for model 'gpt'", ModelUnavailableError, "NOT_FOUND", False),
    ("Server exiting", ModelUnavailableError, "UNAVAILABLE", True),
    ("Server not ready", ModelUnavailableError, "UNAVAILABLE", True),
    (
        "GRPC server is shutting down and has stopped accepting new requests",
        ModelUnavailableError,
        "UNAVAILABLE",
        True,
    ),
]


@pytest.mark.parametrize(
    ("text", "kind", "status", "retryable"), OBSERVED, ids=[row[0][:40] for row in OBSERVED]
)
def test_a_known_text_has_its_class_and_status(text, kind, status, retryable):
    error = error_from_message(text)
    assert (type(error), error.status, error.retryable) == (kind, status, retryable)


def test_the_servers_words_are_kept_verbatim():
    text = "[request id: e5] unexpected shape for input 'x'. "
    assert error_from_message(text).server_message == text


def test_the_sentence_does_not_repeat_the_request_id():
    assert "request id" not in str(error_from_message("[request id: e5] unexpected shape for input 'x'."))


@pytest.mark.parametrize("text", ["engine exploded at token 3", "", "the model wrote: Request was cancelled"])
def test_other_texts_are_not_known(text):
    assert error_from_message(text) is None


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


@given(st.text(max_size=200))
def test_any_text_inside_a_stream_makes_a_request_error(text):
    error = stream_error(text)
    assert isinstance(error, RequestError)
    assert error.server_message == text


def test_a_hostile_text_does_not_keep_the_rules_busy():
    # Each of these begins a match that the rest of the text could complete: that is quadratic time or worse.
    text = "Request for unknown model: '" * 150_000
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
