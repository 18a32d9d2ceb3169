"""The calls of one answer: their numbers, ids and limits, and the events that tell of them."""

from __future__ import annotations

from collections.abc import Callable

from nupic_client.results import ReasoningDelta, ToolArguments, ToolCallStarted
from nupic_client.tools import ToolCall

__all__ = ["MAX_ARGUMENTS", "MAX_CALLS", "AnswerPart", "CallLog"]

MAX_CALLS = 128
"""The most calls of one answer."""
MAX_ARGUMENTS = 1 << 20
"""The most characters of a call's arguments."""

AnswerPart = str | ReasoningDelta | ToolCallStarted | ToolArguments | ToolCall
"""What an answer is told in: a ``str`` is text of the answer."""


class CallLog:
    """Keeps the calls of one answer.

    Args:
        new_id: makes the id of a call whose format has none, of its number.
    """

    __slots__ = (
        "_arguments",
        "_id",
        "_identities",
        "_is_open",
        "_name",
        "_new_id",
        "_size",
        "calls",
        "parts",
        "started",
    )

    def __init__(self, new_id: Callable[[int], str]) -> None:
        self._new_id = new_id
        self._identities: set[str] = set()
        self._id = self._name = ""
        self._arguments: list[str] = []
        self._size = 0
        self._is_open = False
        self.started = 0
        """The number of calls that began, complete or not."""
        self.calls: list[ToolCall] = []
        """The calls that are complete."""
        self.parts: list[AnswerPart] = []
        """The events of now."""

    @property
    def is_full(self) -> bool:
        """Whether the answer has as many calls as it may have."""
        return len(self.calls) >= MAX_CALLS

    def start(self, name: str, identity: str | None) -> bool:
        """Begin a call.

        Args:
            name: its name.
            identity: the id that the model gave it, if it did.

        Returns:
            Whether it is one of the calls that an answer may have.
        """
        if self.is_full:
            return False
        index = self.started
        if not identity or identity in self._identities:
            identity = self._new_id(index)
        self._identities.add(identity)
        self.started += 1
        self._is_open = True
        self._id, self._name, self._arguments, self._size = identity, name, [], 0
        self.parts.append(ToolCallStarted(index, identity, name))
        return True

    def add(self, arguments: str) -> bool:
        """Add to the arguments of the call that began last.

        Returns:
            Whether they are not too long.
        """
        self._size += len(arguments)
        if self._size > MAX_ARGUMENTS:
            return False
        if arguments:
            self._arguments.append(arguments)
            self.parts.append(ToolArguments(self.started - 1, arguments))
        return True

    def complete(self) -> None:
        """End the call that began last."""
        call = ToolCall(self._id, self._name, "".join(self._arguments))
        self._is_open = False
        self.calls.append(call)
        self.parts.append(call)

    def restart(self, *, in_call: bool) -> None:
        """Forget what was told, as where it stood in the prompt; a call that goes on is told again from its beginning.

        Args:
            in_call: whether a call is being read.
        """
        self.calls.clear()
        self.parts.clear()
        self.started = 0
        if in_call and self._is_open:
            self.started = 1
            self.parts.append(ToolCallStarted(0, self._id, self._name))
            if self._arguments:
                self.parts.append(ToolArguments(0, "".join(self._arguments)))
