"""The settings of a batch, validated."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from nupic_client.batch.report import BatchProgress
from nupic_client.errors import ConfigurationError

__all__ = ["BatchSettings", "Input", "PathLike"]

PathLike: TypeAlias = str | os.PathLike[str]
"""The name of a file; ``"-"`` is stdin or stdout."""
Input: TypeAlias = PathLike | Iterable[Any]
"""A file of lines, or the objects of lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """How a batch runs; `nupic_client.batch.run` describes its arguments.

    Raises:
        ConfigurationError: a value is wrong, or two do not go together.
    """

    concurrency: int = 32
    resume: bool = False
    overwrite: bool = False
    ordered: bool = False
    errors_to: PathLike | None = None
    max_failures: int | None = None
    limit: int | None = None
    keep_errors: bool = False
    keep_state: bool = False
    grace: float = 30.0
    progress: Callable[[BatchProgress], object] | None = None
    system: str | None = None
    chat: bool = False

    def __post_init__(self) -> None:
        for name, low in (("concurrency", 1), ("limit", 1), ("max_failures", 0)):
            value = getattr(self, name)
            if value is not None or name == "concurrency":
                object.__setattr__(self, name, _integer(name, value, low))
        if not isinstance(self.grace, (int, float)) or not self.grace >= 0:
            raise ConfigurationError(
                f"grace must be a number of seconds >= 0, not {self.grace!r}", parameter="grace"
            )
        if self.resume and self.overwrite:
            raise ConfigurationError(
                "resume must not be given with overwrite: choose one", parameter="resume"
            )
        if self.progress is not None and not callable(self.progress):
            raise ConfigurationError(
                f"progress must be a function, not {self.progress!r}", parameter="progress"
            )
        if self.system is not None and not isinstance(self.system, str):
            raise ConfigurationError(f"system must be a string, not {self.system!r}", parameter="system")


def _integer(name: str, value: Any, low: int) -> int:
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if number < low:
        raise ConfigurationError(f"{name} must be a whole number >= {low}, not {value!r}", parameter=name)
    return number


def path_of(value: Any, name: str) -> Path | None:
    """Return the path of a file, or None for ``"-"``.

    Raises:
        ConfigurationError: it is none.
    """
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise ConfigurationError(f"{name} must be the name of a file, not {value!r}", parameter=name)
    return None if value == "-" else Path(value)
