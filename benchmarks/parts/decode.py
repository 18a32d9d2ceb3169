"""What the client's own code costs: a token without a network, a request, a prompt."""

from __future__ import annotations

import functools
from typing import Any

from benchmarks.measure_decode import REQUESTS, TOKENS
from benchmarks.measure_prompts import conversation
from benchmarks.runner import Goal, Outcome, Settings, Table, alternated, in_process, median, ratio

NUMBER_OF_TOKENS, NUMBER_OF_REQUESTS, ROUNDS = 50_000, 5_000, 30
TURNS = (1, 3, 100)
SHOWN = (
    "chatml",
    "llama-3-instruct",
    "mistral-v3-tekken",
    "gemma-3",
    "phi-4",
    "qwen3",
    "deepseek-r1",
    "zephyr",
)
"""The families in the table; the figures of all are in the JSON file."""


def run(settings: Settings) -> Outcome:
    outcome = Outcome()

    def cost(way: str, number: int) -> dict[str, Any]:
        return in_process("benchmarks.measure_decode", {"way": way, "number": settings.scaled(number, 50)})

    tokens = alternated(list(TOKENS), settings.repeats, functools.partial(cost, number=NUMBER_OF_TOKENS))
    requests = alternated(
        list(REQUESTS), settings.repeats, functools.partial(cost, number=NUMBER_OF_REQUESTS)
    )
    rounds = settings.scaled(ROUNDS, 3)
    prompts = in_process("benchmarks.measure_prompts", {"turns": TURNS, "rounds": rounds})
    outcome.tables += [
        table(
            "One token, without a network",
            tokens,
            "From the bytes of the message to the text. nupic_client decodes characters that are divided between tokens"
            " (the bare way fails on them), looks for the final mark and for errors, counts and takes the times, and"
            " TextStream looks after deadlines; the stop strings are four.",
        ),
        table(
            "One request",
            requests,
            "From the options to the bytes that are sent. nupic_client checks the options against the model's signature.",
        ),
        prompt_table(prompts, rounds),
    ]
    outcome.data = {"tokens": tokens, "requests": requests, "prompts": prompts}
    both = ratio(tokens, "nupic_client: TextStream, both", "tritonclient: InferResult", microseconds)
    outcome.goals.append(
        Goal("a token with divided characters and stop strings: time of InferResult", both, most=1)
    )
    return outcome


def microseconds(figures: dict[str, Any]) -> float:
    return float(figures["microseconds"])


def table(title: str, found: dict[str, list[dict[str, Any]]], note: str) -> Table:
    bare = next(way for way in found if way.startswith("bare"))
    peer = next(way for way in found if way.startswith("tritonclient"))
    made = Table(title, ("way", "CPU µs", "of bare", "of tritonclient's"), note=note)
    for way, runs in found.items():
        spent = median([microseconds(figures) for figures in runs])
        made.rows.append((way, spent, *(ratio(found, way, other, microseconds) for other in (bare, peer))))
    return made


def prompt_table(found: dict[str, dict[str, float]], rounds: int) -> Table:
    """Show the families most used, and the slowest."""
    longest = str(TURNS[-1])
    slowest = max(found, key=lambda name: found[name].get(longest, 0))
    characters = [sum(len(message.content) for message in conversation(turns)) for turns in TURNS]
    made = Table(
        "Prompts",
        (
            "family",
            *(f"{turns} turn{'s' * (turns > 1)}, per second" for turns in TURNS),
            f"{longest} turns, µs",
        ),
    )
    made.note = (
        "Conversations of "
        + ", ".join(f"{number:,}" for number in characters)
        + f" characters, with the check for control tokens in them; medians of {rounds} calls. The last family is the"
        f" slowest of all {len(found)}."
    )
    for name in dict.fromkeys((*SHOWN, slowest)):
        spent = [found[name][str(turns)] for turns in TURNS]
        made.rows.append((name, *(1e6 / each for each in spent), spent[-1]))
    return made
