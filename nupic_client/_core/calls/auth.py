"""The credentials of a call: when a token is fetched, how it is sent, and whether it is fetched again after a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client._core.calls.flows import (
    READ_CLOCK,
    FetchToken,
    Flow,
    Invoke,
    Metadata,
    SentMetadata,
    intercept_calls,
)
from nupic_client._core.calls.metadata import refuse_awaitable
from nupic_client.errors import AuthenticationError, ConfigurationError, RequestError

if TYPE_CHECKING:
    from contextvars import Context
    from typing import Any, TypeVar

    from nupic_client.config import BearerTokenSource

    T = TypeVar("T")

__all__ = ["Bearer", "SignedCall", "authorized", "check_bearer_token", "signed_call", "signed_calls"]

_HEADER = "authorization"
_SHORTEST_SECRET = 4
"""A credential with fewer characters is not searched for in errors: it would be found in every sentence."""


class Bearer:
    """A client's token: fetched at the first call, kept until the server refuses it. Thread-safe.

    Threads that need it at the same moment may each fetch it.

    Args:
        source: the token, or a function that returns it.
    """

    __slots__ = ("_kept", "_source")

    def __init__(self, source: BearerTokenSource) -> None:
        self._source = source
        self._kept = None if callable(source) else check_bearer_token(source)

    @classmethod
    def of(cls, source: BearerTokenSource | None) -> Bearer | None:
        """Return the bearer of a source, or None where there is none."""
        return None if source is None else cls(source)

    def sign(self, metadata: SentMetadata) -> Flow[SentMetadata]:
        """Return the metadata with the token; metadata with an ``authorization`` entry of its own is not changed.

        Raises:
            ConfigurationError: the source returns no valid token, or must be awaited in a blocking call.
        """
        if any(name == _HEADER for name, _ in metadata):
            return metadata
        token = self._kept
        if token is None:
            source: Any = self._source  # a plain string was kept by the constructor
            token = self._kept = check_bearer_token((yield FetchToken(source)))
        return (*metadata, (_HEADER, f"Bearer {token}"))

    def renews(self, error: RequestError, metadata: SentMetadata, sent: SentMetadata) -> bool:
        """Return whether to send a call again with a new token; if so, drop the token it was sent with.

        Args:
            error: the error of the call.
            metadata: of the call.
            sent: the metadata that `sign` returned for it.
        """
        refused = isinstance(error, AuthenticationError) and error.status == "UNAUTHENTICATED"
        if not refused or not callable(self._source) or sent == metadata:
            return False
        if sent[-1][1] == f"Bearer {self._kept}":
            self._kept = None  # else another call has already fetched a new token
        return True

    def __repr__(self) -> str:
        return "Bearer(…)"


class SignedCall:
    """The credentials of one call: sent with it, renewed at most once, and never shown in its error.

    Args:
        bearer: the client's token; None for a call without one.
        metadata: of the call.
        context: in which functions that make metadata are called; None for that of the caller.
    """

    __slots__ = ("_bearer", "_context", "_metadata", "_plain", "_sent", "renewed")

    def __init__(self, bearer: Bearer | None, metadata: Metadata, context: Context | None = None) -> None:
        self._bearer = bearer
        self._metadata = metadata
        self._context = context
        self._plain = self._sent = metadata if isinstance(metadata, tuple) else ()
        self.renewed = False
        """Whether the token was fetched again for this call."""

    def sign(self) -> Flow[SentMetadata]:
        """Return the metadata to send; called before each attempt."""
        metadata = self._metadata
        if not isinstance(metadata, tuple):
            self._plain = self._sent = yield from metadata.resolve(self._context)
        if self._bearer is not None:
            self._sent = yield from self._bearer.sign(self._plain)
        return self._sent

    def renews(self, error: RequestError) -> bool:
        """Return whether to send the call again with a new token: at most once."""
        if self._bearer is None or self.renewed:
            return False
        self.renewed = self._bearer.renews(error, self._plain, self._sent)
        return self.renewed

    def hide(self, error: RequestError) -> RequestError:
        """Return the error without the credentials, which a server may repeat; the same object if it has none."""
        message, server_message, trailing = error.message, error.server_message, error.trailing_metadata
        for name, value in self._sent:
            if name != _HEADER or not isinstance(value, str):
                continue
            secret = value.rpartition(" ")[2]
            if len(secret) >= _SHORTEST_SECRET:
                message, server_message = message.replace(secret, "…"), server_message.replace(secret, "…")
                trailing = tuple((each, _without(secret, said)) for each, said in trailing)
        if (message, server_message, trailing) == (
            error.message,
            error.server_message,
            error.trailing_metadata,
        ):
            return error
        return error.with_facts(message=message, server_message=server_message, trailing_metadata=trailing)


def _without(secret: str, value: str | bytes) -> str | bytes:
    """Return a value of metadata without the secret."""
    if isinstance(value, str):
        return value.replace(secret, "…")
    return value.replace(secret.encode(), "…".encode())


def authorized(flow: Flow[T], bearer: Bearer | None) -> Flow[T]:
    """Run a flow with the token in the metadata of its calls."""
    return flow if bearer is None else signed_calls(flow, bearer)


def signed_calls(flow: Flow[T], bearer: Bearer | None = None) -> Flow[T]:
    """Run a flow with its calls signed: with their metadata made, and with the token in it."""
    return intercept_calls(flow, lambda call: signed_call(call, bearer))


def signed_call(call: Invoke, bearer: Bearer | None = None) -> Flow[Any]:
    """Sign a call, make it, and make it again where another token may do."""
    observation = None if call.attempts is None else call.attempts.observation
    signed = SignedCall(bearer, call.metadata, None if observation is None else observation.context)
    while True:
        sent = yield from signed.sign()
        try:
            return (yield call.with_metadata(sent))
        except RequestError as error:
            if not signed.renews(error):
                shown = signed.hide(error)
                if shown is error:
                    raise
                raise shown from None  # gRPC's own error shows the credentials too
            if call.attempts is not None:
                now: float = yield READ_CLOCK
                call.attempts.note(error, now)
                call.attempts.repeats(error, 0.0)


def check_bearer_token(token: Any) -> str:
    """Return a token after checking that it can be sent.

    Raises:
        ConfigurationError: it cannot be sent; the message does not show it.
    """
    refuse_awaitable("bearer_token", token)
    if not isinstance(token, str) or not token:
        raise ConfigurationError(
            f"bearer_token must be a non-empty string or a function that returns one, not {_kind(token)}",
            parameter="bearer_token",
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError(
            "bearer_token must be printable ASCII without blanks: give it without a line break at its end, and without"
            " 'Bearer '",
            parameter="bearer_token",
        )
    return token


def _kind(value: object) -> str:
    return "an empty one" if value == "" else type(value).__name__
