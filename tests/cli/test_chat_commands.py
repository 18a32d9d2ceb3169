"""The commands of a chat: what they do, and what completes a line."""

import json
import os

import pytest

from nupic_client import StreamingClient
from nupic_client.cli.chat_commands import ALIASES, COMMANDS, HELP, completions
from nupic_client.cli.chat_session import ChatSession
from nupic_client.cli.program import parser
from nupic_client.testing import FakeTriton, fail, text_signature

START = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"


def turn(text, answer=None):
    turn = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    return turn if answer is None else f"{turn}{answer}<|im_end|>\n"


@pytest.fixture
def chat(main, server, typed, capsys):
    """Chat from a pipe in this process; return the exit code, stdout and stderr."""

    def chat(*lines, more=()):
        typed("\n".join(lines).encode())
        code = main("chat", "--url", server.url, "--quiet", *more)
        said = capsys.readouterr()
        return code, said.out, said.err

    return chat


def test_every_command_is_in_the_help():
    assert all(f"\n{command} " in f"\n{HELP}" for command in COMMANDS)
    assert all(line.isascii() and len(line) <= 80 for line in HELP.splitlines())
    assert set(ALIASES.values()) <= set(COMMANDS)


def test_a_command_that_was_nearly_written_right(chat, server):
    assert chat("/sytem") == (
        2,
        "",
        "nupic-client: error: there is no command /sytem: did you mean '/system'? /help lists them\n",
    )
    assert not server.requests


def test_names_that_others_have_for_commands(chat):
    code, _, err = chat("/?", "/bye", "Hi")
    assert (code, err) == (0, f"{HELP}\n")


def test_retry_asks_the_last_message_again(chat, server):
    replies = iter([["One"], ["Two"], [fail("out of ideas")]])
    server.reply = lambda _request: next(replies)
    code, out, err = chat("Hi", "/retry", "/retry")
    assert (code, out) == (1, "One\nTwo\n")
    assert "out of ideas" in err
    assert {request.prompt for request in server.requests} == {START + turn("Hi")}


def test_a_retry_that_fails_keeps_the_older_answer(server):
    replies = iter([["One"], [fail("out of ideas")]])
    server.reply = lambda _request: next(replies)
    arguments = parser().parse_args(["chat", "--url", server.url, "--quiet"])
    with StreamingClient("smollm2", url=server.url) as client:
        session = ChatSession(client, arguments, ())
        session.say("Hi")
        with pytest.raises(Exception, match="out of ideas"):
            session.retry()
        assert [message.text for message in session.conversation.messages] == ["Hi", "One"]


def test_there_may_be_nothing_to_retry(chat):
    assert chat("/retry")[2] == "nupic-client: error: there is no message to ask again\n"


def test_options_are_set_and_taken_back(chat, server):
    code, _, err = chat(
        *("/set temperature 0.25", "/set stop \\n\\n", "/set max-tokens", "Hi"),
        *("/set temperature default", "/set max_tokens 7", "/set", "Hi"),
        more=["--max-tokens", "5", "--temperature", "1"],
    )
    assert code == 0
    assert err.splitlines() == [
        *("temperature: 0.25", "stop: ␊␊", "max_tokens: 5", "temperature: the default", "max_tokens: 7"),
        "max_tokens 7; temperature default; stop ␊␊; reasoning hide; markdown off; stats off",
    ]
    first, second = (json.loads(json.dumps(request.inputs, default=str)) for request in server.requests)
    assert (first["temperature"], first["max_tokens"]) == (0.25, 5)
    assert second["max_tokens"] == 7
    assert "temperature" not in second


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "/set temprature 1",
            "there is no setting 'temprature': did you mean 'temperature'? the settings are",
        ),
        ("/set temperature hot", "temperature must be"),
        ("/set temperature -1", "temperature must be"),
        ("/set max_tokens 1.5", "max_tokens must be"),
        ("/set reasoning maybe", "reasoning must be show or hide, not 'maybe'"),
        ("/edit", "/edit must be used at a terminal"),
        ("/model gpt.streaming", "the prompt format of model 'gpt.streaming' is not known"),
    ],
)
def test_what_a_command_does_not_take(chat, line, words):
    code, _, err = chat(line)
    assert code == 2
    assert err.startswith(f"nupic-client: error: {words}")


