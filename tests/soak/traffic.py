"""The soak itself: users in threads and tasks, a server that is killed now and then, and somebody who watches."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from nupic_client import InferenceClient, StreamingClient

from .level import POOL, Level, settled
from .plan import Plan, Seen, judge
from .ways import ASYNC, RETRIES, SYNC, User, pause_after

ROOT = Path(__file__).resolve().parents[2]
HANG = 120.0
"""Seconds after which a call counts as hanging: twice the longest deadline."""
MEMORY = 24.0
"""Megabytes that the process may grow by: what the allocator keeps in reserve."""
ALLOCATED = 2.0
"""Megabytes more that C may have in use; to leak a kilobyte a call shows within half a minute."""
AWAY = 0.002
"""Megabytes more for a call while the server is away: grpc.aio 1.85 keeps half a kilobyte for each of its attempts."""
RECOVERY = 5.0
"""Seconds after a restart in which a call may still fail to connect."""


class Server:
    """The server's process, which can be killed and started again at the same port."""

    def __init__(self) -> None:
        self.url = ""
        self.kills = 0
        self._process: subprocess.Popen | None = None
        self._outages: list[list[float]] = []

    def start(self) -> None:
        port = self.url.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", f"{__package__}.server", "--port", port]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the server did not start"
        if self._outages:
            self._outages[-1][1] = time.monotonic()

    def kill(self) -> None:
        self._outages.append([time.monotonic(), float("inf")])
        self.kills += 1
        self.stop()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def was_away(self, start: float, end: float) -> bool:
        """Tell whether it was killed or away at some time of a call."""
        return any(down <= end and start <= up + RECOVERY for down, up in tuple(self._outages))


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


@dataclass
class Report:
    """What was counted."""

    seconds: float
    seed: int
    threads: int = 0
    tasks: int = 0
    hang: float = HANG
    outcomes: Counter[str] = field(default_factory=Counter)
    planned: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    tokens: int = 0
    kills: int = 0
    durations: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    start: Level | None = None
    end: Level | None = None

    def problems(self) -> list[str]:
        """Return what must not be: one sentence for each kind."""
        start, end = self.start, self.end
        assert start is not None
        assert end is not None
        grown = end.memory - start.memory
        found = {
            f"{len(self.hangs)} calls hang: {self.hangs[:3]}": self.hangs,
            f"{len(self.violations)} violations, such as {self.violations[:3]}": self.violations,
            f"memory grew by {grown:.0f} MB": grown > MEMORY,
            f"{end.allocated:.1f} MB are allocated, {start.allocated:.1f} MB were": (
                end.allocated > start.allocated + ALLOCATED + self.outcomes["server killed"] * AWAY
            ),
            f"{end.blocks} blocks of Python's are allocated, {start.blocks} were": end.blocks
            > start.blocks * 1.25,
            f"{end.python_threads} Python threads are left, {start.python_threads} were there": (
                end.python_threads > start.python_threads
            ),
            f"{end.threads} threads are left, {start.threads} were there": end.threads > start.threads + POOL,
            f"{end.files} files are open, {start.files} were": end.files > start.files + POOL,
        }
        return [sentence for sentence, bad in found.items() if bad]

    @property
    def calls(self) -> int:
        return sum(self.outcomes.values())

    def duration(self, share: float) -> float:
        """Seconds of a share of the calls without a fault that ran to their end."""
        ordered = sorted(self.durations)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")


