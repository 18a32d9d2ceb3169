"""Model names: from the friendly name that people type to what a server calls the model, and how it is prompted."""

from __future__ import annotations

import difflib
import functools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from nupic_client.errors import ConfigurationError, UnknownModelError
from nupic_client.naming import ModelName, parse_model_name
from nupic_client.prompts import PromptFormatter, formatter_for, guess_family
from nupic_client.sampling import OPTION_NAMES, SamplingParams

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "ModelRegistry",
    "ModelSpec",
    "default_registry",
    "get_prompt_formatter",
    "model_naming_mapping",
]


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
        sampling: default sampling options: `SamplingParams`, or a mapping of option to value.
        context_length: how many tokens the model takes, prompt and answer together; None where that is not known.
        bos: whether a rendered conversation is sent with the beginning-of-sequence token that the family's template
            prints (``"keep"``) or without it (``"strip"``), because the server's tokenizer puts one there itself. A
            doubled one makes answers worse. ``"auto"`` decides by backend and family.
        backend: the name of the backend that spells the requests; None finds it out from the model's signature.
        text: whether responses hold new text (``"delta"``), the whole text so far (``"cumulative"``), or the responses
            should decide (``"auto"``).
        description: one line for people.
    """

    name: str
    server_name: str = ""
    version: str = ""
    aliases: tuple[str, ...] = ()
    family: str | None = None
    system: str | None = None
    stop: tuple[str, ...] = ()
    sampling: SamplingParams | Mapping[str, Any] = field(default_factory=SamplingParams)
    context_length: int | None = None
    bos: Literal["auto", "keep", "strip"] = "auto"
    backend: str | None = None
    text: Literal["delta", "cumulative", "auto"] = "auto"
    description: str = ""
    hint: str = field(default="", repr=False, compare=False)
    """For the error text when the server does not have the model."""

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise ConfigurationError(f"a model needs a name, not {self.name!r}")
        for key in ("server_name", "version", "family", "system", "description"):
            value = getattr(self, key)
            if not isinstance(value, str) and not (value is None and key in {"family", "system"}):
                raise ConfigurationError(f"{key} must be a string, not {value!r}")
        for option, allowed in _CHOICES.items():
            if getattr(self, option) not in allowed:
                raise ConfigurationError(f"{option} must be one of {allowed}, not {getattr(self, option)!r}")
        length = self.context_length
        if length is not None and (not isinstance(length, int) or isinstance(length, bool) or length < 1):
            raise ConfigurationError(f"context_length must be a number of tokens, not {length!r}")
        if not isinstance(self.sampling, SamplingParams):
            object.__setattr__(self, "sampling", _sampling(self.sampling))
        object.__setattr__(self, "server_name", self.server_name or self.name)
        object.__setattr__(self, "aliases", _strings("aliases", self.aliases))
        object.__setattr__(self, "stop", _strings("stop", self.stop))

    @property
    def registered(self) -> bool:
        """Whether it is from a registry; otherwise the name was taken as the server's."""
        return not self.hint

    @property
    def parts(self) -> ModelName:
        """The server's name in its parts: family, size, version, whether it streams."""
        return parse_model_name(self.server_name)

    @property
    def sampling_defaults(self) -> SamplingParams:
        """`sampling` as what it always is once the spec is made."""
        return self.sampling if isinstance(self.sampling, SamplingParams) else _sampling(self.sampling)

    @property
    def cumulative(self) -> bool | None:
        """`text` as the decoder takes it: None lets the responses decide."""
        return {"delta": False, "cumulative": True}.get(self.text)

    @property
    def formatter(self) -> PromptFormatter | None:
        """The prompt formatter of the family, with this model's default system prompt; None without a family."""
        if self.family is None:
            return None
        return formatter_for(self.family)


