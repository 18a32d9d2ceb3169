"""How a `Generation` shows itself: in logs without its text, in a terminal and in a notebook with it."""

from __future__ import annotations

from typing import Any

from nupic_client._repr import counted, rounded, shortened
from nupic_client.display import printable, printable_lines, safe_markdown, summary

__all__ = ["describe", "markdown", "plain"]


def describe(generation: Any) -> str:
    """Return what can be said without the text; works for one that is only half made."""
    facts = []
    text = getattr(generation, "text", None)
    if text is not None:
        facts.append(counted(len(text), "character"))
    tokens = getattr(getattr(generation, "usage", None), "output_tokens", None)
    if tokens is not None:
        facts.append(counted(tokens, "token"))
    calls = getattr(generation, "tool_calls", ())
    if calls:
        facts.append(counted(len(calls), "tool call"))
    reason = getattr(generation, "finish_reason", None)
    if reason is not None:
        facts.append(str(reason))
    total = getattr(getattr(generation, "timing", None), "total", None)
    if total is not None:
        facts.append(f"{rounded(total)} s")
    model = getattr(generation, "model", "")
    request_id = getattr(generation, "request_id", "")
    named = [model, f"request={shortened(request_id)}" if request_id else ""]
    return printable(": ".join(filter(None, [" ".join(filter(None, named)), ", ".join(facts)])))


def plain(generation: Any) -> str:
    """Return the text for a terminal, with its figures below."""
    parts = [printable_lines(generation.text.rstrip("\n")), *map(printable_lines, _calls(generation))]
    return "\n".join([*filter(None, parts), f"[{summary(generation)}]"])


def markdown(generation: Any) -> str:
    """Return the text as Markdown that is safe to render, with its figures below."""
    calls = [f"```\n{call}\n```" for call in _calls(generation)]
    parts = [safe_markdown(part) for part in (generation.text, *calls)]
    return "\n\n".join([*filter(None, parts), f"<small>{summary(generation)}</small>"])


def _calls(generation: Any) -> list[str]:
    return [f"{call.name}({call.arguments})" for call in generation.tool_calls]
