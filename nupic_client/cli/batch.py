"""`nupic-client batch`: a file of prompts to a file of answers."""

from __future__ import annotations

import argparse
import contextlib
import os
from typing import TYPE_CHECKING, Any

from nupic_client.cli.batch_report import BatchDisplay, advice, summary
from nupic_client.cli.connection import connect, embedding_client, other_client
from nupic_client.cli.error_rendering import error_text
from nupic_client.cli.exit_codes import ExitCode, exit_code_of
from nupic_client.cli.options import add_generation_arguments, sampling_options
from nupic_client.cli.signals import stopped_by_signals
from nupic_client.cli.terminal import complain, say
from nupic_client.errors import ConfigurationError, NupicError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nupic_client.batch import BatchJob, BatchReport

__all__ = ["add_command", "run"]

_EPILOG = """\
lines, which may be mixed (Parquet: the second, as columns prompt, messages or input):
  {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": […], "max_tokens": 64}}
  {"id": 17, "prompt": "…", "anything": "is copied"}
vectors:
  {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"model": "sbert", "input": "…"}}
  {"id": 17, "input": "…"}

examples:
  nupic-client batch in.jsonl out.jsonl --model llama3 --max-tokens 200
  nupic-client batch in.jsonl out.jsonl --model llama3 --max-tokens 200 --resume
  zcat in.jsonl.gz | nupic-client batch - - --quiet | gzip > out.jsonl.gz

Ctrl-C (or SIGTERM) sends nothing more and waits for what runs, a second one cancels it. After both, and after any other end,
--resume goes on.

exit codes:
  0    all lines were answered, or --limit was reached
  1    a file cannot be read or written any more, or the model cannot be used
  2    an argument or option is wrong, or the output is there already; nothing was sent
  3    some lines failed, or the server cannot be reached
  4    the time limit passed before the first line could be sent
  130  interrupted
"""


def add_command(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "batch",
        help="work through a file of prompts or texts",
        description="Generate a text, or make vectors, for each line of a file, many at a time, and write the answers as"
        " lines of another.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("source", metavar="INPUT", help="a file of JSON lines, or .parquet; - reads stdin")
    parser.add_argument("target", metavar="OUTPUT", help="the file of answers, or .parquet; - is stdout")
    again = parser.add_argument_group("an output that is there already")
    again.add_argument("--resume", action="store_true", help="go on where an earlier run ended")
    again.add_argument("--overwrite", action="store_true", help="drop it, and begin anew")
    again.add_argument(
        "--keep-errors",
        action="store_true",
        help="lines that failed are done; else --resume sends them again",
    )
    again.add_argument(
        "--keep-state", action="store_true", help="keep OUTPUT.state, which --resume needs, also at the end"
    )
    lines = parser.add_argument_group("lines")
    lines.add_argument(
        "--concurrency",
        type=int,
        default=32,
        metavar="N",
        help="requests at the same time (default: %(default)s)",
    )
    lines.add_argument("--ordered", action="store_true", help="write the answers in the order of the input")
    lines.add_argument("--errors", metavar="FILE", help="write the lines that failed to this file")
    lines.add_argument(
        "--max-failures", type=int, metavar="N", help="stop when more than N lines have failed"
    )
    lines.add_argument("--limit", type=int, metavar="N", help="send N lines at most")
    lines.add_argument(
        "--chat",
        action="store_true",
        help="a plain prompt is a user's message in the model's format; else it is sent unchanged",
    )
    lines.add_argument(
        "--grace",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="after Ctrl-C, wait so long for what runs (default: 30)",
    )
    add_generation_arguments(parser, quiet="show no progress, and no figures at the end")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Run the batch, and print its figures.

    Raises:
        NupicError: see `nupic_client.cli.exit_codes`.
    """
    from nupic_client import batch  # noqa: PLC0415 - it imports asyncio

    display = None if arguments.quiet else BatchDisplay()
    settings = batch.BatchSettings(
        concurrency=arguments.concurrency,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        ordered=arguments.ordered,
        errors_to=arguments.errors,
        max_failures=arguments.max_failures,
        limit=arguments.limit,
        keep_errors=arguments.keep_errors,
        keep_state=arguments.keep_state,
        grace=arguments.grace,
        progress=display,
        system=arguments.system,
        chat=arguments.chat,
    )
    with connect(arguments) as client:
        job = batch.BatchJob(
            arguments.source,
            arguments.target,
            model=arguments.model,
            client=client,
            make_client=lambda model: other_client(arguments, client, model),
            make_embedding_client=lambda model: embedding_client(arguments, client, model),
            settings=settings,
            **sampling_options(arguments),
        )
        try:
            with _stopped(job, arguments):
                report = job.run()
        except NupicError as error:
            if isinstance(error, ConfigurationError):  # before anything was sent
                raise
            _end(display)
            complain(error_text(error, arguments))
            say(advice(arguments.target))
            return exit_code_of(error)
        finally:
            _end(display)
    if not arguments.quiet:
        say(summary(report))
    return _outcome(report, arguments)


def _end(display: BatchDisplay | None) -> None:
    if display is not None:
        display.end()


def _outcome(report: BatchReport, arguments: argparse.Namespace) -> ExitCode:
    if report.ended == "failures":
        complain(f"stopped, because more than {arguments.max_failures} lines have failed")
    something_left = report.ended != "complete" or (report.failed and not arguments.keep_errors)
    # After Ctrl-C also with --quiet: somebody is there to read it.
    if something_left and (report.ended == "stopped" or not arguments.quiet):
        say(advice(arguments.target))
    if report.ended == "stopped":
        return ExitCode.INTERRUPTED
    return ExitCode.SOME_FAILED if report.failed else ExitCode.OK


@contextlib.contextmanager
def _stopped(job: BatchJob, arguments: argparse.Namespace) -> Iterator[None]:
    """Let the first Ctrl-C end a job in good order and the second one at once; SIGTERM is the same."""
    count = 0

    def stop(*_: object) -> None:
        nonlocal count
        count += 1
        if not job.sending:
            raise KeyboardInterrupt
        job.stop()
        if count == 1:
            # Not print: the signal may have come in the middle of one.
            text = f"\nwaiting up to {arguments.grace:g} s for what runs; Ctrl-C again cancels it\n"
            with contextlib.suppress(OSError):
                os.write(2, text.encode())

    with stopped_by_signals(stop):
        yield
