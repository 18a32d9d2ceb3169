"""The load: a number of requests that are always on their way, or requests at planned times."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from nupic_client.bench.metrics import Recorder
from nupic_client.bench.prompts import BenchPrompt, PromptSource
from nupic_client.bench.senders import Sender, clock
from nupic_client.bench.settings import BenchSettings
from nupic_client.errors import OutputError, RequestError

__all__ = ["Load"]

_PAUSE, _LONGEST_PAUSE = 0.01, 1.0
"""Seconds before a worker sends again whose request failed: a server that refuses at once is not flooded."""
_TIMER = 0.001
"""Timers of event loops are good for a millisecond; the rest of a wait is polled."""


class Load:
    """Send requests and record what comes of them.

    Args:
        settings: of the benchmark.
        sender: of its requests.
        prompts: to send.
        recorder: of what is measured.
        count: number of requests; None for no limit.
        interval: seconds in which requests are sent; None for no limit.
    """

    def __init__(
        self,
        settings: BenchSettings,
        sender: Sender,
        prompts: PromptSource,
        recorder: Recorder,
        *,
        count: int | None,
        interval: float | None,
    ) -> None:
        self._settings, self._sender, self._prompts, self._recorder = settings, sender, prompts, recorder
        self._count, self._interval = count, interval
        self.sent: int = 0
        self.running: int = 0
        self.begin: float = clock()

    @property
    def fraction(self) -> float:
        """The part of the work that is done, from 0 to 1."""
        done = 0.0 if self._count is None else (self.sent - self.running) / self._count
        passed = 0.0 if self._interval is None else (clock() - self.begin) / self._interval
        return min(max(done, passed), 1.0)

    async def run(self, stopped: asyncio.Event) -> None:
        """Send until the count or the interval is reached, and wait for the last answers; a stop ends both at once.

        Raises:
            NupicError: a request is wrong; no other would be right.
        """
        self.begin = clock()
        parts: list[Coroutine[Any, Any, None]]
        if self._settings.load == "request_rate":
            parts = [self._at_planned_times()]
        else:
            parts = [self._one_after_the_other() for _ in range(int(self._settings.level))]
        tasks = {asyncio.ensure_future(part) for part in parts}
        stop = asyncio.ensure_future(stopped.wait())
        try:
            await _first_failure(tasks, stop)
        finally:
            self._recorder.cut_off += self.running
            stop.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(stop, *tasks, return_exceptions=True)

    def _goes_on(self, now: float) -> bool:
        if self._count is not None and self.sent >= self._count:
            return False
        return self._interval is None or now - self.begin < self._interval

    async def _one_after_the_other(self) -> None:
        failures = 0
        while self._goes_on(clock()):
            self.sent += 1
            if await self._request(self._prompts.next(), None):
                failures = 0
            else:
                failures += 1
                await asyncio.sleep(min(_PAUSE * failures, _LONGEST_PAUSE))

    async def _at_planned_times(self) -> None:
        """Send each request when it is due, whether or not those before it have been answered."""
        rate, pauses = self._settings.level, random.Random(f"{self._settings.random_seed} pauses")  # noqa: S311 - no secret
        is_random = self._settings.request_distribution == "poisson"
        places = asyncio.Semaphore(self._settings.max_outstanding)
        running: set[asyncio.Task[bool]] = set()
        wrong: list[BaseException] = []

        def ended(task: asyncio.Task[bool]) -> None:
            running.discard(task)
            places.release()
            if not task.cancelled() and (error := task.exception()) is not None:
                wrong.append(error)

        planned = self.begin
        try:
            while self._goes_on(planned) and not wrong:
                prompt = self._prompts.next()
                await _until(planned)
                await places.acquire()
                self.sent += 1
                self._recorder.send_delay.add(max(clock() - planned, 0.0))
                task = asyncio.ensure_future(self._request(prompt, planned))
                running.add(task)
                task.add_done_callback(ended)
                planned += pauses.expovariate(rate) if is_random else 1 / rate
            if running:
                await asyncio.wait(running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if wrong:
            raise wrong[0]

    async def _request(self, prompt: BenchPrompt, planned: float | None) -> bool:
        self.running += 1
        try:
            self._recorder.add(await self._sender.send(prompt, planned))
        except (RequestError, OutputError) as error:
            self._recorder.fail(error)
            self.running -= 1
            return False
        self.running -= 1
        return True


async def _first_failure(tasks: set[asyncio.Task[None]], stop: asyncio.Task[Any]) -> None:
    """Wait until all tasks have ended, or the stop has come; raise what ends one of them."""
    left: set[asyncio.Task[Any]] = set(tasks)
    while left and not stop.done():
        ended, _ = await asyncio.wait({*left, stop}, return_when=asyncio.FIRST_COMPLETED)
        for task in ended & left:
            task.result()
        left -= ended


async def _until(moment: float) -> None:
    """Wait for a reading of the clock."""
    while (left := moment - clock()) > 0:
        await asyncio.sleep(left - _TIMER if left > _TIMER else 0)
