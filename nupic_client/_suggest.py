"""What an error says about a name that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean"]


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return ``"did you mean 'temperature'? "`` with the nearest of the known names; empty if none is near."""
    import difflib  # noqa: PLC0415  # only errors need it

    near = difflib.get_close_matches(str(name), [*known], n=1)
    return f"did you mean {near[0]!r}? " if near else ""
