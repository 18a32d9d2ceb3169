"""Model names: from the friendly name that people type to what a server calls the model."""

from __future__ import annotations

import functools
import os
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from nupic_client._folders import user_config_folder
from nupic_client._public import publish
from nupic_client._suggest import did_you_mean, listed
from nupic_client.errors import ConfigurationError, UnknownModelError
from nupic_client.model_spec import ModelSpec, specs_from_file, specs_from_toml
from nupic_client.naming import STREAMING_SUFFIX, unary_name
from nupic_client.prompts import PromptFormatter, formatter_for, guess_family

__all__ = [
    "ModelRegistry",
    "ModelSpec",
    "default_registry",
    "get_prompt_formatter",
    "model_naming_mapping",
]


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
        if not isinstance(spec, ModelSpec):
            raise ConfigurationError(
                f"an entry of a registry must be a ModelSpec, not {type(spec).__name__}", parameter="specs"
            )
        if spec.family is not None:
            formatter_for(spec.family)
        for alias in spec.aliases:
            owner = self._names.get(alias)
            if alias in self._specs or (owner is not None and owner != spec.name):
                raise ConfigurationError(
                    f"alias {alias!r} of model {spec.name!r} already belongs to model {owner or alias!r}"
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
        for spec in specs_from_file(Path(path), str(path)):
            self.register(spec)

    def frozen(self) -> ModelRegistry:
        """Return a registry with the same models that cannot be changed."""
        return ModelRegistry(self._specs.values(), frozen=True)

    def copy(self) -> ModelRegistry:
        """Return a registry with the same models that can be changed."""
        return ModelRegistry(self._specs.values())

    def resolve(self, name: str) -> ModelSpec:
        """Return the entry of a model; a name that is not in the registry is taken as the server's name.

        Its prompt family is guessed from the name where that is certain.

        Args:
            name: a friendly name, an alias or a server's name.

        Raises:
            ConfigurationError: the name is not a non-empty string.
        """
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(
                f"a model name must be a non-empty string, not {name!r}", parameter="model"
            )
        if name in self:
            return self[name]
        hint = f"{self._did_you_mean(name)}the registry has {listed(self._specs)}"
        return ModelSpec(name=name, family=guess_family(name), hint=hint)

    def __getitem__(self, name: str) -> ModelSpec:
        """Return a model by friendly name, alias or server name.

        Raises:
            UnknownModelError: none of them; names the nearest ones.
        """
        spec = self._specs.get(name) or self._specs.get(self._names.get(name, ""))
        if spec is None:
            raise _UnknownNameError(
                f"no model {name!r} in the registry: {self._did_you_mean(name)}"
                f"the models are {listed(self._specs) or 'none'}",
                model=name,
                known=tuple(self._specs),
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

    def _did_you_mean(self, name: str) -> str:
        names = [*self._specs, *self._names]
        if isinstance(name, str) and name.endswith(STREAMING_SUFFIX):
            # What all names have in common does not make them near.
            stem = unary_name(name)
            names = [each for each in names if did_you_mean(stem, [unary_name(each)])]
        return did_you_mean(name, names, most=3)


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
    """A KeyError too, so that ``.get`` and ``try/except KeyError`` work as for any mapping."""


model_naming_mapping: Mapping[str, str] = _NamingMapping()
"""Friendly name to the server's name, for the models of the default registry. Read-only."""


def default_registry() -> ModelRegistry:
    r"""Return the models that come with the package, with the user's own put over them. Read-only.

    The user's own are those in ``models.toml`` of the user's configuration folder (``$XDG_CONFIG_HOME/nupic_client``,
    ``~/Library/Application Support/nupic_client`` or ``%APPDATA%\nupic_client``), and over them those in the file
    that ``$NUPIC_MODELS`` names. A model of the same name replaces the one below.

    Raises:
        ConfigurationError: a file cannot be read or does not describe models.
    """
    given = os.environ.get("NUPIC_MODELS")
    config = user_config_folder() / "models.toml"
    files = [config] if config.is_file() else []
    return _registry_of((*files, *([Path(given)] if given else ())), given)


@functools.lru_cache(maxsize=8)
def _registry_of(files: tuple[Path, ...], given: str | None) -> ModelRegistry:
    shipped = pkgutil.get_data("nupic_client", "models.toml")  # importlib.resources takes 10 ms to import
    assert shipped is not None  # noqa: S101 - the package's loader can read files, as those of the import system do
    registry = ModelRegistry(specs_from_toml(shipped.decode(), "models.toml"))
    for file in files:
        source = f"$NUPIC_MODELS ({file})" if given and file == Path(given) else str(file)
        for spec in specs_from_file(file, source):
            registry.register(spec)
    return registry.frozen()


def get_prompt_formatter(model: str, *, registry: ModelRegistry | None = None) -> PromptFormatter:
    r"""Return the prompt formatter of a model, or of a family.

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
        '<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n'
    """
    if not isinstance(model, str):
        raise ConfigurationError(f"a model or family must be a string, not {model!r}")
    known = default_registry() if registry is None else registry
    try:
        return formatter_for(model)
    except ConfigurationError:
        spec = known.get(model)
        formatter = None if spec is None else spec.formatter
        if formatter is None:
            raise
        return formatter


publish(__name__)
