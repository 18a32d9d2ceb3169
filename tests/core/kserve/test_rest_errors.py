"""Statuses of HTTP to typed errors: the server's own words, each status, pauses, and bodies of every kind."""

from __future__ import annotations

import json
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.kserve.rest_errors import error_from_http
from nupic_client.errors import (
    AuthenticationError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ProtocolError,
    RequestError,
    RequestRejectedError,
    TransportError,
)

UNKNOWN = "Request for unknown model: 'm' is not found"


def failure(status, body=b"", *, optional=False, **headers):
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    body = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
    return error_from_http(status, body, message, optional=optional)


def test_what_was_put_around_the_words_is_left_out():
    error = failure(400, {"error": "[request id: r1] in ensemble 'e', [request id: r1] odd"})
    assert error.message.endswith("does not fit the model: odd")
    assert error.server_message.startswith("[request id: r1]")


@pytest.mark.parametrize(
    ("status", "kind", "name", "words"),
    [
        (400, RequestRejectedError, "INVALID_ARGUMENT", "does not fit the model: why"),
        (401, AuthenticationError, "UNAUTHENTICATED", "wants valid credentials: why"),
        (403, AuthenticationError, "PERMISSION_DENIED", "do not allow it: why"),
        (404, ModelUnavailableError, "NOT_FOUND", "does not have it: why"),
        (405, RequestRejectedError, "UNIMPLEMENTED", "does not offer this call: why"),
        (413, RequestRejectedError, "INVALID_ARGUMENT", "too large .*: why"),
        (418, RequestRejectedError, "FAILED_PRECONDITION", "refused: why"),
        (422, RequestRejectedError, "INVALID_ARGUMENT", "does not fit the model: why"),
        (429, OverloadedError, "RESOURCE_EXHAUSTED", "no capacity for this now: why"),
        (500, InferenceError, "INTERNAL", "the server failed: why"),
        (501, RequestRejectedError, "UNIMPLEMENTED", "does not offer this call: why"),
        (502, TransportError, "UNAVAILABLE", "the gateway does not reach the server"),
        (503, TransportError, "UNAVAILABLE", "why"),
        (599, InferenceError, "UNKNOWN", "the server failed: why"),
    ],
)
def test_a_status_has_its_error(status, kind, name, words):
    with pytest.raises(kind, match=words) as caught:
        raise failure(status, {"error": "why"})
    error = caught.value
    assert (error.status, error.server_message) == (name, "why")
    assert error.retryable is (status in {429, 502, 503})
    assert error.retry_after is None


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "model: it answered 400 (Bad Request)"),
        (404, "have it: it answered 404 (Not Found)"),
        (408, "gave up waiting for the server: it answered 408 (Request Timeout)"),
        (450, "refused: it answered 450"),
        (502, "or it is not ready: it answered 502 (Bad Gateway)"),
        (504, "gave up waiting for the server: it answered 504 (Gateway Timeout)"),
        (599, "the server failed: it answered 599"),
    ],
)
@pytest.mark.parametrize("body", [b"", b" \n", b"<html>Sorry</html>"], ids=repr)
def test_where_the_server_says_nothing_the_status_speaks(status, words, body):
    error = failure(status, body)
    assert error.message.endswith(words)
    assert error.server_message == ""


def test_a_gateway_that_gave_up_is_quoted_by_its_status():
    error = failure(504, b"upstream timed out")
    assert isinstance(error, TransportError)
    assert "it answered 504 (Gateway Timeout)" in error.message
    assert error.server_message == "upstream timed out"


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_known_words_count_more_than_the_status(status):
    error = failure(status, {"error": UNKNOWN}, Retry_After="3")
    assert isinstance(error, ModelUnavailableError)
    assert (error.status, error.retryable, error.retry_after) == ("NOT_FOUND", False, 3.0)
    assert error.server_message == UNKNOWN


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_says_where_to(status):
    error = failure(status, Location="https://else.where/\x1b")
    assert isinstance(error, RequestRejectedError)
    assert "'https://else.where/\\x1b', which is not followed" in error.message
    assert "redirects to 'elsewhere'" in failure(status).message


@pytest.mark.parametrize("status", [101, 204, 600, 999])
def test_a_status_that_means_nothing_breaks_the_protocol(status):
    error = failure(status, b"hello")
    assert isinstance(error, ProtocolError)
    assert f"the status {status}" in error.message


def test_a_resource_that_servers_need_not_have_is_not_offered():
    error = failure(404, {"detail": "Not Found"}, optional=True)
    assert isinstance(error, RequestRejectedError)
    assert (error.status, error.retryable) == ("UNIMPLEMENTED", False)
    assert isinstance(failure(403, optional=True), AuthenticationError)
    assert isinstance(failure(404, {"error": UNKNOWN}, optional=True), ModelUnavailableError)


# Words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": "why"}, "why"),
        ({"detail": "why"}, "why"),
        ({"message": "why"}, "why"),
        ({"error": "", "detail": "why"}, "why"),
        ({"error": "why", "detail": "more"}, "why"),
        ({"detail": [{"loc": 1}]}, '[{"loc": 1}]'),
        ({"error": {"code": 5}}, '{"code": 5}'),
        ({"other": 1}, '{"other": 1}'),
        (["why"], '["why"]'),
        (b" why \n", "why"),
        (b"why\xff", "why\ufffd"),
        (b"[" * 100_000, "[" * 100_000),
        (b" <!doctype html>", ""),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_the_server_speaks_in_many_ways(body, words):
    assert failure(500, body).server_message == words


def test_a_long_text_is_shortened_in_the_sentence_only():
    error = failure(500, b"a" * 100_000)
    assert len(error.message) < 5000
    assert len(error.server_message) == 100_000


# Pauses

FIVE = "Sat, 01 Jan 2000 00:00:05 GMT"


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"Retry_After": "0"}, 0.0),
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "9" * 50}, 999999999.0),
        ({"Retry_After": "Sat, 01 Jan 2000 00:00:07 GMT", "Date": FIVE}, 2.0),
        ({"Retry_After": "Sat, 01 Jan 2000 00:00:01 GMT", "Date": FIVE}, 0.0),
        ({"Retry_After": "Sat, 01 Jan 2000 00:00:07 GMT"}, None),
        ({"Retry_After": FIVE, "Date": "Sat, 01 Jan 2000 00:00:07 -0000"}, None),
        ({"Retry_After": "soon", "Date": FIVE}, None),
        ({"Retry_After": "-1"}, None),
        ({"Retry_After": "1.5"}, None),
        ({"Retry_After": "٣"}, None),
        ({}, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_says_when_to_try_again(status, headers, pause):
    assert failure(status, **headers).retry_after == pause


@given(st.integers(0, 1100), st.binary(max_size=40), st.text(max_size=20))
def test_any_answer_is_an_error_of_ours(status, body, text):
    error = failure(status, body, Retry_After=text, Location=text, Date=FIVE)
    assert isinstance(error, RequestError)
    assert str(error)
