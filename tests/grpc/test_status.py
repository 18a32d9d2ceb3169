from __future__ import annotations

import grpc
import grpc.aio
import pytest

from nupic_client._grpc.status import STATUS_TABLE, BrokenCallError, call_error, cause_of, error_from_rpc
from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ProtocolError,
    RequestError,
    RequestRejectedError,
    TransportError,
)

EXPECTED = {
    "OK": (ProtocolError, False),
    "CANCELLED": (TransportError, True),
    "UNKNOWN": (InferenceError, False),
    "INVALID_ARGUMENT": (RequestRejectedError, False),
    "DEADLINE_EXCEEDED": (DeadlineExceededError, False),
    "NOT_FOUND": (ModelUnavailableError, False),
    "ALREADY_EXISTS": (RequestRejectedError, False),
    "PERMISSION_DENIED": (AuthenticationError, False),
    "UNAUTHENTICATED": (AuthenticationError, False),
    "RESOURCE_EXHAUSTED": (OverloadedError, True),
    "FAILED_PRECONDITION": (RequestRejectedError, False),
    "ABORTED": (TransportError, True),
    "OUT_OF_RANGE": (RequestRejectedError, False),
    "UNIMPLEMENTED": (RequestRejectedError, False),
    "INTERNAL": (InferenceError, False),
    "UNAVAILABLE": (ModelUnavailableError, True),
    "DATA_LOSS": (ProtocolError, False),
}


def failure(code, details, *, initial=(), trailing=()):
    return grpc.aio.AioRpcError(
        code, grpc.aio.Metadata(*initial), grpc.aio.Metadata(*trailing), details=details
    )


def test_every_status_has_a_meaning():
    assert set(STATUS_TABLE) == set(grpc.StatusCode)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_status_has_its_class(name):
    kind, retryable = EXPECTED[name]
    error = error_from_rpc(failure(grpc.StatusCode[name], "some words"))
    assert (type(error), error.retryable) == (kind, retryable)
    assert (error.status, error.server_message) == (name, "some words")


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_status_makes_a_request_error_with_a_sentence(code):
    error = error_from_rpc(failure(code, ""))
    assert isinstance(error, RequestError)
    assert error.message
    assert not error.message.endswith(": ")


def test_the_servers_words_are_in_the_sentence():
    error = error_from_rpc(failure(grpc.StatusCode.UNAVAILABLE, "Socket closed"))
    assert error.message == "cannot reach the server: Socket closed"
    error = error_from_rpc(failure(grpc.StatusCode.INTERNAL, "broken"))
    assert error.message == "the server failed: broken"


@pytest.mark.parametrize("words", ["", "my words", "the connection to the database was refused"])
def test_a_server_that_words_it_itself_was_reached(words):
    """I-F3, P-F7: a model's own TritonError(UNAVAILABLE), for example."""
    error = error_from_rpc(failure(grpc.StatusCode.UNAVAILABLE, words), "host:1")
    assert (type(error), error.retryable) == (ModelUnavailableError, True)
    assert error.message == f"the server says that it is unavailable{words and ': '}{words}"


def test_metadata_at_the_end_proves_that_the_server_said_it():
    error = error_from_rpc(failure(grpc.StatusCode.UNAVAILABLE, "Socket closed", trailing=(("x", "y"),)))
    assert error.trailing_metadata == (("x", "y"),)
    assert (type(error), error.message) == (
        ModelUnavailableError,
        "the server says that it is unavailable: Socket closed",
    )


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN])
def test_of_what_a_python_model_raised_the_sentence_has_the_last_line(code):
    """I-F11: by call as inside a stream."""
    at = "\n\nAt:\n  /m/1/model.py(11): execute\n"
    text = f"Failed to process the request(s) for model 'm_0_0', message: ValueError: bad thing{at}"
    error = error_from_rpc(failure(code, text))
    assert (type(error), error.message) == (InferenceError, "the server failed: ValueError: bad thing")
    assert error.server_message == text


@pytest.mark.parametrize("where", ["trailing", "initial"])
@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("0", 0.0), ("soon", None), ("-1", None), ("1" * 99, 111111111.0)]
)
def test_a_gateway_says_when_to_come_back(where, value, seconds):
    """P-F15."""
    text = "upstream connect error or disconnect/reset before headers"
    error = error_from_rpc(failure(grpc.StatusCode.UNAVAILABLE, text, **{where: (("retry-after", value),)}))
    assert error.retry_after == seconds


