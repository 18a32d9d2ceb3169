"""`nupic-client generate`: what goes to the server, what comes out, and where."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cli.processes import CLI, PATIENCE, SUMMARY, cli_program, environment, run_cli

from nupic_client.testing import Reply, fail, silence

pytestmark = pytest.mark.slow

FULL = Path("/dev/full")
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of POSIX")

CHATML = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n"
)


def test_prints_the_text_alone_on_stdout_and_the_figures_on_stderr(server):
    finished = run_cli("generate", "--url", server.url, "Hi", "there")
    assert finished.stdout == "Hello, world!\n"
    assert SUMMARY.fullmatch(finished.stderr)
    assert finished.stderr.endswith("· 4 tokens · stop\n")
    assert finished.returncode == 0
    assert server.requests[0].prompt == CHATML


@posix
def test_text_appears_as_it_is_generated(server):
    release = threading.Event()

    def reply(_request):
        yield "first"
        release.wait(30)
        yield " second"

    server.reply = reply
    with cli_program("generate", "--url", server.url, "Hi") as program:
        try:
            assert program.stdout.wait_for("first") == "first"
        finally:
            release.set()
        assert program.wait() == 0
        assert program.stdout.text == "first second\n"


def test_a_text_that_ends_with_a_newline_gets_no_second_one(server):
    server.reply = ["Hello\n"]
    finished = run_cli("generate", "--url", server.url, "Hi")
    assert finished.stdout == "Hello\n"
    assert finished.stderr.endswith("· 1 token · stop\n")


def test_an_empty_answer_prints_nothing(server):
    server.reply = []
    finished = run_cli("generate", "--url", server.url, "Hi")
    assert finished.stdout == ""
    assert finished.returncode == 0


def test_quiet_leaves_stderr_empty(server):
    finished = run_cli("generate", "--url", server.url, "--quiet", "Hi")
    assert (finished.stdout, finished.stderr) == ("Hello, world!\n", "")


@pytest.mark.parametrize(
    ("options", "prompt"),
    [
        (["--raw"], "Hi there"),
        (["--model", "gpt.streaming"], "Hi there"),
        (["--model", "gpt.streaming", "--formatter", "chatml"], CHATML[CHATML.index("<|im_start|>user") :]),
        (["--system", "Be brief."], CHATML.replace("You are a helpful assistant.", "Be brief.")),
        (
            ["--model", "gpt.streaming", "--formatter", "chatml", "--system", "You are a helpful assistant."],
            CHATML,
        ),
    ],
)
def test_a_prompt_is_written_as_the_model_wants_it(main, server, options, prompt):
    assert main("generate", "--url", server.url, *options, "Hi there") == 0
    assert server.requests[0].prompt == prompt


def test_a_dash_stands_for_stdin(server):
    finished = run_cli("generate", "--url", server.url, "-", stdin=b"Hi there\n")
    assert finished.returncode == 0
    assert server.requests[0].prompt == CHATML


def test_stdin_can_be_a_part_of_the_prompt_and_raw_keeps_its_newline(server):
    run_cli("generate", "--url", server.url, "--raw", "Translate:", "-", stdin="grüezi\n".encode())
    assert server.requests[0].prompt == "Translate: grüezi\n"


def test_the_options_reach_the_server(main, server):
    arguments = [
        "--max-tokens",
        "2",
        "--temperature",
        "0.5",
        "--top-p",
        "0.9",
        "--top-k",
        "40",
        "--seed",
        "7",
    ]
    arguments += ["--repetition-penalty", "1.1", "--metadata", "x-team=red=1", "--metadata", "x-bin=ab"]
    assert main("generate", "--url", server.url, *arguments, "Hi") == 0
    request = server.requests[0]
    expected = {"max_tokens": 2, "top_k": 40, "seed": 7}
    assert {name: request.inputs[name] for name in expected} == expected
    assert request.inputs["temperature"] == pytest.approx(0.5)
    assert request.inputs["top_p"] == pytest.approx(0.9)
    assert request.inputs["repetition_penalty"] == pytest.approx(1.1)
    assert request.metadata["x-team"] == "red=1"
    assert request.metadata["x-bin"] == b"ab"


def test_several_stop_strings(main, server, capsys):
    assert main("generate", "--url", server.url, "--stop", "nothing", "--stop", "wor", "Hi") == 0
    assert capsys.readouterr().out == "Hello, \n"


def test_json_is_one_object_with_everything(server):
    server.reply = ["Grü", "ezi"]
    finished = run_cli("generate", "--url", server.url, "--json", "Hi")
    assert finished.stderr == ""
    assert finished.stdout.count("\n") == 1
    told = json.loads(finished.stdout)
    assert (told["text"], told["finish_reason"]) == ("Grüezi", "stop")
    assert told["usage"]["output_tokens"] == 2
    assert told["timing"]["time_to_first_token"] > 0
    assert (told["model"], [each["status"] for each in told["attempts"]]) == ("smollm2.streaming", ["OK"])
    assert told["request_id"] == server.requests[0].request_id


def test_the_environment_names_the_server(server):
    finished = run_cli("generate", "--quiet", "Hi", NUPIC_URL=server.url)
    assert finished.stdout == "Hello, world!\n"


def test_what_the_encoding_of_stdout_lacks_is_a_question_mark(server):
    server.reply = ["naïve 🙂"]
    finished = run_cli("generate", "--url", server.url, "--quiet", "Hi", PYTHONIOENCODING="ascii")
    assert (finished.stdout, finished.returncode) == ("na?ve ?\n", 0)


@posix
def test_ctrl_c_keeps_the_text_and_cancels_on_the_server(server):
    server.reply = ["Once", " upon", silence()]
    with cli_program("generate", "--url", server.url, "Hi") as program:
        program.stdout.wait_for("Once upon")
        code, seconds = program.interrupt()
        assert code == 130
        assert seconds < 2  # half a second on a machine with nothing else to do
        assert program.stdout.text == "Once upon\n"
        assert SUMMARY.fullmatch(program.stderr.text)
        assert "cancelled" in program.stderr.text
    assert server.wait_for_cancellation()[0].tokens_sent == 2


@posix
def test_ctrl_c_with_json_prints_what_had_arrived(server):
    taken = threading.Event()

    def reply(_request):
        # More than gRPC holds for a program that does not read: when all is taken, the program is reading.
        yield from ["Once " * 20_000] * 40
        taken.set()
        yield silence()

    server.reply = reply
    with cli_program("generate", "--url", server.url, "--json", "Hi") as program:
        assert taken.wait(PATIENCE)
        code, _ = program.interrupt()
        assert code == 130
        found = json.loads(program.stdout.text)
        assert (found["finish_reason"], found["text"][:10]) == ("cancelled", "Once Once ")
    server.wait_for_cancellation()


@posix
def test_ctrl_c_before_the_server_answers():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(30)
        with cli_program("generate", "--url", f"127.0.0.1:{mute.getsockname()[1]}", "Hi") as program:
            connection, _ = mute.accept()
            with connection:
                code, _ = program.interrupt()
                assert (code, program.stdout.text, program.stderr.text) == (130, "", "")


@posix
def test_a_reader_that_has_enough_ends_it_quietly(server):
    server.reply = Reply([f"{number}\n" for number in range(100_000)])
    with subprocess.Popen(
        [*CLI, "generate", "--url", server.url, "Hi"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0
    server.wait_for_cancellation()


@pytest.mark.skipif(not FULL.exists(), reason="no device that is full")
def test_a_stdout_that_is_full_is_an_error_with_its_trace(server):
    with FULL.open("w") as full:
        process = subprocess.run(
            [*CLI, "generate", "--url", server.url, "Hi"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            check=False,
        )
    assert b"No space left" in process.stderr
    assert process.returncode not in {0, 130}


def test_a_failure_in_the_middle_keeps_the_text(server):
    server.reply = ["Once", fail("the model ran out of ideas")]
    finished = run_cli("generate", "--url", server.url, "Hi")
    assert finished.stdout == "Once\n"
    assert finished.stderr.startswith("nupic-client: error: ")
    assert "the model ran out of ideas" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.returncode == 1
