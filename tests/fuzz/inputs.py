"""Inputs for the bounded run: the corpus, changed here and there, and a few that are made of nothing."""

from __future__ import annotations

from hypothesis import strategies as st

from . import corpus

_WORDS = (
    b"", b"\0", b"\xff", b"\xff\xff\xff\x7f", b"\xe2\x82", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\n", b'"', b"'",
    b"{{", b"}}", b"{%", b"%}", b"[", b"]", b"[" * 2000, b"{" * 2000, b"(" * 500, b"9" * 5000, b"://", b":", b",",
    b"%00", b"null", b"NaN", b"1e999", b"__class__", b".format", b"<end>", b" and ", b"|", b"range(99999)", b"a" * 300,
)  # fmt: skip


def _changed(seeds: list[bytes]):
    """A seed with a few edits: cut, doubled, overwritten, and with chunks of another seed."""
    place = st.integers(0, 2**16)
    word = st.sampled_from(_WORDS) | st.binary(max_size=8)
    edit = st.tuples(place, st.integers(0, 12), word)
    cross = st.tuples(st.sampled_from(seeds), place, place)
    return st.builds(_apply, st.sampled_from(seeds), st.lists(edit, max_size=5), st.none() | cross)


def _apply(seed: bytes, edits, cross) -> bytes:
    data = seed
    for place, removed, word in edits:
        at = place % (len(data) + 1)
        data = data[:at] + word + data[at + removed :]
    if cross is not None:
        other, start, at = cross
        at %= len(data) + 1
        data = data[:at] + other[start % (len(other) + 1) :]
    return data


def inputs(target: str):
    """The strategy for a target."""
    seeds = corpus.inputs(target)
    return (
        st.one_of(_changed(seeds), _changed(seeds), st.binary(max_size=400))
        if seeds
        else st.binary(max_size=400)
    )
