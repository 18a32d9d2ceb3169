"""Each module of the core has its own unit tests, in the file of its name, which says in one line what it covers."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import nupic_client._core

PACKAGE = Path(nupic_client._core.__file__).parent
TESTS = Path(__file__).parent
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_each_module_has_its_unit_file(module):
    tests = ast.parse((TESTS / module.with_name(f"test_{module.name}")).read_text(encoding="utf-8"))
    assert ast.get_docstring(tests), "say in one line what it covers"
    functions = [node.name for node in ast.walk(tests) if isinstance(node, ast.FunctionDef)]
    assert any(name.startswith("test_") for name in functions)


def test_the_modules_are_found():
    assert Path("kserve/wire.py") in MODULES
    assert len(MODULES) > 20
