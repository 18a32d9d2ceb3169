"""Calls as futures, which other threads start and complete."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from nupic_client._core.calls.flows import Invoke
from nupic_client._sync.calls import FutureCalls
from nupic_client._sync.driver import Driver

CALL = Invoke("ModelInfer", b"")


class Breaking(Driver):
    """A transport in which an interceptor raises what is not ours."""

    def __init__(self, where):
        super().__init__()
        self.where = where

    def begin(self, command):
        if self.where == "begin":
            raise ValueError("broken in begin")
        call = Future()
        call.set_result("answer")
        return call

    def finish(self, call):
        if self.where == "finish":
            raise ValueError("broken in finish")
        return call.result()

    def _invoke(self, command):
        raise NotImplementedError


def outcome(where):
    calls = FutureCalls(Breaking(where))
    try:
        calls.start(CALL, "work")
        work, call = calls.wait(60)
        assert work == "work"
        return calls.outcome(call)
    finally:
        calls.leave()


def test_a_response_comes_with_its_work():
    assert outcome("nowhere") == "answer"


@pytest.mark.parametrize("where", ["begin", "finish"])
def test_what_breaks_in_another_thread_is_raised_by_the_reader(where):
    with pytest.raises(ValueError, match=f"broken in {where}"):
        outcome(where)
