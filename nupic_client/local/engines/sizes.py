"""The size of a folder, as the progress of an installation by pip."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below a folder.

    Files that another process changes meanwhile may be counted or not, without an error: `Path.rglob` fails when a
    folder disappears before it is entered, `os.walk` goes on.
    """
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - ten times a second
    return total
