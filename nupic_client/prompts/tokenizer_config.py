"""Hugging Face's ``tokenizer_config.json``: a model's chat templates and special tokens."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nupic_client._suggest import did_you_mean, listed
from nupic_client.errors import ConfigurationError
from nupic_client.prompts.answer import AnswerFormat
from nupic_client.prompts.jinja import jinja_family

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from nupic_client.prompts.family import Family

__all__ = ["family_of"]

_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def family_of(
    config: str | PathLike[str] | Mapping[str, Any],
    *,
    chat_template: str | None,
    name: str | None,
    stop: Iterable[str] = (),
) -> Family:
    """Make a family of a tokenizer's configuration.

    Args:
        config: a path, a folder's path, or the content.
        chat_template: the name of the template to use, where there are several.
        name: the family's name.
        stop: more strings that end a generation.

    Raises:
        ConfigurationError: it cannot be read, or has no such template, or jinja2 is not installed.
    """
    source, values, templates, folder = "", config, {}, None
    if not isinstance(config, Mapping):
        path = Path(config)
        folder = path if path.is_dir() else path.parent
        source = str(path)
        values = _read_json(path / "tokenizer_config.json" if path.is_dir() else path)
        templates = _template_files(folder)
        name = name or folder.resolve().name
    if not isinstance(values, Mapping):
        raise ConfigurationError(
            f"a tokenizer configuration must be a JSON object, not {type(values).__name__}"
        )
    templates = {**_templates(values.get("chat_template")), **templates}
    _check_choice(templates, chat_template)
    tokens = _special_tokens(values)
    ends = [] if folder is None else _end_tokens(folder, values)
    control_tokens = _control_tokens(values, tokens)
    family = jinja_family(
        templates,
        tokens,
        name=name or str(values.get("name_or_path") or "jinja"),
        chosen=chat_template,
        stop=(*ends, *stop),
        control_tokens=control_tokens,
        source=source,
    )
    template = values.get("response_template")
    if template is None:
        return family
    answer = AnswerFormat.from_template(template, special_tokens=control_tokens)
    return dataclasses.replace(family, answer=answer, reasons=answer.has_reasoning)


def _read_json(path: Path, what: str = "the tokenizer configuration") -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # the last for an absurd nesting
        raise ConfigurationError(f"{what} {str(path)!r} cannot be read: {error}") from error


def _end_tokens(folder: Path, values: Mapping[str, Any]) -> list[str]:
    """Return what ends an answer: the tokens that ``generation_config.json`` has by number, and its stop strings.

    Llama 3, Gemma and Qwen have more of them than the tokenizer's one.
    """
    path = folder / "generation_config.json"
    if not path.is_file():
        return []
    generation = _read_json(path, "the generation configuration")
    if not isinstance(generation, Mapping):
        raise ConfigurationError(f"{str(path)!r} must have a JSON object, not {type(generation).__name__}")
    given = generation.get("eos_token_id")
    numbers = given if isinstance(given, list) else [] if given is None else [given]
    if not all(isinstance(number, int) for number in numbers):
        raise ConfigurationError(
            f"eos_token_id in {str(path)!r} must be a number or a list of numbers, not {given!r}"
        )
    added = values.get("added_tokens_decoder")
    by_number = {
        str(number): _content(token)
        for number, token in (added if isinstance(added, Mapping) else {}).items()
    }
    if any(str(number) not in by_number for number in numbers):
        by_number = {**_added_tokens(folder / "tokenizer.json"), **by_number}
    more = generation.get("stop_strings")
    ends = [
        *(by_number.get(str(number), "") for number in numbers),
        *(more if isinstance(more, list) else [more]),
    ]
    return [end for end in ends if isinstance(end, str) and end]


def _added_tokens(path: Path) -> dict[str, str]:
    """Return the added tokens of a ``tokenizer.json`` by number; that file is big, and read only where it is needed."""
    if not path.is_file():
        return {}
    tokenizer = _read_json(path, "the tokenizer")
    added = tokenizer.get("added_tokens") if isinstance(tokenizer, Mapping) else None
    tokens = [token for token in added if isinstance(token, Mapping)] if isinstance(added, list) else []
    return {str(token.get("id")): _content(token) for token in tokens}


def _template_files(folder: Path) -> dict[str, str]:
    """Read the templates that newer models have in files of their own."""
    files = {"default": folder / "chat_template.jinja"}
    files |= {path.stem: path for path in sorted(folder.glob("additional_chat_templates/*.jinja"))}
    return {name: _read_template(path) for name, path in files.items() if path.is_file()}


def _read_template(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the chat template {str(path)!r} cannot be read: {error}") from error


def _templates(value: Any) -> dict[str, str]:
    """Read the ``chat_template`` entry: a text, a list of names and templates, or an object of them."""
    if value is None:
        return {}
    if isinstance(value, str):
        return {"default": value}
    try:
        named = (
            dict(value) if isinstance(value, Mapping) else {item["name"]: item["template"] for item in value}
        )
    except (TypeError, KeyError) as error:
        raise ConfigurationError(
            "chat_template must be a string, or a list of names and templates"
        ) from error
    if not all(isinstance(part, str) for item in named.items() for part in item):
        raise ConfigurationError("a chat template must be a string")
    return named


def _check_choice(templates: Mapping[str, str], chosen: str | None) -> None:
    if not templates:
        raise ConfigurationError("the tokenizer configuration has no chat_template")
    if (chosen or "default") not in templates:
        name = chosen or "default"
        raise ConfigurationError(
            f"there is no chat template {name!r}: {did_you_mean(name, templates)}the templates are {listed(templates)};"
            " choose one with chat_template="
        )


def _content(token: Any) -> str:
    """Return the text of a token: a string, or an object such as ``{"content": "<s>", "lstrip": false}``."""
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else ""


def _special_tokens(values: Mapping[str, Any]) -> dict[str, Any]:
    tokens: dict[str, Any] = {name: _content(values.get(name)) for name in _SPECIAL}
    more = values.get("additional_special_tokens") or values.get("extra_special_tokens") or ()
    if isinstance(more, Mapping):
        tokens |= {str(name): _content(token) for name, token in more.items()}
    elif isinstance(more, Sequence) and not isinstance(more, str):
        tokens["additional_special_tokens"] = [_content(token) for token in more]
    else:
        raise ConfigurationError("the additional special tokens must be a list or an object")
    return {name: token for name, token in tokens.items() if token}


def _control_tokens(values: Mapping[str, Any], tokens: Mapping[str, Any]) -> list[str]:
    added = values.get("added_tokens_decoder") or {}
    if not isinstance(added, Mapping):
        raise ConfigurationError("added_tokens_decoder must be an object of token ids and tokens")
    objects = [token for token in added.values() if isinstance(token, Mapping)]
    special = [_content(token) for token in objects if token.get("special")]
    for token in tokens.values():
        special += token if isinstance(token, list) else [token]
    return [token for token in special if token.strip()]
