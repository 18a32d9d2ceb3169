"""The corpus: small inputs that were worth keeping, one file each."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"


def files(target: str) -> list[Path]:
    return sorted(path for path in (FOLDER / target).glob("*") if path.is_file())


def inputs(target: str) -> list[bytes]:
    return [path.read_bytes() for path in files(target)]
