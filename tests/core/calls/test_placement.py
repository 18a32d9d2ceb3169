"""Where a request goes, where there are several servers."""

from __future__ import annotations

import pickle

from nupic_client._core.calls.placement import Pin, no_room, tried
from nupic_client.attempts import Attempt


def test_the_error_of_the_queue_can_be_pickled():
    error = no_room(2.0, "first_token", "a:1, b:2")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_pin_has_no_address_at_first():
    assert Pin().address == ""


def test_a_refused_token_is_no_fault_of_a_server():
    assert tried((Attempt("a:1", "UNAVAILABLE", 1.0), Attempt("b:2", "UNAUTHENTICATED", 0.1))) == ["a:1"]
