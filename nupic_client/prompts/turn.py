"""The text around one message."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Rule", "Turn"]


@dataclass(frozen=True, slots=True)
class Turn:
    """The text around a message.

    Args:
        before: the text before the content.
        after: the text after it.
        clean: how the template changes the content, e.g. ``str.strip``.
        skip_empty: whether a message with an empty content prints nothing at all.
    """

    before: str
    after: str
    clean: Callable[[str], str] = str
    skip_empty: bool = False


class Rule(enum.Enum):
    """What happens to a message that has no turn of its own."""

    DROPPED = "silently left out, as the official template does"
    REFUSED = "an error"
