"""Errors in LiteLLM's classes, which its router, its retries and its proxy go by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from litellm import exceptions

from nupic_client import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    ContextLengthError,
    DeadlineExceededError,
    InferenceError,
    ModelUnavailableError,
    NupicError,
    OutputError,
    OverloadedError,
    PromptError,
    ProtocolError,
    RequestRejectedError,
    UnknownModelError,
)

__all__ = ["translated"]

_CLASSES: tuple[tuple[type[NupicError], type[Exception]], ...] = (
    (ContextLengthError, exceptions.ContextWindowExceededError),
    (RequestRejectedError, exceptions.BadRequestError),
    (OverloadedError, exceptions.RateLimitError),
    (AuthenticationError, exceptions.AuthenticationError),
    (DeadlineExceededError, exceptions.Timeout),
    (ModelUnavailableError, exceptions.ServiceUnavailableError),
    (ConnectionFailedError, exceptions.ServiceUnavailableError),
    (InferenceError, exceptions.InternalServerError),
    (ProtocolError, exceptions.BadGatewayError),
    (OutputError, exceptions.APIResponseValidationError),
    (ConfigurationError, exceptions.BadRequestError),
    (PromptError, exceptions.BadRequestError),
    (UnknownModelError, exceptions.NotFoundError),
)
_BY_STATUS = {"PERMISSION_DENIED": exceptions.PermissionDeniedError, "NOT_FOUND": exceptions.NotFoundError}


@contextmanager
def translated(model: str, provider: str) -> Iterator[None]:
    """Raise errors of this library as those of LiteLLM, with the text so far as ``partial_text``.

    Args:
        model: the name of the model, without the provider's.
        provider: the provider's name.
    """
    try:
        yield
    except NupicError as error:
        raise _in_their_words(error, model, provider) from error


def _in_their_words(error: NupicError, model: str, provider: str) -> Exception:
    kind = next(
        (theirs for ours, theirs in _CLASSES if isinstance(error, ours)), exceptions.InternalServerError
    )
    kind = _BY_STATUS.get(getattr(error, "status", ""), kind)
    facts: dict[str, Any] = {"message": str(error), "model": model, "llm_provider": provider}
    if issubclass(kind, exceptions.PermissionDeniedError):
        facts["response"] = httpx.Response(403, request=httpx.Request("POST", "https://litellm.ai"))
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None and retry_after >= 0 and issubclass(kind, exceptions.RateLimitError):
        facts["response"] = httpx.Response(
            429,
            headers={"retry-after": f"{retry_after:g}"},
            request=httpx.Request("POST", "https://litellm.ai"),
        )
    made: Exception = kind(**facts)
    vars(made)["partial_text"] = getattr(error, "partial_text", "") or getattr(error, "text", "")
    return made
