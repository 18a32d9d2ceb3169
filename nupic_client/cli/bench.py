"""`nupic-client bench`: how fast a server generates text."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import nupic_client
from nupic_client._terminal import is_terminal
from nupic_client.cli.bench_options import add_input_arguments, add_load_arguments, add_report_arguments
from nupic_client.cli.bench_report import (
    BenchDisplay,
    check_export,
    export,
    export_path,
    figures,
    sweep_table,
)
from nupic_client.cli.connection import connect, connect_inference
from nupic_client.cli.credentials import credentials
from nupic_client.cli.exit_codes import ExitCode
from nupic_client.cli.options import add_generation_arguments, generation_options, sampling_options
from nupic_client.cli.signals import stopped_by_signals
from nupic_client.cli.terminal import TextOutput, complain, json_text
from nupic_client.errors import ConnectionFailedError, DeadlineExceededError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nupic_client.bench import BenchClient, BenchJob, BenchReport, BenchSettings

__all__ = ["add_command", "run"]

_EPILOG = """\
Metrics and options are those of NVIDIA's genai-perf; docs/how-to/bench has their definitions. With --request-rate durations
count from the moment at which a request should have been sent. A request that fails is counted, and not sent again.

examples:
  nupic-client bench --model llama3 --concurrency 8 --request-count 200 --output-tokens-mean 64
  nupic-client bench --model llama3 --concurrency 1,2,4,8,16 --plot bench.svg
  nupic-client bench --model llama3 --request-rate 20 --request-distribution poisson --measurement-interval 60s
  nupic-client bench --model llama3 --input-file prompts.jsonl --chat --profile-export-file bench.json

Ctrl-C ends the measuring and reports what was measured.

exit codes:
  0    measured; requests that failed are in the report
  1    all requests failed
  2    an argument or option is wrong; nothing was sent
  3    the server cannot be reached
  4    all requests ran out of time
  130  interrupted; what was measured was reported
"""


def add_command(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "bench",
        help="measure how fast a server generates text",
        description="Send requests to a text model, and report times to the first token, between tokens, and throughput. "
        "With a url of http:// or https:// over HTTP.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_load_arguments(parser.add_argument_group("load"))
    add_input_arguments(parser.add_argument_group("prompts and answers"))
    add_report_arguments(parser.add_argument_group("report"))
    add_generation_arguments(parser, quiet="show no progress")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Measure each load, and print its figures.

    Raises:
        NupicError: see `nupic_client.cli.exit_codes`.
    """
    from nupic_client import bench  # noqa: PLC0415 - it imports asyncio

    every_settings = list(_settings(arguments))
    if arguments.profile_export_file:
        check_export(arguments.profile_export_file)
    if arguments.plot:
        bench.check_plot(arguments.plot)
    several, reports = len(every_settings) > 1, []
    with _client(arguments) as client:
        for settings in every_settings:
            report = _measured(client, settings, arguments)
            reports.append(report)
            if arguments.profile_export_file:
                path = export_path(arguments.profile_export_file, report.level, report.load, several=several)
                export(report, path)
            _show(report, arguments, several=several)
            if report.ended == "stopped":
                break
    if several and not arguments.json:
        TextOutput().write(f"{sweep_table(reports)}\n")
    if arguments.plot:
        bench.plot(reports, arguments.plot)
    return _outcome(reports)


def _settings(arguments: argparse.Namespace) -> Iterator[BenchSettings]:
    from nupic_client.bench import BenchSettings  # noqa: PLC0415 - it imports asyncio

    names = (
        *(
            "request_distribution",
            "request_count",
            "measurement_interval",
            "warmup_request_count",
            "streaming",
        ),
        *("input_file", "synthetic_input_tokens_mean", "synthetic_input_tokens_stddev", "output_tokens_mean"),
        *("output_tokens_stddev", "random_seed", "chat", "system"),
    )
    common: dict[str, Any] = {name: getattr(arguments, name) for name in names}
    common["goodput"] = dict(arguments.goodput) if arguments.goodput else None
    for concurrency in arguments.concurrency or [None]:
        for rate in arguments.request_rate or [None]:
            settings = BenchSettings(concurrency=concurrency, request_rate=rate, **common)
            title = f"{settings.load.replace('_', ' ')} {settings.level:g}"
            yield settings if arguments.quiet else replace(settings, progress=BenchDisplay(title))


@contextlib.contextmanager
def _client(arguments: argparse.Namespace) -> Iterator[BenchClient]:
    extra = {"backend_inputs": dict(arguments.extra_inputs)} if arguments.extra_inputs else {}
    if arguments.url and arguments.url.startswith(("http://", "https://")):
        options = {**credentials(arguments), **generation_options(arguments), **extra}
        with nupic_client.HttpInferenceClient(
            arguments.model, arguments.url, formatter=arguments.formatter, **options
        ) as client:
            yield client
    elif arguments.streaming:
        with connect(arguments, **extra) as streaming:
            yield streaming
    else:
        options = {"formatter": arguments.formatter, **sampling_options(arguments), **extra}
        with connect_inference(arguments, **options) as whole:
            yield whole


def _measured(client: BenchClient, settings: BenchSettings, arguments: argparse.Namespace) -> BenchReport:
    from nupic_client.bench import BenchJob  # noqa: PLC0415 - it imports asyncio

    job = BenchJob(arguments.model, client=client, settings=settings)
    try:
        with _stopped(job):
            return job.run()
    finally:
        if isinstance(settings.progress, BenchDisplay):
            settings.progress.end()


def _show(report: BenchReport, arguments: argparse.Namespace, *, several: bool) -> None:
    output = TextOutput()
    if arguments.json:
        output.write(f"{json_text(report.to_dict())}\n")
        return
    if several:
        output.write(f"{report.load.replace('_', ' ')} {report.level:g}\n")
    width = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None
    output.write(f"{figures(report, width)}\n" + ("\n" if several else ""))


def _outcome(reports: list[BenchReport]) -> ExitCode:
    if any(report.ended == "stopped" for report in reports):
        return ExitCode.INTERRUPTED
    if any(report.request_count for report in reports):
        return ExitCode.OK
    complain("all requests failed")
    kinds = {error.kind for report in reports for error in report.errors}
    if kinds == {ConnectionFailedError.__name__}:
        return ExitCode.NO_SERVER
    return ExitCode.TIMEOUT if kinds == {DeadlineExceededError.__name__} else ExitCode.FAILED


@contextlib.contextmanager
def _stopped(job: BenchJob) -> Iterator[None]:
    """Let the first Ctrl-C end a benchmark with its report and the second one at once; SIGTERM is the same."""
    stops = 0

    def stop(*_: object) -> None:
        nonlocal stops
        stops += 1
        if stops > 1 or not job.running:
            raise KeyboardInterrupt
        job.stop()

    with stopped_by_signals(stop):
        yield
