"""How much of an installation is there already: what a progress bar shows while pip works."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below a folder.

    Whatever another process adds, moves or removes meanwhile counts or not, and is never an error: `Path.rglob`
    fails when a folder disappears between being seen and being entered, `os.walk` goes on.
    """
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - ten times a second
    return total
