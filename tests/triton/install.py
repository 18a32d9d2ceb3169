"""Install the real Triton Inference Server, once, into an environment of its own under the cache folder.

PyPI's nvidia-pytriton bundles ``tritonserver`` and its Python backend for Linux x86_64; no GPU and no
container are needed. The environment stands apart because the package pins numpy < 2.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nupic_client.local.weights import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Installation", "NotSupportedError", "install"]

VERSION = "2.51.0"
PYTHONS = ((3, 9), (3, 10), (3, 11), (3, 12))
"""The Pythons that the Python backend runs with. Its stub for 3.13 needs numpy < 2, without wheels there:
with numpy 2 it misreads texts and crashes."""
INSTALL_TIMEOUT = 900.0

_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_DESCRIBE = """
import json, sys, sysconfig
name = "libpython%d.%d.so.1.0" % sys.version_info[:2]
places = [sysconfig.get_config_var(key) for key in ("LIBDIR", "MULTIARCH")]
print(json.dumps([sys.version_info[:2], name, places]))
"""


class NotSupportedError(Exception):
    """The real server cannot run on this machine; the message says why."""


@dataclass(frozen=True)
class Installation:
    """Where the parts of an installed server are."""

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


@functools.cache
def install() -> Installation:
    """Return the installed server; the first call on a machine installs it, which takes some seconds.

    Several test runs may ask at the same time: one installs, the others wait for it.

    Raises:
        NotSupportedError: this machine cannot run it, or it cannot be installed here.
    """
    check_machine()
    python = _find_python()
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:12]
    # Another interpreter would break the environment: its place and its version are part of the name.
    place = hashlib.sha256(python.program.encode()).hexdigest()[:6]
    name = f"py{python.version[0]}.{python.version[1]}-{place}-{digest}"
    folder = cache_folder() / f"triton-{VERSION}" / name
    with _locked(folder.with_name(f"{name}.lock")):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder, python)
            (folder / "complete").touch()
    return _installation(folder, python)


def check_machine() -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NotSupportedError(
            f"there is a wheel of it for Linux x86_64 only, not {sys.platform} {platform.machine()}"
        )
    libc, version = platform.libc_ver()
    if libc != "glibc" or tuple(map(int, version.split("."))) < (2, 35):
        raise NotSupportedError(
            f"it needs glibc 2.35 or newer, this is {libc or 'another C library'} {version}"
        )


def _find_python() -> _Python:
    """Return a Python with a stub and a shared libpython, which the stub needs; this one if it will do."""
    running = getattr(sys, "_base_executable", sys.executable)
    others = [shutil.which(f"python{major}.{minor}") for major, minor in ((3, 12), (3, 11), (3, 10), (3, 9))]
    for program in (running, *filter(None, others), shutil.which("python3")):
        python = program and _describe(program)
        if python:
            return python
    raise NotSupportedError(
        "there is no Python 3.9 to 3.12 with a shared libpython, e.g. of Debian's libpython3.11"
    )


def _describe(program: str) -> _Python | None:
    done = subprocess.run([program, "-I", "-c", _DESCRIBE], capture_output=True, text=True, check=False)
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


def _make(folder: Path, python: _Python) -> None:
    _run([python.program, "-m", "venv", str(folder)])
    _run(
        [
            *(
                str(folder / "bin" / "python"),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ),
            *("--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(_REQUIREMENTS)),
        ]
    )
    # The Python backend looks for its stub beside its library: copy the library and put the stub there.
    server = _bundle(folder, python)
    backend = folder / "backends" / "python"
    shutil.copytree(server / "backends" / "python", backend)
    stub = server / "python_backend_stubs" / f"{python.version[0]}.{python.version[1]}"
    shutil.copy2(stub / "triton_python_backend_stub", backend)


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=INSTALL_TIMEOUT)
    except subprocess.CalledProcessError as error:
        raise NotSupportedError(
            f"its installation failed: {' '.join(command)}:\n{error.stderr[-2000:]}"
        ) from None
    except subprocess.TimeoutExpired as error:
        raise NotSupportedError(
            f"its installation took more than {error.timeout:g} s: {' '.join(command)}"
        ) from None


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
