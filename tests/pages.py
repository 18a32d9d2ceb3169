"""The Python code of the documentation's pages, and how it is run."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Awaitable
from pathlib import Path

__all__ = ["ROOT", "blocks", "files", "run_blocks", "runner", "write_files"]

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^```\{code-block\} \w+\n:caption: (\S+)\n\n(.*?)^```", re.MULTILINE | re.DOTALL)
_RUNNER = re.compile(r"^<!-- runs: ([\w-]+) -->$", re.MULTILINE)


def blocks(page: Path) -> list[tuple[int, str]]:
    """Return the blocks of Python of a page, each with the number of its first line."""
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, match.start()) + 2, match[1]) for match in _BLOCK.finditer(text)]


def runner(page: Path) -> str | None:
    """Return the session of nox that runs the code of a page, where that needs libraries which ``.venv`` lacks.

    Such a page has the line ``<!-- runs: langchain -->``.
    """
    found = _RUNNER.search(page.read_text(encoding="utf-8"))
    return found and found[1]


def run_blocks(page: Path, url: str) -> dict[str, object]:
    """Run the blocks of a page one after the other, as a notebook does: ``await`` may stand at the top level.

    Args:
        page: the file.
        url: stands for ``localhost:8001``, which the pages name.

    Returns:
        The names that the blocks have made.
    """
    names: dict[str, object] = {"__name__": "page"}
    loop = asyncio.new_event_loop()
    try:
        for line, code in blocks(page):
            source = "\n" * (line - 1) + code.replace("localhost:8001", url)
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            outcome = eval(compile(source, str(page), "exec", flags=flags, dont_inherit=True), names)
            if inspect.isawaitable(outcome):
                loop.run_until_complete(_awaited(outcome))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    return names


async def _awaited(outcome: Awaitable[object]) -> None:
    await outcome


def files(page: Path) -> dict[str, str]:
    """Return the files that a page shows: its code blocks with a caption, which is the name of the file."""
    return dict(_FILE.findall(page.read_text(encoding="utf-8")))


def write_files(page: Path, folder: Path, url: str, **changes: str) -> Path:
    """Write the files of a page into a folder.

    Args:
        page: the page.
        folder: where to.
        url: stands in the files for ``localhost:8001``, which the pages name.
        **changes: what stands for other texts, each as ``"before -> after"`` by any name.

    Returns:
        The folder.
    """
    replaced = [("localhost:8001", url), *(change.split(" -> ") for change in changes.values())]
    shown = files(page)
    for before, _ in replaced:
        assert any(before in code for code in shown.values()), f"no file of {page.name} has {before!r}"
    for name, code in shown.items():
        for before, after in replaced:
            code = code.replace(before, after)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
    return folder
