"""The thread that ends calls and looks after deadlines."""

from __future__ import annotations

import gc
import math
import os
import subprocess
import sys
import threading
import time
import weakref

import pytest

from nupic_client._grpc import housekeeping
from nupic_client._grpc.housekeeping import Registration


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


class Patient:
    """Has deadlines for ever; notes when they are checked."""

    def __init__(self, pause=0.02):
        self.pause = pause
        self.checks = []

    def _check_deadline(self, now):
        self.checks.append(now)
        return now + self.pause


@pytest.fixture
def mine():
    """Return a housekeeper with somebody who needs it. Its thread wakes only for what it is given."""
    housekeeper, registration = housekeeping._Housekeeper(linger=1000), Registration()
    housekeeper.register(registration)
    wait_until(lambda: housekeeper._running)
    yield housekeeper
    housekeeper.unregister(registration)
    housekeeper._linger = 0.01
    housekeeper._work.put((int, ()))
    wait_until(lambda: not housekeeper._running)


def test_the_thread_goes_after_the_last_registration_and_comes_again():
    mine = housekeeping._Housekeeper(linger=0.02)
    for _ in range(2):
        registrations, done = [Registration(), Registration()], threading.Event()
        for registration in registrations:
            mine.register(registration)
        mine.unregister(registrations[0])
        wait_until(lambda: mine._running)
        time.sleep(0.1)
        assert mine._running
        mine.submit(lambda: 1 / 0)
        mine.submit(done.set)
        assert done.wait(20)
        mine.unregister(registrations[1])
        wait_until(lambda: not mine._running)


def test_of_two_threads_that_are_started_at_once_one_goes():
    mine, before = housekeeping._Housekeeper(linger=0.02), set(threading.enumerate())
    registrations = [Registration(), Registration()]
    with mine._lock:  # neither can say that it runs before the other is started
        for registration in registrations:
            mine.register(registration)
        assert len(set(threading.enumerate()) - before) == 2
    wait_until(lambda: len(set(threading.enumerate()) - before) == 1)
    for registration in registrations:
        mine.unregister(registration)
    wait_until(lambda: not set(threading.enumerate()) - before)


def test_deadlines_are_checked_when_they_are_due_and_again(mine):
    patient = Patient()
    begin = time.monotonic()
    mine.watch(patient, begin + 0.05)
    wait_until(lambda: len(patient.checks) > 2)
    first, second = patient.checks[:2]
    assert first >= begin + 0.05
    assert second >= first + 0.02


def test_a_nearer_deadline_is_not_held_up_by_a_later_one(mine):
    late, soon = Patient(), Patient()
    mine.watch(late, time.monotonic() + 60)
    mine.watch(soon, time.monotonic() + 0.05)
    wait_until(lambda: soon.checks)
    assert not late.checks


def test_only_a_deadline_that_is_near_wakes_the_thread(mine):
    wait_until(lambda: mine._wakes < math.inf)
    mine.watch(Patient(), time.monotonic() + 2000)
    assert mine._new  # the thread sleeps on, and has not looked at it
    mine.watch(Patient(), time.monotonic() + 500)
    wait_until(lambda: not mine._new)


def test_a_thing_that_is_watched_is_not_kept_alive(mine):
    patient = Patient()
    checks, gone = patient.checks, weakref.ref(patient)
    mine.watch(patient, time.monotonic())
    wait_until(lambda: checks)
    del patient
    gc.collect()
    wait_until(lambda: gone() is None)
    wait_until(lambda: not mine._checks)


def test_a_check_that_fails_stops_no_other(mine):
    class Broken:
        def _check_deadline(self, now):
            raise ZeroDivisionError

    broken, patient = Broken(), Patient()
    mine.watch(broken, time.monotonic())
    mine.watch(patient, time.monotonic() + 0.02)
    wait_until(lambda: len(patient.checks) > 1)


FORK = """
import os, threading
from nupic_client._grpc import housekeeping

def works():
    done = threading.Event()
    housekeeping.register(housekeeping.Registration())
    housekeeping.submit(done.set)
    return done.wait(20)

assert works()
pid = os.fork()
if not pid:
    os._exit(0 if works() else 1)
assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX")
def test_a_forked_child_has_a_thread_of_its_own():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], timeout=60, check=False)
    assert done.returncode == 0


def test_a_deferred_function_is_called_by_the_thread():
    called = []
    deferred = housekeeping.Deferred()
    assert deferred in housekeeping._housekeeper.registrations()
    deferred.submit(lambda: called.append(threading.get_ident()))
    wait_until(lambda: called)
    assert called != [threading.get_ident()]
    assert deferred not in housekeeping._housekeeper.registrations()


def test_a_deferred_function_that_is_not_needed():
    deferred = housekeeping.Deferred()
    deferred.release()
    assert deferred not in housekeeping._housekeeper.registrations()


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, KeyboardInterrupt])
def test_a_deferred_function_that_raises_ends_nothing(error):
    def fail():
        raise error

    done = threading.Event()
    housekeeping.Deferred().submit(fail)
    housekeeping.Deferred().submit(done.set)
    assert done.wait(20)
