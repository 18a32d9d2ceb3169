"""One llama.cpp server object in this process, through ``xllamacpp``: created, used and freed in the right order.

Rules, each learned from a failure: nothing is raised inside the engine's callback (it would be swallowed);
the engine is created and used on worker threads only; all workers end and the engine is deleted before the
interpreter ends (else the process aborts); nobody can use the engine's own HTTP listener.
"""

from __future__ import annotations

import atexit
import importlib
import os
import secrets
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nupic_client.errors import LocalModelError
from nupic_client.local.engine import EngineError

__all__ = ["LONGEST_TOKEN", "LlamaHost", "check_engine"]

LONGEST_TOKEN = 256
"""Upper bound for the bytes of a token: the longest are runs of blanks, 64 here and 128 in other vocabularies."""

_SOCKET_PATH_LIMIT = 100
"""Operating systems allow 104 to 108 bytes for the path of a unix socket."""

_open_hosts: weakref.WeakSet[LlamaHost] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for host in list(_open_hosts):
        host.close()


class LlamaHost:
    """Hold the engine of one model. Thread-safe.

    Args:
        threads: threads for the model.
        configure: called with the module and the engine's parameters, to complete them.
        prime: called with the new engine, for a first small request.
    """

    def __init__(
        self, *, threads: int, configure: Callable[[Any, Any], None], prime: Callable[[Any], object]
    ) -> None:
        self._threads = threads
        self._configure = configure
        self._prime = prime
        self._folder = ""
        self._workers: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self.server: Any = None
        """The engine, None before `load` and after `close`. It is kept while there are workers."""
        self.closing: threading.Event = threading.Event()
        """Set to end all work."""

    def load(self, path: str | os.PathLike[str]) -> None:
        """Load the model, which takes about half a second. Does nothing if one is loaded or it is closed.

        Args:
            path: the GGUF file.

        Raises:
            LocalModelError: the engine is not installed or the file cannot be loaded.
        """
        with self._lock:
            if self.server is not None or self.closing.is_set():
                return
            llama = _import_llama()
            if not Path(path).is_file():
                raise LocalModelError(f"there is no model file {os.fspath(path)!r}")
            _open_hosts.add(self)
            try:
                server = llama.Server(self._parameters(llama, path))
                # Deleting an engine whose loop does not run yet hangs: wait until it answers.
                self._prime(server)
                self.server = server
            except RuntimeError as error:
                self._remove_folder()
                raise LocalModelError(
                    f"cannot load {os.fspath(path)!r}: {error}. Is it a whole GGUF file of a "
                    "model that llama.cpp knows?"
                ) from error

    def _parameters(self, llama: Any, path: str | os.PathLike[str]) -> Any:
        parameters = llama.CommonParams()
        parameters.model.path = os.fspath(path)
        parameters.n_parallel = 1
        parameters.cache_ram_mib = 0
        parameters.verbosity = 0
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = self._threads
        self._configure(llama, parameters)
        # The engine opens an HTTP listener that is not used here. Nobody knows its key, and where there are unix
        # sockets it listens on one in a folder that only this user may enter, instead of on a port.
        parameters.api_keys = [secrets.token_urlsafe(32)]
        if os.name == "posix":
            self._folder = tempfile.mkdtemp(prefix="nupic-")
            socket = f"{self._folder}/engine.sock"
            if len(os.fsencode(socket)) < _SOCKET_PATH_LIMIT:
                parameters.hostnames = [socket]
        return parameters

    def start(self, work: Callable[[], None], *, loads: bool = False) -> None:
        """Run ``work`` on a worker thread.

        Args:
            work: a function that uses `server`; it raises nothing, and ends soon after `closing` is set.
            loads: whether it loads the model itself.

        Raises:
            EngineError: there is no model, or the host is being closed.
        """
        with self._lock:
            if self.closing.is_set() or (self.server is None and not loads):
                raise EngineError("the model is not loaded")
            worker = threading.Thread(target=self._work, args=(work,), name="nupic_client.llama", daemon=True)
            self._workers.add(worker)
            worker.start()

    def _work(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._lock:
                self._workers.discard(threading.current_thread())

    def close(self, timeout: float = 10.0) -> None:
        """Tell the workers to end, wait for them, and free the model. Idempotent.

        Args:
            timeout: seconds to wait.
        """
        self.closing.set()
        deadline = time.monotonic() + timeout
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            self.server = None
            self._remove_folder()
        _open_hosts.discard(self)

    def _remove_folder(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""


def check_engine() -> None:
    """Check that the engine can be used here.

    Raises:
        LocalModelError: it is not installed, or a library of the system is missing.
    """
    _import_llama()


def _import_llama() -> Any:
    try:
        return importlib.import_module("xllamacpp")
    except ModuleNotFoundError as error:
        if error.name != "xllamacpp":
            raise LocalModelError(f"the local engine cannot be imported: {error}") from error
        raise LocalModelError(
            "the local model needs the engine xllamacpp: pip install 'nupic-client[local]', or in a clone of the"
            " repository pip install '.[local]'"
        ) from error
    except ImportError as error:
        hint = ""
        if "libgomp" in str(error):
            hint = ". The system library libgomp.so.1 is missing: apt-get install libgomp1"
        raise LocalModelError(f"the local engine cannot be imported: {error}{hint}") from error
