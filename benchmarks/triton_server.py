"""The real Triton with the models of this folder: ``with real_triton() as url``. Linux on x86_64 only."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nupic_client.local.triton.process import TritonProcess

MODELS = Path(__file__).with_name("models")


@contextlib.contextmanager
def real_triton() -> Iterator[str]:
    """Serve a copy of ``benchmarks/models`` with a real Triton; give its ``host:port``."""
    with tempfile.TemporaryDirectory(prefix="nupic-bench-") as folder:
        models = shutil.copytree(MODELS, Path(folder) / "models")
        with TritonProcess(models) as server:
            yield server.url