def _strings(key: str, value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError(f"{key} must be a list of strings, not {value!r}")
    strings = tuple(value)
    for string in strings:
        if not isinstance(string, str) or not string:
            raise ConfigurationError(f"{key} takes non-empty strings, not {string!r}")
    return strings


_CHOICES = {"text": ("delta", "cumulative", "auto"), "bos": ("auto", "keep", "strip")}


def _sampling(options: Mapping[str, Any]) -> SamplingParams:
    if not isinstance(options, Mapping):
        raise ConfigurationError(f"sampling must be a mapping of options to values, not {options!r}")
    try:
        return SamplingParams(**options)
    except TypeError:
        unknown = sorted(set(options) - set(OPTION_NAMES))
        raise ConfigurationError(
            f"sampling has no option {unknown[0]!r}: there are {', '.join(OPTION_NAMES)}"
        ) from None


class ModelRegistry(Mapping[str, ModelSpec]):
    """Friendly names, aliases and server names to `ModelSpec`. Reading is thread-safe.

    Args:
        specs: the models.
        frozen: whether `register` refuses; the default registry is frozen, `copy()` is not.

    Example:
        >>> registry = default_registry().copy()
        >>> registry.register(ModelSpec(name="support-bot", server_name="support.streaming", family="zephyr"))
        >>> registry["support-bot"].server_name
        'support.streaming'
    """

    def __init__(self, specs: Iterable[ModelSpec] = (), *, frozen: bool = False) -> None:
        self._specs: dict[str, ModelSpec] = {}
        self._names: dict[str, str] = {}
        self._frozen = False
        for spec in specs:
            self.register(spec)
        self._frozen = frozen

    def register(self, spec: ModelSpec) -> None:
        """Add a model, or replace the one of that name.

        Raises:
            ConfigurationError: the registry is frozen, the family is unknown, or an alias belongs to another model.
        """
        if self._frozen:
            raise ConfigurationError(
                "this registry is read-only: change a copy() and give it to the client as registry="
            )
        if spec.family is not None:
            formatter_for(spec.family)
        for alias in spec.aliases:
            owner = self._names.get(alias)
            if alias in self._specs or (owner is not None and owner != spec.name):
                raise ConfigurationError(
                    f"alias {alias!r} of model {spec.name!r} already means {owner or alias!r}"
                )
        self._names = {name: owner for name, owner in self._names.items() if owner != spec.name}
        self._specs[spec.name] = spec
        for name in (spec.server_name, *spec.aliases):
            if name not in self._specs:
                self._names[name] = spec.name

    def load(self, path: str | Path) -> None:
        """Add the models of a TOML file: one table ``[models."name"]`` each, with the fields of `ModelSpec` as keys.

        Raises:
            ConfigurationError: the registry is read-only, or the file cannot be read or does not describe models.
        """
        for spec in _read(Path(path), str(path)):
            self.register(spec)

    def frozen(self) -> ModelRegistry:
        """Return a registry with the same models that cannot be changed."""
        return ModelRegistry(self._specs.values(), frozen=True)

    def copy(self) -> ModelRegistry:
        """Return a registry with the same models that can be changed."""
        return ModelRegistry(self._specs.values())

    def resolve(self, name: str) -> ModelSpec:
        """Return what is known about a model; a name that is not known is taken as the server's name.

        Its prompt family is guessed from the name where that is certain.

        Args:
            name: a friendly name, an alias or a server's name.

        Raises:
            ConfigurationError: the name is not a non-empty string.
        """
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"a model name must be a non-empty string, not {name!r}")
        if name in self:
            return self[name]
        near = self._close(name)
        hint = (
            f"the registry has {', '.join(map(repr, near))}"
            if near
            else f"the registry has {', '.join(self._specs)}"
        )
        return ModelSpec(name=name, family=guess_family(name), hint=hint)

    def __getitem__(self, name: str) -> ModelSpec:
        """Return a model by friendly name, alias or server name.

        Raises:
            UnknownModelError: none of them; names the nearest ones.
        """
        spec = self._specs.get(name) or self._specs.get(self._names.get(name, ""))
        if spec is None:
            near = self._close(name)
            hint = (
                f"did you mean {' or '.join(map(repr, near))}?"
                if near
                else f"there are {', '.join(self._specs)}"
            )
            raise _UnknownNameError(
                f"no model {name!r} in the registry: {hint}", model=name, known=tuple(self._specs)
            )
        return spec

    def __contains__(self, name: object) -> bool:
        return name in self._specs or name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def __repr__(self) -> str:
        return f"ModelRegistry({', '.join(self._specs)})"

    def _close(self, name: str) -> list[str]:
        return difflib.get_close_matches(str(name), [*self._specs, *self._names], n=3)


