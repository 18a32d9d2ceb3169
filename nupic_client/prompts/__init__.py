"""Prompt formatters: conversations written the way each family of models was trained to read them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nupic_client.errors import ConfigurationError
from nupic_client.prompts import chatml, plain
from nupic_client.prompts.formatter import PromptFormatter

__all__ = ["ALIASES", "FAMILIES", "PromptFormatter", "formatter_for", "guess_family"]

_ALL = (*chatml.FAMILIES, *plain.FAMILIES)

FAMILIES: Mapping[str, PromptFormatter] = MappingProxyType({family.name: PromptFormatter(family) for family in _ALL})
"""Every family by its name. Read-only."""

ALIASES: Mapping[str, str] = MappingProxyType({alias: family.name for family in _ALL for alias in family.aliases})
"""Short names people use, and the family each stands for. Read-only."""


def formatter_for(family: str) -> PromptFormatter:
    """Return the formatter of a family."""
    name = family.strip().lower()
    try:
        return FAMILIES[ALIASES.get(name, name)]
    except KeyError:
        raise ConfigurationError(f"there is no prompt family {family!r}; there are: {', '.join(FAMILIES)}") from None


def guess_family(model_name: str) -> str | None:  # noqa: ARG001
    """Guess the family from a free model name; None when it is not certain."""
    return None
