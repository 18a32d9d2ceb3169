"""The parts of a prompt: the family's own text, and the contents of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client.parts import TextPart
from nupic_client.prompts.turn import Rule, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nupic_client.parts import ContentPart

__all__ = ["TOOLS", "PromptBuilder"]

TOOLS = -1
"""The number of the tools on offer, which are content of no message."""


class PromptBuilder:
    """The parts of one prompt, in order.

    The safety check needs to know the family's own text from content: a control token is legitimate only where no
    character of it is content.

    Args:
        image: the family's own text for an image.
    """

    __slots__ = ("_image", "_parts", "_quotes")

    def __init__(self, image: str | None = None) -> None:
        self._image = image or ""
        self._parts: list[str] = []
        self._quotes: list[tuple[int, int]] = []

    def literal(self, text: str) -> None:
        """Append the family's own text."""
        self._parts.append(text)

    def content(self, text: str, message: int) -> None:
        """Append the content, or what is left of it, of the message with this index, or of `TOOLS`."""
        if text:
            self._quotes.append((len(self._parts), message))
            self._parts.append(text)

    def parts(self, content: str | Sequence[ContentPart], clean: Callable[[str], str], message: int) -> None:
        """Append the texts and images of a content; each text is cleaned, as the templates do."""
        if isinstance(content, str):
            self.content(clean(content), message)
            return
        for part in content:
            if isinstance(part, TextPart):
                self.content(clean(part.text), message)
            else:
                self.literal(self._image)

    def turn(self, turn: Turn | Rule, content: str | Sequence[ContentPart], message: int) -> None:
        """Append a message in its turn; nothing where it has none."""
        if isinstance(turn, Rule) or (turn.skip_empty and not content):
            return
        self.literal(turn.before)
        self.parts(content, turn.clean, message)
        self.literal(turn.after)

    def text(self) -> str:
        """Return the prompt."""
        return "".join(self._parts)

    def pad(self, part: int) -> None:
        """Put a space before and after a part, so that it makes no token with its neighbours."""
        self._parts[part] = f" {self._parts[part]} "

    def find_forged(self, tokens: Iterable[str]) -> tuple[str, int, int] | None:
        """Find a token that is made of content, wholly or in part.

        Args:
            tokens: the strings that only the family's own text may contain.

        Returns:
            The token, the index of the message and that of the part; None where there is none.
        """
        # The start of the text is the start of a line: a line marker may stand there.
        text = "\n" + self.text()
        spans = self._spans(start=1)
        for token in tokens:
            cursor = 0
            at = text.find(token)
            while at >= 0:
                # The next span that does not end before the token: spans and hits both go forward.
                while cursor < len(spans) and spans[cursor][1] <= at:
                    cursor += 1
                if cursor == len(spans):
                    break
                if spans[cursor][0] < at + len(token):
                    return token, spans[cursor][2], spans[cursor][3]
                at = text.find(token, at + 1)
        return None

    def _spans(self, start: int) -> list[tuple[int, int, int, int]]:
        spans = []
        quotes = iter(self._quotes)
        quoted, message = next(quotes, (-1, -1))
        position = start
        for number, part in enumerate(self._parts):
            end = position + len(part)
            if number == quoted:
                spans.append((position, end, message, number))
                quoted, message = next(quotes, (-1, -1))
            position = end
        return spans
