"""Guides for llama.cpp: what the request says of the form of an answer, as the engine takes it.

llama.cpp hands JSON Schemas and regular expressions to llguidance, and where that cannot use one it says nothing and
generates without. So each guide is read here first, and what is known not to work is refused by its name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from nupic_client._json_formats import FORMATS
from nupic_client._json_schema_check import KEYWORDS, subschemas
from nupic_client._json_validation import Validator
from nupic_client._json_values import kind_of
from nupic_client._suggest import listed
from nupic_client.errors import ConfigurationError
from nupic_client.local.engine import GUIDE, GUIDE_TYPE, InvalidRequestError

__all__ = ["guided"]

KINDS = ("json", "json_schema", "regex", "ebnf_grammar")
_REFUSED = ("uniqueItems", "not", "if", "contains", "propertyNames", "dependentRequired")
"""Keywords that llguidance does not know."""
_OWN_FORMATS = frozenset(FORMATS) - {"uri"}
_SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""Without it a small model may write blanks until its tokens end."""


def guided(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the engine's request that constrain the text; none where it is not asked for.

    Args:
        inputs: of the request.

    Raises:
        InvalidRequestError: the guide is wrong, or llama.cpp would ignore it.
    """
    kind, guide = inputs.get(GUIDE_TYPE), inputs.get(GUIDE)
    if kind is None and guide is None:
        return {}
    if kind not in KINDS:
        raise InvalidRequestError(f"{GUIDE_TYPE} must be one of {listed(KINDS)}, not {kind!r:.80}")
    if kind == "json":
        return {"json_schema": _with_spacing({"type": "object"})}
    if not isinstance(guide, str) or not guide.strip():
        raise InvalidRequestError(f"{GUIDE} must be a non-empty text for the type {kind!r}")
    if kind == "json_schema":
        return {"json_schema": _with_spacing(_schema(guide))}
    if kind == "regex":
        _check_pattern(guide, "the regular expression")
        return {"grammar": f"%llguidance {{}}\nstart: /{_between_slashes(_in_ascii(guide))}/"}
    if guide.lstrip().startswith("%llguidance"):
        raise InvalidRequestError(f"{GUIDE} must be a grammar in GBNF, not one of llguidance")
    return {"grammar": guide}


def _with_spacing(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"x-guidance": _SPACING, **schema}


def _schema(text: str) -> dict[str, Any]:
    """Return the schema that makes the engine write what fits the schema in a text."""
    try:
        given = json.loads(text)
        if not isinstance(given, dict):
            raise InvalidRequestError(f"{GUIDE} must be a JSON Schema, not {kind_of(given)}")
        schema = Validator(given, GUIDE).schema
    except ConfigurationError as error:
        raise InvalidRequestError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{GUIDE} must be a JSON Schema: {error}") from None
    for path, each in _all_schemas(schema, ""):
        _check(each, path)
    closing = not any("allOf" in each for _, each in _all_schemas(schema, ""))
    adapted: dict[str, Any] = _adapted(schema, closing=closing)
    return adapted


def _all_schemas(schema: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        yield path, schema
        for place, each in subschemas(schema):
            yield from _all_schemas(each, f"{path}/{place}")


def _check(schema: Mapping[str, Any], path: str) -> None:
    for keyword in _REFUSED:
        if schema.get(keyword, False) is not False:
            raise _cannot(path, f"{keyword!r}")
    if "required" in schema and not schema.keys().isdisjoint(("minProperties", "maxProperties")):
        raise _cannot(path, "'minProperties' or 'maxProperties' beside 'required'")
    if "pattern" in schema:
        _check_pattern(schema["pattern"], f"the pattern at {path or '/'}")
        if schema.get("format") in FORMATS:
            raise _cannot(path, "'format' beside 'pattern'")
    for pattern in schema.get("patternProperties", ()):
        _check_pattern(pattern, f"the pattern at {path}/patternProperties")
    if schema.get("format") in FORMATS.keys() - _OWN_FORMATS:
        raise _cannot(path, f"the format {schema['format']!r}")
    _check_satisfiable(schema, path)


def _check_satisfiable(schema: Mapping[str, Any], path: str) -> None:
    """Check that there is a value that fits: llguidance gives up where there is none."""
    for low, high in (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems")):
        if schema.get(low, 0) > schema.get(high, schema.get(low, 0)):
            raise InvalidRequestError(
                f"{GUIDE}: {low!r} at {path or '/'} must be at most {high!r}: nothing fits it"
            )
    closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
    for name in schema.get("required", ()) if closed else ():
        if schema.get("properties", {}).get(name, False) is False:
            raise InvalidRequestError(
                f"{GUIDE}: 'required' at {path or '/'} must name properties, not {name!r}: nothing fits it"
            )
    if "enum" in schema and not _fitting(schema):
        raise InvalidRequestError(
            f"{GUIDE}: 'enum' at {path or '/'} must have a value of its 'type': nothing fits it"
        )


def _fitting(schema: Mapping[str, Any]) -> list[Any]:
    """Return the values of an enum that its type allows."""
    own = Validator({key: value for key, value in schema.items() if key == "type"}, GUIDE)
    return [value for value in schema["enum"] if not own.violations(value)]


def _adapted(schema: Any, *, closing: bool) -> Any:
    """Return a schema as llguidance takes it.

    Annotations go, ``oneOf`` is written ``anyOf``, and objects get no properties besides those that are named, if the schema
    does not say so: a small model would not end.
    """
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in {"allOf", "anyOf", "oneOf", "prefixItems"}:
            name = "anyOf" if keyword == "oneOf" else keyword
            made.setdefault(name, []).extend(_adapted(each, closing=closing) for each in value)
        elif keyword in {"properties", "patternProperties", "$defs", "definitions"}:
            made[keyword] = {name: _adapted(each, closing=closing) for name, each in value.items()}
        elif keyword in {"items", "additionalProperties"}:
            made[keyword] = _adapted(value, closing=closing)
        elif keyword in KEYWORDS and keyword not in _REFUSED:
            made.update(_adapted_keyword(keyword, value, schema))
    if closing and _is_open(made):
        made["additionalProperties"] = False
    return made


def _adapted_keyword(keyword: str, value: Any, schema: Mapping[str, Any]) -> dict[str, Any]:
    if keyword == "format" and value not in _OWN_FORMATS:
        return {}
    if keyword == "pattern":
        return {keyword: _in_ascii(value)}
    return {keyword: _fitting(schema) if keyword == "enum" else value}


def _is_open(schema: Mapping[str, Any]) -> bool:
    """Return whether nothing but its open end lets an object have other properties than those that are named."""
    others = {"additionalProperties", "patternProperties", "anyOf", "$ref", "minProperties"}
    named = schema.get("properties", {})
    return bool(named) and schema.keys().isdisjoint(others) and {*schema.get("required", ())} <= named.keys()


def _cannot(path: str, what: str) -> InvalidRequestError:
    place = f" at {path}" if path else ""
    return InvalidRequestError(
        f"{GUIDE}: llama.cpp cannot enforce {what}{place} and would ignore the whole guide"
    )


_PARTS = re.compile(
    r"""
    (?P<class>\[\^?\]?(?:\\.|[^\]\\])*\])
    | (?P<escape>\\.)
    | (?P<group>\((?:\?(?:P?<[=!]|P=|P<\w+>|[=!>#(]|[a-zA-Z-]*[:)]?|.))?)
    | (?P<repeat>\{\d+(?:,\d*)?\}|[*+?]\??\+?)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = frozenset("dDwWsSnrtfvaxuU")
_LOOKS = ("(?=", "(?!", "(?<=", "(?<!", "(?P<=", "(?P<!")
_OPENERS = ("(", "(?:", "(?i:", "(?s:", "(?i)", "(?s)")


def _check_pattern(pattern: str, where: str) -> None:
    """Check that a regular expression has nothing that Python and Rust read differently, or only Python reads."""
    for match in _PARTS.finditer(pattern):
        part = match[0]
        wrong = _WRONG[str(match.lastgroup)](part)
        if part == "^" and match.start() != 0:
            wrong = "'^' but at the beginning"
        if part == "$" and match.end() != len(pattern):
            wrong = "'$' but at the end"
        if wrong:
            raise InvalidRequestError(
                f"{GUIDE}: llama.cpp cannot enforce {wrong} in {where} and would ignore it"
            )


def _wrong_class(part: str) -> str:
    inner = part[1:-1]
    escape = next(filter(_wrong_escape, re.findall(r"\\.", inner, re.DOTALL)), None)
    if escape is not None:
        return repr(escape)
    plain = re.sub(r"\\.", "", inner, flags=re.DOTALL)
    found = next((each for each in ("[", "&&", "--", "~~") if each in plain), None)
    return "" if found is None else f"{found!r} in a class"


def _wrong_escape(part: str) -> str:
    character = part[1]
    fine = character in _ESCAPES or not (character.isalnum() or character in "<>")
    return "" if fine else repr(part)


def _wrong_group(part: str) -> str:
    if part in _OPENERS or (part.startswith("(?P<") and part.endswith(">")):
        return ""
    return "look-around" if part in _LOOKS else repr(part)


def _wrong_repeat(part: str) -> str:
    return repr(part) if len(part) > 1 and part.endswith("+") else ""


def _wrong_other(part: str) -> str:
    return r"'{' (write \{)" if part == "{" else ""


_WRONG = {
    "class": _wrong_class,
    "escape": _wrong_escape,
    "group": _wrong_group,
    "repeat": _wrong_repeat,
    "other": _wrong_other,
}
"""For each kind of part a function that says what is wrong with one; nothing if nothing is."""


def _in_ascii(pattern: str) -> str:
    r"""Return a regular expression in which ``\d`` and ``\w`` are digits and letters of ASCII, as a user means them."""

    def ascii_part(match: re.Match[str]) -> str:
        part = match[0]
        if match.lastgroup == "escape":
            return f"[{_ASCII[part]}]" if part in _ASCII else part
        if match.lastgroup != "class" or part.startswith("[^"):  # there they exclude
            return part
        return re.sub(r"\\.", lambda escape: _ASCII.get(escape[0], escape[0]), part, flags=re.DOTALL)

    return _PARTS.sub(ascii_part, pattern)


_ASCII = {r"\d": "0-9", r"\w": "0-9A-Za-z_"}


def _between_slashes(pattern: str) -> str:
    """Return a regular expression as it is written between slashes."""
    escaped = re.sub(r"\\.|/", lambda match: r"\/" if match[0] == "/" else match[0], pattern, flags=re.DOTALL)
    return escaped.replace("\n", r"\n").replace("\r", r"\r")
