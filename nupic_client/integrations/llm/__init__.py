"""The plugin for Simon Willison's ``llm``: after ``pip install 'nupic-client[llm]'`` there is ``llm -m nupic/smollm2``.

The host loads this module by its entry point at each start, so it imports nothing that takes time, and raises nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

try:
    from llm import hookimpl
except ImportError as error:
    raise ImportError(
        "nupic_client.integrations.llm needs the package llm: pip install 'nupic-client[llm]'"
    ) from error

from nupic_client.errors import NupicError

__all__ = ["register_embedding_models", "register_models"]


@hookimpl
def register_models(register: Callable[..., None]) -> None:
    """Tell ``llm`` the models that generate text: those of the registry, and those of the server at ``$NUPIC_URL``."""
    models, names = _ours("text_models")
    for name in names:
        register(models.NupicModel(name), models.AsyncNupicModel(name))


@hookimpl
def register_embedding_models(register: Callable[..., None]) -> None:
    """Tell ``llm`` the models that make vectors, of the registry and of the server at ``$NUPIC_URL``."""
    models, names = _ours("embedding_models")
    for name in names:
        register(models.NupicEmbeddingModel(name))


def _ours(kind: str) -> tuple[Any, Sequence[str]]:
    """Return the module with the models, and their names; where they are not to be had, warn and go on."""
    try:
        # Only where models are asked for.
        from nupic_client.integrations.llm import listing, models  # noqa: PLC0415

        return models, getattr(listing, kind)()
    except ImportError as error:  # an older llm, since an entry point is there without its extra
        warnings.warn(f"nupic/… needs another llm: pip install 'nupic-client[llm]' ({error})", stacklevel=2)
    except NupicError as error:
        warnings.warn(f"the models nupic/… are left out: {error}", stacklevel=2)
    return None, ()
