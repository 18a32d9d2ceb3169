"""Notebooks of tests: cells in, outputs out, run by a kernel of their own."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter

__all__ = ["html_of", "interrupt_when_shown", "outputs_of", "run"]


def run(
    *cells: str, meanwhile: Callable[[NotebookClient], object] | None = None
) -> list[list[Mapping[str, Any]]]:
    """Run cells and return the outputs of each; errors are outputs too.

    Args:
        cells: their sources.
        meanwhile: called on another thread while they run.
    """
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    return outputs_of(notebook, meanwhile=meanwhile)


def outputs_of(
    notebook: Any, *, meanwhile: Callable[[NotebookClient], object] | None = None
) -> list[list[Mapping[str, Any]]]:
    """Run a notebook in place and return the outputs of its cells of code."""
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True)
    thread = None
    if meanwhile is not None:
        thread = threading.Thread(target=meanwhile, args=(client,))
        thread.start()
    client.execute()
    if thread is not None:
        thread.join()
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def interrupt_when_shown(client: NotebookClient) -> None:
    """Interrupt the kernel, as the button of a front end does, when a cell has shown something."""
    while not any(cell.outputs for cell in client.nb.cells):
        time.sleep(0.05)
    os.kill(client.km.provisioner.pid, signal.SIGINT)


def html_of(notebook: Any) -> str:
    """Return a notebook as the page that ``nbconvert --to html`` makes."""
    html, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook)
    return html
