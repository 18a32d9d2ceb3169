"""Run programs as a user does: as processes with pipes or a terminal."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
WITHOUT_EXTRAS = os.pathsep.join([str(Path(__file__).parent / "without_extras"), str(ROOT)])
"""Of PYTHONPATH: the lines of a chat are edited by readline, whatever else is installed."""
WITH_EXTRAS = {"PYTHONPATH": str(ROOT), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
"""The environment of a chat whose lines prompt_toolkit edits; the tests' terminal does not tell where its cursor is."""
CLI = [sys.executable, "-m", "nupic_client.cli"]
SUMMARY = re.compile(
    r"time to first token \d+\.\d\d s · (\d+\.\d tokens/s · )?\d+ tokens? · (stop|length|cancelled)\n"
)
PATIENCE = 60.0


def _let_ctrl_c_through():
    """Undo what a shell does to background jobs: their children would inherit that Ctrl-C is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def environment(**changes):
    """Return the environment of a user who has set nothing."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in {"NUPIC_URL", "NUPIC_MODEL"}
    }
    return {
        **inherited,
        "PYTHONPATH": WITHOUT_EXTRAS,
        "PYTHONIOENCODING": "utf-8",
        "GRPC_ENABLE_FORK_SUPPORT": "0",
        "NUPIC_HISTORY": "off",
        **changes,
    }


def run(command, *, stdin=b"", cwd=ROOT, binary=False, **changes):
    """Run a program to its end; stdout and stderr as text, or as they are."""
    finished = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        timeout=PATIENCE,
        cwd=cwd,
        env=environment(**changes),
        check=False,
    )
    if not binary:
        finished.stdout, finished.stderr = finished.stdout.decode(), finished.stderr.decode()
    return finished


def run_cli(*arguments, **options):
    return run([*CLI, *arguments], **options)


class _Output:
    """What a file descriptor says, read on a thread."""

    def __init__(self, descriptor):
        self._descriptor = descriptor
        self._changed = threading.Condition()
        self._data = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            try:
                data = os.read(self._descriptor, 65536)
            except OSError:  # a terminal whose other side has closed
                return
            if not data:
                return
            with self._changed:
                self._data += data
                self._changed.notify_all()

    @property
    def text(self):
        with self._changed:
            return self._data.decode(errors="replace").replace("\r\n", "\n")

    def wait_for(self, text, count=1):
        """Wait until a text was said this often."""
        if not self.has(text, PATIENCE, count):
            raise AssertionError(f"{text!r} did not come {count} times: {self.text!r}")
        return self.text

    def has(self, text, patience, count=1):
        """Return whether a text is said this often within so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self.text.count(text) >= count, patience)

    def wait_until(self, condition):
        """Wait until a condition holds of all that was said; return whether it does."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self.text), PATIENCE)

    def join(self):
        self._thread.join(PATIENCE)
        return self.text


class Program:
    """A program that runs beside the test, with pipes."""

    def __init__(self, command, *, stdin=subprocess.DEVNULL, cwd=ROOT, **changes):
        _let_ctrl_c_through()
        self.process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment(**changes),
        )
        self.stdout = _Output(self.process.stdout.fileno())
        self.stderr = _Output(self.process.stderr.fileno())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.stdout.join()
        self.stderr.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def interrupt(self):
        """Send Ctrl-C; return the exit code and the seconds until the end."""
        return self.signal(signal.SIGINT)

    def signal(self, number):
        started = time.monotonic()
        self.process.send_signal(number)
        return self.wait(), time.monotonic() - started

    def wait(self):
        code = self.process.wait(PATIENCE)
        self.stdout.join()
        self.stderr.join()
        return code


def cli_program(*arguments, **options):
    return Program([*CLI, *arguments], **options)


# Makes the terminal on stdin the controlling one, so that a typed Ctrl-C becomes a signal, as in a shell.
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A program on a terminal of its own; `text` is all that the terminal shows."""

    def __init__(self, command, *, stdout=None, **changes):
        _let_ctrl_c_through()
        self._master, slave = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *command],
            stdin=slave,
            stdout=slave if stdout is None else stdout,
            stderr=slave,
            cwd=ROOT,
            env=environment(**{"TERM": "dumb", **changes}),
            start_new_session=True,
        )
        os.close(slave)
        self.screen = _Output(self._master)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.screen.join()
        os.close(self._master)

    def type(self, text):
        os.write(self._master, text.encode())

    def press_until(self, key, text):
        """Press a key until a text is there: Python may miss a signal just before it waits for keys."""
        for _ in range(int(PATIENCE)):
            self.type(key)
            if self.screen.has(text, 1.0):
                return
        raise AssertionError(f"{text!r} did not come: {self.screen.text!r}")

    def wait(self):
        code = self.process.wait(PATIENCE)
        self.screen.join()
        return code
