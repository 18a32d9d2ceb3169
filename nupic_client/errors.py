"""Every exception the library raises, sorted by who must act.

::

    NupicError
    ├── ConfigurationError      (ValueError)    the caller, before anything was sent: bad url, option or value
    ├── PromptError             (ValueError)    the caller: a formatter cannot render this conversation
    ├── UnknownModelError       (LookupError)   the caller: the name is not in the registry
    ├── StreamStateError        (RuntimeError)  the caller: a stream was used in a state that does not allow it
    │   ├── StreamConsumedError                 it was already read to its end
    │   └── StreamClosedError                   it was closed, which cancelled the generation
    ├── LocalModelError         (RuntimeError)  the operator: the embedded model cannot be fetched or run here
    ├── OutputError             (ValueError)    the model: its answer does not have the form that was asked for
    └── RequestError                            a request was sent and did not succeed
        ├── TransportError                      the network or the operator: the call failed
        │   ├── ConnectionFailedError           the server cannot be reached, or the connection broke
        │   ├── DeadlineExceededError (TimeoutError)  a deadline passed
        │   ├── AuthenticationError             the server or a proxy wants other credentials
        │   ├── OverloadedError                 the server has no capacity for this request now
        │   ├── ModelUnavailableError           the model does not exist, is not loaded or its process died
        │   └── RequestRejectedError            the request does not fit the model
        │       └── ContextLengthError          prompt and answer have more tokens than the model can hold
        ├── InferenceError                      the model: it failed while it was generating
        └── ProtocolError                       the server: it broke the protocol
            └── IncompleteStreamError           the stream ended before the answer was complete

All of them can be pickled and copied. Facts are attributes, the sentence is ``str(error)``. An error is never edited: one
that learns more is made anew, so that ``str``, ``repr`` and ``args`` always agree. An exception of the underlying gRPC
library is never raised to the caller: it is only the ``__cause__``.
"""

from __future__ import annotations

import copy
import typing

from nupic_client._public import publish
from nupic_client.attempts import Attempt

__all__ = [
    "AuthenticationError",
    "ConfigurationError",
    "ConnectionFailedError",
    "ContextLengthError",
    "DeadlineExceededError",
    "IncompleteStreamError",
    "InferenceError",
    "LocalModelError",
    "ModelUnavailableError",
    "NupicError",
    "OutputError",
    "OverloadedError",
    "PromptError",
    "ProtocolError",
    "RequestError",
    "RequestRejectedError",
    "StreamClosedError",
    "StreamConsumedError",
    "StreamStateError",
    "TransportError",
    "UnknownModelError",
]

# Not Self: for Python 3.10 it is in a package that is not there inside Triton.
AnyError = typing.TypeVar("AnyError", bound="NupicError")


