"""NVIDIA's perf_analyzer, where `nox -s perf` has brought it."""

from __future__ import annotations

import os

__all__ = ["PROGRAM"]

PROGRAM = os.environ.get("NUPIC_PERF_ANALYZER", "")
