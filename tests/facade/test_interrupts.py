"""Ctrl-C at any place of our code and of gRPC's: nothing goes on on the server, nothing is locked or half open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from nupic_client._sync.watchdog import Watchdog
from nupic_client.testing import FakeTriton, silence

pytestmark = pytest.mark.fake_only("where an interrupt hits does not depend on the server")

PROGRAM = Path(__file__).with_name("interrupts.py")


@pytest.mark.parametrize("connection", ["kept", "fresh"])
def test_an_interrupt_at_any_place_of_opening_a_stream(connection):
    # Coverage would want the trace function for itself.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), connection],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    count, word = done.stdout.split()
    assert word == "places"
    assert int(count) > 200, "the places to interrupt were not found"


@pytest.mark.skipif(sys.platform == "win32", reason="signals to one process are POSIX")
@pytest.mark.parametrize(
    "call",
    ["client.generate('hi')", "client.infer({'text_input': ['hi']})"],
)
def test_ctrl_c_in_a_request_that_is_answered_at_once(call):
    program = textwrap.dedent(f"""
        import signal, sys
        from nupic_client import InferenceClient

        client = InferenceClient("gpt", url=sys.argv[1])
        print(client.generate("warm").text, flush=True)
        try:
            {call}
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            print("interrupted", flush=True)
            sys.stdin.readline()
        print(client.generate("warm").text)
    """)

    def answer(request):
        return ["fine"] if request.prompt == "warm" else [silence()]

    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with FakeTriton(answer) as server:
        with subprocess.Popen([sys.executable, "-c", program, server.url], **pipes) as process:
            try:
                assert process.stdout.readline() == "fine\n"
                server.wait_for_requests(2)
                interrupt(process)
                end = time.monotonic() + 10
                while len(server.cancellations) < len(server.requests) - 1:
                    assert time.monotonic() < end, "the server goes on although the program was interrupted"
                    time.sleep(0.01)
                assert process.communicate("\n", timeout=30)[0] == "fine\n"
            finally:
                process.kill()  # or the end of the block waits for it
        assert process.returncode == 0


def interrupt(process):
    """Press Ctrl-C until it is noticed: Python drops an interrupt that hits a destructor or a callback, and says so."""
    noticed = threading.Event()

    def press():
        process.send_signal(signal.SIGINT)
        for _ in range(20):
            if noticed.wait(1.0):
                return
            process.send_signal(signal.SIGINT)
        process.kill()

    thread = threading.Thread(target=press)
    thread.start()
    try:
        assert process.stdout.readline() == "interrupted\n"
    finally:
        noticed.set()
        thread.join()


def test_of_two_watchdogs_that_are_started_at_once_one_goes():
    class Patient:
        def check_deadline(self, now):
            return now + 60

    def started() -> int:
        return len(set(threading.enumerate()) - before)

    def wait_for(count: int) -> None:
        end = time.monotonic() + 10
        while started() != count:
            assert time.monotonic() < end
            time.sleep(0.01)

    before = set(threading.enumerate())
    watchdog, things = Watchdog(), [Patient(), Patient()]
    with watchdog._lock:  # neither thread can say that it runs before the other is started
        for thing in things:
            watchdog.watch(thing, time.monotonic() + 60)
        assert started() == 2
    wait_for(1)
    watchdog.stop()
    wait_for(0)
