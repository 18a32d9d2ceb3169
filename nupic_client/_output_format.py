"""What ``response_format=`` means: the guide for the server, and how the answer is checked and read."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from nupic_client._json_types import Definitions, schema_of
from nupic_client._json_validation import MOST_VIOLATIONS, Validator
from nupic_client._partial_json import PartialJson
from nupic_client._typed_values import read_json
from nupic_client.errors import ConfigurationError
from nupic_client.response_format import Choice, Grammar, Regex

__all__ = ["Guide", "OutputFormat", "Reading", "read_format"]

_NAME = "response_format"
GuideKind: TypeAlias = Literal["json", "json_schema", "regex", "choice", "grammar"]


def _as_it_is(value: Any) -> Any:
    return value


def _nothing(_value: Any) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Guide:
    """What the server is asked to enforce.

    Args:
        kind: what `value` is.
        value: the JSON Schema, the pattern, the options, or the text of the grammar. Of ``json`` the schema of any object.
    """

    kind: GuideKind
    value: Any


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer as it was read.

    Args:
        value: the value, as the type that was asked for; of an answer with violations as far as it could be read.
        violations: what is wrong with it.
    """

    value: Any
    violations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class OutputFormat:
    """A form that was checked.

    Args:
        guide: what the server is asked to enforce.
        find: returns what is wrong with an answer: with its JSON value, or its text if it is not JSON.
        source: what was given.
        is_json: whether the answer is JSON.
        convert: returns the value as the type that was asked for; raises ValueError or TypeError.
    """

    guide: Guide
    find: Callable[[Any], tuple[str, ...]]
    source: Any
    is_json: bool = False
    convert: Callable[[Any], Any] = field(default=_as_it_is)

    def __reduce__(self) -> tuple[Any, ...]:
        return read_format, (self.source,)

    def read(self, text: str, *, lenient: bool = False) -> Reading:
        """Read an answer. Nothing in it raises.

        Args:
            text: the answer.
            lenient: whether blanks around it, and the fence of a code block around JSON, are left out: where no server
                enforced the form.
        """
        if self.is_json:
            return self._read_json(_unfenced(text) if lenient else text)
        for candidate in dict.fromkeys((text, text.strip()) if lenient else (text,)):
            violations = self.find(candidate)
            if not violations:
                return self._converted(candidate)
        return Reading(text, self.find(text))

    def plain(self, text: str) -> Any:
        """Return the value of an answer without violations as JSON has it; the text itself where it is not JSON."""
        return json.loads(_unfenced(text)) if self.is_json else text

    def is_whole(self, text: str) -> bool:
        """Return whether an answer without violations is complete, though ``max_tokens`` was reached with its last token."""
        if self.guide.kind == "choice":
            return not any(option.startswith(text) and option != text for option in self.guide.value)
        return self.is_json and text.rstrip()[-1:] in {"}", "]", '"'}

    def _read_json(self, text: str) -> Reading:
        try:
            value = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            partial = PartialJson()
            partial.feed(text)
            words = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
            return Reading(
                partial.value, (f"the text is not JSON: {words}" if text else "the text is empty",)
            )
        violations = self.find(value)
        return Reading(value, violations) if violations else self._converted(value)

    def _converted(self, value: Any) -> Reading:
        try:
            return Reading(self.convert(value))
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
            return Reading(value, _violations_of(error))


def _violations_of(error: Exception) -> tuple[str, ...]:
    """Return what a class says of a value: one violation of each of pydantic's errors."""
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return (str(error) or type(error).__name__,)
    found = []
    for each in errors()[:MOST_VIOLATIONS]:
        place = ".".join(map(str, each.get("loc", ())))
        found.append(f"{place or 'the value'}: {each.get('msg', 'it does not fit')}")
    return tuple(found)


def _refuse_constant(name: str) -> typing.NoReturn:
    raise ValueError(f"{name} is not JSON")