class _NamingMapping(Mapping[str, str]):
    """Friendly name to server name: a read-only view of a registry, as NuPIC scripts use it."""

    def __init__(self, registry: ModelRegistry | None = None) -> None:
        self._registry = registry

    def _target(self) -> ModelRegistry:
        return default_registry() if self._registry is None else self._registry

    def __getitem__(self, name: str) -> str:
        return self._target()[name].server_name

    def __contains__(self, name: object) -> bool:
        return name in self._target()

    def __iter__(self) -> Iterator[str]:
        return iter(self._target())

    def __len__(self) -> int:
        return len(self._target())

    def __repr__(self) -> str:
        return repr(dict(self))


class _UnknownNameError(UnknownModelError, KeyError):
    """What a mapping must raise, so that ``.get`` and ``try/except KeyError`` work."""


model_naming_mapping: Mapping[str, str] = _NamingMapping()
"""Friendly name to the server's name, for the models of the default registry. Read-only."""


def _spec_from_table(name: str, table: Mapping[str, Any], source: str) -> ModelSpec:
    known = ModelSpec.__dataclass_fields__.keys() - {"name", "hint"}
    unknown = sorted(table.keys() - known)
    if unknown:
        raise ConfigurationError(
            f"{source}: model {name!r} has the unknown key {unknown[0]!r}; the keys are {', '.join(sorted(known))}"
        )
    try:
        return ModelSpec(name=name, **table)
    except (TypeError, ConfigurationError) as error:
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
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source} is not valid TOML: {error}") from None
    models = tables.get("models", {})
    tables_only = isinstance(models, dict) and all(isinstance(table, dict) for table in models.values())
    if set(tables) - {"models"} or not tables_only:
        raise ConfigurationError(
            f'{source}: expected one table [models."name"] for each model and nothing else'
        )
    return [_spec_from_table(name, table, source) for name, table in models.items()]


def _read(file: Path, source: str) -> list[ModelSpec]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{source}: cannot be read: {error}") from None
    return specs_from_toml(text, source)


def default_registry() -> ModelRegistry:
    """Return the models that come with the package, with the user's own put over them. Read-only.

    The user's own are those in ``models.toml`` of the user's configuration folder (``$XDG_CONFIG_HOME/nupic_client``,
    ``~/Library/Application Support/nupic_client`` or ``%APPDATA%\\nupic_client``), and over them those in the file
    that ``$NUPIC_MODELS`` names. A model of the same name replaces the one below.

    Raises:
        ConfigurationError: a file cannot be read or does not describe models.
    """
    given = os.environ.get("NUPIC_MODELS")
    config = _config_folder() / "models.toml"
    files = [config] if config.is_file() else []
    return _registry_of((*files, *([Path(given)] if given else ())), given)


@functools.lru_cache(maxsize=8)
def _registry_of(files: tuple[Path, ...], given: str | None) -> ModelRegistry:
    shipped = resources.files("nupic_client").joinpath("models.toml").read_text(encoding="utf-8")
    registry = ModelRegistry(specs_from_toml(shipped, "models.toml"))
    for file in files:
        source = f"$NUPIC_MODELS ({file})" if given and file == Path(given) else str(file)
        for spec in _read(file, source):
            registry.register(spec)
    return registry.frozen()


def _config_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "nupic_client"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "nupic_client"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "nupic_client"


def get_prompt_formatter(model: str, *, registry: ModelRegistry | None = None) -> PromptFormatter:
    """Return the prompt formatter of a model, or of a family.

    The name of a family gives the family's official template. Any other name of a model in the registry gives the
    formatter of its family with that model's own default system prompt.

    Args:
        model: a family such as ``"zephyr"``, or a model's friendly name, alias or server name.
        registry: where models are looked up; the default registry if it is not given.

    Returns:
        A formatter, to be called with a user's text or a list of messages.

    Raises:
        ConfigurationError: no such family or model; names the nearest ones.

    Example:
        >>> get_prompt_formatter("chatml")("Hello")
        '<|im_start|>user\\nHello<|im_end|>\\n<|im_start|>assistant\\n'
    """
    if not isinstance(model, str):
        raise ConfigurationError(f"a model or family must be given by its name, not {model!r}")
    known = default_registry() if registry is None else registry
    try:
        return formatter_for(model)
    except ConfigurationError:
        spec = known[model] if model in known else None
        formatter = None if spec is None else spec.formatter
        if formatter is None:
            raise
        return formatter