class NupicError(Exception):
    """Root of every error of this library: ``except NupicError`` catches them all."""

    hint: str = ""
    """Another way out that needs an argument, as "or set unsupported='warn'"; part of ``str(error)``."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        # `args` has one text only, so that unpickling can make the exception; the attributes follow afterwards.
        super().__init__(message)
        self.message: str = message
        """What happened and what to do, as one sentence without the facts that stand in attributes."""
        if hint:
            self.hint = hint
            self.args = (self._sentence(),)

    def __str__(self) -> str:
        return str(self.args[0])

    def __setstate__(self, state: dict[str, object] | None) -> None:
        super().__setstate__(state)
        self.args: tuple[object, ...] = (self._sentence(),)

    def with_facts(self: AnyError, **facts: object) -> AnyError:  # noqa: PYI019
        """Return this error with other facts or another message. Its cause, context and traceback are the same.

        Args:
            **facts: attributes by name, ``message`` among them.
        """
        error = copy.copy(self)
        error.__dict__.update(facts)
        error.args = (error._sentence(),)  # noqa: SLF001 - of the same class
        error.__cause__, error.__context__ = self.__cause__, self.__context__
        error.__suppress_context__ = self.__suppress_context__
        return error.with_traceback(self.__traceback__)

    def _sentence(self) -> str:
        return f"{self.message}, {self.hint}" if self.hint else self.message


class ConfigurationError(NupicError, ValueError):
    """A url, option or value is wrong. Raised before anything of the request is sent."""

    def __init__(self, message: str, *, parameter: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.parameter: str = parameter
        """The argument that is wrong, as ``"max_tokens"`` or ``"tls.private_key"``; empty if it is not one alone."""


class PromptError(NupicError, ValueError):
    """A prompt formatter cannot render this conversation; the message says what the family allows."""


class UnknownModelError(NupicError, LookupError):
    """A model's name is not in the registry, or a short name fits several models of the server."""

    def __init__(self, message: str, *, model: str = "", known: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.model: str = model
        """The name that was looked for."""
        self.known: tuple[str, ...] = known
        """The names the registry has."""


class StreamStateError(NupicError, RuntimeError):
    """A stream or a sequence was used in a state that does not allow it."""


class StreamConsumedError(StreamStateError):
    """The stream was already read to its end; a stream of text still has all of it in ``stream.result()``."""


class StreamClosedError(StreamStateError):
    """The stream was closed, which cancelled its requests; a stream of text has what came in ``stream.result()``."""


class LocalModelError(NupicError, RuntimeError):
    """The embedded model cannot be fetched, loaded or run on this machine; the message says what to do."""


class OutputError(NupicError, ValueError):
    """The model's answer does not have the form that ``response_format=`` asks for, or was cut before its end.

    The request itself succeeded. Nothing of the answer is in ``str(error)`` but the values that are wrong.
    """

    def __init__(
        self,
        message: str,
        *,
        text: str = "",
        violations: tuple[str, ...] = (),
        partial: typing.Any = None,
        generation: typing.Any = None,
    ) -> None:
        super().__init__(message)
        self.text: str = text
        """The whole answer."""
        self.violations: tuple[str, ...] = violations
        """What is wrong with it, a sentence each."""
        self.partial: typing.Any = partial
        """Its value as far as it can be read, with JSON as dicts and lists; the text where the form is not JSON."""
        self.generation: typing.Any = generation
        """The `Generation`, with its finish reason and usage; its ``parsed`` is None."""


class RequestError(NupicError):
    """A request was sent to a server and did not succeed.

    All facts are attributes; those that are not known are empty (``""``, ``None``).
    """

    def __init__(
        self,
        message: str,
        *,
        model: str = "",
        target: str = "",
        request_id: str = "",
        status: str = "",
        server_message: str = "",
        partial_text: str = "",
        retryable: bool = False,
        attempts: tuple[Attempt, ...] = (),
        retry_after: float | None = None,
        trailing_metadata: tuple[tuple[str, str | bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.model: str = model
        """The server's name of the model."""
        self.target: str = target
        """The server that was asked, as ``host:port``."""
        self.request_id: str = request_id
        """The id the request was sent with."""
        self.status: str = status
        """The gRPC status name such as ``"UNAVAILABLE"``, also for errors inside a stream; empty when there is none."""
        self.server_message: str = server_message
        """The server's own words, verbatim."""
        self.partial_text: str = partial_text
        """The text that had arrived before the failure. Not part of ``str(error)``."""
        self.partial_results: tuple[typing.Any, ...] = ()
        """The results that `InferenceStream.results` had read before the failure. Not part of ``str(error)``."""
        self.retryable: bool = retryable
        """Whether the same request may succeed if it is sent again, and nothing of an answer had arrived."""
        self.elsewhere: bool = False
        """Whether another server of the client, not tried yet, may do better with the same request."""
        self.attempts: tuple[Attempt, ...] = attempts
        """The attempts of the request with the last one, each with where it went, its outcome and its duration."""
        self.retry_after: float | None = retry_after
        """Seconds after which the server wants it sent again, negative for never; None where it does not say."""
        self.trailing_metadata: tuple[tuple[str, str | bytes], ...] = trailing_metadata
        """The gRPC metadata (HTTP/2 trailers) that came with the failure; over HTTP the headers."""
        self.args: tuple[object, ...] = (self._sentence(),)

    @property
    def endpoint(self) -> str:
        """The address of the server that failed; empty if the request went to none."""
        return self.attempts[-1].endpoint if self.attempts else ""

    def completed(self: AnyError, **facts: str) -> AnyError:  # noqa: PYI019
        """Return this error with those of the facts that it lacks: ``model``, ``target`` and ``request_id``.

        Args:
            **facts: attributes by name; one that is known already stays.
        """
        missing = {name: value for name, value in facts.items() if value and not getattr(self, name)}
        return self.with_facts(**missing) if missing else self

    def _sentence(self) -> str:
        facts = [
            f"{name} {value}"
            for name, value in (
                ("model", repr(self.model) if self.model else ""),
                ("server", self.target),
                ("request", self.request_id),
                ("status", self.status),
                ("attempts", _told(self.attempts)),
            )
            if value
        ]
        return f"{self.message} ({', '.join(facts)})" if facts else self.message


_MOST_TOLD = 5
"""Attempts that the sentence of an error names."""


def _told(attempts: tuple[Attempt, ...]) -> str:
    """Return several attempts in words: their number, and each where they went to several servers."""
    if len(attempts) < 2:
        return ""
    if len({attempt.endpoint for attempt in attempts}) == 1:
        return str(len(attempts))
    last = attempts[-_MOST_TOLD:]
    each = ", then ".join(f"{attempt.endpoint} {attempt.status}".rstrip() for attempt in last)
    return f"{len(attempts)}: {'' if len(last) == len(attempts) else 'at last '}{each}"


class TransportError(RequestError):
    """The call itself failed: network, server or operator."""


class ConnectionFailedError(TransportError):
    """The server cannot be reached, also not by a gateway, or the connection broke while the answer was on its way."""


class DeadlineExceededError(TransportError, TimeoutError):
    """A deadline passed. The call was cancelled, and a generation or inference with it."""

    def __init__(
        self,
        message: str,
        *,
        deadline: str = "total",
        limit: float | None = None,
        elapsed: float | None = None,
        chunks: int = 0,
        model: str = "",
        target: str = "",
        request_id: str = "",
        status: str = "DEADLINE_EXCEEDED",
        server_message: str = "",
        partial_text: str = "",
        retryable: bool = False,
        attempts: tuple[Attempt, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            message,
            model=model,
            target=target,
            request_id=request_id,
            status=status,
            server_message=server_message,
            partial_text=partial_text,
            retryable=retryable,
            attempts=attempts,
            retry_after=retry_after,
        )
        self.deadline: str = deadline
        """The deadline that passed, one of ``"total"``, ``"first_token"`` and ``"between_tokens"``."""
        self.limit: float | None = limit
        """Its value in seconds."""
        self.elapsed: float | None = elapsed
        """Seconds since the call was made."""
        self.chunks: int = chunks
        """How many chunks of text, or results of a stream, had arrived."""


class AuthenticationError(TransportError):
    """The server, or a proxy before it, wants other credentials (UNAUTHENTICATED, PERMISSION_DENIED) or its own header."""


class OverloadedError(TransportError):
    """The server has no capacity for this request now: RESOURCE_EXHAUSTED, a full queue, or too long a wait in it."""


class ModelUnavailableError(TransportError):
    """The model does not exist on the server, is not loaded or its process died, or the server says it is unavailable."""


class RequestRejectedError(TransportError):
    """The server says that the request does not fit the model (inputs, types, shapes, parameters)."""


class ContextLengthError(RequestRejectedError):
    """The prompt, or the prompt and the answer together, have more tokens than the model can hold. Shorten the prompt."""

    def __init__(
        self,
        message: str,
        *,
        limit: int | None = None,
        requested: int | None = None,
        model: str = "",
        target: str = "",
        request_id: str = "",
        status: str = "",
        server_message: str = "",
        partial_text: str = "",
        retryable: bool = False,
        attempts: tuple[Attempt, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            message,
            model=model,
            target=target,
            request_id=request_id,
            status=status,
            server_message=server_message,
            partial_text=partial_text,
            retryable=retryable,
            attempts=attempts,
            retry_after=retry_after,
        )
        self.limit: int | None = limit
        """The most tokens that are possible; None where the server does not say."""
        self.requested: int | None = requested
        """The tokens of the request as the server counts them; None where it does not say."""


class InferenceError(RequestError):
    """The model failed while it was working on the request; ``server_message`` has its own words."""


class ProtocolError(RequestError):
    """The server's answer breaks the KServe v2 protocol or the model's declared signature."""


class IncompleteStreamError(ProtocolError):
    """The server ended the stream before it marked the answer as complete; ``partial_text`` has what came."""


publish(__name__)
