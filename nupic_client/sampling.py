"""The sampling options of a generation, which control the choice of the next token."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from nupic_client._numbers import check_integer, check_number
from nupic_client._public import publish
from nupic_client._repr import short_repr
from nupic_client._text import check_text
from nupic_client.errors import ConfigurationError

__all__ = ["MAX_STOP_STRINGS", "SamplingParams"]

MAX_STOP_STRINGS = 64
"""The most stop strings. More are a mistake, such as a text given as a list of its letters."""


def _stop_strings(value: str | Sequence[str]) -> tuple[str, ...]:
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise _no_stop_string(value)
    strings = (value,) if isinstance(value, str) else tuple(value)
    if len(strings) > MAX_STOP_STRINGS:
        raise ConfigurationError(
            f"stop must be at most {MAX_STOP_STRINGS} strings, not {len(strings)}", parameter="stop"
        )
    for string in strings:
        if not isinstance(string, str) or not string:
            raise _no_stop_string(string)
        check_text("stop", string, parameter="stop")
    return tuple(dict.fromkeys(strings))


def _no_stop_string(value: object) -> ConfigurationError:
    return ConfigurationError(
        f"stop must be a non-empty string or a list of them, not {value!r}", parameter="stop"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """The sampling options of one generation; ``None`` leaves an option to the server. Immutable.

    Args:
        max_tokens: generate at most this many tokens, >= 1.
        temperature: randomness, >= 0; 0 always takes the most likely token.
        top_p: nucleus sampling, 0 < top_p <= 1.
        top_k: sample from the k most likely tokens, >= 0; 0 switches it off.
        min_p: drop tokens that are less likely than this share of the most likely one, 0 to 1.
        stop: a string, or up to 64 of them, that end the text; they are not part of it.
        seed: the start of the random numbers, 0 to 2**64 - 1; the same seed and prompt give the same text, if the server
            can.
        repetition_penalty: makes tokens less likely that came before, also in the prompt, > 0; 1 switches it off.
        presence_penalty: makes tokens less likely that came in the answer, -2 to 2; 0 switches it off.
        frequency_penalty: the same, the more often they came, -2 to 2; 0 switches it off.

    Raises:
        ConfigurationError: a value has the wrong type or is out of its range; nothing was sent.

    Example:
        >>> SamplingParams(temperature=0, stop="END").stop
        ('END',)
    """

    max_tokens: int | None = None
    """Generate at most this many tokens, >= 1."""
    temperature: float | None = None
    """Randomness, >= 0; 0 always takes the most likely token."""
    top_p: float | None = None
    """Nucleus sampling, 0 < top_p <= 1."""
    top_k: int | None = None
    """Sample from the k most likely tokens, >= 0; 0 switches it off."""
    min_p: float | None = None
    """Drop tokens that are less likely than this share of the most likely one, 0 to 1."""
    stop: str | Sequence[str] | None = None
    """A string, or up to 64 of them, that end the text; they are not part of it."""
    seed: int | None = None
    """The start of the random numbers, 0 to 2**64 - 1; the same seed and prompt give the same text, if the server can."""
    repetition_penalty: float | None = None
    """Makes tokens less likely that came before, also in the prompt, > 0; 1 switches it off."""
    presence_penalty: float | None = None
    """Makes tokens less likely that came in the answer, -2 to 2; 0 switches it off."""
    frequency_penalty: float | None = None
    """The same, the more often they came, -2 to 2; 0 switches it off."""

    def __repr__(self) -> str:
        return short_repr(self)

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(name, value))
        if self.stop is not None:
            object.__setattr__(self, "stop", _stop_strings(self.stop))

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """The stop strings as a tuple, empty if there are none."""
        return tuple(self.stop or ())

    def given(self) -> Iterator[tuple[str, object]]:
        """Yield name and value of the options that are set."""
        for name in OPTION_NAMES:
            value = getattr(self, name)
            if value is not None:
                yield name, value


_CHECKS: Mapping[str, Callable[[str, Any], object]] = {
    "max_tokens": lambda name, value: check_integer(name, value, "an integer >= 1", low=1, high=2**31 - 1),
    "temperature": lambda name, value: check_number(name, value, "a number >= 0", low=0.0, high=float("inf")),
    "top_p": lambda name, value: check_number(
        name, value, "a number > 0 and <= 1", low=0.0, high=1.0, open_low=True
    ),
    "top_k": lambda name, value: check_integer(
        name, value, "an integer >= 0 (0 switches it off)", low=0, high=2**31 - 1
    ),
    "min_p": lambda name, value: check_number(name, value, "a number from 0 to 1", low=0.0, high=1.0),
    "seed": lambda name, value: check_integer(
        name, value, "an integer from 0 to 2**64 - 1", low=0, high=2**64 - 1
    ),
    "repetition_penalty": lambda name, value: check_number(
        name, value, "a number > 0", low=0.0, high=float("inf"), open_low=True
    ),
    "presence_penalty": lambda name, value: check_number(
        name, value, "a number from -2 to 2", low=-2.0, high=2.0
    ),
    "frequency_penalty": lambda name, value: check_number(
        name, value, "a number from -2 to 2", low=-2.0, high=2.0
    ),
}

OPTION_NAMES = tuple(field.name for field in fields(SamplingParams))
"""The sampling options in their documented order."""


publish(__name__)
