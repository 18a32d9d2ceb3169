"""Python functions as tools: the JSON Schema of their parameters, and calls with what a model wrote."""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nupic_client._json_types import Definitions, schema_of
from nupic_client._typed_values import json_value, read_json
from nupic_client.errors import ConfigurationError

__all__ = ["call_with", "described"]

_KINDS = inspect.Parameter
_NAMED = (_KINDS.POSITIONAL_ONLY, _KINDS.POSITIONAL_OR_KEYWORD, _KINDS.KEYWORD_ONLY)


def described(function: Callable[..., Any]) -> tuple[str, str, dict[str, Any]]:
    """Return the name, the description and the JSON Schema of the parameters of a function.

    Raises:
        ConfigurationError: it has no signature, or a type of it has no form in JSON.
    """
    name = _name(function)
    if isinstance(function, type) and callable(getattr(function, "model_json_schema", None)):
        schema = dict(function.model_json_schema())  # type: ignore[attr-defined]
        schema.pop("title", None)
        text = schema.pop("description", "")
        return name, text, {"type": "object", "properties": {}, **schema}
    summary, documented = _docstring(function)
    hints = _hints(function, name)
    properties: dict[str, Any] = {}
    required = []
    definitions = Definitions()
    schema = {"type": "object", "properties": properties}
    for parameter in _parameters(function, name):
        place = f"parameter {parameter.name!r} of tool {name!r}"
        annotation = hints.get(parameter.name, Any)
        if parameter.kind is _KINDS.VAR_KEYWORD:
            schema["additionalProperties"] = schema_of(annotation, definitions, place) or True
        elif parameter.kind in _NAMED:
            entry = schema_of(annotation, definitions, place)
            if parameter.name in documented and "description" not in entry:
                entry = {**entry, "description": documented[parameter.name]}
            if parameter.default is _KINDS.empty:
                required.append(parameter.name)
            elif (default := json_value(parameter.default)) is not NotImplemented:
                entry = {**entry, "default": default}
            properties[parameter.name] = entry
    if required:
        schema["required"] = required
    return name, summary, definitions.added_to(schema)


