"""The forms that ``response_format=`` can ask an answer to have, besides JSON Schemas and Python types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from nupic_client._public import publish
from nupic_client._text import check_text
from nupic_client.errors import ConfigurationError

__all__ = ["Choice", "Enforcement", "Grammar", "Regex", "ResponseFormat"]

_MOST_CHOICES = 10_000


@dataclass(frozen=True, slots=True)
class Regex:
    """An answer that matches a regular expression as a whole.

    Args:
        pattern: the regular expression. The server reads it in the dialect of its own library, the client in Python's: keep
            to what both have, without look-around and references back.

    Raises:
        ConfigurationError: it is none.

    Example:
        >>> Regex(r"[A-Z]{3}-[0-9]+").pattern
        '[A-Z]{3}-[0-9]+'
    """

    pattern: str

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str) or not self.pattern:
            raise _refused(f"the pattern of a Regex must be a non-empty string, not {self.pattern!r}")
        check_text("the pattern of a Regex", self.pattern, parameter="response_format")
        try:
            re.compile(self.pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise _refused(f"the pattern {self.pattern!r:.80} is no regular expression: {error}") from None


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer that is one of some texts.

    Args:
        options: the texts.

    Raises:
        ConfigurationError: there are none, one is empty, or one is there twice.

    Example:
        >>> Choice(["yes", "no"]).options
        ('yes', 'no')
    """

    options: tuple[str, ...]

    def __init__(self, options: Iterable[str]) -> None:
        if isinstance(options, (str, bytes)) or not isinstance(options, Iterable):
            raise _refused(f"the options of a Choice must be a list of texts, not {options!r:.80}")
        chosen = tuple(options)
        for option in chosen:
            if not isinstance(option, str) or not option.strip():
                raise _refused(f"an option of a Choice must be a non-empty text, not {option!r:.80}")
            check_text("an option of a Choice", option, parameter="response_format")
        if not 1 <= len(chosen) <= _MOST_CHOICES:
            raise _refused(f"a Choice must have from 1 to {_MOST_CHOICES} options, not {len(chosen)}")
        twice = (
            next((option for option in chosen if chosen.count(option) > 1), None)
            if _repeats(chosen)
            else None
        )
        if twice is not None:
            raise _refused(f"the options of a Choice must differ, not {twice!r:.80} twice")
        object.__setattr__(self, "options", chosen)


def _repeats(options: tuple[str, ...]) -> bool:
    return len({*options}) < len(options)


@dataclass(frozen=True, slots=True)
class Grammar:
    """An answer of a grammar, which only the server can enforce: this client does not check it.

    Args:
        text: the grammar in EBNF as xgrammar and llama.cpp read it (GBNF), with a rule ``root``.

    Raises:
        ConfigurationError: it is no text.

    Example:
        >>> Grammar('root ::= "yes" | "no"').text
        'root ::= "yes" | "no"'
    """

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise _refused(f"the text of a Grammar must be a non-empty string, not {self.text!r}")
        check_text("the text of a Grammar", self.text, parameter="response_format")


def _refused(message: str) -> ConfigurationError:
    return ConfigurationError(message, parameter="response_format")


ResponseFormat: TypeAlias = type[Any] | Mapping[str, Any] | Literal["json"] | Regex | Choice | Grammar | Any
"""A Python type, a JSON Schema, ``"json"`` for any JSON object, or one of the classes of this module."""
Enforcement: TypeAlias = Literal["server", "validate"]
"""Who sees to it that an answer has its form: the server while it generates, or only the client afterwards."""


publish(__name__)
