"""The requests of a call: each in the context of the call, told of by all observers that do not raise, left together."""

from __future__ import annotations

import contextvars
import weakref
from types import SimpleNamespace

import pytest
from core.calls.observers import FACTS, Later

from nupic_client._core.calls.observing import Observing
from nupic_client._core.calls.watch import Watch, watching


def test_leaving_ends_what_runs(told, watch):
    first, _, _ = (watch.begin(100.0, **FACTS) for _ in range(3))
    first.finished()
    watch.leave(dropped=True)
    assert (len(told.ends), len(Later.submitted)) == (1, 2)
    assert not watch._running


def test_the_context_is_that_of_the_call():
    variable = contextvars.ContextVar("variable", default="outside")
    seen = []

    def on_start(info):
        seen.append(variable.get())
        variable.set("by the observer")

    observing = Observing(SimpleNamespace(on_start=on_start), lambda: 0.0, Later)
    token = variable.set("caller")
    watch = watching((observing,), "map")
    variable.reset(token)
    first, second = watch.begin(0.0, **FACTS), watch.begin(0.0, **FACTS)
    assert seen == ["caller", "caller"]
    assert variable.get() == "outside"
    assert first.context.run(variable.get) == second.context.run(variable.get) == "by the observer"


def test_an_observer_that_raised_watches_nothing(told):
    told.on_start = lambda info: 1 / 0
    observing = Observing(told, lambda: 0.0, Later)
    watching((observing,), "infer").begin(0.0, **FACTS).finished()
    assert observing.dropped
    assert watching((observing,), "infer") is None
    assert told.ends == []


def test_a_request_is_a_key_and_can_be_referenced_weakly(watch):
    infos = [watch.begin(100.0, **FACTS)._info for _ in range(2)]
    assert len(dict.fromkeys(infos)) == 2
    assert weakref.ref(infos[0])() is infos[0]
    with pytest.raises(AttributeError):
        infos[0].context = "changed"


def test_the_session_of_a_request_goes_before_that_of_the_call(told):
    watch = watching((Observing(told, lambda: 0.0, Later),), "stream", session="conversation")
    watch.begin(0.0, **FACTS, session="its own")
    watch.begin(0.0, **FACTS, session="")
    assert [info.session for info in told.starts] == ["its own", "conversation"]


def test_a_watch_keeps_no_request_that_has_ended(told, watch):
    assert isinstance(watch, Watch)
    observation = weakref.ref(watch.begin(0.0, **FACTS)._info)
    watch.leave()
    told.starts.clear()
    told.ends.clear()
    assert observation() is None
