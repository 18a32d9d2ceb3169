"""LocalServer: a small real language model behind Triton's protocol, in this process."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Collection
from types import TracebackType
from typing import Any

from typing_extensions import Self

from nupic_client._numbers import check_integer, check_wait
from nupic_client._public import publish
from nupic_client._repr import server_repr
from nupic_client._text import check_text
from nupic_client.errors import DeadlineExceededError, LocalModelError
from nupic_client.local.engine import GUIDE_INPUTS, EngineError, ServedModel, text_signature
from nupic_client.local.engines.embedding import EmbeddingEngine, embedding_signature
from nupic_client.local.engines.llama import LlamaEngine
from nupic_client.local.engines.llama_host import check_engine
from nupic_client.local.engines.weights import Progress, locate_weights
from nupic_client.local.kserve.auth import check_bearer_tokens
from nupic_client.local.kserve.exposure import listening_host, warn_if_exposed
from nupic_client.local.kserve.limits import ServerLimits
from nupic_client.local.kserve.repository import Repository
from nupic_client.local.kserve.server import InferenceServer
from nupic_client.local.kserve.tls import ServerTLS
from nupic_client.local.progress import default_progress

__all__ = ["LocalServer"]

_log = logging.getLogger("nupic_client.local")

STREAMING_MODEL = "smollm2.streaming"
SINGLE_MODEL = "smollm2"
EMBEDDING_MODEL = "smollm2-embed"


class LocalServer:
    """Serve SmolLM2-135M-Instruct on a port of this machine, for trying, teaching and testing.

    Two models share one engine: ``smollm2.streaming`` (decoupled) and ``smollm2`` (not decoupled). They take all
    sampling options; by default the temperature is 0.2 and an answer has at most 256 tokens. A third model,
    ``smollm2-embed``, turns texts of up to 512 tokens into vectors; its engine is loaded by the first request for it.
    Requests run one after the other. The weights (93 MB) are fetched once if they are not on this machine.

    Without ``expose`` only this machine can reach it, and no request can name a file.

    Use it as a context manager, or call `start` and `stop` from one thread. It always ends with the program.

    Args:
        host: the address to listen on: by default 127.0.0.1, or with ``expose`` every address of this machine.
        port: the port; 0 picks a free one.
        expose: let other machines connect. `start` then gives an `ExposedServerWarning` about its protection.
        tls: the certificates to serve with TLS; `url` then begins with ``grpcs://``.
        bearer_token: the bearer token, or several. Every call must have one, calls about health too.
        limits: bounds for what clients ask for.
        threads: threads for the model. More than one only helps on an idle machine.
        context: size of the context, prompt and answer together, in tokens.
        model_path: another GGUF file to serve under the same names.
        wait: let `start` wait until the model is ready. Otherwise it returns at once, and the model is reported as not
            ready until it is loaded.
        progress: called during the fetch of the weights, on the loading thread, with the current step, the bytes done
            and the bytes in total. By default a line on stderr shows it, if that is a terminal, and the log else, at INFO.

    Raises:
        ConfigurationError: an option is out of its range; on starting, if the port is not free.
        LocalModelError: on starting, if the model cannot be fetched or loaded; the message says what to do.

    Example:
        >>> with LocalServer() as server:  # doctest: +SKIP
        ...     client = StreamingClient("smollm2", url=server.url)
    """

    def __init__(
        self,
        host: str | None = None,
        port: int = 0,
        *,
        expose: bool = False,
        tls: ServerTLS | None = None,
        bearer_token: str | Collection[str] | None = None,
        limits: ServerLimits | None = None,
        threads: int = 1,
        context: int = 2048,
        model_path: str | os.PathLike[str] | None = None,
        wait: bool = True,
        progress: Progress | None = None,
    ) -> None:
        threads = check_integer("threads", threads, ">= 1", low=1)
        context = check_integer("context", context, ">= 16 tokens", low=16)
        self._host = listening_host(host, expose=expose)
        self._port = port
        self._tls = tls
        self._bearer_tokens = check_bearer_tokens(bearer_token)
        self._limits = limits or ServerLimits()
        self._threads = threads
        self._context = context
        self._model_path = model_path
        self._wait = wait
        self._progress = progress
        self._running: _Running | None = None
        self.url: str = ""
        """``host:port`` to connect to, with TLS ``grpcs://host:port``; empty before the first `start`."""

    def start(self) -> Self:
        """Listen, then fetch and load the model. Does nothing if the server is running.

        Raises:
            ConfigurationError: the port is not free, or the certificates cannot be used.
            LocalModelError: the model cannot be fetched or loaded (with ``wait``; else
                `wait_until_ready` raises it).
        """
        if self._running is not None:
            return self
        tls, tokens = self._tls, self._bearer_tokens
        warn_if_exposed(
            self._host,
            tls=tls is not None,
            token=tokens is not None,
            mutual=tls is not None and tls.client_authorities is not None,
        )
        engines = _Engines(threads=self._threads, context=self._context, max_tokens=self._limits.max_tokens)
        running = self._running = _Running(
            engines,
            host=self._host,
            port=self._port,
            credentials=None if tls is None else tls.credentials(),
            bearer_tokens=tokens,
            limits=self._limits,
        )
        self.url = running.server.url if tls is None else f"grpcs://{running.server.url}"
        # Never on this thread: Ctrl-C during the creation of the engine would make it hang for ever.
        running.load_in_background(self._model_path, self._progress)
        if self._wait:
            try:
                self.wait_until_ready()
            except BaseException:
                self.stop()
                raise
        return self

    def wait_until_ready(self, timeout: float | None = None) -> None:
        """Block until the model is loaded.

        Args:
            timeout: seconds; None waits without limit, because the first start fetches the model.

        Raises:
            DeadlineExceededError: not ready in time; it says what was missing.
            LocalModelError: the model could not be fetched or loaded, or the server was stopped.
        """
        running = self._running
        if running is None:
            raise LocalModelError("the local server is not running")
        timeout = check_wait(timeout)
        if not running.loaded.wait(timeout):
            raise DeadlineExceededError(
                f"not ready after {timeout:g} s: {running.step}",
                limit=timeout,
                elapsed=timeout,
                target=self.url,
                status="",
            )
        if running.error is not None:
            raise running.error

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text, as ``count_tokens=`` of `Conversation`. It takes as long as reading a prompt.

        Args:
            text: the text, or a rendered prompt.

        Raises:
            LocalModelError: the server is not running, the model is not loaded, or the text is longer than the context.
        """
        check_text("text", text, parameter="text")
        if self._running is None or not self._running.loaded.is_set() or self._running.error is not None:
            raise LocalModelError(
                "the local server must be ready to count tokens: call start() or wait_until_ready()"
            )
        try:
            return self._running.count_tokens(text)
        except EngineError as error:
            raise LocalModelError(str(error)) from error

    def wait(self, timeout: float | None = None) -> bool:
        """Serve until `stop` is called from another thread; return False if ``timeout`` seconds passed."""
        running = self._running
        return running is None or running.server.wait(check_wait(timeout))

    def stop(self) -> None:
        """Stop at once: cancel what is running, free the model, close the port. Idempotent."""
        running, self._running = self._running, None
        if running is not None:
            running.stop()

    def __repr__(self) -> str:
        running = getattr(self, "_running", None)
        if running is None:
            state = "stopped" if getattr(self, "url", "") else "not started"
        elif not running.loaded.is_set():
            state = "loading"
        else:
            state = "ready" if running.error is None else "failed"
        return server_repr(self, state)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class _Engines:
    """The engines of the models, for text and for embeddings. Both read the same file."""

    def __init__(self, *, threads: int, context: int, max_tokens: int | None) -> None:
        self._text = LlamaEngine(threads=threads, context=context, max_tokens=max_tokens)
        self._vectors = EmbeddingEngine(threads=threads)

    def models(self) -> list[ServedModel]:
        return [
            ServedModel(
                STREAMING_MODEL, text_signature(STREAMING_MODEL, extra_inputs=GUIDE_INPUTS), self._text
            ),
            ServedModel(
                SINGLE_MODEL,
                text_signature(SINGLE_MODEL, decoupled=False, extra_inputs=GUIDE_INPUTS),
                self._text,
            ),
            ServedModel(EMBEDDING_MODEL, embedding_signature(EMBEDDING_MODEL), self._vectors),
        ]

    def count_tokens(self, text: str) -> int:
        return self._text.count_tokens(text)

    def load(self, path: str | os.PathLike[str]) -> None:
        self._text.load(path)
        self._vectors.path = path

    def close(self) -> None:
        self._text.close()
        self._vectors.close()


class _Running:
    """A `LocalServer` between `start` and `stop`."""

    def __init__(self, engines: _Engines, **serving: Any) -> None:
        self._engines = engines
        self._repository = Repository(engines.models())
        self._set_ready(ready=False)
        self._stopping = threading.Event()
        self._loader: threading.Thread | None = None
        self.loaded = threading.Event()
        self.step = "the model is being loaded"
        """The current step of loading."""
        self.error: Exception | None = None
        self.server = InferenceServer(self._repository, **serving)
        self.server.start()
        _all_running.add(self)

    def _set_ready(self, *, ready: bool) -> None:
        self._repository.ready = ready  # the real server is not ready either while a model is missing
        for name in self._repository.models:
            self._repository.set_ready(name, ready=ready)

    def load(self, model_path: str | os.PathLike[str] | None, progress: Progress | None) -> None:
        """Fetch and load the model; an error is kept in ``error``."""
        default = default_progress() if progress is None else None
        show = progress or default

        def report(what: str, done: int, total: int) -> None:
            if self._stopping.is_set():
                raise LocalModelError("the local server was stopped while it fetched the model")
            self.step = f"the model is being fetched ({what}: {done} of {total} bytes)"
            if show is not None:
                show(what, done, total)

        try:
            check_engine()  # before anything is fetched for it
            weights = model_path or locate_weights(progress=report)
            self.step = "the model is being loaded"
            self._engines.load(weights)
            self._set_ready(ready=True)
        except Exception as error:  # noqa: BLE001 - raised by wait_until_ready
            _log.error("the local model is not available: %s", error)
            self.error = error
        finally:
            if default is not None:
                default.end()
            self.loaded.set()

    def count_tokens(self, text: str) -> int:
        """Count with the text's engine."""
        return self._engines.count_tokens(text)

    def load_in_background(
        self, model_path: str | os.PathLike[str] | None, progress: Progress | None
    ) -> None:
        """Start `load` on a thread; `stop` ends it."""
        self._loader = threading.Thread(
            target=self.load, args=(model_path, progress), name="nupic_client.load", daemon=True
        )
        self._loader.start()

    def stop(self) -> None:
        self.server.stop()
        self.stop_loading()
        _all_running.discard(self)

    def stop_loading(self) -> None:
        """Stop fetching, loading and generating, and free the model."""
        self._stopping.set()
        self._engines.close()
        if self._loader is not None:
            self._loader.join(5.0)


_all_running: weakref.WeakSet[_Running] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    # The operating system closes the port: gRPC needs a thread for it, and none can be started now.
    for running in list(_all_running):
        running.stop_loading()


publish(__name__)
