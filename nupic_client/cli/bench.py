"""`nupic-client bench`: how fast a server generates text."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import threading
from typing import TYPE_CHECKING, Any

import nupic_client
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
    _add_load_arguments(parser.add_argument_group("load"))
    _add_input_arguments(parser.add_argument_group("prompts and answers"))
    output = parser.add_argument_group("report")
    output.add_argument(
        "--profile-export-file",
        metavar="FILE",
        help="write the figures as JSON in genai-perf's shape, and beside it as CSV; of several loads each has its own",
    )
    output.add_argument(
        "--plot", metavar="FILE", help="draw them as .svg, .png or .pdf; needs the extra bench"
    )
    output.add_argument(
        "--json", action="store_true", help="print the JSON, a line for each load, in place of tables"
    )
    output.add_argument(
        "--goodput",
        type=_goodput,
        nargs="+",
        metavar="METRIC:VALUE",
        help="count requests that keep to these, in ms or tokens/s, as time_to_first_token:200 inter_token_latency:30",
    )
    add_generation_arguments(parser)
    parser.set_defaults(run=run)


def _add_load_arguments(group: argparse._ArgumentGroup) -> None:
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


def _add_input_arguments(group: argparse._ArgumentGroup) -> None:
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
            display = (
                None
                if arguments.quiet
                else BenchDisplay(f"{settings.load.replace('_', ' ')} {settings.level:g}")
            )
            yield BenchSettings(concurrency=concurrency, request_rate=rate, progress=display, **common)


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
        with _stopped_by_signals(job):
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
    output.write(f"{figures(report)}\n" + ("\n" if several else ""))


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
def _stopped_by_signals(job: BenchJob) -> Iterator[None]:
    """Let the first Ctrl-C end a benchmark with its report and the second one at once; SIGTERM is the same."""
    stops = 0

    def stop(*_: object) -> None:
        nonlocal stops
        stops += 1
        if stops > 1 or not job.running:
            raise KeyboardInterrupt
        job.stop()

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
