"""The program ``tritonserver`` as a child of this process."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import Self

from nupic_client.errors import DeadlineExceededError, LocalModelError, RequestError
from nupic_client.local.kserve.address import check_address, free_port, url_of
from nupic_client.local.triton.install import install
from nupic_client.server import ServerClient
from nupic_client.server_url import join_address

if TYPE_CHECKING:
    from types import TracebackType

    from nupic_client.local.engines.weights import Progress

__all__ = ["TritonProcess"]

START_TIMEOUT = 120.0
STOP_TIMEOUT = 15.0
"""Seconds that an idle server may take to stop; usually two to four."""
_LOOK = 0.02
"""Seconds between two checks of a starting server."""
_BY_CHANCE = ("Address already in use", "boost::interprocess::lock_exception")
"""What the log of a failed start has where another one may succeed: another process took the port between its choice and its
use, or the machine was so busy that Triton's Python backend waited for a lock for more than its ten seconds."""
_LOG_END = 8000
"""Characters of the log in an error."""
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the kernel's path
# The server must not outlive this process, however that ends: the kernel kills it with its parent.
_LAUNCH = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"

_running: set[TritonProcess] = set()


@atexit.register
def _kill_all() -> None:
    for process in list(_running):
        process.kill()


class TritonProcess:
    """A ``tritonserver`` on a port of this machine: a context manager, or `start` and `stop` it.

    It ends with the thread that started it, so start it from a long-lived one.

    Args:
        repository: the folder with the models.
        host: the address to listen on.
        port: the port; 0 picks a free one.
        http_port: the port for HTTP, 0 for a free one; None for no HTTP.
        options: further options of the program.
        secure: whether the options switch TLS on.
        environment: further environment variables of the server and its models.
        backends: folders of further backends, named like the backends.
        progress: called during the installation of the server.
    """

    def __init__(
        self,
        repository: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        http_port: int | None = None,
        options: Sequence[str] = (),
        secure: bool = False,
        environment: Mapping[str, str] | None = None,
        backends: Iterable[Path] = (),
        progress: Progress | None = None,
    ) -> None:
        self._repository = repository
        self._host = host
        self._port = port
        self._http_port = http_port
        self._options = options
        self._secure = secure
        self._environment = dict(environment or {})
        self._backends = tuple(backends)
        self._progress = progress
        self.folder: Path = Path()
        """The folder for its log and the temporary files of its models, removed at the end."""
        self.prefix: str = ""
        """The prefix of the names of its shared memory."""
        self.process: subprocess.Popen[bytes] | None = None
        self.url: str = ""
        """``host:port`` to connect to; empty before the start."""
        self.http_url: str = ""
        """``host:port`` of HTTP; empty before the start, and without HTTP."""

    @property
    def log(self) -> str:
        """The log of the server and its models."""
        return (self.folder / "log").read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether the process is running."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> Self:
        """Install the server if needed, start it, and return when all models are ready.

        Raises:
            ConfigurationError: the address is not free.
            LocalModelError: the server cannot run here or does not start; the message has the end of its log.
        """
        check_address(self._host, self._port)
        for left in (2, 1, 0):
            try:
                self._launch()
                self._check_started()
            except LocalModelError as error:
                self.kill()
                taken = self._port and _BY_CHANCE[0] in str(error)
                if left and not taken and any(words in str(error) for words in _BY_CHANCE):
                    continue
                raise
            except BaseException:  # Ctrl-C included
                self.kill()
                raise
            return self
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def terminate(self) -> None:
        """Ask the server to stop (SIGTERM): running requests may finish, new ones are refused. Does not wait."""
        if self.process is not None:
            self.process.terminate()

    def wait_until_ready(self, timeout: float | None = None) -> None:
        """Block until the server listens, which it does when its models are loaded.

        Args:
            timeout: seconds; None waits without limit.

        Raises:
            DeadlineExceededError: not ready in time.
            LocalModelError: the server has ended; the message has the end of its log.
        """
        start = time.monotonic()
        while not self._listens():
            if self.wait(_LOOK):
                raise self.failed("ended before it was ready")
            elapsed = time.monotonic() - start
            if timeout is not None and elapsed > timeout:
                raise DeadlineExceededError(
                    f"not ready after {timeout:g} s: no port is open, so its models are not loaded",
                    limit=timeout,
                    elapsed=elapsed,
                    target=self.url,
                    status="",
                )

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the process ends; return False if ``timeout`` seconds passed first."""
        process = self.process
        if process is not None:
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                return False
        return True

    def stop(self) -> None:
        """Stop the server with all its children and remove its files. Idempotent."""
        self.terminate()
        try:
            self.wait(STOP_TIMEOUT)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill the server and all its children at once (SIGKILL). Idempotent."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it leads a process group of its own
        process.wait()
        for left in _SHARED_MEMORY.glob(f"{self.prefix}*"):
            left.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        _running.discard(self)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> None:
        installation = install(self._progress)
        self.folder = Path(tempfile.mkdtemp(prefix="nupic-triton-"))
        self.prefix = self.folder.name
        backends = self.folder / "backends"
        backends.mkdir()
        (backends / "python").symlink_to(installation.python_backend)
        for backend in self._backends:
            (backends / backend.name).symlink_to(backend)
        port = self._port or free_port(self._host)
        self.url = url_of(self._host, port)
        command = [
            *(sys.executable, "-c", _LAUNCH, str(installation.server)),
            f"--model-repository={self._repository}",
            f"--backend-directory={backends}",
            f"--backend-config=python,shm-region-prefix-name={self.prefix}",
            f"--grpc-address={join_address(self._host, port).rpartition(':')[0]}",
            f"--grpc-port={port}",
            *("--allow-metrics=false", *self._http_options()),
            *self._options,
        ]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - the program that was installed, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **installation.environment, **self.variables()},
                start_new_session=True,
            )
        _running.add(self)

    def _http_options(self) -> list[str]:
        if self._http_port is None:
            return ["--allow-http=false"]
        port = self._http_port or free_port(self._host)
        self.http_url = url_of(self._host, port)
        address = join_address(self._host, port).rpartition(":")[0]
        return ["--allow-http=true", f"--http-address={address}", f"--http-port={port}"]

    def variables(self) -> dict[str, str]:
        """Return the environment variables that are set for the server and its models."""
        return {
            "PYTHONDONTWRITEBYTECODE": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "TMPDIR": str(self.folder),
            **self._environment,
        }

    def _check_started(self) -> None:
        try:
            self.wait_until_ready(START_TIMEOUT)
        except DeadlineExceededError as error:
            raise self.failed(f"is {error.message}") from error
        if self._secure:
            return  # it may require a client certificate; listening implies that its models are loaded
        direct = {"grpc.enable_http_proxy": 0}  # whichever address of this machine it listens on
        with ServerClient(self.url, timeout=START_TIMEOUT, channel_options=direct) as client:
            try:
                ready = client.is_ready()
            except RequestError as error:
                raise self.failed(f"does not answer: {error}") from error
        if not ready:
            raise self.failed("has a model that is not ready")

    def _listens(self) -> bool:
        # Triton listens when its models are loaded.
        for url in filter(None, (self.url, self.http_url)):
            host, _, port = url.rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), 1).close()
            except OSError:
                return False
        return True

    def failed(self, reason: str) -> LocalModelError:
        """Return an error with this reason and the end of the log."""
        return LocalModelError(f"tritonserver {reason}; the end of its log:\n{self.log[-_LOG_END:]}")
