"""The bearer token: when it is fetched, when a refused one is fetched anew, and that no error shows it."""

from __future__ import annotations

import pytest
from core.replies import drive

from nupic_client._core.calls.auth import Bearer, SignedCall, authorized, check_bearer_token
from nupic_client._core.calls.flows import Attempts, FetchToken, Invoke, ReadClock
from nupic_client.errors import AuthenticationError, ConfigurationError, InferenceError, RequestRejectedError

OTHERS = (("a", "1"), ("b-bin", b"\xff"))
OWN = (("authorization", "Basic own"),)


def unauthenticated(message="no", **facts):
    return AuthenticationError(message, status="UNAUTHENTICATED", **facts)


def forbidden():
    return AuthenticationError("no", status="PERMISSION_DENIED")


def source():
    """Only its identity matters: the flow asks others to call it."""
    raise AssertionError


def bearing(token):
    return (*OTHERS, ("authorization", f"Bearer {token}"))


def call(metadata=OTHERS, attempts=None):
    return (yield Invoke("ServerLive", None, 3.0, metadata, attempts))


# When the token is fetched


def test_a_text_is_sent_without_asking_anybody():
    assert drive(Bearer("secret").sign(OTHERS)) == ([], bearing("secret"))


def test_a_function_is_called_once():
    bearer = Bearer(source)
    assert drive(bearer.sign(OTHERS), "first") == ([FetchToken(source)], bearing("first"))
    assert drive(bearer.sign(OTHERS)) == ([], bearing("first"))


def test_a_failure_of_the_function_is_raised_and_it_is_called_again_the_next_time():
    bearer = Bearer(source)
    with pytest.raises(LookupError):
        drive(bearer.sign(()), LookupError("vault"))
    assert drive(bearer.sign(OTHERS), "second")[1] == bearing("second")


def test_metadata_with_its_own_authorization_stays_as_it_is():
    assert drive(Bearer(source).sign(OWN)) == ([], OWN)


def test_what_the_function_returns_is_checked():
    with pytest.raises(ConfigurationError, match="bearer_token"):
        drive(Bearer(source).sign(()), None)


def test_no_source_is_no_bearer():
    assert Bearer.of(None) is None
    assert isinstance(Bearer.of("secret"), Bearer)


def test_the_repr_does_not_show_the_token():
    assert "secret" not in repr(Bearer("secret"))


# When it is fetched anew


def test_a_refused_token_is_forgotten():
    bearer = Bearer(source)
    _, sent = drive(bearer.sign(()), "first")
    assert bearer.renews(unauthenticated(), (), sent)
    assert drive(bearer.sign(OTHERS), "second")[1] == bearing("second")


def test_a_token_that_another_call_has_fetched_meanwhile_is_kept():
    bearer = Bearer(source)
    _, old = drive(bearer.sign(()), "first")
    bearer.renews(unauthenticated(), (), old)
    drive(bearer.sign(()), "second")
    assert bearer.renews(unauthenticated(), (), old)
    assert drive(bearer.sign(OTHERS)) == ([], bearing("second"))


@pytest.mark.parametrize("error", [forbidden(), RequestRejectedError("no", status="UNAUTHENTICATED")])
def test_another_refusal_is_not_mended_by_another_token(error):
    bearer = Bearer(source)
    _, sent = drive(bearer.sign(()), "first")
    assert not bearer.renews(error, (), sent)
    assert drive(bearer.sign(()))[0] == []


def test_a_text_is_all_there_is():
    bearer = Bearer("secret")
    _, sent = drive(bearer.sign(()))
    assert not bearer.renews(unauthenticated(), (), sent)


def test_a_header_of_the_callers_own_is_not_renewed():
    assert not Bearer(source).renews(unauthenticated(), OWN, OWN)


# One call


def test_a_call_is_signed_and_otherwise_the_same():
    (fetch, sent), reply = drive(authorized(call(), Bearer(source)), "first", "answer")
    assert (fetch, reply) == (FetchToken(source), "answer")
    assert sent == Invoke("ServerLive", None, 3.0, bearing("first"))


def test_without_a_bearer_the_flow_is_left_alone():
    flow = call()
    assert authorized(flow, None) is flow


def test_other_commands_are_left_alone():
    def flow():
        return (yield ReadClock())

    assert drive(authorized(flow(), Bearer(source)), 1.0) == ([ReadClock()], 1.0)


def test_a_refused_call_is_made_once_more_with_the_next_token_and_counted():
    attempts = Attempts(100.0)
    flow = authorized(call(attempts=attempts), Bearer(source))
    commands, reply = drive(flow, "first", unauthenticated(), 101.0, "second", "answer")
    sent = [command.metadata for command in commands if isinstance(command, Invoke)]
    assert sent == [bearing("first"), bearing("second")]
    assert (reply, attempts.count) == ("answer", 2)


def test_a_call_that_is_refused_twice_fails():
    with pytest.raises(AuthenticationError, match="again"):
        drive(authorized(call(), Bearer(source)), "a", unauthenticated("once"), "b", unauthenticated("again"))


