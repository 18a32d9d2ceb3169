"""Record a command in a terminal and draw it as an animated SVG: ``python docs/record_terminal.py``.

The text appears as it did in the run, at the same times. The picture needs no script, so an ``<img>`` plays it.
"""

from __future__ import annotations

import argparse
import html
import os
import pty
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

COLUMNS, LINE_HEIGHT, CHARACTER = 84, 21, 8.43
MARGIN, BAR = 18, 34
TYPING = 0.035  # seconds for each character of the command
QUESTION = "Why is the sky blue? Answer in two sentences."
DEFAULT = ("nupic-client", "generate", "--local", "--temperature", "0.4", "--seed", "4", QUESTION)
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def record(command: Sequence[str]) -> Iterator[tuple[float, str]]:
    """Run a command in a terminal and yield what it prints, each with the seconds since its start."""
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    start = time.monotonic()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env=environment
    ) as process:
        os.close(slave)
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # Linux says so that the other side is closed
                break
            if not data:
                break
            yield time.monotonic() - start, data.decode("utf-8", "replace")
    os.close(master)
    if process.returncode:
        raise SystemExit(f"{shlex.join(command)} ended with {process.returncode}")


def lay_out(pieces: Iterator[tuple[float, str]]) -> list[tuple[float, int, int, str]]:
    """Place pieces of text on a grid of `COLUMNS`, as ``(seconds, row, column, text)``; words are wrapped."""
    placed = []
    row = column = 0
    for seconds, text in pieces:
        for part in re.findall(r"\n|[^\S\n]+|\S+", _ESCAPE.sub("", text).replace("\r\n", "\n")):
            if part == "\n" or column + len(part) > COLUMNS:
                row, column = row + 1, 0
            if not part.isspace():
                placed.append((seconds, row, column, part))
            if part != "\n" and (column or not part.isspace()):
                column += len(part)
    return placed


def draw(command: str, placed: Sequence[tuple[float, int, int, str]]) -> str:
    """Draw a terminal in which a command is typed and its output appears."""
    typed = len(command) * TYPING + 0.3
    rows = max(row for _, row, _, _ in placed) + 2 + command.count("\n") + 1
    width, height = round(COLUMNS * CHARACTER + 2 * MARGIN), BAR + rows * LINE_HEIGHT + MARGIN
    texts = [_text(0, 0, "$", 0.0, "prompt")]
    lines = command.split("\n")
    before = 0
    for row, line in enumerate(lines):
        texts += [
            _text(row, 2 + at, letter, (before + at) * TYPING)
            for at, letter in enumerate(line)
            if letter != " "
        ]
        before += len(line)
    texts += [_text(row + len(lines), column, text, typed + seconds) for seconds, row, column, text in placed]
    lights = "".join(
        f'<circle cx="{20 + 18 * at}" cy="17" r="5.5" fill="{color}"/>'
        for at, color in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    label = html.escape(" ".join(["$", *command.split(), *(text for _, _, _, text in placed)]))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">\n'
        "<style>\n"
        "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#e6edf3;"
        "white-space:pre;animation:appear 1ms linear both}\n"
        ".prompt{fill:#7ee787}\n"
        "@keyframes appear{from{opacity:0}to{opacity:1}}\n"
        "@media (prefers-reduced-motion:reduce){text{animation:none}}\n"
        "</style>\n"
        f'<rect width="{width}" height="{height}" rx="9" fill="#0d1117"/>{lights}\n'
        + "\n".join(texts)
        + "\n</svg>\n"
    )


def _text(row: int, column: int, text: str, seconds: float, kind: str = "") -> str:
    x, y = MARGIN + column * CHARACTER, BAR + (row + 1) * LINE_HEIGHT
    # The length keeps the columns where another font is wider.
    length = (
        f' textLength="{len(text) * CHARACTER:.1f}" lengthAdjust="spacingAndGlyphs"' if len(text) > 1 else ""
    )
    class_ = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y}"{length}{class_} style="animation-delay:{seconds:.2f}s">{html.escape(text)}</text>'


def main() -> None:
    """Record the command that is given, or the README's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "_static" / "terminal.svg")
    parser.add_argument("command", nargs="*", default=DEFAULT)
    arguments = parser.parse_args()
    placed = lay_out(record(arguments.command))
    *options, last = arguments.command
    command = shlex.join(arguments.command)
    if len(command) > COLUMNS - 2:
        command = f"{shlex.join(options)} \\\n  {shlex.join([last])}"
    arguments.out.write_text(draw(command, placed), encoding="utf-8")


if __name__ == "__main__":
    main()