class Soak:
    """Traffic for a while.

    Args:
        seconds: how long new calls are begun.
        seed: of all choices. The order in which things happen is the machine's.
        threads: users that block.
        tasks: users on an event loop.
        kill_every: mean seconds between two kills.
    """

    def __init__(
        self, seconds: float, seed: int, *, threads: int = 6, tasks: int = 12, kill_every: float = 8.0
    ) -> None:
        self.report = Report(seconds, seed, threads, tasks)
        self._threads, self._tasks, self._kill_every = threads, tasks, kill_every
        self._server = Server()
        self._lock = threading.Lock()
        self._running: dict[str, float] = {}
        self._over = threading.Event()

    def run(self) -> Report:
        """Warm up, measure, run, measure again."""
        self._server.start()
        try:
            warm = max(self.report.seconds * 0.2, 3.0)
            self._traffic(warm)
            warmed = self.report
            self.report = Report(warmed.seconds, warmed.seed, self._threads, self._tasks)
            self.report.violations += warmed.violations
            self.report.hangs += warmed.hangs
            self.report.start = settled(None)
            kills = self._server.kills
            self._traffic(self.report.seconds)
            self.report.kills = self._server.kills - kills
            self.report.end = settled(self.report.start)
        finally:
            self._server.stop()
        return self.report

    def _traffic(self, seconds: float) -> None:
        """Let everybody use one pair of clients for some seconds, and wait until all have left."""
        self._over.clear()
        with (
            StreamingClient("gpt.streaming", self._server.url, max_retries=RETRIES) as streams,
            InferenceClient("gpt", self._server.url, max_retries=RETRIES) as infers,
        ):
            users = [self._user(f"t{index}", streams, infers) for index in range(self._threads)]
            loop_users = [self._user(f"a{index}", streams, infers) for index in range(self._tasks)]
            threads = [threading.Thread(target=self._work, args=(user,), daemon=True) for user in users]
            loop = self._loop(loop_users, (streams, infers), threads[:])
            threads.append(threading.Thread(target=asyncio.run, args=(loop,), daemon=True))
            for thread in threads:
                thread.start()
            try:
                self._disturb(time.monotonic() + seconds)
            finally:
                self._over.set()
                self._await_end(threads)

    def _user(self, name: str, streams: StreamingClient, infers: InferenceClient) -> User:
        return User(f"{name}.{self._server.kills}", self.report.seed, self._server.url, (streams, infers))

    def _work(self, user: User) -> None:
        while not self._over.is_set():
            way = user.chance.choice(SYNC)
            with self._watched(user, way.__name__) as outcomes:
                outcomes += self._note(way.__name__, time.monotonic(), lambda way=way: way(user))
            time.sleep(pause_after(outcomes))

    async def _loop(self, users: list[User], clients: tuple, threads: list[threading.Thread]) -> None:
        await asyncio.gather(*(self._awork(user) for user in users))
        while any(thread.is_alive() for thread in threads):  # closing a client closes it for all
            await asyncio.sleep(0.05)
        for client in clients:
            await client.aclose()

    async def _awork(self, user: User) -> None:
        while not self._over.is_set():
            way = user.chance.choice(ASYNC)
            with self._watched(user, way.__name__) as outcomes:
                start = time.monotonic()
                try:
                    seen = await way(user)
                except Exception as error:
                    self._violation(f"{way.__name__}: {error!r}")
                    continue
                outcomes += self._note(way.__name__, start, lambda seen=seen: seen)
            await asyncio.sleep(pause_after(outcomes))

    @contextlib.contextmanager
    def _watched(self, user: User, way: str):
        key = f"{way} {id(user)} {time.monotonic()}"
        self._running[key] = time.monotonic()
        try:
            yield []
        finally:
            self._running.pop(key, None)

    def _note(self, way: str, start: float, call) -> list[str]:
        """Make the call, judge and count what came of it."""
        try:
            seen: list[tuple[Plan, Seen]] = call()
            outage = self._server.was_away(start, time.monotonic())
            outcomes = [judge(plan, item, outage=outage) for plan, item in seen]
        except Exception as error:
            self._violation(f"{way}: {error!r}")
            return []
        with self._lock:
            self._count(way, seen, outcomes, time.monotonic() - start)
        return outcomes

    def _count(self, way: str, seen: list[tuple[Plan, Seen]], outcomes: list[str], duration: float) -> None:
        report = self.report
        report.ways[way] += 1
        report.outcomes.update(outcomes)
        report.planned.update(plan.fault for plan, _ in seen if plan.fault)
        report.tokens += sum(item.text.count("⟧") for _, item in seen)
        if outcomes == ["complete"]:
            report.durations.append(duration)

    def _violation(self, text: str) -> None:
        with self._lock:
            self.report.violations.append(text)

    def _disturb(self, until: float) -> None:
        """Kill the server now and then and start it again; look for calls that hang."""
        chance = random.Random(self.report.seed)
        while time.monotonic() < until:
            self._over.wait(min(chance.uniform(0.5, 1.5) * self._kill_every, until - time.monotonic()))
            self._look_for_hangs()
            self.report.memory.append(psutil.Process().memory_info().rss / 2**20)
            if time.monotonic() < until and not self.report.hangs:
                self._server.kill()
                time.sleep(chance.random())
                self._server.start()

    def _await_end(self, threads: list[threading.Thread]) -> None:
        while any(thread.is_alive() for thread in threads) and not self.report.hangs:
            self._look_for_hangs()
            time.sleep(0.05)

    def _look_for_hangs(self) -> None:
        late = time.monotonic() - HANG
        self.report.hangs += [key for key, start in tuple(self._running.items()) if start < late]
