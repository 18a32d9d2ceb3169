"""What is recognised by its bytes is what parsing gives: tried with whatever a server may send."""

import contextlib

import hypothesis.strategies as st
import pytest
from core.replies import FINAL, chunk, last, raw_bytes, reply
from hypothesis import given, settings

from nupic_client._core.generation.decoder import StreamDecoder
from nupic_client._core.generation.fast_path import MOST_ATTEMPTS, FastPath
from nupic_client._core.kserve import wire
from nupic_client.backends.protocol import OutputNames
from nupic_client.errors import ProtocolError, RequestError

DELTA = OutputNames(cumulative=False)


def parsing(*arguments, **options):
    """Make a decoder that parses every response."""
    decoder = StreamDecoder(*arguments, **options)
    decoder._fast_path.forget()
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
    output_names = OutputNames(cumulative=cumulative)
    responses = [chunk(text, final=False) for text in texts] + [last()] * ends
    assert outcome(StreamDecoder(output_names, stops), responses) == outcome(
        parsing(output_names, stops), responses
    )


@given(st.lists(st.binary(max_size=3), max_size=12))
def test_chunks_that_are_no_utf8_are_what_parsing_gives(chunks):
    responses = [*(chunk(data, final=False) for data in chunks), last()]
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
@given(odd_responses(), st.binary(min_size=2, max_size=2))
def test_whatever_stands_where_text_was_is_text(data, other):
    decoder = StreamDecoder(DELTA)
    with contextlib.suppress(RequestError):
        decoder.feed(data)
    for before, after, start, end, tokens in decoder._known_frames.values():
        other = other[: end - start]
        message = wire.pb.ModelStreamInferResponse.FromString(before + other + after)
        learned = wire.pb.ModelStreamInferResponse.FromString(data)
        contents = learned.infer_response.raw_output_contents
        index = [output.name for output in learned.infer_response.outputs].index("text_output")
        assert message.infer_response.raw_output_contents[index][4:] == other
        message.infer_response.raw_output_contents[index] = contents[index]
        assert message == learned
        assert tokens == 0


@settings(max_examples=500)
@given(st.lists(odd_responses(), min_size=1, max_size=3), st.lists(st.integers(0, 2), max_size=9))
def test_odd_responses_are_what_parsing_gives(kinds, order):
    responses = [kinds[number % len(kinds)] for number in order]
    options = {"request_id": "r1"}
    assert outcome(StreamDecoder(DELTA, **options), responses) == outcome(
        parsing(DELTA, **options), responses
    )


def test_the_first_response_of_a_length_is_not_learned():
    """It may be the only one; and the first one of all brings what everybody waits for."""
    decoder = StreamDecoder(DELTA)
    for text in ("Hello", " ", "you"):
        decoder.feed(chunk(text, final=False))
    assert not decoder._known_frames


def test_the_usual_response_is_learned():
    decoder = StreamDecoder(DELTA)
    assert [decoder.feed(chunk(text, final=False)) for text in ("Hel", "lo ", "you")] == ["Hel", "lo ", "you"]
    assert [
        (end - start, length - end) for length, (_, _, start, end, _) in decoder._known_frames.items()
    ] == [(3, 0)]


COUNTED = OutputNames(
    cumulative=False,
    finish_reason="finish_reason",
    input_tokens="input_tokens",
    output_tokens="output_tokens",
)


def counted(text, *, tokens=1, reason=b"None", first=False):
    """Make a response as the vLLM backend sends it."""
    text_output = ("text_output", "BYTES", [1], raw_bytes(text.encode()))
    others = [
        ("finish_reason", "BYTES", [1], raw_bytes(reason)),
        ("input_tokens", "UINT32", [1], (7).to_bytes(4, "little")),
        ("output_tokens", "UINT32", [1], tokens.to_bytes(4, "little")),
    ]
    return reply(*([text_output, *others] if first else [*others, text_output]), final=False)


@given(
    st.lists(st.tuples(st.text("abé", max_size=3), st.integers(0, 3), st.sampled_from([b"None", b"stop"]))),
    st.booleans(),
)
def test_counts_and_reasons_are_what_parsing_gives(chunks, first):
    responses = [counted(text, tokens=n, reason=reason, first=first) for text, n, reason in chunks] + [last()]
    quick, slow = StreamDecoder(COUNTED), parsing(COUNTED)
    assert outcome(quick, responses) == outcome(slow, responses)
    assert (quick.usage, quick.finish_reason) == (slow.usage, slow.finish_reason)


@pytest.mark.parametrize("first", [True, False])
def test_a_response_that_counts_its_tokens_is_learned(first):
    decoder = StreamDecoder(COUNTED)
    for text in ("abc", "abd"):
        assert decoder.feed(counted(text, first=first)) == text
    assert [usual[-1] for usual in decoder._known_frames.values()] == [1]
    assert decoder.usage.output_tokens == 2


@pytest.mark.parametrize(
    "response",
    [
        chunk("", final=False),
        chunk("abc", final=True),
        reply(("text_output", "BYTES", [1], raw_bytes(b"", b"abc"))),
        reply(
            ("text_output", "BYTES", [1], raw_bytes(b"abc")),
            ("finish_reason", "BYTES", [1], raw_bytes(b"stop")),
        ),
        reply(("other", "BYTES", [1], raw_bytes(b"abc"))),
    ],
)
def test_what_means_more_than_its_text_is_not_learned(response):
    decoder = StreamDecoder(COUNTED)
    for _ in range(3):
        with contextlib.suppress(ProtocolError):
            decoder.feed(response)
    assert not decoder._known_frames


def test_a_usual_response_after_the_final_one_still_breaks_the_protocol():
    decoder = StreamDecoder(DELTA)
    for response in (*(chunk(text, final=False) for text in ("abc", "abd", "abf")), last()):
        decoder.feed(response)
    with pytest.raises(ProtocolError, match="after the one marked as final"):
        decoder.feed(chunk("abe", final=False))


def test_a_usual_response_of_another_request_is_noticed():
    decoder = StreamDecoder(DELTA, request_id="r1")
    decoder.feed(chunk("abc", final=False))
    with pytest.raises(ProtocolError, match="another request, 'r2'"):
        decoder.feed(reply(("text_output", "BYTES", [1], raw_bytes(b"abd")), final=False, request_id="r2"))


def test_an_answer_without_usual_responses_is_not_tried_for_ever():
    decoder = StreamDecoder(DELTA)
    for length in range(1, 3 * MOST_ATTEMPTS):
        decoder.feed(chunk("x" * length, final=False))
        decoder.feed(chunk("y" * length, final=False))
    assert len(decoder._known_frames) == MOST_ATTEMPTS


def test_the_whole_text_so_far_is_never_usual():
    decoder = StreamDecoder(OutputNames(cumulative=True))
    for text in ("a", "ab", "abc"):
        decoder.feed(chunk(text, final=False))
    assert not decoder._known_frames


@pytest.mark.parametrize(("behind", "known"), [(b"", 1), (b"\x7a\x03abc", 0)])
def test_a_response_is_learned_only_where_the_text_stands_at_its_end(behind, known):
    """What stands behind it here is a field that no version of the protocol has yet."""
    path = FastPath()
    path.learn(chunk("abc") + behind, [raw_bytes(b"abc")], 0, 0)
    assert len(path.known) == known
