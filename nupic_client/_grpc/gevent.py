"""gevent: whether gRPC was told of it. It is not imported to find that out."""

from __future__ import annotations

import sys
import warnings

from grpc._cython import cygrpc

__all__ = ["warn_of_gevent"]


class _Process:
    warned = False


def warn_of_gevent() -> None:
    """Warn, once, that a blocking call stops all greenlets: gevent has patched threads, and gRPC was not told."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or _Process.warned or not monkey.is_module_patched("threading"):
        return
    # Private to grpcio. Where it is missing, nobody can tell.
    if getattr(cygrpc, "g_gevent_activated", True):
        return
    _Process.warned = True
    warnings.warn(
        "gevent has patched threading, but gRPC was not told: a blocking call stops all greenlets until it ends."
        " Call grpc.experimental.gevent.init_gevent() right after monkey.patch_all()",
        stacklevel=_frames_here(),
    )


def _frames_here() -> int:
    """Return the ``stacklevel`` of the first frame outside of this package, as seen from the caller."""
    level, frame = 0, sys._getframe(1)  # noqa: SLF001 - as `warnings` does
    while frame is not None and frame.f_globals.get("__name__", "").startswith("nupic_client."):
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    return level + 1
