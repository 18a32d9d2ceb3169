"""`BatchJob`: a batch from its first line to its report."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from hashlib import blake2b
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from nupic_client import InferenceClient, StreamingClient
from nupic_client.batch import parquet
from nupic_client.batch.clients import Clients
from nupic_client.batch.files import OutputFiles
from nupic_client.batch.lines import Prompting
from nupic_client.batch.reading import FileSource, ObjectSource, PipeSource, Source
from nupic_client.batch.report import BatchReport
from nupic_client.batch.runner import Runner
from nupic_client.batch.settings import BatchSettings, Input, PathLike, path_of
from nupic_client.batch.state import fingerprint, fingerprint_of_file
from nupic_client.errors import ConfigurationError, PromptError
from nupic_client.messages import assistant, user
from nupic_client.options import GenerateOptions
from nupic_client.prompts import PromptFormatter

__all__ = ["BatchJob"]

_TALK = (user("Hello"), assistant("Hi"), user("How are you?"))
"""Rendered by a formatter, it tells one from another."""


class BatchJob:
    """A batch that another thread or a signal handler can stop.

    `nupic_client.batch.run` makes one and runs it, and describes the arguments.

    Args:
        input: the lines.
        output: the file for their answers.
        model: the model for lines that name none.
        client: for that model, instead of a new one. It stays open.
        make_client: returns a client for another model that a line names; these are closed at the end. Without it,
            such a line is an error where ``client`` is given.
        embedding_client: for lines of ``/v1/embeddings`` that name its model or none. It stays open.
        make_embedding_client: returns a client for the vectors of another model, as ``make_client`` does for texts.
        url: the server, where there is no ``client``.
        formatter: how conversations become prompts, where there is no ``client``.
        settings: how it runs.
        **options: of every generation; what a line says itself goes before them.

    Raises:
        ConfigurationError: an argument is wrong.

    Example:
        .. code-block:: python

            job = BatchJob("in.jsonl", "out.jsonl", model="smollm2", settings=BatchSettings(resume=True))
            signal.signal(signal.SIGTERM, lambda *_: job.stop())
            print(job.run())
    """

    def __init__(
        self,
        input: Input,  # noqa: A002 - the word of the command line
        output: PathLike,
        *,
        model: str,
        client: StreamingClient | None = None,
        make_client: Callable[[str], StreamingClient] | None = None,
        embedding_client: InferenceClient | None = None,
        make_embedding_client: Callable[[str], InferenceClient] | None = None,
        url: str | None = None,
        formatter: PromptFormatter | str | None = None,
        settings: BatchSettings | None = None,
        **options: Unpack[GenerateOptions],
    ) -> None:
        self._input = input
        self._output = path_of(output, "output")
        self._model = model
        self._client = client
        self._make_client = make_client
        self._embedding_client = embedding_client
        self._make_embedding_client = make_embedding_client
        self._url, self._formatter = url, formatter
        self._settings = settings or BatchSettings()
        self._options: dict[str, Any] = dict(options)
        self._runner: Runner | None = None
        self._stops = 0

    def run(self) -> BatchReport:
        """Run the batch to its end. Blocks.

        Returns:
            The figures.

        Raises:
            ConfigurationError: an argument is wrong, or the output cannot be resumed; nothing was sent.
            RequestError: the model is not there, or the server has gone; what was answered is in the output.
            BatchFileError: a file cannot be read or written any more.
        """
        with contextlib.ExitStack() as stack:
            client = self._client
            if client is None:
                client = StreamingClient(self._model, self._url, formatter=self._formatter)
                stack.enter_context(client)
            client.amap((), concurrency=self._settings.concurrency, **self._options)  # checks the options
            source, facts = self._source(client)
            stack.callback(source.close)
            files = OutputFiles(self._output, self._settings, facts, inputs=self._input_path)
            stack.callback(files.close)
            self._runner = Runner(
                source,
                files,
                self._clients(client, stack),
                self._settings,
                self._options,
                lambda: self._stops,
            )
            report = self._run(self._runner)
            self._runner = None
            files.finish(report, self._table)
        return report

    def stop(self) -> None:
        """Send nothing more, and wait for what runs, bounded by ``grace``; called again, cancel what runs.

        Returns at once. Safe from any thread, and from a signal handler.
        """
        self._stops += 1
        runner = self._runner
        if runner is not None:
            runner.look()

    @property
    def sending(self) -> bool:
        """Whether requests are on their way, so that `stop` has something to wait for."""
        return self._runner is not None

    def _run(self, runner: Runner) -> BatchReport:
        if not _in_a_loop():
            return asyncio.run(runner.run())
        # As in a notebook, whose cells run inside a loop.
        outcome: Future[BatchReport] = Future()
        threading.Thread(
            target=_run_into, args=(outcome, runner), name="nupic_client.batch", daemon=True
        ).start()
        try:
            return outcome.result()
        except KeyboardInterrupt:
            self._stops += 2
            runner.look()
            wait([outcome])
            raise

    @property
    def _input_path(self) -> Path | None:
        return path_of(self._input, "input") if isinstance(self._input, (str, os.PathLike)) else None

    def _source(self, client: StreamingClient) -> tuple[Source, dict[str, Any]]:
        prompting = Prompting(system=self._settings.system, chat=self._settings.chat)
        facts = fingerprint(
            model=client.model.server_name,
            formatter=_name_of(client.formatter),
            system=self._settings.system,
            chat=self._settings.chat,
            options={**dict(client.model.sampling_defaults.given()), **self._options},
        )
        if self._embedding_client is not None:
            facts["embedding_model"] = self._embedding_client.model.server_name
        path, source = self._input_path, self._input
        if path is not None and path.is_file():
            facts["input"] = fingerprint_of_file(path)
            if parquet.is_parquet(path):
                numbered = self._output is not None and parquet.is_parquet(self._output)
                return parquet.source(path, prompting, numbered=numbered), facts
            return FileSource(path, prompting), facts
        if path is not None and not path.exists():
            raise ConfigurationError(
                f"input must be a file that can be read, not {os.fspath(path)!r}: there is none",
                parameter="input",
            )
        if path is not None and path.is_dir():
            raise ConfigurationError(
                f"input must be a file that can be read, not {os.fspath(path)!r}: it is a folder",
                parameter="input",
            )
        if isinstance(source, (str, os.PathLike)):
            return PipeSource(path, prompting), facts
        if not isinstance(source, Iterable) or isinstance(source, (bytes, Mapping)):
            raise ConfigurationError(
                f"input must be the name of a file or an iterable of mappings, not {type(source).__name__}",
                parameter="input",
            )
        return ObjectSource(source, prompting), facts

    def _clients(self, client: StreamingClient, stack: contextlib.ExitStack) -> Clients:
        return Clients(
            stack=stack,
            model=self._model,
            client=client,
            given=self._client is not None,
            embedding_client=self._embedding_client,
            make_client=self._make_client,
            make_embedding_client=self._make_embedding_client,
            connection={"url": self._url, "formatter": self._formatter},
        )

    def _table(self, lines: Path, output: Path) -> None:
        """Write the Parquet file of the lines."""
        path = self._input_path
        parquet.write(lines, output, path if path is not None and parquet.is_parquet(path) else None)


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run_into(outcome: Future[BatchReport], runner: Runner) -> None:
    try:
        outcome.set_result(asyncio.run(runner.run()))
    except BaseException as error:  # noqa: BLE001 - the other thread raises it
        outcome.set_exception(error)


def _name_of(formatter: PromptFormatter | None) -> str | None:
    """Return what tells a formatter from another: its prompts and its stop strings."""
    if formatter is None:
        return None
    try:
        prompt = formatter(_TALK)
    except PromptError:
        prompt = repr(formatter)
    return blake2b(f"{prompt}\0{formatter.stop}".encode(), digest_size=8).hexdigest()
