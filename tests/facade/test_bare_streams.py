"""Streams of servers that wrap no response, as MLServer: bare `ModelInferResponse`s, no final mark, errors as statuses."""

from __future__ import annotations

import pytest

from nupic_client import InferenceError, ProtocolError, StreamingClient
from nupic_client._core.kserve import wire
from nupic_client.testing import FakeTriton, abort, end, raw

pytestmark = pytest.mark.fake_only("Triton wraps its responses")


def bare(text=None, *, version="", request_id="other", typed=False, extra="", **fields):
    """Make a step that sends a response of MLServer."""
    message = wire.pb.ModelInferResponse(
        model_name="gpt.streaming", model_version=version, id=request_id, **fields
    )
    for name, value in (("text_output", text), ("more", extra)):
        if value:
            output = message.outputs.add(name=name, datatype="BYTES", shape=[1, 1])
            if typed:
                output.contents.bytes_contents.append(value.encode())
            else:
                message.raw_output_contents.append(len(value.encode()).to_bytes(4, "little") + value.encode())
    return raw(message.SerializeToString())


@pytest.mark.parametrize("version", ["", "1", "v1.2-beta", "é" * 40, "\n\x01a"])
@pytest.mark.parametrize("typed", [True, False], ids=["typed", "raw"])
def test_they_are_read(read, client, server, version, typed):
    """I-F1: its field 1 is the model's name, Triton's is an error."""
    server.reply = [bare(text, version=version, typed=typed) for text in ("one ", "two ", "é🎉")] + [end()]
    chunks, generation = read(client, "hi")
    assert chunks == ["one ", "two ", "é🎉"]
    assert generation.text == "one two é🎉"


@pytest.mark.parametrize("request_id", ["", "mine", "a new one each"])
def test_other_outputs_and_ids_do_not_matter(read, client, server, request_id):
    """I-F1: an RPC has one request, whatever id the answer has."""
    server.reply = [bare("one", extra="x", request_id=request_id), bare("two", extra="y"), end()]
    assert read(client, "hi", request_id="mine")[1].text == "onetwo"


def test_many_of_the_same_shape(read, client, server):
    """I-F1: what is learned from one response must not misread the next."""
    words = [f"{number:04} " for number in range(300)]
    server.reply = [*map(bare, words), end()]
    assert read(client, "hi")[1].text == "".join(words)


def test_text_that_was_held_back_comes_with_the_end(read, client, server):
    """I-F1: without a final mark only the end of the stream decides."""
    server.reply = [bare("one S"), bare("TO"), end()]
    chunks, generation = read(client, "hi", stop="STOP")
    assert "".join(chunks) == generation.text == "one STO"


def test_a_stop_string_ends_it(read, client, server):
    server.reply = [bare("one ST"), bare("OP two"), bare("three"), end()]
    assert read(client, "hi", stop="STOP")[1].text == "one "


def test_a_status_in_mid_stream_is_an_error_with_the_text_so_far(read, client, server):
    """I-F1."""
    words = "Unexpected <class 'mlserver.errors.InferenceError'>: out of blocks"
    server.reply = [bare("one "), abort("UNKNOWN", words)]
    with pytest.raises(InferenceError) as caught:
        read(client, "hi")
    error = caught.value
    assert (error.message, error.partial_text) == ("the server failed: out of blocks", "one ")
    assert error.server_message == words


def test_an_error_of_triton_stays_one(read, client, server):
    """The two are told apart by their fields."""
    message = wire.pb.ModelStreamInferResponse(error_message="engine exploded")
    message.infer_response.id = "r1"
    message.infer_response.parameters["x"].string_param = "y"
    server.reply = [raw(message), end()]
    with pytest.raises(InferenceError, match="the model failed: engine exploded"):
        read(client, "hi")


def test_neither_of_the_two(read, client, server):
    server.reply = [raw(b"\xff\xff\xff\xff no protobuf"), end()]
    with pytest.raises(ProtocolError, match="cannot be read"):
        read(client, "hi")


def test_a_bare_response_of_a_model_without_text(read, client, server):
    server.reply = [bare(), end()]
    assert read(client, "hi")[1].text == ""


def test_the_wire_tells_them_apart():
    triton = wire.pb.ModelStreamInferResponse(error_message="x")
    assert wire.parse_bare_response(triton.SerializeToString()) is None
    assert wire.parse_bare_response(b"\xff") is None
    assert wire.parse_bare_response(wire.pb.ModelInferResponse(model_name="m").SerializeToString()) is None


@pytest.fixture
def server():
    with FakeTriton() as server:
        yield server


@pytest.fixture
def client(server):
    with StreamingClient("gpt.streaming", url=server.url) as client:
        yield client
