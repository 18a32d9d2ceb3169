"""The words of a batch's progress and of its figures."""

import dataclasses
import io
import sys

import pytest

from nupic_client.batch import BatchProgress, BatchReport
from nupic_client.cli import batch_report
from nupic_client.cli.batch_report import BatchDisplay, advice, progress_text, summary

PROGRESS = BatchProgress(
    seconds=100.0,
    done=12345,
    failed=0,
    skipped=0,
    running=32,
    lines_per_second=None,
    tokens_per_second=None,
    time_to_first_token=None,
    fraction=None,
    remaining=None,
)


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, "12,345 done"),
        ({"fraction": 0.456}, "46 % · 12,345 done"),
        ({"failed": 3, "skipped": 1000}, "12,345 done · 3 failed · 1,000 skipped"),
        (
            {"lines_per_second": 402.04, "tokens_per_second": 80123.4, "time_to_first_token": 0.05},
            "12,345 done · 402.0 lines/s · 80,123 tokens/s · first token 0.05 s",
        ),
        ({"remaining": 9.87}, "12,345 done · 9.9 s left"),
        ({"remaining": 99.4}, "12,345 done · 99 s left"),
        ({"remaining": 3500.0}, "12,345 done · 58 min left"),
        ({"remaining": 360_000.0}, "12,345 done · 100 h 0 min left"),
    ],
)
def test_a_line_of_progress(facts, text):
    assert progress_text(dataclasses.replace(PROGRESS, **facts)) == text


def test_the_figures_of_the_end():
    report = BatchReport(
        done=3000, failed=2, skipped=5, seconds=7.5, input_tokens=1, output_tokens=6000, ended="complete"
    )
    assert summary(report) == "3,000 done · 2 failed · 5 done before · 7.5 s · 400.3 lines/s · 800 tokens/s"
    assert (
        summary(dataclasses.replace(report, skipped=0, output_tokens=0, seconds=0.0))
        == "3,000 done · 2 failed · 0.0 s"
    )


def test_the_way_to_go_on():
    assert advice("out.jsonl") == "out.jsonl has what was answered: the same command with --resume goes on"
    assert advice("-").startswith("stdout cannot be resumed")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_one_line_that_is_drawn_anew(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    display = BatchDisplay()
    display(dataclasses.replace(PROGRESS, failed=5))
    display(PROGRESS)
    display.end()
    display.end()
    assert screen.getvalue() == f"\r12,345 done · 5 failed\r{'12,345 done':22}\n"


def test_a_line_is_not_longer_than_the_terminal(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(batch_report, "_columns", lambda: 20)
    BatchDisplay()(dataclasses.replace(PROGRESS, fraction=0.5, failed=5, skipped=7))
    assert screen.getvalue() == "\r50 % · 12,345 done "


def test_a_file_gets_a_line_now_and_then(monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock, log = Clock(), io.StringIO()
    monkeypatch.setattr(batch_report, "time", clock)
    monkeypatch.setattr(sys, "stderr", log)
    display = BatchDisplay()
    for clock.now in range(65):
        display(PROGRESS)
    display.end()
    assert log.getvalue() == "12,345 done\n" * 2


@pytest.mark.parametrize("closed", [True, False])
def test_without_stderr_nothing_is_said(monkeypatch, closed):
    stderr = io.StringIO() if closed else None
    monkeypatch.setattr(sys, "stderr", stderr)
    if stderr is not None:
        stderr.close()
    BatchDisplay()(PROGRESS)
