"""FakeTriton refuses, classifies and counts as the real server does: parameters, shared memory, statistics, health."""

from __future__ import annotations

import threading
import time
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from nupic_client._core.kserve import wire
from nupic_client.signature import ModelSignature, TensorSpec
from nupic_client.testing import fail, sleep, text_signature
from triton.raw import build, floats, ints, strings
from triton.twins import Twins, plain, twins

STREAM = "gpt.streaming"
PROMPT = {"text_input": strings("hi")}
CLASSIFIED = ("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP32", "FP64")
OTHERS = ("BOOL", "FP16")  # BYTES crash Triton 2.51


def spec(name: str, datatype: str = "FP32", shape: tuple[int, ...] = (1,), **options: Any) -> TensorSpec:
    return TensorSpec(name, datatype, shape, **options)


def signature(name: str, outputs: list[TensorSpec], *inputs: TensorSpec, **options: Any) -> ModelSignature:
    tensors = inputs or (spec("x"),)
    return ModelSignature(
        name,
        {item.name: item for item in tensors},
        {item.name: item for item in outputs},
        backend="python",
        **options,
    )


MODELS = [
    text_signature("gpt", decoupled=False),
    text_signature(STREAM),
    signature("kinds", [spec(datatype, datatype, (-1,)) for datatype in (*CLASSIFIED, *OTHERS)]),
    signature("square", [spec("y", shape=(2, 2))]),
    signature("labelled", [spec("y", shape=(-1,))]),
    signature("rows", [spec("y", shape=(3,))], max_batch_size=8),
    signature("many_streams", [spec("y", shape=(-1,))], decoupled=True),
    signature(
        "batched",
        [spec("y")],
        spec("x"),
        spec("z", shape=(-1,), optional=True),
        spec("w", optional=True),
        max_batch_size=8,
    ),
]
REALS = [0.5, -1.25, 3.0, 123456.789, 1e-7, 3.0]


def reply(request: Any) -> Any:
    """The script of both servers."""
    if request.model == "kinds":
        odd: dict[str, list[Any]] = {"BOOL": [True, False], "FP16": [0.5], "FP32": REALS, "FP64": REALS}
        return [{name: odd.get(name, [1, 3, 2, 3]) for name in request.outputs}]
    if request.model == "square":
        return [{"y": [1.0, 4.0, 2.0, 3.0]}]
    if request.model == "labelled":
        return [{"y": [1.0, 3.0, 2.0, 0.1]}]
    if request.model == "rows":
        return [{"y": [1.0, 2.0, 3.0, 6.0, 5.0, 4.0]}]
    if request.model == "many_streams":
        return [{"y": [1.0, 2.0]}, sleep(0.02), {"y": [3.0, 2.5, 4.0]}]
    if request.model == "batched":
        given = request.inputs["x"]
        return [fail("no")] if given == 9.0 else [{"y": given}]
    return {"fail": [fail("no")], "none": [], "late": ["a", sleep(0.1), fail("no")]}.get(
        request.prompt, ["one", " two"]
    )


@pytest.fixture(scope="module")
def servers(needs_triton):
    with twins(reply, MODELS, labels={"labelled": ["cat", "dog", ""]}) as calls:
        yield calls


@pytest.fixture
def both(servers):
    servers.revive()
    return servers


# --- parameters: I-F14

VALUES: dict[str, Any] = {
    "bool_param": True,
    "int64_param": 5,
    "string_param": "x",
    "double_param": 1.5,
    "uint64_param": 7,
}
PARAMETERS = (
    "sequence_id",
    "sequence_start",
    "sequence_end",
    "priority",
    "timeout",
    "headers",
    "binary_data_output",
    "mine",
    "triton_mine",
    wire.EMPTY_FINAL_PARAMETER,
)


def with_parameter(owner: Any, name: str, kind: str | None, value: Any = None) -> None:
    """Set a parameter; without a kind it has no value."""
    if kind is None:
        owner.parameters[name].SetInParent()
    else:
        setattr(owner.parameters[name], kind, value)


