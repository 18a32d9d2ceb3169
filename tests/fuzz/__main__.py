"""Search for inputs that break a target: `python -m tests.fuzz stream_raw --seconds 60`. Needs atheris."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_TESTS))

from . import corpus  # noqa: E402 - the targets import from tests/
from .reach import worth_keeping  # noqa: E402
from .targets import TARGETS  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="*", choices=[[], *TARGETS], help="default: all, one after the other")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    arguments = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        parser.error("needs atheris: pip install -e '.[fuzz]' (it has wheels for Linux x86_64)")
    return max([search(target, arguments.seconds) for target in arguments.target or TARGETS])


def search(target: str, seconds: int) -> int:
    """Run one target, keep what it found, and return 1 if an input breaks it."""
    kept = corpus.FOLDER / target
    with tempfile.TemporaryDirectory() as scratch:
        found, broken = Path(scratch, "found"), Path(scratch, "broken")
        found.mkdir()
        broken.mkdir()
        options = [f"-max_total_time={seconds}", "-max_len=6000", "-timeout=30", "-rss_limit_mb=2048"]
        command = [sys.executable, "-m", f"{__package__}.guided", target, *options]
        command += [f"-artifact_prefix={broken}{os.sep}", "-verbosity=0", "-print_final_stats=1"]
        path = os.pathsep.join([str(_TESTS), str(_TESTS.parent), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [*command, str(found), str(kept)], env={**os.environ, "PYTHONPATH": path}, check=False
        )
        culprits = [path.read_bytes() for path in broken.iterdir()]
        if not culprits:
            found_inputs = [path.read_bytes() for path in found.iterdir()]
            new = worth_keeping(TARGETS[target], corpus.inputs(target), found_inputs)
            print(f"{target}: {len(found_inputs)} inputs of interest, {len(new)} reach something new")
            _keep(kept, new, "found")
        _keep(kept, culprits, "broken")
    return int(bool(culprits) or done.returncode != 0)


def _keep(folder: Path, inputs: list[bytes], kind: str) -> None:
    for data in inputs:
        name = f"{kind}_{hashlib.sha256(data).hexdigest()[:10]}"
        (folder / name).write_bytes(data)
        if kind == "broken":
            print(f"{folder / name}: breaks the target; it is in the corpus now, give it a telling name")


if __name__ == "__main__":
    sys.exit(main())
