"""`Observer`: told of the requests of a client, for metrics, traces and accounts; and the facts that it is told.

The facts are about a request, never of it: no prompt, no text, no arrays, no metadata, no credentials. Only a
`ContentObserver`, which asks for them, is told the texts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from nupic_client._public import publish
from nupic_client.attempts import Attempt
from nupic_client.messages import Message
from nupic_client.results import FinishReason, Timing, Usage
from nupic_client.sampling import SamplingParams
from nupic_client.tools import Tool

__all__ = [
    "ContentObserver",
    "Observer",
    "Operation",
    "RequestContent",
    "RequestInfo",
    "RequestOutcome",
    "TracingObserver",
]

Operation: TypeAlias = Literal["generate", "stream", "infer", "infer_stream", "embed", "map"]
"""The method of the client that made a request; an async one has the name of its twin."""


class _WeaklyReferable:
    __slots__ = ("__weakref__",)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestInfo(_WeaklyReferable):
    """One request, as it is known when it begins. All calls of an `Observer` for a request get the same object.

    It can be a key of a dictionary and be referenced weakly.

    Args:
        operation: the method of the client that made it.
        model: the model as it was named to the client.
        target: the server or the servers, as ``host:port``.
        request_id: sent with the request.
        chat: whether the prompt was a conversation and not a text.
        streaming: whether the answer is asked for in pieces; None where the model decides, as for
            `InferenceClient.generate`.
        sampling: the sampling options, those of the client and the registry included; None for arrays.
        session: the session that the request belongs to: the id of its `Conversation`, or ``session=``; empty without one.
        output_type: the form that ``response_format=`` asks for, ``"json"`` or ``"text"``; None without one.
        started: when it began, a reading of ``time.monotonic``.
        context: for the observer alone: the return value of its ``on_start``.
    """

    operation: Operation
    """The method of the client that made it."""
    model: str
    """The model as it was named to the client."""
    target: str
    """The server or the servers, as ``host:port``."""
    request_id: str
    """Sent with the request."""
    chat: bool = False
    """Whether the prompt was a conversation and not a text."""
    streaming: bool | None = False
    """Whether the answer is asked for in pieces; None where the model decides, as for `InferenceClient.generate`."""
    sampling: SamplingParams | None = None
    """The sampling options, those of the client and the registry included; None for arrays."""
    session: str = ""
    """The session that the request belongs to: the id of its `Conversation`, or ``session=``; empty without one."""
    output_type: Literal["json", "text"] | None = None
    """The form that ``response_format=`` asks for, ``"json"`` or ``"text"``; None without one."""
    started: float = 0.0
    """When it began, a reading of ``time.monotonic``."""
    context: Any = field(default=None, repr=False)
    """For the observer alone: the return value of its ``on_start``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestOutcome:
    """The end of a request. It was answered, or `cancelled`, or there is an `error`.

    Args:
        model: the server's name of the model; empty if it was not found.
        finish_reason: the reason why a text ended, ``"cancelled"`` for a request that the caller left; None where the
            backend does not report it, for arrays and for failures.
        usage: token counts as the server reports them.
        timing: durations.
        attempts: what was tried, the last attempt included.
        streamed: whether the answer came in pieces.
        cancelled: whether the caller left the request before its end. That is no failure.
        error: the exception that the caller gets; None without one. It is a copy without the text, the results and the
            metadata that had come. Its message has the server's own words, which may repeat the prompt.
        output_bytes: bytes of the text in UTF-8; None for arrays.
        chunk_times: when each piece came, in seconds since the beginning.
    """

    model: str = ""
    """The server's name of the model; empty if it was not found."""
    finish_reason: FinishReason | None = None
    """The reason why a text ended, ``"cancelled"`` for a request that the caller left; None where the backend does
    not report it, for arrays and for failures."""
    usage: Usage = field(default_factory=Usage)
    """Token counts as the server reports them."""
    timing: Timing
    """Durations."""
    attempts: tuple[Attempt, ...] = ()
    """What was tried, the last attempt included."""
    streamed: bool = False
    """Whether the answer came in pieces."""
    cancelled: bool = False
    """Whether the caller left the request before its end. That is no failure."""
    error: Exception | None = None
    """The exception that the caller gets; None without one. It is a copy without the text, the results and the
    metadata that had come. Its message has the server's own words, which may repeat the prompt."""
    output_bytes: int | None = None
    """Bytes of the text in UTF-8; None for arrays."""
    chunk_times: tuple[float, ...] = field(default=(), repr=False)
    """When each piece came, in seconds since the beginning."""

    @property
    def endpoint(self) -> str:
        """The address of the server that answered, or failed; empty if the request went to none."""
        return self.attempts[-1].endpoint if self.attempts else ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class RequestContent:
    """What was said in a generation, for a `ContentObserver`. It has no repr, for a repr is often logged.

    Args:
        prompt: the messages of a conversation, or a text.
        tools: those that the model was offered.
        answer: as far as it came, with its reasoning and its calls of tools; None where nothing came.
    """

    prompt: str | tuple[Message, ...] = ""
    """The messages of a conversation, or a text."""
    tools: tuple[Tool, ...] = ()
    """Those that the model was offered."""
    answer: Message | None = None
    """As far as it came, with its reasoning and its calls of tools; None where nothing came."""


