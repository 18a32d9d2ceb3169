"""Every promise, decision and field report names its evidence; the tests that are named exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXPLANATION = ROOT / "docs" / "explanation"
TEXT = (EXPLANATION / "reliability.md").read_text(encoding="utf-8")
PROMISES = re.split(r"^(?=\*\*)", TEXT.partition("## What is outside")[0], flags=re.MULTILINE)[1:]
NAMED = re.findall(r"^- `(tests/[\w/]+\.py)::(\w+)`$", TEXT, re.MULTILINE)
DECIDED = (EXPLANATION / "decisions.md").read_text(encoding="utf-8")
DECISIONS = re.split(r"^### ", DECIDED, flags=re.MULTILINE)[1:]
EVIDENCE = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", DECIDED)
REPORTED = (EXPLANATION / "field-reports.md").read_text(encoding="utf-8")
REPORTS = re.findall(r"^\| ([^|]+) \| .+ \| (.+) \|$", REPORTED, re.MULTILINE)[1:]
SHOWN = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", REPORTED)
OF_USE = {"B": 7, "A": 23, "M": 8, "I": 10, "K": 9}
"""How many reports of use there are of each kind."""


def test_the_promises_are_found():
    assert len(PROMISES) > 12
    assert len(NAMED) == TEXT.count("::")


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise[2:40])
def test_a_promise_names_a_test(promise):
    assert re.search(r"^- `tests/", promise, re.MULTILINE)


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda decision: decision.partition("\n")[0])
def test_a_decision_has_a_reason_and_evidence(decision):
    assert "- **Reason.** " in decision
    assert "- **Evidence.** " in decision


def test_the_evidence_is_found():
    assert len(DECISIONS) > 15
    assert len(EVIDENCE) == DECIDED.count("::")


@pytest.mark.parametrize(("path", "name"), [*NAMED, *EVIDENCE])
def test_a_named_test_exists(path, name):
    module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


def test_every_report_of_use_has_a_row():
    reported = {name for names, _ in REPORTS for name in names.split(", ")}
    assert {f"U-{kind}{number}" for kind, most in OF_USE.items() for number in range(1, most + 1)} <= reported


def test_the_tests_of_the_reports_are_found():
    assert len(SHOWN) == REPORTED.count("`tests/")
    assert all(tests == "-" or tests.startswith("`tests/") for _, tests in REPORTS)


@pytest.mark.parametrize(("path", "name"), sorted({*SHOWN}))
def test_a_test_of_a_report_exists(path, name):
    nodes = [*ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))]
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert not name or name in names