@pytest.mark.parametrize("kind", [*VALUES, None])
@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_of_each_type(both: Twins, name, kind):
    """I-F14: only the right types are taken, and no parameter without a value."""
    unary, stream = build("gpt", PROMPT, final=False), build(STREAM, PROMPT, final=False)
    for request in (unary, stream):
        with_parameter(request, name, kind, VALUES.get(kind or ""))
    both.check("ModelInfer", unary)
    both.check("ModelStreamInfer", stream)


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("priority", "int64_param", -1),
        ("priority", "int64_param", -(2**63)),
        ("priority", "int64_param", 0),
        ("priority", "uint64_param", 2**64 - 1),
        ("timeout", "int64_param", -1),
        ("sequence_id", "int64_param", -1),
        ("sequence_id", "string_param", ""),
        ("sequence_start", "bool_param", False),
        ("mine", "double_param", float("inf")),
    ],
)
def test_a_parameter_at_its_bounds(both: Twins, name, kind, value):
    """I-F14"""
    request = build("gpt", PROMPT, final=False)
    with_parameter(request, name, kind, value)
    both.check("ModelInfer", request)


REGION = ("shared_memory_region", "string_param", "r")
SIZE = ("shared_memory_byte_size", "int64_param", 8)
OFFSET = ("shared_memory_offset", "int64_param", 0)
SHARED = {
    "a region": [REGION],
    "a region that is a number": [("shared_memory_region", "int64_param", 1)],
    "a region without a value": [("shared_memory_region", None, None)],
    "a region and a size": [REGION, SIZE],
    "all three": [REGION, SIZE, OFFSET],
    "a size only": [SIZE],
    "an offset only": [OFFSET],
    "an offset and a size": [SIZE, OFFSET],
    "an offset and no size": [REGION, OFFSET],
    "a size that is a text": [REGION, ("shared_memory_byte_size", "string_param", "8")],
    "an offset that is a text": [REGION, SIZE, ("shared_memory_offset", "string_param", "0")],
    "something else": [("content_type", "string_param", "str"), ("number", "int64_param", 1)],
    "nothing": [("mine", None, None)],
}


@pytest.mark.parametrize("content", ["raw", "typed", "none"])
@pytest.mark.parametrize("case", SHARED)
def test_shared_memory_of_an_input(both: Twins, case, content):
    """I-F14: it is refused, and never taken for an input without contents."""
    request = build("gpt", PROMPT, final=False)
    for parameter in SHARED[case]:
        with_parameter(request.inputs[0], *parameter)
    if content != "raw":
        request.ClearField("raw_input_contents")
    if content == "typed":
        request.inputs[0].contents.bytes_contents.append(b"hi")
    both.check("ModelInfer", request)


@pytest.mark.parametrize("case", SHARED)
def test_shared_memory_of_an_output(both: Twins, case):
    """I-F14"""
    request = build("gpt", PROMPT, outputs=["text_output"], final=False)
    for parameter in SHARED[case]:
        with_parameter(request.outputs[0], *parameter)
    both.check("ModelInfer", request)
    streamed = build(STREAM, PROMPT, outputs=["text_output"], final=False)
    for parameter in SHARED[case]:
        with_parameter(streamed.outputs[0], *parameter)
    both.check("ModelStreamInfer", streamed)


# --- classification: I-F14


def classification(model: str, *parameter: Any, inputs: Any = None, output: str = "y") -> Any:
    request = build(model, inputs or {"x": floats(1.0)}, outputs=[output], final=False)
    with_parameter(request.outputs[0], "classification", *parameter)
    return request


@pytest.mark.parametrize("count", [1, 3, 100])
@pytest.mark.parametrize("datatype", [*CLASSIFIED, *OTHERS])
def test_a_classification_of_each_type(both: Twins, datatype, count):
    """I-F14"""
    both.check("ModelInfer", classification("kinds", "int64_param", count, output=datatype))
    both.check("ModelStreamInfer", classification("kinds", "int64_param", count, output=datatype))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_classification_has_labels(both: Twins, count):
    """I-F14: ``value:index:label`` where the class has a name."""
    answer = both.check("ModelInfer", classification("labelled", "int64_param", count))
    assert b":1:dog" in answer.messages[0].raw_output_contents[0]


