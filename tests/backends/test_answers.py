"""What the decoder makes of the answers of vLLM and TensorRT-LLM."""

from __future__ import annotations

import json
import struct
from itertools import pairwise

import pytest
from core.replies import chunk, last, raw_bytes, reply, reply_message, session_of
from hypothesis import given
from hypothesis import strategies as st

from nupic_client import FinishReason, Generation, TextDelta, Usage
from nupic_client._core.generation.decoder import StreamDecoder
from nupic_client._core.generation.text import PromptRemover, TokenJoiner
from nupic_client.backends import OutputNames
from nupic_client.errors import ProtocolError
from nupic_client.results import TokenLogprob

TEXT = ("text_output", "BYTES", (1,))


def text_and(text, *outputs, final=None):
    return reply((*TEXT, raw_bytes(text.encode())), *outputs, final=final)


def floats(*values, name="output_log_probs"):
    return (name, "FP32", (1, 1, len(values)), struct.pack(f"<{len(values)}f", *values))


def ids(*values):
    return reply(("output_ids", "INT32", (1, 1, len(values)), struct.pack(f"<{len(values)}i", *values)))


def vllm_json(*positions, name="logprobs"):
    return (name, "BYTES", (1,), raw_bytes(json.dumps(positions).encode()))


# Log probabilities

VLLM = OutputNames(cumulative=False, logprobs="logprobs")
TRTLLM = OutputNames(cumulative=False, logprobs="output_log_probs")
HELLO = {
    "15": {"logprob": -1.5, "rank": 2, "decoded_token": "Hello"},
    "7": {"logprob": -0.5, "rank": 1, "decoded_token": "Hi"},
}


def test_vllms_json_has_the_chosen_token_first_and_the_likeliest_besides():
    decoder = StreamDecoder(VLLM)
    decoder.feed(text_and("Hello", vllm_json(HELLO)))
    (told,) = decoder.logprobs
    assert (told.token, told.token_id, told.logprob, told.rank) == ("Hello", 15, -1.5, 2)
    assert [(item.token, item.logprob) for item in told.top_logprobs] == [("Hi", -0.5), ("Hello", -1.5)]


def test_each_response_of_vllm_tells_its_own_tokens():
    decoder = StreamDecoder(VLLM)
    decoder.feed(text_and("a", vllm_json(HELLO)))
    decoder.feed(text_and("b", vllm_json(HELLO, HELLO)))
    assert len(decoder.logprobs) == 3


@pytest.mark.parametrize("data", [b"null", b"[]", b"[null]", b""])
def test_vllm_may_have_nothing_to_tell(data):
    decoder = StreamDecoder(VLLM)
    decoder.feed(text_and("a", ("logprobs", "BYTES", (1,), raw_bytes(data))))
    decoder.feed(text_and("b"))
    assert decoder.logprobs == ()


@pytest.mark.parametrize("data", [b"{", b'[{"x": {}}]', b'[{"1": {"logprob": null}}]', b"[1]", b"7"])
def test_json_of_another_kind_breaks_the_protocol(data):
    with pytest.raises(ProtocolError, match="output 'logprobs'"):
        StreamDecoder(VLLM).feed(text_and("a", ("logprobs", "BYTES", (1,), raw_bytes(data))))


def test_broken_log_probabilities_are_not_repeated_in_the_error():
    data = b"\x80" + b"[" * 20_000
    with pytest.raises(ProtocolError, match="UnicodeDecodeError") as caught:
        StreamDecoder(VLLM).feed(text_and("a", ("logprobs", "BYTES", (1,), raw_bytes(data))))
    assert len(caught.value.message) < 400


def test_tensorrt_llm_tells_numbers():
    decoder = StreamDecoder(TRTLLM)
    decoder.feed(text_and("a", floats(-0.5)))
    decoder.feed(text_and("b", floats(-0.25, -1.0)))
    assert decoder.logprobs == tuple(TokenLogprob(logprob=value) for value in (-0.5, -0.25, -1.0))


