"""`nupic-client chat --tools`: what is run, what is asked, and what the model and the user are told."""

import json
import os
import subprocess
import sys

import pytest
from cli.processes import CLI, ROOT, Terminal, cli_program, run_cli

from nupic_client.local.engine import GUIDE_INPUTS
from nupic_client.testing import FakeTriton, competent_model, silence, text_signature

pytestmark = pytest.mark.slow
posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals and signals of POSIX")

MODULE = '''
"""Tools for a test."""
import time
from nupic_client import Tool


def weather(city: str) -> dict:
    """Tell the weather."""
    print("looking")
    return {"city": city, "degrees": 21.5}


def broken(city: str) -> str:
    """Fail."""
    raise LookupError(f"no {city}\\x1b]0;title\\x07")


def slow() -> str:
    """Take long."""
    print("\\nworking", flush=True)
    time.sleep(600)


async def later() -> str:
    """Come later."""


class Home:
    @staticmethod
    def light(on: bool) -> str:
        """Switch the light."""
        return f"on: {on}"


bare = Tool("bare")
number = 5
'''


def called(name="weather", **arguments):
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


class Script:
    """Answers, one after the other; the last one stays."""

    def __init__(self, *answers):
        self.left = list(answers)

    def __call__(self, _request):
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


@pytest.fixture
def server():
    with FakeTriton(models=[text_signature("smollm2.streaming"), text_signature("gpt.streaming")]) as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my_tools.py").write_text(MODULE)
    (tmp_path / "needs_more.py").write_text("import no_such_library\n")
    (tmp_path / "fails.py").write_text("1 / 0\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(0)\n")
    return tmp_path


@pytest.fixture
def chat(server, folder):
    """Chat from a pipe, in the folder with the modules."""

    def chat(lines, *arguments):
        return run_cli("chat", "--url", server.url, *arguments, stdin=lines.encode(), cwd=folder)

    return chat


@pytest.fixture
def terminal(server, folder):
    """Chat on a terminal."""
    path = os.pathsep.join([str(ROOT), str(folder)])

    def terminal(*arguments, **options):
        command = [
            *CLI,
            "chat",
            "--url",
            server.url,
            "--tools",
            "my_tools:weather,my_tools:broken,my_tools:slow",
        ]
        return Terminal([*command, *arguments], PYTHONPATH=path, **options)

    return terminal


def ready(terminal):
    """Wait until the next line can be typed, however often Ctrl-C was pressed."""
    assert terminal.screen.wait_until(lambda text: text.endswith(">>> ")), terminal.screen.text


def test_a_tool_of_the_current_folder_runs_and_stdout_has_the_answer_alone(chat, server):
    server.reply = Script(["Let me see.", "\n", called(city="Paris")], ["It is warm."])
    finished = chat("The weather?\n", "--tools", "my_tools:weather", "--yes-tools")
    assert finished.returncode == 0
    assert finished.stdout == "Let me see.\nIt is warm.\n"
    assert 'running weather {"city": "Paris"}\nlooking\n' in finished.stderr
    assert '"degrees": 21.5' in server.requests[1].prompt


def test_quiet_says_nothing_of_calls(chat, server):
    server.reply = Script([called("light", on=True)], ["Done."])
    finished = chat("Light!\n", "--tools", "my_tools:Home.light", "--yes-tools", "--quiet")
    assert (finished.stdout, finished.stderr) == ("Done.\n", "")
    assert "on: True" in server.requests[1].prompt


def test_a_tool_that_raises_is_told_to_the_model_and_the_user(chat, server):
    server.reply = Script([called("broken", city="Rome")], ["Sorry."])
    finished = chat("And?\n", "--tools", "my_tools:weather,my_tools:broken", "--yes-tools", "--quiet")
    assert (finished.returncode, finished.stdout) == (0, "Sorry.\n")
    assert finished.stderr == "broken: Error: LookupError: no Rome␛]0;title␇\n"
    assert "Error: LookupError: no Rome" in server.requests[1].prompt


def test_calls_that_cannot_run_are_told_to_the_model(chat, server):
    server.reply = Script([called("wether", city="Rome")], [called("weather", town="Rome")], ["Sorry."])
    finished = chat("And?\n", "--tools", "my_tools:weather", "--yes-tools", "--quiet")
    assert finished.returncode == 0
    assert "there is no tool 'wether': did you mean 'weather'" in server.requests[1].prompt
    assert "Error: ValueError" in server.requests[2].prompt


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ("my_tools", "--tools must be like module:function, not 'my_tools'"),
        ("my_tools:weather,", "--tools must be like module:function, not ''"),
        ("../my_tools:weather", "--tools must be like module:function, not '../my_tools:weather'"),
        ("no_such_module:f", "there is no module 'no_such_module'"),
        ("my_tools.inner:f", "there is no module 'my_tools.inner'"),
        ("needs_more:f", "module 'needs_more' cannot be imported: it needs 'no_such_library'"),
        ("fails:f", "module 'fails' cannot be imported: ZeroDivisionError: division by zero"),
        ("leaves:f", "module 'leaves' cannot be imported: SystemExit"),
        ("my_tools:wether", "there is no 'wether' in module 'my_tools': did you mean 'weather'?"),
        ("my_tools:number", "--tools: tool 0: it must be a Tool, a function"),
        ("my_tools:later", "tool 'later' must be a plain function, not an async one"),
        ("my_tools:bare", "tool 'bare' must have a function"),
        ("my_tools:weather,my_tools:weather", "must have different names, not 'weather' twice"),
    ],
)
def test_wrong_tools_are_errors_before_anything_is_sent(chat, server, tools, words):
    finished = chat("Hi\n", "--tools", tools, "--yes-tools")
    assert finished.returncode == 2
    assert finished.stderr.startswith("nupic-client: error: --tools")
    assert words in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not server.requests


