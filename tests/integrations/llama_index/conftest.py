from __future__ import annotations

import gc
import math
import os
import re
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from integrations.counts import count

from nupic_client import ModelSignature, TensorSpec
from nupic_client.local.engine import Chunk, EngineError
from nupic_client.testing import FakeTriton, ServedModel, competent_model, text_signature

SUITES = {
    "test_methods.py": "the eight methods, as the tests of LlamaIndex's Ollama integration",
    "test_callbacks.py": "callbacks, events and secrets, as the tests of llama-index-core",
    "test_tools.py": "tools",
    "test_agents.py": "agents and retrieval",
    "test_structured.py": "structured predictions",
    "test_messages.py": "messages",
    "test_embedding.py": "embeddings",
    "test_embedded_model.py": "with the embedded model",
    "test_page.py": "this page and the example",
}
WIDTH = 64


def pytest_configure(config: pytest.Config) -> None:
    count(config, "llama_index", SUITES, packages=("llama-index-core",))
    if os.environ.get("NUPIC_INTEGRATION") == "llama_index":  # its memories leave their databases open
        left_open = "ignore:.* was deleted before being closed:ResourceWarning"
        config.addinivalue_line("filterwarnings", left_open)


@pytest.fixture(scope="session", autouse=True)
def databases() -> Iterator[None]:
    """The databases are dropped while nobody minds."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def server() -> Iterator[FakeTriton]:
    """A server with a scripted model that calls tools and keeps to a form, and one with embeddings."""
    with FakeTriton(competent_model("qwen3"), models=models()) as server:
        yield server


@pytest.fixture
def llm(server: FakeTriton) -> Iterator[Any]:
    llm = make_llm(server.url)
    yield llm
    llm.client.close()


def make_llm(url: str, **options: Any) -> Any:
    from nupic_client.integrations.llama_index import NupicLLM  # noqa: PLC0415 - it may be missing

    return NupicLLM("qwen3", url, **{"formatter": "qwen3", **options})


def models() -> list[Any]:
    return [text_signature("qwen3", guided=True), ServedModel("words", vectors("words"), WordCounter())]


def vectors(name: str) -> ModelSignature:
    inputs = {"text_input": TensorSpec("text_input", "BYTES")}
    outputs = {"embedding": TensorSpec("embedding", "FP32", (WIDTH,))}
    return ModelSignature(name, inputs, outputs, max_batch_size=8, backend="python")


class WordCounter:
    """Turns a text into a vector of length 1 that has a number for each of its words."""

    def generate(self, request: Any, cancelled: Any) -> Iterator[Chunk]:
        given = request.inputs["text_input"]
        numbers = []
        for text in given if isinstance(given, list) else [given]:
            if "forbidden" in text:
                raise EngineError("a forbidden word")
            vector = [0.0] * WIDTH
            for word in re.findall(r"\w{3,}", text.lower()):
                vector[zlib.crc32(word.encode()) % WIDTH] += 1
            length = math.hypot(*vector) or 1.0
            numbers += [number / length for number in vector]
        yield Chunk(outputs={"embedding": numbers}, final=True)