def test_a_classification_of_shapes_streams_and_batches(both: Twins):
    """I-F14"""
    both.check("ModelInfer", classification("square", "int64_param", 3))
    both.check("ModelStreamInfer", classification("many_streams", "int64_param", 2))
    rows = {"x": floats(1.0, 2.0, shape=(2, 1))}
    both.check("ModelInfer", classification("rows", "int64_param", 2, inputs=rows))
    both.check("ModelStreamInfer", classification("rows", "int64_param", 9, inputs=rows))


@pytest.mark.parametrize(
    "parameter",
    [
        ("int64_param", 0),
        ("int64_param", -1),
        ("string_param", "1"),
        ("bool_param", True),
        ("uint64_param", 1),
        ("double_param", 1.0),
        (None,),
    ],
)
def test_a_classification_that_makes_no_sense(both: Twins, parameter):
    """I-F14"""
    both.check("ModelInfer", classification("square", *parameter))
    both.check("ModelStreamInfer", classification("many_streams", *parameter))


def test_which_refusal_comes_first(both: Twins):
    """I-F14"""
    wrong = ("priority", "bool_param", True)
    for model, inputs, options in (
        ("nope", PROMPT, {}),
        (STREAM, PROMPT, {}),
        ("gpt", PROMPT, {"outputs": ["nope"]}),
        ("gpt", {"x": strings("a")}, {}),
        ("gpt", {"text_input": ints(1)}, {}),
    ):
        request = build(model, inputs, final=False, **options)
        with_parameter(request, *wrong)
        both.check("ModelInfer", request)
    for inputs in ({"nope": floats(1.0)}, {"x": ints(1)}, {"x": floats(1.0, 2.0, shape=(2,))}, {}):
        both.check("ModelInfer", classification("square", "int64_param", 0, inputs=inputs))
        request = classification("square", "int64_param", 1, inputs=inputs)
        for parameter in (REGION, SIZE):
            with_parameter(request.outputs[0], *parameter)
        both.check("ModelInfer", request)
    both.check("ModelInfer", classification("square", "int64_param", 0, output="nope"))
    request = classification("square", "int64_param", 0)
    request.ClearField("raw_input_contents")
    both.check("ModelInfer", request)
    for parameter in (REGION, SIZE):
        with_parameter(request.inputs[0], *parameter)
    both.check("ModelInfer", request)
    request = classification("gpt", "int64_param", 0, inputs=PROMPT, output="text_output")
    request.raw_input_contents[0] = b"\x32\0\0\0short"
    both.check("ModelInfer", request)


# --- wordings: I-N3

# The real server goes through the inputs in the order of a hash table: nearly always that of the request, reversed.
WORDINGS: dict[str, dict[str, Any]] = {
    "one too many, none missing": {name: floats(1, shape=(1, 1)) for name in ("x", "z", "w", "v")},
    "as many, in another order": {name: floats(1, shape=(1, 1)) for name in ("u", "v", "w", "x")},
    "none at all": {},
    "batches that differ": {"x": floats(1, 2, shape=(2, 1)), "z": floats(1, shape=(1, 1))},
    "batches that differ, in the other order": {
        "z": floats(1, shape=(1, 1)),
        "x": floats(1, 2, shape=(2, 1)),
    },
    "three batches that differ": {
        "w": floats(1, 2, 3, shape=(3, 1)),
        "z": floats(1, shape=(1, 1)),
        "x": floats(1, 2, shape=(2, 1)),
    },
    "an open dimension": {"x": floats(1, shape=(1, 1)), "z": floats(1, shape=(1, -1))},
    "an open batch": {"x": floats(1, shape=(-1, 1))},
    "a dimension below minus one": {"x": floats(1, shape=(1, 1)), "z": floats(1, shape=(1, -2))},
    "a dimension of 2**62": {"x": floats(1, shape=(1, 1)), "z": floats(1, shape=(1, 2**62))},
    "the largest dimension": {"x": floats(1, shape=(1, 1)), "z": floats(1, shape=(1, 2**63 - 1))},
    "no elements": {"x": floats(1, shape=(1, 1)), "z": floats(shape=(1, 0))},
    "a batch of 2**62": {"x": floats(1, shape=(2**62, 1))},
    "a batch of 2**31": {"x": floats(1, shape=(2**31, 1))},
    "a batch of 2**32 + 1": {"x": floats(1, shape=(2**32 + 1, 1))},
    "a batch that is too large": {"x": floats(*range(9), shape=(9, 1))},
}