@pytest.mark.parametrize("error", [forbidden(), InferenceError("boom")])
def test_any_other_failure_is_raised_as_it_is(error):
    with pytest.raises(type(error)) as caught:
        drive(authorized(call(), Bearer(source)), "first", error)
    assert caught.value is error


def test_a_signed_call_without_a_bearer_sends_its_metadata_and_renews_nothing():
    signed = SignedCall(None, OTHERS)
    assert drive(signed.sign()) == ([], OTHERS)
    assert not signed.renews(unauthenticated())
    assert not signed.renewed


def test_a_signed_call_renews_once():
    signed = SignedCall(Bearer(source), ())
    drive(signed.sign(), "first")
    assert signed.renews(unauthenticated())
    drive(signed.sign(), "second")
    assert not signed.renews(unauthenticated())
    assert signed.renewed


# What an error shows


def hidden(error, metadata=None):
    return SignedCall(None, bearing("s3cret") if metadata is None else metadata).hide(error)


def test_the_token_is_hidden_in_the_message_and_in_the_servers_words():
    given = unauthenticated("s3cret is wrong", server_message="I know no s3cret, s3cret", request_id="r1")
    shown = hidden(given)
    assert "s3cret" not in f"{shown}{shown!r}{shown.args}{shown.server_message}"
    assert (type(shown), shown.status, shown.request_id) == (AuthenticationError, "UNAUTHENTICATED", "r1")
    assert shown.server_message.startswith("I know no ")
    assert "is wrong" in shown.message


@pytest.mark.parametrize("text", ["message", "server_message"])
def test_the_token_is_hidden_wherever_it_stands_alone(text):
    error = unauthenticated("no").with_facts(**{text: "about s3cret"})
    assert "s3cret" not in getattr(hidden(error), text)


def test_the_token_is_hidden_in_trailing_metadata():
    error = unauthenticated("no").with_facts(
        trailing_metadata=(("a", "s3cret!"), ("b-bin", b"s3cret"), ("c", "d"))
    )
    assert hidden(error).trailing_metadata == (("a", "…!"), ("b-bin", "…".encode()), ("c", "d"))


def test_an_error_that_shows_nothing_is_the_same_one():
    error = unauthenticated("Bearer tokens only")
    assert hidden(error) is error
    assert hidden(error, OTHERS) is error


def test_a_credential_of_the_callers_own_is_hidden_too():
    error = unauthenticated("no YWxhZGRpbg== here")
    assert "YWxh" not in hidden(error, (("authorization", "Basic YWxhZGRpbg=="),)).message


def test_a_short_word_is_not_looked_for():
    error = unauthenticated("a cat sat")
    assert hidden(error, bearing("cat")) is error
    assert "cats" not in hidden(unauthenticated("two cats"), bearing("cats")).message


def test_other_metadata_and_bytes_are_not_looked_for():
    error = unauthenticated("value1 value2")
    assert hidden(error, (("a", "value1"), ("authorization", b"value2"))) is error


def test_an_error_of_a_call_that_shows_its_token_is_raised_without_it_and_without_its_cause():
    error = unauthenticated("no s3cret here")
    error.__cause__ = RuntimeError("s3cret")
    with pytest.raises(AuthenticationError) as caught:
        drive(authorized(call(), Bearer("s3cret")), error)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_error_of_a_call_that_shows_nothing_keeps_its_cause():
    error = forbidden()
    error.__cause__ = cause = RuntimeError("of gRPC")
    with pytest.raises(AuthenticationError) as caught:
        drive(authorized(call(), Bearer("s3cret")), error)
    assert caught.value.__cause__ is cause


# What is a token


@pytest.mark.parametrize("token", ["a", "eyJhbGciOi.J9_-~+/=="])
def test_a_token_is_taken_as_it_is(token):
    assert check_bearer_token(token) == token


@pytest.mark.parametrize("token", ["", None, 5, b"bytes", ["x"]])
def test_what_is_no_text_is_refused(token):
    with pytest.raises(ConfigurationError, match="bearer_token"):
        check_bearer_token(token)


@pytest.mark.parametrize(
    "token", ["s3cret\n", "s3 cret", "Bearer s3cret", "s3crét", "s3cret\0", "s3cret\x7f"]
)
def test_what_cannot_be_sent_is_refused_and_not_shown(token):
    with pytest.raises(ConfigurationError, match="bearer_token") as caught:
        Bearer(token)
    assert "s3" not in str(caught.value)


def test_a_coroutine_cannot_be_awaited_here_and_is_closed():
    async def fetch():
        raise AssertionError

    coroutine = fetch()
    with pytest.raises(ConfigurationError, match="async"):
        check_bearer_token(coroutine)
    assert coroutine.cr_frame is None


def test_another_awaitable_cannot_be_awaited_here_either():
    class Later:
        def __await__(self):
            yield

    with pytest.raises(ConfigurationError, match="async"):
        check_bearer_token(Later())
