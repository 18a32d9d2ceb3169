"""How long each family takes to write a conversation as a prompt: ``python -m benchmarks.measure_prompts '{"rounds": …}'``.

A turn is a user's message with its answer. Families that allow one message only are given one. What is timed is one
call of the formatter, with its check for control tokens in content, as `StreamingClient` makes it.
"""

from __future__ import annotations

import json
import sys
import time

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


def microseconds(formatter: PromptFormatter, messages: list[Message], rounds: int) -> float:
    """Return the median of the durations, timed one by one."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter_ns()
        formatter(messages)
        times.append((time.perf_counter_ns() - start) / 1000)
    return sorted(times)[rounds // 2]


def main() -> None:
    order = json.loads(sys.argv[1])
    found: dict[str, dict[str, float]] = {}
    for name, formatter in FAMILIES.items():
        found[name] = {}
        for turns in order["turns"]:
            messages = conversation(turns)
            try:
                formatter(messages)
            except PromptError:
                if turns > 1:
                    continue
                raise
            found[name][str(turns)] = microseconds(formatter, messages, order["rounds"])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
