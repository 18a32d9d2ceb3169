"""The bearer token of a client: when it is fetched, what is sent, and whether a refused one is fetched anew."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from nupic_client._core.flows import FetchToken, Flow, Invoke, Metadata, each_call
from nupic_client.errors import AuthenticationError, ConfigurationError, RequestError

if TYPE_CHECKING:
    from typing import Any, TypeVar

    from nupic_client.config import TokenSource

    T = TypeVar("T")

__all__ = ["Bearer", "authorized"]

_HEADER = "authorization"


class Bearer:
    """A client's token: fetched at the first call, kept until the server refuses it. Thread-safe.

    Threads that need it at the same moment may each fetch it.

    Args:
        source: the token, or what returns it.
    """

    __slots__ = ("_kept", "_source")

    def __init__(self, source: TokenSource) -> None:
        self._source = source
        self._kept = None if callable(source) else _checked(source)

    @classmethod
    def of(cls, source: TokenSource | None) -> Bearer | None:
        """Return the bearer of a source, or None where there is none."""
        return None if source is None else cls(source)

    def sign(self, metadata: Metadata) -> Flow[Metadata]:
        """Return the metadata with the token; metadata that brings its own ``authorization`` stays as it is.

        Raises:
            ConfigurationError: the source gives what is no token, or must be awaited in a call that blocks.
        """
        if any(name == _HEADER for name, _ in metadata):
            return metadata
        token = self._kept
        if token is None:
            source: Any = self._source  # a text was kept from the beginning
            token = self._kept = _checked((yield FetchToken(source)))
        return (*metadata, (_HEADER, f"Bearer {token}"))

    def renews(self, error: RequestError, metadata: Metadata, sent: Metadata) -> bool:
        """Tell whether a call is worth sending again with another token, and forget the one it was sent with.

        Args:
            error: what the call ended with.
            metadata: of the call.
            sent: what `sign` made of it.
        """
        refused = isinstance(error, AuthenticationError) and error.status == "UNAUTHENTICATED"
        if not refused or not callable(self._source) or sent == metadata:
            return False
        if sent[-1][1] == f"Bearer {self._kept}":
            self._kept = None  # else another call has already fetched the next one
        return True

    def __repr__(self) -> str:
        return "Bearer(…)"


def authorized(flow: Flow[T], bearer: Bearer | None) -> Flow[T]:
    """Run a flow with the token in the metadata of its calls."""
    return flow if bearer is None else each_call(flow, lambda call: _authorized(call, bearer))


def _authorized(call: Invoke, bearer: Bearer) -> Flow[Any]:
    sent = yield from bearer.sign(call.metadata)
    try:
        return (yield call.with_metadata(sent))
    except AuthenticationError as error:
        if not bearer.renews(error, call.metadata, sent):
            raise
    sent = yield from bearer.sign(call.metadata)
    call.on_repeat()
    return (yield call.with_metadata(sent))


def _checked(token: Any) -> str:
    if inspect.isawaitable(token):
        if inspect.iscoroutine(token):
            token.close()  # or Python complains that nobody awaited it
        raise ConfigurationError(
            "token is an async function, which a call that blocks cannot await: use the client's async methods, or give"
            " a plain function"
        )
    if not isinstance(token, str) or not token:
        raise ConfigurationError(
            f"token must be a non-empty string or a function that returns one, not {_kind(token)}"
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError(
            "token has characters that cannot be sent, such as a line break at its end: strip() it, and give it without"
            " 'Bearer '"
        )
    return token


def _kind(value: object) -> str:
    return "an empty one" if value == "" else type(value).__name__
