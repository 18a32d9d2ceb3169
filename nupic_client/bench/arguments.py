"""The keyword arguments of a benchmark, as type checkers see them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nupic_client.bench.report import BenchProgress
from nupic_client.bench.senders import BenchClient
from nupic_client.bench.settings import Distribution
from nupic_client.options import GenerateOptions
from nupic_client.prompts import PromptFormatter

__all__ = ["BenchArguments"]


class BenchArguments(GenerateOptions, total=False):
    """The keyword arguments of `nupic_client.bench.run`, which describes them, and the options of every generation."""

    concurrency: int | None
    request_rate: float | None
    request_distribution: Distribution
    request_count: int | None
    measurement_interval: float | None
    warmup_request_count: int
    streaming: bool
    prompts: Iterable[Any] | None
    input_file: str | os.PathLike[str] | None
    synthetic_input_tokens_mean: int
    synthetic_input_tokens_stddev: float
    output_tokens_mean: int | None
    output_tokens_stddev: float
    random_seed: int
    goodput: Mapping[str, float] | None
    max_outstanding: int
    chat: bool
    system: str | None
    progress: Callable[[BenchProgress], object] | None
    client: BenchClient | None
    formatter: PromptFormatter | str | None
