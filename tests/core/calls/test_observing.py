"""An observer's methods: looked up once, refused where they could not be called, dropped where one raised."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import pytest

from nupic_client import Observer
from nupic_client._core.calls.observing import Observing
from nupic_client.errors import ConfigurationError


class Later:
    """A place for functions that are called later."""


class Plain:
    def on_end(self, info, outcome):
        """Can be pickled."""


def clock():
    return 0.0


def test_copies():
    copied = pickle.loads(pickle.dumps(Observing(Plain(), clock, Later)))
    assert isinstance(copied, Observing)
    assert type(copied.observer).__name__ == "Plain"
    assert pickle.loads(pickle.dumps(Observing(SimpleNamespace(on_end=lambda: 0), clock, Later))) is None


def test_methods_that_are_not_overridden_are_not_called():
    class Ends(Observer):
        def on_end(self, info, outcome):
            """Do something."""

    observing = Observing(Ends(), clock, Later)
    assert observing.on_end is not None
    assert (observing.on_start, observing.on_retry, observing.metadata) == (None, None, None)
    assert observing.tell("on_start", "info") is None


async def is_async(*_):
    """Cannot be told."""


@pytest.mark.parametrize(
    ("observer", "words"),
    [
        (object(), "must have at least one of the methods"),
        (Plain, "make an object of it"),
        (SimpleNamespace(on_end=is_async), "told, not awaited"),
        (SimpleNamespace(on_end=1), "must be a plain method"),
    ],
)
def test_what_cannot_be_told_is_refused(observer, words):
    with pytest.raises(ConfigurationError, match=words):
        Observing(observer, clock, Later)


def test_an_observer_that_raises_is_dropped(caplog):
    observing = Observing(SimpleNamespace(on_start=lambda: 1 / 0, on_end=lambda: "told"), clock, Later)
    assert observing.wanted("infer")
    assert observing.tell("on_start") is None
    assert observing.dropped
    assert not observing.wanted("infer")
    assert observing.tell("on_end") is None
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_metadata_that_cannot_be_sent_drops_the_observer():
    observing = Observing(SimpleNamespace(metadata=lambda names: {"x-é": "1"}), clock, Later)
    assert observing.made_metadata(()) == {}
    assert observing.dropped
