"""The llama engine: llama.cpp in this process, through ``xllamacpp``.

Laws, each of them learned from a failure: nothing is raised inside the engine's callback (it would be
swallowed); every generation runs on a worker thread; before the interpreter ends all workers have ended and
the engine is deleted (else the process aborts); the engine's own HTTP listener is closed to everybody.
"""

from __future__ import annotations

import atexit
import importlib
import os
import queue
import secrets
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nupic_client.errors import ConfigurationError, LocalModelError
from nupic_client.local.engine import EngineError, EngineRequest, Piece
from nupic_client.sampling import OPTION_NAMES, SamplingParams

__all__ = ["DEFAULT_MAX_TOKENS", "DEFAULT_TEMPERATURE", "LlamaEngine"]

DEFAULT_TEMPERATURE = 0.2
"""Where a request sets none: this small model talks nonsense at the usual 0.8."""
DEFAULT_MAX_TOKENS = 256
"""Where a request sets none."""

_BATCH = 128
"""Tokens of a prompt that are worked on at once. A cancel takes effect between two batches."""
_POLL = 0.03
"""Seconds between two looks at the cancel flag while the engine says nothing."""
_SOCKET_PATH_LIMIT = 100
"""Operating systems allow 104 to 108 bytes for the path of a unix socket."""

_open_engines: weakref.WeakSet[LlamaEngine] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for engine in list(_open_engines):
        engine.close()