def test_without_a_terminal_nobody_can_be_asked(chat, server):
    finished = chat("Hi\n", "--tools", "my_tools:weather")
    assert finished.returncode == 2
    assert finished.stderr == (
        "nupic-client: error: --tools must be used at a terminal, where you are asked before one runs: give --yes-tools"
        " to run them without asking\n"
    )
    assert not server.requests


def test_yes_without_tools(chat):
    finished = chat("Hi\n", "--yes-tools")
    assert finished.returncode == 2
    assert "--yes-tools must be given with --tools" in finished.stderr


def test_a_family_whose_calls_are_not_known(chat, server):
    arguments = ["--model", "gpt.streaming", "--formatter", "zephyr", "--tools", "my_tools:weather"]
    finished = chat("Hi\n", *arguments, "--yes-tools")
    assert finished.returncode == 2
    assert "--tools cannot be used with " in finished.stderr
    assert not server.requests


@posix
def test_yes_runs_a_tool_and_everything_else_does_not(terminal, server):
    server.reply = Script(
        [called(city="Paris")],
        ["Warm."],
        [called(city="Rome")],
        ["Well."],
        [called(city="Oslo")],
        ["Then not."],
    )
    with terminal("--quiet") as screen_of:
        screen = screen_of.screen
        for number, (answer, words) in enumerate(
            [("y\n", "Warm."), ("no\n", "Well."), ("\x04", "Then not.")], 1
        ):
            screen.wait_for(">>> ", count=number)
            screen_of.type("The weather?\n")
            screen.wait_for("Run it? [y/N] ", count=number)
            screen_of.type(answer)
            screen.wait_for(words)
        screen.wait_for(">>> ", count=4)
        screen_of.type("/exit\n")
        assert screen_of.wait() == 0
    assert 'The model calls weather {"city": "Paris"}\n' in screen.text
    assert screen.text.count("looking") == 1
    prompts = [request.prompt for request in server.requests]
    assert '"degrees": 21.5' in prompts[1]
    assert "the user did not allow this call" not in prompts[1]
    assert prompts[3].count("the user did not allow this call") == 1
    assert prompts[5].count("the user did not allow this call") == 2


@posix
def test_a_call_cannot_control_the_terminal_or_hide_what_it_does(terminal, server):
    server.reply = Script([called(city="Paris\x1b[2J\r\n\u202e\x9b1mfake? [y/N]")], ["Well."])
    with terminal() as screen_of:
        screen_of.screen.wait_for(">>> ")
        screen_of.type("The weather?\n")
        screen_of.screen.wait_for("Run it? [y/N] ")
        screen_of.type("\n")
        screen_of.screen.wait_for("Well.")
        screen_of.screen.wait_for(">>> ", count=2)
        screen_of.type("\x04")
        assert screen_of.wait() == 0
    text = screen_of.screen.text
    assert "Paris\\u001b[2J\\r\\n\\u202e\\x9b1mfake? [y/N]" in text
    assert not {"\x1b", "\u202e", "\x9b"} & set(text)


@posix
def test_what_was_typed_before_the_question_allows_nothing(terminal, server):
    server.reply = Script([called(city="Paris")], ["Well."])
    with terminal() as screen_of:
        screen_of.screen.wait_for(">>> ")
        screen_of.type("The weather?\ny\n")
        screen_of.screen.wait_for("Run it? [y/N] ")
        assert not screen_of.screen.has("looking", 1.0)
        screen_of.type("n\n")
        screen_of.screen.wait_for("Well.")
        screen_of.screen.wait_for(">>> ", count=2)
        screen_of.type("\x04")
        assert screen_of.wait() == 0
    assert "the user did not allow this call" in server.requests[1].prompt


@posix
def test_ctrl_c_in_the_question_forgets_the_message(terminal, server):
    server.reply = Script([called(city="Paris")], ["Hello."])
    with terminal() as screen_of:
        ready(screen_of)
        screen_of.type("The weather?\n")
        screen_of.screen.wait_for("Run it? [y/N] ")
        screen_of.press_until("\x03", "stopped; the message is forgotten")
        ready(screen_of)
        screen_of.type("Hi\n")
        screen_of.screen.wait_for("Hello.")
        ready(screen_of)
        screen_of.type("/exit\n")
        assert screen_of.wait() == 0
    assert len(server.requests) == 2
    assert "The weather?" not in server.requests[1].prompt
    assert "Traceback" not in screen_of.screen.text


