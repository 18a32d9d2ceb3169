"""The embedding engine: vectors from llama.cpp in this process, the mean over the model's outputs for each token."""

from __future__ import annotations

import os
import queue
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from nupic_client._grpc.queues import get_within
from nupic_client.errors import LocalModelError
from nupic_client.local.engine import Chunk, EngineError, EngineRequest
from nupic_client.local.engines.llama_host import LONGEST_TOKEN, LlamaHost
from nupic_client.signature import ModelSignature, TensorSpec

__all__ = ["MAX_TOKENS", "WIDTH", "EmbeddingEngine", "embedding_signature"]

WIDTH = 576
"""Numbers in a vector of SmolLM2-135M."""
MAX_TOKENS = 512
"""The most tokens of a text. The mean needs all of them in one batch, which takes memory and cannot be interrupted."""
MAX_BATCH = 64
"""The most texts of a request."""

_POLL = 0.03
"""Seconds between two checks of the cancel flag while the engine computes."""
_TOO_LONG = re.compile(r"input \((\d+) tokens\) is too large")


def embedding_signature(name: str, width: int = WIDTH) -> ModelSignature:
    """Return the signature of an embedding model: texts in, one vector out for each.

    Args:
        name: the model's name.
        width: the length of a vector.
    """
    return ModelSignature(
        name=name,
        inputs={"text_input": TensorSpec("text_input", "BYTES")},
        outputs={"embedding": TensorSpec("embedding", "FP32", (width,))},
        max_batch_size=MAX_BATCH,
        backend="python",
    )


class EmbeddingEngine:
    """A GGUF model under llama.cpp that turns texts into vectors of length 1. Thread-safe.

    The model is loaded by the first request, so that users of text alone do not pay for it. Texts run one after
    the other: with several at once this engine mixes them up (xllamacpp 2026.10).

    Args:
        threads: threads for the model. More than one only helps on an idle machine.
    """

    def __init__(self, *, threads: int = 1) -> None:
        self._host = LlamaHost(threads=threads, configure=_configure, prime=_prime)
        self.path: str | os.PathLike[str] | None = None
        """The GGUF file; requests before it is set are refused."""

    def close(self, timeout: float = 10.0) -> None:
        """Stop running requests, wait for their threads and free the model. Idempotent.

        Args:
            timeout: seconds to wait; a request ends with its current text.
        """
        self._host.close(timeout)

    def generate(self, request: EngineRequest, cancelled: threading.Event) -> Iterator[Chunk]:
        """Embed the texts of a request; see `Engine.generate`."""
        texts = _texts(request)
        if self.path is None:
            raise EngineError("the model is not loaded")
        stop = threading.Event()
        results: queue.SimpleQueue[list[float] | str] = queue.SimpleQueue()
        self._host.start(lambda: self._work(texts, results, stop), loads=True)
        vectors: list[list[float]] = []
        try:
            while len(vectors) < len(texts):
                if cancelled.is_set():
                    return
                try:
                    result = get_within(results, _POLL)
                except queue.Empty:
                    continue
                if isinstance(result, str):
                    raise EngineError(result)
                vectors.append(result)
        finally:
            stop.set()
        yield Chunk(outputs={"embedding": [number for vector in vectors for number in vector]}, final=True)

    def _work(
        self, texts: Sequence[str], results: queue.SimpleQueue[list[float] | str], stop: threading.Event
    ) -> None:
        """Put a vector for each text, or the error."""
        try:
            self._host.load(self.path or "")
            for index, text in enumerate(texts):
                if stop.is_set():
                    return
                if self._host.closing.is_set():
                    results.put("the server is shutting down")
                    return
                results.put(_embed(self._host.server, text, index if len(texts) > 1 else None))
        except (EngineError, LocalModelError) as error:
            results.put(str(error))
        except Exception as error:  # noqa: BLE001 - the client must get every error
            results.put(f"{type(error).__name__}: {error}")


def _configure(llama: Any, parameters: Any) -> None:
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = MAX_TOKENS
    parameters.embedding = True
    parameters.pooling_type = llama.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    parameters.embd_normalize = 2  # normalised to Euclidean length 1


def _prime(server: Any) -> None:
    server.handle_embeddings({"input": "a"})


def _texts(request: EngineRequest) -> list[str]:
    given = request.inputs["text_input"]
    texts = given if isinstance(given, list) else [given]
    for index, text in enumerate(texts):
        which = f"text {index}" if len(texts) > 1 else "the text"
        if not isinstance(text, str):
            raise EngineError(f"{which} is not UTF-8")
        if not text:
            raise EngineError(f"{which} is empty")
        size = len(text.encode())
        if (
            size > MAX_TOKENS * LONGEST_TOKEN
        ):  # too long in any case, and counting its tokens would take seconds
            raise EngineError(
                f"{which} has {size} bytes, more than this model can take: at most {MAX_TOKENS} tokens. Split it"
            )
    return texts


def _embed(server: Any, text: str, index: int | None) -> list[float]:
    answer = server.handle_embeddings({"input": text})
    if "error" not in answer:
        vector: list[float] = answer["data"][0]["embedding"]
        return vector
    message = str(answer["error"].get("message", answer["error"]))
    which = "the text" if index is None else f"text {index}"
    too_long = _TOO_LONG.search(message)
    if too_long:
        raise EngineError(
            f"{which} has {too_long[1]} tokens but this model takes at most {MAX_TOKENS}. Split it"
        )
    raise EngineError(f"{which}: {message}")
