"""The answer of one request, response by response: how it ends, where its text stands, and what breaks the protocol."""

from __future__ import annotations

import contextlib
import struct

import pytest
from core.replies import FINAL, chunk, error, last, raw_bytes, reply, reply_message
from hypothesis import given, settings
from hypothesis import strategies as st

from nupic_client._core.generation.decoder import StreamDecoder
from nupic_client._core.kserve import wire
from nupic_client.backends.protocol import OutputNames
from nupic_client.errors import (
    IncompleteStreamError,
    InferenceError,
    ModelUnavailableError,
    ProtocolError,
    RequestError,
)
from nupic_client.results import FinishReason, Usage

DELTA = OutputNames(cumulative=False)
WHOLE = OutputNames(cumulative=True)
FULL = OutputNames(
    cumulative=False,
    finish_reason="finish_reason",
    input_tokens="num_input_tokens",
    output_tokens="num_output_tokens",
)


def read(decoder, responses):
    """Feed all responses and the end of the stream; return the text."""
    return "".join([decoder.feed(response) for response in responses]) + decoder.end()


def int32(value):
    return struct.pack("<i", value)


# How an answer ends


def test_a_final_mark_on_the_last_content_ends_the_answer():
    decoder = StreamDecoder(DELTA)
    assert read(decoder, [chunk("Hel", final=False), chunk("lo", final=True)]) == "Hello"
    assert decoder.finished


def test_a_separate_empty_final_response_ends_the_answer():
    decoder = StreamDecoder(DELTA)
    assert read(decoder, [chunk("Hel", final=False), chunk("lo", final=False), last()]) == "Hello"
    assert decoder.finished


def test_an_answer_may_be_empty():
    assert read(StreamDecoder(DELTA), [last()]) == ""


def test_a_stream_without_final_mark_is_incomplete():
    decoder = StreamDecoder(DELTA)
    decoder.feed(chunk("Hel", final=False))
    with pytest.raises(IncompleteStreamError, match="before the answer was complete"):
        decoder.end()


def test_a_stream_of_nothing_is_incomplete():
    with pytest.raises(IncompleteStreamError):
        StreamDecoder(DELTA).end()


def test_a_final_parameter_of_another_type_is_no_mark():
    response = reply_message(("text_output", "BYTES", [1], raw_bytes(b"a")))
    response.infer_response.parameters[FINAL].string_param = "true"
    decoder = StreamDecoder(DELTA)
    decoder.feed(response.SerializeToString())
    assert not decoder.finished


def test_a_response_after_the_final_one_breaks_the_protocol():
    decoder = StreamDecoder(DELTA)
    decoder.feed(last())
    with pytest.raises(ProtocolError, match="after the one marked as final") as caught:
        decoder.feed(chunk("more"))
    assert caught.value.request_id == "r1"


# Errors inside the stream


def test_an_error_response_is_raised_with_its_request_id():
    decoder = StreamDecoder(DELTA)
    decoder.feed(chunk("Hel", final=False))
    with pytest.raises(InferenceError) as caught:
        decoder.feed(error("engine exploded at token 1", request_id="e7"))
    assert caught.value.request_id == "e7"
    assert caught.value.server_message == "engine exploded at token 1"


def test_a_known_error_text_has_its_own_class():
    with pytest.raises(ModelUnavailableError):
        StreamDecoder(DELTA).feed(error("Request for unknown model: 'nope' is not found"))


def test_an_error_with_the_final_mark_is_an_error():
    with pytest.raises(InferenceError):
        StreamDecoder(DELTA).feed(reply(error="engine exploded", final=True))


# Where the text stands


@pytest.mark.parametrize("shape", [(1,), (1, 1), ()])
def test_the_shape_of_a_single_element_does_not_matter(shape):
    assert StreamDecoder(DELTA).feed(chunk("Hello", shape=shape)) == "Hello"


