"""What the client knows about a model, and models in TOML files."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nupic_client._numbers import check_integer
from nupic_client._public import publish
from nupic_client._repr import short_repr
from nupic_client._suggest import did_you_mean, listed
from nupic_client._text import check_text
from nupic_client.errors import ConfigurationError
from nupic_client.naming import ModelName, parse_model_name
from nupic_client.prompts import PromptFormatter, formatter_for
from nupic_client.sampling import OPTION_NAMES, SamplingParams

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["BACKEND_NAMES", "ModelSpec", "specs_from_file", "specs_from_toml"]

BACKEND_NAMES = ("vllm", "trtllm_engine", "trtllm_llmapi", "trtllm", "dynamo", "plain")
"""The names of `nupic_client.backends.BACKENDS`, for entries that are read before any backend is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What the client knows about a model. Immutable.

    Args:
        name: the friendly name.
        server_name: the server's name; the friendly name where none is given.
        version: the model version on the server; empty for the server's choice.
        aliases: other friendly names.
        family: the prompt format of the model, see `nupic_client.prompts`; None for a model that takes plain text.
        system: the system prompt of a conversation that has none; None leaves that to the family.
        stop: strings that end a text besides those a call gives.
        sampling: default sampling options, as `SamplingParams` or a mapping of option to value.
        context_length: how many tokens the model takes, prompt and answer together; None where that is not known.
        bos: whether a rendered conversation is sent with the beginning-of-sequence token that the family's template
            prints (``"keep"``) or without it (``"strip"``), because the server's tokenizer puts one there itself. A
            doubled one makes answers worse. ``"auto"`` strips it: the tokenizers of all known backends add one.
        backend: the name of the backend, see `nupic_client.backends`; None detects it by the model's signature. A client's
            ``backend=`` goes before it.
        text: whether responses hold new text (``"delta"``) or the whole text so far (``"cumulative"``). None takes what
            the backend says; where it does not know, as with a plain model, they hold new text. ``"auto"`` guesses there
            by the responses, and the beginning of a text is held back for that.
        guided: how a vLLM model calls what ``response_format`` makes the server enforce: ``"structured_outputs"`` (vLLM
            backends since 25.11), or ``"guided_decoding"`` (those before). None takes the newer name.
        description: one line for people.
    """

    name: str
    """The friendly name."""
    server_name: str = ""
    """The server's name; the friendly name where none is given."""
    version: str = ""
    """The model version on the server; empty for the server's choice."""
    aliases: tuple[str, ...] = ()
    """Other friendly names."""
    family: str | None = None
    """The prompt format of the model, see `nupic_client.prompts`; None for a model that takes plain text."""
    system: str | None = None
    """The system prompt of a conversation that has none; None leaves that to the family."""
    stop: tuple[str, ...] = ()
    """Strings that end a text besides those a call gives."""
    sampling: SamplingParams | Mapping[str, Any] = field(default_factory=SamplingParams)
    """Default sampling options, as `SamplingParams` or a mapping of option to value."""
    context_length: int | None = None
    """How many tokens the model takes, prompt and answer together; None where that is not known."""
    bos: Literal["auto", "keep", "strip"] = "auto"
    """Whether a rendered conversation is sent with the beginning-of-sequence token that the family's template prints
    (``"keep"``) or without it (``"strip"``), because the server's tokenizer puts one there itself. A doubled one
    makes answers worse. ``"auto"`` strips it: the tokenizers of all known backends add one."""
    backend: str | None = None
    """The name of the backend, see `nupic_client.backends`; None detects it by the model's signature. A client's
    ``backend=`` goes before it."""
    text: Literal["delta", "cumulative", "auto"] | None = None
    """Whether responses hold new text (``"delta"``) or the whole text so far (``"cumulative"``). None takes what the
    backend says; where it does not know, as with a plain model, they hold new text. ``"auto"`` guesses there by the
    responses, and the beginning of a text is held back for that."""
    guided: Literal["structured_outputs", "guided_decoding"] | None = None
    """How a vLLM model calls what ``response_format`` makes the server enforce: ``"structured_outputs"`` (vLLM
    backends since 25.11), or ``"guided_decoding"`` (those before). None takes the newer name."""
    description: str = ""
    """One line for people."""
    hint: str = field(default="", repr=False, compare=False)
    """For the error text when the server does not have the model."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ConfigurationError(f"the name of a model must be a non-empty string, not {self.name!r}")
        check_text("the name of a model", self.name, parameter="model")
        for key in ("server_name", "version", "family", "system", "backend", "description"):
            value = getattr(self, key)
            if not isinstance(value, str) and not (value is None and key in {"family", "system", "backend"}):
                raise ConfigurationError(f"{key} must be a string, not {value!r}")
            check_text(key, value or "")
        if self.backend is not None and self.backend not in BACKEND_NAMES:
            raise ConfigurationError(
                f"backend must be one of {listed(BACKEND_NAMES)}, not {self.backend!r}:"
                f" {did_you_mean(self.backend, BACKEND_NAMES)}one of your own is given to the client as backend=",
                parameter="backend",
            )
        for option, allowed in _CHOICES.items():
            if getattr(self, option) not in allowed:
                raise ConfigurationError(f"{option} must be one of {allowed}, not {getattr(self, option)!r}")
        if self.context_length is not None:
            length = check_integer("context_length", self.context_length, "a number of tokens >= 1", low=1)
            object.__setattr__(self, "context_length", length)
        if not isinstance(self.sampling, SamplingParams):
            object.__setattr__(self, "sampling", _sampling(self.sampling))
        object.__setattr__(self, "server_name", self.server_name or self.name)
        object.__setattr__(self, "aliases", _strings("aliases", self.aliases))
        if not all(alias.strip() for alias in self.aliases):
            raise ConfigurationError("aliases must be names, not blanks")
        object.__setattr__(self, "stop", _strings("stop", self.stop))

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def registered(self) -> bool:
        """Whether the model is from a registry; otherwise its name was taken as the server's."""
        return not self.hint

    @property
    def suggestion(self) -> str:
        """The part of `hint` that asks for a name that is near, with a space behind it; empty where there is none."""
        question, mark, _ = self.hint.partition("? ")
        return f"{question}{mark}" if mark else ""

    @property
    def parts(self) -> ModelName:
        """The parts of the server's name, such as its family and whether it streams."""
        return parse_model_name(self.server_name)

    @property
    def sampling_defaults(self) -> SamplingParams:
        """`sampling`, which is always `SamplingParams` after construction."""
        return self.sampling if isinstance(self.sampling, SamplingParams) else _sampling(self.sampling)

    @property
    def cumulative(self) -> bool | None:
        """Whether responses hold the whole text so far; None where `text` leaves that to the backend."""
        return None if self.text is None else {"delta": False, "cumulative": True}.get(self.text)

    @property
    def formatter(self) -> PromptFormatter | None:
        """The prompt formatter of the family, with this model's default system prompt; None without a family."""
        if self.family is None:
            return None
        return formatter_for(self.family).with_system(self.system)


