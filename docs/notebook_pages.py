"""A Sphinx extension: notebooks are pages, as they were saved: nothing is run when the docs are built.

A cell of text is Markdown like any page, a cell of code a block of code, and its outputs stand in a frame below.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from myst_parser.parsers.sphinx_ import MystParser

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx


def to_markdown(notebook: dict[str, Any]) -> str:
    """Return a notebook as Markdown of MyST."""
    parts = []
    for cell in notebook["cells"]:
        source = _joined(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code":
            language = (
                "text" if source.startswith("%%") else "ipython3" if source.startswith("%") else "python"
            )
            parts += [_fenced(language, source), *filter(None, map(_output, cell["outputs"]))]
    return "\n\n".join(parts) + "\n"


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return _framed(_fenced("text", _joined(output["text"]).rstrip("\n")))
    if output["output_type"] == "error":
        return _framed(_fenced("text", f"{output['ename']}: {output['evalue']}"))
    data = output["data"]
    if "text/markdown" in data:
        return _framed(_joined(data["text/markdown"]))
    if "text/html" in data:
        return _framed(_fenced("{raw} html", _joined(data["text/html"])))
    return _framed(_fenced("text", _joined(data["text/plain"])))


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _fenced(kind: str, text: str) -> str:
    ticks = "```"
    while ticks in text:
        ticks += "`"
    return f"{ticks}{kind}\n{text}\n{ticks}"


def _framed(text: str) -> str:
    colons = ":::"
    while colons in text:
        colons += ":"
    return f"{colons}{{container}} notebook-output\n{text}\n{colons}"


class NotebookParser(MystParser):  # type: ignore[misc, unused-ignore]
    """Parses notebooks."""

    supported = ("ipynb",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """Parse a notebook into nodes."""
        super().parse(to_markdown(json.loads(inputstring)), document)


def setup(app: Sphinx) -> dict[str, bool]:
    """Begin: Sphinx calls this."""
    app.add_source_suffix(".ipynb", "ipynb")
    app.add_source_parser(NotebookParser)
    app.add_css_file("notebooks.css")
    return {"parallel_read_safe": True}
