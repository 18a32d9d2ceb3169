"""LoRA adapters: which one a generation uses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, TypeAlias

from nupic_client._numbers import as_integer
from nupic_client._public import publish
from nupic_client._text import check_text
from nupic_client.errors import ConfigurationError

__all__ = ["Lora", "LoraLike"]

LoraSource: TypeAlias = Literal["hf", "nemo"]
_SOURCES = ("hf", "nemo")
_PARAMETER = "lora"


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA adapter of the server. Which facts are needed depends on the backend; those that it does not need are not sent.

    Args:
        name: the adapter's name: of vLLM's ``multi_lora.json``, or the one that TensorRT-LLM's LLM-API is to give it.
        id: the number by which TensorRT-LLM knows the adapter, 0 to 2**64 - 1.
        path: where its files are, on the server's disk; for TensorRT-LLM's LLM-API.
        source: who wrote the files, ``"hf"`` or ``"nemo"``; for TensorRT-LLM's LLM-API, which takes ``"hf"`` for granted.

    Raises:
        ConfigurationError: a value is wrong, or there is neither a name nor an id.

    Example:
        >>> Lora("sql", id=3, path="/adapters/sql").name
        'sql'
    """

    name: str | None = None
    id: int | None = None
    path: str | os.PathLike[str] | None = None
    source: LoraSource | None = None

    def __post_init__(self) -> None:
        if self.name is None and self.id is None:
            raise ConfigurationError("Lora must have a name or an id, not neither", parameter=_PARAMETER)
        if self.name is not None:
            _check_string("name", self.name)
        if self.id is not None:
            allowed = "an integer from 0 to 2**64 - 1"
            number = as_integer(self.id)
            if number is None or not 0 <= number < 2**64:
                raise ConfigurationError(
                    f"id of a Lora must be {allowed}, not {self.id!r}", parameter=_PARAMETER
                )
            object.__setattr__(self, "id", number)
        if self.path is not None:
            path = os.fspath(self.path) if isinstance(self.path, os.PathLike) else self.path
            _check_string("path", path)
            object.__setattr__(self, "path", path)
        if self.source is not None and self.source not in _SOURCES:
            raise ConfigurationError(
                f"source of a Lora must be 'hf' or 'nemo', not {self.source!r}", parameter=_PARAMETER
            )

    @classmethod
    def of(cls, value: LoraLike) -> Lora:
        """Return an adapter that is given by its name, its number or as a `Lora`.

        Raises:
            ConfigurationError: it is none of these.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            return cls(value)
        number = as_integer(value)
        if number is None:
            raise ConfigurationError(
                f"lora must be the name of an adapter, its number or a Lora, not {value!r}",
                parameter=_PARAMETER,
            )
        return cls(id=number)


LoraLike: TypeAlias = str | int | Lora
"""An adapter by its name, its number, or as a `Lora`."""


def _check_string(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(
            f"{name} of a Lora must be a non-empty string, not {value!r}", parameter=_PARAMETER
        )
    check_text(f"{name} of a Lora", value, parameter=_PARAMETER)


publish(__name__)
