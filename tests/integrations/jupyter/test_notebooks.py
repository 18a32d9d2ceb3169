"""The notebooks of the documentation run from the first cell to the last, and show what they say."""

from __future__ import annotations

import json

import pytest
from needed import need

need("jupyter")

import nbformat
from integrations.jupyter.notebooks import html_of, outputs_of
from pages import ROOT, run_blocks

from nupic_client.testing import FakeTriton, text_signature

# What Jupyter warns of is its business.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.filterwarnings("default")]

NOTEBOOKS = sorted(ROOT.glob("docs/notebooks/*.ipynb"))
LAST_WORDS = {
    "first-steps": "model_repository(unload_dependents)",
    "chat-cells": "4 messages",
    "answers-as-data": "3 answers, ",
}


def reply(request):
    if "guided_decoding_guide" in request.inputs:
        return ['{"name": "Rome", "country": "Italy"}']
    return ["In", " **one", "** word."]


@pytest.fixture
def server(monkeypatch):
    with FakeTriton(reply, models=[text_signature("smollm2.streaming", guided=True)]) as server:
        monkeypatch.setenv("NUPIC_URL", server.url)
        yield server


def test_there_are_three():
    assert {path.stem for path in NOTEBOOKS} == {*LAST_WORDS}


def kinds(outputs):
    return [[(output["output_type"], sorted(output.get("data", {}))) for output in cell] for cell in outputs]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path):
    notebook = nbformat.read(path, as_version=4)
    saved = kinds([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])
    outputs = outputs_of(notebook)
    assert kinds(outputs) == saved  # so that the page shows what its reader gets
    assert not [output for cell in outputs for output in cell if output["output_type"] == "error"]
    assert all(len(cell) <= 1 for cell in outputs)
    page = html_of(notebook)
    assert LAST_WORDS[path.stem] in page
    assert "<strong>one</strong>" in page


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_saved_notebook_says_nothing_of_the_machine_it_ran_on(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    text = path.read_text(encoding="utf-8")
    metadata = json.loads(text)["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"
    assert metadata["language_info"] == {"name": "python"}
    for word in ("/home", "/root", "/tmp", "/work", "127.0.0.1"):
        assert word not in text


@pytest.mark.usefixtures("server")
def test_the_code_of_the_page_runs(server):
    names = run_blocks(ROOT / "docs" / "integrations" / "notebooks.md", server.url)
    names["client"].close()
