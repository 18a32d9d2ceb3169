"""Errors of requests that are LangChain's errors, too: ``except ModelTimeoutError`` catches a deadline that passed.

Each is of this package's class and of LangChain's at the same time, with all facts, such as ``partial_text``. A core without
such classes gets the errors as they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from langchain_core import exceptions

import nupic_client
from nupic_client import RequestError

__all__ = ["langchain_error", "langchain_errors"]

_THEIRS = {
    "ContextLengthError": "ContextOverflowError",
    "RequestRejectedError": "ModelInvalidRequestError",
    "ModelUnavailableError": "ModelNotFoundError",
    "OverloadedError": "ModelRateLimitError",
    "AuthenticationError": "ModelAuthenticationError",
    "DeadlineExceededError": "ModelTimeoutError",
    "ConnectionFailedError": "ModelConnectionError",
    "InferenceError": "ModelAPIError",
    "IncompleteStreamError": "ModelAPIError",
    "ProtocolError": "ModelAPIError",
}
"""LangChain's class for each of the package's."""


class _Both:
    """What the classes add: LangChain asks an error whether the request may be sent again."""

    @property
    def is_retryable(self) -> Any:
        return getattr(self, "retryable", False)


def _classes() -> Iterator[tuple[type[RequestError], type[RequestError]]]:
    """Yield the classes of the package with those that are LangChain's too; both have the same name."""
    for name, theirs in _THEIRS.items():
        base = getattr(exceptions, theirs, None)
        if base is not None:
            ours = getattr(nupic_client, name)
            facts = {"__module__": __name__, "__doc__": f"{ours.__doc__} Also LangChain's ``{theirs}``."}
            yield ours, type(name, (_Both, ours, base), facts)


_CLASSES = dict(_classes())
globals().update({kind.__name__: kind for kind in _CLASSES.values()})  # pickle finds them by name


def langchain_error(error: RequestError) -> RequestError:
    """Return an error that is LangChain's too, with the same facts, cause and traceback."""
    kind = _CLASSES.get(type(error))
    if kind is None:
        return error
    made = kind(error.message)
    made.__dict__.update(error.__dict__)
    made.args = error.args
    made.__cause__, made.__context__ = error.__cause__, error.__context__
    made.__suppress_context__ = error.__suppress_context__
    return made.with_traceback(error.__traceback__)


@contextlib.contextmanager
def langchain_errors() -> Iterator[None]:
    """Raise the errors of requests in the block as those that are LangChain's, too."""
    try:
        yield
    except RequestError as error:
        raise langchain_error(error) from error.__cause__