def test_settings_of_the_chat(chat, server):
    code, _, err = chat("/set stats on", "Hi", "/set stats off", "Hi", "/stats")
    assert code == 0
    lines = err.splitlines()
    assert (lines[0], lines[2]) == ("stats: on", "stats: off")
    assert lines[3] == f"model     smollm2.streaming at {server.url}"
    assert lines[-2].startswith("chat      2 answers")
    assert lines[-1] == "messages  4"


def test_another_model_goes_on_with_the_conversation(main, typed, capsys):
    models = [text_signature(name) for name in ("smollm2.streaming", "zephyr-7b-beta.streaming")]
    with FakeTriton(models=models) as server:
        typed(b"Hi\n/model\n/model zephyr-7b-beta.streaming\nAnd?\n")
        assert main("chat", "--url", server.url, "--quiet") == 0
    err = capsys.readouterr().err
    assert err == (
        "model: smollm2.streaming; others here: zephyr-7b-beta.streaming\n"
        "model: zephyr-7b-beta.streaming; the conversation goes on with it\n"
    )
    assert server.requests[1].model == "zephyr-7b-beta.streaming"
    assert "Hello, world!</s>" in server.requests[1].prompt


def test_a_model_that_is_not_there_changes_nothing(main, typed, capsys, server):
    typed(b"/model nosuch.streaming\n")
    assert main("chat", "--url", server.url, "--formatter", "chatml") == 1
    assert (
        "the server has no model 'nosuch.streaming' that answers: the models that stream there are 'gpt"
        in (capsys.readouterr().err)
    )


def test_a_model_that_is_not_there_needs_no_formatter(main, typed, capsys, server):
    typed(b"/model nosuch\n")
    assert main("chat", "--url", server.url) == 1
    assert "the server has no model 'nosuch' that answers" in capsys.readouterr().err


def test_a_lora_adapter_and_a_backend_are_sent_to(main, server, capsys):
    assert main("generate", "--url", server.url, "--backend", "vlm", "Hi") == 2
    assert "--backend: there is no backend 'vlm': did you mean 'vllm'?" in capsys.readouterr().err
    assert main("generate", "--url", server.url, "--lora", "sql", "Hi") == 2
    assert "lora" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/s", ["/system", "/set", "/save", "/stats"]),
        ("/exit", ["/exit"]),
        ("hello /s", []),
        ("/model g", ["gpt.streaming"]),
        ("/model ", ["gpt.streaming", "smollm2.streaming"]),
        ("/set re", ["reasoning", "repetition_penalty"]),
        ("/set reasoning ", ["show", "hide"]),
        ("/set temperature d", ["default"]),
        ("/system /s", []),
        ("/s\n/s", []),
    ],
)
def test_lines_are_completed(line, words):
    assert completions(line, lambda: ["gpt.streaming", "smollm2.streaming"]) == words


def test_a_name_that_controls_a_terminal_completes_nothing():
    assert completions("/model ", lambda: ["a\x1b[31m", "b\u202e", "c"]) == ["c"]


def test_files_are_completed(tmp_path, monkeypatch):
    (tmp_path / "talk.json").touch()
    (tmp_path / "talks").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    here = f"{tmp_path}{os.sep}talk"
    assert completions(f"/load {here}", list) == [f"{here}.json", f"{here}s{os.sep}"]
    assert completions("/save ~/talk", list) == ["~/talk.json", f"~/talks{os.sep}"]
    assert completions("/save nothing-here", list) == []
