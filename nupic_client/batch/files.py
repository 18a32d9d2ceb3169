"""The files that a run writes: answers, errors and the state beside them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from nupic_client.batch.done import DoneLines
from nupic_client.batch.errors import BatchFileError
from nupic_client.batch.output import LineFile, LineStream, is_regular
from nupic_client.batch.parquet import is_parquet, load_pyarrow
from nupic_client.batch.report import BatchReport
from nupic_client.batch.settings import BatchSettings, path_of
from nupic_client.batch.state import RunState, state_path
from nupic_client.errors import ConfigurationError

__all__ = ["OutputFiles"]

Sink: TypeAlias = LineFile | LineStream


class OutputFiles:
    """The files that a run writes.

    Args:
        output: the file of answers; None is stdout.
        settings: of the run.
        facts: the fingerprint of the run.
        inputs: the file that is read, if it is one.

    Raises:
        ConfigurationError: a file cannot be written, has lines already, or is of another run.
    """

    def __init__(
        self, output: Path | None, settings: BatchSettings, facts: Mapping[str, Any], inputs: Path | None
    ) -> None:
        self._settings = settings
        self._output = output
        errors = None if settings.errors_to is None else path_of(settings.errors_to, "errors_to")
        _check_different(("input", inputs), ("output", output), ("errors_to", errors))
        self.done: DoneLines = DoneLines()
        self.state: RunState | None = None
        self._kept = 0
        self._table = output is not None and is_parquet(output) and is_regular(output)
        if self._table:
            load_pyarrow()  # not only at the end
        self._files = contextlib.ExitStack()
        with self._files:
            self.answers: Sink = self._open(self._lines, "output")
            self.errors: Sink | None = None
            if settings.errors_to is not None:
                self.errors = self._open(errors, "errors_to")
            self._prepare(facts)
            self._files = self._files.pop_all()

    @property
    def _lines(self) -> Path | None:
        """The file of lines: for a table, the one that becomes it at the end."""
        if self._table and self._output is not None:
            return self._output.with_name(f"{self._output.name}.partial")
        return self._output

    def _open(self, path: Path | None, parameter: str) -> Sink:
        regular = path is not None and is_regular(path)
        sink: Sink = LineFile(path, parameter) if path is not None and regular else LineStream(path)
        self._files.callback(sink.close)
        return sink

    def _prepare(self, facts: Mapping[str, Any]) -> None:
        settings, answers, errors = self._settings, self.answers, self.errors
        if not isinstance(answers, LineFile):
            if settings.resume:
                raise ConfigurationError(
                    "resume must be with an output that is a file: what went to stdout or a device cannot be read again",
                    parameter="resume",
                )
            return
        self.state = RunState(state_path(self._output or answers.path), facts)
        # An error that was noted is no error of this run: its line is sent again.
        resumed = settings.resume and (self._begun or self.state.path.exists())
        if resumed:
            self.state.check()
            self._kept = answers.resume(self.done, keep_errors=settings.keep_errors)
            if isinstance(errors, LineFile) and settings.keep_errors:
                errors.resume(self.done, keep_errors=True)
        elif self._begun and not settings.overwrite:
            raise _begun("output", self._output or answers.path)
        else:
            answers.clear()
        if isinstance(errors, LineFile) and not (resumed and settings.keep_errors):
            if errors.size and not settings.overwrite and not resumed:
                raise _begun("errors_to", errors.path)
            errors.clear()
        self.done.end()
        self.state.save(self._counts({}))

    @property
    def _begun(self) -> bool:
        """Whether an earlier run has written something."""
        return bool(self.answers.size) or (self._table and self._output is not None and self._output.exists())

    def _counts(self, counts: Mapping[str, int]) -> dict[str, int]:
        return {"done": counts.get("done", 0) + self._kept, "failed": counts.get("failed", 0)}

    def sync(self) -> None:
        """Have the system write everything to the disk. For any thread.

        Raises:
            BatchFileError: it could not.
        """
        self.answers.sync()
        if self.errors is not None:
            self.errors.sync()

    def save(self, counts: Mapping[str, int]) -> None:
        """Write the counts into the state.

        Raises:
            BatchFileError: it cannot be written.
        """
        if self.state is not None:
            self.state.save(self._counts(counts))

    def finish(self, report: BatchReport, write_table: Callable[[Path, Path], object]) -> None:
        """Make a table of the lines if one is wanted, and remove what only another run would need.

        Raises:
            BatchFileError: a file cannot be written.
        """
        answers = self.answers
        if (
            isinstance(answers, LineFile)
            and self._table
            and self._output is not None
            and report.ended != "stopped"
        ):
            try:
                write_table(answers.path, self._output)
            except OSError as error:
                raise BatchFileError(
                    f"{os.fspath(self._output)!r} cannot be written: {error.strerror or error}"
                ) from error
        nothing_left = report.ended == "complete" and (not report.failed or self._settings.keep_errors)
        if self.state is None or not nothing_left or self._settings.keep_state:
            return
        self.close()
        self.state.remove()
        if self._table and isinstance(answers, LineFile):
            answers.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files."""
        self._files.close()


def _check_different(*files: tuple[str, Path | None]) -> None:
    seen: dict[Path, str] = {}
    for name, path in files:
        if path is None or not is_regular(path):
            continue
        place = path.resolve()
        if place in seen:
            raise ConfigurationError(
                f"{name} must be another file than {seen[place]}, not {os.fspath(path)!r} too", parameter=name
            )
        seen[place] = name
        for other, its_name in tuple(seen.items()):
            if other != place and _same(other, place):
                raise ConfigurationError(
                    f"{name} must be another file than {its_name}, and {os.fspath(path)!r} is the same one by another"
                    " name",
                    parameter=name,
                )


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _begun(parameter: str, path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{parameter} must be a new file, and {os.fspath(path)!r} is there already",
        parameter=parameter,
        hint="give resume=True to go on with it or overwrite=True to start anew",
    )