@pytest.mark.parametrize("case", WORDINGS)
def test_the_wording_of_a_refusal(both: Twins, case):
    """I-N3"""
    real, fake = both.ask("ModelInfer", build("batched", WORDINGS[case], final=False))
    assert (fake.code, fake.details) == (real.code, real.details)


# --- statistics: I-F12, I-N4


def counts_of(calls: Any, model: str) -> dict[str, Any]:
    """Return what a server has counted, with no durations but whether there are any."""
    (item,) = calls.call("ModelStatistics", name=model).messages[0].model_stats
    found = MessageToDict(item, preserving_proto_field_name=True)

    def simplify(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: int(part) > 0 if key == "ns" else simplify(part) for key, part in value.items()}

    found["last_inference"] = abs(int(found.get("last_inference", 0)) / 1000 - time.time()) < 60
    found["batch_stats"] = [simplify(part) for part in found.get("batch_stats", ())]
    return {key: simplify(value) for key, value in found.items()}


def wait_for_counts(calls: Any, model: str, least: int) -> dict[str, Any]:
    end = time.monotonic() + 5
    while True:
        counts = counts_of(calls, model)
        total = sum(int(counts["inference_stats"][kind].get("count", 0)) for kind in ("success", "fail"))
        if total >= least or time.monotonic() > end:
            return counts
        time.sleep(0.02)


def with_string_cut_short(request: Any) -> Any:
    request.raw_input_contents[0] = b"\x32\0\0\0short"
    return request


COUNTED = [
    text_signature("idle", decoupled=False),
    text_signature("gpt", decoupled=False),
    text_signature(STREAM),
    next(model for model in MODELS if model.name == "batched"),
]


def test_what_the_statistics_count(needs_triton):
    """I-F12, I-N4: an answer and a failure of the model are successes; what is refused before it is not counted."""
    with twins(reply, COUNTED) as calls:
        calls.check("ModelStatistics", wire.pb.ModelStatisticsRequest())
        _ask_for_answers(calls)
        _ask_for_streams(calls)
        _ask_for_batches(calls)
        found = {
            name: [wait_for_counts(server, name, 5) for server in (calls.real, calls.fake)]
            for name in ("gpt", STREAM, "batched")
        }
        calls.check("ModelStatistics", wire.pb.ModelStatisticsRequest(name="idle", version="1"))
    for real, fake in found.values():
        assert fake == real
    answers, streams, batches = (real for real, _ in found.values())
    assert answers["inference_stats"]["success"] == {"count": "4", "ns": True}
    assert answers["inference_stats"]["fail"] == {"count": "1", "ns": True}
    assert streams["inference_stats"]["success"]["count"] == "5"
    assert (batches["inference_count"], batches["execution_count"]) == ("12", "5")
    assert [part["batch_size"] for part in batches["batch_stats"]] == ["1", "2", "4"]


def _ask_for_answers(calls: Twins) -> None:
    prompt, failing = PROMPT, {"text_input": strings("fail")}
    for method, request in [
        ("ModelInfer", build("gpt", prompt, final=False)),
        ("ModelStreamInfer", build("gpt", prompt)),
        ("ModelInfer", build("gpt", failing, final=False)),
        ("ModelStreamInfer", build("gpt", failing)),
        ("ModelInfer", build("gpt", {"x": strings("a")}, final=False)),
        ("ModelInfer", build("gpt", {"text_input": ints(1)}, final=False)),
        ("ModelInfer", build("gpt", prompt, version="9", final=False)),
        ("ModelInfer", with_string_cut_short(build("gpt", prompt, final=False))),
        ("ModelInfer", classification("gpt", "int64_param", 0, inputs=prompt, output="text_output")),
    ]:
        calls.check(method, request)


