"""Jinja2's immutable sandbox, set up as Hugging Face's library does for chat templates.

The sandbox keeps a template from Python's internals and from changing its variables. It does not bound the
time or the memory that a template takes: a chat template is code that comes with the weights, and is as trusted
as they are.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2.parser import Parser

__all__ = ["chat_environment", "strftime_now"]


def chat_environment() -> ImmutableSandboxedEnvironment:
    """Return an environment for chat templates. What it compiles can be used from several threads at a time."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    return environment


class _Generation(Extension):
    """``{% generation %}``: it marks answers for training, and changes nothing in the text."""

    tags = {"generation"}  # noqa: RUF012  # the protocol of extensions

    def parse(self, parser: Parser) -> nodes.Node:
        """Parse the tag: its body, in a scope of its own."""
        lineno = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=lineno)


def _raise_exception(message: Any) -> None:
    raise TemplateError(str(message))


def _tojson(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002  # the signature that templates call
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    # Jinja's own filter escapes HTML.
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def strftime_now(day: dt.date | None) -> Callable[[str], str]:
    """Return the template function that prints the given day, or the present one, at the present time."""

    def print_now(style: str) -> str:
        now = dt.datetime.now()  # noqa: DTZ005  # the local time, as the templates' authors expect it
        return (now if day is None else dt.datetime.combine(day, now.time())).strftime(style)

    return print_now
