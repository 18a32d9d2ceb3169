"""TritonServer: the model of the embedded server inside the real Triton."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from nupic_client._numbers import check_integer, check_wait
from nupic_client._public import publish
from nupic_client._repr import server_repr
from nupic_client.errors import LocalModelError
from nupic_client.local.engine import GUIDE_INPUTS, text_signature
from nupic_client.local.engines.embedding import embedding_signature
from nupic_client.local.engines.weights import Progress, locate_weights
from nupic_client.local.kserve.exposure import listening_host, warn_if_exposed
from nupic_client.local.kserve.tls import ServerTLS
from nupic_client.local.progress import default_progress
from nupic_client.local.triton.config import config_text
from nupic_client.local.triton.install import check_machine
from nupic_client.local.triton.process import TritonProcess
from nupic_client.signature import ModelSignature

__all__ = ["TritonServer"]

_PYTHON_MODEL = Path(__file__).with_name("python_model") / "model.py"
_PACKAGE = Path(__file__).parents[2]
_PATIENCE = 2
"""Seconds that running answers may take to end after a stop."""


def _closed_services() -> str:
    """Return the option that closes the services for files and memory: nobody knows the header that opens them."""
    return f"--grpc-restricted-protocol=shared-memory,trace,logging:nobody={secrets.token_urlsafe(32)}"


class TritonServer:
    """Serve SmolLM2-135M-Instruct with the real Triton Inference Server, on a port of this machine.

    The models ``smollm2.streaming`` (decoupled) and ``smollm2-embed`` are those of `LocalServer`, run by Triton's
    Python backend. Linux x86_64 only; no GPU and no container are needed. The server (350 MB) is installed once into
    its own environment under the cache folder, and the weights (93 MB) are fetched once, if they are not on this
    machine.

    Without ``expose`` only this machine can reach it. Triton's services for files and memory of the machine (shared
    memory, trace and log settings) are closed, and models are not loaded on request. It has neither the tokens nor the
    limits of `LocalServer`; to restrict access, require client certificates with ``tls``.

    Use it as a context manager, or call `start` and `stop` from one thread. It ends with that thread, so start it from
    a long-lived one, such as the main thread.

    Args:
        host: the address to listen on: by default 127.0.0.1, or with ``expose`` every address of this machine.
        port: the port; 0 picks a free one.
        expose: let other machines connect. `start` then gives an `ExposedServerWarning` about its protection.
        tls: the certificates to serve with TLS; `url` then begins with ``grpcs://``.
        threads: threads for the model. More than one only helps on an idle machine.
        context: size of the context, prompt and answer together, in tokens.
        model_path: another GGUF file to serve under the same names.
        progress: called during the installation and the fetch of the weights, on this thread, with the current step,
            the bytes done and the bytes in total. By default as for `LocalServer`.

    Raises:
        ConfigurationError: an option is out of its range; on starting, if the port is not free.
        LocalModelError: on starting, if the server cannot run here, or the model cannot be fetched or loaded.

    Example:
        >>> with TritonServer() as server:  # doctest: +SKIP
        ...     client = StreamingClient("smollm2", url=server.url)
    """

    def __init__(
        self,
        host: str | None = None,
        port: int = 0,
        *,
        expose: bool = False,
        tls: ServerTLS | None = None,
        threads: int = 1,
        context: int = 2048,
        model_path: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> None:
        threads = check_integer("threads", threads, ">= 1", low=1)
        context = check_integer("context", context, ">= 16 tokens", low=16)
        self._host = listening_host(host, expose=expose)
        self._port = port
        self._tls = tls
        self._parameters = {"threads": str(threads), "context": str(context)}
        self._model_path = model_path
        self._progress = progress
        self._folder: Path | None = None
        self._process: TritonProcess | None = None
        self.url: str = ""
        """``host:port`` to connect to, with TLS ``grpcs://host:port``; empty before the first `start`."""

    @property
    def log(self) -> str:
        """The log of the server and its models; empty if it is not running."""
        return self._process.log if self._process is not None else ""

    def start(self) -> Self:
        """Install the server, fetch the weights and start; return when the models are ready. Does nothing if it is running.

        Raises:
            ConfigurationError: the port is not free, or the certificates cannot be used.
            LocalModelError: the server cannot run here, or the model cannot be fetched or loaded.
        """
        if self._process is not None:
            return self
        tls = self._tls
        mutual = tls is not None and tls.client_authorities is not None
        warn_if_exposed(self._host, tls=tls is not None, token=False, mutual=mutual)
        check_machine()
        if tls is not None:
            tls.credentials()  # its error is clear; Triton would report a port in use
        default = default_progress() if self._progress is None else None
        try:
            self._start(self._progress or default)
        finally:
            if default is not None:
                default.end()
        return self

    def _start(self, progress: Progress | None) -> None:
        weights = Path(self._model_path or locate_weights(progress=progress))
        if not weights.is_file():
            raise LocalModelError(f"there is no model file {str(weights)!r}")
        self._folder = Path(tempfile.mkdtemp(prefix="nupic-models-"))
        try:
            self._process = self._made(self._folder, weights.absolute(), progress).start()
        except BaseException:
            self._remove_folder()
            raise
        self.url = self._process.url if self._tls is None else f"grpcs://{self._process.url}"

    def _made(self, folder: Path, weights: Path, progress: Progress | None) -> TritonProcess:
        # Only this package, not its neighbours: Triton's Python has other versions of those.
        (folder / "code").mkdir()
        (folder / "code" / "nupic_client").symlink_to(_PACKAGE)
        text = text_signature("smollm2.streaming", extra_inputs=GUIDE_INPUTS)
        for signature in (text, embedding_signature("smollm2-embed")):
            self._write_model(folder / "models", signature)
        return TritonProcess(
            folder / "models",
            host=self._host,
            port=self._port,
            options=[f"--exit-timeout-secs={_PATIENCE}", _closed_services(), *self._tls_options(folder)],
            secure=self._tls is not None,
            environment={"NUPIC_TRITON_CODE": str(folder / "code"), "NUPIC_SMOLLM2": str(weights)},
            progress=progress,
        )

    def _tls_options(self, folder: Path) -> list[str]:
        tls = self._tls
        if tls is None:
            return []
        files = {"cert": "certificate_chain", "key": "private_key", "root": "client_authorities"}
        for name, field in files.items():
            (folder / name).write_bytes(tls.pem(field) or b"")  # only this user can read the folder
        switch = "grpc-use-ssl" if tls.client_authorities is None else "grpc-use-ssl-mutual"
        options = [
            f"--{switch}=true",
            f"--grpc-server-cert={folder / 'cert'}",
            f"--grpc-server-key={folder / 'key'}",
        ]
        return (
            options if tls.client_authorities is None else [*options, f"--grpc-root-cert={folder / 'root'}"]
        )

    def _write_model(self, models: Path, signature: ModelSignature) -> None:
        version = models / signature.name / "1"
        version.mkdir(parents=True)
        shutil.copy(_PYTHON_MODEL, version)
        text = config_text(replace(signature, parameters=self._parameters))
        (version.parent / "config.pbtxt").write_text(text)

    def wait_until_ready(self, timeout: float | None = None) -> None:
        """Block until the models are loaded. `start` has waited for that already.

        Args:
            timeout: seconds; None waits without limit.

        Raises:
            DeadlineExceededError: not ready in time; it says what was missing.
            LocalModelError: the server is not running, or has ended unexpectedly.
        """
        if self._process is None:
            raise LocalModelError("the Triton server is not running")
        self._process.wait_until_ready(check_wait(timeout))

    def wait(self, timeout: float | None = None) -> bool:
        """Serve until `stop` is called from another thread; return False if ``timeout`` seconds passed.

        Raises:
            LocalModelError: the server ended unexpectedly; the message has the end of its log.
        """
        process = self._process
        if process is None:
            return True
        if not process.wait(check_wait(timeout)):
            return False
        if self._process is process:
            raise process.failed("has ended by itself")
        return True

    def stop(self) -> None:
        """Stop the server with all its processes; running answers get two seconds to end. Idempotent."""
        process, self._process = self._process, None
        try:
            if process is not None:
                process.stop()
        finally:
            self._remove_folder()

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __repr__(self) -> str:
        process = getattr(self, "_process", None)
        return server_repr(self, "stopped" if process is None else "running")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


publish(__name__)
