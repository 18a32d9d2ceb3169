"""`show` and `ashow`: an answer that grows in one output."""

from __future__ import annotations

import sys
import time
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import display

from nupic_client import (
    AsyncTextStream,
    ConfigurationError,
    Generation,
    NupicError,
    StreamStateError,
    TextStream,
)
from nupic_client.display import printable_lines, safe_markdown, summary

__all__ = ["ashow", "show"]

_PAUSE = 0.05
"""Seconds between two updates, at least: servers of notebooks drop messages that come faster than they can pass them on."""
_PAUSE_PER_CHARACTER = 0.000_02
"""Seconds more for each character: an update sends the whole text, and the browser renders it anew."""
_SHARE = 0.02
"""The part of the time that updates may take here."""


def show(answer: TextStream | Generation, *, markdown: bool = True, stats: bool = True) -> Generation:
    """Show an answer while it is generated, in one output, and return it. Blocks.

    Nothing appears before the first token. To interrupt the cell stops the model; what had come by then stays.

    Args:
        answer: a stream, as of ``client.stream`` or ``conversation.stream``, or a generation.
        markdown: render the text as Markdown, see `nupic_client.display.safe_markdown`; otherwise show it as it is.
        stats: show the figures below.

    Returns:
        The generation. As the last value of a cell it is not shown again.

    Raises:
        RequestError: the generation failed; what had come before stays in the output.
        KeyboardInterrupt: the cell was interrupted; ``answer.result()`` has the text so far.
        ConfigurationError: it is neither a stream nor a generation.

    Example:
        .. code-block:: python

            from nupic_client.integrations.jupyter import show

            answer = show(client.stream("Once upon a time", max_tokens=100))
    """
    __tracebackhide__ = True
    if isinstance(answer, AsyncTextStream):
        raise ConfigurationError(
            "answer must be a stream of client.stream, not of astream: use await ashow(…)"
        )
    view = _view(answer, markdown=markdown, stats=stats)
    if isinstance(answer, Generation):
        return view.end(answer)
    try:
        with answer:
            for text in answer:
                view.add(text)
            return view.end(answer.result())
    except BaseException as error:
        view.broken(answer, error)
        raise


async def ashow(
    answer: AsyncTextStream | Generation, *, markdown: bool = True, stats: bool = True
) -> Generation:
    """Show an answer while it is generated, in one output, and return it; the async twin of `show`.

    Args:
        answer: a stream, as of ``client.astream`` or ``conversation.astream``, or a generation.
        markdown: as for `show`.
        stats: as for `show`.

    Returns:
        As `show`.

    Raises:
        RequestError: as for `show`.
        ConfigurationError: as for `show`.

    Example:
        .. code-block:: python

            answer = await ashow(client.astream("Once upon a time", max_tokens=100))
    """
    __tracebackhide__ = True
    if isinstance(answer, TextStream):
        raise ConfigurationError("answer must be a stream of client.astream, not of stream: use show(…)")
    view = _view(answer, markdown=markdown, stats=stats)
    if isinstance(answer, Generation):
        return view.end(answer)
    try:
        async with answer:
            async for text in answer:
                view.add(text)
            return view.end(await answer.result())
    except BaseException as error:
        view.broken(answer, error)
        raise


def _view(answer: object, *, markdown: bool, stats: bool) -> _Display | _Terminal:
    if not isinstance(answer, (TextStream, AsyncTextStream, Generation)):
        raise ConfigurationError(
            f"answer must be a stream of client.stream or a Generation, not {type(answer).__name__}"
        )
    # A terminal, and a plain Python, cannot change what they have printed.
    shell = get_ipython()
    if getattr(shell, "kernel", None) is None:
        return _Terminal(stats=stats)
    return _Display(shell, markdown=markdown, stats=stats)


