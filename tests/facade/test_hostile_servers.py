"""Servers that break the protocol: a typed error with the text so far, and a client that is usable afterwards."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from nupic_client import (
    ConfigurationError,
    DeadlineExceededError,
    IncompleteStreamError,
    InferenceClient,
    ProtocolError,
    StreamingClient,
    TransportError,
)
from nupic_client._core.kserve import wire
from nupic_client.testing import FakeTriton, end, raw, silence

pytestmark = pytest.mark.fake_only("only a fake server breaks the protocol")


def bytes_tensor(*elements):
    return b"".join(len(element).to_bytes(4, "little") + element for element in elements)


def response(
    content=b"",
    *,
    name="text_output",
    datatype="BYTES",
    shape=(1,),
    request_id=None,
    final=False,
    contents=None,
):
    """Make a step that sends a response with one output; it has the request's id unless another is given."""

    def make(request):
        message = wire.pb.ModelStreamInferResponse()
        answer = message.infer_response
        answer.id = request.request_id if request_id is None else request_id
        if name:
            answer.outputs.add(name=name, datatype=datatype, shape=shape)
            answer.raw_output_contents.append(content)
        if contents is not None:
            answer.outputs.add(name="text_output", datatype=datatype, shape=shape)
            answer.outputs[0].contents.bytes_contents.extend(contents)
        answer.parameters[wire.FINAL_PARAMETER].bool_param = final
        return message

    return raw(make)


def text(content, **more):
    return response(bytes_tensor(content), **more)


def still_usable(read, client, server):
    server.reply = ["fine"]
    assert read(client, "again")[1].text == "fine"


BROKEN = {
    "another data type": (response(bytes(4), datatype="FP32"), "must be BYTES"),
    "no data type": (response(bytes(4), datatype=""), "must be BYTES"),
    "two elements": (response(bytes_tensor(b"a", b"b"), shape=(2,)), "one element"),
    "a length prefix that is too long": (response(b"\xff\xff\xff\x7fshort"), "text_output"),
    "a length prefix that is too short": (response(b"\x01\x00\x00\x00longer"), "text_output"),
    "half a length prefix": (response(b"\x01\x00"), "text_output"),
    "two elements without raw content": (response(name="", contents=[b"a", b"b"]), "one element"),
    "an answer to another request": (text(b"not yours", request_id="somebody-else"), "somebody-else"),
    "an empty answer to another request": (response(name="", request_id="somebody-else"), "somebody-else"),
}


