"""Measure how fast a server generates text, with genai-perf's metrics and words.

    from nupic_client import bench

    report = bench.run("smollm2", "localhost:8001", concurrency=8, request_count=100, output_tokens_mean=64)
    print(report.time_to_first_token.p99, report.inter_token_latency.avg, report.output_token_throughput)

``nupic-client bench`` is the same on the command line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from typing_extensions import Unpack

from nupic_client.bench.arguments import BenchArguments
from nupic_client.bench.job import BenchJob
from nupic_client.bench.plot import check_plot, plot
from nupic_client.bench.report import BenchProgress, BenchReport, ErrorCount
from nupic_client.bench.senders import BenchClient
from nupic_client.bench.settings import BenchSettings, Distribution
from nupic_client.bench.statistics import Statistics
from nupic_client.options import GenerateOptions
from nupic_client.prompts import PromptFormatter

__all__ = [
    "BenchArguments",
    "BenchClient",
    "BenchJob",
    "BenchProgress",
    "BenchReport",
    "BenchSettings",
    "ErrorCount",
    "Statistics",
    "arun",
    "check_plot",
    "plot",
    "run",
]


def run(
    model: str,
    url: str | None = None,
    *,
    concurrency: int | None = None,
    request_rate: float | None = None,
    request_distribution: Distribution = "constant",
    request_count: int | None = None,
    measurement_interval: float | None = None,
    warmup_request_count: int = 1,
    streaming: bool = True,
    prompts: Iterable[Any] | None = None,
    input_file: str | os.PathLike[str] | None = None,
    synthetic_input_tokens_mean: int = 550,
    synthetic_input_tokens_stddev: float = 0.0,
    output_tokens_mean: int | None = None,
    output_tokens_stddev: float = 0.0,
    random_seed: int = 0,
    goodput: Mapping[str, float] | None = None,
    max_outstanding: int = 4096,
    chat: bool = False,
    system: str | None = None,
    progress: Callable[[BenchProgress], object] | None = None,
    client: BenchClient | None = None,
    formatter: PromptFormatter | str | None = None,
    **options: Unpack[GenerateOptions],
) -> BenchReport:
    """Send requests to a model, measure each, and return the figures. Blocks.

    Requests are sent once: ``max_retries`` is 0 where it is not given, and each that fails is counted.

    Args:
        model: a friendly name of the registry or the server's own name.
        url: the server, or several as `StreamingClient` takes them; ``http://…`` measures over HTTP.
        concurrency: number of requests that are always on their way: when one ends, the next one begins. 1 where
            ``request_rate`` is not given either.
        request_rate: requests a second, sent whether or not earlier ones have been answered. Durations count from the moment
            at which a request should have been sent, so that a slow server cannot hide behind requests that wait here.
        request_distribution: the pauses of a rate, ``"constant"`` or ``"poisson"``.
        request_count: number of requests.
        measurement_interval: seconds in which requests are sent; those that are on their way at its end are waited for. 10
            where ``request_count`` is not given either.
        warmup_request_count: requests that are sent first and not measured.
        streaming: read answers as they come; otherwise only the whole answer is timed.
        prompts: prompts to send, in turn: texts or conversations, as `StreamingClient.generate` takes them.
        input_file: a file of prompts to send in turn: a text on each line, or with ``.jsonl`` an object on each line with
            ``text``, ``prompt`` or ``messages``.
        synthetic_input_tokens_mean: where there are neither, prompts are made of that many random words, short ones which
            are a token each for most models.
        synthetic_input_tokens_stddev: the standard deviation of that number.
        output_tokens_mean: the mean of ``max_tokens``; a model may end earlier.
        output_tokens_stddev: the standard deviation of that number.
        random_seed: the same seed gives the same prompts, lengths and pauses.
        goodput: what a good request keeps to, by metric: the highest ``time_to_first_token``, ``time_to_second_token``,
            ``inter_token_latency`` or ``request_latency`` in seconds, the lowest ``output_token_throughput_per_user``.
        max_outstanding: most requests of a rate at the same time; more wait here, and their wait counts.
        chat: prompts that are texts are sent as a user's message in the model's format, not unchanged.
        system: the system prompt of those; it makes them messages, too.
        progress: called about twice a second with a `BenchProgress`, in the thread that runs.
        client: a client for the model, with its own url, credentials and defaults.
        formatter: how conversations become prompts, see `StreamingClient`; not with ``client``.
        **options: of every generation, see `GenerateOptions`.

    Returns:
        The figures.

    Raises:
        ConfigurationError: an argument is wrong; nothing was sent.
        RequestError: all warm-up requests failed; nothing was measured.
        TypeError: an option does not exist.

    Example:
        .. code-block:: python

            report = bench.run("smollm2", "localhost:8001", concurrency=8, request_count=100, output_tokens_mean=64)
            print(report.time_to_first_token.p99, report.output_token_throughput)
    """
    return _job(locals()).run()


async def arun(model: str, url: str | None = None, **arguments: Unpack[BenchArguments]) -> BenchReport:
    """Send requests to a model, measure each, and return the figures; the async twin of `run`.

    What else runs in the same event loop makes the figures worse than the server is.

    Args:
        model: as for `run`.
        url: as for `run`.
        **arguments: as for `run`, see `BenchArguments`.

    Returns:
        As `run`.

    Raises:
        ConfigurationError: as for `run`.
        RequestError: as for `run`.
        TypeError: as for `run`.
    """
    return await _job({"model": model, "url": url, **arguments}).arun()


def _job(arguments: Mapping[str, Any]) -> BenchJob:
    given = dict(arguments)
    given |= given.pop("options", {})
    model, url, client = given.pop("model"), given.pop("url"), given.pop("client", None)
    formatter = given.pop("formatter", None)
    names = [name for name in BenchSettings.__slots__ if name in given]
    settings = BenchSettings(**{name: given.pop(name) for name in names})
    return BenchJob(model, url, client=client, formatter=formatter, settings=settings, **given)
