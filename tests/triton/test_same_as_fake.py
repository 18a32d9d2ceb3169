"""FakeTriton answers as the real server does: the same raw requests to both, message by message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from nupic_client._core import wire
from nupic_client.backends.signature import ModelSignature, TensorSpec
from nupic_client.testing import FakeTriton, fail, text_signature
from triton.raw import Raw, build, floats, ints, strings

PROMPT = {"text_input": strings("hi")}
SBERT = ModelSignature(
    name="sbert",
    inputs={"text_input": TensorSpec("text_input", "BYTES")},
    outputs={"embedding": TensorSpec("embedding", "FP32", (384,))},
    max_batch_size=64,
    backend="python",
)


@pytest.fixture
def fake() -> Iterator[FakeTriton]:
    models = [text_signature("gpt.streaming"), text_signature("gpt", decoupled=False), SBERT]
    with FakeTriton(models=models) as server:
        yield server


@pytest.fixture
def ask_both(real_triton, raw, fake):
    """Return what lets both servers answer a request with the same script."""
    calls = Raw(fake.url)

    def ask(method: str, request: Any, reply: Any = ("one", " two"), final: str = "separate") -> tuple[Any, Any]:
        answers = []
        fake.stop()
        with FakeTriton(reply, models=[text_signature("gpt.streaming"), text_signature("gpt", decoupled=False), SBERT], final=final) as twin:
            real_triton.reply, real_triton.final = reply, final
            both = (raw, Raw(twin.url))
            for server in both:
                answer = server.stream(request) if method == "ModelStreamInfer" else server.send(method, request)
                answers.append(answer.comparable())
            both[1].close()
        return answers[0], answers[1]

    yield ask
    calls.close()


def broken_string(request: Any, announced: int, data: bytes) -> Any:
    request.raw_input_contents[0] = announced.to_bytes(4, "little") + data
    return request


def with_raw(request: Any, raw: bytes, index: int = 0) -> Any:
    request.raw_input_contents[index] = raw
    return request


def typed(request: Any) -> Any:
    del request.raw_input_contents[:]
    request.inputs[0].contents.bytes_contents.append(b"hi")
    return request


M = "gpt.streaming"
REQUESTS = {
    "plain": build(M, PROMPT),
    "no final asked": build(M, PROMPT, final=False),
    "no id": build(M, PROMPT, request_id=""),
    "version": build(M, PROMPT, version="1"),
    "one output": build(M, PROMPT, outputs=["text_output"]),
    "all outputs": build(M, PROMPT, outputs=["text_output", "finish_reason"]),
    "typed contents": typed(build(M, PROMPT)),
    "extras": build(
        M,
        {
            **PROMPT,
            **{f"return_{name}": ints(True, datatype="BOOL") for name in ("finish_reason", "num_input_tokens", "num_output_tokens")},
        },
    ),
    "parameters": build(M, PROMPT, parameters={"mine": "x", "number": 3, "flag": True}),
    "not decoupled": build("gpt", PROMPT),
    "not decoupled no final asked": build("gpt", PROMPT, final=False),
    "sbert wrong shape": build("sbert", {"text_input": strings("a", "b", shape=(1, 2))}),
    "unknown model": build("nope", PROMPT),
    "unknown version": build(M, PROMPT, version="9"),
    "odd version": build(M, PROMPT, version="x"),
    "wrong input name": build(M, {"prompt": strings("hi")}),
    "further input": build(M, {**PROMPT, "prompt": strings("hi")}),
    "duplicate input": None,
    "wrong type": build(M, {"text_input": ints(1)}),
    "wrong type of an option": build(M, {**PROMPT, "max_tokens": floats(1.0)}),
    "unknown type": None,
    "wrong shape": build(M, {"text_input": strings("a", "b", shape=(2,))}),
    "too many dimensions": build(M, {"text_input": strings("a", shape=(1, 1))}),
    "no dimensions": build(M, {"text_input": strings("a", shape=())}),
    "negative": build(M, {"text_input": strings("a", shape=(-1,))}),
    "zero": build(M, {"text_input": strings(shape=(0,))}),
    "empty list": build(M, {**PROMPT, "stop": strings(shape=(0,))}),
    "no inputs": build(M, {}),
    "no inputs no id": build(M, {}, request_id=""),
    "only an option": build(M, {"max_tokens": ints(3)}),
    "unknown output": build(M, PROMPT, outputs=["nope"]),
    "reserved parameter": build(M, PROMPT, parameters={"triton_foo": "x"}),
    "final parameter not bool": build(M, PROMPT, final=False, parameters={wire.EMPTY_FINAL_PARAMETER: "true"}),
    "short string": broken_string(build(M, PROMPT), 50, b"short"),
    "short length": with_raw(build(M, PROMPT), b"ab"),
    "empty buffer": with_raw(build(M, PROMPT), b""),
    "two elements": with_raw(build(M, PROMPT), wire.encode_tensor("BYTES", ["a", "b"])),
    "number too short": with_raw(build(M, {**PROMPT, "max_tokens": ints(1)}), b"\1\0", 1),
    "number too long": with_raw(build(M, {**PROMPT, "max_tokens": ints(1)}), b"\1\0\0\0\1\0\0\0", 1),
    "buffer missing": None,
    "buffer too many": None,
    "not text": with_raw(build(M, PROMPT), wire.encode_tensor("BYTES", [b"\xff\xfe"])),
}
x = build(M, PROMPT)
x.inputs.add().CopyFrom(x.inputs[0])
x.raw_input_contents.append(x.raw_input_contents[0])
REQUESTS["duplicate input"] = x
x = build(M, PROMPT)
x.inputs[0].datatype = "TEXT"
REQUESTS["unknown type"] = x
x = build(M, {**PROMPT, "max_tokens": ints(1)})
del x.raw_input_contents[1:]
REQUESTS["buffer missing"] = x
x = build(M, PROMPT)
x.raw_input_contents.append(b"")
REQUESTS["buffer too many"] = x


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request(ask_both, case):
    real, fake = ask_both("ModelStreamInfer", REQUESTS[case])
    assert fake == real


REPLIES = {"none": (), "one": ("one",), "empty text": ("",), "two": ("one", " two"), "bytes": (b"\xf0\x9f", b"\x8e\x89"), "fail": (fail("engine exploded"),), "late fail": ("one", "two", fail("engine exploded")), "multiline": (fail("a\nb"),)}


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("final", ["separate", "with_last"])
@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("model", ["gpt.streaming", "gpt"])
def test_an_answer(ask_both, reply, final, asked, model):
    real, fake = ask_both("ModelStreamInfer", build(model, PROMPT, final=asked), REPLIES[reply], final)
    assert fake == real


UNARY = {
    "good": build("gpt", PROMPT),
    "no final": build("gpt", PROMPT, final=False),
    "decoupled": build(M, PROMPT),
    "decoupled wrong input": build(M, {"prompt": strings("hi")}),
    "unknown model": build("nope", PROMPT),
    "unknown version": build("gpt", PROMPT, version="7"),
    "wrong input": build("gpt", {"x": strings("hi")}),
    "wrong type": build("gpt", {"text_input": floats(1.0)}),
    "batch": build("sbert", {"text_input": strings(*"abc", shape=(3, 2))}),
    "too big": build("sbert", {"text_input": strings(*("a" for _ in range(65)), shape=(65, 1))}),
    "wrong shape": build("sbert", {"text_input": strings("a", "b", shape=(1, 2))}),
    "no batch": build("sbert", {"text_input": strings("a", shape=(1,))}),
    "zero batch": build("sbert", {"text_input": strings(shape=(0, 1))}),
    "short": broken_string(build("gpt", PROMPT), 50, b"short"),
    "reserved": build("gpt", PROMPT, parameters={"triton_foo": 1}),
    "output": build("gpt", PROMPT, outputs=["nope"]),
    "no inputs": build("sbert", {}),
}


@pytest.mark.parametrize("case", UNARY)
def test_a_unary_call(ask_both, case):
    real, fake = ask_both("ModelInfer", UNARY[case])
    assert fake == real


def test_a_unary_call_fails(ask_both):
    real, fake = ask_both("ModelInfer", build("gpt", PROMPT), (fail("engine exploded"),))
    assert fake == real


DESCRIPTIONS = [
    (method, fields)
    for method in ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics")
    for fields in (
        {"name": "gpt.streaming"},
        {"name": "gpt", "version": "1"},
        {"name": "sbert"},
        {"name": "nope"},
        {"name": "gpt", "version": "9"},
        {"name": "gpt", "version": "x"},
        {"name": ""},
    )
]
DESCRIPTIONS += [(method, {}) for method in ("ServerLive", "ServerReady", "ServerMetadata")]
DESCRIPTIONS += [("RepositoryIndex", {}), ("RepositoryIndex", {"ready": True}), ("RepositoryIndex", {"repository_name": "x"})]
DESCRIPTIONS += [(m, {"model_name": n}) for m in ("RepositoryModelLoad", "RepositoryModelUnload") for n in ("gpt", "nope")]


@pytest.mark.parametrize(("method", "fields"), DESCRIPTIONS)
def test_a_description(ask_both, method, fields):
    real, fake = ask_both(method, wire.METHODS[method][0](**fields))
    assert fake == real