def test_a_gateway_that_says_when_to_come_back_does_not_make_a_refusal_worth_it():
    refused = failure(grpc.StatusCode.INVALID_ARGUMENT, "no", trailing=(("retry-after", "7"),))
    assert error_from_rpc(refused).retry_after is None


def test_the_cause_is_left_out_where_it_says_nothing_more():
    """U-A10."""
    gone = failure(grpc.StatusCode.UNAVAILABLE, "Socket closed")
    assert cause_of(error_from_rpc(gone), gone) is None
    failed = failure(grpc.StatusCode.INTERNAL, "broken")
    assert cause_of(error_from_rpc(failed), failed) is failed


def test_the_words_of_a_passed_deadline_say_nothing_more():
    error = error_from_rpc(failure(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"))
    assert error.message == "no complete answer in time"


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN]
)
def test_a_known_text_counts_more_than_the_status(code):
    error = error_from_rpc(failure(code, "Request for unknown model: 'nope' is not found"))
    assert (type(error), error.status) == (ModelUnavailableError, code.name)


def test_missing_details_are_no_words():
    assert error_from_rpc(failure(grpc.StatusCode.INTERNAL, None)).server_message == ""


def test_a_call_without_a_status_is_an_unknown_failure():
    class NoStatus(grpc.RpcError):
        def code(self):
            return None

        def details(self):
            return None

    error = error_from_rpc(NoStatus())
    assert (type(error), error.status) == (InferenceError, "UNKNOWN")


def test_a_message_that_is_too_large_is_not_sent_again():
    details = "SERVER: Received message larger than max (5000000 vs. 4194304)"
    error = error_from_rpc(failure(grpc.StatusCode.RESOURCE_EXHAUSTED, details))
    assert (type(error), error.retryable) == (RequestRejectedError, False)


def test_bytes_that_are_no_http2_are_no_failure_of_the_model():
    details = "Stream removed (Failed parsing HTTP/2 (Unexpected CONTINUATION frame))"
    for code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL):
        error = error_from_rpc(failure(code, details))
        assert (type(error), error.status, error.retryable) == (ProtocolError, code.name, True)


def test_a_response_that_cannot_be_read_has_no_status_of_the_server():
    error = error_from_rpc(failure(grpc.StatusCode.INTERNAL, "Exception deserializing response!"))
    assert (type(error), error.status, error.server_message) == (ProtocolError, "", "")


@pytest.mark.parametrize(
    "details", ["Too many pings", "Socket closed (GOAWAY received; Debug Text: too_many_pings)"]
)
def test_who_pings_too_often_is_told_what_to_change(details):
    error = error_from_rpc(failure(grpc.StatusCode.UNAVAILABLE, details))
    assert "grpc.keepalive_time_ms" in error.message
    assert (type(error), error.retryable) == (ConnectionFailedError, True)


@pytest.mark.parametrize("details", ["enter idle", "max connection age"])
def test_a_connection_that_ended_because_of_its_age_is_no_model_that_is_unavailable(details):
    error = error_from_rpc(failure(grpc.StatusCode.UNAVAILABLE, details))
    assert "because of its age" in error.message
    assert (type(error), error.retryable) == (ConnectionFailedError, True)


def test_the_error_of_a_call_names_the_server():
    error = call_error(failure(grpc.StatusCode.CANCELLED, "gone"), target="host:1", closed=False)
    assert (error.target, error.retryable) == ("host:1", True)
    assert str(error) == "the server cancelled the call: gone (server host:1, status CANCELLED)"


def test_the_error_of_a_call_that_ended_with_its_client_says_so():
    error = call_error(failure(grpc.StatusCode.CANCELLED, "gone"), target="host:1", closed=True)
    assert (error.message, error.retryable) == ("the client was closed before the answer came", False)
    assert (error.server_message, repr(error)) == (
        "gone",
        "TransportError('the client was closed before the answer came (server host:1, status CANCELLED)')",
    )


def test_an_error_of_a_call_that_failed_before_its_client_was_closed_is_its_own():
    error = call_error(failure(grpc.StatusCode.UNAVAILABLE, "Socket closed"), target="host:1", closed=True)
    assert (error.message, error.retryable) == ("cannot reach the server: Socket closed", True)


def test_the_end_of_a_call_that_is_not_of_grpc_is_our_error():
    failure = OverloadedError("busy", retry_after=3.0)
    broken = BrokenCallError(failure)
    assert error_from_rpc(broken) is failure
    broken.__cause__ = failure
    assert cause_of(failure, broken) is None
    broken.__cause__ = cause = OSError("no")
    assert cause_of(failure, broken) is cause
