"""What is counted while a batch runs."""

import pytest

from nupic_client import Generation, Timing, Usage
from nupic_client.batch.report import Tally


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr("nupic_client.batch.report.time", clock)
    return clock


def generation(first=0.5, tokens=10):
    return Generation(
        text="x",
        finish_reason=None,
        usage=Usage(input_tokens=2, output_tokens=tokens),
        timing=Timing(total=1.0, time_to_first_token=first),
        model="m",
        request_id="r",
    )


def test_the_beginning_knows_no_speed(clock):
    snapshot = Tally().snapshot(0.0)
    assert (snapshot.lines_per_second, snapshot.tokens_per_second, snapshot.remaining) == (None, None, None)
    assert snapshot.time_to_first_token is None


def test_speeds_are_those_of_the_last_seconds(clock):
    tally = Tally()
    for step in range(100):
        tally.snapshot(step / 200)
        clock.now += 0.5
        for _ in range(10 if step < 50 else 20):
            tally.answered(generation(first=step))
    last = tally.snapshot(0.5)
    assert last.lines_per_second == pytest.approx(40.0)
    assert last.tokens_per_second == pytest.approx(400.0)
    assert last.remaining == pytest.approx(50.0)
    assert last.seconds == pytest.approx(50.0)
    assert last.time_to_first_token > 70  # of the last 500


def test_what_the_server_does_not_count_is_not_known(clock):
    tally = Tally()
    tally.snapshot(None)
    clock.now += 1
    tally.answered(generation(first=None, tokens=None))
    snapshot = tally.snapshot(None)
    assert (snapshot.tokens_per_second, snapshot.remaining, snapshot.fraction) == (None, None, None)


def test_the_report_has_the_sums(clock):
    tally = Tally()
    tally.answered(generation())
    tally.answered(generation())
    tally.failed = 1
    clock.now += 3
    report = tally.report("complete")
    assert (report.done, report.failed, report.input_tokens, report.output_tokens, report.seconds) == (
        2,
        1,
        4,
        20,
        3.0,
    )
    assert not report.complete