def test_text_may_stand_in_contents_instead_of_raw_contents():
    response = wire.pb.ModelStreamInferResponse()
    output = response.infer_response.outputs.add(name="text_output", datatype="BYTES", shape=[1])
    output.contents.bytes_contents.append("Grüße".encode())
    assert StreamDecoder(DELTA).feed(response.SerializeToString()) == "Grüße"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_outputs_may_come_in_any_order(order):
    outputs = [
        ("text_output", "BYTES", [1], raw_bytes(b"Hello")),
        ("num_output_tokens", "INT32", [1], int32(2)),
        ("finish_reason", "BYTES", [1], raw_bytes(b"length")),
    ]
    decoder = StreamDecoder(FULL)
    assert decoder.feed(reply(*(outputs[index] for index in order), final=True)) == "Hello"
    assert decoder.usage == Usage(output_tokens=2)
    assert decoder.finish_reason is FinishReason.LENGTH


def test_other_outputs_are_ignored():
    response = reply(("logits", "FP32", [2], b"\0" * 8), ("text_output", "BYTES", [1], raw_bytes(b"Hi")))
    assert StreamDecoder(DELTA).feed(response) == "Hi"


def test_a_response_without_the_text_output_adds_no_text():
    assert StreamDecoder(DELTA).feed(reply(("num_output_tokens", "INT32", [1], int32(2)))) == ""


def test_a_text_output_without_elements_adds_no_text():
    assert StreamDecoder(DELTA).feed(reply(("text_output", "BYTES", [0], b""))) == ""


def test_an_empty_text_is_no_text():
    assert StreamDecoder(DELTA).feed(chunk("")) == ""


@pytest.mark.parametrize(
    "raw",
    [b"\x05\0\0\0Hell", b"\xff\xff\xff\xffHello", b"Hel", b"\x01\0\0\0Hello", raw_bytes(b"Hello") + b"\0"],
    ids=["one too many", "the largest", "no prefix", "too few", "a rest"],
)
def test_a_length_prefix_that_lies_breaks_the_protocol(raw):
    with pytest.raises(ProtocolError, match="text_output"):
        StreamDecoder(DELTA).feed(reply(("text_output", "BYTES", [1], raw)))


def test_more_than_one_element_breaks_the_protocol():
    with pytest.raises(ProtocolError, match="must have one element, not 2"):
        StreamDecoder(DELTA).feed(reply(("text_output", "BYTES", [2], raw_bytes(b"a", b"b"))))


def test_another_data_type_breaks_the_protocol():
    with pytest.raises(ProtocolError, match="must be BYTES, not INT32"):
        StreamDecoder(DELTA).feed(reply(("text_output", "INT32", [1], int32(1))))


# UTF-8, whole texts and stop strings


def test_a_character_split_over_responses_is_one_character():
    first, second = "€".encode()[:1], "€".encode()[1:]
    decoder = StreamDecoder(DELTA)
    assert [decoder.feed(chunk(first)), decoder.feed(chunk(second)), decoder.feed(last())] == ["", "€", ""]


def test_a_character_that_is_never_finished_is_one_replacement_character():
    assert read(StreamDecoder(DELTA), [chunk(b"a\xe2\x82"), last()]) == "a\ufffd"


def test_cumulative_responses_become_new_text():
    decoder = StreamDecoder(WHOLE)
    assert [decoder.feed(chunk(text)) for text in ("Hel", "Hello", "Hello")] == ["Hel", "lo", ""]


def test_cumulative_responses_are_found_out():
    decoder = StreamDecoder(OutputNames(cumulative=None))
    assert read(decoder, [chunk("Once"), chunk("Once upon"), chunk("Once upon a"), last()]) == "Once upon a"


def test_what_is_held_back_for_finding_out_comes_with_the_end():
    decoder = StreamDecoder(OutputNames(cumulative=None))
    assert read(decoder, [chunk("Once"), chunk("Once upon"), last()]) == "Once upon"


def test_a_cumulative_response_that_changes_the_beginning_breaks_the_protocol():
    decoder = StreamDecoder(WHOLE)
    decoder.feed(chunk("Hello"))
    with pytest.raises(ProtocolError, match="text='delta'"):
        decoder.feed(chunk("Goodbye"))


