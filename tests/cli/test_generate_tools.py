"""`nupic-client generate --tools`: calls that are run, and calls that are only shown."""

import json
import os
import sys

import pytest
from cli.processes import CLI, ROOT, Terminal, run_cli

from nupic_client.testing import silence

pytestmark = pytest.mark.slow
posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")

MODULE = '''
"""Tools for a test."""
from nupic_client import Tool


def weather(city: str) -> dict:
    """Tell the weather."""
    print("looking")
    return {"city": city, "degrees": 21.5}


bare = Tool("bare")
'''
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Zürich"}}\n</tool_call>'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my_tools.py").write_text(MODULE)
    return tmp_path


@pytest.fixture
def generate(server, folder):
    """Generate in the folder with the module, with a pipe on stdin."""

    def generate(*arguments, tools="my_tools:weather", stdin=b""):
        return run_cli(
            *("generate", "--url", server.url, "--tools", tools, *arguments), stdin=stdin, cwd=folder
        )

    return generate


@pytest.fixture
def script(server):
    """Let the server give answers one after the other."""

    def script(*answers):
        left = [*answers]
        server.reply = lambda _request: left.pop(0)

    return script


def test_a_call_is_run_and_stdout_has_the_text_alone(generate, script, server):
    script(["Let me see.", "\n", CALL], ["It is warm."])
    finished = generate("--yes-tools", "The weather?", "--system", "Be brief.")
    assert (finished.returncode, finished.stdout) == (0, "Let me see.\nIt is warm.\n")
    assert finished.stderr.startswith('running weather {"city": "Zürich"}\nlooking\n')
    assert '"degrees": 21.5' in server.requests[1].prompt
    assert all("Be brief." in request.prompt for request in server.requests)


def test_json_has_the_calls_that_were_run_and_their_results(generate, script):
    script(["Let me see.\n", CALL], ["It is warm."])
    finished = generate("--yes-tools", "--json", "--quiet", "The weather?")
    answer = json.loads(finished.stdout)
    assert (answer["text"], answer["tool_calls"]) == ("It is warm.", [])
    calling, result = answer["messages"]
    assert calling["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Zürich"}'}
    assert (result["role"], json.loads(result["content"])["degrees"]) == ("tool", 21.5)


def test_a_call_is_printed_and_nothing_is_run(generate, script, server):
    script(["Let me see.", "\n", CALL, "\n", CALL.replace("weather", "bare")])
    finished = generate(
        "--no-run-tools", "--quiet", stdin=b"The weather?", tools="my_tools:weather,my_tools:bare"
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == (
        'Let me see.\n{"name": "weather", "arguments": {"city": "Zürich"}}\n'
        '{"name": "bare", "arguments": {"city": "Zürich"}}\n'
    )
    assert len(server.requests) == 1


def test_json_has_the_calls_that_were_not_run(generate, script):
    script([CALL])
    answer = json.loads(generate("--no-run-tools", "--json", "The weather?").stdout)
    (call,) = answer["tool_calls"]
    assert (call["name"], json.loads(call["arguments"])) == ("weather", {"city": "Zürich"})
    assert answer["messages"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "without asking, or --no-run-tools to see the calls"),
        (["--yes-tools", "--no-run-tools"], "--no-run-tools must not be given with --yes-tools"),
        (["--yes-tools", "--raw"], "--raw must not be given with --system, --formatter, --image or --tools"),
        (["--yes-tools", "--json-schema", "x.json"], "--json-schema must not be given with --tools"),
        (
            ["--yes-tools", "--model", "gpt.streaming"],
            "the prompt format of model 'gpt.streaming' is not known",
        ),
    ],
)
def test_what_cannot_be(generate, server, arguments, words):
    finished = generate(*arguments, "Hi")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr.startswith("nupic-client: error: ")
    assert words in finished.stderr
    assert not server.requests


def test_options_of_tools_without_tools(server):
    finished = run_cli("generate", "--url", server.url, "--no-run-tools", "Hi")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert "--no-run-tools must be given with --tools, which names the functions" in finished.stderr


@posix
@pytest.mark.parametrize("answer", ["y", "n"])
def test_the_user_is_asked(server, folder, script, answer):
    script([CALL], ["It is warm."])
    command = [
        *CLI,
        "generate",
        "--url",
        server.url,
        "--quiet",
        "--tools",
        "my_tools:weather",
        "The weather?",
    ]
    with Terminal(command, PYTHONPATH=os.pathsep.join([str(ROOT), str(folder)])) as terminal:
        terminal.screen.wait_for('The model calls weather {"city": "Zürich"}\nRun it? [y/N] ')
        terminal.type(f"{answer}\n")
        terminal.screen.wait_for("It is warm.\n")
        assert terminal.wait() == 0
    assert ("looking" in terminal.screen.text) == (answer == "y")
    assert ("did not allow" in server.requests[1].prompt) == (answer == "n")


@posix
def test_ctrl_c_after_a_call_has_come_runs_nothing(server, folder, script):
    script([CALL, silence()])
    command = [
        *CLI,
        "generate",
        "--url",
        server.url,
        "--yes-tools",
        "--tools",
        "my_tools:weather",
        "The weather?",
    ]
    with Terminal(command, PYTHONPATH=os.pathsep.join([str(ROOT), str(folder)])) as terminal:
        server.wait_for_requests(timeout=30)
        terminal.type("\x03")
        assert terminal.wait() == 130
    assert "looking" not in terminal.screen.text
    assert "Traceback" not in terminal.screen.text
