"""JSON that comes in pieces: what is known of the value so far, however it is cut."""

import json
import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._partial_json import PartialJson

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
TEXT = '{"name": "A \\"B\\" \\u00e9", "n": [1, -2.5e3, true, null, {}, []], "o": {"x": ""}}'


def read(pieces):
    partial = PartialJson()
    for piece in pieces:
        partial.feed(piece)
    partial.end()
    return partial


@given(VALUES, st.integers(0, 2**32), st.sampled_from([None, 1]))
def test_the_whole_text_gives_its_value_however_it_is_cut(value, seed, indent):
    text = json.dumps(value, ensure_ascii=seed % 2 == 0, indent=indent)
    choose = random.Random(seed)
    pieces, position = [], 0
    while position < len(text):
        size = choose.randint(1, 5)
        pieces.append(text[position : position + size])
        position += size
    partial = read(pieces)
    assert partial.value == json.loads(text)
    assert partial.complete
    assert not partial.broken


@pytest.mark.parametrize("end", range(len(TEXT)))
def test_a_beginning_gives_what_is_complete(end):
    partial = PartialJson()
    partial.feed(TEXT[:end])
    whole = json.loads(TEXT)
    assert not partial.broken
    assert not partial.complete
    value = partial.value
    for key in value or {}:
        if key == "name":
            assert value[key] == whole[key]
        elif key == "n":
            assert value[key] == whole[key][: len(value[key])]
        else:
            assert value[key] in ({}, {"x": ""})


def test_texts_numbers_and_words_count_when_they_are_complete():
    partial = PartialJson()
    text = '{"a": "xy", "b": 12, "c": true}'
    assert [dict(partial.value) for character in text if partial.feed(character)] == [
        {},
        {"a": "xy"},
        {"a": "xy", "b": 12},
        {"a": "xy", "b": 12, "c": True},
    ]


def test_it_says_whether_the_value_has_changed():
    partial = PartialJson()
    assert [partial.feed(piece) for piece in ("{", '"a', '"', ":", "1", "2", ",", " ", "}")] == [
        *(True, False, False, False, False, False, True, False, False),
    ]
    assert partial.broken  # a comma before the end is not JSON
    assert partial.value == {"a": 12}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("Sure! {}", None),
        ("nul", None),
        ("[1, 2 3]", [1, 2]),
        ("[1,, 2]", [1]),
        ('{"a": NaN, "b": 1}', {}),
        ('{"a": 1} and more', {"a": 1}),
        ('{"a": [1, 2}', {"a": [1, 2]}),
        ("{1: 2}", {}),
        ('{"a" 1}', {}),
        ("[01]", []),
        ('["a\nb"]', []),
        ("]", None),
        ("```json\n{}\n```", None),
        ("[tru", []),
        ('["\\x"]', []),
    ],
)
def test_what_is_not_json_stops_it_and_never_raises(text, value):
    assert read([text]).value == value
    assert read(list(text)).value == read([text]).value


def test_a_number_at_the_end_is_complete_with_the_text():
    partial = PartialJson()
    assert not partial.feed("12")
    assert partial.end()
    assert partial.value == 12


def test_endless_nesting_stops_it():
    partial = read(["[" * 100_000])
    assert partial.broken


def test_a_long_number_stops_it():
    digits = sys.get_int_max_str_digits() if hasattr(sys, "get_int_max_str_digits") else 0
    partial = read(["[", "1" * ((digits or 4300) + 1), "]"])
    assert partial.broken == bool(digits)


def test_the_work_grows_with_the_text_alone():
    """Counted: the functions that it calls for each character of a long text, which comes character by character."""

    def calls(count):
        partial, seen = PartialJson(), 0

        def note(frame, event, argument):
            nonlocal seen
            seen += event in {"call", "c_call"}

        text = json.dumps([{"key": "some text", "n": n} for n in range(count)])
        sys.setprofile(note)
        try:
            for character in text:
                partial.feed(character)
        finally:
            sys.setprofile(None)
        return seen / len(text)

    assert calls(400) < 1.2 * calls(40)
