"""How long each family takes to render a conversation of 100 turns: `python benchmarks/bench_prompts.py`.

A turn is a user's message with its answer. Families that allow one message only are given one. What is timed is one
call of the formatter, with its check for control tokens in content, as `StreamingClient` makes it.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from pathlib import Path

from nupic_client import Message, PromptError, PromptFormatter, assistant, user
from nupic_client.prompts import FAMILIES

QUESTION = "Could you explain how the tides work, and why there are two of them every day? " * 2
ANSWER = (
    "The moon pulls at the water on its side more than at the earth, and at the earth more than at the rest. "
    * 4
)


def conversation(turns: int) -> list[Message]:
    messages = []
    for number in range(turns):
        messages += [user(f"{number}. {QUESTION}"), assistant(f"{number}. {ANSWER}")]
    return messages[:-1]


def microseconds(formatter: PromptFormatter, messages: list[Message], rounds: int) -> list[float]:
    """Return the duration of each call. Calls are timed one by one, so that the median means something."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter_ns()
        formatter(messages)
        times.append((time.perf_counter_ns() - start) / 1000)
    return sorted(times)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument(
        "--family", action="append", choices=sorted(FAMILIES), help="only this one; may be repeated"
    )
    arguments = parser.parse_args()

    many = conversation(arguments.turns)
    characters = sum(len(message.content) for message in many)
    print(f"{processor()}, Python {platform.python_version()}")
    print(f"{len(many)} messages, {characters:,} characters, {arguments.rounds} rounds; microseconds\n")
    print("| family | median | p99 | per message |\n|---|---:|---:|---:|")
    medians = []
    for name in arguments.family or FAMILIES:
        formatter, messages = FAMILIES[name], many
        try:
            formatter(messages)
        except PromptError:
            messages = conversation(1)
        times = microseconds(formatter, messages, arguments.rounds)
        median, p99 = statistics.median(times), times[int(len(times) * 0.99)]
        note = "" if messages is many else " (one message)"
        print(f"| {name}{note} | {median:.0f} | {p99:.0f} | {median / len(messages):.2f} |")
        if messages is many:
            medians.append((median, name))
    if medians:
        slowest = max(medians)
        middle = statistics.median(median for median, _ in medians)
        print(f"\nslowest: {slowest[1]} with {slowest[0]:.0f}; the family in the middle: {middle:.0f}")


if __name__ == "__main__":
    main()
