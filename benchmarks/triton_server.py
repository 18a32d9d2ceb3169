"""The real Triton with the models of this folder; run with ``python -m benchmarks.triton_server`` (Linux x86_64)."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from nupic_client.local.triton.process import TritonProcess

MODELS = Path(__file__).parent / "models"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="nupic-bench-") as folder:
        models = Path(folder) / "models"
        shutil.copytree(MODELS, models, ignore=shutil.ignore_patterns("__pycache__"))
        process = TritonProcess(models).start()
        try:
            print(process.url.rpartition(":")[2], flush=True)
            sys.stdin.read()  # the parent is gone when this returns
        finally:
            process.stop()


if __name__ == "__main__":
    main()
