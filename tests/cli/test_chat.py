"""`nupic-client chat`: from a pipe and on a terminal."""

import contextlib
import socket
import subprocess
import sys

import pytest
from cli.processes import CLI, SUMMARY, Terminal, cli_program, run_cli

from nupic_client.testing import FakeTriton, fail, silence

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals and signals of POSIX")

START = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"


def turn(text, answer=None):
    turn = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    return turn if answer is None else f"{turn}{answer}<|im_end|>\n"


@pytest.fixture
def chat(main, server, typed, capsys):
    """Chat from a pipe in this process; return the exit code, stdout and stderr."""

    def chat(lines, *arguments):
        typed(lines.encode() if isinstance(lines, str) else lines)
        code = main("chat", "--url", server.url, *arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return chat


def test_from_a_pipe_each_line_is_a_message_and_stdout_has_the_answers_alone(server):
    finished = run_cli("chat", "--url", server.url, stdin=b"Hi\n\nAnd you?")
    assert finished.stdout == "Hello, world!\nHello, world!\n"
    assert finished.returncode == 0
    assert len(SUMMARY.findall(finished.stderr)) == 2
    assert [request.prompt for request in server.requests] == [
        START + turn("Hi"),
        START + turn("Hi", "Hello, world!") + turn("And you?"),
    ]


def test_clear_forgets_all_but_the_system_prompt(chat, server):
    code, out, err = chat("Hi\n/clear\nHello\n", "--system", "Be brief.", "--quiet")
    assert (code, out) == (0, "Hello, world!\nHello, world!\n")
    assert err == "the conversation is forgotten\n"
    assert server.requests[1].prompt == START.replace("You are a helpful assistant.", "Be brief.") + turn(
        "Hello"
    )


def test_system_sets_and_shows_the_system_prompt(chat, server):
    code, _, err = chat("/system\n/system  Be brief. \nHi\n/system\n", "--quiet")
    assert code == 0
    assert err == (
        "system prompt: (the default one of the model)\nsystem prompt: Be brief.\nsystem prompt: Be brief.\n"
    )
    assert server.requests[0].prompt == START.replace("You are a helpful assistant.", "Be brief.") + turn(
        "Hi"
    )


def test_exit_ends_it_and_help_explains(chat, server):
    code, out, err = chat("/help\n/exit\nHi\n")
    assert (code, out) == (0, "")
    assert "/system TEXT" in err
    assert not server.requests


def test_a_path_is_not_a_command(chat, server):
    assert chat("/usr/bin is what?\n")[0] == 0
    assert server.requests[0].prompt == START + turn("/usr/bin is what?")


def test_a_command_that_does_not_exist_ends_a_pipe(chat, server):
    code, _, err = chat("/bogus\nHi\n")
    assert code == 2
    assert err == "nupic-client: error: there is no command /bogus: /help lists them\n"
    assert not server.requests


def test_a_failure_ends_a_pipe_with_its_code(chat, server):
    server.reply = ["Once", fail("out of ideas")]
    code, out, err = chat("Hi\nAgain\n")
    assert (code, out) == (1, "Once\n")
    assert "out of ideas" in err
    assert len(server.requests) == 1


def test_a_pipe_that_is_not_text(chat, server):
    """P-F11: one lost line, which is told, and on it goes."""
    code, out, err = chat(b"\xef\xbb\xbfHi\nna\xefve\nHi again\n", "--quiet")
    assert (code, out) == (2, "Hello, world!\nHello, world!\n")
    assert err.startswith(
        "nupic-client: error: stdin must be UTF-8 text, not with byte 0xef at position 2 (line 2, byte 3)"
    )
    assert err.endswith("; the line is left out\n")
    assert [request.prompt for request in server.requests] == [
        START + turn("Hi"),
        START + turn("Hi", "Hello, world!") + turn("Hi again"),
    ]


def test_a_model_without_a_known_format_is_refused_at_once(chat, server):
    code, _, err = chat("Hi\n", "--model", "gpt.streaming")
    assert code == 2
    assert "give --formatter and a family" in err
    assert (
        chat("Hi\n", "--model", "gpt.streaming", "--formatter", "chatml", "--quiet")[1] == "Hello, world!\n"
    )
    assert server.requests[0].prompt == turn("Hi")


def test_an_empty_answer_is_an_answer(chat, server):
    replies = iter([[], ["Hello"]])
    server.reply = lambda _request: next(replies)
    assert chat("Hi\nHi again\n", "--quiet")[:2] == (0, "Hello\n")
    assert server.requests[1].prompt == START + turn("Hi", "") + turn("Hi again")


def test_a_conversation_is_saved_and_gone_on_with(chat, server, tmp_path):
    file = tmp_path / "talk.json"
    assert chat(f"Hi\n/save {file}\n", "--system", "Be brief.", "--quiet") == (
        *(0, "Hello, world!\n", "saved: 2 messages\n"),
    )
    code, _, err = chat(f"/load {file}\n/system\nAnd?\n", "--quiet")
    assert (code, err) == (0, "loaded: 2 messages\nsystem prompt: Be brief.\n")
    assert server.requests[1].prompt == START.replace("You are a helpful assistant.", "Be brief.") + turn(
        "Hi", "Hello, world!"
    ) + turn("And?")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/save", "/save needs the name of a file"),
        ("/load ", "/load needs the name of a file"),
        ("/load {folder}/none.json", "No such file"),
        ("/save {folder}/none/talk.json", "No such file"),
        ("/load {folder}", "Is a directory"),
        ("/load {folder}/text.json", "text.json: this is not a saved conversation: Expecting value"),
        ("/load {folder}/bytes.json", "this is not a saved conversation"),
    ],
)
@posix
def test_a_file_that_cannot_be_used(chat, tmp_path, line, words):
    (tmp_path / "text.json").write_text("Hello")
    (tmp_path / "bytes.json").write_bytes(b"\xff")
    code, _, err = chat(line.format(folder=tmp_path) + "\n")
    assert code == 2
    assert words in err


