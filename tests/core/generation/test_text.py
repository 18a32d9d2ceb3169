"""Text out of chunks: UTF-8, whole texts, stop strings, the echoed prompt and token ids, however the chunks are cut."""

from __future__ import annotations

import itertools
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.generation.text import (
    CumulativeText,
    PromptRemover,
    StopScanner,
    TokenJoiner,
    Utf8Joiner,
)

ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
SMALL_TEXT = st.text("ab<", max_size=30)
STOPS = st.lists(st.text("ab<", min_size=1, max_size=4), min_size=1, max_size=4, unique=True)


def split(data, cuts):
    """Cut a sequence at the given places, wherever they are."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


CUTS = st.lists(st.integers(0, 1000), max_size=12)


def joined(chunks):
    joiner = Utf8Joiner()
    return "".join([joiner.feed(chunk) for chunk in chunks]) + joiner.flush()


def scanned(stops, chunks):
    scanner = StopScanner(stops)
    text = ""
    for chunk in chunks:
        text += scanner.feed(chunk)
        if scanner.matched is not None:
            return text, scanner.matched
    return text + scanner.flush(), None


def letter_by_letter(stops, text):
    """The oracle: the first stop string to be complete ends the text, the longest of those complete at one place."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            longest = max(complete, key=len)
            return text[: end - len(longest)], longest
    return text, None


# UTF-8


@given(ANY_TEXT, CUTS)
def test_any_split_of_utf8_gives_the_same_text(text, cuts):
    assert joined(split(text.encode(), cuts)) == text


@given(st.binary(max_size=40), CUTS)
def test_any_split_of_any_bytes_gives_what_decoding_the_whole_gives(data, cuts):
    assert joined(split(data, cuts)) == data.decode(errors="replace")


@given(
    st.lists(
        st.sampled_from([b"\xe2", b"\x82", b"\xac", b"\xf0\x9f", b"a", b"", b"\xff", b"\xc3"]), max_size=12
    )
)
def test_chunks_of_characters_give_what_decoding_the_whole_gives(chunks):
    assert joined(chunks) == b"".join(chunks).decode(errors="replace")


def test_a_character_is_given_when_its_last_byte_has_come():
    joiner = Utf8Joiner()
    assert [joiner.feed(bytes([byte])) for byte in "€".encode()] == ["", "", "€"]


def test_an_unfinished_character_at_the_end_is_one_replacement_character():
    joiner = Utf8Joiner()
    assert joiner.feed(b"a\xe2\x82") == "a"
    assert joiner.flush() == "\ufffd"


def test_after_the_flush_nothing_is_left():
    joiner = Utf8Joiner()
    joiner.feed(b"\xe2")
    joiner.flush()
    assert joiner.flush() == ""
    assert joiner.feed(b"ok") == "ok"


# Stop strings


@given(STOPS, SMALL_TEXT, CUTS)
def test_the_stop_scanner_agrees_with_reading_letter_by_letter(stops, text, cuts):
    assert scanned(stops, split(text, cuts)) == letter_by_letter(stops, text)


@given(STOPS, SMALL_TEXT)
def test_single_letters_give_the_same_as_the_whole_text(stops, text):
    assert scanned(stops, list(text)) == scanned(stops, [text])


@given(STOPS, SMALL_TEXT, CUTS)
def test_no_more_is_held_back_than_what_may_begin_a_stop_string(stops, text, cuts):
    scanner = StopScanner(stops)
    given_text = ""
    for chunk in split(text, cuts):
        given_text += scanner.feed(chunk)
        if scanner.matched is not None:
            return
    held = text[len(given_text) :]
    assert held == "" or any(stop.startswith(held) for stop in stops)


def test_text_without_the_first_letter_of_a_stop_string_is_given_at_once():
    scanner = StopScanner(["END"])
    assert scanner.feed("a story") == "a story"
    assert scanner.flush() == ""


def test_the_beginning_of_a_stop_string_is_held_back_and_given_when_it_was_none():
    scanner = StopScanner(["<end>"])
    assert scanner.feed("a <e") == "a "
    assert scanner.feed("m>") == "<em>"
    assert scanner.matched is None


def test_a_stop_string_over_a_border_ends_the_text():
    scanner = StopScanner(["<end>"])
    assert scanner.feed("a <e") == "a "
    assert scanner.feed("nd> b") == ""
    assert scanner.matched == "<end>"


def test_the_longest_of_those_complete_at_one_place_wins():
    scanner = StopScanner(["c", "bc", "abc"])
    assert scanner.feed("xabc") == "x"
    assert scanner.matched == "abc"


