"""The options of `nupic-client bench`, with genai-perf's names."""

from __future__ import annotations

import argparse
import json
from typing import Any

__all__ = ["add_input_arguments", "add_load_arguments", "add_report_arguments"]


def add_load_arguments(group: argparse._ArgumentGroup) -> None:
    """Add what is sent when, and for how long."""
    group.add_argument(
        "--concurrency",
        type=_several(int),
        metavar="N[,N…]",
        help="requests that are always on their way; several are measured one after the other (default: 1)",
    )
    group.add_argument(
        "--request-rate",
        type=_several(float),
        metavar="R[,R…]",
        help="requests a second, whatever the server does",
    )
    group.add_argument(
        "--request-distribution",
        default="constant",
        metavar="{constant,poisson}",
        help="the pauses of a rate, even or random (default: %(default)s)",
    )
    group.add_argument("--request-count", type=int, metavar="N", help="measure N requests")
    group.add_argument(
        "--measurement-interval",
        type=_milliseconds,
        metavar="MS",
        help="send requests for so many milliseconds, or 30s (default: 10000, without --request-count)",
    )
    group.add_argument(
        "--warmup-request-count",
        type=int,
        default=1,
        metavar="N",
        help="send N requests first that do not count (default: %(default)s)",
    )
    group.add_argument(
        "--streaming",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="read answers as they come, or time whole answers only",
    )


def add_input_arguments(group: argparse._ArgumentGroup) -> None:
    """Add the prompts, and how long answers are."""
    group.add_argument(
        "--input-file",
        metavar="FILE",
        help="prompts to send in turn, one a line; in .jsonl with text, prompt or messages",
    )
    group.add_argument(
        "--synthetic-input-tokens-mean",
        type=int,
        default=550,
        metavar="N",
        help="without a file: prompts of so many random short words (default: %(default)s)",
    )
    group.add_argument(
        "--synthetic-input-tokens-stddev", type=float, default=0.0, metavar="N", help="(default: 0)"
    )
    group.add_argument(
        "--output-tokens-mean", type=int, metavar="N", help="the mean of the answers' max_tokens"
    )
    group.add_argument("--output-tokens-stddev", type=float, default=0.0, metavar="N", help="(default: 0)")
    group.add_argument(
        "--random-seed",
        type=int,
        default=0,
        metavar="N",
        help="the same one gives the same prompts (default: 0)",
    )
    group.add_argument(
        "--chat", action="store_true", help="send prompts as a user's message in the model's format"
    )
    group.add_argument(
        "--extra-inputs",
        type=_extra_input,
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="a further input of the model, as ignore_eos:true; may be repeated",
    )


def add_report_arguments(group: argparse._ArgumentGroup) -> None:
    """Add what becomes of the figures."""
    group.add_argument(
        "--profile-export-file",
        metavar="FILE",
        help="write the figures as JSON in genai-perf's shape, and beside it as CSV; of several loads each has its own",
    )
    group.add_argument(
        "--plot", metavar="FILE", help="draw them as .svg, .png or .pdf; needs the extra bench"
    )
    group.add_argument(
        "--json", action="store_true", help="print the JSON, a line for each load, in place of tables"
    )
    group.add_argument(
        "--goodput",
        type=_goodput,
        nargs="+",
        metavar="METRIC:VALUE",
        help="count requests that keep to these, in ms or tokens/s, as time_to_first_token:200 inter_token_latency:30",
    )


def _several(kind: type) -> Any:
    def parse(text: str) -> list[Any]:
        try:
            return [kind(part) for part in text.split(",")]
        except ValueError:
            words = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(
                f"must be {words}, or several with commas, not {text!r}"
            ) from None

    return parse


def _milliseconds(text: str) -> float:
    number, factor = (text[:-1], 1.0) if text.endswith("s") and not text.endswith("ms") else (text, 0.001)
    try:
        return float(number.removesuffix("ms")) * factor
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be milliseconds, or seconds as 30s, not {text!r}") from None


def _goodput(text: str) -> tuple[str, float]:
    name, _, value = text.partition(":")
    try:
        number = float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be METRIC:VALUE, not {text!r}") from None
    return name, number if "throughput" in name else number / 1000


def _extra_input(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition(":")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"must be NAME:VALUE, not {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