def call_with(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """Call a function with the values of a JSON object, read as the types of its parameters.

    Raises:
        ValueError: they do not fit.
    """
    if isinstance(function, type) and callable(getattr(function, "model_validate", None)):
        return function.model_validate(given)  # type: ignore[attr-defined]
    name = _name(function)
    hints = _hints(function, name)
    positional, named = [], {}
    left = dict(given)
    others = Any
    takes_more = False
    for parameter in _parameters(function, name):
        if parameter.kind is _KINDS.VAR_KEYWORD:
            takes_more, others = True, hints.get(parameter.name, Any)
        elif parameter.kind in _NAMED:
            if parameter.name in left:
                value = read_json(hints.get(parameter.name, Any), left.pop(parameter.name), parameter.name)
            elif parameter.default is _KINDS.empty:
                raise ValueError(f"the argument {parameter.name!r} of {name} is missing")
            else:
                continue
            if parameter.kind is _KINDS.POSITIONAL_ONLY:
                positional.append(value)
            else:
                named[parameter.name] = value
    if left and not takes_more:
        known = ", ".join(repr(each.name) for each in _parameters(function, name) if each.kind in _NAMED)
        raise ValueError(
            f"{name} has no argument {next(iter(left))!r}: {f'it has {known}' if known else 'it has none'}"
        )
    named |= {key: read_json(others, value, key) for key, value in left.items()}
    return function(*positional, **named)


def _name(function: Callable[..., Any]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _bare(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what has the annotations and the docstring."""
    while isinstance(function, functools.partial):
        function = function.func
    if not isinstance(function, type) and not hasattr(function, "__name__"):
        function = type(function).__call__
    bare: Callable[..., Any] = inspect.unwrap(function)
    return bare


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    bare = _bare(function)
    try:
        return typing.get_type_hints(bare.__init__ if isinstance(bare, type) else bare, include_extras=True)  # type: ignore[misc]
    except Exception as error:
        raise ConfigurationError(
            f"the types of tool {name!r} cannot be read: {error}. Import what they name where it is defined, not only for"
            " type checkers",
            parameter="tools",
        ) from error


def _parameters(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"tool {name!r} must be a function with a signature: write one in Python that calls it",
            parameter="tools",
        ) from error
    if parameters and parameters[0].name == "self" and parameters[0].annotation is _KINDS.empty:
        raise ConfigurationError(
            f"tool {name!r} must be a bound method, not one of the class: give it of an object",
            parameter="tools",
        )
    fixed: set[str] = set()
    while isinstance(function, functools.partial):
        fixed |= set(function.keywords)
        function = function.func
    return [parameter for parameter in parameters if parameter.name not in fixed]


_OF_PARAMETERS = (
    "Args",
    "Arguments",
    "Parameters",
    "Params",
    "Keyword Args",
    "Keyword Arguments",
    "Other Parameters",
)
_OTHERS = (
    *("Return", "Returns", "Raises", "Yield", "Yields", "Example", "Examples", "Note", "Notes", "Attributes"),
    *("Warning", "Warnings", "Warns", "See Also", "References", "Todo", "Methods"),
)
_HEADING = re.compile(rf"({'|'.join((*_OF_PARAMETERS, *_OTHERS))})(:?)\s*")
_RULE = re.compile(r"\s*-{3,}\s*")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\(.*?\))?\s*:\s*(.*)")
_FIELD = re.compile(
    r"^:(\w+)(?:[ \t][^:\n]*?)??(?:[ \t]+\*{0,2}(\w+))?[ \t]*:[ \t]*(.*(?:\n(?!:).*)*)", re.MULTILINE
)


def _docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return the description of a function and those of its parameters: Google's style, NumPy's or Sphinx's."""
    bare = _bare(function)
    text = inspect.getdoc(bare) or ""
    if bare.__name__ == "__call__" and not hasattr(function, "__name__"):
        text = inspect.getdoc(type(function)) or text
    elif isinstance(bare, type) and bare.__doc__ is None:
        text = ""  # that of a base class
    entries: dict[str, str] = {}
    (_, front), *sections = _sections(text)
    for heading, body in sections:
        if heading in _OF_PARAMETERS:
            entries |= _ruled_entries(body[1:]) if body and _RULE.fullmatch(body[0]) else _entries(body)
    summary = "\n".join(front)
    for kind, name, described_as in _FIELD.findall(summary):
        if kind in {"param", "parameter", "arg", "argument", "key", "keyword"} and name:
            entries[name] = " ".join(described_as.split())
    return _FIELD.split(summary, maxsplit=1)[0].strip(), {
        name: words for name, words in entries.items() if words
    }


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """Split a docstring at its headings; the first section has none."""
    name = ""
    body: list[str] = []
    lines = text.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=False):
        heading = _HEADING.fullmatch(line)
        if heading and (heading[2] or _RULE.fullmatch(below)):
            yield name, body
            name, body = heading[1], []
        else:
            body.append(line)
    yield name, body


def _entries(lines: list[str]) -> dict[str, str]:
    """Read ``name (type): text``, whose further lines are indented more."""
    entries: dict[str, list[str]] = {}
    first, words = None, []
    for line in lines:
        depth = len(line) - len(line.lstrip())
        match = _ENTRY.fullmatch(line.strip())
        if match and (first is None or depth <= first):
            first, words = depth, entries.setdefault(match[1], [match[2]])
        elif line.strip():
            words.append(line.strip())
    return {name: " ".join(words).strip() for name, words in entries.items()}


def _ruled_entries(lines: list[str]) -> dict[str, str]:
    """Read ``name : type``, whose text is on the lines below, indented."""
    entries: dict[str, list[str]] = {}
    words: list[str] = []
    for line in lines:
        if line.strip() and line == line.lstrip():
            words = entries.setdefault(line.split(":")[0].strip().lstrip("*"), [])
        elif line.strip():
            words.append(line.strip())
    return {name: " ".join(words) for name, words in entries.items()}
