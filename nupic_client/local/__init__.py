"""The embedded server: Triton's protocol on a port of this machine, with a small language model or a script behind it."""

from __future__ import annotations

import logging

# Without a handler of its own, what this package logs would be printed by Python's handler of last resort.
logging.getLogger("nupic_client.local").addHandler(logging.NullHandler())
