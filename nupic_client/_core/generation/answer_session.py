"""The state of a generation whose answer has parts: reasoning and tool calls beside its text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nupic_client._core.generation.answer.parser import AnswerParser
from nupic_client._core.generation.bulk import ItemSession
from nupic_client._core.generation.output import CUT
from nupic_client._core.generation.session import GenerationSession
from nupic_client._tool_choice import call_violations
from nupic_client.errors import OutputError
from nupic_client.messages import Message
from nupic_client.results import FinishReason, Generation, TextDelta

if TYPE_CHECKING:
    from nupic_client._core.generation.answer.calls import AnswerPart
    from nupic_client._core.generation.answer_plan import AnswerPlan
    from nupic_client._output_format import OutputFormat
    from nupic_client.results import Event

__all__ = ["AnswerSession", "ItemAnswerSession", "with_parts"]


class AnswerSession(GenerationSession):
    """The state of a generation whose answer is read in parts. ``text`` is the answer's own text alone."""

    # No slots: a class of this one and of another with slots could not be laid out.

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        plan = self.request.answer
        assert plan is not None  # noqa: S101 - for type checkers
        self._plan: AnswerPlan = plan
        self._parser = AnswerParser(
            plan.answer_format,
            prompt=self.request.prompt,
            tools=plan.tools,
            new_id=partial(call_id, self.request_id),
        )
        self._parts: list[AnswerPart] = []
        self._answer: list[str] = []
        self._first_answer: float | None = None
        self._is_read = False

    @property
    def text(self) -> str:
        """The text of the answer so far."""
        return "".join(self._answer)

    def receive(self, response: Any, now: float, *, whole: bool = False) -> str:
        """Take a response and return the answer's new text; the other parts are among the next `events`."""
        piece = super().receive(response, now, whole=whole)
        text = self._read(piece, now) if piece else ""
        if self.stopped_early:
            text += self._finish(now)
        self.outputs_only = not text and (bool(self._parts) or bool(self._decoder.fresh_outputs))
        return text

    def ended(self, now: float) -> str:
        """Take the regular end of the stream and return the text that was held back until then."""
        piece = super().ended(now)
        return (self._read(piece, now) if piece else "") + self._finish(now)

    def events(self, text: str) -> Iterable[Event]:  # noqa: ARG002 - it is among the parts
        """Return the events since the last call, in order."""
        parts, self._parts = self._parts, []
        told = False  # what the response has besides its text: the first text has it
        for part in parts:
            if isinstance(part, str):
                yield TextDelta(part) if told else self.delta(part)
                told = True
            else:
                yield part
        if not told and self._decoder.fresh_outputs:
            yield self.delta("")

    def last_events(self) -> Iterable[Event]:
        """Return the events of the end that came without text."""
        return self.events("") if self._parts else ()

    def result(self) -> Generation:
        """Return the generation; for a cancelled one, what came of it.

        Raises:
            RequestError: it failed.
            OutputError: a call that was forced is not there, or has wrong arguments.
        """
        if self.finished:
            self._finish(self._end)
        parser, generation = self._parser, super().result()
        generation = replace(
            generation,
            reasoning=parser.reasoning or None,
            tool_calls=parser.tool_calls,
            invalid_tool_calls=parser.invalid_tool_calls,
            timing=replace(generation.timing, time_to_answer=self._time_to_answer()),
        )
        if self._plan.must_call and generation.finish_reason is not FinishReason.CANCELLED:
            self._check_calls(generation)
        return generation

    def answer_message(self) -> Message:
        """Return the answer as a message of a conversation, with its reasoning and its calls."""
        return Message(
            "assistant",
            self.text,
            tool_calls=self._parser.tool_calls,
            reasoning=self._parser.reasoning or None,
        )

    def _release(self, now: float) -> None:
        super()._release(now)
        self._read(self._chunks[-1], now)
        self._finish(now, cut=True)

    def _read(self, piece: str, now: float) -> str:
        return self._take(self._parser.feed(piece), now)

    def _finish(self, now: float, *, cut: bool = False) -> str:
        """Let the parser give what it holds back, once."""
        if self._is_read:
            return ""
        self._is_read = True
        cut = cut or self._decoder.finish_reason is FinishReason.LENGTH
        return self._take(self._parser.finish(cut=cut), now)

    def _take(self, parts: list[AnswerPart], now: float) -> str:
        self._parts += parts
        text = "".join([part for part in parts if isinstance(part, str)])
        if text:
            self._answer.append(text)
            if self._first_answer is None:
                self._first_answer = now
        return text

    def _time_to_answer(self) -> float | None:
        return None if self._first_answer is None else self.stopwatch.elapsed(self._first_answer)

    def _with_output(self, form: OutputFormat, generation: Generation) -> Generation:
        # The form is that of an answer in words; calls are checked by themselves.
        if self._plan.must_call or self._parser.tool_calls:
            return generation
        return super()._with_output(form, generation)

    def _check_calls(self, generation: Generation) -> None:
        violations = call_violations(generation.tool_calls, self._plan.must_call)
        if not violations:
            return
        cut = generation.finish_reason is FinishReason.LENGTH
        if cut:
            violations = (CUT, *(violations if generation.tool_calls else ()))
        advice = ": give a larger max_tokens" if cut else ""
        raise OutputError(
            f"model {generation.model!r} did not call a tool as tool_choice asks: {violations[0]}{advice}",
            text="".join(self._chunks),
            violations=violations,
            generation=generation,
        )


class ItemAnswerSession(AnswerSession, ItemSession):
    """The same for one generation of many."""


def with_parts(kind: type[GenerationSession]) -> type[GenerationSession]:
    """Return the class of sessions like these that read answers in parts."""
    return ItemAnswerSession if issubclass(kind, ItemSession) else AnswerSession


def call_id(request_id: str, index: int) -> str:
    """Return the id of a call whose format has none: as OpenAI's look, and never twice."""
    return f"call_{hashlib.sha256(f'{request_id}/{index}'.encode()).hexdigest()[:24]}"