class LlamaEngine:
    """A GGUF model under llama.cpp. Thread-safe; requests are worked on one after the other.

    Args:
        threads: threads to compute with. More than one only helps on an idle machine.
        context: size of the context in tokens: a prompt and its answer must fit.
    """

    def __init__(self, *, threads: int = 1, context: int = 2048) -> None:
        self._threads = threads
        self._context = context
        self._server: Any = None
        self._folder = ""
        self._closing = threading.Event()
        self._workers: set[threading.Thread] = set()
        self._lock = threading.Lock()

    def load(self, path: str | os.PathLike[str]) -> None:
        """Load the model, which takes about half a second. Does nothing if one is loaded or it is closed.

        Args:
            path: the GGUF file.

        Raises:
            LocalModelError: the engine is not installed or the file cannot be loaded.
        """
        with self._lock:
            if self._server is not None or self._closing.is_set():
                return
            llama = _import_llama()
            if not Path(path).is_file():
                raise LocalModelError(f"there is no model file {os.fspath(path)!r}")
            _open_engines.add(self)
            try:
                server = llama.Server(self._parameters(llama, path))
                # An engine whose loop does not run yet hangs when it is deleted: wait until it answers.
                server.handle_completions({"prompt": "a", "max_tokens": 1}, lambda _chunk: False)
                self._server = server
            except RuntimeError as error:
                self._remove_folder()
                raise LocalModelError(
                    f"cannot load {os.fspath(path)!r}: {error}. Is it a whole GGUF file of a "
                    "model that llama.cpp knows?"
                ) from error

    def _parameters(self, llama: Any, path: str | os.PathLike[str]) -> Any:
        parameters = llama.CommonParams()
        parameters.model.path = os.fspath(path)
        parameters.n_ctx = self._context
        parameters.n_parallel = 1
        parameters.n_batch = parameters.n_ubatch = _BATCH
        parameters.cache_ram_mib = 0
        parameters.verbosity = 0
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = self._threads
        # The engine opens an HTTP listener that we do not use. Nobody knows the key, and where there are unix
        # sockets it listens on one in a folder that only this user may enter, instead of on a port.
        parameters.api_keys = [secrets.token_urlsafe(32)]
        if os.name == "posix":
            self._folder = tempfile.mkdtemp(prefix="nupic-")
            socket = f"{self._folder}/engine.sock"
            if len(os.fsencode(socket)) < _SOCKET_PATH_LIMIT:
                parameters.hostnames = [socket]
        return parameters

    def close(self, timeout: float = 10.0) -> None:
        """Stop every generation, wait for their threads and free the model. Idempotent.

        Args:
            timeout: seconds to wait; a generation ends with its next token or its next batch of the prompt.
        """
        self._closing.set()
        deadline = time.monotonic() + timeout
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            self._server = None
            self._remove_folder()
        _open_engines.discard(self)

    def _remove_folder(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""

    def generate(self, request: EngineRequest, cancelled: threading.Event) -> Iterator[Piece]:
        """Generate text; see `Engine.generate`."""
        body = _completion_request(request)
        stop = threading.Event()
        chunks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._start(body, chunks, stop)
        reader = _ChunkReader()
        try:
            while not cancelled.is_set():
                try:
                    chunk = chunks.get(timeout=_POLL)
                except queue.Empty:
                    continue
                if chunk is None:
                    if self._closing.is_set() and not reader.finished:
                        raise EngineError("the server is shutting down")
                    return
                yield from reader.read(chunk)
        finally:
            stop.set()

    def _start(self, body: Mapping[str, Any], chunks: queue.SimpleQueue[Any], stop: threading.Event) -> None:
        with self._lock:
            if self._server is None or self._closing.is_set():
                raise EngineError("the model is not loaded")
            worker = threading.Thread(
                target=self._work, args=(body, chunks, stop), name="nupic_client.llama", daemon=True
            )
            self._workers.add(worker)
            worker.start()

    def _work(self, body: Mapping[str, Any], chunks: queue.SimpleQueue[Any], stop: threading.Event) -> None:
        server = self._server  # there while this thread is among the workers

        def on_chunk(chunk: Any) -> bool:
            chunks.put(chunk)
            return stop.is_set() or self._closing.is_set()

        try:
            server.handle_completions(body, on_chunk)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client must hear of it
            chunks.put({"error": {"message": f"{type(error).__name__}: {error}"}})
        finally:
            del server  # this thread must not be the one that frees the engine
            chunks.put(None)
            with self._lock:
                self._workers.discard(threading.current_thread())


class _ChunkReader:
    """Turn the engine's chunks, which are those of OpenAI's completions, into pieces."""

    def __init__(self) -> None:
        self._input_tokens: int | None = None
        self._output_tokens = 0
        self.finished = False

    def read(self, chunk: Any) -> Iterator[Piece]:
        for item in chunk if isinstance(chunk, list) else [chunk]:
            if not isinstance(item, Mapping):
                continue
            if "error" in item:
                raise EngineError(_error_text(item["error"]))
            yield from self._read_one(item)

    def _read_one(self, item: Mapping[str, Any]) -> Iterator[Piece]:
        progress = item.get("prompt_progress")
        if progress:
            self._input_tokens = progress.get("total")
        usage = item.get("usage") or {}
        self._input_tokens = usage.get("prompt_tokens", self._input_tokens)
        for choice in item.get("choices", ()):
            text = choice.get("text") or ""
            reason = choice.get("finish_reason")
            self.finished = self.finished or reason is not None
            if not text and reason is None:
                continue
            tokens = 1 if text else 0
            if reason is not None:
                # Tokens that gave no text of their own: parts of one character, a stop string, the end of the
                # text.
                tokens = max(tokens, usage.get("completion_tokens", 0) - self._output_tokens)
            self._output_tokens += tokens
            yield Piece(
                text=text.encode() if text else None,
                finish_reason=reason,
                input_tokens=self._input_tokens,
                output_tokens=tokens,
            )


def _error_text(error: Any) -> str:
    if not isinstance(error, Mapping):
        return str(error)
    if error.get("type") == "exceed_context_size_error":
        return (
            f"the prompt has {error.get('n_prompt_tokens')} tokens but the context of this server holds "
            f"{error.get('n_ctx')}, prompt and answer together. Shorten the prompt or start the server "
            "with a larger context"
        )
    return str(error.get("message", error))


def _completion_request(request: EngineRequest) -> dict[str, Any]:
    """Return the request for the engine. Control tokens in the prompt are control tokens."""
    if not request.prompt:
        raise EngineError("the prompt is empty")
    try:
        options = SamplingParams(
            **{name: request.inputs[name] for name in OPTION_NAMES if name in request.inputs}
        )
    except ConfigurationError as error:
        raise EngineError(str(error)) from error
    temperature = DEFAULT_TEMPERATURE if options.temperature is None else options.temperature
    body: dict[str, Any] = {
        "prompt": request.prompt,
        "stream": True,
        "return_progress": True,  # a chunk after each batch of the prompt, so that a cancel is seen there
        "temperature": temperature,
        "max_tokens": options.max_tokens or DEFAULT_MAX_TOKENS,
        # A prompt that is partly cached is computed in other batches, and rounding then changes the text: not
        # where the same text is expected again.
        "cache_prompt": temperature > 0 and options.seed is None,
    }
    if options.stop_strings:
        body["stop"] = list(options.stop_strings)
    if options.seed is not None:
        # The engine's seeds have 32 bits, of which the highest value means "pick one".
        body["seed"] = (options.seed ^ (options.seed >> 32)) % 0xFFFFFFFF
    renamed = {"repetition_penalty": "repeat_penalty"}
    for name in ("top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"):
        value = getattr(options, name)
        if value is not None:
            body[renamed.get(name, name)] = value
    return body


def _import_llama() -> Any:
    try:
        return importlib.import_module("xllamacpp")
    except ModuleNotFoundError as error:
        if error.name != "xllamacpp":
            raise LocalModelError(f"the local engine cannot be imported: {error}") from error
        raise LocalModelError(
            "the local model needs the engine xllamacpp: pip install 'nupic-client[local]'"
        ) from error
    except ImportError as error:
        hint = ""
        if "libgomp" in str(error):
            hint = ". The system library libgomp.so.1 is missing: apt-get install libgomp1"
        raise LocalModelError(f"the local engine cannot be imported: {error}{hint}") from error
