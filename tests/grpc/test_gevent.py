"""U-B6: the parts that need no gevent; `others/test_gevent.py` has the real one."""

from __future__ import annotations

import queue
import sys
import threading
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from grpc._cython import cygrpc

from nupic_client import StreamingClient
from nupic_client._grpc import gevent, housekeeping
from nupic_client.testing import FakeTriton

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[warnings.WarningMessage]]:
    monkeypatch.setattr(gevent._Process, "warned", False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def patched(*modules: str) -> SimpleNamespace:
    """Return a stand-in for ``gevent.monkey`` that has patched some modules."""
    return SimpleNamespace(is_module_patched=lambda name: name in modules)


def test_the_first_blocking_call_warns_once_and_points_at_its_line(monkeypatch, warned):
    monkeypatch.setitem(sys.modules, "gevent.monkey", patched("threading"))
    with FakeTriton() as server:
        for _ in range(2):
            with StreamingClient("gpt.streaming", url=server.url) as client:
                client.generate("hi")
                client.generate("hi")
    (warning,) = warned
    assert warning.category is UserWarning
    assert warning.filename == __file__
    assert "init_gevent() right after monkey.patch_all()" in str(warning.message)


def test_making_a_client_does_not_warn(monkeypatch, warned):
    monkeypatch.setitem(sys.modules, "gevent.monkey", patched("threading"))
    StreamingClient("gpt.streaming").close()
    assert not warned


@pytest.mark.parametrize(
    "case", ["no gevent", "nothing patched", "other modules", "gRPC was told", "nobody can tell"]
)
def test_nobody_else_is_warned(monkeypatch, warned, case):
    modules = {"nothing patched": (), "other modules": ("socket", "ssl")}.get(case, ("threading",))
    if case != "no gevent":
        monkeypatch.setitem(sys.modules, "gevent.monkey", patched(*modules))
    if case == "gRPC was told":
        monkeypatch.setattr(cygrpc, "g_gevent_activated", True)
    if case == "nobody can tell":
        monkeypatch.delattr(cygrpc, "g_gevent_activated")
    gevent.warn_of_gevent()
    assert not warned


class OtherQueue(queue.Queue):
    """Stands for gevent's."""


def test_the_queue_goes_with_the_threads_that_are_there_when_it_is_needed(monkeypatch):
    """gunicorn forks first and patches then: a greenlet would wait at a queue that stops all of them."""
    mine, done, registration = (
        housekeeping._Housekeeper(linger=0.02),
        threading.Event(),
        housekeeping.Registration(),
    )
    mine.submit(done.set)
    monkeypatch.setattr(queue, "SimpleQueue", OtherQueue)
    mine.register(registration)
    assert done.wait(20), "what was submitted before is lost"
    assert type(mine._work) is OtherQueue
    mine.unregister(registration)


def test_a_thread_that_lives_on_in_a_child_does_nothing_and_does_not_end():
    """As greenlets do: their end would print an error."""
    mine, registration, late = housekeeping._Housekeeper(linger=0.02), housekeeping.Registration(), []
    others = set(threading.enumerate())
    mine.register(registration)
    (thread,) = set(threading.enumerate()) - others
    before, done = mine._work, threading.Event()
    mine._after_fork()
    for number in (1, 2):
        before.put((late.append, (number,)))
    thread.join(0.2)
    assert thread.is_alive()
    assert not late
    mine.register(registration)
    mine.submit(done.set)
    assert done.wait(20)
    mine.unregister(registration)
    (second,) = set(threading.enumerate()) - others - {thread}
    second.join(
        20
    )  # it would wait for ever, as a greenlet in a child does, at a queue that is no longer in use
    assert not second.is_alive()
    mine._work = before  # let the first one end
    before.put((done.set, ()))
    thread.join(20)
    assert not thread.is_alive()
