"""Messages to requests of HTTP, and its answers to messages: with raw bytes and without, and answers that are none."""

from __future__ import annotations

import contextlib
import json

import pytest
from core.replies import raw_bytes, serialized_request
from hypothesis import given, settings
from hypothesis import strategies as st

from nupic_client._core.kserve import rest, wire
from nupic_client._core.kserve.output_arrays import decode_outputs
from nupic_client.errors import ConfigurationError, ProtocolError

QUESTIONS = ("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig")


def serialized(*tensors, outputs=(), parameters=None, version="", request_id="", model="m"):
    return serialized_request(
        model,
        [wire.EncodedTensor(*tensor) for tensor in tensors],
        request_id=request_id,
        version=version,
        outputs=outputs,
        parameters=parameters or {},
    )


INTEGERS = ("x", "INT32", (1, 2), (b"\1\0\0\0\2\0\0\0",))
TEXTS = ("t", "BYTES", (1,), (raw_bytes("ä".encode()),))


def made(*tensors, binary, **options):
    """Return a request with its JSON, and the bytes behind that."""
    request = rest.infer_request(serialized(*tensors, **options), binary=binary)
    return request, json.loads(request.body[0]), [bytes(part) for part in request.body[1:]]


def answered(answer, raw=b""):
    """Return the response that an answer with raw bytes behind its JSON is."""
    text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    position = 0

    def read(size):
        nonlocal position
        position += size
        return raw[position - size : position]

    return rest.infer_response(text, read)


# Questions


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("ServerLive", "/v2/health/live"),
        ("ServerReady", "/v2/health/ready"),
        ("ServerMetadata", "/v2"),
        ("ModelReady", "/v2/models/a%20b%2F%C3%A4/ready"),
        ("ModelMetadata", "/v2/models/a%20b%2F%C3%A4"),
        ("ModelConfig", "/v2/models/a%20b%2F%C3%A4/config"),
    ],
)
def test_a_question_has_its_path(method, path):
    message = wire.METHODS[method][0]()
    if method.startswith("Model"):
        message.name = "a b/ä"
    assert rest.question(method, message) == rest.RestRequest("GET", path, {})


def test_a_version_is_part_of_the_path():
    message = wire.pb.ModelReadyRequest(name="m", version="7")
    assert rest.question("ModelReady", message).path == "/v2/models/m/versions/7/ready"


