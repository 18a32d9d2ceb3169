"""Work through a file of prompts: many at a time, resumable, in bounded memory.

    from nupic_client import batch

    report = batch.run("in.jsonl", "out.jsonl", model="smollm2", url="localhost:8001", max_tokens=200)

Lines are OpenAI's batch lines or plain columns, and may be mixed; ``nupic-client batch`` is the same on the command line.
"""

from __future__ import annotations

from collections.abc import Callable

from typing_extensions import Unpack

from nupic_client import InferenceClient, StreamingClient
from nupic_client.batch.errors import BatchFileError
from nupic_client.batch.job import BatchJob
from nupic_client.batch.report import BatchProgress, BatchReport
from nupic_client.batch.settings import BatchSettings, Input, PathLike
from nupic_client.options import GenerateOptions
from nupic_client.prompts import PromptFormatter

__all__ = ["BatchFileError", "BatchJob", "BatchProgress", "BatchReport", "BatchSettings", "run"]


def run(
    input: Input,  # noqa: A002 - the word of the command line
    output: PathLike,
    *,
    model: str,
    url: str | None = None,
    concurrency: int = 32,
    resume: bool = False,
    overwrite: bool = False,
    ordered: bool = False,
    errors_to: PathLike | None = None,
    max_failures: int | None = None,
    limit: int | None = None,
    keep_errors: bool = False,
    keep_state: bool = False,
    progress: Callable[[BatchProgress], object] | None = None,
    client: StreamingClient | None = None,
    embedding_client: InferenceClient | None = None,
    formatter: PromptFormatter | str | None = None,
    system: str | None = None,
    chat: bool = False,
    **options: Unpack[GenerateOptions],
) -> BatchReport:
    """Generate a text, or make vectors, for each line of a file, and write each answer as a line of another. Blocks.

    A line that is wrong, or whose request fails, becomes an error of its own and stops nothing. A run that is killed leaves
    whole lines; with ``resume`` another run goes on, and sends again only what was on its way.

    Args:
        input: a file of lines (JSONL, or Parquet by its name), ``"-"`` for stdin, or an iterable of their objects.
        output: the file for the answers (JSONL, or Parquet by its name), ``"-"`` for stdout.
        model: the model for lines that name none: a friendly name of the registry or the server's own name.
        url: the server, see `StreamingClient`.
        concurrency: number of requests at the same time, for each model.
        resume: go on where an earlier run ended; with nothing to go on with, begin.
        overwrite: begin anew, and drop what is in the output.
        ordered: write the lines in the order of the input; a slow one holds up those behind it, at most 1,024 or 8 times
            ``concurrency``.
        errors_to: a file for the lines that failed, instead of the output.
        max_failures: end the run when more lines than this have failed; None never does.
        limit: number of lines that this run sends; a resumed one goes on behind them.
        keep_errors: lines that failed are done: a resumed run sends them not again, and keeps their errors.
        keep_state: keep the file ``output.state`` at the end, with which a run can be resumed.
        progress: called about twice a second with a `BatchProgress`, in the thread that runs.
        client: a client for ``model``, with its own url, credentials and defaults; a line that names another model is
            an error then.
        embedding_client: the same for lines of ``/v1/embeddings``, and for plain lines with an ``input``. Without it their
            model is a client's of its own, on the same url; with ``client`` and without this they are errors.
        formatter: how conversations become prompts, see `StreamingClient`; not with ``client``.
        system: the system prompt of conversations that have none; a plain prompt becomes the user's message after it.
        chat: a plain prompt is a user's message in the model's format, not a text that is sent unchanged.
        **options: of every generation, see `GenerateOptions`; what a line says itself goes before them. ``max_retries`` is 8
            where it is not given here: a server that is started again within half a minute costs no line.

    Returns:
        The figures.

    Raises:
        ConfigurationError: an argument is wrong, the output is there already, or it is of another model, input or options.
            Nothing was sent.
        RequestError: the model is not there, or the server has gone. What was answered is in the output.
        BatchFileError: a file cannot be read or written any more.
        TypeError: an option does not exist.
    """
    settings = BatchSettings(
        concurrency=concurrency,
        resume=resume,
        overwrite=overwrite,
        ordered=ordered,
        errors_to=errors_to,
        max_failures=max_failures,
        limit=limit,
        keep_errors=keep_errors,
        keep_state=keep_state,
        progress=progress,
        system=system,
        chat=chat,
    )
    job = BatchJob(
        input,
        output,
        model=model,
        client=client,
        embedding_client=embedding_client,
        url=url,
        formatter=formatter,
        settings=settings,
        **options,
    )
    return job.run()
