"""`nupic-client batch`: messages, codes, signals, pipes."""

import json
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from batch.files import Files, chat, echo, number_in, plain
from cli.processes import CLI, PATIENCE, Terminal, cli_program, run_cli
from inference.tensor_server import embedder

from nupic_client.testing import fail

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


@pytest.fixture
def batch(main, server, files):
    """Run the command on the files of the test; return its code."""
    server.reply = echo
    return lambda *options: main("batch", str(files.input), str(files.output), "--url", server.url, *options)


def test_a_file_becomes_another(batch, files, capsys):
    files.write(plain(1), chat(2))
    assert batch() == 0
    assert len(files.read()) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("2 done · 0 failed · ")
    assert "tokens/s" in told.err


def test_lines_of_vectors(main, files, capsys):
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"input": ["one", "three"]}}
    files.write(line, {"id": 2, "input": "one"}, {**line, "body": {"input": "one", "model": "no-such"}})
    with embedder() as vectors:
        options = ("--url", vectors.url, "--model", "embed", "--timeout", "60")
        assert main("batch", str(files.input), str(files.output), *options) == 3
    rows = {row["id"]: row for row in files.read()}
    data = rows["batch_req_1"]["response"]["body"]["data"]
    assert [item["embedding"] for item in data] == [[3.0, 1.0], [5.0, 1.0]]
    assert rows[2]["embedding"] == [3.0, 1.0]
    assert rows["batch_req_3"]["error"]["code"] == "model_unavailable"
    assert capsys.readouterr().err.startswith("2 done · 1 failed · ")


def test_quiet_says_nothing(batch, files, capsys):
    files.write(plain(1), b"{")
    assert batch("--quiet") == 3
    assert capsys.readouterr() == ("", "")


def test_lines_that_failed_are_a_code_of_their_own(batch, files, capsys):
    files.write(plain(1), b"{")
    assert batch("--errors", str(files.errors)) == 3
    assert len(files.read(files.errors)) == 1
    assert capsys.readouterr().err.endswith(
        f"{files.output} has what was answered: the same command with --resume goes on\n"
    )


def test_an_output_that_is_there_says_what_to_do(batch, files, capsys):
    files.write(plain(1))
    batch()
    capsys.readouterr()
    assert batch() == 2
    assert capsys.readouterr().err == (
        f"nupic-client: error: output must be a new file, and {str(files.output)!r} is there already, give --resume to"
        " go on with it or --overwrite to start anew\n"
    )
    assert batch("--overwrite") == 0


def test_other_options_say_what_to_do(batch, files, capsys):
    files.write(plain(1), plain(2))
    assert batch("--limit", "1", "--max-tokens", "5") == 0
    capsys.readouterr()
    assert batch("--resume", "--max-tokens", "6") == 2
    told = capsys.readouterr().err
    assert "--resume must be with what the run began with on 2" in told
    assert "max_tokens is 6, and was 5: go back to that, or give --overwrite to start anew\n" in told
    assert batch("--resume", "--max-tokens", "5") == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--concurrency", "0"], "--concurrency must be a whole number >= 1, not 0"),
        (["--limit", "-1"], "--limit must be a whole number >= 1, not -1"),
        (["--grace", "-1"], "--grace must be a number of seconds >= 0, not -1.0"),
        (["--temperature", "-1"], "--temperature must be a number >= 0, not -1.0"),
        (["--resume", "--overwrite"], "--resume must not be given with overwrite: choose one"),
        (
            ["--errors", "/no/such/folder/e"],
            "--errors must be a file that can be written, not '/no/such/folder/e'",
        ),
    ],
)
def test_a_wrong_option_is_named(batch, files, capsys, options, message):
    files.write(plain(1))
    assert batch(*options) == 2
    assert capsys.readouterr().err.startswith(f"nupic-client: error: {message}")


def test_an_input_that_is_missing(batch, files, capsys):
    assert batch() == 2
    assert capsys.readouterr().err == (
        f"nupic-client: error: input must be a file that can be read, not {str(files.input)!r}: there is none\n"
    )


def test_a_server_that_is_not_there(main, files, free_port, capsys):
    files.write(plain(1))
    code = main(
        "batch", str(files.input), str(files.output), "--url", f"localhost:{free_port}", "--timeout", "20"
    )
    assert code == 3
    told = capsys.readouterr().err
    assert "nupic-client: error: " in told
    assert "the same command with --resume goes on" in told
    assert files.output.read_bytes() == b""


def test_a_model_that_is_not_there(batch, files, capsys):
    files.write(plain(1))
    assert batch("--model", "no-such") == 1
    assert "no-such" in capsys.readouterr().err


def test_too_many_failures(batch, files, server, capsys):
    files.write(*(plain(number) for number in range(100)))
    server.reply = [fail("no")]
    assert batch("--max-failures", "3", "--concurrency", "1") == 3
    assert "nupic-client: error: stopped, because more than 3 lines have failed\n" in capsys.readouterr().err


def test_the_options_are_those_of_a_generation(batch, files, server):
    files.write(plain(1), {"messages": [{"role": "user", "content": "say 2"}]}, chat(3, model="gpt"))
    assert (
        batch(
            "--max-tokens",
            "9",
            "--system",
            "Be brief.",
            "--metadata",
            "x-tenant=blue",
            "--formatter",
            "chatml",
        )
        == 0
    )
    assert all("Be brief." in request.prompt for request in server.requests)
    assert {request.inputs["max_tokens"] for request in server.requests} == {9}
    assert {request.model for request in server.requests} == {"smollm2.streaming", "gpt.streaming"}
    assert all(request.metadata["x-tenant"] == "blue" for request in server.requests)