def test_a_stop_string_over_two_responses_ends_the_text():
    decoder = StreamDecoder(DELTA, ["<end>"])
    assert [decoder.feed(chunk(text)) for text in ("a <e", "nd> b")] == ["a ", ""]
    assert decoder.finished
    assert decoder.stopped_early
    assert decoder.finish_reason is FinishReason.STOP


def test_after_a_stop_string_the_end_of_the_stream_is_regular():
    decoder = StreamDecoder(DELTA, ["b"])
    decoder.feed(chunk("abc"))
    assert decoder.end() == ""


def test_after_a_stop_string_further_responses_are_ignored():
    decoder = StreamDecoder(DELTA, ["b"])
    decoder.feed(chunk("abc"))
    assert [decoder.feed(chunk("more")), decoder.feed(last())] == ["", ""]


def test_a_stop_string_with_the_final_mark_ends_the_text_once():
    decoder = StreamDecoder(DELTA, ["b"])
    assert decoder.feed(chunk("abc", final=True)) == "a"
    assert decoder.finish_reason is FinishReason.STOP


def test_the_beginning_of_a_stop_string_at_the_end_belongs_to_the_text():
    decoder = StreamDecoder(DELTA, ["<end>"])
    assert read(decoder, [chunk("a <en"), last()]) == "a <en"
    assert not decoder.stopped_early


def test_a_stop_string_may_be_complete_only_with_the_end():
    decoder = StreamDecoder(OutputNames(cumulative=None), ["upon"])
    assert read(decoder, [chunk("Once"), chunk("Once upon a"), last()]) == "Once "
    assert decoder.finish_reason is FinishReason.STOP


def test_the_stop_string_counts_more_than_the_servers_reason():
    decoder = StreamDecoder(FULL, ["b"])
    decoder.feed(
        reply(
            ("text_output", "BYTES", [1], raw_bytes(b"abc")),
            ("finish_reason", "BYTES", [1], raw_bytes(b"length")),
        )
    )
    assert decoder.finish_reason is FinishReason.STOP


# Flush: the stream broke


def test_flush_gives_what_was_held_back_for_a_stop_string():
    decoder = StreamDecoder(DELTA, ["<end>"])
    decoder.feed(chunk("a <e"))
    assert decoder.flush() == "<e"
    assert decoder.flush() == ""


def test_flush_gives_what_was_held_back_as_maybe_cumulative():
    decoder = StreamDecoder(OutputNames(cumulative=None))
    decoder.feed(chunk("Once"))
    decoder.feed(chunk("Once upon"))
    assert decoder.flush() == " upon"


def test_flush_does_not_give_what_stands_behind_a_stop_string():
    decoder = StreamDecoder(OutputNames(cumulative=None), ["upon"])
    decoder.feed(chunk("Once"))
    decoder.feed(chunk("Once upon a"))
    assert decoder.flush() == " "


def test_flush_after_a_stop_string_gives_nothing():
    decoder = StreamDecoder(DELTA, ["b"])
    decoder.feed(chunk("abc"))
    assert decoder.flush() == ""


# Finish reason and token counts


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        (b"stop", FinishReason.STOP),
        (b"LENGTH", FinishReason.LENGTH),
        (b"abort", FinishReason.OTHER),
        (b"\xff", FinishReason.OTHER),
        (b"None", None),
        (b"", None),
    ],
)
def test_the_servers_finish_reason_is_read(word, reason):
    decoder = StreamDecoder(FULL)
    decoder.feed(reply(("finish_reason", "BYTES", [1], raw_bytes(word)), final=True))
    assert decoder.finish_reason is reason


def test_output_tokens_add_up_and_input_tokens_do_not():
    decoder = StreamDecoder(FULL)
    for _ in range(2):
        decoder.feed(
            reply(("num_input_tokens", "UINT32", [], int32(7)), ("num_output_tokens", "UINT32", [], int32(2)))
        )
    assert decoder.usage == Usage(input_tokens=7, output_tokens=4)


