"""Messages of several lines (U-B4), and the keys of a chat, with readline and with prompt_toolkit."""

import contextlib
import json
import subprocess
import sys

import pytest
from cli.processes import CLI, WITH_EXTRAS, Terminal

from nupic_client.cli.chat_input import BlockReader
from nupic_client.cli.stdin import whole
from nupic_client.errors import ConfigurationError
from nupic_client.testing import silence

posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
slow = pytest.mark.slow

START = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
PASTE, PASTED = "\x1b[200~", "\x1b[201~"
PROGRAM = '"""Doc."""\n\ndef f():\n\treturn 1\n\n# what is wrong?'


def messages(lines):
    reader = BlockReader()
    found = [message for line in lines if (message := reader.take(line)) is not None]
    return found, reader.close()


@pytest.mark.parametrize(
    ("lines", "found", "rest"),
    [
        (["Hi", "Hello"], ["Hi", "Hello"], None),
        (['"""', "one", "", "  two  ", '"""', "Hi"], ["one\n\n  two  ", "Hi"], None),
        (['"""one', 'two"""'], ["one\ntwo"], None),
        (['"""one"""'], ["one"], None),
        (['  """', "/exit", '"""  '], ["/exit"], None),
        (['"""', '"""'], [""], None),
        (['"""', "left open"], [], "left open"),
        (['"""'], [], None),
        (["/multi", '"""', "two", "/end", "Hi"], ['"""\ntwo', "Hi"], None),
        (["/multi", "/end"], [""], None),
        (["/multi later"], ["/multi later"], None),
        ([PROGRAM], [PROGRAM], None),
        (['"""one\ntwo"""'], ["one\ntwo"], None),
        (['"""one\ntwo', 'three"""'], ["one\ntwo\nthree"], None),
        (['say """x"""'], ['say """x"""'], None),
        (['"""a""" and """b"""'], ['"""a""" and """b"""'], None),
    ],
)
def test_lines_become_messages(lines, found, rest):
    assert messages(lines) == (found, rest)


def test_a_pipe_may_have_blocks_too(main, server, typed):
    typed(b'"""\nWhat is\n\nthis?\n"""\nHi\n/multi\nopen\n')
    assert main("chat", "--url", server.url, "--quiet") == 0
    asked = [request.prompt.rpartition("user\n")[2].partition("<|im_end|>")[0] for request in server.requests]
    assert asked == ["What is\n\nthis?", "Hi", "open"]


@pytest.fixture(params=["readline", "prompt_toolkit"])
def chat(request, server, tmp_path):
    """Start a chat on a terminal, with one of the two editors and a history."""
    if request.param == "readline":
        readline = pytest.importorskip("readline")
        if getattr(readline, "backend", "") == "editline" or "libedit" in (readline.__doc__ or ""):
            pytest.skip("libedit knows no pasted blocks")
        changes = {"TERM": "xterm"}
    else:
        pytest.importorskip("prompt_toolkit")
        changes = WITH_EXTRAS
    changes = {**changes, "NUPIC_HISTORY": str(tmp_path / "history"), "NO_COLOR": "1"}

    def chat(*arguments):
        return Terminal([*CLI, "chat", "--url", server.url, *arguments], **changes)

    return chat


def prompt_of(terminal, count):
    """Wait until the editor waits for a line: it switches bracketed paste on."""
    terminal.screen.wait_for("\x1b[?2004h", count=count)
    terminal.screen.wait_for(">>>", count=count)


def leave(terminal):
    """Press Ctrl-D until the chat ends: a key that comes before the editor waits for one is lost."""
    for _ in range(60):
        terminal.type("\x04")
        with contextlib.suppress(subprocess.TimeoutExpired):
            return terminal.process.wait(1)
    raise AssertionError(f"the chat does not end: {terminal.screen.text!r}")


def last_message(server):
    return server.requests[-1].prompt.rpartition("<|im_start|>user\n")[2].partition("<|im_end|>")[0]


@slow
@posix
def test_a_pasted_block_is_one_message(chat, server, tmp_path):
    """U-B4."""
    with chat() as terminal:
        prompt_of(terminal, 1)
        terminal.type(f"{PASTE}{PROGRAM.replace(chr(10), chr(13))}{PASTED}")
        terminal.screen.wait_for("what is wrong?")
        assert not server.requests
        terminal.type("\r")
        server.wait_for_requests(timeout=30)
        terminal.screen.wait_for("Hello, world!")
        prompt_of(terminal, 2)
        assert leave(terminal) == 0
    assert len(server.requests) == 1
    assert last_message(server).expandtabs(4) == PROGRAM.expandtabs(4)
    assert [json.loads(line) for line in (tmp_path / "history").read_text().splitlines()] == [
        last_message(server)
    ]


