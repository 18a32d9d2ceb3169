"""Texts that are streamed over HTTP: requests as the generate extension has them, and events as messages of gRPC."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.rest_streams import (
    FINAL_RESPONSE,
    EventReader,
    generate_request,
    says_more_comes,
    stream_response,
)
from nupic_client._core.kserve.scalar_outputs import ScalarOutputs
from nupic_client.errors import ConfigurationError, ProtocolError
from nupic_client.signature import InputTensor


def message(*tensors, parameters=None, **options):
    made = [InputTensor(*tensor) for tensor in tensors]
    given = {wire.EMPTY_FINAL_PARAMETER: True, **(parameters or {})}
    return wire.build_infer_request("m/1", made, parameters=given, **options)


PROMPT = ("text_input", "BYTES", (1,), ("hä",))


def body(request):
    return json.loads(b"".join(request.body))


def read(event):
    """Return the response that an event stands for."""
    event = event if isinstance(event, bytes) else json.dumps(event).encode()
    return wire.parse_stream_response(stream_response(event), "")


# Requests


def test_inputs_go_by_their_names():
    stop = ("stop", "BYTES", (2,), ("a", "b"))
    tokens = ("max_tokens", "INT32", (1, 1), (5,))
    request = generate_request(message(PROMPT, stop, tokens, request_id="me"), triton=True)
    assert (request.verb, request.path) == ("POST", "/v2/models/m%2F1/generate_stream")
    assert body(request) == {"id": "me", "text_input": "hä", "stop": ["a", "b"], "max_tokens": 5}
    assert request.headers["Accept"] == "text/event-stream"


def test_parameters_of_ones_own_have_an_object():
    made = message(PROMPT, parameters={"priority": 3, "x": "y"}, version="2")
    request = generate_request(made, triton=True)
    assert request.path == "/v2/models/m%2F1/versions/2/generate_stream"
    assert body(request) == {"text_input": "hä", "parameters": {"priority": 3, "x": "y"}}
    assert wire.EMPTY_FINAL_PARAMETER in made.parameters  # for another attempt


def test_mlserver_gets_what_infer_takes():
    request = generate_request(message(PROMPT, request_id="me"), triton=False)
    assert request.path == "/v2/models/m%2F1/generate_stream"
    assert body(request) == {
        "id": "me",
        "inputs": [{"name": "text_input", "datatype": "BYTES", "shape": [1], "data": ["hä"]}],
    }


@pytest.mark.parametrize("triton", [True, False])
@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (("x", "BYTES", (1,), (b"\xff",)), "not UTF-8"),
        (("x", "FP32", (1,), (float("inf"),)), "infinity or NaN"),
    ],
)
def test_what_json_cannot_hold_is_refused(triton, tensor, words):
    with pytest.raises(ConfigurationError, match=words):
        generate_request(message(tensor), triton=triton)


def test_parameters_that_json_cannot_hold_are_refused():
    with pytest.raises(ConfigurationError, match="infinity or NaN"):
        generate_request(message(PROMPT, parameters={"x": float("nan")}), triton=True)


# Events


def test_an_event_is_a_response():
    answer = read(
        {"model_name": "m", "model_version": "1", "id": "me", "text_output": "hä", "num_output_tokens": 3}
    ).infer_response
    outputs = ScalarOutputs(answer)
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "1", "me")
    assert outputs.text("text_output") == "hä".encode()
    assert outputs.count("num_output_tokens") == 3


@pytest.mark.parametrize(
    ("value", "datatype", "numbers"),
    [
        (True, "BOOL", (True,)),
        ([1, -2], "INT64", (1, -2)),
        (2**64 - 1, "UINT64", (2**64 - 1,)),
        ([0.5, 1], "FP64", (0.5, 1.0)),
    ],
)
def test_numbers_have_the_widest_type(value, datatype, numbers):
    outputs = ScalarOutputs(read({"model_name": "m", "x": value}).infer_response)
    assert (outputs.datatype("x"), outputs.numbers("x")) == (datatype, numbers)


def test_a_character_that_was_cut_is_kept():
    """Triton puts the bytes of a text into its JSON as they are."""
    raw = "ä".encode()
    first = read(b'{"model_name":"m","text_output":"a' + raw[:1] + b'"}').infer_response
    assert ScalarOutputs(first).text("text_output") == b"a" + raw[:1]


def test_an_empty_list_is_an_output_without_elements():
    assert (
        ScalarOutputs(read({"model_name": "m", "text_output": []}).infer_response).text("text_output") is None
    )


def test_what_is_no_tensor_is_left_out():
    answer = read({"model_name": "m", "text_output": "a", "x": None, "y": {"z": 1}}).infer_response
    assert [output.name for output in answer.outputs] == ["text_output"]


def test_an_error_is_an_error():
    assert read({"error": "it broke"}).error_message == "it broke"
    assert read(b'{"error":"it broke \xff"}').error_message.startswith("it broke ")


def test_an_event_of_mlserver_is_a_response():
    output = {"name": "output", "datatype": "BYTES", "shape": [1, 1], "data": ["hi"]}
    answer = read({"model_name": "m", "id": "me", "outputs": [output]}).infer_response
    assert (answer.id, ScalarOutputs(answer).text("output")) == ("me", b"hi")


def test_the_end_is_marked():
    answer = wire.parse_stream_response(FINAL_RESPONSE, "me").infer_response
    assert answer.parameters[wire.FINAL_PARAMETER].bool_param
    assert not answer.outputs


@pytest.mark.parametrize(
    ("event", "more"),
    [
        ({"text_output": "a", "finish_reason": "None"}, True),
        ({"text_output": "a", "finish_reason": "stop"}, False),
        ({"text_output": "a", "finish_reason": ""}, False),
        ({"text_output": "a"}, False),
        (None, False),
    ],
)
def test_vllm_says_that_more_comes(event, more):
    assert says_more_comes(b"" if event is None else json.dumps(event).encode()) is more


@pytest.mark.parametrize(
    "event",
    [
        b"",
        b"[DONE]",
        b"[1]",
        b"{",
        b"[" * 100_000,
        b'{"id": 5}',
        b'{"x": ["a", 1]}',
        b'{"x": [[1]]}',
        b'{"x": [true, 1]}',
        b'{"x": 36893488147419103232}',
        b'{"x": "\\ud800"}',
        b'{"outputs": [1]}',
        b'{"outputs": [{"name": "x", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}]}',
    ],
)
def test_what_is_no_event_breaks_the_protocol(event):
    with pytest.raises(ProtocolError):
        stream_response(event)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["id", "model_name", "error", "outputs", "text_output", "x"]), JSON))
def test_any_event_is_a_response_or_a_protocol_error(fields):
    try:
        data = stream_response(json.dumps(fields).encode())
    except ProtocolError:
        return
    wire.parse_stream_response(data, "")


# Server-sent events


def events(*pieces, limit=1000):
    reader = EventReader(limit)
    found = [event for piece in pieces for event in reader.feed(piece)]
    return found + reader.end()


def test_events_end_with_an_empty_line():
    assert events(b"data: 1\n\ndata: 2\n\n") == [b"1", b"2"]
    assert events(b"data:1\r\n\r\ndata: 2\r\n\r\n") == [b"1", b"2"]


def test_lines_of_data_are_joined_and_other_fields_left_out():
    assert events(b": hi\nevent: x\nid: 3\nretry: 1\ndatax: 5\ndata: 1\ndata: 2\n\n\n\n: bye\n\n") == [
        b"1\n2"
    ]


def test_the_last_event_may_lack_its_empty_line():
    assert events(b"data: 1\n\ndata: 2") == [b"1", b"2"]
    assert events(b"data: 1\n\nda") == [b"1"]


STREAM = b': x\r\ndata: {"a": "b"}\r\n\r\ndata: 2\n\nevent: y\ndata: 3\ndata: 4\n\n'


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_pieces_may_begin_and_end_anywhere(cuts):
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in itertools.pairwise(edges)]
    assert events(*pieces) == [b'{"a": "b"}', b"2", b"3\n4"]


def test_an_endless_event_is_an_error():
    with pytest.raises(ProtocolError, match="more than 1000 bytes"):
        events(*[b"data: x\n"] * 200)
    with pytest.raises(ProtocolError, match="more than 1000 bytes"):
        events(b"data: ", *[b"x" * 100] * 20)
    assert len(events(*[b"data: x\n\n"] * 2000)) == 2000
