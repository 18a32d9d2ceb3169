"""How the answers of a family are read: text, reasoning and tool calls, as data.

The data model is that of Hugging Face's ``response_template``, with a few additions for families that it cannot describe.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nupic_client._suggest import did_you_mean, listed
from nupic_client.errors import ConfigurationError

__all__ = ["CONTENT_KINDS", "AnswerField", "AnswerFormat"]

CONTENT_KINDS = (
    "text",
    "int",
    "float",
    "bool",
    "json",
    "xml-inline",
    "kv-lines",
    "python-call-list",
)
"""The ways in which the content of a field may be written."""

_PLACEHOLDER = re.compile(r"\{(\w+(?:\.\w+)*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerField:
    r"""One part of an answer: where it begins, where it ends, and how its content is written.

    Args:
        name: ``content``, ``thinking`` or ``reasoning_content``, or ``tool_calls``; parts with any other name stay in the
            text. Several fields may have the same name.
        open: the literal strings that begin it. Without ``open`` and ``open_pattern`` it is all the rest.
        open_pattern: a regular expression instead; its named groups are known to ``transform``. With ``\A`` in front it
            matches only where no text of the answer came before.
        close: the literal strings that end it; without them and ``close_pattern`` a text goes to the end of the answer, and
            a call to the end of its JSON value or of its list.
        close_pattern: a regular expression instead.
        content: one of `CONTENT_KINDS`.
        content_args: the options of this kind of content.
        repeats: whether there may be several.
        join: what is put between several.
        optional: whether it may be missing.
        transform: how the content becomes a tool call: a template with placeholders such as ``"{content.name}"``.
        transform_each: whether ``transform`` is for each item of a list.
        around: literal strings around a group of calls, which mean nothing by themselves.
    """

    name: str
    open: tuple[str, ...] = ()
    open_pattern: str | None = None
    close: tuple[str, ...] = ()
    close_pattern: str | None = None
    content: str = "text"
    content_args: Mapping[str, Any] = field(default_factory=dict, hash=False)
    repeats: bool = False
    join: str | None = None
    optional: bool = True
    transform: Any = field(default=None, hash=False)
    transform_each: bool = False
    around: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("open", "close", "around"):
            object.__setattr__(self, name, _literals(f"{self.name}.{name}", getattr(self, name)))
        self._check_kinds()
        self._check_content()
        self._check_transform()
        object.__setattr__(self, "content_args", copy.deepcopy(dict(self.content_args)))
        object.__setattr__(self, "transform", copy.deepcopy(self.transform))

    @property
    def is_rest(self) -> bool:
        """Whether it is whatever no other field has."""
        return not self.open and self.open_pattern is None

    def _check_kinds(self) -> None:
        for end in ("open", "close"):
            pattern = getattr(self, f"{end}_pattern")
            if pattern is not None and getattr(self, end):
                raise _wrong(f"{self.name} must have {end} or {end}_pattern, not both")
            _check_pattern(f"{self.name}.{end}_pattern", pattern)
        for name in ("repeats", "optional", "transform_each"):
            if not isinstance(getattr(self, name), bool):
                raise _wrong(f"{self.name}.{name} must be True or False, not {getattr(self, name)!r}")
        if self.join is not None and not isinstance(self.join, str):
            raise _wrong(f"{self.name}.join must be a string, not {type(self.join).__name__}")
        if self.join is not None and not self.repeats:
            raise _wrong(f"{self.name}.join needs repeats, for there is nothing to join without it")

    def _check_content(self) -> None:
        if self.content not in CONTENT_KINDS:
            near = did_you_mean(self.content, CONTENT_KINDS)
            raise _wrong(
                f"{self.name}.content {self.content!r} is unknown: {near}it is one of {listed(CONTENT_KINDS)}"
            )
        if not isinstance(self.content_args, Mapping):
            raise _wrong(
                f"{self.name}.content_args must be an object, not {type(self.content_args).__name__}"
            )
        if self.content != "xml-inline":
            return
        pattern = self.content_args.get("tag_pattern")
        groups = _check_pattern(f"{self.name}.content_args.tag_pattern", pattern)
        if not {"key", "value"} <= groups:
            raise _wrong(f"{self.name}.content_args.tag_pattern must have the named groups key and value")

    def _check_transform(self) -> None:
        groups = _check_pattern("", self.open_pattern) | _check_pattern("", self.close_pattern)
        if self.transform is None:
            if self.transform_each:
                raise _wrong(f"{self.name}.transform_each needs a transform")
            if groups:
                raise _wrong(
                    f"{self.name} has named groups ({listed(sorted(groups))}) but no transform that uses them"
                )
            return
        _check_placeholders(self.name, self.transform)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFormat:
    """How the answers of a family of models are read.

    `from_template` reads Hugging Face's ``response_template``. Formats of well-known families are in
    `nupic_client.prompts.ANSWER_FORMATS`.

    Args:
        fields: the parts of an answer.
        start_anchor: the literal strings with which the assistant's turn begins in a prompt. The text of the prompt behind
            the last of them is the beginning of the answer.
        start_anchor_pattern: a regular expression instead.
        defaults: the constant keys of the message, such as the role.
        ignored: literal strings between the parts that mean nothing by themselves, end tokens for example.
        special_tokens: those of the literal strings that are special tokens, which a server leaves out of its text unless
            it is told not to.

    Example:
        >>> from nupic_client.prompts import AnswerField, AnswerFormat
        >>> thinking = AnswerField(name="thinking", open="<think>", close="</think>")
        >>> AnswerFormat(fields=[thinking, AnswerField(name="content")]).has_reasoning
        True
    """

    fields: tuple[AnswerField, ...]
    start_anchor: tuple[str, ...] = ()
    start_anchor_pattern: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    ignored: tuple[str, ...] = ()
    special_tokens: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", tuple(self.fields))
        for item in self.fields:
            if not isinstance(item, AnswerField):
                raise _wrong(f"a field must be an AnswerField, not {type(item).__name__}")
        if not self.fields:
            raise _wrong("an answer format needs at least one field")
        rest = [item.name for item in self.fields if item.is_rest]
        if len(rest) > 1:
            raise _wrong(f"only one field may lack an open string, not {listed(rest)}")
        for name in ("start_anchor", "ignored", "special_tokens"):
            object.__setattr__(self, name, _literals(name, getattr(self, name)))
        if self.start_anchor and self.start_anchor_pattern is not None:
            raise _wrong("an answer format must have start_anchor or start_anchor_pattern, not both")
        _check_pattern("start_anchor_pattern", self.start_anchor_pattern)
        if not isinstance(self.defaults, Mapping):
            raise _wrong(f"defaults must be an object, not {type(self.defaults).__name__}")
        object.__setattr__(self, "defaults", copy.deepcopy(dict(self.defaults)))

    @property
    def has_reasoning(self) -> bool:
        """Whether answers may have reasoning apart from their text."""
        return any(item.name in ("thinking", "reasoning_content") for item in self.fields)

    @property
    def has_tool_calls(self) -> bool:
        """Whether answers may have tool calls."""
        return any(item.name == "tool_calls" for item in self.fields)

    @classmethod
    def from_template(
        cls, template: Mapping[str, Any], *, special_tokens: Sequence[str] = ()
    ) -> AnswerFormat:
        """Read Hugging Face's ``response_template``.

        Args:
            template: its content, as in ``tokenizer_config.json``.
            special_tokens: the special tokens of the tokenizer.

        Raises:
            ConfigurationError: it is not a response template of version 1.
        """
        from nupic_client.prompts.response_template import format_of  # noqa: PLC0415  # it needs this module

        return format_of(template, special_tokens)


def _wrong(message: str) -> ConfigurationError:
    return ConfigurationError(f"answer format: {message}", parameter="answer_format")


def _literals(name: str, value: Any) -> tuple[str, ...]:
    """Return the strings of a string or of several, each once."""
    items = (value,) if isinstance(value, str) else value
    if not isinstance(items, Sequence) or not all(isinstance(item, str) and item for item in items):
        raise _wrong(f"{name} must be a string or a list of strings that are not empty, not {value!r}")
    return tuple(dict.fromkeys(items))


def _check_pattern(name: str, pattern: Any) -> set[str]:
    """Check a regular expression, and return the names of its groups."""
    if pattern is None:
        return set()
    if not isinstance(pattern, str):
        raise _wrong(f"{name} must be a regular expression, not {type(pattern).__name__}")
    try:
        return set(re.compile(pattern, re.DOTALL).groupindex)
    except (re.error, RecursionError, OverflowError) as error:
        raise _wrong(f"{name} is no regular expression that Python understands: {error}") from error


def _check_placeholders(name: str, transform: Any) -> None:
    if isinstance(transform, Mapping):
        for value in transform.values():
            _check_placeholders(name, value)
    elif isinstance(transform, list | tuple):
        for value in transform:
            _check_placeholders(name, value)
    elif (
        isinstance(transform, str)
        and _PLACEHOLDER.search(transform)
        and not _PLACEHOLDER.fullmatch(transform)
    ):
        raise _wrong(
            f'{name}.transform must have placeholders that stand alone, such as "{{content}}", not {transform!r}'
        )
