"""Faults of the real server: killed, frozen, shut down, without its model. Both flavours meet each at the same time."""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from triton.fixtures import require_server
from triton.server import RealTriton
from typing_extensions import Self

from faults import servers
from faults.harness import Script, check, until_whole
from faults.leaks import Leaks
from faults.network import PATIENT
from faults.reading import COLOURS, Colour, Outcome
from nupic_client import ServerClient, StreamingClient, Timeouts
from nupic_client.testing import text_signature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults.rows import Row
    from faults.table import Table

pytestmark = pytest.mark.triton

MODEL = "gpt.streaming"
WATCHFUL = Timeouts(total=60, first_token=0.8, between_tokens=0.8)
# What is reported for a client that failed while it was down: gRPC tries again at least each 0.6 s.
BACK = 5.0


@pytest.fixture(scope="module")
def _server() -> Iterator[RealTriton]:
    require_server()
    options = ["--model-control-mode=explicit", f"--load-model={MODEL}"]
    with RealTriton((), models=[text_signature(MODEL)], options=options) as server:
        yield server


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()
    yield script
    script.go_on.set()


@pytest.fixture
def server(_server: RealTriton, script: Script) -> RealTriton:
    """The server, which every test leaves running with its model."""
    if not _server.running:
        _server.restart()
    _server.clear()
    _server.reply = script
    return _server


class Pair:
    """A client in each flavour, which do everything at the same time.

    Args:
        url: of the server.
        checked: whether they must be all that is connected to it.
    """

    def __init__(self, url: str, *, checked: bool = True) -> None:
        self.url = url
        self._checked = checked
        self.leaks = Leaks()
        self.clients = [StreamingClient(MODEL, url=url, timeout=PATIENT) for _ in COLOURS]
        self.flavours: list[Colour] = [make() for make in COLOURS]
        self._streams: list[weakref.ref[Any]] = []
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="faults.pair")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        gone = [weakref.ref(client) for client in self.clients]
        for flavour in self.flavours:
            flavour.leave(self.clients.pop(0))
        self._pool.shutdown()
        if kind is None and self._checked:
            self.leaks.check([int(self.url.rpartition(":")[2])], [*gone, *self._streams])

    def read(self, **options: Any) -> list[Outcome]:
        """Generate in both flavours; the options are those of `Colour.read`."""
        futures = [
            self._pool.submit(flavour.read, client, **options)
            for flavour, client in zip(self.flavours, self.clients, strict=True)
        ]
        outcomes = [future.result(120) for future in futures]
        self._streams += [outcome.stream for outcome in outcomes]
        return outcomes

    def recover(self, within: float = BACK) -> float:
        """Generate in both flavours until both have a whole answer; return how long that took."""
        futures = [
            self._pool.submit(until_whole, flavour, client, within)
            for flavour, client in zip(self.flavours, self.clients, strict=True)
        ]
        found = [future.result(120) for future in futures]
        self._streams += [outcome.stream for outcome, _ in found]
        return max(seconds for _, seconds in found)

    def after_two_tokens(self, script: Script, action: Callable[[], None]) -> Callable[[int], None]:
        """Return what to call with each chunk: both stop at the second, then the action is done, once."""
        script.go_on.clear()
        barrier = threading.Barrier(2, action)

        def on_piece(count: int) -> None:
            if count == 2:
                barrier.wait(60)

        return on_piece


@pytest.fixture
def pair(server: RealTriton, warm: None) -> Iterator[Pair]:
    with Pair(server.url) as pair:
        yield pair


def kill(server: RealTriton) -> None:
    process = server.server.process
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def record(table: Table, row: Row, outcomes: list[Outcome], again: float | None) -> None:
    for outcome in outcomes:
        check(row, outcome)
        table.record(row, outcome, again, "Triton")


def test_killed_between_two_calls(pair, server, table):
    pair.recover()
    kill(server)
    outcomes = pair.read()
    server.restart()
    record(table, servers.KILLED_IDLE, outcomes, pair.recover())


def test_killed_while_it_is_asked_for_the_signature(pair, server, table):
    for client in pair.clients:
        client.wait_until_ready(
            30
        )  # the sync connection is there; the async one is made now, to a frozen server
    os.kill(server.server.process.pid, signal.SIGSTOP)
    killing = threading.Timer(0.3, kill, (server,))
    killing.start()
    outcomes = pair.read()
    killing.join()
    server.restart()
    record(table, servers.KILLED_ASKED, outcomes, pair.recover())


