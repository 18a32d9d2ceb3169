"""Asking again for an answer whose form the client checks: what is asked, and how often."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nupic_client.errors import OutputError
from nupic_client.messages import assistant, check_is_list, user

if TYPE_CHECKING:
    from nupic_client._core.calls.options import CallOptions
    from nupic_client.messages import MessageLike
    from nupic_client.options import GenerateOptions

__all__ = ["Asking"]

_WRONG = "Your answer does not have the form that is needed"
_AGAIN = "Answer again with the corrected answer only, without explanations."
_MOST_TOLD = 10
_LONGEST = 4000
"""Characters of a wrong answer that are shown to the model again."""


class Asking:
    """The prompts and options of one answer, which is asked for until it has its form.

    Args:
        prompt: the first prompt.
        options: those of the call.
        call: the same with the client's put under them.
        now: clock reading.
    """

    def __init__(
        self,
        prompt: str | Iterable[MessageLike],
        options: GenerateOptions,
        call: CallOptions,
        now: float,
    ) -> None:
        if not isinstance(prompt, str):
            check_is_list("prompt", "a str or a list of messages", prompt)
            prompt = list(prompt)
        self._first = prompt
        self._call = call
        self._begun = now
        self._asked = 1
        self._may_quote = False
        self.prompt: Any = prompt
        """What to send."""
        self.options: GenerateOptions = options
        """The options to send it with."""

    def again(self, error: OutputError, now: float) -> None:
        """Prepare to ask once more.

        Args:
            error: of the last answer.
            now: clock reading.

        Raises:
            OutputError: the given one: there were enough questions, or there is no time left.
        """
        total = self._call.timeouts.total
        left = None if total is None else total - (now - self._begun)
        if self._asked > self._call.output_retries or (left is not None and left <= 0):
            raise error
        self._asked += 1
        options: dict[str, Any] = {**self.options, "timeout": replace(self._call.timeouts, total=left)}
        if self._call.request_id is not None:
            options["request_id"] = f"{self._call.request_id}-{self._asked}"
        if self._call.sampling.seed is not None:  # the same one would give the same answer
            options["seed"] = (self._call.sampling.seed + self._asked - 1) % 2**64
        self.options = options  # type: ignore[assignment]
        if not isinstance(self._first, str):
            text = _sendable(error.text).strip()[:_LONGEST] or "…"
            wrong = "\n".join(f"- {violation}" for violation in map(_sendable, error.violations[:_MOST_TOLD]))
            self.prompt = [*self._first, assistant(text), user(f"{_WRONG}:\n{wrong}\n{_AGAIN}")]
            self._may_quote = True

    def unquoted(self) -> bool:
        """Leave the violations out of the prompt, and return whether they were in it.

        They quote what the model wrote, in which the prompt's format may find what it refuses.
        """
        quoted, self._may_quote = self._may_quote, False
        if quoted:
            self.prompt = [*self.prompt[:-1], user(f"{_WRONG}. {_AGAIN}")]
        return quoted


def _sendable(text: str) -> str:
    """Return a text with lone surrogates escaped: the JSON of a model may have them, and a prompt may not."""
    return text.encode("utf-8", "backslashreplace").decode()