class Observer(Protocol):
    """Told of each request of a client, as its ``observer=``. All methods are optional: extend it with those you want.

    ``client.add_observer`` adds one to those of a client, `observe_all` one to those of all clients.

    The methods are called where the request happens to be: in the caller's thread or task, in the one that closes the
    stream, or for a request that was dropped in a thread of this package; so at the same time for several requests. They
    must be quick, must not block and must not be async. An exception in one of them is logged, and the observer is not
    called again; the request goes on.

    A request begins when its prompt and options are found to be right: one that is refused before is not told of. For
    each ``on_start`` there is exactly one ``on_end``, however the request ends. A forked child is told of its own requests
    only.

    Example:
        .. code-block:: python

            from nupic_client import Observer, RequestInfo, RequestOutcome, StreamingClient

            class Durations(Observer):
                def on_end(self, info: RequestInfo, outcome: RequestOutcome) -> None:
                    print(info.operation, info.model, outcome.timing.total, outcome.error)

            client = StreamingClient("smollm2", observer=Durations())
    """

    def on_start(self, info: RequestInfo) -> object:  # noqa: ARG002 - for those that extend it
        """Take the beginning of a request.

        It is called in the context (`contextvars`) of the call that made the request, as ``map``, wherever that is read.
        It may set context variables, for this request: ``metadata=`` functions, `TracingObserver.metadata` and
        interceptors of gRPC see them, and nothing else does.

        Args:
            info: the request.

        Returns:
            Anything; it becomes ``info.context``.
        """
        return None

    def on_first_token(self, info: RequestInfo, seconds: float) -> object:  # noqa: ARG002 - for those that extend it
        """Take the arrival of the first text, or of the first result of `InferenceClient.infer_stream`.

        Args:
            info: the request.
            seconds: since its beginning.

        Returns:
            Nothing.
        """
        return None

    def on_retry(self, info: RequestInfo, error: Exception, pause: float, attempt: int) -> object:  # noqa: ARG002 - for those that extend it
        """Take the failure of an attempt after which the request is sent again.

        Args:
            info: the request.
            error: of the attempt, as in `RequestOutcome`.
            pause: seconds until it is sent again.
            attempt: the number of the attempt that failed, from 1. The question for the model's signature before the first
                request has attempts of its own.

        Returns:
            Nothing.
        """
        return None

    def on_end(self, info: RequestInfo, outcome: RequestOutcome) -> object:  # noqa: ARG002 - for those that extend it
        """Take the end of a request.

        Args:
            info: the request.
            outcome: how it ended.

        Returns:
            Nothing.
        """
        return None


class TracingObserver(Observer, Protocol):
    """An observer that writes headers, too, and may leave calls alone.

    Example:
        .. code-block:: python

            class Headers(TracingObserver):
                def metadata(self, names: Collection[str]) -> Mapping[str, str]:
                    return {"x-tenant": tenant.get()}
    """

    def wants(self, operation: Operation) -> bool:  # noqa: ARG002 - for those that extend it
        """Tell whether to be told of the requests of a call of the client. What is not wanted costs nothing more.

        It is called once for each call, as once for a ``map``, in its context.

        Args:
            operation: the method of the client.

        Returns:
            False where this observer has no part in it; then its ``metadata`` is not asked for either.
        """
        return True

    def metadata(self, names: Collection[str]) -> Mapping[str, str | bytes]:  # noqa: ARG002 - for those that extend it
        """Make metadata (headers) for a call to the server, such as those of tracing.

        It is called for each attempt of a request, and for the question about the model, in the context that
        ``on_start`` has left. The metadata of the client and of the call go over it, name by name.

        Args:
            names: of the metadata that the client and the call give.

        Returns:
            The metadata; empty for none.
        """
        return {}


class ContentObserver(Observer, Protocol):
    """An observer that is told what was said, too. Prompts and answers are private: have a reason, and a place for them.

    Example:
        .. code-block:: python

            class Transcript(ContentObserver):
                def on_content(self, info: RequestInfo, content: RequestContent) -> None:
                    archive.add(info.request_id, content.prompt, content.answer)
    """

    def on_content(self, info: RequestInfo, content: RequestContent) -> object:  # noqa: ARG002 - for those that extend it
        """Take what was said in a generation, just before its ``on_end``.

        Args:
            info: the request.
            content: its prompt, and the answer as far as it came.

        Returns:
            Nothing.
        """
        return None


publish(__name__)
