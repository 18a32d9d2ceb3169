"""The llama engine: text from llama.cpp in this process."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from nupic_client._grpc.queues import get_within
from nupic_client.errors import ConfigurationError
from nupic_client.local.engine import GUIDE, Chunk, EngineError, EngineRequest, InvalidRequestError
from nupic_client.local.engines.guides import guided
from nupic_client.local.engines.llama_host import LONGEST_TOKEN, LlamaHost
from nupic_client.sampling import OPTION_NAMES, SamplingParams

__all__ = ["DEFAULT_MAX_TOKENS", "DEFAULT_TEMPERATURE", "LlamaEngine"]

DEFAULT_TEMPERATURE = 0.2
"""The default of a request: at the usual 0.8 this small model writes nonsense."""
DEFAULT_MAX_TOKENS = 256
"""The default of a request."""

_BATCH = 128
"""Tokens of a prompt in one batch. A cancel takes effect between two batches."""
_POLL = 0.03
"""Seconds between two checks of the cancel flag while the engine is silent."""


class LlamaEngine:
    """A GGUF model under llama.cpp. Thread-safe; requests run one after the other.

    Args:
        threads: threads for the model. More than one only helps on an idle machine.
        context: size of the context in tokens: a prompt and its answer must fit.
        max_tokens: tokens that a request may ask for; None for any number.
    """

    def __init__(self, *, threads: int = 1, context: int = 2048, max_tokens: int | None = None) -> None:
        self._context = context
        self._max_tokens = max_tokens

        def configure(_llama: Any, parameters: Any) -> None:
            parameters.n_ctx = context
            parameters.n_batch = parameters.n_ubatch = _BATCH

        self._host = LlamaHost(threads=threads, configure=configure, prime=_prime)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Load the model, which takes about half a second. Does nothing if one is loaded or it is closed.

        Args:
            path: the GGUF file.

        Raises:
            LocalModelError: the engine is not installed or the file cannot be loaded.
        """
        self._host.load(path)

    def close(self, timeout: float = 10.0) -> None:
        """Stop all generations, wait for their threads and free the model. Idempotent.

        Args:
            timeout: seconds to wait; a generation ends with its next token or its next batch of the prompt.
        """
        self._host.close(timeout)

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has, which takes as long as reading it as a prompt.

        Raises:
            EngineError: it is longer than the context.
        """
        if not text:
            return 0
        request = EngineRequest("", prompt=text, inputs={"max_tokens": 1})
        counts = [chunk.input_tokens for chunk in self.generate(request, threading.Event())]
        return next((count for count in reversed(counts) if count is not None), 0)

    def generate(self, request: EngineRequest, cancelled: threading.Event) -> Iterator[Chunk]:
        """Generate text; see `Engine.generate`."""
        body = self._completion_request(request)
        stop = threading.Event()
        deltas: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._host.start(lambda: self._work(body, deltas, stop))
        reader = _ChunkReader()
        try:
            while not cancelled.is_set():
                try:
                    delta = get_within(deltas, _POLL)
                except queue.Empty:
                    continue
                if delta is None:
                    if self._host.closing.is_set() and not reader.finished:
                        raise EngineError("the server is shutting down")
                    return
                yield from reader.read(delta)
        finally:
            stop.set()

    def _completion_request(self, request: EngineRequest) -> dict[str, Any]:
        """Return the request for the engine, after checking that it fits the context."""
        if not request.prompt:
            raise EngineError("the prompt is empty")
        size = len(request.prompt.encode())
        if (
            size > self._context * LONGEST_TOKEN
        ):  # too long in any case, and counting its tokens would take seconds
            raise EngineError(
                f"the prompt has {size} bytes, which cannot fit: the context of this server holds {self._context}"
                " tokens, prompt and answer together. Shorten the prompt or start the server with a larger context"
            )
        options = _options(request)
        most = self._max_tokens
        if most is not None and (options.max_tokens or 0) > most:
            raise EngineError(f"max_tokens is {options.max_tokens} but this server gives at most {most}")
        usual = DEFAULT_MAX_TOKENS if most is None else min(DEFAULT_MAX_TOKENS, most)
        body = _completion_request(request.prompt, options, options.max_tokens or usual)
        return {**body, **guided(request.inputs)}

    def _work(self, body: Mapping[str, Any], deltas: queue.SimpleQueue[Any], stop: threading.Event) -> None:
        def on_delta(delta: Any) -> bool:
            deltas.put(delta)
            return stop.is_set() or self._host.closing.is_set()

        try:
            self._host.server.handle_completions(body, on_delta)
        except Exception as error:  # noqa: BLE001 - the client must get every error
            deltas.put({"error": {"message": f"{type(error).__name__}: {error}"}})
        finally:
            deltas.put(None)


def _prime(server: Any) -> None:
    server.handle_completions({"prompt": "a", "max_tokens": 1}, lambda _chunk: False)


class _ChunkReader:
    """Turn the engine's deltas, in the form of OpenAI's completions, into chunks."""

    def __init__(self) -> None:
        self._input_tokens: int | None = None
        self._output_tokens = 0
        self.finished = False

    def read(self, delta: Any) -> Iterator[Chunk]:
        for item in delta if isinstance(delta, list) else [delta]:
            if not isinstance(item, Mapping):
                continue
            if "error" in item:
                raise _error(item["error"])
            yield from self._read_one(item)

    def _read_one(self, item: Mapping[str, Any]) -> Iterator[Chunk]:
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
                # Tokens without text of their own: parts of one character, a stop string, the end of the
                # text.
                tokens = max(tokens, usage.get("completion_tokens", 0) - self._output_tokens)
            self._output_tokens += tokens
            yield Chunk(
                text=text.encode() if text else None,
                finish_reason=reason,
                input_tokens=self._input_tokens,
                output_tokens=tokens,
            )


def _error(error: Any) -> EngineError:
    text = _error_text(error)
    if "failed to parse grammar" in text:
        return InvalidRequestError(
            f"{GUIDE} must be a grammar in GBNF with a rule root and no left recursion: llama.cpp cannot parse it"
        )
    return EngineError(text)


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


def _options(request: EngineRequest) -> SamplingParams:
    try:
        return SamplingParams(
            **{name: request.inputs[name] for name in OPTION_NAMES if name in request.inputs}
        )
    except ConfigurationError as error:
        raise EngineError(str(error)) from error


def _completion_request(prompt: str, options: SamplingParams, max_tokens: int) -> dict[str, Any]:
    """Return the request for the engine. Control tokens in the prompt are control tokens."""
    temperature = DEFAULT_TEMPERATURE if options.temperature is None else options.temperature
    body: dict[str, Any] = {
        "prompt": prompt,
        "stream": True,
        "return_progress": True,  # a delta after each batch of the prompt, so that a cancel is seen there
        "temperature": temperature,
        "max_tokens": max_tokens,
        # A partly cached prompt is computed in other batches, whose rounding changes the text: no cache where the
        # same text is expected again.
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
