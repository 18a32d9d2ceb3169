"""Callable classes for Ray Data: `Generate` and `Embed` for ``Dataset.map_batches``.

They need the extra ``ray``: ``pip install 'nupic-client[ray]'``.
"""

from __future__ import annotations

try:
    import pyarrow  # noqa: ICN001, F401 - the modules below need it
    import ray.data.block  # noqa: F401 - the same
except ImportError as error:
    raise ImportError(
        "nupic_client.integrations.ray needs the package ray[data]: pip install 'nupic-client[ray]'"
    ) from error

from nupic_client.integrations.ray.embed import Embed
from nupic_client.integrations.ray.generate import Generate
from nupic_client.integrations.ray.mapper import Errors

__all__ = ["Embed", "Errors", "Generate"]