def test_the_oldest_exchanges_are_left_out_when_the_context_is_full(chat, server, tmp_path):
    long = "word " * 60
    lines = "".join(f"{index} {long}\n" for index in range(4))
    assert chat(f"{lines}/save {tmp_path / 'talk.json'}\n", "--quiet", "--context-length", "400")[0] == 0
    prompts = [request.prompt for request in server.requests]
    assert prompts[1].startswith(START + "<|im_start|>user\n0 word")
    assert prompts[3].startswith(START + "<|im_start|>user\n2 word")
    assert "0 word" in (tmp_path / "talk.json").read_text()


def test_a_context_length_that_is_none(chat, server):
    code, _, err = chat("Hi\n", "--context-length", "0")
    assert (code, err) == (
        2,
        "nupic-client: error: --context-length must be a number of tokens >= 1, not 0\n",
    )
    assert not server.requests


@posix
@pytest.mark.parametrize("reply", [["Once", silence()], [silence()]])
def test_ctrl_c_ends_a_pipe(server, reply):
    server.reply = reply
    with cli_program("chat", "--url", server.url, "--quiet", stdin=subprocess.PIPE) as program:
        program.process.stdin.write(b"Hi\nAgain\n")
        program.process.stdin.flush()
        server.wait_for_requests(timeout=30)
        if len(reply) > 1:
            program.stdout.wait_for("Once")
        assert program.interrupt()[0] == 130
    server.wait_for_cancellation()
    assert len(server.requests) == 1


@posix
def test_ctrl_c_ends_a_pipe_before_the_server_answers():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(30)
        url = f"127.0.0.1:{mute.getsockname()[1]}"
        with cli_program("chat", "--url", url, stdin=subprocess.PIPE) as program:
            program.process.stdin.write(b"Hi\nAgain\n")
            program.process.stdin.flush()
            connection, _ = mute.accept()
            with connection:
                assert program.interrupt()[0] == 130
                assert program.stderr.text == ""


@posix
def test_ctrl_c_on_a_terminal_stops_the_answer_and_keeps_what_was_said(server):
    server.reply = ["Once", " upon", silence()]
    with Terminal([*CLI, "chat", "--url", server.url]) as terminal:
        terminal.screen.wait_for(">>> ")
        assert terminal.screen.text.startswith(f"smollm2.streaming at {server.url} · /help")
        terminal.type("Tell me a story\n")
        terminal.screen.wait_for("Once upon")
        terminal.type("\x03")
        terminal.screen.wait_for("cancelled\n")
        server.wait_for_cancellation(timeout=30)
        terminal.screen.wait_for(">>> ", count=2)

        server.reply = ["Hello"]
        terminal.type("Go on\n")
        terminal.screen.wait_for(">>> ", count=3)
        assert server.requests[1].prompt == START + turn("Tell me a story", "Once upon") + turn("Go on")

        terminal.type("half a line")
        terminal.screen.wait_for("half a line")
        terminal.press_until("\x03", "(Ctrl-D or /exit leaves)")
        terminal.screen.wait_for(">>> ", count=4)
        terminal.type("\x04")
        assert terminal.wait() == 0
    assert len(server.requests) == 2
    assert "Traceback" not in terminal.screen.text


