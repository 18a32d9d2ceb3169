"""The embedded server: Triton's protocol on a port of this machine, with a small language model behind it.

`LocalServer` serves a real model; `nupic_client.testing.FakeTriton` is the same service with a script
instead.
"""

from __future__ import annotations

import logging

from nupic_client.local.embedded import LocalServer
from nupic_client.local.engine import Engine, EngineError, EngineRequest, Piece, ServedModel, text_signature

__all__ = ["Engine", "EngineError", "EngineRequest", "LocalServer", "Piece", "ServedModel", "text_signature"]

# Without a handler of its own, what this package logs would be printed by Python's handler of last resort.
logging.getLogger("nupic_client.local").addHandler(logging.NullHandler())
