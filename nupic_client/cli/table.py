"""Text tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nupic_client.cli.terminal import colours, printable

__all__ = ["table"]

_BOLD, _PLAIN = "\033[1m", "\033[0m"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows as aligned columns under a header; an empty cell is shown as a hyphen.

    Args:
        header: the names of the columns, bold on a terminal.
        rows: the rows, with as many cells as the header.
    """
    cells = [[printable(cell) or "-" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    first, *others = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *cells)
    )
    return "".join(f"{line}\n" for line in (f"{_BOLD}{first}{_PLAIN}" if colours() else first, *others))