def test_the_first_to_be_complete_wins_over_one_that_begins_earlier():
    scanner = StopScanner(["abcd", "b"])
    assert scanner.feed("xabcd") == "xa"
    assert scanner.matched == "b"


# Cumulative texts


def whole_texts(chunks):
    return ["".join(chunks[: index + 1]) for index in range(len(chunks))]


def grown(chunks, cumulative):
    text = CumulativeText(cumulative=cumulative)
    return b"".join([text.feed(chunk) for chunk in chunks]) + text.flush()


@given(ANY_TEXT, CUTS)
def test_declared_cumulative_chunks_give_the_whole_text(text, cuts):
    chunks = [chunk.encode() for chunk in whole_texts(split(text, cuts))]
    assert grown(chunks, True).decode() == text


@given(st.lists(st.binary(max_size=6), max_size=8))
def test_declared_new_text_goes_through_unchanged(chunks):
    assert grown(chunks, False) == b"".join(chunks)


@given(st.lists(st.text("abc ", min_size=1, max_size=5), min_size=1, max_size=8))
def test_growing_chunks_that_start_with_a_word_are_found_to_be_cumulative(tails):
    chunks = [chunk.encode() for chunk in whole_texts(["word", *tails])]
    assert grown(chunks, None) == chunks[-1]


def test_chunks_that_do_not_grow_are_new_text():
    assert grown([b"Hello", b" there", b" there"], None) == b"Hello there there"


def test_runs_of_dashes_are_new_text():
    assert grown([b"-", b"--", b"---", b"----"], None) == b"-" * 10


def test_a_second_chunk_that_only_looks_cumulative_is_not_lost():
    assert grown([b"ha", b"haha", b"!"], None) == b"hahaha!"


def test_new_text_that_only_looked_cumulative_comes_back_whole():
    """P-F14: the chunks are all still known."""
    assert grown([b"1", b"10", b"100", b"1000", b"x", b"1"], None) == b"1101001000x1"


@given(
    st.lists(st.binary(min_size=1, max_size=6), max_size=6),
    st.lists(st.text("ab1 ", min_size=1, max_size=3), max_size=6),
)
def test_new_text_is_complete_however_many_chunks_looked_cumulative(rest, tails):
    """P-F14."""
    chunks = [chunk.encode() for chunk in whole_texts(["a", *tails])]
    chunks += [b"\n", *rest]
    assert grown(chunks, None) == b"".join(chunks)


def test_text_of_cumulative_chunks_flows_once_a_text_of_32_bytes_was_repeated():
    text = CumulativeText(cumulative=None)
    chunks = [("word " * count).encode() for count in range(1, 11)]
    assert [len(text.feed(chunk)) for chunk in chunks] == [5, 0, 0, 0, 0, 0, 0, 35, 5, 5]


def test_one_long_growth_proves_nothing():
    text = CumulativeText(cumulative=None)
    assert [text.feed(b"a" * 40), text.feed(b"a" * 80), text.feed(b"b")] == [b"a" * 40, b"", b"a" * 80 + b"b"]


def test_two_chunks_of_which_one_continues_the_other_are_the_whole_text():
    assert grown([b"Hello", b"Hello you"], None) == b"Hello you"


def test_one_chunk_is_new_text():
    assert grown([b"Hello"], None) == b"Hello"


def test_empty_chunks_decide_nothing():
    assert grown([b"", b"Hello", b"", b"Hello you", b"", b"Hello you all"], None) == b"Hello you all"


def test_a_repeated_whole_text_adds_nothing():
    assert grown([b"Hello", b"Hello", b"Hello you"], True) == b"Hello you"


def test_a_replacement_character_at_the_end_waits_for_the_real_one():
    text = CumulativeText(cumulative=True)
    assert text.feed("caf\ufffd".encode()) == b"caf"
    assert text.feed("café".encode()) == "é".encode()
    assert text.flush() == b""


def test_a_replacement_character_at_the_very_end_is_given_by_the_flush():
    text = CumulativeText(cumulative=True)
    text.feed("caf\ufffd".encode())
    assert text.flush() == "\ufffd".encode()
    assert text.flush() == b""


def test_a_declared_cumulative_text_that_changes_its_beginning_is_an_error():
    text = CumulativeText(cumulative=True)
    text.feed(b"Hello")
    with pytest.raises(ValueError, match="does not continue"):
        text.feed(b"Goodbye")


def test_a_replacement_character_that_was_cut_is_text():
    assert grown(["\ufffd".encode()[:1], "\ufffd".encode(), "\ufffd!".encode()], True) == "\ufffd!".encode()