def test_numbers_that_are_repeated_with_every_response_are_counted_once():
    decoder = StreamDecoder(TRTLLM)
    decoder.feed(text_and("a", floats(-0.5)))
    decoder.feed(text_and("b", floats(-0.5, -0.25)))
    decoder.feed(text_and("c", floats(-0.5, -0.25, -1.0)))
    assert [told.logprob for told in decoder.logprobs] == [-0.5, -0.25, -1.0]


def test_numbers_of_another_type_break_the_protocol():
    odd = ("output_log_probs", "BF16", (1,), b"\0\0")
    with pytest.raises(ProtocolError, match="must hold numbers, not BF16"):
        StreamDecoder(TRTLLM).feed(text_and("a", odd))


def test_log_probabilities_that_were_not_asked_for_are_none():
    decoder = StreamDecoder(OutputNames(cumulative=False, finish_reason="finish_reason"))
    decoder.feed(text_and("a", floats(-0.5)))
    assert decoder.logprobs is None
    assert decoder.take_logprobs() is None
    assert StreamDecoder(OutputNames()).logprobs is None


def test_log_probabilities_are_taken_with_the_text_of_their_chunk():
    decoder = StreamDecoder(TRTLLM)
    assert decoder.feed(text_and("", floats(-2.0))) == ""
    assert decoder.feed(text_and("a", floats(-0.5))) == "a"
    assert [item.logprob for item in decoder.take_logprobs()] == [-2.0, -0.5]
    assert decoder.feed(text_and("b", floats(-0.25), final=True)) == "b"
    assert decoder.take_logprobs() == (TokenLogprob(logprob=-0.25),)
    assert decoder.take_logprobs() == ()


def test_the_generation_has_all_log_probabilities():
    session = session_of(0.0, output_names=TRTLLM)
    text = session.receive(text_and("a", floats(-0.5)), 1.0)
    assert session.delta(text) == TextDelta("a", (TokenLogprob(logprob=-0.5),))
    session.receive(text_and("b", floats(-0.25), final=True), 2.0)
    session.ended(2.0)
    result = session.result()
    assert isinstance(result, Generation)
    assert [told.logprob for told in result.logprobs] == [-0.5, -0.25]
    assert "logprob" not in repr(result)


def test_a_generation_without_them_has_none():
    session = session_of(0.0)
    assert session.delta(session.receive(chunk("a", final=True), 1.0)) == TextDelta("a")
    session.ended(2.0)
    assert session.result().logprobs is None


# Usage and finish reason

FULL = OutputNames(
    cumulative=True,
    finish_reason="finish_reason",
    input_tokens="num_input_tokens",
    output_tokens="num_output_tokens",
)


def test_counts_are_the_sum_over_responses_and_the_prompts_is_repeated():
    decoder = StreamDecoder(FULL)
    for text, count in (("a", 1), ("ab", 2), ("abc", 3)):
        decoder.feed(
            text_and(
                text,
                ("num_input_tokens", "UINT32", (), (9).to_bytes(4, "little")),
                ("num_output_tokens", "UINT32", (1,), count.to_bytes(4, "little")),
            )
        )
    assert decoder.usage == Usage(input_tokens=9, output_tokens=6)


@pytest.mark.parametrize(("text", "count"), [(b"12", 12), (b"None", None), (b"", None), (b"-1", None)])
def test_numbers_that_are_sent_as_text_are_read_as_what_they_are(text, count):
    decoder = StreamDecoder(FULL)
    decoder.feed(text_and("a", ("num_output_tokens", "BYTES", (1,), raw_bytes(text))))
    assert decoder.usage.output_tokens == count


