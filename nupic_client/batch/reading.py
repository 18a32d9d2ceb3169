"""The input of a batch, some rows at a time, never all of it."""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from nupic_client.batch.errors import BatchFileError
from nupic_client.batch.lines import Prompting, read_line, read_object, too_long
from nupic_client.batch.row import Row
from nupic_client.errors import ConfigurationError

__all__ = ["FileSource", "ObjectSource", "PipeSource", "Source"]

MAX_LINE_BYTES = 256 * 2**20
"""A line that is longer is an error: what has no line ends at all must not fill the memory."""
_ROWS, _BYTES = 64, 2**18
"""What is read at once, whichever is reached first: little, because what was read stays in memory."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Source(Protocol):
    """Where rows come from."""

    @property
    def fraction(self) -> float | None:
        """The part of the input that was read, or None if its size is not known."""

    async def read(self) -> list[Row]:
        """Return the next rows; none at the end.

        Raises:
            BatchFileError: the input cannot be read any more.
        """

    def close(self) -> None:
        """Read no more."""


class FileSource:
    """The lines of a file.

    Args:
        path: of the file.
        prompting: how its lines become prompts.

    Raises:
        ConfigurationError: it cannot be opened.
    """

    def __init__(self, path: Path, prompting: Prompting) -> None:
        self._path, self._prompting = path, prompting
        try:
            self._file = path.open("rb", buffering=2**20)
            self._size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise ConfigurationError(
                f"input must be a file that can be read, not {os.fspath(path)!r}: {error.strerror or error}",
                parameter="input",
            ) from None
        self._number = self._read = 0

    @property
    def fraction(self) -> float | None:
        """The part of the file that was read."""
        return min(self._read / self._size, 1.0) if self._size else 1.0

    async def read(self) -> list[Row]:
        """Return the next rows."""
        rows: list[Row] = []
        start = self._read
        try:
            while len(rows) < _ROWS and self._read - start < _BYTES:
                line = self._file.readline(MAX_LINE_BYTES + 1)
                if not line:
                    break
                row = self._row(line)
                if row is not None:
                    rows.append(row)
                elif self._read - start >= _BYTES:  # nothing but blank lines
                    start = self._read
                    await asyncio.sleep(0)
        except OSError as error:
            raise _unreadable(self._path, error) from error
        return rows

    def _row(self, line: bytes) -> Row | None:
        self._number += 1
        self._read += len(line)
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            while (more := self._file.readline(2**20)) and not more.endswith(b"\n"):
                self._read += len(more)
            self._read += len(more)
            return too_long(self._number, MAX_LINE_BYTES)
        if self._number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        return read_line(line, self._number, self._prompting)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class PipeSource:
    """The lines of stdin, a pipe or a device, as they come: a slow writer holds up nothing else.

    Args:
        path: of the pipe; None for stdin.
        prompting: how its lines become prompts.

    Raises:
        ConfigurationError: it cannot be opened.
    """

    fraction = None

    def __init__(self, path: Path | None, prompting: Prompting) -> None:
        if path is None and sys.stdin is None:
            raise ConfigurationError("input must be a file, as stdin is closed", parameter="input")
        self._path, self._prompting = path, prompting
        self._number = 0
        self._rest = bytearray()
        self._skipping = self._ended = False
        self._thread: _ReadingThread | None = None

    async def read(self) -> list[Row]:
        """Return the rows that have come; wait for one at least."""
        self._thread = self._thread or _ReadingThread(self._path)
        rows: list[Row] = []
        while not rows and not self._ended:
            try:
                data = await self._thread.read()
            except OSError as error:
                raise _unreadable(self._path or "stdin", error) from error
            self._ended = not data
            rows = [row for row in self._rows(data) if row is not None]
        return rows

    def _rows(self, data: bytes) -> Iterator[Row | None]:
        *lines, rest = data.split(b"\n")
        for line in lines:
            yield self._row(line)
        if not self._skipping:
            self._rest += rest
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest.clear()
            self._skipping = True
        if self._ended and (self._rest or self._skipping):
            yield self._row(b"")

    def _row(self, line: bytes) -> Row | None:
        self._number += 1
        whole = bytes(self._rest) + line
        self._rest.clear()
        if self._skipping:
            self._skipping = False
            return too_long(self._number, MAX_LINE_BYTES)
        if self._number == 1:
            whole = whole.removeprefix(_BYTE_ORDER_MARK)
        return read_line(whole, self._number, self._prompting)

    def close(self) -> None:
        """Leave the thread to its last read: nothing can wake it."""


class _ReadingThread:
    """A thread that reads when it is asked to; one of a pool would hold up the end of the program."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._asked: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Future[bytes]]] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._run, name="nupic_client.batch input", daemon=True).start()

    async def read(self) -> bytes:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        self._asked.put((loop, future))
        return await future

    def _run(self) -> None:
        file: Any = None
        data = b"more"
        while data:
            loop, future = self._asked.get()
            data, error = b"", None
            try:
                file = file or self._open()
                data = file.read(2**16)
            except (OSError, ValueError) as failure:
                error = failure if isinstance(failure, OSError) else OSError(str(failure))
            if not data and file is not None and self._path is not None:
                file.close()
            try:
                loop.call_soon_threadsafe(_settle, future, data, error)
            except RuntimeError:  # the run is over, and its loop closed
                return

    def _open(self) -> Any:
        """Return the file without a buffer: its lock, held by this thread for ever, would abort the interpreter's end."""
        if self._path is not None:
            return self._path.open("rb", buffering=0)
        try:
            return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
        except OSError:  # a stdin of a program's own
            return sys.stdin.buffer


def _settle(future: asyncio.Future[bytes], data: bytes, error: OSError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(data)
    else:
        future.set_exception(error)


class ObjectSource:
    """The objects of an iterable, as lines.

    Args:
        objects: mappings in one of the forms of lines.
        prompting: how they become prompts.
        size: how many there are, if that is known.
        close: called at the end.
    """

    def __init__(
        self,
        objects: Iterable[Any],
        prompting: Prompting,
        *,
        size: int | None = None,
        close: Callable[[], object] | None = None,
    ) -> None:
        self._objects = iter(objects)
        self._prompting, self._size = prompting, size
        self._number = 0
        self._close = close

    @property
    def fraction(self) -> float | None:
        """The part that was read, if the number of objects is known."""
        return None if self._size is None else min(self._number / max(self._size, 1), 1.0)

    async def read(self) -> list[Row]:
        """Return the next row."""
        for line in self._objects:
            self._number += 1
            return [read_object(line, self._number, self._prompting)]
        return []

    def close(self) -> None:
        """Close what the objects come from."""
        if self._close is not None:
            self._close()


def _unreadable(path: object, error: OSError) -> BatchFileError:
    return BatchFileError(f"{str(path)!r} cannot be read: {error.strerror or error}")