def _ask_for_streams(calls: Twins) -> None:
    """A stream counts once, whatever its end: also an empty one, a failure and one that is cancelled."""
    for server in (calls.real, calls.fake):
        for prompt in ("a", "none", "fail", "late"):
            server.stream(build(STREAM, {"text_input": strings(prompt)}))
        call = server.start(build(STREAM, {"text_input": strings("late")}))
        next(call)
        call.cancel()
    calls.check("ModelInfer", build(STREAM, PROMPT))


def _ask_for_batches(calls: Twins) -> None:
    for values in ((1.0, 2.0, 3.0, 4.0), (1.0, 2.0), (1.0, 2.0, 3.0, 4.0), (9.0,), (5.0,)):
        request = build("batched", {"x": floats(*values, shape=(len(values), 1))}, final=False)
        real, fake = calls.ask("ModelInfer", request)
        assert (fake.code, fake.details) == (real.code, real.details)


# --- health: I-F18, P-F16


def health(calls: Any, service: str) -> Any:
    request = b"\x0a" + bytes([len(service)]) + service.encode() if service else b""
    call = calls._channel.unary_unary("/grpc.health.v1.Health/Check")
    try:
        return call(request, timeout=10)
    except grpc.RpcError as error:
        return error.code(), error.details()


@pytest.mark.parametrize("service", ["", "gpt", "nope", "inference.GRPCInferenceService"])
def test_the_health_service(both: Twins, service):
    """I-F18, P-F16: it looks at the server, whatever the name."""
    assert health(both.fake, service) == health(both.real, service) == b"\x08\x01"


def test_health_cannot_be_watched(both: Twins):
    """I-F18"""
    codes = []
    for calls in (both.real, both.fake):
        with pytest.raises(grpc.RpcError) as caught:
            next(calls._channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=10))
        codes.append(caught.value.code())
    assert codes == [grpc.StatusCode.UNIMPLEMENTED] * 2


# --- failures as the status of a stream: I-M10


def held_open(calls: Any, request: Any, wanted: str | None) -> Any:
    """Send a request on a stream that stays open for half a second: half-closed ones crash Triton 2.51 in this mode."""
    closed = threading.Event()

    def requests():
        yield request
        closed.wait(20)

    call = calls._channel.stream_stream(
        wire.method_path("ModelStreamInfer"),
        request_serializer=wire.pb.ModelInferRequest.SerializeToString,
        response_deserializer=wire.pb.ModelStreamInferResponse.FromString,
    )(requests(), metadata=[] if wanted is None else [("triton_grpc_error", wanted)], timeout=20)
    threading.Timer(0.5, closed.set).start()
    messages = []
    try:
        messages.extend(MessageToDict(message) for message in call)
    except grpc.RpcError:
        closed.set()
    return messages, call.code().name, call.details()


ENDINGS = {
    "an answer": build(STREAM, PROMPT),
    "a failure": build(STREAM, {"text_input": strings("fail")}),
    "a late failure": build(STREAM, {"text_input": strings("late")}),
    "a failure of a model that is not decoupled": build("gpt", {"text_input": strings("fail")}),
    "an unknown model": build("nope", PROMPT),
    "a wrong input": build(STREAM, {"x": strings("a")}),
    "a wrong data type": build(STREAM, {"text_input": ints(1)}),
    "a string cut short": with_string_cut_short(build(STREAM, PROMPT)),
    "a type that cannot be classified": classification("kinds", "int64_param", 1, output="BOOL"),
}


@pytest.mark.parametrize("wanted", ["true", "false", "True", None])
@pytest.mark.parametrize("case", ENDINGS)
def test_a_failure_as_the_status_of_a_stream(both: Twins, case, wanted):
    """I-M10"""
    real, fake = (held_open(calls, ENDINGS[case], wanted) for calls in (both.real, both.fake))
    assert fake == real


# --- what a server says of itself: I-F17


def test_the_name_and_version(both: Twins):
    """I-F17"""
    real, fake = both.ask("ServerMetadata", wire.pb.ServerMetadataRequest())
    assert plain(fake)[0][0]["name"] == plain(real)[0][0]["name"]
    assert fake.messages[0].version == real.messages[0].version
    assert {*fake.messages[0].extensions} <= {*real.messages[0].extensions}
