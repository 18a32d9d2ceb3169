"""A bounded soak. `python -m tests.soak` runs a longer one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nupic_client import InferenceError, ProtocolError, TransportError
from soak.plan import Plan, Seen, ViolationError, judge


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_half_a_minute_of_everything_at_once():
    # In a process of its own: pytest keeps what is logged, and that is memory.
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "tests.soak", "--seconds", "25", "--seed", "1"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=390)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert "All is well." in done.stdout
    assert int(re.search(r"complete \| ([\d,]+)", done.stdout)[1].replace(",", "")) > 10
    assert int(re.search(r"(\d+) kills of the server", done.stdout)[1]) >= 1


# The judge itself can find fault.

PLAN = Plan("x", tokens=3)
FAILING = Plan("x", tokens=3, fault="fail", at=2)


@pytest.mark.parametrize(
    ("plan", "seen"),
    [
        (PLAN, Seen("⟦x:0⟧⟦x:2⟧")),
        (PLAN, Seen("⟦x:0⟧⟦x:0⟧")),
        (PLAN, Seen("⟦x:0⟧⟦y:1⟧")),
        (PLAN, Seen("⟦x:0⟧")),
        (PLAN, Seen("", InferenceError("not planned"))),
        (PLAN, Seen("", TransportError("no outage"))),
        (PLAN, Seen("", ValueError("not ours"))),
        (FAILING, Seen(FAILING.text())),
        (FAILING, Seen("", ProtocolError("another one"))),
        (FAILING, Seen("", InferenceError("text lost", partial_text="⟦x:0⟧"))),
        (FAILING, Seen("⟦x:0⟧", InferenceError("taken back", partial_text=""))),
    ],
)
def test_the_judge_finds_what_is_wrong(plan, seen):
    with pytest.raises(ViolationError):
        judge(plan, seen, outage=False)


def test_the_judge_knows_what_is_right():
    assert judge(PLAN, Seen(PLAN.text()), outage=False) == "complete"
    failed = Seen("⟦x:0⟧", InferenceError("as planned", partial_text="⟦x:0⟧⟦x:1⟧"))
    assert judge(FAILING, failed, outage=False) == "as planned: fail"
    assert judge(PLAN, Seen("", TransportError("away")), outage=True) == "server killed"
    assert judge(PLAN, Seen("⟦x:0⟧", left=True), outage=False) == "left by the caller"


def test_chunks_cut_anywhere_are_the_same_text():
    cut = Plan("x", tokens=20, seed=5)
    assert cut.text() == Plan("x", tokens=20).text()
    assert cut.chunks() != Plan("x", tokens=20).chunks()
    assert Plan.parse(cut.prompt) == cut