@pytest.mark.parametrize(
    ("reason", "meaning"),
    [
        ("stop", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("cancelled", FinishReason.CANCELLED),
        ("timeout", FinishReason.OTHER),
        ("abort", FinishReason.OTHER),
        ("None", None),
    ],
)
def test_reasons_are_understood(reason, meaning):
    decoder = StreamDecoder(FULL)
    decoder.feed(text_and("a", ("finish_reason", "BYTES", (1,), raw_bytes(reason.encode()))))
    assert decoder.finish_reason is meaning


# The repeated prompt

ECHO = OutputNames(cumulative=False, echo=True)


def test_the_prompt_is_removed_from_a_whole_answer():
    decoder = StreamDecoder(ECHO, prompt="Once upon")
    assert decoder.feed(chunk("Once upon a time", final=True)) == " a time"


def test_a_stop_string_of_the_prompt_ends_nothing():
    decoder = StreamDecoder(ECHO, ["<end>"], prompt="Say <end> now")
    assert decoder.feed(chunk("Say <end> now: yes<end>no")) == ": yes"
    assert decoder.finish_reason is FinishReason.STOP


def test_an_answer_that_only_resembles_the_prompt_is_whole():
    decoder = StreamDecoder(ECHO, prompt="Once upon")
    assert decoder.feed(chunk("Once", final=True)) == "Once"
    assert decoder.flush() == ""


def test_without_echo_a_text_may_begin_like_its_prompt():
    assert StreamDecoder(OutputNames(cumulative=False), prompt="ha").feed(chunk("hahaha")) == "hahaha"


@given(st.text("ab", max_size=5), st.text("ab", max_size=8), st.lists(st.integers(0, 8), max_size=3))
def test_removing_the_prompt_does_not_depend_on_the_chunks(prompt, text, cuts):
    remover = PromptRemover(prompt)
    borders = pairwise([0, *sorted(cuts), len(text)])
    chunks = [text[start:stop] for start, stop in borders]
    result = "".join(map(remover.feed, chunks)) + remover.flush()
    assert result == text.removeprefix(prompt)


# Token ids


def decode(tokens):
    return bytes(tokens).decode(errors="replace")


ENGINE = OutputNames(text="output_ids", cumulative=False, detokenize=decode)


def test_token_ids_become_text():
    decoder = StreamDecoder(ENGINE)
    assert [decoder.feed(ids(72)), decoder.feed(ids(105, -1)), decoder.feed(last())] == ["H", "i", ""]
    assert decoder.finished


def test_a_response_without_token_ids_adds_nothing():
    assert StreamDecoder(ENGINE).feed(reply(("sequence_length", "INT32", (1,), b"\0\0\0\0"))) == ""


def test_text_instead_of_token_ids_breaks_the_protocol():
    with pytest.raises(ProtocolError, match="output 'output_ids' must hold numbers"):
        StreamDecoder(ENGINE).feed(reply(("output_ids", "BYTES", (1,), raw_bytes(b"Hi"))))


def test_a_stop_string_is_found_over_tokens():
    decoder = StreamDecoder(ENGINE, ["end"])
    assert "".join(decoder.feed(ids(*token)) for token in (b"so e", b"n", b"d it")) == "so "


@given(st.text(max_size=12), st.integers(1, 4))
def test_characters_are_never_torn_apart(text, size):
    data = text.encode()
    decoder = StreamDecoder(ENGINE)
    chunks = [decoder.feed(ids(*data[start : start + size])) for start in range(0, len(data), size)]
    chunks.append(decoder.feed(last()))
    assert "".join(chunks) == text
    assert all("\ufffd" not in chunk for chunk in chunks) or "\ufffd" in text


def test_an_answer_that_ends_inside_a_character_keeps_what_there_is():
    decoder = StreamDecoder(ENGINE)
    assert decoder.feed(ids(*b"a\xf0\x9f")) == "a"
    assert decoder.feed(last()) == "\ufffd"


def test_a_tokenizer_that_rewrites_what_it_has_said_loses_nothing_new():
    texts = {1: "a .", 2: "a. b"}
    joiner = TokenJoiner(lambda tokens: texts[len(tokens)])
    assert joiner.feed([5]) == "a ."
    assert joiner.feed([6]) == "b"
    assert joiner.flush() == ""


def test_typed_contents_are_read_as_well():
    response = reply_message(final=False)
    output = response.infer_response.outputs.add(name="output_ids", datatype="INT32", shape=[1, 2])
    output.contents.int_contents.extend([72, 105])
    assert StreamDecoder(ENGINE).feed(response.SerializeToString()) == "Hi"
