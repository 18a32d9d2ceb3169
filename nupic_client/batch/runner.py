"""One run: rows from the source through the lanes of their models to the files."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from nupic_client.batch.clients import Clients
from nupic_client.batch.files import OutputFiles, Sink
from nupic_client.batch.lane import Lane, Outcome
from nupic_client.batch.lanes import Lanes
from nupic_client.batch.lines import answer_line, failure_line, in_form_of_openai
from nupic_client.batch.output import LineFile
from nupic_client.batch.reading import Source
from nupic_client.batch.report import BatchReport, Ending, Tally
from nupic_client.batch.row import Embedding, Row, RowError, error_of
from nupic_client.batch.settings import BatchSettings
from nupic_client.errors import NupicError, OutputError
from nupic_client.results import FinishReason, Generation

__all__ = ["Runner"]

_SYNC_SECONDS, _SAVE_EVERY, _SHOW_SECONDS = 1.0, 10, 0.5
_MOST_LOST = 100
"""So many lines that fail one after the other, because the server or the model has gone, end the run."""


class Runner:
    """One run.

    Args:
        source: of the rows.
        files: for their answers.
        clients: for the models.
        settings: of the run.
        options: of every generation.
        stops: returns how often the run was asked to stop.
    """

    def __init__(
        self,
        source: Source,
        files: OutputFiles,
        clients: Clients,
        settings: BatchSettings,
        options: Mapping[str, Any],
        stops: Callable[[], int],
    ) -> None:
        self._source, self._files, self._settings = source, files, settings
        self._stops = stops
        self._tally = Tally()
        self._lanes = Lanes(
            clients,
            self._finish,
            lambda lane: self._start(lane.run()),
            concurrency=settings.concurrency,
            options=options,
        )
        self._openai: bool | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = self._written = self._taken = 0
        self._held: dict[int, tuple[Sink, bytes, Generation | Embedding | None]] = {}
        self._moved: asyncio.Event
        self._most_held = max(1024, 8 * settings.concurrency)
        self._ended: Ending = "complete"
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Future[None]
        self._reader: asyncio.Task[None]

    def look(self) -> None:
        """Have the run look at how often it was asked to stop. Safe from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the run is over
                self._loop.call_soon_threadsafe(self._obey)

    def _obey(self) -> None:
        if self._stops():
            self._stop("stopped")
        if self._stops() > 1:
            self._cancel()

    def _stop(self, ending: Ending) -> None:
        """Send nothing more, and wait for what runs."""
        self._stopping = True
        left = [lane.stop() for lane in self._lanes]
        if not self._reader.done() or any(left):
            self._ended = ending if self._ended in {"complete", "limit"} else self._ended
        self._reader.cancel()
        if ending == "stopped" and self._loop is not None:
            self._loop.call_later(self._settings.grace, self._cancel)

    def _cancel(self) -> None:
        """Cancel what runs."""
        if self._lanes.running:
            self._ended = "stopped"
        for task in self._tasks:
            task.cancel()

    async def run(self) -> BatchReport:
        """Run to the end, and return the figures.

        Raises:
            NupicError: what ended the run before its time.
        """
        self._loop = asyncio.get_running_loop()
        self._moved, self._over = asyncio.Event(), self._loop.create_future()
        self._reader = self._start(self._read())
        helpers = [
            self._start(work, helper=True) for work in (self._sync_now_and_then(), self._show_now_and_then())
        ]
        self._obey()
        try:
            await self._over
        except BaseException:
            await self._end(helpers)
            with contextlib.suppress(NupicError):
                self._save()
            raise
        await self._end(helpers)
        self._save()
        self._show()
        return self._tally.report(self._ended)

    async def _end(self, helpers: Iterable[asyncio.Task[None]]) -> None:
        tasks = (*self._tasks, *helpers)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _save(self) -> None:
        self._files.sync()
        self._files.save(self._tally.counts)

    def _start(self, work: Coroutine[Any, Any, None], *, helper: bool = False) -> asyncio.Task[None]:
        """Start a task. An error of any ends the run, and so does the end of the last that is no helper."""
        task = asyncio.create_task(work)
        if not helper:
            self._tasks.add(task)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if self._over.done():
            return
        if error is not None:
            self._over.set_exception(error)
        elif not self._tasks:
            self._over.set_result(None)

    # --- reading

    async def _read(self) -> None:
        sent = 0
        try:
            while rows := await self._source.read():
                self._taken += len(rows)
                for row in rows:
                    self._give_form(row)
                    if self._files.done and self._files.done.take(row.key):
                        self._tally.skipped += 1
                        continue
                    if sent == self._settings.limit:
                        self._ended = "limit"
                        return
                    sent += 1
                    await self._send(row)
                    if self._stopping:
                        return
                await asyncio.sleep(0)  # rows that are done wait for nothing
        finally:
            for lane in self._lanes:
                lane.end()

    def _give_form(self, row: Row) -> None:
        """Let a line that cannot be read be of OpenAI's form where all lines before it are. Each run reads them again."""
        if row.form != "unreadable":
            self._openai = not row.plain and self._openai is not False
        elif self._openai:
            in_form_of_openai(row)

    async def _send(self, row: Row) -> None:
        row.place = self._places
        self._places += 1
        while self._settings.ordered and row.place - self._written >= self._most_held:
            self._moved.clear()
            await self._moved.wait()
        lane = row.error or self._lanes.of(row)
        if isinstance(lane, RowError):
            await self._fail(row, lane)
        else:
            await lane.put(row)

    # --- writing

    async def _finish(self, lane: Lane, row: Row, outcome: Outcome) -> None:
        if isinstance(outcome, OutputError) and row.form in {"chat", "completion"}:
            outcome = _cut_short(outcome) or outcome
        if isinstance(outcome, NupicError):
            await self._fail(row, error_of(outcome))
            self._check_lost(lane, outcome)
            return
        try:
            line = answer_line(row, outcome)
        except ValueError as error:
            code = "invalid_output" if row.embeds or not row.plain else "invalid_line"
            await self._fail(row, RowError(code, f"line {row.number} must be JSON: {error}"))
        else:
            await self._write(row, self._files.answers, line, outcome)

    def _check_lost(self, lane: Lane, error: NupicError) -> None:
        """Raise the error of a lane where nothing succeeds any more, unless others may be well."""
        most = max(_MOST_LOST, 4 * self._settings.concurrency)
        if lane.lost >= most and (lane.strict or len(self._lanes) == 1) and self._ended == "complete":
            raise error.with_facts(
                message=f"the last {lane.lost} lines failed, the last of them so: {error.message}"
            )

    async def _fail(self, row: Row, error: RowError) -> None:
        await self._write(row, self._files.errors or self._files.answers, failure_line(row, error), None)

    async def _write(self, row: Row, sink: Sink, line: bytes, answer: Generation | Embedding | None) -> None:
        """Write a line, and count it; where lines are ordered, when its turn has come."""
        if not self._settings.ordered:
            await self._append(sink, line, answer)
            return
        self._held[row.place] = sink, line, answer
        while (held := self._held.pop(self._written, None)) is not None:
            self._written += 1
            self._moved.set()
            await self._append(*held)

    async def _append(self, sink: Sink, line: bytes, answer: Generation | Embedding | None) -> None:
        if isinstance(sink, LineFile):
            sink.write(line)
        else:
            await asyncio.to_thread(sink.write, line)  # its reader may let it wait
        if answer is not None:
            self._tally.answered(answer)
            return
        self._tally.failed += 1
        most = self._settings.max_failures
        if most is not None and self._tally.failed > most:
            self._stop("failures")

    # --- beside it

    async def _sync_now_and_then(self) -> None:
        for count in itertools.count(1):
            await asyncio.sleep(_SYNC_SECONDS)
            await asyncio.to_thread(self._files.sync)
            if count % _SAVE_EVERY == 0:
                await asyncio.to_thread(self._files.save, self._tally.counts)

    async def _show_now_and_then(self) -> None:
        while self._settings.progress is not None:
            await asyncio.sleep(_SHOW_SECONDS)
            self._show()

    def _show(self) -> None:
        if self._settings.progress is None:
            return
        self._tally.running = self._lanes.running
        self._settings.progress(self._tally.snapshot(self._fraction()))

    def _fraction(self) -> float | None:
        """Return the part of the work that is done."""
        sent, limit = self._tally.done + self._tally.failed, self._settings.limit
        read = self._source.fraction
        if read is not None and self._taken:  # what was read is a little more than what is done
            read *= (sent + self._tally.skipped) / self._taken
        return read if limit is None else max(read or 0.0, sent / limit)


def _cut_short(error: OutputError) -> Generation | None:
    """Return the answer that lacks its form because ``max_tokens`` cut it, which is no error of OpenAI's."""
    generation = error.generation
    cut = isinstance(generation, Generation) and generation.finish_reason is FinishReason.LENGTH
    return generation if cut else None
