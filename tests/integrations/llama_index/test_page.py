"""The page of the documentation and the example do what they say."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from integrations.llama_index.conftest import WIDTH, WordCounter, vectors
from needed import need
from pages import ROOT, run_blocks

from nupic_client.testing import FakeTriton, ServedModel, competent_model, text_signature

need("llama_index")

PAGE = ROOT / "docs/integrations/llama-index.md"
EXAMPLE = ROOT / "examples/integrations/llama_index_agent.py"


@pytest.fixture
def documented():
    embedding = ServedModel("smollm2-embed", vectors("smollm2-embed"), WordCounter())
    models = [text_signature("smollm2.streaming", guided=True), embedding]
    with FakeTriton(competent_model("smollm2"), models=models) as server:
        yield server


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_code_of_the_page_runs(documented, capsys):
    names = run_blocks(PAGE, documented.url)
    shown = capsys.readouterr().out
    for line in (
        "You said: Why is the sky blue?",
        "It is sunny in Paris.",
        "Zebras have black and white stripes.",
    ):
        assert line in shown
    assert isinstance(names["city"], names["City"])
    assert len(names["embedding"].get_text_embedding("a")) == WIDTH


def test_the_page_names_the_keys_of_raw(documented):
    from nupic_client.integrations.llama_index import NupicLLM  # noqa: PLC0415 - it may be missing

    raw = NupicLLM("smollm2", documented.url).complete("Hello!").raw
    (row,) = re.findall(r"^\| `raw` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == [*raw]


@pytest.mark.parametrize(
    ("question", "used", "says"),
    [
        ("Multiply 17 with itself", "multiply", "289.0"),
        ("Look into the notes for 'zebras stripes'", "notes", "Zebras have stripes."),
    ],
)
def test_the_example_uses_its_tools(documented, tmp_path, question, used, says):
    (tmp_path / "a.txt").write_text("Zebras have stripes.")
    (tmp_path / "b.txt").write_text("Tulips flower in spring.")
    command = [sys.executable, str(EXAMPLE), question, "--documents", str(tmp_path), "--url", documented.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert f"[{used}: {says}]" in done.stdout
    assert done.stdout.strip().endswith(says)


def test_the_example_tells_an_error(tmp_path):
    (tmp_path / "a.txt").write_text("Zebras have stripes.")
    with FakeTriton() as gone:
        url = gone.url
    command = [sys.executable, str(EXAMPLE), "Hello", "--documents", str(tmp_path), "--url", url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot reach the server")
