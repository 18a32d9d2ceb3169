"""The readers of calls keep to one protocol."""

from __future__ import annotations

from core.generation.answer.forms import FORMS

from nupic_client._core.generation.answer.calls import CallLog
from nupic_client._core.generation.answer.compiled import Kind, compiled
from nupic_client._core.generation.answer.reading import Reading


def test_every_reader_says_how_far_it_read():
    for form in FORMS:
        for part in compiled(form.format, with_tools=True).parts:
            if part.kind is Kind.CALLS:
                reader = part.reader({}, {}, CallLog(str), anchored=True)
                assert isinstance(reader.closes, bool)
                assert reader.settled == -1
                assert reader.feed("", 0, final=False) == (Reading.MORE, 0)
                assert reader.finish(cut=True) is Reading.WRONG
