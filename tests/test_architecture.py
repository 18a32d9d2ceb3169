"""The map in the docs names every module of the package, in the section of its folder, and no module that is gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explanation" / "architecture.md"
CODE = re.compile(r"`([^`\n]+)`")


def sections() -> dict[str, str]:
    """Return the text of each section of the map, by the folder in its heading."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("\n## The map\n")
    text, _, _ = rest.partition("\n## ")
    found = {}
    for section in text.split("\n### ")[1:]:
        heading, _, body = section.partition("\n")
        found |= {folder.rstrip("/"): body for folder in CODE.findall(heading)}
    return found


def modules() -> dict[str, set[str]]:
    """Return the modules of each folder, as the map writes them; only the package's own ``__init__.py`` is among them."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "nupic_client").rglob("*.py")):
        folder, name = path.parent.relative_to(ROOT), path.name
        if folder.name == "python_model":  # a folder of one file
            folder, name = folder.parent, f"{folder.name}/{name}"
        if name != "__init__.py" or folder == Path("nupic_client"):
            found.setdefault(folder.as_posix(), set()).add(name)
    return found


def test_every_folder_has_a_section():
    assert set(sections()) == set(modules())


@pytest.mark.parametrize("folder", modules())
def test_the_map_names_the_modules_of_a_folder(folder):
    named = {
        name
        for name in CODE.findall(sections()[folder])
        if name.endswith(".py") and not name.startswith("tests/")
    }
    assert named == modules()[folder]


def test_names_in_the_walks_exist():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "nupic_client").rglob("*.py"))
    page = PAGE.read_text(encoding="utf-8")
    methods = set(re.findall(r"\b([A-Z][A-Za-z]+\.[a-z_]\w+)\b", page)) - {"README.md"}
    assert len(methods) > 20
    for name in methods:
        kind, _, method = name.partition(".")
        assert re.search(rf"^class {kind}\b", code, re.MULTILINE), name
        assert re.search(rf"\b{method}\b", code), name
