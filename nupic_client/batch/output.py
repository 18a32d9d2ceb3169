"""The file of answers: each line in one write, synced now and then, cut where a line is torn."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from nupic_client.batch.done import DoneLines
from nupic_client.batch.errors import BatchFileError
from nupic_client.batch.lines import Answered, answered
from nupic_client.errors import ConfigurationError

if sys.platform != "win32":
    import fcntl

__all__ = ["LineFile", "LineStream", "is_regular"]


class LineFile:
    """A regular file that lines are appended to.

    Args:
        path: of the file.
        parameter: the argument that names it, for errors.

    Raises:
        ConfigurationError: it cannot be opened, or another run writes it.
    """

    def __init__(self, path: Path, parameter: str) -> None:
        self.path = path
        self._parameter = parameter
        self._file = self._open(path, "ab")  # makes it where it is missing
        self._file.close()
        self._file = self._open(path, "r+b")
        self._size = self._file.seek(0, os.SEEK_END)
        self._dirty = False

    @property
    def size(self) -> int:
        """Bytes of what is in it."""
        return self._size

    def _open(self, path: Path, mode: str) -> BinaryIO:
        try:
            file: BinaryIO = path.open(mode, buffering=0)  # type: ignore[assignment]
        except OSError as error:
            raise ConfigurationError(
                f"{self._parameter} must be a file that can be written, not {os.fspath(path)!r}:"
                f" {error.strerror or error}",
                parameter=self._parameter,
            ) from None
        self._lock(file)
        return file

    def _lock(self, file: BinaryIO) -> None:
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise ConfigurationError(
                f"{self._parameter} must be written by one run at a time, and another one writes"
                f" {os.fspath(self.path)!r}: wait for its end",
                parameter=self._parameter,
            ) from None
        except OSError:
            pass  # a file system without locks

    def clear(self) -> None:
        """Remove all lines."""
        self._file.truncate(0)
        self._size = self._file.seek(0)

    def resume(self, done: DoneLines, *, keep_errors: bool) -> int:
        """Cut a torn last line, note the lines that are done, and drop the others; return how many lines stay.

        Args:
            done: gets the lines that need no answer any more.
            keep_errors: errors count as done, and stay.

        Raises:
            ConfigurationError: a line is none of a batch.
        """
        kept, dropped = 0, 0

        def stays(line: Answered) -> bool:
            nonlocal kept, dropped
            if line.failed and not keep_errors:
                dropped += 1
                return False
            kept += 1
            done.add(line.key)
            return True

        self._each(stays, None)
        if dropped:
            self._drop_errors()
        return kept

    def _each(self, stays: Callable[[Answered], bool], copy: BinaryIO | None) -> None:
        """Call a function with each whole line, copy those that stay, and cut what follows the last one."""
        end = 0
        with self.path.open("rb") as lines:
            for number, data in enumerate(lines, 1):
                if not data.endswith(b"\n"):
                    break
                end += len(data)
                line = answered(data)
                if line is None:
                    raise ConfigurationError(
                        f"{self._parameter} must be the file of a batch, and line {number} of {os.fspath(self.path)!r}"
                        " is none of its lines: give another file",
                        parameter=self._parameter,
                    )
                if stays(line) and copy is not None:
                    copy.write(data)
        if end != self._size:
            self._file.truncate(end)
        self._size = self._file.seek(end)

    def _drop_errors(self) -> None:
        """Write the lines that are no errors to a new file, and put it in place of this one."""
        path = self.path.with_name(f"{self.path.name}.new")
        new = self._open(path, "wb")
        copy = io.BufferedWriter(new)
        self._each(lambda line: not line.failed, copy)
        copy.flush()
        os.fsync(copy.fileno())
        copy.detach()
        with contextlib.suppress(OSError):
            path.chmod(stat.S_IMODE(self.path.stat().st_mode))
        self._file.close()  # Windows replaces no file that is open
        if sys.platform == "win32":
            new.close()
        path.replace(self.path)
        self._file = self._open(self.path, "r+b") if new.closed else new
        self._size = self._file.seek(0, os.SEEK_END)

    def write(self, line: bytes) -> None:
        """Append a line, all of it or nothing.

        Raises:
            BatchFileError: it cannot be written.
        """
        try:
            written = self._file.write(line) or 0
            while written < len(line):  # as where the disk is full
                written += self._file.write(line[written:]) or 0
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)
            raise _unwritable(self.path, error) from error
        self._size += len(line)
        self._dirty = True

    def sync(self) -> None:
        """Have the system write everything to the disk, if there is anything new. For any thread.

        Raises:
            BatchFileError: it could not.
        """
        if self._dirty:
            self._dirty = False
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise _unwritable(self.path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class LineStream:
    """Stdout, a pipe or a device: lines go out one by one, and none comes back.

    Args:
        path: of the device; None for stdout.
    """

    size = 0

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        if path is None:
            if sys.stdout is None:
                raise ConfigurationError("output must be a file, as stdout is closed", parameter="output")
            self._file: BinaryIO = sys.stdout.buffer
        else:
            try:
                self._file = path.open("wb")
            except OSError as error:
                raise ConfigurationError(
                    f"output must be a file that can be written, not {os.fspath(path)!r}: {error.strerror or error}",
                    parameter="output",
                ) from None

    def write(self, line: bytes) -> None:
        """Write a line; wait until the reader takes it.

        Raises:
            BatchFileError: it cannot be written.
            BrokenPipeError: the reader has gone.
        """
        try:
            self._file.write(line)
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritable(self.path or "stdout", error) from error

    def sync(self) -> None:
        """Do nothing: what is out is out."""

    def close(self) -> None:
        """Close a device, but not stdout."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self._file.close()


def is_regular(path: Path) -> bool:
    """Return whether a path is a regular file, or may become one."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def _unwritable(path: object, error: OSError) -> BatchFileError:
    return BatchFileError(f"{str(path)!r} cannot be written: {error.strerror or error}")
