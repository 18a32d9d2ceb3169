"""`BenchJob`: a benchmark from its first request to its report."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future, wait
from typing import Any, Literal, TypeVar

from typing_extensions import Unpack

from nupic_client import HttpInferenceClient, InferenceClient, StreamingClient
from nupic_client.bench.load import Load
from nupic_client.bench.metrics import Recorder
from nupic_client.bench.prompts import prompt_source
from nupic_client.bench.report import BenchProgress, BenchReport, ErrorCount
from nupic_client.bench.senders import BenchClient, clock, sender_of
from nupic_client.bench.settings import BenchSettings
from nupic_client.options import GenerateOptions
from nupic_client.prompts import PromptFormatter

__all__ = ["BenchJob"]

_Value = TypeVar("_Value")
_TICK, _SHOW_EVERY = 0.05, 10
"""Seconds between two looks at how late the loop is; the progress is shown at each tenth."""
_MOST_THREADS = 256
"""Requests of a rate over HTTP at the same time: each has a thread."""


class BenchJob:
    """A benchmark that another thread or a signal handler can stop.

    `nupic_client.bench.run` makes one and runs it, and describes the arguments.

    Args:
        model: the model to measure.
        url: the server, where there is no ``client``.
        client: for that model, instead of a new one. It stays open.
        formatter: how conversations become prompts, where there is no ``client``.
        settings: how it runs.
        **options: of every generation.

    Raises:
        ConfigurationError: an argument is wrong.

    Example:
        .. code-block:: python

            job = BenchJob("smollm2", "localhost:8001", settings=BenchSettings(concurrency=8, request_count=100))
            signal.signal(signal.SIGTERM, lambda *_: job.stop())
            print(job.run().time_to_first_token)
    """

    def __init__(
        self,
        model: str,
        url: str | None = None,
        *,
        client: BenchClient | None = None,
        formatter: PromptFormatter | str | None = None,
        settings: BenchSettings | None = None,
        **options: Unpack[GenerateOptions],
    ) -> None:
        self._model, self._url, self._formatter = model, url, formatter
        self._client = client
        self._settings = settings or BenchSettings()
        self._options: dict[str, Any] = dict(options)
        self._stopped = False
        self._wake: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def run(self) -> BenchReport:
        """Measure, and return the figures. Blocks; with uvloop where that is installed.

        Raises:
            ConfigurationError: an argument is wrong, or a file cannot be read; nothing was sent.
            RequestError: all warm-up requests failed; nothing was measured.
        """
        if not _in_a_loop():
            return _run(self.arun())
        # As in a notebook, whose cells run inside a loop.
        outcome: Future[BenchReport] = Future()
        threading.Thread(
            target=_run_into, args=(outcome, self), name="nupic_client.bench", daemon=True
        ).start()
        try:
            return outcome.result()
        except KeyboardInterrupt:
            self.stop()
            wait([outcome])
            raise

    async def arun(self) -> BenchReport:
        """Measure, and return the figures; the async twin of `run`. What else runs in this loop falsifies them."""
        settings = self._settings
        with self._clients() as client:
            prompts = prompt_source(settings)
            most = (
                min(settings.max_outstanding, _MOST_THREADS)
                if settings.load == "request_rate"
                else int(settings.level)
            )
            sender = sender_of(client, streaming=settings.streaming, concurrency=most, options=self._options)
            stopped = asyncio.Event()
            self._wake = asyncio.get_running_loop(), stopped
            try:
                if self._stopped:
                    stopped.set()
                warmup = Recorder()
                if settings.warmup_request_count and not self._stopped:
                    load = Load(
                        settings, sender, prompts, warmup, count=settings.warmup_request_count, interval=None
                    )
                    await self._measure("warmup", load, warmup, stopped)
                recorder = Recorder(settings.goodput)
                load = Load(
                    settings,
                    sender,
                    prompts,
                    recorder,
                    count=settings.request_count,
                    interval=settings.interval,
                )
                cpu, begin = time.process_time(), clock()
                if not self._stopped:
                    await self._measure("measuring", load, recorder, stopped)
                used = (time.process_time() - cpu) / max(clock() - begin, 1e-9)
            finally:
                self._wake = None
                sender.close()
            return self._report(client, recorder, used)

    def stop(self) -> None:
        """End the benchmark: what is on its way is cancelled, and `run` returns what was measured.

        Returns at once. Safe from any thread, and from a signal handler.
        """
        self._stopped = True
        if self._wake is not None:
            loop, event = self._wake
            with contextlib.suppress(RuntimeError):  # it has just been closed
                loop.call_soon_threadsafe(event.set)

    @property
    def running(self) -> bool:
        """Whether requests are on their way, so that `stop` has something to end."""
        return self._wake is not None

    @contextlib.contextmanager
    def _clients(self) -> Iterator[BenchClient]:
        if self._client is not None:
            yield self._client
            return
        kind: Any = StreamingClient if self._settings.streaming else InferenceClient
        if isinstance(self._url, str) and self._url.startswith(("http://", "https://")):
            kind = HttpInferenceClient
        with kind(self._model, self._url, formatter=self._formatter) as client:
            yield client

    async def _measure(
        self, phase: Literal["warmup", "measuring"], load: Load, recorder: Recorder, stopped: asyncio.Event
    ) -> None:
        ticking = asyncio.ensure_future(self._tick(phase, load, recorder))
        try:
            await load.run(stopped)
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
        if phase == "warmup" and recorder.last_error is not None and not recorder.done:
            raise recorder.last_error

    async def _tick(self, phase: Literal["warmup", "measuring"], load: Load, recorder: Recorder) -> None:
        """Measure how late this loop wakes up, and tell how far the benchmark is."""
        past: deque[tuple[float, int, float]] = deque(maxlen=20)
        ticks = 0
        while True:
            due = clock() + _TICK
            await asyncio.sleep(_TICK)
            recorder.loop_delay.add(max(clock() - due, 0.0))
            ticks += 1
            if self._settings.progress is not None and not ticks % _SHOW_EVERY:
                self._settings.progress(_progress(phase, load, recorder, past))

    def _report(self, client: BenchClient, recorder: Recorder, cpu: float) -> BenchReport:
        settings, duration = self._settings, recorder.duration
        tokens = recorder.samples["output_sequence_length"].total
        found = {name: samples.statistics() for name, samples in recorder.samples.items()}
        errors = [
            ErrorCount(kind, count, recorder.messages[kind]) for kind, count in recorder.errors.most_common()
        ]
        return BenchReport(
            model=client.model.server_name,
            url=client.url,
            load=settings.load,
            level=settings.level,
            streaming=settings.streaming,
            metrics={name: figures for name, figures in found.items() if figures is not None},
            request_count=recorder.done,
            error_count=recorder.failed,
            cut_off=recorder.cut_off,
            errors=tuple(errors),
            benchmark_duration=duration,
            request_throughput=recorder.done / duration if duration else 0.0,
            request_goodput=None if not settings.goodput else recorder.good / duration if duration else 0.0,
            output_token_throughput=tokens / duration if tokens and duration else None,
            output_tokens_from=_sources(recorder.counted_output),
            input_tokens_from=_sources(recorder.counted_input),
            send_delay=recorder.send_delay.statistics(),
            loop_delay=recorder.loop_delay.statistics(),
            cpu=cpu,
            ended="stopped" if self._stopped else "complete",
            input_config=self._config(client),
            samples={name: samples.values for name, samples in recorder.samples.items() if samples.count},
        )

    def _config(self, client: BenchClient) -> dict[str, Any]:
        settings = self._settings
        names = (
            *(
                "request_count",
                "measurement_interval",
                "warmup_request_count",
                "streaming",
                "output_tokens_mean",
            ),
            *("output_tokens_stddev", "random_seed", "request_distribution"),
        )
        config: dict[str, Any] = {
            "model": [client.model.server_name],
            "u": client.url,
            settings.load: settings.level,
        }
        config |= {name: getattr(settings, name) for name in names}
        if settings.input_file is not None:
            config["input_file"] = str(settings.input_file)
        elif settings.prompts is None:
            config["synthetic_input_tokens_mean"] = settings.synthetic_input_tokens_mean
            config["synthetic_input_tokens_stddev"] = settings.synthetic_input_tokens_stddev
        return {**config, "goodput": dict(settings.goodput) if settings.goodput else None}


def _progress(
    phase: Literal["warmup", "measuring"],
    load: Load,
    recorder: Recorder,
    past: deque[tuple[float, int, float]],
) -> BenchProgress:
    now, tokens = clock(), recorder.samples["output_sequence_length"].total
    then, old_done, old_tokens = past[0] if past else (now, 0, 0.0)
    past.append((now, recorder.done, tokens))
    seconds = now - then
    firsts = recorder.samples["time_to_first_token"].values[-500:]
    return BenchProgress(
        phase=phase,
        seconds=now - load.begin,
        done=recorder.done,
        failed=recorder.failed,
        running=load.running,
        fraction=load.fraction,
        requests_per_second=(recorder.done - old_done) / seconds if seconds else None,
        tokens_per_second=(tokens - old_tokens) / seconds if seconds and tokens else None,
        time_to_first_token=statistics.median(firsts) if firsts else None,
    )


def _sources(counts: Counter[str]) -> str:
    return "mixed" if len(counts) > 1 else next(iter(counts), "")


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run(coroutine: Coroutine[Any, Any, _Value]) -> _Value:
    """Run a coroutine in a loop of its own, with uvloop where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - it is optional
    except ImportError:
        return asyncio.run(coroutine)
    run: Any = uvloop.run
    result: _Value = run(coroutine)
    return result


def _run_into(outcome: Future[BenchReport], job: BenchJob) -> None:
    try:
        outcome.set_result(_run(job.arun()))
    except BaseException as error:  # noqa: BLE001 - the other thread raises it
        outcome.set_exception(error)
