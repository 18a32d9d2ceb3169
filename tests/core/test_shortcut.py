"""What is recognised by its bytes is what parsing gives: tried with whatever a server may send."""

import contextlib

import hypothesis.strategies as st
import pytest
from core.replies import FINAL, last, piece, raw_bytes, reply
from hypothesis import given, settings

from nupic_client._core import wire
from nupic_client._core.decoder import StreamDecoder
from nupic_client._core.shortcut import MOST_LENGTHS, Shortcut
from nupic_client.backends.plan import AnswerLayout
from nupic_client.errors import ProtocolError, RequestError

DELTA = AnswerLayout(cumulative=False)


class Unlearned(Shortcut):
    """Remembers nothing, so that every response is parsed."""

    def learn(self, data, text):
        pass


def parsing(*arguments, **options):
    """Make a decoder that parses every response."""
    decoder = StreamDecoder(*arguments, **options)
    decoder._shortcut = Unlearned()
    return decoder


def outcome(decoder, responses):
    texts = []
    try:
        texts += [decoder.feed(response) for response in responses]
        texts.append(decoder.end())
    except RequestError as error:
        return "".join(texts) + decoder.flush(), type(error), str(error)
    return "".join(texts), decoder.stopped_early, decoder.finished


TEXTS = st.lists(st.text("ab é<\ufffd", max_size=4), max_size=12)


@given(TEXTS, st.sampled_from([None, False, True]), st.sampled_from([(), ("a<", "é")]), st.booleans())
def test_text_is_what_parsing_gives(texts, cumulative, stops, ends):
    layout = AnswerLayout(cumulative=cumulative)
    responses = [piece(text, final=False) for text in texts] + [last()] * ends
    assert outcome(StreamDecoder(layout, stops), responses) == outcome(parsing(layout, stops), responses)


@given(st.lists(st.binary(max_size=3), max_size=12))
def test_pieces_that_are_no_utf8_are_what_parsing_gives(pieces):
    responses = [*(piece(data, final=False) for data in pieces), last()]
    assert outcome(StreamDecoder(DELTA), responses) == outcome(parsing(DELTA), responses)


FIELDS = st.sampled_from(
    [
        {"id": "r1"},
        {"id": "xx"},
        {"model_name": "m"},
        {"model_version": "ab"},
        {"raw_output_contents": [raw_bytes(b"ab")]},
        {"raw_output_contents": [raw_bytes(b"xy")]},
        {"raw_output_contents": [b"ab"]},
        {"raw_output_contents": [raw_bytes(b"ab", b"cd")]},
        {"outputs": [{"name": "text_output", "datatype": "BYTES", "shape": [1]}]},
        {"outputs": [{"name": "ab", "datatype": "INT8", "shape": [2]}]},
        {"parameters": {FINAL: {"bool_param": False}}},
        {"parameters": {FINAL: {"bool_param": True}}},
        {"parameters": {"p": {"string_param": "ab"}}},
    ]
)


@st.composite
def odd_responses(draw):
    """Make responses whose fields stand in any order, repeat, and lie in several parts that protobuf merges."""
    data = b""
    for fields in draw(st.lists(st.lists(FIELDS, max_size=5), min_size=1, max_size=2)):
        inner = b"".join(wire.pb.ModelInferResponse(**field).SerializeToString() for field in fields)
        data += b"\x12" + bytes([len(inner)]) + inner if len(inner) < 128 else b""
    return data + draw(st.sampled_from([b"", b"\x0a\x00", b"\x0a\x02ab", b"ab"]))


@settings(max_examples=500)
@given(odd_responses(), st.sampled_from([b"ab", b"b", b"xy", b"cd"]), st.binary(min_size=2, max_size=2))
def test_whatever_follows_a_learned_prefix_is_text(data, text, other):
    shortcut = Shortcut()
    shortcut.learn(data, text)
    for length, prefix in shortcut.items():
        other = other[: length - len(prefix)]
        message = wire.pb.ModelStreamInferResponse.FromString(prefix + other)
        learned = wire.pb.ModelStreamInferResponse.FromString(data)
        assert message.infer_response.raw_output_contents[0][4:] == other
        message.infer_response.raw_output_contents[0] = learned.infer_response.raw_output_contents[0]
        assert message == learned


@settings(max_examples=500)
@given(st.lists(odd_responses(), min_size=1, max_size=3), st.lists(st.integers(0, 2), max_size=6))
def test_odd_responses_are_what_parsing_gives(kinds, order):
    responses = [kinds[number % len(kinds)] for number in order]
    options = {"request_id": "r1"}
    assert outcome(StreamDecoder(DELTA, **options), responses) == outcome(
        parsing(DELTA, **options), responses
    )


def test_the_usual_response_is_learned():
    decoder = StreamDecoder(DELTA)
    assert [decoder.feed(piece(text, final=False)) for text in ("Hel", "lo ", "you")] == ["Hel", "lo ", "you"]
    assert [len(prefix) - length for length, prefix in decoder._shortcut.items()] == [-3]


@pytest.mark.parametrize(
    "response",
    [
        piece("", final=False),
        piece("abc", final=True),
        reply(("text_output", "BYTES", [1], raw_bytes(b"abc")), ("n", "INT32", [1], b"\1\0\0\0")),
        reply(("text_output", "BYTES", [1], raw_bytes(b"", b"abc"))),
    ],
)
def test_what_means_more_than_its_text_is_not_learned(response):
    decoder = StreamDecoder(DELTA)
    with contextlib.suppress(ProtocolError):
        decoder.feed(response)
    assert not decoder._shortcut


def test_a_usual_response_after_the_final_one_still_breaks_the_protocol():
    decoder = StreamDecoder(DELTA)
    for response in (piece("abc", final=False), piece("abd", final=False), last()):
        decoder.feed(response)
    with pytest.raises(ProtocolError, match="after the one marked as final"):
        decoder.feed(piece("abe", final=False))


def test_a_usual_response_of_another_request_is_noticed():
    decoder = StreamDecoder(DELTA, request_id="r1")
    decoder.feed(piece("abc", final=False))
    with pytest.raises(ProtocolError, match="another request, 'r2'"):
        decoder.feed(reply(("text_output", "BYTES", [1], raw_bytes(b"abd")), final=False, request_id="r2"))


def test_no_more_lengths_are_remembered_than_pieces_of_text_have():
    decoder = StreamDecoder(DELTA)
    for length in range(1, 3 * MOST_LENGTHS):
        decoder.feed(piece("x" * length, final=False))
    assert len(decoder._shortcut) == MOST_LENGTHS