# The echoed prompt


@given(SMALL_TEXT, SMALL_TEXT, CUTS)
def test_a_prompt_is_removed_once_however_the_text_is_split(prompt, answer, cuts):
    remover = PromptRemover(prompt)
    text = "".join([remover.feed(part) for part in split(prompt + answer, cuts)]) + remover.flush()
    assert text == answer


@given(SMALL_TEXT, SMALL_TEXT, CUTS)
def test_a_text_that_does_not_begin_with_the_prompt_is_left_alone(prompt, answer, cuts):
    remover = PromptRemover(prompt)
    text = "".join([remover.feed(part) for part in split(answer, cuts)]) + remover.flush()
    assert text == (answer.removeprefix(prompt))


def test_only_what_may_be_the_prompt_is_held_back():
    remover = PromptRemover("abc")
    assert [remover.feed(part) for part in ("a", "b", "x", "a")] == ["", "", "abx", "a"]
    assert remover.flush() == ""


# Token ids

VOCABULARY = ["Hel", "lo", " ", "w\u00f6", b"\xf0\x9f", b"\x98\x80"]


def detokenize(ids):
    """Decode as tokenizers do: what is no whole character is U+FFFD."""
    words = [VOCABULARY[token] for token in ids]
    return b"".join(word if isinstance(word, bytes) else word.encode() for word in words).decode(
        errors="replace"
    )


def test_tokens_become_the_text_that_they_complete():
    joiner = TokenJoiner(detokenize)
    assert [joiner.feed(ids) for ids in ([0, 1], [2], [3])] == ["Hello", " ", "w\u00f6"]
    assert joiner.flush() == ""


def test_a_part_of_a_character_waits_for_the_rest():
    joiner = TokenJoiner(detokenize)
    assert [joiner.feed([4]), joiner.feed([5]), joiner.flush()] == ["", "\U0001f600", ""]


def test_a_character_that_is_never_finished_comes_with_the_flush_as_a_replacement():
    joiner = TokenJoiner(detokenize)
    assert [joiner.feed([0, 4]), joiner.flush(), joiner.flush()] == ["Hel", "\ufffd", ""]


def test_padding_is_no_token():
    def decode(ids):
        assert -1 not in ids
        return detokenize(ids)

    joiner = TokenJoiner(decode)
    assert [joiner.feed([-1, 0, -1]), joiner.feed([-1]), joiner.feed([])] == ["Hel", "", ""]


def test_without_tokens_nobody_is_asked_for_text():
    joiner = TokenJoiner(lambda ids: 1 / 0)
    assert [joiner.feed([]), joiner.flush()] == ["", ""]


def test_tokens_that_cannot_be_decoded_are_dropped_and_the_text_before_them_is_not():
    joiner = TokenJoiner(detokenize)
    joiner.feed([0, 4])
    with pytest.raises(IndexError):
        joiner.feed([99, 100])
    assert [joiner.feed([5]), joiner.flush()] == ["\U0001f600", ""]


def test_a_text_that_shrinks_for_a_while_gives_nothing_twice():
    texts = {1: "ab", 2: "a", 3: "abc"}
    joiner = TokenJoiner(lambda ids: texts[len(ids)])
    assert [joiner.feed([7]), joiner.feed([7]), joiner.feed([7])] == ["ab", "", "c"]


@given(st.lists(st.integers(0, len(VOCABULARY) - 1), max_size=12), CUTS)
def test_any_split_of_the_tokens_gives_the_text_of_all(ids, cuts):
    joiner = TokenJoiner(detokenize)
    text = "".join([joiner.feed(part) for part in split(ids, cuts)]) + joiner.flush()
    whole = detokenize(ids)
    if "\ufffd" not in whole.rstrip("\ufffd"):
        assert text == whole


# P-F4: tokenizers whose text of more tokens does not begin with the text of fewer

WORDS = ["Hel", "lo", " ", "  ", ".", " .", "'t", " n", " do", "n't", "<s>", "\u00f6", "\n", ","]


def cleaned(text):
    for old, new in ((" .", "."), (" ,", ","), (" n't", "n't")):
        text = text.replace(old, new)
    return text


def joined_words(ids):
    return "".join(WORDS[token] for token in ids)


def sentencepiece(ids):
    """Decode as sentencepiece does: the space that stands before the first word is no part of the text."""
    return joined_words(ids).removeprefix(" ")


def skipping(ids):
    """Leave special tokens out, and the space beside them."""
    return joined_words(ids).replace("<s> ", "").replace("<s>", "")


