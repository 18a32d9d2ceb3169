"""Optional parts are guests: they import from the package only what every user may import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import nupic_client

PACKAGE = Path(nupic_client.__file__).parent
GUESTS = ("batch", "bench", "integrations", "gateway")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def private_imports(source: str, guest: str) -> Iterator[str]:
    """Yield what a module imports from the package that begins with an underscore; its own folder is its own business."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            if first == "nupic_client" and rest[:1] != [guest] and any(map(is_private, rest)):
                yield name


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from nupic_client import StreamingClient", []),
        ("from nupic_client._core.calls import flows", ["nupic_client._core.calls.flows"]),
        ("import nupic_client._grpc.status", ["nupic_client._grpc.status"]),
        ("from nupic_client.streaming import _private", ["nupic_client.streaming._private"]),
        ("from nupic_client.batch._files import lines", []),
        ("from other._private import x", []),
    ],
)
def test_private_imports_are_found(line, found):
    assert list(private_imports(line, "batch")) == found


@pytest.mark.parametrize("guest", GUESTS)
def test_a_guest_imports_only_what_is_public(guest):
    files = (PACKAGE / guest).rglob("*.py")
    assert {
        file.name: found
        for file in files
        if (found := list(private_imports(file.read_text(encoding="utf-8"), guest)))
    } == {}
