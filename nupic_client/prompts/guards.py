"""Guards: what a filter or a method of a value may be asked for, checked before it is done.

Only what makes something bigger than its input needs a guard: padding, replacing, joining, formatting. All
else is linear in its input and paid by the size of that.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from nupic_client.prompts.budget import BudgetError, heft, spend, weigh

__all__ = ["FILTER_GUARDS", "METHOD_GUARDS", "guard_operator", "guard_percent"]

Guard: TypeAlias = Callable[..., Any]
"""Called with the value and the arguments. Returns the value to go on with."""

_MAX_NUMBER = 10_000
_MAX_PRECISION = 100
_MAX_BITS = 8_192
_MAX_SLOW_TEXT = 20_000
_ENCODINGS = {"utf-8", "utf8", "ascii", "latin-1", "utf-16", "utf-32"}
_LONG_NUMBER = re.compile(r"\d{5}")
_STAR = re.compile(r"%[-+ #0]*(?:\d*\.)?\*")


def _small(value: Any, *args: Any, **kwargs: Any) -> Any:
    """Refuse big numbers, and long texts that would be repeated."""
    for argument in (*args, *kwargs.values()):
        size = len(argument) if isinstance(argument, str) else argument
        if isinstance(size, (int, float)) and not -_MAX_NUMBER <= size <= _MAX_NUMBER:
            raise BudgetError(f"a size is greater than {_MAX_NUMBER}")
    return value


def _precise(value: Any, precision: int = 0, *_: Any, **__: Any) -> Any:
    if not -_MAX_PRECISION <= precision <= _MAX_PRECISION:
        raise BudgetError(f"a precision is greater than {_MAX_PRECISION}")
    return value


def _slow(value: Any, *args: Any, **kwargs: Any) -> Any:
    """Refuse long texts where Jinja's own code takes more than linear time."""
    if len(str(weigh(value))) > _MAX_SLOW_TEXT:
        raise BudgetError(f"a text is longer than {_MAX_SLOW_TEXT} characters")
    return _small(value, *args, **kwargs)


def _per(pattern: str) -> Guard:
    """Guard what adds something, at most as often as the pattern occurs."""

    def guard(value: Any, *args: Any, **kwargs: Any) -> Any:
        _small(value, *args, **kwargs)
        sizes = [len(size) if isinstance(size, str) else size for size in (*args, *kwargs.values())]
        widest = max((size for size in sizes if isinstance(size, int)), default=8)
        spend((_text(value).count(pattern) + 1) * max(widest, 8) >> 4)
        return value

    return guard


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(weigh(value))


def _replace(value: Any, old: Any = "", new: Any = "", *_: Any, **__: Any) -> Any:
    if isinstance(value, bytes):
        value, old, new = (part.decode("latin-1") for part in (value, old, new))
    spend(_text(value).count(_text(old)) * len(_text(new)) >> 4)
    return value


def _join_filter(value: Any, d: Any = "", *_: Any, **__: Any) -> Any:
    items = value if isinstance(value, (str, list, tuple)) else list(value)
    weigh(items)
    spend(len(items) * len(_text(d)) >> 4)
    return items


def _join_method(separator: Any, items: Iterable[Any]) -> Any:
    _join_filter(items, separator)
    return separator


def guard_percent(text: Any, values: Any) -> Any:
    """Guard ``text % values``: no wide fields, and no more text than there are steps for."""
    text = str(text)
    if _LONG_NUMBER.search(text) or _STAR.search(text):
        raise BudgetError("a format asks for a width of more than four digits, or for a variable one")
    _pay_fields(text.count("%"), values)
    return text


def _percent_filter(value: Any, *args: Any, **kwargs: Any) -> Any:
    guard_percent(value, kwargs or args)
    return value


def guard_format(text: str, values: Any) -> None:
    """Guard ``text.format(…)``."""
    specs = [spec for _, _, spec, _ in string.Formatter().parse(text) if spec]
    if any("{" in spec or _LONG_NUMBER.search(spec) for spec in specs):
        raise BudgetError("a format asks for a width of more than four digits, or for a variable one")
    _pay_fields(text.count("{"), values)


def _pay_fields(fields: int, values: Any) -> None:
    weigh(values)
    items = (
        values.values() if isinstance(values, Mapping) else values if isinstance(values, tuple) else (values,)
    )
    spend(sum((fields * len(_text(item)) >> 4) for item in items))


def _sum(value: Any, attribute: Any = None, start: Any = 0) -> Any:  # noqa: ARG001  # the filter's signature
    if not isinstance(start, (int, float)):
        raise BudgetError("only numbers can be added up")
    return value


def _encode(value: Any, encoding: str = "utf-8", *_: Any, **__: Any) -> Any:
    if encoding.lower() not in _ENCODINGS:
        raise BudgetError(f"the encoding {encoding!r} is not allowed")
    return value


def _refuse(value: Any, *_: Any, **__: Any) -> Any:
    raise BudgetError(f"a method of {type(value).__name__} is not allowed")


FILTER_GUARDS: Mapping[str, Guard] = {
    "batch": _small,
    "center": _small,
    "format": _percent_filter,
    "indent": _per("\n"),
    "join": _join_filter,
    "pprint": _slow,
    "replace": _replace,
    "round": _precise,
    "slice": _small,
    "striptags": _slow,
    "sum": _sum,
    "tojson": _small,
    "urlize": _slow,
    "wordwrap": _slow,
    "xmlattr": _slow,
}
"""By the filter's name."""

METHOD_GUARDS: Mapping[str, Guard] = {
    "center": _small,
    "decode": _encode,
    "encode": _encode,
    "expandtabs": _per("\t"),
    "join": _join_method,
    "ljust": _small,
    "replace": _replace,
    "rjust": _small,
    "striptags": _slow,
    "to_bytes": _small,
    "translate": _refuse,
    "unescape": _slow,
    "zfill": _small,
}
"""By the name of a method of str, bytes or int."""


def guard_operator(operator: str, left: Any, right: Any) -> None:
    """Guard a binary operator.

    Args:
        operator: its sign.
        left: the left operand.
        right: the right one.

    Raises:
        BudgetError: the result would be too big.
    """
    if isinstance(left, int) and isinstance(right, int):
        bits = (
            left.bit_length() * max(right, 0) if operator == "**" else left.bit_length() + right.bit_length()
        )
        if bits > _MAX_BITS:
            raise BudgetError("a number is too big")
        return
    if operator == "*":
        times, sequence = (left, right) if isinstance(left, int) else (right, left)
        if isinstance(times, int) and isinstance(sequence, (str, bytes, list, tuple)):
            shift = 4 if isinstance(sequence, (str, bytes)) else 2
            spend(len(sequence) * max(times, 0) >> shift)
    elif operator == "%" and isinstance(left, (str, bytes)):
        guard_percent(left.decode("latin-1") if isinstance(left, bytes) else left, right)
    elif operator == "+":
        spend(heft(left) + heft(right))
