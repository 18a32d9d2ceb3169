"""Hugging Face's ``response_template``: the answer format that comes with a tokenizer."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nupic_client._suggest import did_you_mean, listed
from nupic_client.errors import ConfigurationError
from nupic_client.prompts.answer import AnswerField, AnswerFormat

__all__ = ["format_of"]

_KEYS = ("version", "defaults", "fields", "start_anchor", "start_anchor_pattern")
_FIELD_KEYS = (
    *("open", "open_pattern", "close", "close_pattern", "content", "content_args"),
    *("repeats", "join", "optional", "transform", "transform_each"),
)


def format_of(template: Mapping[str, Any], special_tokens: Sequence[str] = ()) -> AnswerFormat:
    """Make an answer format of a response template.

    Args:
        template: the template.
        special_tokens: the special tokens of the tokenizer.

    Raises:
        ConfigurationError: it is not a response template of version 1.
    """
    if not isinstance(template, Mapping):
        raise _wrong(f"it must be an object, not {type(template).__name__}")
    _check_keys("it", template, _KEYS)
    if template.get("version", 1) != 1:
        raise _wrong(f"its version must be 1, not {template['version']!r}: a newer nupic_client may know it")
    fields = template.get("fields")
    if not isinstance(fields, Mapping) or not fields:
        raise _wrong("its fields must be an object with at least one field")
    if ("start_anchor" in template) == ("start_anchor_pattern" in template):
        raise _wrong("it must have start_anchor or start_anchor_pattern")
    made = tuple(_field(name, values) for name, values in fields.items())
    start = template.get("start_anchor", ())
    answer = AnswerFormat(
        fields=made,
        start_anchor=start,
        start_anchor_pattern=template.get("start_anchor_pattern"),
        defaults=template.get("defaults", {}),
        special_tokens=tuple(token for token in dict.fromkeys(special_tokens) if _is_used(token, made)),
    )
    if any(item.is_rest for item in made):
        return answer
    # Without a field for the rest the assistant's turn may open again and again, which means nothing.
    return dataclasses.replace(answer, ignored=answer.start_anchor)


def _field(name: str, values: Any) -> AnswerField:
    if not isinstance(values, Mapping):
        raise _wrong(f"its field {name} must be an object, not {type(values).__name__}")
    _check_keys(f"its field {name}", values, _FIELD_KEYS)
    if any(values.get(key, "") == [] for key in ("open", "close")):
        raise _wrong(f"its field {name} must have at least one string in each list")
    return AnswerField(name=name, **values)


def _check_keys(name: str, values: Mapping[str, Any], known: Sequence[str]) -> None:
    unknown = [key for key in values if key not in known]
    if unknown:
        near = did_you_mean(unknown[0], known)
        raise _wrong(f"{name} has an unknown key {unknown[0]!r}: {near}the keys are {listed(known)}")


def _is_used(token: str, fields: Sequence[AnswerField]) -> bool:
    escaped = (token, re.escape(token))
    texts = [
        text
        for item in fields
        for text in (*item.open, *item.close, item.open_pattern or "", item.close_pattern or "")
    ]
    return bool(token) and any(form in text for text in texts for form in escaped)


def _wrong(message: str) -> ConfigurationError:
    return ConfigurationError(f"response_template: {message}", parameter="response_template")
