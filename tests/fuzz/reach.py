"""Which inputs are worth keeping: those that take the package where no other kept one does."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

import nupic_client

_PACKAGE = str(Path(nupic_client.__file__).parent)


def arcs(target: Callable[[bytes], None], data: bytes) -> set[tuple[Any, int, int]]:
    """Return the steps from line to line within the package that an input takes."""
    seen: set[tuple[Any, int, int]] = set()

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        last = 0

        def step(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            seen.add((frame.f_code, last, frame.f_lineno))
            last = frame.f_lineno
            return step

        return step

    sys.settrace(enter)
    try:
        with contextlib.suppress(AssertionError):  # traced, it may take longer than it is allowed to
            target(data)
    finally:
        sys.settrace(None)
    return seen


def worth_keeping(
    target: Callable[[bytes], None], kept: Iterable[bytes], found: Iterable[bytes], largest: int = 4096
) -> list[bytes]:
    """Return the found inputs that reach what the kept ones do not, the smallest first."""
    reached = set[tuple[Any, int, int]]()
    for data in kept:
        reached |= arcs(target, data)
    new = []
    for data in sorted(found, key=len):
        reach = arcs(target, data) if len(data) <= largest else set()
        if reach - reached:
            reached |= reach
            new.append(data)
    return new
