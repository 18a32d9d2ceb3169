"""The directive `families-table`: the prompt families as a table, made from the data when the docs are built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sphinx.util.docutils import SphinxDirective

from nupic_client.prompts import FAMILIES

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

    from nupic_client import PromptFormatter

HEADER = (
    "Family",
    "Aliases",
    "Official template of",
    "Stop strings",
    "BOS",
    "Tools",
    "Reasoning",
    "Quirks",
    "Reference prompts from",
)


def families_table() -> str:
    """Return all families as a Markdown table."""
    rows = [HEADER, tuple("---" for _ in HEADER), *map(_row, FAMILIES.values())]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _row(formatter: PromptFormatter) -> tuple[str, ...]:
    return (
        _code(formatter.family),
        ", ".join(map(_code, formatter.aliases)) or "none",
        _code(formatter.reference_model) if formatter.reference_model else "none",
        ", ".join(_code(stop) for stop in formatter.stop) or "none",
        _code(formatter.bos_token) if formatter.prints_bos else "no",
        _tools(formatter),
        _reasoning(formatter),
        _text(formatter.description),
        _text(formatter.source) or "none needed",
    )


def _tools(formatter: PromptFormatter) -> str:
    """Return whether a family has tools, and what is special about its calls."""
    if formatter.answer is None or not formatter.answer.has_tool_calls:
        return "no"
    notes = [
        *(["one call in a message"] if formatter.calls_per_message == 1 else []),
        *(["special tokens"] if formatter.answer.special_tokens else []),
    ]
    return f"yes ({', '.join(notes)})" if notes else "yes"


def _reasoning(formatter: PromptFormatter) -> str:
    """Return when reasoning is read apart from the answer."""
    if formatter.answer is None or not formatter.answer.has_reasoning:
        return "no"
    return "yes" if formatter.reasons else "on request"


def _code(text: str) -> str:
    # A bar ends a cell even in code, and a newline ends a row.
    return f"`{text.replace(chr(10), chr(92) + 'n').replace('|', chr(92) + '|')}`"


def _text(text: str) -> str:
    for character in "\\|*_[]<>`":
        text = text.replace(character, f"\\{character}")
    return text


class FamiliesTable(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(families_table())


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("families-table", FamiliesTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
