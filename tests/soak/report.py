"""The figures of a soak as text, and as a page of the documentation."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from .traffic import Report

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "soak.md"
_FAULTS = {
    "fail": "the model fails in the middle",
    "break": "the call breaks with UNAVAILABLE",
    "once": "it breaks before the first token, and works when sent again",
    "silence": "the server falls silent",
    "late": "the answer takes longer than the timeout",
    "end": "the stream ends without a final mark",
    "foreign": "a response to another request",
    "garbage": "bytes that are no message",
}

_TEMPLATE = """\
# Soak test

`python -m tests.soak` uses the client in every way at once for as long as one likes, against a server in another process
that does what each prompt says: delays, characters cut over two responses, errors at any place, silence, bytes that are no
message; and that is killed and started again at random. Six threads and twelve tasks share one pair of clients, and make
fresh ones now and then: streams read to their end, left by `break`, closed by another thread, dropped, cancelled with their
task; callbacks; answers at once, `infer`, `map` and `amap`.

Every token carries the name of its call and its number, so a token that is lost, repeated or of another call is found. Every
call must end in the way that was planned for it, with the text before the fault in `partial_text`, and only while the server
is away may it fail otherwise. A call that takes {hang:g} s hangs. When all have left, threads and file descriptors are
counted again.

CI runs it for half a minute. The figures are of the last longer run (`{command}`):

| | |
|---|---|
| traffic | {seconds:.0f} s, {threads} threads, {tasks} tasks |
| calls | {calls:,} |
| tokens delivered | {tokens:,} |
| faults injected | {faults:,} in answers, {kills} kills of the server |
| calls that hung | **{hangs}** |
| lost, repeated or foreign tokens, other violations | **{violations}** |
| a call without a fault, p50 / p99 | {p50:.0f} ms / {p99:.0f} ms |
| size of the process, before and after | {memory_start:.0f} MB, {memory_end:.0f} MB |
| allocated in C, before and after | {allocated_start:.1f} MB, {allocated_end:.1f} MB |
| allocated in Python, before and after | {blocks_start:,} blocks, {blocks_end:,} blocks |
| size of the process while it ran, in the order of time | {memory_on_the_way} MB |
| threads (Python's) before and after | {threads_start} ({python_start}), {threads_end} ({python_end}) |
| file descriptors before and after | {files_start}, {files_end} |
| machine | {machine} |

How the calls ended:

| outcome | calls |
|---|---|
{outcomes}

The faults:

| fault | times | |
|---|---|---|
{planned}

Before is after a warm-up of a fifth of the time. What is allocated counts for a leak; the size of a process also has what
the allocator keeps in reserve. grpc.aio itself (1.85, measured without this library) keeps half a kilobyte for ever of each
attempt to reach a server that is away, of which there are many here. The times are those of a machine that runs client and
server and all their users on {cpus} cores.
"""


def page(report: Report, command: str) -> str:
    """Return the page of the documentation."""
    start, end = report.start, report.end
    assert start is not None
    assert end is not None
    return _TEMPLATE.format(
        hang=report.hang,
        command=command,
        seconds=report.seconds,
        threads=report.threads,
        tasks=report.tasks,
        calls=report.calls,
        tokens=report.tokens,
        faults=sum(report.planned.values()),
        kills=report.kills,
        hangs=len(report.hangs),
        violations=len(report.violations),
        p50=report.duration(0.5) * 1000,
        p99=report.duration(0.99) * 1000,
        memory_start=start.memory,
        memory_end=end.memory,
        allocated_start=start.allocated,
        allocated_end=end.allocated,
        blocks_start=start.blocks,
        blocks_end=end.blocks,
        memory_on_the_way=_on_the_way(report.memory),
        threads_start=start.threads,
        python_start=start.python_threads,
        threads_end=end.threads,
        python_end=end.python_threads,
        files_start=start.files,
        files_end=end.files,
        machine=_machine(),
        outcomes="\n".join(f"| {name} | {count:,} |" for name, count in report.outcomes.most_common()),
        planned="\n".join(
            f"| {name} | {count:,} | {_FAULTS[name]} |" for name, count in report.planned.most_common()
        ),
        cpus=os.cpu_count(),
    )


def _on_the_way(memory: list[float], most: int = 10) -> str:
    step = max(len(memory) // most, 1)
    return ", ".join(f"{value:.0f}" for value in memory[step - 1 :: step])


def _machine() -> str:
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()},"
        f" grpcio {version('grpcio')}"
    )