@pytest.mark.parametrize(("step", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_response_is_a_protocol_error(read, client, server, step, words):
    server.reply = [text(b"so far"), step, silence()]
    with pytest.raises(ProtocolError, match=words) as caught:
        read(client, "hi", request_id="mine")
    error = caught.value
    assert (error.partial_text, error.request_id, error.model) == ("so far", "mine", "gpt.streaming")
    assert not error.retryable
    server.wait_for_cancellation()
    still_usable(read, client, server)


@pytest.mark.parametrize("late", [text(b"more"), response(name=""), text(b"more", final=True)])
def test_a_response_after_the_final_one_never_becomes_text(read, client, server, late):
    server.reply = [text(b"all", final=True), late, end()]
    # Whether the reader still sees it is a race of the network; what it must never be is text.
    texts = []
    with contextlib.suppress(ProtocolError):
        texts.append(read(client, "hi")[1].text)
    assert texts in ([], ["all"])
    still_usable(read, client, server)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\x80"])
def test_bytes_that_are_no_utf8_become_replacement_characters(read, client, server, data):
    server.reply = [text(b"a" + data), text(b"b", final=True), end()]
    assert read(client, "hi")[1].text == (b"a" + data + b"b").decode(errors="replace")


def test_responses_without_the_text_output_are_tolerated(read, client, server):
    server.reply = [
        response(bytes(4), name="other", datatype="FP32"),
        text(b"text"),
        response(name="", final=True),
        end(),
    ]
    assert read(client, "hi")[1].text == "text"


def test_responses_without_an_id_are_tolerated(read, client, server):
    server.reply = [text(b"text", request_id=""), response(name="", request_id="", final=True), end()]
    assert read(client, "hi")[1].text == "text"


UNREADABLE = raw(b"\xff\xff\xff\xff no protobuf")


def test_a_message_that_is_no_message(read, client, server):
    server.reply = [text(b"so far"), UNREADABLE, silence()]
    with pytest.raises(ProtocolError, match="cannot be read") as caught:
        read(client, "hi")
    assert caught.value.partial_text == "so far"
    still_usable(read, client, server)


def test_an_answer_at_once_that_is_no_message(server):
    server.reply = [UNREADABLE]
    with InferenceClient("gpt", url=server.url) as client:
        with pytest.raises(ProtocolError, match="cannot be read"):
            client.generate("hi")
        with pytest.raises(ProtocolError, match="cannot be read"):
            asyncio.run(client.agenerate("hi"))


def test_an_end_without_a_final_mark(read, client, server):
    server.reply = [text(b"so far"), end()]
    with pytest.raises(IncompleteStreamError) as caught:
        read(client, "hi")
    assert caught.value.partial_text == "so far"
    still_usable(read, client, server)


@pytest.mark.slow
def test_thousands_of_empty_responses(read, client, server):
    server.reply = [*[response(name="")] * 5_000, text(b"there"), response(name="", final=True), end()]
    chunks, generation = read(client, "hi")
    assert chunks in ([], ["there"])
    assert generation.text == "there"


@pytest.mark.slow
@pytest.mark.parametrize("step", [response(name=""), text(b""), text(b"on ")], ids=["bare", "empty", "text"])
def test_an_endless_stream_ends_with_the_total_timeout(read, client, server, step):
    server.reply = [step] * 400_000
    with pytest.raises(DeadlineExceededError) as caught:
        read(client, "hi", timeout=0.5)
    assert caught.value.deadline == "total"
    still_usable(read, client, server)


def test_a_text_over_the_limit_in_many_chunks(read, client, server):
    server.reply = [*["0123456789"] * 50, silence()]
    with pytest.raises(ProtocolError, match=r"max_output_bytes allows \(105 bytes\)") as caught:
        read(client, "hi", max_output_bytes=105)
    assert caught.value.partial_text == "0123456789" * 10
    server.wait_for_cancellation()
    still_usable(read, client, server)


def test_a_text_over_the_limit_in_one_piece(read, client, server):
    server.reply = [text(b"x" * 8_000_000), silence()]
    with pytest.raises(ProtocolError, match="max_output_bytes") as caught:
        read(client, "hi", max_output_bytes=1_000_000)
    assert caught.value.partial_text == ""
    server.wait_for_cancellation()
    still_usable(read, client, server)


def test_the_limit_counts_bytes_and_may_be_met_exactly(read, client, server):
    server.reply = ["\N{GREEK SMALL LETTER ALPHA}" * 5]
    assert len(read(client, "hi", max_output_bytes=10)[1].text) == 5
    with pytest.raises(ProtocolError):
        read(client, "hi", max_output_bytes=9)


@pytest.mark.slow
def test_the_limit_has_a_default_and_an_off_switch(client, server):
    server.reply = [text(bytes(65 * 2**20)), text(b"", final=True), end()]
    with pytest.raises(ProtocolError, match="67108864"):
        client.generate("hi", timeout=60)
    assert len(client.generate("hi", timeout=60, max_output_bytes=None).text) == 65 * 2**20


def test_the_limit_holds_for_an_answer_at_once(server):
    server.reply = ["0123456789"] * 10
    with InferenceClient("gpt", url=server.url) as client:
        with pytest.raises(ProtocolError, match="max_output_bytes"):
            client.generate("hi", max_output_bytes=50)
        assert client.generate("hi").text == "0123456789" * 10


@pytest.mark.parametrize("value", [0, -1, 1.5, "1", True])
def test_a_limit_that_is_none(client, value):
    with pytest.raises(ConfigurationError, match="max_output_bytes"):
        client.stream("hi", max_output_bytes=value)


def test_a_server_that_is_no_triton(read):
    with FakeTriton(models=[]) as server, StreamingClient("gpt.streaming", url=server.url) as client:
        with pytest.raises(TransportError):
            read(client, "hi", max_retries=0)
