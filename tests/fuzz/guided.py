"""One target under atheris, which mutates inputs by the coverage they reach. Started by `python -m tests.fuzz`."""

from __future__ import annotations

import sys

import atheris

_, _target, *_options = sys.argv
with atheris.instrument_imports(include=["nupic_client"]):
    from .targets import TARGETS

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *_options], TARGETS[_target])
    atheris.Fuzz()
