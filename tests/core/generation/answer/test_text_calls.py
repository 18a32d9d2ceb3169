"""Calls that are read when they are complete: up to an anchor, to the end, or to the last bracket."""

from __future__ import annotations

from nupic_client._core.generation.answer.anchors import Literals
from nupic_client._core.generation.answer.calls import CallLog
from nupic_client._core.generation.answer.reading import Reading
from nupic_client._core.generation.answer.text_calls import ListedCalls, TextCalls


def taking(bodies):
    def read(body, groups, log):
        bodies.append((body, dict(groups)))
        return "bad" not in body

    return read


def test_up_to_an_anchor():
    bodies = []
    reader = TextCalls(Literals(("</x>",)), taking(bodies), {"name": "f"}, CallLog(str))
    assert reader.feed("one </", 0, final=False) == (Reading.MORE, 4)
    assert reader.feed("</y></x> rest", 0, final=False) == (Reading.DONE, 8)
    assert bodies == [("one </y>", {"name": "f"})]
    wrong = TextCalls(Literals(("</x>",)), taking(bodies), {}, CallLog(str))
    assert wrong.feed("bad</x>", 0, final=False) == (Reading.WRONG, 7)


def test_up_to_the_end():
    for cut, state in ((True, Reading.WRONG), (False, Reading.DONE)):
        reader = TextCalls(None, taking([]), {}, CallLog(str))
        assert reader.feed("one", 0, final=False) == (Reading.MORE, 3)
        assert reader.finish(cut=cut) is state


def test_up_to_the_last_bracket():
    bodies = []
    reader = ListedCalls(taking(bodies), CallLog(str))
    assert reader.feed(" ", 0, final=False) == (Reading.MORE, 1)
    assert reader.feed("[f(", 0, final=False) == (Reading.MORE, 3)
    assert reader.feed(")] rest", 0, final=False) == (Reading.DONE, 2)
    assert bodies == [("[f()]", {})]
    assert ListedCalls(taking([]), CallLog(str)).feed("f", 0, final=False) == (Reading.WRONG, 0)
    assert ListedCalls(taking([]), CallLog(str)).finish(cut=False) is Reading.WRONG