@pytest.mark.parametrize(
    ("text", "ready"),
    [
        (b"", True),
        (b"ok", True),
        (b"[]", True),
        (b"{}", True),
        (b'{"ready": true}', True),
        (b'{"ready": false}', False),
        (b"[" * 100_000, True),
        (b"\xff", True),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_status_of_success_is_a_yes_unless_its_body_says_no(text, ready):
    assert rest.reply("ServerReady", text).ready is ready
    assert rest.reply("ModelReady", text).ready is ready
    assert rest.reply("ServerLive", text.replace(b"ready", b"live")).live is ready


@pytest.mark.parametrize(
    ("method", "status", "no"),
    [
        ("ServerReady", 400, True),
        ("ServerLive", 400, True),
        ("ModelReady", 400, True),
        ("ModelReady", 404, True),
        ("ServerReady", 404, False),
        ("ModelReady", 500, False),
        ("ModelConfig", 400, False),
        ("ModelInfer", 400, False),
    ],
)
def test_a_status_of_failure_that_is_a_no(method, status, no):
    found = rest.refusal(method, status)
    assert (found == wire.METHODS[method][1]()) is no
    assert (found is None) is not no


def test_the_server_describes_itself():
    text = b'{"name": "triton", "version": "2", "extensions": ["binary_tensor_data"], "from_the_future": [1]}'
    found = rest.reply("ServerMetadata", text)
    assert (found.name, found.version, [*found.extensions]) == ("triton", "2", [rest.BINARY_EXTENSION])


def test_the_server_describes_a_model():
    tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
    text = json.dumps({"name": "m", "inputs": [tensor], "from_the_future": {}}).encode()
    found = rest.reply("ModelMetadata", text)
    assert (found.name, found.inputs[0].datatype, [*found.inputs[0].shape]) == ("m", "FP32", [-1, 2])
    text = b'{"name": "m", "max_batch_size": 4, "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1]}]}'
    config = rest.reply("ModelConfig", text).config
    assert (config.name, config.max_batch_size, [*config.input[0].dims]) == ("m", 4, [-1])


@pytest.mark.parametrize(
    "text", [b"", b"<html>", b"[]", b"5", b"\xff", b"[" * 100_000, b"1" * 10_000], ids=len
)
@pytest.mark.parametrize("method", ["ServerMetadata", "ModelMetadata", "ModelConfig"])
def test_a_description_is_an_object(method, text):
    with pytest.raises(ProtocolError, match="it is not a JSON object"):
        rest.reply(method, text)


@pytest.mark.parametrize(
    "fields", [{"name": 5}, {"inputs": 5}, {"inputs": [5]}, {"inputs": [{"shape": ["a"]}]}], ids=str
)
def test_a_description_has_the_types_of_the_protocol(fields):
    with pytest.raises(ProtocolError, match="not what KServe v2 calls for"):
        rest.reply("ModelMetadata", json.dumps(fields).encode())


# Headers


@pytest.mark.parametrize("name", ["host", "content-length", "transfer-encoding", rest.JSON_LENGTH.lower()])
def test_names_that_belong_to_http_cannot_be_metadata(name):
    with pytest.raises(ConfigurationError, match=f"'{name}', which belongs to HTTP itself") as caught:
        rest.check_headers([("x-tenant", "blue"), (name, "5")])
    assert caught.value.parameter == "metadata"


def test_other_names_can_be_metadata():
    rest.check_headers([("x-tenant", "blue"), ("authorization", "Bearer a"), ("x-raw-bin", b"\xff")])
    rest.check_headers([])


# Requests


def test_a_request_with_raw_bytes():
    request, head, raws = made(INTEGERS, TEXTS, binary=True, request_id="me")
    assert head == {
        "id": "me",
        "parameters": {"binary_data_output": True},
        "inputs": [
            {"name": "x", "datatype": "INT32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
            {"name": "t", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}},
        ],
    }
    assert raws == [b"".join(INTEGERS[3]), b"".join(TEXTS[3])]
    assert (request.verb, request.path) == ("POST", "/v2/models/m/infer")
    assert request.headers == {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(request.body[0])),
    }


def test_a_request_as_json():
    request, head, raws = made(INTEGERS, TEXTS, binary=False)
    assert head == {
        "inputs": [
            {"name": "x", "datatype": "INT32", "shape": [1, 2], "data": [1, 2]},
            {"name": "t", "datatype": "BYTES", "shape": [1], "data": ["ä"]},
        ]
    }
    assert raws == []
    assert request.headers == {"Content-Type": "application/json"}


def test_chosen_outputs_say_how_they_are_wanted():
    _, head, _ = made(INTEGERS, binary=True, outputs=["a", "b"])
    wanted = {"binary_data": True}
    assert head["outputs"] == [{"name": "a", "parameters": wanted}, {"name": "b", "parameters": wanted}]
    assert "parameters" not in head
    _, head, _ = made(INTEGERS, binary=False, outputs=["a"])
    assert head["outputs"] == [{"name": "a"}]


@pytest.mark.parametrize("binary", [True, False])
def test_inputs_and_outputs_have_parameters_of_their_own(binary):
    asked = [wire.RequestedOutput("a", {"classification": 3}), "b"]
    _, head, rest = made(
        (*INTEGERS, {"content_type": "np", "big": 2**64 - 1}), TEXTS, binary=binary, outputs=asked
    )
    ours = [{"binary_data_size": len(raw)} for raw in rest] if binary else [{}, {}]
    assert head["inputs"][0]["parameters"] == {"content_type": "np", "big": 2**64 - 1} | ours[0]
    assert head["inputs"][1].get("parameters", {}) == ours[1]
    wanted = {"binary_data": True} if binary else {}
    assert head["outputs"][0]["parameters"] == {"classification": 3} | wanted
    assert head["outputs"][1].get("parameters", {}) == wanted


@pytest.mark.parametrize("raw", [b"", b"\1\0\0\0"])
def test_parameters_of_outputs_come_back(raw):
    told = {"content_type": "np", "headers": {"a": "b"}, "share": 0.5}
    content = {"parameters": {**told, "binary_data_size": 4}} if raw else {"parameters": told, "data": [1]}
    response = answered({"outputs": [{"name": "y", "datatype": "INT32", "shape": [1], **content}]}, raw)
    assert wire.parameters_of(response.outputs[0]) == {"content_type": "np", "share": 0.5}
    assert bytes(response.raw_output_contents[0]) == b"\1\0\0\0"


@pytest.mark.parametrize("binary", [True, False])
def test_parameters_have_the_type_of_their_value(binary):
    given = {"priority": 1, "share": 0.5, "who": "me", "loud": True}
    _, head, _ = made(INTEGERS, binary=binary, parameters=given)
    assert head["parameters"] == given | ({"binary_data_output": True} if binary else {})


def test_a_request_has_the_version_in_its_path():
    request, _, _ = made(INTEGERS, binary=True, model="a/b", version="7")
    assert request.path == "/v2/models/a%2Fb/versions/7/infer"


def test_raw_bytes_are_not_copied():
    data = serialized(INTEGERS)
    _, part = rest.infer_request(data, binary=True).body
    assert isinstance(part, memoryview)
    assert part.obj is data


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_parameters_are_numbers_that_json_has(value):
    with pytest.raises(ConfigurationError, match="must be numbers that JSON has") as caught:
        made(INTEGERS, binary=True, parameters={"share": value})
    assert caught.value.parameter == "parameters"


# Answers

OUTPUT = {"name": "y", "datatype": "INT32", "shape": [2]}


def test_an_answer_as_json():
    found = answered(
        {"id": "me", "model_name": "m", "model_version": "7", "outputs": [{**OUTPUT, "data": [1, 2]}]}
    )
    assert (found.id, found.model_name, found.model_version) == ("me", "m", "7")
    assert [(it.name, it.datatype, [*it.shape]) for it in found.outputs] == [("y", "INT32", [2])]
    assert found.raw_output_contents == [b"\1\0\0\0\2\0\0\0"]


def test_raw_bytes_and_json_may_stand_side_by_side():
    found = answered(
        {
            "outputs": [
                {**OUTPUT, "parameters": {"binary_data_size": 8}},
                {"name": "t", "datatype": "BYTES", "shape": [1], "data": ["a"]},
                {"name": "z", "datatype": "UINT8", "shape": [3], "parameters": {"binary_data_size": 3}},
            ]
        },
        b"12345678abc",
    )
    assert found.raw_output_contents == [b"12345678", raw_bytes(b"a"), b"abc"]


def test_parameters_come_back_where_they_are_values():
    given = {"a": 1, "b": 0.5, "c": "d", "e": False, "f": None, "g": [1], "h": {}}
    found = answered({"outputs": [], "parameters": given})
    known = {name: wire.parameter_value(value) for name, value in found.parameters.items()}
    assert known == {"a": 1, "b": 0.5, "c": "d", "e": False}
    assert not answered({"outputs": [], "parameters": [1]}).parameters


def test_an_answer_may_leave_out_or_add_what_nobody_needs():
    found = answered({"outputs": [], "id": None, "from_the_future": 1})
    assert (found.id, found.model_name, found.raw_output_contents) == ("", "", [])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "it is not a JSON object"),
        ([], "it is not a JSON object"),
        ({}, "no list of outputs"),
        ({"outputs": {}}, "no list of outputs"),
        ({"outputs": [1]}, "no list of outputs"),
        ({"outputs": [], "id": ["a"]}, "not what KServe v2 calls for"),
        ({"outputs": [{**OUTPUT, "shape": 5}]}, "not what KServe v2 calls for"),
        ({"outputs": [{**OUTPUT, "shape": [2**70]}]}, "not what KServe v2 calls for"),
        ({"outputs": [{**OUTPUT, "data": ["a"]}]}, "output 'y' cannot be decoded"),
        ({"outputs": [OUTPUT]}, "output 'y' cannot be decoded"),
        ({"outputs": [], "parameters": {"a": 2**80}}, "parameter that cannot be read"),
    ],
    ids=str,
)
def test_what_is_no_answer_breaks_the_protocol(answer, words):
    with pytest.raises(ProtocolError, match=words):
        answered(answer)