@slow
@posix
def test_quotes_and_ctrl_c_and_the_history_of_earlier_chats(chat, server, tmp_path):
    with chat("--quiet") as terminal:
        prompt_of(terminal, 1)
        terminal.type('"""\r')
        terminal.screen.wait_for("...")
        terminal.type("one\r")
        terminal.type('two"""\r')
        server.wait_for_requests(timeout=30)
        assert last_message(server) == "one\ntwo"
        terminal.screen.wait_for("Hello, world!")
        terminal.type("half a line")
        terminal.screen.wait_for("half a line")
        terminal.press_until("\x03", "(Ctrl-D or /exit leaves)")
        assert leave(terminal) == 0
    with chat("--quiet") as terminal:
        prompt_of(terminal, 1)
        terminal.type("\x1b[A")
        terminal.screen.wait_for("two")
        terminal.type("\r")
        server.wait_for_requests(count=2, timeout=30)
        assert last_message(server) == "one\ntwo"
        terminal.screen.wait_for("Hello, world!")
        assert leave(terminal) == 0
    assert len((tmp_path / "history").read_text().splitlines()) == 1  # the same again is not kept twice


@slow
@posix
def test_commands_are_completed(chat, server, tmp_path):
    with chat() as terminal:
        prompt_of(terminal, 1)
        terminal.type("/sys")
        terminal.press_until("\t", "/system")
        terminal.type("\x15/exit\r")
        assert terminal.wait() == 0
    assert not server.requests


@slow
@posix
def test_ctrl_c_stops_an_answer_and_keeps_the_chat(chat, server):
    server.reply = ["Once", " upon", silence()]
    with chat() as terminal:
        prompt_of(terminal, 1)
        terminal.type("A story\r")
        terminal.screen.wait_for("Once upon")
        terminal.type("\x03")
        terminal.screen.wait_for("cancelled\n")
        server.wait_for_cancellation(timeout=30)
        server.reply = ["Hello"]
        prompt_of(terminal, 2)
        terminal.type("/retry\r")
        server.wait_for_requests(count=2, timeout=30)
        terminal.screen.wait_for("Hello")
        assert leave(terminal) == 0
    assert server.requests[1].prompt == server.requests[0].prompt


@slow
@posix
def test_a_history_is_not_kept_if_that_is_asked(chat, server, tmp_path):
    with chat("--no-history") as terminal:
        prompt_of(terminal, 1)
        terminal.type("Hi\r")
        terminal.screen.wait_for("Hello, world!")
        assert leave(terminal) == 0
    assert list(tmp_path.iterdir()) == []


@slow
@posix
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["--model", "smolm2"],
            2,
            "the prompt format of model 'smolm2' is not known: did you mean 'smollm2'",
        ),
        (
            ["--model", "nosuch.streaming", "--formatter", "chatml"],
            1,
            "the server has no model 'nosuch.streaming'",
        ),
        (["--url", "127.0.0.1:{free_port}"], 3, "cannot reach the server"),
    ],
)
def test_nobody_is_greeted_before_server_and_model_are_there(server, free_port, arguments, code, words):
    """U-A20."""
    given = [word.format(free_port=free_port) for word in arguments]
    url = [] if "--url" in given else ["--url", server.url]
    with Terminal([*CLI, "chat", *url, *given]) as terminal:
        assert terminal.wait() == code
        assert "/help lists the commands" not in terminal.screen.text
        assert words in terminal.screen.text


@slow
@posix
def test_what_is_typed_is_utf_8_in_a_locale_that_lacks_it(server):
    changes = {**WITH_EXTRAS, "PYTHONIOENCODING": "ascii:surrogateescape", "LC_ALL": "C", "PYTHONUTF8": "0"}
    with Terminal([*CLI, "chat", "--url", server.url, "--quiet"], **changes) as terminal:
        terminal.screen.wait_for(">>>")
        terminal.type("grün 中\n")
        server.wait_for_requests(timeout=60)
        terminal.screen.wait_for("Hello, world!")
        terminal.type("/exit\n")
        assert terminal.wait() == 0
    assert "<|im_start|>user\ngrün 中<|im_end|>" in server.requests[0].prompt


def test_a_line_is_whole():
    assert whole("a \ud800") == "a \ud800"  # the client says what is wrong with it
    assert whole("gr\udcc3\udcbcn 中") == "grün 中"
    with pytest.raises(ConfigurationError, match="the line must be utf-8 text"):
        whole("gr\udcfcn")