_FENCE = re.compile(r"\s*```[a-zA-Z]*[ \t]*\n(.*?)\n?[ \t]*```\s*", re.DOTALL)


def _unfenced(text: str) -> str:
    fenced = _FENCE.fullmatch(text)
    return fenced[1] if fenced else text


_ANY_OBJECT: Mapping[str, Any] = {"type": "object", "additionalProperties": True}


def read_format(value: Any) -> OutputFormat | None:
    """Return what ``response_format=`` means; None for a text of any form.

    Raises:
        ConfigurationError: it is not one, or a JSON Schema that cannot be checked here.
    """
    if value is None or isinstance(value, OutputFormat):
        return value
    if isinstance(value, str):
        if value != "json":
            raise ConfigurationError(
                f"{_NAME} must be 'json', a JSON Schema, a type, Regex, Choice or Grammar, not {value!r:.80}: give a"
                " JSON Schema as a mapping, and other texts in Regex, Choice or Grammar",
                parameter=_NAME,
            )
        return _of_schema("json", _ANY_OBJECT, value)
    if isinstance(value, Regex):
        return _of_regex(value)
    if isinstance(value, Choice):
        return _of_choice(value)
    if isinstance(value, Grammar):
        return OutputFormat(guide=Guide("grammar", value.text), find=_nothing, source=value)
    if isinstance(value, Mapping):
        return _of_mapping(value)
    return _of_type(value)


def _of_regex(regex: Regex) -> OutputFormat:
    pattern = re.compile(regex.pattern)
    words = (f"the text must match the pattern {regex.pattern!r:.200}",)
    return OutputFormat(
        guide=Guide("regex", regex.pattern),
        find=lambda text: () if pattern.fullmatch(text) else words,
        source=regex,
    )


def _of_choice(choice: Choice) -> OutputFormat:
    known = frozenset(choice.options)
    shown = ", ".join(map(repr, choice.options[:20])) + (", …" if len(choice.options) > 20 else "")
    words = (f"the text must be one of {shown}",)
    return OutputFormat(
        guide=Guide("choice", choice.options),
        find=lambda text: () if text in known else words,
        source=choice,
    )


def _of_mapping(value: Mapping[str, Any]) -> OutputFormat | None:
    """Read a JSON Schema, or what OpenAI's interfaces call ``response_format``."""
    kind = value.get("type")
    if kind == "json_schema":
        inner = value.get("json_schema", value)
        schema = inner.get("schema") if isinstance(inner, Mapping) else None
        if not isinstance(schema, Mapping):
            raise ConfigurationError(
                f"{_NAME} of the type 'json_schema' must have the schema as {{'json_schema': {{'schema': …}}}}, not"
                f" {sorted(map(str, value))}",
                parameter=_NAME,
            )
        return _of_schema("json_schema", schema, value)
    if kind == "json_object":
        return _of_schema("json", _ANY_OBJECT, value)
    if kind == "text" and len(value) == 1:
        return None
    return _of_schema("json_schema", value, value)


def _of_schema(
    kind: GuideKind, schema: Mapping[str, Any], source: Any, convert: Callable[[Any], Any] = _as_it_is
) -> OutputFormat:
    validator = Validator(schema, _NAME)
    return OutputFormat(
        guide=Guide(kind, validator.schema),
        is_json=True,
        find=validator.violations,
        convert=convert,
        source=source,
    )


def _of_type(kind: Any) -> OutputFormat:
    definitions = Definitions(_NAME, closed=True)
    if not isinstance(kind, type) and callable(getattr(kind, "model_json_schema", None)):
        raise ConfigurationError(
            f"{_NAME} must be a class, not an object of it: give {type(kind).__name__}", parameter=_NAME
        )
    schema = definitions.added_to(schema_of(kind, definitions, _NAME))
    return _of_schema("json_schema", schema, kind, lambda value: read_json(kind, value, "the value"))