@pytest.mark.parametrize("size", [-1, "8", True, 8.0, [8]], ids=str)
def test_a_size_is_a_whole_number(size):
    answer = {"outputs": [{**OUTPUT, "parameters": {"binary_data_size": size}}]}
    with pytest.raises(ProtocolError, match=r"'y' cannot be decoded: .* a whole number, not"):
        answered(answer, bytes(8))


# Any answers


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=30))
def test_any_bytes_are_an_answer_or_a_protocol_error(text, more):
    def read(size):
        if size > len(more):
            raise ProtocolError("short")
        return more[:size]

    for method in QUESTIONS:
        with contextlib.suppress(ProtocolError):
            rest.reply(method, text)
    with contextlib.suppress(ProtocolError):
        rest.infer_response(text, read)


WORDS = ("name", "datatype", "shape", "data", "parameters", "binary_data_size", "outputs")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["FP32", "BYTES", "BF16", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner),
    max_leaves=12,
)
OUTPUTS = st.fixed_dictionaries(dict.fromkeys(("name", "datatype", "shape", "data"), JSON))


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {"outputs": st.lists(JSON | OUTPUTS, max_size=3)},
        optional=dict.fromkeys(("id", "parameters", "model_name"), JSON),
    )
)
def test_any_json_is_an_answer_or_a_protocol_error(value):
    with contextlib.suppress(ProtocolError):
        decode_outputs(
            rest.infer_response(json.dumps(value).encode(), lambda size: b"\0" * min(size, 99)), "str"
        )
    for method in QUESTIONS:
        with contextlib.suppress(ProtocolError):
            rest.reply(method, json.dumps(value).encode())


