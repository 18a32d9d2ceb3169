"""Every promise of the reliability page names tests, and they exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "explanation" / "reliability.md").read_text(encoding="utf-8")
PROMISES = re.split(r"^(?=\*\*)", TEXT.partition("## What is outside")[0], flags=re.MULTILINE)[1:]
NAMED = re.findall(r"^- `(tests/[\w/]+\.py)::(\w+)`$", TEXT, re.MULTILINE)


def test_the_promises_are_found():
    assert len(PROMISES) > 12
    assert len(NAMED) == TEXT.count("::")


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise[2:40])
def test_a_promise_names_a_test(promise):
    assert re.search(r"^- `tests/", promise, re.MULTILINE)


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_named_test_exists(path, name):
    module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
