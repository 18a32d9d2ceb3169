"""JSON that arrives in pieces: the same as Python's reader says, event by event, wherever it is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nupic_client._core.generation.answer.json_scanner import MAX_DEPTH, JsonEvent, JsonScanner, is_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def strictly(text):
    def refuse(word):
        raise ValueError(word)

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True


@settings(max_examples=500, deadline=None)
@given(st.text('{}[]",:1-.e tb\\nrufals0', max_size=12))
def test_the_same_as_pythons_reader(text):
    assert is_json(text) == strictly(text)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"a":1}',
        '"a\nb"',
        "01",
        "1.",
        "-",
        "tru",
        '"\\x"',
        "-0.5e+1",
        "+1",
        "NaN",
        "{,}",
        "[1,]",
        '{"a" 1}',
        "[1 2]",
        "",
    ],
)
def test_examples(text):
    assert is_json(text) == strictly(text)


def events_of(pieces):
    scanner, events, held, read = JsonScanner(2), [], "", 0
    for piece in pieces:
        text, place = held + piece, 0
        while True:
            event, place = scanner.scan(text, place)
            if event is JsonEvent.MORE:
                break
            events.append((event, read + place, scanner.depth, scanner.string))
            if event is JsonEvent.WRONG or (event is JsonEvent.END and not scanner.depth):
                return events
        held = text[place:]
        read += place
    return events


@settings(max_examples=200, deadline=None)
@given(VALUES, st.lists(st.integers(0, 100), max_size=5))
def test_the_pieces_do_not_matter(value, cuts):
    text = json.dumps(value, ensure_ascii=not cuts) + " "
    places = sorted({cut % len(text) for cut in cuts})
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    whole = events_of([text])
    assert whole[-1][0] is JsonEvent.END
    assert events_of(pieces) == events_of(list(text)) == whole


@pytest.mark.parametrize("text", ['{"a": functools}', "[1, falsy]", "[1.x]", '["\\u12g4"]', "[12a]"])
def test_the_wrong_character_is_the_same_however_cut(text):
    assert events_of([text]) == events_of(list(text))
    assert events_of([text])[-1][0] is JsonEvent.WRONG


def test_bounds():
    assert is_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert not is_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    assert is_json("1" * 1000)
    assert not is_json("1" * 2000)


def test_strings_are_kept_at_the_top_only():
    events = events_of(['{"a": {"b": {"c": "deep"}, "d": "e"}} '])
    assert [string for event, _, _, string in events if event is JsonEvent.KEY] == ["a", "b", "", "d"]
