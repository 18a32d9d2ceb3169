"""The documentation's page and the example run as they are printed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from needed import need

need("langchain")

from integrations.langchain.servers import serve
from pages import ROOT, run_blocks


@pytest.fixture
def server():
    with serve() as server:
        yield server


def test_the_page(server, capsys):
    names = run_blocks(ROOT / "docs" / "integrations" / "langchain.md", server.url)
    assert names["city"].name == "Rome"
    assert "sunny in Paris" in capsys.readouterr().out
    names["model"].close()
    names["story"].close()


def run(*arguments):
    program = ROOT / "examples" / "integrations" / "langchain_agent.py"
    return subprocess.run(
        [sys.executable, str(program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=program.parent,
    )


def test_the_example(server):
    done = run("How is the weather in Paris?", "--url", server.url)
    assert done.stdout.splitlines() == [
        "[weather {'city': 'Paris'}]",
        "sunny in Paris, 21 degrees",
        "city='Paris' umbrella=False",
    ], done.stderr
    assert done.stderr == ""


def test_the_example_without_a_server():
    done = run("Hi", "--url", "127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
