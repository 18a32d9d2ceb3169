"""A Sphinx extension: public names in docstrings are links, and options have their types."""

from __future__ import annotations

import inspect
import re
import typing

from typing_extensions import is_typeddict

import nupic_client
from nupic_client import errors

_NAMED = re.compile(r"(?<![`\w:])`(\w+)`(?![`\w])")
_WORD = re.compile(r"[A-Za-z_]\w*")


def _has_entry(name: str) -> bool:
    return name in nupic_client.__all__ and inspect.isclass(getattr(nupic_client, name))


def _link(name: str) -> str:
    if name in errors.__all__:
        return f":py:exc:`{name} <nupic_client.errors.{name}>`"
    return f":py:class:`{name} <nupic_client.{name}>`"


def typed(annotation: object) -> str:
    """Return an annotation as text with links to the classes that have an entry."""
    text = str(getattr(annotation, "__forward_arg__", annotation))
    parts = []
    end = 0
    for found in _WORD.finditer(text):
        if _has_entry(found[0]):
            parts += [_literal(text[end : found.start()]), _link(found[0])]
            end = found.end()
    return r"\ ".join(filter(None, [*parts, _literal(text[end:])]))


def _literal(text: str) -> str:
    # A role cannot begin or end with a space, so that one stands outside.
    inner = text.strip()
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{before}``{inner}``{after}" if inner else ""


def process(_app: object, what: str, name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Change the lines of a docstring in place."""
    lines[:] = [
        _NAMED.sub(lambda found: _link(found[1]) if _has_entry(found[1]) else found[0], line)
        for line in lines
    ]
    *_, owner, field = ["", *name.split(".")]
    kind = getattr(nupic_client, owner, None)
    if what == "attribute" and is_typeddict(kind) and field in kind.__annotations__:
        lines[:0] = [f"Type: {typed(kind.__annotations__[field])}", ""]


def setup(app: typing.Any) -> dict[str, bool]:
    """Begin: Sphinx calls this."""
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True}
