"""What an error says about a name that is not known: the near ones, and those that exist."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean", "listed"]


def did_you_mean(name: object, known: Iterable[str], *, most: int = 1) -> str:
    """Return the nearest of the known names as a question, to stand before the list of them.

    Args:
        name: the name that is not known.
        known: the names that are.
        most: how many names to suggest at most.

    Returns:
        The question and a space; empty where no name is near.

    Example:
        >>> did_you_mean("temprature", ["temperature", "top_p"])
        "did you mean 'temperature'? "
    """
    import difflib  # noqa: PLC0415  # only errors need it

    near = difflib.get_close_matches(str(name), [*known], n=most)
    return f"did you mean {' or '.join(map(repr, near))}? " if near else ""


def listed(names: Iterable[str], *, most: int = 20) -> str:
    """Return names for an error text; of many the first, and how many more there are.

    Example:
        >>> listed(["a", "b", "c"], most=2)
        "'a', 'b' and 1 more"
    """
    quoted = [*map(repr, names)]
    rest = f" and {len(quoted) - most} more" if len(quoted) > most else ""
    return ", ".join(quoted[:most]) + rest