def test_a_plain_prompt_is_a_message_on_wish(batch, files, server):
    files.write(plain(1))
    assert batch("--chat") == 0
    assert "<|im_start|>user\nprompt 1<|im_end|>" in server.requests[0].prompt


@pytest.mark.model
def test_the_embedded_server_answers_where_nothing_else_does(main, files, default_url, capsys):
    files.write(plain(1), chat(2, model="smollm2"))
    assert main("batch", str(files.input), str(files.output), "--max-tokens", "3") == 0
    assert [row["error"] for row in files.read()] == [None, None]


# --- processes


@pytest.mark.slow
def test_stdin_to_stdout(server):
    server.reply = echo
    lines = "".join(json.dumps(plain(number)) + "\r\n" for number in range(50)).encode()
    done = run_cli("batch", "-", "-", "--url", server.url, stdin=b"\xef\xbb\xbf" + lines)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(row["id"] for row in rows) == list(range(50))
    assert done.stderr.startswith("50 done · 0 failed")


@pytest.mark.slow
def test_stdout_cannot_be_gone_on_with(server):
    done = run_cli("batch", "-", "-", "--url", server.url, "--resume")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--resume must be with an output that is a file" in done.stderr


@pytest.mark.slow
@posix
def test_a_reader_that_goes_away_is_no_error(server, files):
    server.reply = echo
    files.write(*(plain(number) for number in range(3000)))
    with cli_program("batch", str(files.input), "-", "--url", server.url) as program:
        program.stdout.wait_for("\n")
    command = " ".join([*CLI, "batch", str(files.input), "-", "--url", server.url, "| head -n 2"])
    assert (
        os.waitstatus_to_exitcode(os.system(f"cd {Path(__file__).parents[2]} && ({command}) > /dev/null"))
        == 0
    )


class Held:
    """A server that answers the first lines, and holds the others until it is told to go on."""

    def __init__(self, server, answered):
        self.go_on = threading.Event()
        self._answered = answered
        server.reply = self._reply

    def _reply(self, request):
        if int(number_in(request)) >= self._answered:
            self.go_on.wait(PATIENCE)
        return echo(request)


@pytest.fixture
def held(server, files):
    files.write(*(plain(number) for number in range(100)))
    held = Held(server, 10)
    yield held
    held.go_on.set()


def start(server, files, *options):
    return cli_program(
        "batch", str(files.input), str(files.output), "--url", server.url, "--concurrency", "4", *options
    )


def finish(batch, files):
    assert batch("--resume") == 0
    assert sorted(row["id"] for row in files.read()) == list(range(100))


@pytest.mark.slow
@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_waits_for_what_runs(batch, server, files, held, number):
    with start(server, files, "--quiet") as program:
        server.wait_for_requests(14, timeout=PATIENCE)
        program.process.send_signal(number)
        program.stderr.wait_for("waiting up to 30 s for what runs; Ctrl-C again cancels it\n")
        held.go_on.set()
        assert program.wait() == 130
        assert "the same command with --resume goes on" in program.stderr.text
    assert sorted(row["id"] for row in files.read()) == list(range(14))
    assert files.state.exists()
    server.reply = echo
    server.clear()
    finish(batch, files)
    assert len(server.requests) == 86


@pytest.mark.slow
@posix
def test_the_second_signal_cancels_what_runs(batch, server, files, held):
    with start(server, files) as program:
        server.wait_for_requests(14, timeout=PATIENCE)
        program.process.send_signal(signal.SIGINT)
        program.stderr.wait_for("Ctrl-C again cancels it")
        assert program.interrupt()[0] == 130
        assert "the same command with --resume goes on" in program.stderr.text
        assert "Traceback" not in program.stderr.text
    assert sorted(row["id"] for row in files.read()) == list(range(10))
    held.go_on.set()
    server.reply = echo
    finish(batch, files)


@pytest.mark.slow
@posix
def test_what_runs_is_waited_for_so_long_and_no_longer(batch, server, files, held):
    with start(server, files, "--grace", "0.2") as program:
        server.wait_for_requests(14, timeout=PATIENCE)
        assert program.interrupt()[0] == 130
    held.go_on.set()  # the server sees a cancellation when its model says something
    server.wait_for_cancellation(4, timeout=PATIENCE)
    assert sorted(row["id"] for row in files.read()) == list(range(10))


@pytest.mark.slow
@posix
def test_a_signal_while_stdin_says_nothing(server):
    server.reply = echo
    read, write = os.pipe()
    try:
        with cli_program("batch", "-", "-", "--url", server.url, stdin=read) as program:
            os.write(write, json.dumps(plain(1)).encode() + b"\n")
            program.stdout.wait_for("answer to 1")
            assert program.interrupt()[0] == 130
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.slow
@posix
def test_a_terminal_shows_the_progress(server, files, held):
    command = [*CLI, "batch", str(files.input), str(files.output), "--url", server.url, "--concurrency", "4"]
    with Terminal(command) as terminal:
        terminal.screen.wait_for("10 done · ")
        terminal.screen.wait_for("lines/s")
        terminal.type("\x03")
        terminal.screen.wait_for("waiting up to 30 s")
        held.go_on.set()
        assert terminal.wait() == 130
        assert "14 done · 0 failed" in terminal.screen.text