def test_killed_before_the_first_token(pair, server, script, table):
    pair.recover()
    barrier = threading.Barrier(2, lambda: kill(server))
    script.on_request = lambda: barrier.wait(60)
    outcomes = pair.read()
    script.on_request = lambda: None
    server.restart()
    record(table, servers.KILLED_BEFORE_TOKEN, outcomes, pair.recover())


def test_killed_in_mid_stream(pair, server, script, table):
    outcomes = pair.read(on_piece=pair.after_two_tokens(script, lambda: kill(server)))
    script.go_on.set()
    server.restart()
    record(table, servers.KILLED_IN_STREAM, outcomes, pair.recover())


@pytest.mark.parametrize("in_vain", [False, True], ids=["idle", "calls in vain"])
def test_started_again_between_two_calls(pair, server, table, in_vain):
    pair.recover()
    kill(server)
    if in_vain:
        pair.read(max_retries=0)
    server.restart()
    begin = time.monotonic()
    again = pair.recover()
    outcomes = pair.read()
    row = servers.RESTARTED_AFTER_FAILURES if in_vain else servers.RESTARTED
    for outcome in outcomes:
        outcome.seconds = again
    assert time.monotonic() - begin < BACK
    record(table, row, outcomes, again)


def test_frozen_between_two_calls(pair, server, table):
    pair.recover()
    os.kill(server.server.process.pid, signal.SIGSTOP)
    try:
        outcomes = pair.read(timeout=WATCHFUL)
    finally:
        os.kill(server.server.process.pid, signal.SIGCONT)
    record(table, servers.FROZEN, outcomes, pair.recover())


def test_frozen_in_mid_stream(pair, server, script, table):
    pid = server.server.process.pid
    freeze = pair.after_two_tokens(script, lambda: os.kill(pid, signal.SIGSTOP))
    try:
        outcomes = pair.read(on_piece=freeze, timeout=WATCHFUL)
    finally:
        os.kill(pid, signal.SIGCONT)
    script.go_on.set()
    record(table, servers.FROZEN_IN_STREAM, outcomes, pair.recover())


def test_shut_down_with_streams_running(server, script, table, warm):
    refused: list[Outcome] = []
    with Pair(server.url) as pair, Pair(server.url, checked=False) as late:
        late.recover()

        def terminate() -> None:
            server.server.terminate()
            end = time.monotonic() + 30
            with ServerClient(server.url) as operator:
                while operator.is_ready():
                    assert time.monotonic() < end
            refused.extend(late.read())
            script.go_on.set()

        finished = pair.read(on_piece=pair.after_two_tokens(script, terminate))
        assert server.server.process.wait(60) == 0
        server.restart()
        again = pair.recover()
        late.recover()
    record(table, servers.TERMINATED, finished, again)
    record(table, servers.TERMINATED_NEW, refused, again)


def test_the_models_process_is_killed_in_mid_stream(pair, server, script, table):
    on_piece = pair.after_two_tokens(script, server.kill_models)
    outcomes = pair.read(on_piece=on_piece, timeout=WATCHFUL)
    idle = pair.read()
    script.go_on.set()
    server.restart()
    again = pair.recover()
    record(table, servers.MODEL_KILLED, outcomes, again)
    record(table, servers.MODEL_KILLED_IDLE, idle, again)


def test_the_model_is_unloaded_and_loaded_again_under_load(pair, server, table):
    stop = threading.Event()
    sync, asynchronous = pair.clients
    outcomes: list[Outcome] = []

    def load(flavour: Any, client: StreamingClient) -> None:
        while not stop.is_set():
            outcomes.append(flavour.read(client))

    pair.recover()
    flavours = [COLOURS[0]() for _ in range(8)] + [COLOURS[1]() for _ in range(8)]
    with ThreadPoolExecutor(16, thread_name_prefix="faults.load") as pool:
        futures = [
            pool.submit(load, flavour, sync if flavour.name == "sync" else asynchronous)
            for flavour in flavours
        ]
        wait_until(lambda: len(outcomes) > 32)
        with ServerClient(server.url) as operator:
            operator.unload(MODEL)
            wait_until(lambda: any(outcome.error != "none" for outcome in list(outcomes)))
            operator.load(MODEL)
        stop.set()
        for future in futures:
            future.result(120)
    for flavour in flavours:
        flavour.close()
    again = pair.recover()
    record(table, servers.RELOADED, outcomes, again)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
