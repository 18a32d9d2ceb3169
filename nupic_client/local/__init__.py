"""The embedded server: Triton's protocol on a port of this machine, with a small language model behind it.

`LocalServer` serves a real model, and `TritonServer` serves the same model inside the real Triton;
`nupic_client.testing.FakeTriton` is the same service with a script in place of the model. Each name is loaded at its
first use, because the engines also run inside Triton, where there is no grpc.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nupic_client.local.embedded import LocalServer
    from nupic_client.local.engine import (
        Chunk,
        Engine,
        EngineError,
        EngineRequest,
        ServedModel,
        text_signature,
    )
    from nupic_client.local.kserve.exposure import ExposedServerWarning
    from nupic_client.local.kserve.limits import ServerLimits
    from nupic_client.local.kserve.tls import ServerTLS
    from nupic_client.local.triton.server import TritonServer

__all__ = [
    "Chunk",
    "Engine",
    "EngineError",
    "EngineRequest",
    "ExposedServerWarning",
    "LocalServer",
    "ServedModel",
    "ServerLimits",
    "ServerTLS",
    "TritonServer",
    "text_signature",
]

_MODULES = {
    "ExposedServerWarning": "kserve.exposure",
    "LocalServer": "embedded",
    "ServerLimits": "kserve.limits",
    "ServerTLS": "kserve.tls",
    "TritonServer": "triton.server",
}

# Without a handler, Python's handler of last resort would print the log records of this package.
logging.getLogger("nupic_client.local").addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'engine')}"), name)


def __dir__() -> list[str]:
    return __all__