class _Display:
    """One output of a notebook, which is replaced as the text grows."""

    def __init__(self, shell: Any, *, markdown: bool, stats: bool) -> None:
        self._shell = shell
        self._markdown = markdown
        self._stats = stats
        self._chunks: list[str] = []
        self._handle: Any = None
        self._due = 0.0

    def add(self, text: str) -> None:
        """Add new text; show it if the last update is long enough ago."""
        self._chunks.append(text)
        if time.monotonic() >= self._due:
            self._put(self._bundle(self._text))

    def end(self, generation: Generation) -> Generation:
        """Show the whole answer."""
        text = generation.text
        bundle = self._bundle(text)
        for call in _calls(generation):
            bundle = _below(bundle, f"```\n{call}\n```", call)
        self._put(self._with_stats(bundle, summary(generation)))
        _Shown.of(self._shell).note(generation)
        return generation

    def broken(self, stream: TextStream | AsyncTextStream, error: BaseException) -> None:
        """Show what had come before the end that was none, and what ended it."""
        text = stream.text
        if text:
            self._put(self._with_stats(self._bundle(text), _ending(error), always=True))

    @property
    def _text(self) -> str:
        return "".join(self._chunks)

    def _bundle(self, text: str) -> dict[str, str]:
        plain = {"text/plain": printable_lines(text)}
        return {**plain, "text/markdown": safe_markdown(text)} if self._markdown else plain

    def _with_stats(self, bundle: dict[str, str], line: str, *, always: bool = False) -> dict[str, str]:
        return (
            _below(bundle, f"<small>{_escaped(line)}</small>", f"[{line}]")
            if self._stats or always
            else bundle
        )

    def _put(self, bundle: dict[str, str]) -> None:
        begun = time.monotonic()
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call, unused-ignore]
        else:
            self._handle.update(bundle, raw=True)
        now = time.monotonic()
        pauses = (_PAUSE, len(bundle["text/plain"]) * _PAUSE_PER_CHARACTER, (now - begun) / _SHARE)
        self._due = now + max(pauses)


class _Terminal:
    """Prints the text as it comes, with symbols for control characters."""

    def __init__(self, *, stats: bool) -> None:
        self._stats = stats
        self._begun = False

    def add(self, text: str) -> None:
        """Print new text."""
        self._begun = True
        _write(printable_lines(text))

    def end(self, generation: Generation) -> Generation:
        """End the line, and print the figures."""
        if not self._begun:
            self.add(generation.text)
        for call in _calls(generation):
            _write(f"\n{printable_lines(call)}")
        _write(f"\n[{printable_lines(summary(generation))}]\n" if self._stats else "\n")
        shell = get_ipython()
        if shell is not None:
            _Shown.of(shell).note(generation)
        return generation

    def broken(self, stream: TextStream | AsyncTextStream, error: BaseException) -> None:  # noqa: ARG002
        """End the line, and print what ended the answer."""
        if self._begun:
            _write(f"\n[{_ending(error)}]\n")


class _Shown:
    """What a shell has shown in its running cell: as the value of the cell it would be there twice."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._last: tuple[Generation, int] | None = None

    @classmethod
    def of(cls, shell: Any) -> _Shown:
        """Return that of a shell, which asks it before it displays a generation."""
        formatter = shell.display_formatter.ipython_display_formatter
        known = formatter.type_printers.get(Generation)
        if isinstance(known, cls):
            return known
        shown = cls(shell)
        formatter.for_type(Generation, shown)
        return shown

    def note(self, generation: Generation) -> None:
        """Remember what was shown, and in which cell."""
        self._last = (generation, self._shell.execution_count)

    def __call__(self, generation: Generation) -> None:
        """Do nothing for what is there already; leave all else to the other formatters."""
        last, cell = self._last or (None, 0)
        if generation is not last or cell != self._shell.execution_count:
            raise NotImplementedError


def _calls(generation: Generation) -> list[str]:
    return [f"{call.name}({call.arguments})" for call in generation.tool_calls]


def _below(bundle: dict[str, str], markdown: str, plain: str) -> dict[str, str]:
    lines = {"text/plain": printable_lines(plain), "text/markdown": markdown}
    if markdown.startswith("```"):
        lines["text/markdown"] = safe_markdown(markdown)
    return {
        kind: "\n\n".join(filter(None, [text.rstrip("\n"), lines[kind]])) for kind, text in bundle.items()
    }


def _ending(error: BaseException) -> str:
    if isinstance(error, StreamStateError):
        return "stopped: the stream was closed"
    if isinstance(error, NupicError):
        return f"failed: {type(error).__name__}"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else f"stopped: {type(error).__name__}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