@posix
def test_ctrl_c_while_a_tool_runs_forgets_the_message(terminal, server):
    server.reply = Script([called("slow")], ["Hello."])
    with terminal("--yes-tools") as screen_of:
        ready(screen_of)
        screen_of.type("Wait\n")
        screen_of.screen.wait_for("\nworking\n")
        screen_of.press_until("\x03", "stopped; the message is forgotten")
        ready(screen_of)
        screen_of.type("Hi\n")
        screen_of.screen.wait_for("Hello.")
        ready(screen_of)
        screen_of.type("/exit\n")
        assert screen_of.wait() == 0
    assert "Wait" not in server.requests[1].prompt
    assert "Traceback" not in screen_of.screen.text


@posix
def test_ctrl_c_while_a_tool_runs_ends_a_pipe(server, folder):
    server.reply = Script([called("slow")], ["Hello."])
    options = ["--tools", "my_tools:slow", "--yes-tools"]
    with cli_program("chat", "--url", server.url, *options, stdin=subprocess.PIPE, cwd=folder) as program:
        program.process.stdin.write(b"Wait\nHi\n")
        program.process.stdin.flush()
        program.stderr.wait_for("\nworking\n")
        assert program.interrupt()[0] == 130
        assert "Traceback" not in program.stderr.text
    assert len(server.requests) == 1


@posix
def test_ctrl_c_after_a_call_has_come_forgets_the_message_and_keeps_a_text(terminal, server):
    server.reply = Script([called(city="Paris"), silence()], ["Once", " upon", silence()], ["Hello."])
    with terminal("--yes-tools") as screen_of:
        ready(screen_of)
        screen_of.type("The weather?\n")
        server.wait_for_requests(timeout=30)
        screen_of.press_until("\x03", "stopped; the message is forgotten")
        ready(screen_of)
        screen_of.type("A story\n")
        screen_of.screen.wait_for("Once upon")
        screen_of.type("\x03")
        screen_of.screen.wait_for("cancelled\n")
        ready(screen_of)
        screen_of.type("Hi\n")
        screen_of.screen.wait_for("Hello.")
        ready(screen_of)
        screen_of.type("\x04")
        assert screen_of.wait() == 0
    assert "looking" not in screen_of.screen.text
    assert "The weather?" not in server.requests[2].prompt
    assert "Once upon" in server.requests[2].prompt


@posix
def test_a_question_is_seen_where_stdout_is_a_file(terminal, server, tmp_path):
    server.reply = Script([called(city="Paris")], ["Warm."])
    answers = tmp_path / "answers.txt"
    with answers.open("wb") as stdout, terminal("--quiet", stdout=stdout) as screen_of:
        screen_of.screen.wait_for(">>> ")
        screen_of.type("The weather?\n")
        screen_of.screen.wait_for('The model calls weather {"city": "Paris"}\nRun it? [y/N] ')
        screen_of.type("y\n")
        screen_of.screen.wait_for(">>> ", count=2)
        screen_of.type("\x04")
        assert screen_of.wait() == 0
    assert answers.read_text() == "Warm.\n"


@pytest.mark.parametrize("choice", ["required", "weather"])
def test_a_call_that_must_come_needs_a_server_that_enforces_it(chat, server, choice):
    finished = chat("Hi\n", "--tools", "my_tools:weather", "--yes-tools", "--tool-choice", choice)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert "the server cannot enforce it" in finished.stderr
    with FakeTriton(
        competent_model(), models=[text_signature("smollm2.streaming", extra_inputs=GUIDE_INPUTS)]
    ) as able:
        finished = chat(
            *("Hi\n", "--url", able.url, "--tools", "my_tools:weather", "--yes-tools"),
            *("--formatter", "qwen2.5", "--tool-choice", choice),
        )
        assert finished.returncode == 0
        assert "running weather " in finished.stderr


def test_tools_may_be_left_out_of_a_message(chat, server):
    finished = chat("Hi\n", "--tools", "my_tools:weather", "--yes-tools", "--quiet", "--tool-choice", "none")
    assert (finished.returncode, finished.stdout) == (0, "Hello, world!\n")
    assert '"name": "weather"' not in server.requests[0].prompt


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tool-choice", "auto"], "--tool-choice must be given with --tools, which names the functions"),
        (
            ["--tools", "my_tools:weather", "--yes-tools", "--tool-choice", "wether"],
            "--tool-choice 'wether' must be the name of a tool: did you mean 'weather'?",
        ),
    ],
)
def test_a_choice_that_there_is_not(chat, server, arguments, words):
    finished = chat("Hi\n", *arguments)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert words in finished.stderr
    assert not server.requests


def test_a_tool_that_is_not_there_is_told_to_the_user_too(chat, server):
    server.reply = Script([called("wether")], ["Fine."])
    finished = chat("Hi\n", "--tools", "my_tools:weather", "--yes-tools", "--quiet")
    assert finished.stderr == "wether: Error: there is no such tool, and the model is told\n"