def test_token_counts_may_stand_in_contents():
    response = wire.pb.ModelStreamInferResponse()
    output = response.infer_response.outputs.add(name="num_output_tokens", datatype="INT32", shape=[1])
    output.contents.int_contents.append(5)
    decoder = StreamDecoder(FULL)
    decoder.feed(response.SerializeToString())
    assert decoder.usage.output_tokens == 5


def test_a_count_without_a_value_is_unknown():
    decoder = StreamDecoder(FULL)
    decoder.feed(reply(("num_output_tokens", "INT32", [1], b"\x01"), ("num_input_tokens", "INT32", [0], b"")))
    assert decoder.usage == Usage()


def test_a_count_that_was_not_sent_is_unknown():
    decoder = StreamDecoder(FULL)
    decoder.feed(chunk("a"))
    assert decoder.usage == Usage()


def test_the_text_of_the_last_response_comes_before_the_end():
    decoder = StreamDecoder(DELTA)
    assert (decoder.feed(chunk("Hel", final=False)), decoder.finished) == ("Hel", False)
    assert (decoder.feed(chunk("lo", final=True)), decoder.finished) == ("lo", True)
    assert (decoder.end(), decoder.finished) == ("", True)


def test_the_end_of_an_incomplete_answer_is_an_error():
    with pytest.raises(IncompleteStreamError):
        StreamDecoder(DELTA).end()


# Properties


CUTS = st.lists(st.integers(0, 1000), max_size=10)


