"""One measurement in a process of its own: ``python -m benchmarks.measure '{"way": …}'`` prints its figures as JSON."""

from __future__ import annotations

import inspect
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.measure_first import measure_first
from benchmarks.process import peak, switches
from benchmarks.ways import CHANNELS, WAYS, Job, Sink

SHORT_PAUSE = 2_000
"""Microseconds between the two tokens of the answers whose first token counts."""


def measure(way: str, job: Job, warmed: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Read the answers and return the figures.

    Args:
        way: how to read them.
        job: what to read.
        warmed: called when the connection is open, before what counts begins.

    Returns:
        Seconds of wall clock and of this process's CPU, tokens, seconds to the first token and to the end of each
        answer, seconds from the model to the text of each stamped token, threads, how often a thread gave up the processor
        to wait, and the largest resident memory in MiB.
    """
    figures: dict[str, Any] = {}

    def sinks(count: int) -> list[Sink]:
        return [Sink(stamped=job.stamped) for _ in range(count)]

    def finish(answers: list[Sink], spent: tuple[float, float]) -> None:
        figures.update(summary(job, answers, spent), threads=threading.active_count())
        figures["switches"] = switches() - figures["switches"]

    def begin() -> None:
        warmed()
        figures["switches"] = switches()

    def run(read: Any) -> Any:
        # The first answer opens the connection and loads what is loaded late.
        warm, answers = sinks(1), sinks(job.streams)
        outcome = read(warm)
        if inspect.iscoroutine(outcome):

            async def awaited() -> None:
                await outcome
                begin()
                finish(answers, await read(answers))

            return awaited()
        begin()
        finish(answers, read(answers))
        return None

    (WAYS | CHANNELS)[way](job, run)
    figures["memory"] = peak()
    return figures


def summary(job: Job, answers: list[Sink], spent: tuple[float, float]) -> dict[str, Any]:
    counts = {len(answer.texts) for answer in answers}
    if counts != {job.tokens}:
        raise SystemExit(f"{job.tokens} tokens were asked for in each answer, {sorted(counts)} came")
    latencies = []
    if job.stamped:
        latencies = [(arrived - int(text)) / 1e9 for answer in answers for arrived, text in answer.texts[1:]]
    return {
        "wall": spent[0],
        "cpu": spent[1],
        "tokens": job.tokens * job.streams,
        "first": [answer.first - answer.asked for answer in answers],
        "whole": [answer.done - answer.asked for answer in answers],
        "latencies": latencies,
    }


def main() -> None:
    order = json.loads(sys.argv[1])
    way, waves = order.pop("way"), order.pop("waves")
    job = Job(**order)
    figures = measure(way, job)
    if waves:
        short = replace(job, tokens=2, delay_us=SHORT_PAUSE, stamp=False)
        figures["waves"] = measure_first(way, short, waves)["first"]
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
