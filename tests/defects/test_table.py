"""The list of defects and the tests agree: each number is there once, with the test of its name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "explanation" / "defects.md"
ROW = re.compile(r"^\| ([TP])(\d+) \| .+ \| .+ \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"test_(t|pain)(\d\d)_\w+")


def numbered_tests() -> list[str]:
    """Return the names of the numbered tests."""
    names = [
        node.name
        for path in HERE.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and TEST.fullmatch(node.name)
    ]
    return sorted(names)


def rows() -> list[tuple[str, int, str]]:
    return [(kind, int(number), cell) for kind, number, cell in ROW.findall(PAGE.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("kind", "count"), [("T", 28), ("P", 20)])
def test_each_number_is_in_the_list_once(kind, count):
    assert [number for each, number, _ in rows() if each == kind] == list(range(1, count + 1))


def test_each_row_names_its_tests_or_a_reason():
    for kind, number, cell in rows():
        names = re.findall(r"`(test_\w+)`", cell)
        assert names or len(cell) > 20, f"{kind}{number} has neither a test nor a reason"
        for name in names:
            found = TEST.fullmatch(name)
            assert found, name
            assert (found[1], int(found[2])) == ({"T": "t", "P": "pain"}[kind], number)


def test_the_list_and_the_tests_are_the_same():
    named = sorted(name for *_, cell in rows() for name in re.findall(r"`(test_\w+)`", cell))
    assert named == numbered_tests()


def test_each_test_says_what_the_defect_is():
    for path in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and TEST.fullmatch(node.name):
                assert ast.get_docstring(node), node.name