ODD_DECODERS = {
    "cleans up": lambda ids: cleaned(joined_words(ids)),
    "strips": lambda ids: joined_words(ids).strip(),
    "strips and cleans up": lambda ids: cleaned(joined_words(ids)).strip(),
    "trims": lambda ids: joined_words(ids).rstrip(),
    "joins spaces": lambda ids: " ".join(joined_words(ids).split()),
    "sentencepiece": sentencepiece,
    "sentencepiece that cleans up": lambda ids: cleaned(sentencepiece(ids)),
    "skips specials": skipping,
    "skips specials and cleans up": lambda ids: cleaned(skipping(ids)),
    "words with spaces between": lambda ids: " ".join(WORDS[token] for token in ids),
}


def fed(decode, parts):
    joiner = TokenJoiner(decode)
    return [*(joiner.feed(part) for part in parts), joiner.flush()]


@pytest.mark.parametrize("decode", ODD_DECODERS.values(), ids=ODD_DECODERS)
@given(st.lists(st.integers(0, len(WORDS) - 1), max_size=10), CUTS)
def test_no_tokenizer_makes_characters_vanish_or_come_twice(decode, ids, cuts):
    """P-F4: only white space may differ from the text of all tokens."""
    text = "".join(fed(decode, split(ids, cuts)))
    assert "".join(text.split()) == "".join(decode(ids).split())


@given(st.lists(st.integers(0, len(WORDS) - 1), max_size=8))
def test_where_each_text_begins_with_the_one_before_the_text_is_that_of_all_tokens(ids):
    """P-F4."""
    for decode in ODD_DECODERS.values():
        texts = [decode(ids[:end]) for end in range(len(ids) + 1)]
        if all(after.startswith(before) for before, after in itertools.pairwise(texts)):
            assert "".join(fed(decode, [[token] for token in ids])) == texts[-1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["Hello", " ", ".", " world"], ["Hello", " ", ".", " world", ""]),
        (["I", " do", " n", "'t", "."], ["I", " do", " n", "'t", ".", ""]),
        (["I do", " n", "'t"], ["I do", " n", "'t", ""]),
    ],
)
def test_text_goes_on_after_the_letters_before_where_a_tokenizer_cleans_up_spaces(words, expected):
    """P-F4: the report's examples, for a tokenizer that cannot be told not to clean up."""

    def decode(ids):
        return cleaned("".join(words[token] for token in ids))

    assert fed(decode, [[token] for token in range(len(words))]) == expected


def test_a_change_that_the_next_tokens_take_back_is_waited_for():
    """P-F4."""
    texts = {1: "ab", 2: "a?", 3: "abc"}
    assert fed(lambda ids: texts[len(ids)], [[7], [7], [7]]) == ["ab", "", "c", ""]


def test_a_text_whose_beginning_changes_for_good_goes_on_after_it():
    """P-F4: a tokenizer that writes the opening quote when it sees the closing one."""
    words = ['"', "So", " be", " it", '"', " he", " said"]

    def decode(ids):
        text = "".join(words[token] for token in ids)
        return text.replace('"', "\u201c", 1) if text.count('"') == 2 else text

    assert "".join(fed(decode, [[token] for token in range(7)])) == '"So be it" he said'


def test_a_character_that_is_not_complete_when_the_text_changes_is_not_torn():
    """P-F4."""
    words = [b"a", b" ", b"\xf0\x9f", b"\x98\x80", b".", b"b", b"\xc3", b"\xb6"]

    def decode(ids):
        return b"".join(words[token] for token in ids).replace(b" .", b".").decode(errors="replace")

    assert "".join(fed(decode, [[0], [1], [4], [6], [7], [5], [2], [3]])) == "a .\u00f6b\U0001f600"


def test_a_tokenizer_that_fails_for_a_part_of_the_tokens_loses_no_text():
    """P-F4: text that was changed is decoded in parts, which a tokenizer may refuse."""

    def decode(ids):
        if ids and ids[0] == 1:
            raise ValueError("a text cannot begin with this token")
        return cleaned("".join(["a", " ", ".", "b"][token] for token in ids))

    assert "".join(fed(decode, [[0], [1], [2], [3]])) == "a .b"


@given(st.lists(st.sampled_from(["e", "\u0301", "a", "\u0308", " ", "x"]), max_size=10))
def test_a_tokenizer_that_composes_characters_loses_none(words):
    """P-F4: a letter that was given out cannot become another one; its accent follows."""
    text = "".join(
        fed(lambda ids: normalize("NFC", "".join(words[i] for i in ids)), [[i] for i in range(len(words))])
    )
    assert normalize("NFC", text) == normalize("NFC", "".join(words))