def _strings(key: str, value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError(f"{key} must be a list of strings, not {value!r}")
    strings = tuple(value)
    for string in strings:
        if not isinstance(string, str) or not string:
            raise ConfigurationError(f"{key} must be non-empty strings, not {string!r}")
        check_text(key, string)
    return strings


_CHOICES = {
    "text": ("delta", "cumulative", "auto", None),
    "bos": ("auto", "keep", "strip"),
    "guided": ("structured_outputs", "guided_decoding", None),
}


def _sampling(options: Mapping[str, Any]) -> SamplingParams:
    if not isinstance(options, Mapping):
        raise ConfigurationError(f"sampling must be a mapping of options to values, not {options!r}")
    try:
        return SamplingParams(**options)
    except TypeError:
        unknown = sorted(set(options) - set(OPTION_NAMES))
        raise ConfigurationError(
            f"sampling has no option {unknown[0]!r}: {did_you_mean(unknown[0], OPTION_NAMES)}the options are"
            f" {listed(OPTION_NAMES)}"
        ) from None


def _spec_from_table(name: str, table: Mapping[str, Any], source: str) -> ModelSpec:
    known = ModelSpec.__dataclass_fields__.keys() - {"name", "hint"}
    unknown = sorted(table.keys() - known)
    if unknown:
        raise ConfigurationError(
            f"{source}: model {name!r} has the unknown key {unknown[0]!r}: {did_you_mean(unknown[0], known)}the keys"
            f" are {listed(sorted(known))}"
        )
    try:
        return ModelSpec(name=name, **table)
    except (TypeError, ValueError) as error:  # also a number too long to be shown
        raise ConfigurationError(f"{source}: model {name!r}: {error}") from None


def specs_from_toml(text: str, source: str) -> list[ModelSpec]:
    """Read models from TOML: one table ``[models."name"]`` each, with the fields of `ModelSpec` as keys.

    Args:
        text: the TOML text.
        source: where it is from, for error texts.

    Raises:
        ConfigurationError: it is not TOML, or a table does not describe a model.
    """
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers and nesting that are too big for Python
        raise ConfigurationError(f"{source} is not valid TOML: {error}") from None
    models = tables.get("models", {})
    tables_only = isinstance(models, dict) and all(isinstance(table, dict) for table in models.values())
    if set(tables) - {"models"} or not tables_only:
        raise ConfigurationError(
            f'{source} must have one table [models."name"] for each model, and nothing else'
        )
    return [_spec_from_table(name, table, source) for name, table in models.items()]


def specs_from_file(file: Path, source: str) -> list[ModelSpec]:
    """Read models from a TOML file, as `specs_from_toml`.

    Raises:
        ConfigurationError: it cannot be read, or does not describe models.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{source}: cannot be read: {error}") from None
    return specs_from_toml(text, source)


publish(__name__)
