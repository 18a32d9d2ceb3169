from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from types import FrameType, TracebackType

import pytest
from again import note, note_death, run_again, tell
from hypothesis import settings
from marks import mark
from needed import fail_skips

# No test may depend on being fast: Hypothesis fails an example that takes more than 200 ms, which a busy machine does.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# A shell that starts the tests in the background makes them ignore Ctrl-C, and with them every program they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Let no test look green that was skipped in the session that is there for it."""
    fail_skips(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts the real Triton or the embedded model, before ``-m`` chooses."""
    mark(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say in the summary where a test stood that took too long: often the summary is all there is to find out why."""
    report = yield
    if report.failed:
        note_death(item)
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None and call.excinfo is not None and "from pytest-timeout" in str(call.excinfo.value):
        crash.message += "\n" + "\n".join(_where_threads_stand(call.excinfo.tb))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run a test again where there is a reason to."""
    return run_again(item, nextitem)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the tests that were run again."""
    note(report)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that were run again."""
    tell(terminalreporter)


def _where_threads_stand(of_test: TracebackType) -> Iterable[str]:
    yield f"  the test: {_innermost([frame for frame, _ in traceback.walk_tb(of_test)], 15)}"
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    places = Counter[str]()
    for ident, frame in sys._current_frames().items():
        if ident != threading.get_ident():
            frames = [each for each, _ in traceback.walk_stack(frame)][::-1]
            places[f"{names.get(ident, 'no thread of Python')}: {_innermost(frames, 6)}"] += 1
    for place, count in places.most_common(20):
        yield f"  {count} x {place}"


def _innermost(frames: Sequence[FrameType], most: int) -> str:
    names = (
        f"{frame.f_code.co_name} ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})" for frame in frames
    )
    return " > ".join([*names][-most:])