def cut(data, cuts):
    places = sorted({place % (len(data) + 1) for place in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def responses_of(chunks, *, inline):
    """Make responses of chunks with the final mark on the last of them or after it."""
    if inline and chunks:
        return [*(chunk(data, final=False) for data in chunks[:-1]), chunk(chunks[-1], final=True)]
    return [*(chunk(data, final=False) for data in chunks), last()]


@given(st.text(st.characters(codec="utf-8"), max_size=40), CUTS, st.booleans())
def test_any_split_of_the_bytes_gives_the_same_text(text, cuts, inline):
    assert read(StreamDecoder(DELTA), responses_of(cut(text.encode(), cuts), inline=inline)) == text


@given(st.binary(max_size=40), CUTS, st.booleans())
def test_any_split_of_bytes_that_are_no_utf8_gives_the_same_text(data, cuts, inline):
    text = read(StreamDecoder(DELTA), responses_of(cut(data, cuts), inline=inline))
    assert text == data.decode(errors="replace")


@given(st.text(st.characters(codec="utf-8"), max_size=40), CUTS, st.booleans())
def test_any_split_of_a_cumulative_answer_gives_the_same_text(text, cuts, inline):
    chunks = cut(text.encode(), cuts)
    wholes = [b"".join(chunks[: index + 1]) for index in range(len(chunks))]
    assert read(StreamDecoder(WHOLE), responses_of(wholes, inline=inline)) == text


def letter_by_letter(stops, text):
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - len(max(complete, key=len))], True
    return text, False


@given(
    st.text("aé<\ufffd", max_size=24),
    st.lists(st.text("aé<\ufffd", min_size=1, max_size=3), min_size=1, max_size=3),
    CUTS,
    st.booleans(),
    st.booleans(),
)
def test_any_split_gives_the_same_text_before_a_stop_string(text, stops, cuts, inline, cumulative):
    chunks = cut(text.encode(), cuts)
    if cumulative:
        chunks = [b"".join(chunks[: index + 1]) for index in range(len(chunks))]
    decoder = StreamDecoder(WHOLE if cumulative else DELTA, stops)
    got = ""
    for response in responses_of(chunks, inline=inline):
        got += decoder.feed(response)
        if decoder.stopped_early:
            break
    assert (got, decoder.stopped_early) == letter_by_letter(stops, text)
    assert decoder.end() == ""


DATATYPES = st.sampled_from(
    ["BYTES", "BYTES", "BYTES", "INT32", "UINT64", "FP32", "FP64", "BOOL", "BF16", ""]
)
NAMES = st.sampled_from(["text_output", "finish_reason", "num_input_tokens", "num_output_tokens", "x", ""])
RAW = (
    st.binary(max_size=12)
    | st.binary(max_size=6).map(raw_bytes)
    | st.sampled_from([b"\0\0\xc0\x7f", b"\0\0\x80\x7f"])
)


@st.composite
def arbitrary_responses(draw):
    response = wire.pb.ModelStreamInferResponse(error_message=draw(st.sampled_from(["", "", "", "it broke"])))
    answer = response.infer_response
    answer.id = draw(st.text("ab", max_size=2))
    for name, datatype, shape, words, numbers in draw(
        st.lists(
            st.tuples(
                NAMES,
                DATATYPES,
                st.lists(st.integers(-1, 3), max_size=2),
                st.lists(st.binary(max_size=4), max_size=2),
                st.lists(st.integers(0, 2**32 - 1), max_size=2),
            ),
            max_size=4,
        )
    ):
        output = answer.outputs.add(name=name, datatype=datatype, shape=shape)
        output.contents.bytes_contents.extend(words)
        output.contents.uint_contents.extend(numbers)
    answer.raw_output_contents.extend(draw(st.lists(RAW, max_size=5)))
    if draw(st.booleans()):
        answer.parameters[FINAL].bool_param = draw(st.booleans())
    return response.SerializeToString()


LAYOUTS = st.builds(
    OutputNames,
    cumulative=st.sampled_from([None, False, True]),
    finish_reason=st.sampled_from([None, "finish_reason"]),
    input_tokens=st.sampled_from([None, "num_input_tokens"]),
    output_tokens=st.sampled_from([None, "num_output_tokens"]),
)


@settings(max_examples=300)
@given(
    LAYOUTS,
    st.lists(st.text("ab", min_size=1, max_size=2), max_size=2),
    st.lists(arbitrary_responses(), max_size=5),
)
def test_whatever_a_server_sends_only_request_errors_come_out(output_names, stops, responses):
    decoder = StreamDecoder(output_names, stops)
    try:
        for response in responses:
            assert isinstance(decoder.feed(response), str)
        decoder.end()
    except RequestError:
        decoder.flush()
    assert isinstance(decoder.usage, Usage)


@given(st.binary(max_size=60))
def test_random_bytes_give_only_request_errors(data):
    with contextlib.suppress(RequestError):
        StreamDecoder(FULL).feed(data)


def test_bytes_that_are_no_response_break_the_protocol():
    with pytest.raises(ProtocolError, match="cannot be read") as caught:
        StreamDecoder(DELTA, request_id="r1").feed(b"\xff")
    assert caught.value.request_id == "r1"


@pytest.mark.parametrize(
    ("datatype", "raw"),
    [
        ("FP32", struct.pack("<f", float("nan"))),
        ("FP64", struct.pack("<d", float("inf"))),
        ("INT32", int32(-1)),
    ],
)
def test_a_count_that_cannot_be_one_is_unknown(datatype, raw):
    decoder = StreamDecoder(FULL)
    assert decoder.feed(reply(("num_output_tokens", datatype, [1], raw))) == ""
    assert decoder.usage.output_tokens is None


def test_fewer_raw_contents_than_outputs_break_the_protocol():
    response = reply_message(("num_output_tokens", "INT32", [1], int32(2)))
    response.infer_response.outputs.add(name="text_output", datatype="BYTES", shape=[1])
    with pytest.raises(ProtocolError, match="'text_output' has no contents"):
        StreamDecoder(DELTA).feed(response.SerializeToString())


def test_after_a_stop_string_an_error_is_ignored_too():
    decoder = StreamDecoder(DELTA, ["b"])
    decoder.feed(chunk("abc"))
    assert decoder.feed(error("Request was cancelled")) == ""


# Found by fuzzing


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_token_ids_that_are_no_numbers_break_the_protocol(number):
    decoder = StreamDecoder(OutputNames(text="ids", detokenize=lambda ids: "".join(map(chr, ids))))
    decoder.feed(reply(("ids", "INT32", [1], int32(65))))
    with pytest.raises(ProtocolError, match="cannot be decoded"):
        decoder.feed(reply(("ids", "FP32", [1], struct.pack("<f", number))))


def test_token_ids_that_the_tokenizer_fails_on_break_the_protocol_and_lose_no_text():
    held = {"text": "ab\ufffd"}

    def decode(ids):
        if 7 in ids:
            raise KeyError(7)
        return held["text"][: len(ids)]

    decoder = StreamDecoder(OutputNames(text="ids", detokenize=decode))
    assert decoder.feed(reply(("ids", "INT32", [3], int32(1) + int32(2) + int32(3)))) == "ab"
    with pytest.raises(ProtocolError, match="KeyError"):
        decoder.feed(reply(("ids", "INT32", [1], int32(7))))
    assert decoder.flush() == "\ufffd"


@pytest.mark.parametrize("words", ["[" * 100_000, '[{"1": {"logprob": ' + "9" * 400 + "}}]"])
def test_logprobs_that_are_too_much_for_python_break_the_protocol(words):
    decoder = StreamDecoder(OutputNames(logprobs="logprobs"))
    with pytest.raises(ProtocolError, match="logprobs"):
        decoder.feed(reply(("logprobs", "BYTES", [1], raw_bytes(words.encode()))))


def test_a_count_of_thousands_of_digits_is_unknown():
    decoder = StreamDecoder(FULL)
    assert decoder.feed(reply(("num_output_tokens", "BYTES", [1], raw_bytes(b"9" * 5_000)))) == ""
    assert decoder.usage.output_tokens is None


# The echoed prompt and the whole answer at once

ECHO = OutputNames(cumulative=False, echo=True)


def test_the_echoed_prompt_is_removed():
    decoder = StreamDecoder(ECHO, prompt="Once upon")
    assert (
        read(decoder, [chunk("Once", final=False), chunk(" upon a time", final=False), last()]) == " a time"
    )


def test_a_part_of_the_prompt_is_text_when_the_stream_breaks():
    decoder = StreamDecoder(ECHO, prompt="Once upon")
    assert decoder.feed(chunk("Once", final=False)) == ""
    assert decoder.flush() == "Once"


def whole(data, request_id="r1"):
    return reply_message(("text_output", "BYTES", [1], raw_bytes(data)), request_id=request_id).infer_response


def test_an_answer_that_comes_as_a_whole_needs_no_final_mark():
    decoder = StreamDecoder(WHOLE)
    assert decoder.feed_whole(whole(b"Hello")) == "Hello"
    assert (decoder.finished, decoder.stopped_early, decoder.end()) == (True, False, "")


def test_a_stop_string_ends_an_answer_that_comes_as_a_whole():
    decoder = StreamDecoder(WHOLE, stops=("<",))
    assert decoder.feed_whole(whole(b"Hello<end>")) == "Hello"
    assert (decoder.finished, decoder.stopped_early, decoder.finish_reason) == (True, True, FinishReason.STOP)


def test_a_whole_answer_to_another_request_breaks_the_protocol():
    decoder = StreamDecoder(DELTA, request_id="r1")
    with pytest.raises(ProtocolError, match="'r2'") as caught:
        decoder.feed_whole(whole(b"Hi", request_id="r2"))
    assert caught.value.request_id == "r1"


@pytest.mark.parametrize(("mine", "theirs"), [("r1", "r1"), ("r1", ""), ("", "r2")])
def test_an_id_that_one_of_the_two_does_not_have_is_no_other(mine, theirs):
    response = reply(("text_output", "BYTES", [1], raw_bytes(b"Hi")), request_id=theirs, final=True)
    assert StreamDecoder(DELTA, request_id=mine).feed(response) == "Hi"


# Token ids and log probabilities


def token_reply(*ids, name="text_output"):
    return reply((name, "INT32", [len(ids)], struct.pack(f"<{len(ids)}i", *ids)), final=False)


def test_token_ids_become_text_and_what_is_unfinished_comes_with_the_end():
    texts = {(1,): "a", (1, 2): "ab", (1, 2, 3): "ab\ufffd"}
    decoder = StreamDecoder(OutputNames(detokenize=lambda ids: texts[tuple(ids)]))
    assert [decoder.feed(token_reply(1)), decoder.feed(token_reply(2)), decoder.feed(token_reply(3))] == [
        "a",
        "b",
        "",
    ]
    assert decoder.feed(last()) == "\ufffd"


def test_log_probabilities_are_there_where_they_were_asked_for():
    response = reply(
        ("text_output", "BYTES", [1], raw_bytes(b"a")),
        ("p", "FP32", [1], struct.pack("<f", -0.5)),
        final=False,
    )
    decoder = StreamDecoder(OutputNames(cumulative=False, logprobs="p"))
    assert (decoder.logprobs, decoder.take_logprobs()) == ((), ())
    decoder.feed(response)
    assert [item.logprob for item in decoder.take_logprobs()] == [-0.5]
    assert [item.logprob for item in decoder.logprobs] == [-0.5]
    assert decoder.take_logprobs() == ()


@pytest.mark.parametrize("names", [DELTA, FULL])
def test_log_probabilities_that_were_not_asked_for_are_none(names):
    decoder = StreamDecoder(names)
    decoder.feed(chunk("a"))
    assert (decoder.logprobs, decoder.take_logprobs()) == (None, None)


# P-F8: several answers in one


def of_sequence(text, index, name="sequence_index"):
    return reply(
        ("text_output", "BYTES", [1, 1], raw_bytes(text)), (name, "INT32", [1, 1], struct.pack("<i", index))
    )


@pytest.mark.parametrize("name", ["sequence_index", "batch_index"])
@pytest.mark.parametrize("count", [1, 5])
def test_responses_of_different_sequences_are_never_joined(name, count):
    """P-F8: also behind responses that are read without being parsed."""
    decoder = StreamDecoder(DELTA)
    assert [decoder.feed(of_sequence(b"Red", 0, name)) for _ in range(count)] == ["Red"] * count
    with pytest.raises(
        ProtocolError, match=f"output '{name}' must be 0 .* not 1: the server sent several answers"
    ):
        decoder.feed(of_sequence(b"Blu", 1, name))


def test_responses_of_one_sequence_are_joined():
    decoder = StreamDecoder(DELTA)
    assert "".join(decoder.feed(of_sequence(text, 3)) for text in (b"a", b"b", b"c", b"d")) == "abcd"


@pytest.mark.parametrize(
    "output",
    [
        ("text_output", "BYTES", [1, 2], raw_bytes(b"Red") + raw_bytes(b"Blue")),
        ("sequence_index", "INT32", [2], struct.pack("<2i", 0, 1)),
    ],
)
def test_a_response_with_several_answers_says_what_to_set(output):
    """P-F8."""
    text = ("text_output", "BYTES", [1], raw_bytes(b"a"))
    response = reply(*((output,) if output[0] == "text_output" else (text, output)))
    with pytest.raises(ProtocolError, match=r"several answers .* Set n, best_of, beam_width"):
        StreamDecoder(DELTA).feed(response)


@pytest.mark.parametrize("shape", [[1, 2, 2], [2, 2], [2, 1, 2]])
def test_the_token_ids_of_several_beams_are_never_joined(shape):
    """P-F8: the raw engine of TensorRT-LLM."""
    decoder = StreamDecoder(OutputNames(text="output_ids", cumulative=False, detokenize=str))
    ids = struct.pack("<4i", 1, 2, 3, 4)
    with pytest.raises(ProtocolError, match=r"'output_ids' must be one row, .* several answers"):
        decoder.feed(reply(("output_ids", "INT32", shape, ids)))