# Parameters of tensors


@pytest.mark.parametrize("binary", [True, False])
def test_tensors_in_shared_memory_have_no_contents(binary):
    place = {"shared_memory_region": "r", "shared_memory_byte_size": 8}
    message = wire.pb.ModelInferRequest(model_name="m", raw_input_contents=[b"\1\0\0\0\2\0\0\0"])
    wire.set_parameters(message.inputs.add(name="far", datatype="INT32", shape=[2]), place)
    message.inputs.add(name="near", datatype="INT32", shape=[2])
    wire.set_parameters(message.outputs.add(name="y"), place)
    request = rest.infer_request(message.SerializeToString(), binary=binary)
    head, *contents = request.body
    assert request.places == {"y"}
    far, near = json.loads(head)["inputs"]
    assert far["parameters"] == place
    assert "data" not in far
    assert near["parameters"] == {"binary_data_size": 8} if binary else near["data"] == [1, 2]
    assert len(contents) == binary
    assert json.loads(head)["outputs"] == [{"name": "y", "parameters": place}]


def test_triton_does_not_say_which_outputs_it_wrote_to_shared_memory():
    given = [{"name": name, "datatype": "FP32", "shape": [1]} for name in ("far", "near")]
    given[1]["data"] = [1.5]
    text = json.dumps({"model_name": "m", "outputs": given}).encode()
    near = b"\0\0\xc0\x3f"
    assert rest.infer_response(text, bytes, {"far"}).raw_output_contents == [b"", near]
    assert rest.infer_response(text, bytes, {"far", "near"}).raw_output_contents == [b"", near]
    with pytest.raises(ProtocolError, match="output 'far' cannot be decoded"):
        rest.infer_response(text, bytes, {"near"})


def test_outputs_come_with_their_parameters():
    output = {
        "name": "x",
        "datatype": "BYTES",
        "shape": [1],
        "data": ["a"],
        "parameters": {"content_type": "str"},
    }
    far = {"name": "y", "datatype": "FP32", "shape": [9], "parameters": {"shared_memory_region": "r"}}
    response = answered({"model_name": "m", "outputs": [output, far]})
    assert [wire.parameters_of(each) for each in response.outputs] == [
        {"content_type": "str"},
        {"shared_memory_region": "r"},
    ]
    assert response.raw_output_contents == [raw_bytes(b"a"), b""]


def test_the_size_of_raw_bytes_is_no_parameter():
    output = {
        "name": "x",
        "datatype": "INT8",
        "shape": [1],
        "parameters": {"binary_data_size": 1, "a": 1, "b": []},
    }
    response = answered({"model_name": "m", "outputs": [output]}, b"\1")
    assert wire.parameters_of(response.outputs[0]) == {"a": 1}


def test_bytes_of_a_text_that_are_not_utf_8_are_kept():
    text = b'{"model_name":"m","outputs":[{"name":"x","datatype":"BYTES","shape":[1],"data":["a\xff"]}]}'
    assert answered(text).raw_output_contents == [raw_bytes(b"a\xff")]


# The list of models


def test_the_server_lists_its_models():
    request = rest.question("RepositoryIndex", wire.pb.RepositoryIndexRequest(ready=True))
    assert (request.verb, request.path) == ("POST", "/v2/repository/index")
    assert json.loads(b"".join(request.body)) == {"ready": True}
    index = rest.reply("RepositoryIndex", b'[{"name":"a","version":"1","state":"READY"},{"name":"b"}]')
    assert [(model.name, model.state) for model in index.models] == [("a", "READY"), ("b", "")]


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b'[{"name": 5}]'])
def test_a_list_of_models_is_a_list_of_objects(text):
    with pytest.raises(ProtocolError):
        rest.reply("RepositoryIndex", text)
