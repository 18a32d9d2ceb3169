"""Text and reasoning as they are told: without the blanks next to anchors, with the source of calls that are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client._core.generation.answer.compiled import Kind, Part
from nupic_client.results import ReasoningDelta

if TYPE_CHECKING:
    from nupic_client._core.generation.answer.anchors import Anchor
    from nupic_client._core.generation.answer.calls import AnswerPart

__all__ = ["BLANKS", "MOST_BLANKS", "ToldText"]

BLANKS = " \t\r\n"
MOST_BLANKS = 64
"""That belong to an anchor."""
_MOST_INVALID = 65_536


class ToldText:
    """The text and the reasoning of one answer.

    Args:
        parts: where they are told.
    """

    __slots__ = (
        "_blanks",
        "_join",
        "_parts",
        "_source",
        "invalid",
        "reasoning",
        "spoilt",
        "spoilt_close",
        "written",
    )

    def __init__(self, parts: list[AnswerPart]) -> None:
        self._parts = parts
        self._blanks: str | None = None  # those behind an anchor, until it is known whether text follows
        self._join = ""
        self._source: list[str] = []
        self.reasoning: list[str] = []
        """The reasoning so far."""
        self.invalid: list[str] = []
        """The source of what began as a call and is none; it is in the text, too."""
        self.written = {Kind.TEXT: False, Kind.REASONING: False}
        """Whether there was any, but blanks."""
        self.spoilt = False
        """Whether a call that is none goes on."""
        self.spoilt_close: Anchor | None = None
        """The anchor that ends it."""

    def skip(self, text: str) -> None:
        """Leave out an anchor, blanks next to it, or the source of a call."""

    def begin(self, part: Part, *, joined: bool = False) -> None:
        """Begin a part of text or reasoning behind an anchor.

        Args:
            part: the part.
            joined: whether what stands between it and an earlier one of its kind is told.
        """
        if joined:
            self._join = part.field.join or "" if self.written[part.kind] else ""
        self._blanks = "" if part.strips else None

    def write(self, kind: Kind, text: str) -> None:
        """Tell a piece of text or reasoning."""
        if not text:
            return
        if self._blanks is not None:
            whole = self._blanks + text
            text = whole.lstrip(BLANKS)
            blanks = whole[: len(whole) - len(text)]
            if not text:
                self.skip(blanks[:-MOST_BLANKS])
                self._blanks = blanks[-MOST_BLANKS:]
                return
            self._blanks = None
            if self.written[kind]:
                text = blanks + text
            else:
                self.skip(blanks)
        if self._join:
            text, self._join = self._join + text, ""
        self.written[kind] = self.written[kind] or not text.isspace()
        if kind is Kind.REASONING:
            self.reasoning.append(text)
            if self._parts and isinstance(self._parts[-1], ReasoningDelta):
                text = self._parts.pop().text + text  # type: ignore[union-attr]
            self._parts.append(ReasoningDelta(text))
            return
        if self.spoilt:
            self._source.append(text)
        if self._parts and isinstance(self._parts[-1], str):
            self._parts[-1] += text
        else:
            self._parts.append(text)

    def drop_blanks(self) -> None:
        """Leave out the blanks behind the last anchor, if nothing came after them."""
        self.skip(self._blanks or "")
        self._blanks = None

    def spoil(self, close: Anchor | None) -> None:
        """Note all that comes as the source of a call that is none.

        Args:
            close: the anchor that ends it.
        """
        self._source = []
        self.spoilt, self.spoilt_close = True, close

    def spoil_ends(self) -> None:
        """End the source of a call that is none, if there is one."""
        if self.spoilt:
            self.invalid.append("".join(self._source)[:_MOST_INVALID].strip(BLANKS))
        self.spoilt, self.spoilt_close = False, None

    def restart(self) -> None:
        """Forget what was in the prompt, all but whether there was something."""
        self.spoilt, self.spoilt_close = False, None
        self.reasoning.clear()
        self.invalid.clear()
        if self._blanks is not None:
            self._blanks = ""
