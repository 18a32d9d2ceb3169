"""Every promise of the reliability page and every decision names its evidence; the tests that are named exist."""

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
