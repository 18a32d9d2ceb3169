"""The meaning of an error for the servers, and which requests may do better on another one."""

from __future__ import annotations

import grpc
import pytest
from core.balance.failures import FAILURES, error_of
from core.kserve.error_texts import TEXTS

from nupic_client._core.balance.meaning import Meaning, meaning_of, travels
from nupic_client._core.kserve.error_messages import error_from_message
from nupic_client._grpc.status import error_from_rpc
from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ContextLengthError,
    DeadlineExceededError,
    IncompleteStreamError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ProtocolError,
    RequestError,
    RequestRejectedError,
    TransportError,
)


class Status(grpc.RpcError):
    def __init__(self, code, details):
        self.code = lambda: code
        self.details = lambda: details


UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("details", "meaning"),
    [
        # as grpcio 1.85 words them
        (
            "failed to connect to all addresses; last error: UNKNOWN: Failed to connect to remote host: Connection refused",
            Meaning.SERVER_OUT,
        ),
        (
            "failed to connect to all addresses; last error: UNKNOWN: connection attempt timed out before SETTINGS",
            Meaning.SERVER_OUT,
        ),
        (
            "failed to connect to all addresses; last error: UNKNOWN: Ssl handshake failed: CERTIFICATE_VERIFY_FAILED",
            Meaning.SERVER_OUT,
        ),
        ("Socket closed", Meaning.SERVER_OUT),
        ("recvmsg:Connection reset by peer", Meaning.SERVER_OUT),
        ("keepalive watchdog timeout", Meaning.SERVER_OUT),
        ("DNS resolution failed for nowhere:8001", Meaning.SERVER_OUT),
        ("max connection age", Meaning.NOTHING),
        ("enter idle", Meaning.NOTHING),
        ("max_age", Meaning.NOTHING),
        ("GOAWAY received; Error code: 0; Debug Text: max_age", Meaning.NOTHING),
        ("GOAWAY received; Error code: 0; Debug Text: max_idle", Meaning.NOTHING),
        ("GOAWAY received; Error code: 11; Debug Text: too_many_pings", Meaning.NOTHING),
        ("Too many pings", Meaning.NOTHING),
        ("Cancelling all calls", Meaning.DRAINING),
        # gateways
        ("upstream connect error or disconnect/reset before headers", Meaning.SERVER_OUT),
        ("no healthy upstream", Meaning.SERVER_OUT),
        ("upstream request timeout", Meaning.LATE),
        ("stream timeout", Meaning.LATE),
        ("Received http2 header with status: 502", Meaning.SERVER_OUT),
        ("Received http2 header with status: 503", Meaning.SERVER_OUT),
        ("Received http2 header with status: 504", Meaning.LATE),
        ("Received http2 header with status: 429", Meaning.ANSWERED),
        ("Received http2 header with status: 401", Meaning.REACHED),
        # servers
        ("Server exiting", Meaning.DRAINING),
        ("Server not ready", Meaning.DRAINING),
        ("[request id: 7] Server exiting", Meaning.DRAINING),
        (
            "in ensemble 'chat', [request id: 7] Server is stopping, scheduler for model has stopped",
            Meaning.DRAINING,
        ),
        ("Request for unknown model: 'llm' has no available versions", Meaning.MODEL_OUT),
        ("Request for unknown model: 'llm' is not found", Meaning.MODEL_OUT),
        ("Stub process 'llm_0_0' is not healthy.", Meaning.MODEL_OUT),
        ("some words of a server that nobody knows", Meaning.MODEL_OUT),
        ("Exceeds maximum queue size", Meaning.ANSWERED),
    ],
)
def test_unavailable_means_what_its_words_say(details, meaning):
    assert meaning_of(error_from_rpc(Status(UNAVAILABLE, details))) is meaning


def test_words_of_a_model_about_its_server_say_nothing():
    assert (
        meaning_of(error_from_rpc(Status(grpc.StatusCode.INTERNAL, "my Server exiting soon")))
        is Meaning.ANSWERED
    )


@pytest.mark.parametrize("said", TEXTS, ids=lambda said: said.text[:40])
def test_no_text_of_a_server_is_a_dead_server_but_those_of_gateways_and_of_servers_that_stop(said):
    error = error_from_message(said.text)
    expected = {
        ConnectionFailedError: {Meaning.SERVER_OUT, Meaning.LATE},
        ModelUnavailableError: {Meaning.MODEL_OUT, Meaning.DRAINING},
        AuthenticationError: {Meaning.REACHED},
        OverloadedError: {Meaning.ANSWERED},
        RequestRejectedError: {Meaning.ANSWERED},
        ContextLengthError: {Meaning.ANSWERED},
        InferenceError: {Meaning.ANSWERED},
        TransportError: {Meaning.NOTHING},
    }
    assert meaning_of(error) in expected[type(error)]


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (DeadlineExceededError("late", deadline="total"), Meaning.NOTHING),
        (DeadlineExceededError("late", deadline="first_token"), Meaning.LATE),
        (DeadlineExceededError("late", deadline="between_tokens"), Meaning.MODEL_OUT),
        (DeadlineExceededError("late", deadline="of another kind"), Meaning.NOTHING),
        (
            TransportError("the server cancelled the call", status="CANCELLED", retryable=True),
            Meaning.NOTHING,
        ),
        (ProtocolError("damaged", retryable=True), Meaning.NOTHING),
        (IncompleteStreamError("cut"), Meaning.NOTHING),
        (ContextLengthError("too long"), Meaning.ANSWERED),
        (RequestError("what"), Meaning.NOTHING),
    ],
    ids=repr,
)
def test_other_errors(error, meaning):
    assert meaning_of(error) is meaning


TRAVELS = {
    "refused",
    "exiting",
    "no versions",
    "not found",
    "overloaded",
    "aged",
    "cancelled",
    "tls",
    "aborted",
    "gateway 504",
}


@pytest.mark.parametrize("name", FAILURES)
def test_which_requests_travel(name):
    assert travels(error_of(name)) == (name in TRAVELS)


def test_a_sequence_stays_where_its_state_is():
    error = error_from_message("timeout of the corresponding sequence has been expired")
    assert not travels(error)


def test_a_pushback_says_never_again():
    assert not travels(OverloadedError("no", retryable=True, retry_after=-1.0))
    assert travels(OverloadedError("no", retryable=True, retry_after=5.0))


def test_every_class_of_error_has_a_meaning():
    classes = [RequestError]
    for kind in classes:
        classes.extend(kind.__subclasses__())
    assert len(classes) > 10
    for kind in classes:
        assert isinstance(meaning_of(kind("words")), Meaning)
        assert isinstance(travels(kind("words")), bool)