@posix
def test_ctrl_c_before_the_first_word_forgets_the_question(server):
    server.reply = [silence()]
    with Terminal([*CLI, "chat", "--url", server.url]) as terminal:
        terminal.screen.wait_for(">>> ")
        terminal.type("Hi\n")
        server.wait_for_requests(timeout=30)
        # The request may be on its way before the program waits for its answer, and Python may lose a signal in between.
        for _ in range(10):
            terminal.type("\x03")
            with contextlib.suppress(AssertionError):
                server.wait_for_cancellation(timeout=3)
                break
        assert len(server.cancellations) == 1
        server.reply = ["Hello"]
        terminal.type("Hi again\n")
        server.wait_for_requests(count=2, timeout=30)
        terminal.screen.wait_for("Hello")
        assert server.requests[1].prompt == START + turn("Hi again")
        terminal.type("/exit\n")
        assert terminal.wait() == 0


@pytest.mark.slow
@posix
def test_on_a_terminal_a_failure_is_told_and_the_conversation_goes_on(server):
    server.reply = ["Once", fail("out of ideas")]
    with Terminal([*CLI, "chat", "--url", server.url]) as terminal:
        terminal.screen.wait_for(">>> ")
        terminal.type("Hi\n")
        terminal.screen.wait_for("nupic-client: error: ")
        terminal.screen.wait_for(">>> ", count=2)
        server.reply = ["Hello"]
        terminal.type("Hi again\n")
        terminal.screen.wait_for(">>> ", count=3)
        assert server.requests[1].prompt == START + turn("Hi again")
        server.stop()
        terminal.type("Still there?\n")
        terminal.screen.wait_for("nupic-client: error: ", count=2)
        terminal.screen.wait_for(">>> ", count=4)
        server.reply = ["Back again"]
        server.start()
        terminal.type("And now?\n")
        terminal.screen.wait_for("Back again")
        terminal.screen.wait_for(">>> ", count=5)
        terminal.type("\x04")
        assert terminal.wait() == 0
    assert "Traceback" not in terminal.screen.text
    assert "goaway" not in terminal.screen.text.lower()


@posix
def test_ctrl_c_while_the_server_is_asked_returns_to_the_prompt(free_port):
    with (
        FakeTriton(port=free_port) as server,
        Terminal(
            [*CLI, "chat", "--url", server.url, "--model", "gpt.streaming", "--formatter", "chatml"]
        ) as terminal,
    ):
        terminal.screen.wait_for(">>> ")
        server.stop()
        with socket.create_server(("127.0.0.1", free_port)) as mute:
            mute.settimeout(30)
            terminal.type("Hi\n")
            connection, _ = mute.accept()
            with connection:
                terminal.type("\x03")
                terminal.screen.wait_for(">>> ", count=2)
        terminal.type("/exit\n")
        assert terminal.wait() == 0


@posix
def test_typed_input_with_a_piped_stdout_shows_its_prompt_on_the_terminal(server, tmp_path):
    answers = tmp_path / "answers.txt"
    with (
        answers.open("wb") as stdout,
        Terminal([*CLI, "chat", "--url", server.url], stdout=stdout) as terminal,
    ):
        terminal.screen.wait_for(">>> ")
        terminal.type("Hi\n")
        terminal.screen.wait_for(">>> ", count=2)
        terminal.type("\x04")
        assert terminal.wait() == 0
    assert answers.read_text() == "Hello, world!\n"


def test_undo_forgets_the_last_exchange(chat, server):
    """P-F5: a way to take back what the model was led to say."""
    code, _, err = chat("/undo\nHi\nAnd?\n/undo\nAgain\n", "--quiet")
    assert code == 0
    assert err == "there is no message to forget\nthe last message and its answer are forgotten\n"
    assert server.requests[2].prompt == START + turn("Hi", "Hello, world!") + turn("Again")


def test_an_answer_with_a_marker_does_not_end_the_chat(chat, server):
    """P-F5."""
    server.reply = ["It is <|im_start|>, written so."]
    assert chat("Hi\nthanks\n", "--quiet")[0] == 0
    assert server.requests[1].prompt == START + turn("Hi", "It is <| im_start |>, written so.") + turn(
        "thanks"
    )


@posix
def test_ctrl_c_and_controls_on_a_terminal(server):
    """P-F12: an answer that is stopped shows its controls too, and the conversation keeps them."""
    server.reply = ["Once\x1b]0;", "title\x07", silence()]
    with Terminal([*CLI, "chat", "--url", server.url]) as terminal:
        terminal.screen.wait_for(">>> ")
        terminal.type("Hi\n")
        terminal.screen.wait_for("Once␛]0;title␇")
        terminal.type("\x03")
        terminal.screen.wait_for("cancelled\n")
        terminal.screen.wait_for(">>> ", count=2)
        server.reply = ["Hello"]
        terminal.type("Go on\n")
        terminal.screen.wait_for(">>> ", count=3)
        terminal.type("\x04")
        assert terminal.wait() == 0
    assert server.requests[1].prompt == START + turn("Hi", "Once\x1b]0;title\x07") + turn("Go on")
