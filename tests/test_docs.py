"""The Python code of the README and the docs runs as it is printed, one page after the other against a server."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path

import pytest

from nupic_client.testing import FakeTriton, text_signature

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*/*.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[int, str]]:
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, match.start()) + 2, match[1]) for match in BLOCK.finditer(text)]


def with_code() -> list[Path]:
    return [page for page in PAGES if blocks(page)]


def test_there_is_code_to_run():
    assert ROOT / "README.md" in with_code()
    assert len(with_code()) >= 4


@pytest.mark.parametrize("page", with_code(), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page, monkeypatch, capsys):
    with FakeTriton(
        ["Once", " upon", " a", " time."], models=[text_signature("smollm2.streaming")]
    ) as server:
        # The pages name the default url, on which a reader's server listens.
        monkeypatch.setenv("NUPIC_URL", server.url)
        names: dict[str, object] = {"__name__": "page"}

        async def run() -> None:
            for line, code in blocks(page):
                code = "\n" * (line - 1) + code.replace("localhost:8001", server.url)
                compiled = compile(code, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                outcome = eval(compiled, names)
                if inspect.isawaitable(outcome):
                    await outcome

        asyncio.run(run())
        client = names.get("client")
        if client is not None:
            client.close()
