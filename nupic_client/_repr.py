"""How values and connections show themselves: short, rounded, and never with an exception."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from typing import Any

from nupic_client.display import printable_lines

__all__ = ["client_repr", "counted", "html_table", "rounded", "server_repr", "short_repr", "shortened"]


def short_repr(value: Any, **shorter: Callable[[Any], str]) -> str:
    """Return the repr of a dataclass without the fields that have their default, and with rounded numbers.

    A field without a value, as while the object is being made, is left out too.

    Args:
        value: the object.
        **shorter: functions that show single fields.
    """
    shown = []
    for field in fields(value):
        if not field.repr or not hasattr(value, field.name):
            continue
        content = getattr(value, field.name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if content is not default and (content != default or type(content) is not type(default)):
            shown.append(f"{field.name}={shorter.get(field.name, rounded)(content)}")
    return f"{type(value).__name__}({', '.join(shown)})"


def client_repr(client: Any, model: Callable[[], str] | None = None) -> str:
    """Return what a client is for, and whether it is closed; also of one whose constructor has failed.

    Args:
        client: the client.
        model: returns the name of its model; None for a client of a server.
    """
    facts = []
    try:
        if model is not None:
            facts.append(repr(model()))
        facts.append(f"url={client.url!r}")
        if client._transport.closed:  # noqa: SLF001 - all clients have one
            facts.append("closed")
    except AttributeError:
        facts.append("not complete")
    return f"{type(client).__name__}({', '.join(facts)})"


def server_repr(server: Any, state: str) -> str:
    """Return where a server of this process listens, and its state."""
    url = getattr(server, "url", "")
    return f"{type(server).__name__}({', '.join([f'url={url!r}', state] if url else [state])})"


def rounded(value: object) -> str:
    """Return the repr of a value; of a float with three digits that tell something, or all those before the point.

    Example:
        >>> rounded(1.6569952589999275), rounded(12917.03)
        ('1.66', '12917')
    """
    if type(value) is not float:
        return repr(value)
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def shortened(text: str, most: int = 8) -> str:
    """Return the beginning of an id."""
    return text if len(text) <= most + 1 else f"{text[:most]}…"


def counted(count: int, unit: str) -> str:
    """Return a count with its unit.

    Example:
        >>> counted(1, "chunk"), counted(2, "chunk")
        ('1 chunk', '2 chunks')
    """
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def html_table(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    """Return a small table for a notebook; all texts are escaped, and have symbols for control characters."""
    from html import escape as escaped  # noqa: PLC0415 - only notebooks need it

    def escape(text: str) -> str:
        return escaped(printable_lines(text))

    lines = "".join(
        "<tr>"
        f"<th style='text-align:left'>{escape(first)}</th>"
        + "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<table><caption style='text-align:left'>{escape(title)}</caption><tbody>{lines}</tbody></table>"
