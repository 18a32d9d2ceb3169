"""FakeTriton answers as the real server does: the same raw requests to both, compared message by message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import encode_tensor
from nupic_client.signature import ModelSignature, TensorSpec
from nupic_client.testing import FakeTriton, fail, text_signature
from triton.raw import Answer, Raw, build, floats, ints, strings

GPT = "gpt.streaming"
PROMPT = {"text_input": strings("hi")}
SWITCHES = ("finish_reason", "num_input_tokens", "num_output_tokens")
SBERT = ModelSignature(
    name="sbert",
    inputs={"text_input": TensorSpec("text_input", "BYTES")},
    outputs={"embedding": TensorSpec("embedding", "FP32", (384,))},
    max_batch_size=64,
    backend="python",
)


def serve_fake(reply: Any = (), final: str = "separate") -> FakeTriton:
    models = (text_signature("gpt", decoupled=False), text_signature("gpt.streaming"), SBERT)
    return FakeTriton(reply, models=models, final=final)


Ask = Callable[..., "tuple[Any, Any]"]


@pytest.fixture
def ask(real_triton, raw) -> Ask:
    """Return what sends one request to both servers and returns both answers as plain values."""

    def ask_both(
        method: str, request: Any, reply: Any = ("one", " two"), final: str = "separate"
    ) -> tuple[Any, Any]:
        real_triton.reply, real_triton.final = reply, final
        with serve_fake(reply, final) as server:
            twin = Raw(server.url)
            real, fake = (
                calls.stream(request) if method == "ModelStreamInfer" else calls.send(method, request)
                for calls in (raw, twin)
            )
            twin.close()
        return real, fake

    return ask_both


def plain(answer: Answer) -> Any:
    """Return the answer as plain values."""
    return [MessageToDict(message) for message in answer.messages], answer.code, answer.details


# --- requests on streams


def edited(request: Any, edit: Callable[[Any], object]) -> Any:
    edit(request)
    return request


def with_content(raw: bytes, index: int = 0) -> Callable[[Any], object]:
    return lambda request: request.raw_input_contents.__setitem__(index, raw)


def with_typed_content(request: Any) -> None:
    del request.raw_input_contents[:]
    request.inputs[0].contents.bytes_contents.append(b"hi")


def with_no_content(request: Any) -> None:
    del request.raw_input_contents[:]


def with_typed_content_of(field: str, *values: Any, index: int = 0) -> Callable[[Any], object]:
    def edit(request: Any) -> None:
        del request.raw_input_contents[:]
        for number, item in enumerate(request.inputs):
            item.contents.SetInParent()
            getattr(item.contents, field if number == index else "bytes_contents").extend(
                values if number == index else [b"hi"]
            )

    return edit


def with_the_input_twice(request: Any) -> None:
    request.inputs.add().CopyFrom(request.inputs[0])
    request.raw_input_contents.append(request.raw_input_contents[0])


LIMITED = {**PROMPT, "max_tokens": ints(1)}
REQUESTS = {
    "good": build(GPT, PROMPT),
    "the final mark not asked for": build(GPT, PROMPT, final=False),
    "without an id": build(GPT, PROMPT, request_id=""),
    "the version": build(GPT, PROMPT, version="1"),
    "one output": build(GPT, PROMPT, outputs=["text_output"]),
    "two outputs": build(GPT, PROMPT, outputs=["text_output", "finish_reason"]),
    "typed content": edited(build(GPT, PROMPT), with_typed_content),
    "typed content of a number": edited(
        build(GPT, LIMITED), with_typed_content_of("int_contents", 1, index=1)
    ),
    "no typed content": edited(build(GPT, PROMPT), with_typed_content_of("bytes_contents")),
    "too much typed content": edited(build(GPT, PROMPT), with_typed_content_of("bytes_contents", b"a", b"b")),
    "too many typed numbers": edited(
        build(GPT, LIMITED), with_typed_content_of("int_contents", 1, 2, index=1)
    ),
    "typed content of another type": edited(build(GPT, PROMPT), with_typed_content_of("int_contents", 1)),
    "typed and raw content": edited(
        build(GPT, PROMPT), lambda request: request.inputs[0].contents.bytes_contents.append(b"hi")
    ),
    "no content at all": edited(build(GPT, PROMPT), with_no_content),
    "all switches": build(
        GPT, {**PROMPT, **{f"return_{name}": ints(True, datatype="BOOL") for name in SWITCHES}}
    ),
    "a limit": build(GPT, LIMITED),
    "parameters of its own": build(GPT, PROMPT, parameters={"mine": "x", "number": 3, "flag": True}),
    "not UTF-8": edited(build(GPT, PROMPT), with_content(encode_tensor("BYTES", [b"\xff\xfe"]))),
    "a buffer too many": edited(build(GPT, PROMPT), lambda request: request.raw_input_contents.append(b"")),
    "an empty list": build(GPT, {**PROMPT, "stop": strings(shape=(0,))}),
    "a model that is not decoupled": build("gpt", PROMPT),
    "a batch over the stream": build("sbert", {"text_input": strings("a", "b", shape=(1, 2))}),
    "an unknown model": build("nope", PROMPT),
    "an unknown version": build(GPT, PROMPT, version="9"),
    "a version that is no number": build(GPT, PROMPT, version="x"),
    "a version that begins with a number": build(GPT, PROMPT, version=" +1x"),
    "a version below zero": build(GPT, PROMPT, version="-1"),
    "version zero": build(GPT, PROMPT, version="0"),
    "a version that is too large": build(GPT, PROMPT, version=str(2**63)),
    "an unknown model and a version that is no number": build("nope", PROMPT, version="x"),
    "a wrong input": build(GPT, {"prompt": strings("hi")}),
    "a wrong input besides": build(GPT, {**PROMPT, "prompt": strings("hi")}),
    "the same input twice": edited(build(GPT, PROMPT), with_the_input_twice),
    "a wrong data type": build(GPT, {"text_input": ints(1)}),
    "a wrong data type of an option": build(GPT, {**PROMPT, "max_tokens": floats(1.0)}),
    "a data type that does not exist": edited(
        build(GPT, PROMPT), lambda request: setattr(request.inputs[0], "datatype", "TEXT")
    ),
    "a wrong shape": build(GPT, {"text_input": strings("a", "b", shape=(2,))}),
    "a dimension too many": build(GPT, {"text_input": strings("a", shape=(1, 1))}),
    "no dimensions": build(GPT, {"text_input": strings("a", shape=())}),
    "a negative dimension": build(GPT, {"text_input": strings("a", shape=(-1,))}),
    "a dimension below minus one": build(GPT, {"text_input": strings("a", shape=(-2,))}),
    "an empty prompt tensor": build(GPT, {"text_input": strings(shape=(0,))}),
    "no inputs": build(GPT, {}),
    "no inputs and no id": build(GPT, {}, request_id=""),
    "an option without the prompt": build(GPT, {"max_tokens": ints(3)}),
    "an unknown output": build(GPT, PROMPT, outputs=["nope"]),
    "a reserved parameter": build(GPT, PROMPT, parameters={"triton_foo": "x"}),
    "the final parameter is no boolean": build(
        GPT, PROMPT, final=False, parameters={wire.EMPTY_FINAL_PARAMETER: "true"}
    ),
    "a string cut short": edited(build(GPT, PROMPT), with_content(b"\x32\0\0\0short")),
    "a length prefix cut short": edited(build(GPT, PROMPT), with_content(b"ab")),
    "no element": edited(build(GPT, PROMPT), with_content(b"")),
    "an element too many": edited(build(GPT, PROMPT), with_content(encode_tensor("BYTES", ["a", "b"]))),
    "a second length prefix cut short": edited(build(GPT, PROMPT), with_content(b"\1\0\0\0ab")),
    "the last of two elements missing": edited(
        build(GPT, {**PROMPT, "stop": strings("a", "b", shape=(2,))}), with_content(b"\x0a\0\0\0ab", 1)
    ),
    "a number cut short": edited(build(GPT, LIMITED), with_content(b"\1\0", 1)),
    "a number too many": edited(build(GPT, LIMITED), with_content(b"\1\0\0\0\1\0\0\0", 1)),
    "a buffer missing": edited(build(GPT, LIMITED), lambda request: request.raw_input_contents.pop()),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_on_a_stream(ask, case):
    real, fake = ask("ModelStreamInfer", REQUESTS[case])
    assert plain(fake) == plain(real)


REPLIES = {
    "no token": (),
    "one token": ("one",),
    "an empty token": ("",),
    "two tokens": ("one", " two"),
    "half characters": (b"\xf0\x9f", b"\x8e\x89"),
    "an error": (fail("engine exploded"),),
    "an error after tokens": ("one", "two", fail("engine exploded")),
    "an error of two lines": (fail("first\nsecond"),),
}


@pytest.mark.parametrize("asked", [True, False], ids=["asked", "not asked"])
@pytest.mark.parametrize("final", ["separate", "with_last"])
@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("model", ["gpt.streaming", "gpt"])
def test_the_end_of_an_answer(ask, model, reply, final, asked):
    real, fake = ask("ModelStreamInfer", build(model, PROMPT, final=asked), REPLIES[reply], final)
    assert plain(fake) == plain(real)


# --- unary calls

UNARY = {
    "good": build("gpt", PROMPT, final=False),
    "good, the final mark asked for": build("gpt", PROMPT),
    "a decoupled model": build(GPT, PROMPT),
    "a decoupled model and a wrong input": build(GPT, {"prompt": strings("hi")}),
    "an unknown model": build("nope", PROMPT),
    "an unknown version": build("gpt", PROMPT, version="7"),
    "a wrong input": build("gpt", {"x": strings("hi")}),
    "a wrong data type": build("gpt", {"text_input": floats(1.0)}),
    "a batch with a wrong shape": build("sbert", {"text_input": strings(*"abc", shape=(3, 2))}),
    "a batch that is too big": build("sbert", {"text_input": strings(*["a"] * 65, shape=(65, 1))}),
    "a wrong shape": build("sbert", {"text_input": strings("a", "b", shape=(1, 2))}),
    "no batch dimension": build("sbert", {"text_input": strings("a", shape=(1,))}),
    "no dimensions": build("sbert", {"text_input": strings("a", shape=())}),
    "an empty batch": build("sbert", {"text_input": strings(shape=(0, 1))}),
    "a string cut short": edited(build("gpt", PROMPT), with_content(b"\x32\0\0\0short")),
    "a reserved parameter": build("gpt", PROMPT, parameters={"triton_foo": 1}),
    "an unknown output": build("gpt", PROMPT, outputs=["nope"]),
    "no inputs": build("sbert", {}),
}


@pytest.mark.parametrize("case", UNARY)
def test_a_unary_call(ask, case):
    real, fake = ask("ModelInfer", UNARY[case])
    assert plain(fake) == plain(real)


def test_a_unary_call_to_a_model_that_fails(ask):
    real, fake = ask("ModelInfer", build("gpt", PROMPT), (fail("engine exploded"),))
    assert plain(fake) == plain(real)


# --- descriptions

NAMES = {
    "gpt": {"name": "gpt"},
    "gpt version 1": {"name": "gpt", "version": "1"},
    "gpt.streaming": {"name": "gpt.streaming"},
    "sbert": {"name": "sbert"},
    "nope": {"name": "nope"},
    "gpt version 9": {"name": "gpt", "version": "9"},
    "gpt version x": {"name": "gpt", "version": "x"},
    "nope version x": {"name": "nope", "version": "x"},
    "gpt version -1": {"name": "gpt", "version": "-1"},
    "no name": {},
}


@pytest.mark.parametrize("case", NAMES)
def test_whether_a_model_is_ready(ask, case):
    real, fake = ask("ModelReady", wire.pb.ModelReadyRequest(**NAMES[case]))
    assert plain(fake) == plain(real)


@pytest.mark.parametrize("case", NAMES)
def test_the_metadata_of_a_model(ask, case):
    real, fake = ask("ModelMetadata", wire.pb.ModelMetadataRequest(**NAMES[case]))
    assert plain(fake) == plain(real)


@pytest.mark.parametrize("case", NAMES)
def test_the_configuration_of_a_model(ask, case):
    real, fake = ask("ModelConfig", wire.pb.ModelConfigRequest(**NAMES[case]))
    for message in real.messages:
        message.config.ClearField("dynamic_batching")  # the repository's own
        if not message.config.model_transaction_policy.decoupled:  # its file may say so or leave it out
            message.config.ClearField("model_transaction_policy")
    assert plain(fake) == plain(real)


@pytest.mark.parametrize("case", ["nope", "gpt version 9", "gpt version x", "nope version x"])
def test_the_statistics_of_a_model_that_is_not_there(ask, case):
    real, fake = ask("ModelStatistics", wire.pb.ModelStatisticsRequest(**NAMES[case]))
    assert plain(fake) == plain(real)


@pytest.mark.parametrize("method", ["ServerLive", "ServerReady"])
def test_the_state_of_the_server(ask, method):
    real, fake = ask(method, wire.METHODS[method][0]())
    assert plain(fake) == plain(real)


INDEXES = {"all": {}, "only what is ready": {"ready": True}, "of a repository": {"repository_name": "x"}}


@pytest.mark.parametrize("case", INDEXES)
def test_the_index_of_the_repository(ask, case):
    real, fake = ask("RepositoryIndex", wire.pb.RepositoryIndexRequest(**INDEXES[case]))
    ours = [
        item for message in real.messages for item in message.models if item.name in {"gpt", GPT, "sbert"}
    ]
    assert fake.code == real.code
    assert fake.details == real.details
    assert [item for message in fake.messages for item in message.models] == ours


def test_the_index_is_sorted(raw, real_triton):
    with FakeTriton(models=[text_signature("b"), text_signature("a")]) as server:
        calls = Raw(server.url)
        fake = [item.name for item in calls.call("RepositoryIndex").messages[0].models]
        calls.close()
    real = [item.name for item in raw.call("RepositoryIndex").messages[0].models]
    assert real == sorted(real)
    assert fake == sorted(fake)


@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload"])
@pytest.mark.parametrize("name", ["gpt", "nope"])
def test_models_cannot_be_loaded_from_outside(ask, method, name):
    real, fake = ask(method, wire.METHODS[method][0](model_name=name))
    assert real.code == "UNAVAILABLE"
    assert plain(fake) == plain(real)
