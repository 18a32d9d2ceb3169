"""The scripted engine: an answer is a list of steps, with which a test controls what the server sends and when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from nupic_client._numbers import check_number
from nupic_client.local.engine import (
    Chunk,
    EngineError,
    EngineRequest,
    FinalPlacement,
    StreamAbort,
    StreamEnd,
)
from nupic_client.signature import TensorValue

__all__ = [
    "Reply",
    "ReplySource",
    "ScriptedEngine",
    "Step",
    "abort",
    "end",
    "fail",
    "raw",
    "silence",
    "sleep",
]


@dataclass(frozen=True, slots=True)
class _Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class _Silence:
    pass


@dataclass(frozen=True, slots=True)
class _Fail:
    message: str


@dataclass(frozen=True, slots=True)
class _Abort:
    code: str
    details: str


@dataclass(frozen=True, slots=True)
class _End:
    pass


@dataclass(frozen=True, slots=True)
class _Raw:
    response: Any


Step: TypeAlias = (
    str
    | bytes
    | Mapping[str, TensorValue | Sequence[TensorValue]]
    | _Sleep
    | _Silence
    | _Fail
    | _Abort
    | _End
    | _Raw
)
"""One step of an answer: a text, or the result of a function of this module."""


def sleep(seconds: float) -> Step:
    """Step: wait this many seconds. A cancel ends the wait at once."""
    return _Sleep(check_number("sleep", seconds, "a number of seconds >= 0", low=0))


def silence() -> Step:
    """Step: send nothing more until the client cancels, like a server whose model process died."""
    return _Silence()


def fail(message: str) -> Step:
    """Step: the model fails with this message, after the steps before."""
    return _Fail(message)


def abort(code: str, details: str = "") -> Step:
    """Step: end the RPC abruptly with a gRPC status.

    Args:
        code: name of the status, e.g. ``"UNAVAILABLE"``.
        details: its text.
    """
    return _Abort(code, details)


def end() -> Step:
    """Step: end the RPC at once with status OK, without a final mark."""
    return _End()


def raw(response: Any) -> Step:
    """Step: send this response unchanged, to test a client against a hostile server.

    Args:
        response: a ``ModelStreamInferResponse``, bytes to send as one (also invalid ones), or a
            function of the recorded request that returns either. For unary calls, a ``ModelInferResponse``.
    """
    return _Raw(response)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with settings of its own, if a list of steps is not enough. Immutable.

    Args:
        steps: the steps. A ``str`` or ``bytes`` step is one response; bytes may cut UTF-8 anywhere. A mapping
            is one response with these outputs by name.
        final: the place of the final mark; None leaves it to the model.
        honour_max_tokens: whether the request's ``max_tokens`` cuts the answer; each text step is one token.
        finish_reason: the reported finish reason, for requests that ask for it.
        input_tokens: the reported length of the prompt; None counts its words.
    """

    steps: Iterable[Step]
    final: FinalPlacement | None = None
    honour_max_tokens: bool = True
    finish_reason: str = "stop"
    input_tokens: int | None = None


ReplySource: TypeAlias = (
    str | Iterable[Step] | Reply | Callable[[EngineRequest], str | Iterable[Step] | Reply]
)
"""A reply, or a function of the recorded request that returns one (it may be a generator function)."""


class ScriptedEngine:
    """Answer every request with the steps of ``reply``. Thread-safe; ``reply`` may be set at any time.

    Args:
        reply: the steps, or a function that returns them for a request. An iterator serves one request only.
        on_cancel: called with the request and the number of text steps sent when a generation is cancelled.
    """

    def __init__(
        self,
        reply: ReplySource,
        *,
        on_cancel: Callable[[EngineRequest, int], None] = lambda _request, _sent: None,
    ) -> None:
        self.reply = reply
        self._on_cancel = on_cancel

    def generate(self, request: EngineRequest, cancelled: threading.Event) -> Iterator[Chunk]:
        """Play the reply; see `Engine.generate`."""
        source = self.reply
        reply = source(request) if callable(source) else source
        if isinstance(reply, str):
            reply = [reply]
        if not isinstance(reply, Reply):
            reply = Reply(reply)
        playback = _Playback(reply, request, cancelled)
        try:
            yield from playback.chunks()
        finally:
            # Also when the iterator is closed before its end, or a client leaves as soon as it has the final
            # mark.
            if cancelled.is_set() and not playback.finished:
                self._on_cancel(request, playback.sent)


class _Playback:
    """The progress of one reply."""

    def __init__(self, reply: Reply, request: EngineRequest, cancelled: threading.Event) -> None:
        self._reply = reply
        self._request = request
        self._cancelled = cancelled
        self._steps = iter(reply.steps)
        self._ahead: list[Step] = []
        self._with_last = (reply.final or request.final) == "with_last"
        limit = request.inputs.get("max_tokens") if reply.honour_max_tokens else None
        self._limit = limit if isinstance(limit, int) else None
        tokens = reply.input_tokens
        self._input_tokens = len(request.prompt.split()) if tokens is None else tokens
        self.sent = 0
        self.finished = False

    def chunks(self) -> Iterator[Chunk]:
        while (step := self._next()) is not None:
            if isinstance(step, (str, bytes, Mapping)):
                self.sent += 1
                chunk = self._content(step)
                self.finished = chunk.final
                yield chunk
                if self.sent == self._limit and not self.finished and self._peek():
                    yield self._last("length")
                    return
            else:
                yield from self._act(step)
            if self._cancelled.is_set() or self.finished:
                return
        yield self._last(self._reply.finish_reason)

    def _last(self, reason: str) -> Chunk:
        """Return the chunk without content that reports the finish reason."""
        self.finished = True
        return Chunk(finish_reason=reason, input_tokens=self._input_tokens, final=self._with_last)

    def _next(self) -> Step | None:
        return self._ahead.pop() if self._ahead else next(self._steps, None)

    def _peek(self) -> bool:
        """Return whether another step follows. Called only where needed: a reply's generator may block."""
        step = self._next()
        if step is not None:
            self._ahead.append(step)
        return step is not None

    def _content(self, step: str | bytes | Mapping[str, Any]) -> Chunk:
        reason = None
        if self._with_last:
            more = self._peek()
            if not more:
                reason = self._reply.finish_reason
            elif self.sent == self._limit:
                reason = "length"
        return Chunk(
            text=None if isinstance(step, Mapping) else step.encode() if isinstance(step, str) else step,
            outputs=step if isinstance(step, Mapping) else {},
            finish_reason=reason,
            input_tokens=self._input_tokens,
            output_tokens=1,
            final=reason is not None,
        )

    def _act(self, step: _Sleep | _Silence | _Fail | _Abort | _End | _Raw) -> Iterator[Chunk]:
        match step:
            case _Sleep(seconds):
                self._cancelled.wait(seconds)
            case _Silence():
                self._cancelled.wait()
            case _Raw(response):
                yield Chunk(raw=response(self._request) if callable(response) else response)
            case _Fail() | _Abort() | _End():
                self.finished = True
                raise _control(step)
            case _:
                raise TypeError(f"{step!r} is not a step of a reply")


def _control(step: _Fail | _Abort | _End) -> Exception:
    if isinstance(step, _Fail):
        return EngineError(step.message)
    if isinstance(step, _Abort):
        return StreamAbort(step.code, step.details)
    return StreamEnd()
