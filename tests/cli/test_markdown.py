"""Markdown that is drawn as it arrives (`--markdown`)."""

import importlib.util
import io
import random
import re
import sys

import pytest
from cli.processes import CLI, WITH_EXTRAS, Terminal, run_cli

from nupic_client.cli import markdown as cli_markdown
from nupic_client.cli.markdown import Blocks, MarkdownOutput, check_markdown
from nupic_client.testing import silence

posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")

TEXT = """\
# Title

Some **bold** words and `code`,
over lines.

```python
def f():

    return 1
```

- a
- b

  still b

1. one

2. two

| a | b |
|---|---|
| 1 | 2 |

The [end](https://example.com/where).
"""


@pytest.fixture
def chunks():
    cuts = sorted(random.Random(5).sample(range(len(TEXT)), 40))
    return [TEXT[start:end] for start, end in zip([0, *cuts], [*cuts, len(TEXT)], strict=True)]


def test_blocks_are_complete_in_themselves(chunks):
    reader = Blocks()
    done = ""
    blocks = []
    for chunk in chunks:
        complete = reader.take(chunk)
        done += complete
        blocks += [complete] if complete else []
        assert TEXT.startswith(done + reader.rest)
    assert done + reader.rest == TEXT
    assert len(blocks) > 4
    assert all(block.count("```") % 2 == 0 for block in blocks)
    assert any("still b" in block and "- a" in block for block in blocks)


def test_blocks_are_the_same_in_chunks_of_any_size():
    whole, letters = Blocks(), Blocks()
    assert whole.take(TEXT) == "".join(map(letters.take, TEXT))
    assert whole.rest == letters.rest == "The [end](https://example.com/where).\n"


def test_code_is_not_cut():
    code = "~~~\n```\n\nx\n```\n\ny\n"
    reader = Blocks()
    assert (reader.take(code), reader.rest) == ("", code)
    assert reader.take("~~~\n\nz") == f"{code}~~~\n\n"
    assert reader.rest == "z"


def steps(run):
    """Return how many lines of the module for Markdown are executed."""
    count = 0

    def trace(frame, event, _value):
        nonlocal count
        if frame.f_code.co_filename != cli_markdown.__file__:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("text", ["```\n" + "code\n" * 500, "word\n" * 500, "word " * 500])
def test_a_block_that_grows_is_not_read_anew_with_each_chunk(text):
    def read(text):
        reader = Blocks()
        for letter in text:
            reader.take(letter)

    once = steps(lambda: read(text))
    assert 0 < steps(lambda: read(text * 4)) < 4.4 * once


@pytest.mark.parametrize("line", ["word\n", "word ", "word\n```\ncode\n"])
def test_the_end_of_a_long_block_has_a_length(line):
    reader = Blocks()
    reader.take(f"{line * 300}last")
    tail = reader.tail(20, 200)
    assert tail.endswith("last")
    assert len(tail) <= 200
    assert (line * 300).endswith(tail.removesuffix("last"))
    assert reader.tail(2000, 20_000) == reader.rest


def test_the_end_of_long_code_is_code():
    reader = Blocks()
    reader.take("Look:\n```python\n" + "".join(f"line {number}\n" for number in range(300)))
    assert reader.tail(3, 1000) == "```python\nline 297\nline 298\nline 299\n"
    assert reader.tail(300, 5).startswith("```python\n")
    assert reader.tail(301, 100_000) == reader.rest.removeprefix("Look:\n")
    reader.take("```\n")
    assert reader.tail(3, 1000) == "line 298\nline 299\n```\n"


class Screen(io.StringIO):
    def isatty(self):
        return True


def shown(text):
    """Return what stays on a screen, of what rich writes: it only goes up and erases lines."""
    lines, row = [""], 0
    text = re.sub(r"\x1b\[\?25[lh]|\x1b\[[\d;]*m", "", text)
    for part in re.findall(r"\x1b\[\d*[A-Z]|\r|\n|[^\x1b\r\n]+|.", text):
        if part == "\n":
            row += 1
            lines += [""] * (row - len(lines) + 1)
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part == "\r":
            continue
        else:
            assert not part.startswith("\x1b"), part
            lines[row] += part
    return [line.rstrip() for line in lines]


@pytest.fixture
def terminal(monkeypatch):
    """Make stdout a terminal, in the test itself: pytest changes it before that."""
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "60", "LINES": "20"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)

    def terminal():
        screen = Screen()
        monkeypatch.setattr(sys, "stdout", screen)
        return screen

    return terminal


def test_an_answer_is_drawn_once_and_whole(terminal, chunks):
    screen = terminal()
    output = MarkdownOutput(reasoning=False)
    for chunk in chunks:
        output.write(chunk)
    output.end()
    output.end()
    lines = shown(screen.getvalue())
    text = "\n".join(lines)
    assert "**" not in text
    for part in ("Title", "Some bold words and code, over lines.", " def f():", " • a", " 1 one", " 2 two"):
        assert text.count(part) == 1, text
    assert "end (https://example.com/where)" in text  # where a link leads is seen
    assert "\x1b]8" not in screen.getvalue()
    assert lines[-1] == ""


def test_what_is_drawn_cannot_control_the_terminal(terminal):
    screen = terminal()
    output = MarkdownOutput(reasoning=True)
    output.think("Hm")
    output.write("a\x1b]0;title\x07b `\x1b[2J`")
    output.end()
    assert "\x1b]0" not in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()
    assert "a␛]0;title␇b " in screen.getvalue()
    assert "␛[2J" in screen.getvalue()


def test_a_long_block_does_not_leave_the_screen(terminal):
    screen = terminal()
    output = MarkdownOutput(reasoning=False)
    output.write("```\n")
    for number in range(100):
        output.write(f"line {number}\n")
    assert output._drawing().segments[-2].text
    output.end()
    lines = shown(screen.getvalue())
    assert [line.strip() for line in lines if "line" in line] == [f"line {number}" for number in range(100)]


@pytest.mark.slow
@posix
def test_ctrl_c_leaves_no_line_twice(server):
    """The terminal shows ^C itself."""
    server.reply = ["word " * 30, silence()]
    with Terminal([*CLI, "generate", "--markdown", "--url", server.url, "Hi"], **WITH_EXTRAS) as terminal:
        terminal.screen.wait_for("word")
        terminal.press_until("\x03", "cancelled\n")
        assert terminal.wait() == 130
    kept = terminal.screen.text.rpartition("\x1b[?25h")[2]
    assert kept.count("word") == 30
    assert "Traceback" not in terminal.screen.text


@pytest.mark.slow
def test_a_pipe_gets_the_text_as_it_is(server):
    server.reply = [TEXT]
    assert run_cli("generate", "--markdown", "--quiet", "--url", server.url, "Hi").stdout == TEXT


@pytest.mark.slow
@posix
def test_a_terminal_without_colours_gets_the_text_as_it_is(server):
    server.reply = ["**bold**"]
    with Terminal(
        [*CLI, "generate", "--markdown", "--url", server.url, "Hi"], NO_COLOR="1", TERM="xterm"
    ) as terminal:
        assert terminal.wait() == 0
        assert "**bold**" in terminal.screen.text


def test_without_the_library_it_says_how_to_get_it(terminal, monkeypatch, main, server):
    terminal()
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "rich" else find(name))
    with pytest.raises(Exception, match=r"--markdown needs rich, .*pip install 'nupic-client\[chat\]'"):
        check_markdown(asked=True)
    check_markdown(asked=False)
    assert main("generate", "--markdown", "--url", server.url, "Hi") == 2
