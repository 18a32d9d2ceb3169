"""Install the real Triton Inference Server, once, into an environment of its own under the cache folder.

PyPI's nvidia-pytriton bundles ``tritonserver`` and its Python backend for Linux x86_64; no GPU and no
container are needed. It gets its own environment because the package pins numpy < 2.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nupic_client.errors import LocalModelError
from nupic_client.local.engines.sizes import folder_size
from nupic_client.local.engines.weights import Progress, cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["VERSION", "Installation", "check_machine", "install"]

VERSION = "2.51.0"
PYTHONS = ((3, 10), (3, 11), (3, 12))
"""The Python versions of the Python backend. Its stub for 3.13 needs numpy < 2, without wheels there:
with numpy 2 it misreads texts and crashes."""

_SIZE = 350_000_000
"""Approximate size of an installation in bytes, for the progress."""

_INTERVAL = 0.25
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_DESCRIBE = """
import json, sys, sysconfig
name = "libpython%d.%d.so.1.0" % sys.version_info[:2]
places = [sysconfig.get_config_var(key) for key in ("LIBDIR", "MULTIARCH")]
print(json.dumps([sys.version_info[:2], name, places]))
"""


@dataclass(frozen=True)
class Installation:
    """The paths of an installed server."""

    server: Path
    """The program ``tritonserver``."""
    python_backend: Path
    """The folder of the Python backend, with the stub of this environment's Python in it."""
    environment: dict[str, str]
    """Variables that the server needs."""


@dataclass(frozen=True)
class _Python:
    program: str
    version: tuple[int, int]
    libpython: Path


def install(progress: Progress | None = None) -> Installation:
    """Return the installed server; the first call on a machine installs it, which takes some seconds.

    Several processes may call this at once: one installs, the others wait for it. An interrupted one leaves nothing
    that is used.

    Args:
        progress: called several times a second during the installation, on this thread, with ``"install"``, the
            bytes done and the bytes in total (approximate).

    Raises:
        LocalModelError: this machine cannot run the server, or it cannot be installed here.
    """
    check_machine()
    python = _find_python()
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:12]
    # Another interpreter would break the environment, so its path and version are part of the name.
    place = hashlib.sha256(python.program.encode()).hexdigest()[:6]
    name = f"py{python.version[0]}.{python.version[1]}-{place}-{digest}"
    folder = cache_folder() / f"triton-{VERSION}" / name
    try:
        with _locked(folder.with_name(f"{name}.lock")):
            if not (folder / "complete").exists():
                shutil.rmtree(folder, ignore_errors=True)
                _make(folder, python, progress or (lambda _what, _done, _total: None))
                (folder / "complete").touch()
    except OSError as error:
        raise LocalModelError(
            f"cannot write the real Triton to {cache_folder()}: {error.strerror or error}. Set $NUPIC_CACHE to a "
            "folder with 500 MB of space"
        ) from error
    return _installation(folder, python)


def check_machine() -> None:
    """Check that the server can run on this machine.

    Raises:
        LocalModelError: it cannot; the message says why.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise LocalModelError(
            "the real Triton cannot run here: there is a wheel of it for Linux x86_64 only, not "
            f"{sys.platform} {platform.machine()}"
        )
    libc, version = platform.libc_ver()
    if libc != "glibc" or tuple(map(int, version.split("."))) < (2, 35):
        raise LocalModelError(
            "the real Triton cannot run here: it needs glibc 2.35 or newer, this is "
            f"{libc or 'another C library'} {version}"
        )


@functools.cache
def _find_python() -> _Python:
    """Return a Python that has a stub and the shared libpython that the stub needs; this one if possible."""
    # Not a virtual environment's, which may be removed.
    running = str(Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}"))
    others = [shutil.which(f"python{major}.{minor}") for major, minor in ((3, 12), (3, 11), (3, 10))]
    for program in (running, *filter(None, others), shutil.which("python3")):
        python = program and _describe(program)
        if python:
            return python
    raise LocalModelError(
        "the real Triton cannot run here: there is no Python 3.10 to 3.12 with a shared libpython, e.g. "
        "Debian's libpython3.11"
    )


def _describe(program: str) -> _Python | None:
    try:
        done = subprocess.run(  # noqa: S603 - an interpreter of this machine, no shell
            [program, "-I", "-c", _DESCRIBE], capture_output=True, text=True, check=False
        )
    except OSError:  # no interpreter at the usual place
        return None
    if done.returncode:
        return None
    version, name, (libdir, multiarch) = json.loads(done.stdout)
    if tuple(version) not in PYTHONS:
        return None
    places = (Path(libdir), Path(libdir, multiarch or ""), Path("/usr/lib", multiarch or ""))
    found = next((place / name for place in places if (place / name).exists()), None)
    return None if found is None else _Python(program, tuple(version), found)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl = importlib.import_module("fcntl")  # POSIX only
        fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed, also by the end of the process
        yield


def _make(folder: Path, python: _Python, progress: Progress) -> None:
    progress("install", 0, _SIZE)
    _run([python.program, "-m", "venv", str(folder)], folder, progress)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-input", "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(_REQUIREMENTS)]
    _run(pip, folder, progress)
    # The Python backend looks for its stub beside its library: copy the library and put the stub there.
    server = _bundle(folder, python)
    backend = folder / "backends" / "python"
    shutil.copytree(server / "backends" / "python", backend)
    stub = server / "python_backend_stubs" / f"{python.version[0]}.{python.version[1]}"
    shutil.copy2(stub / "triton_python_backend_stub", backend)
    progress("install", _SIZE, _SIZE)


def _run(command: Sequence[str], folder: Path, progress: Progress) -> None:
    # pip's output may have the address of a private index, so it is not shown.
    process = subprocess.Popen(  # noqa: S603 - an interpreter of this machine, no shell
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_INTERVAL)
                break
            progress("install", min(folder_size(folder), _SIZE), _SIZE)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        raise LocalModelError(
            "the real Triton cannot be installed; is there a network? To see why: "
            f"{shlex.join(str(part) for part in command)}"
        )


def _packages(folder: Path, python: _Python) -> Path:
    return folder / "lib" / f"python{python.version[0]}.{python.version[1]}" / "site-packages"


def _bundle(folder: Path, python: _Python) -> Path:
    return _packages(folder, python) / "pytriton" / "tritonserver"


def _installation(folder: Path, python: _Python) -> Installation:
    # This environment's own libpython first: another patch level of the same version fails in odd ways. Then
    # the libraries that the copied backend does not find by itself.
    libraries = (python.libpython.parent, _packages(folder, python) / "nvidia_pytriton.libs")
    environment = {
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        # The stub takes its sys.path from the first python3 on the PATH.
        "PATH": f"{folder / 'bin'}:{os.environ.get('PATH', os.defpath)}",
    }
    return Installation(
        server=_bundle(folder, python) / "bin" / "tritonserver",
        python_backend=folder / "backends" / "python",
        environment=environment,
    )
