"""Fixtures of these tests; other folders import them from `triton.fixtures` in the same way."""

from __future__ import annotations

from triton.fixtures import needs_triton, pytest_collection_modifyitems, raw, real_triton, serve_real

__all__ = ["needs_triton", "pytest_collection_modifyitems", "raw", "real_triton", "serve_real"]
