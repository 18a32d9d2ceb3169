"""`nupic-client prompt`: what a model reads, made visible."""

import io
import json
import sys

import pytest
from cli.processes import CLI, Terminal, run_cli

from nupic_client import default_registry, get_prompt_formatter, user
from nupic_client.cli.prompt import made_visible
from nupic_client.prompts import ALIASES, FAMILIES

posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")

TALK = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Bye"},
]


@pytest.fixture
def shown(main, capfdbinary):
    """Run the command; return its code, stdout and stderr."""

    def shown(*arguments):
        code = main("prompt", *arguments)
        said = capfdbinary.readouterr()
        return code, said.out.decode("utf-8", "surrogateescape"), said.err.decode()

    return shown


def test_control_tokens_newlines_and_blanks_are_visible(shown):
    code, out, err = shown("--family", "llama3", "Hello")
    assert code == 0
    assert out == (
        "⟦<|begin_of_text|>⟧⟦<|start_header_id|>⟧user⟦<|end_header_id|>⟧⏎\n⏎\n"
        "Hello⟦<|eot_id|>⟧⟦<|start_header_id|>⟧assistant⟦<|end_header_id|>⟧⏎\n⏎\n"
    )
    assert err == (
        "family llama-3-instruct · all contents are trimmed\n"
        'stop strings: "<|eot_id|>", "<|end_of_text|>"\n'
        "the client leaves out the <|begin_of_text|> at the beginning: servers put it there\n"
    )


def test_markers_at_the_start_of_a_line(shown):
    _, out, err = shown("--family", "falcon", "Hello User:")
    assert out == "⏎\n⏎\n⟦User:⟧ Hello User:⏎\n⏎\n⟦Assistant:⟧\n"
    assert r'stop strings: "<|endoftext|>", "\nUser:"' in err


def test_a_blank_at_the_end_of_a_line_is_visible():
    assert made_visible("a  \nb ", (), styled=False) == "a␠␠⏎\nb␠"
    assert made_visible("a \nb", (), styled=True) == "a\033[2m␠\033[0m\033[2m⏎\033[0m\nb"


def test_what_could_steer_a_terminal_is_not_printed():
    assert made_visible("\033[2J\t<s>", ("<s>",), styled=False) == "␛[2J␉⟦<s>⟧"


def test_the_longest_token_wins():
    assert made_visible("<s><ss>", ("<s>", "<ss>", "", "\n"), styled=False) == "⟦<s>⟧⟦<ss>⟧"


def test_a_family_without_tokens(shown):
    assert shown("--family", "plain", "Hello") == (
        *(0, "Hello\n", f"family plain · {FAMILIES['plain'].description}\nstop strings: none\n"),
    )


@pytest.mark.parametrize("family", [*FAMILIES, *ALIASES])
def test_raw_is_the_prompt_and_nothing_else(main, capsys, family):
    assert main("prompt", "--family", family, "--raw", "Why?") == 0
    assert capsys.readouterr() == (get_prompt_formatter(family)("Why?"), "")


def test_the_default_model_and_its_system_prompt(shown):
    code, out, _ = shown("--raw", "Hello", "you")
    assert (code, out) == (0, default_registry()["smollm2"].formatter([user("Hello you")]))
    assert "You are a helpful assistant." in out


def test_a_model_by_its_name(shown):
    assert shown("--model", "zephyr-7b-beta", "--raw", "Hi")[1] == FAMILIES["zephyr"]("Hi")


def test_a_system_prompt(shown):
    prompt = FAMILIES["chatml"]("Hi", system="Be brief.")
    assert shown("--family", "chatml", "--system", "Be brief.", "--raw", "Hi")[1] == prompt


def test_without_a_generation_prompt(shown):
    _, out, _ = shown("--family", "chatml", "--no-generation-prompt", "--raw", "Hi")
    assert out == "<|im_start|>user\nHi<|im_end|>\n"


def test_without_the_token_of_the_beginning(shown):
    _, out, err = shown("--family", "mistral", "--no-bos", "Hi")
    assert out == "⟦[INST]⟧ Hi⟦[/INST]⟧\n"
    assert "leaves out" not in err


def test_a_model_whose_server_wants_it_gets_no_remark(shown, tmp_path, monkeypatch):
    file = tmp_path / "models.toml"
    file.write_text('[models.bot]\nfamily = "mistral"\nbos = "keep"\n')
    monkeypatch.setenv("NUPIC_MODELS", str(file))
    _, out, err = shown("--model", "bot", "Hi")
    assert out.startswith("⟦<s>⟧")
    assert "leaves out" not in err


def test_messages_from_a_file(shown, tmp_path):
    file = tmp_path / "talk.json"
    file.write_text(json.dumps(TALK))
    assert shown("--family", "zephyr", "--messages", str(file), "--raw")[1] == FAMILIES["zephyr"](TALK)
    with_system = FAMILIES["zephyr"](TALK, system="Be brief.")
    options = ("--family", "zephyr", "--messages", str(file), "--system", "Be brief.", "--raw")
    assert shown(*options)[1] == with_system


def test_a_conversation_that_chat_saved(shown, tmp_path):
    file = tmp_path / "talk.json"
    file.write_text(json.dumps({"version": 1, "model": "x", "system": "Be brief.", "messages": TALK}))
    prompt = FAMILIES["zephyr"](TALK, system="Be brief.")
    assert shown("--family", "zephyr", "--messages", str(file), "--raw")[1] == prompt
    file.write_text(json.dumps({"version": 1, "model": "x", "system": None, "messages": TALK}))
    assert shown("--family", "zephyr", "--messages", str(file), "--raw")[1] == FAMILIES["zephyr"](TALK)


def test_messages_and_texts_from_stdin(shown, typed):
    typed(json.dumps(TALK).encode())
    assert shown("--family", "zephyr", "--messages", "-", "--raw")[1] == FAMILIES["zephyr"](TALK)
    typed("Grüß dich\n".encode())
    assert shown("--family", "zephyr", "--raw", "-")[1] == FAMILIES["zephyr"]("Grüß dich")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "--messages must be JSON, and"),
        ('"Hi"', "must be a list of"),
        ("{}", "must be a list of"),
        ("[]", "at least one message"),
        ('[{"role": "user"}]', "must have the keys"),
        ('{"messages": 5}', "must be a list of"),
        ('{"messages": [], "system": 5}', "content"),
        (b"\xff", "must be"),
    ],
)
@pytest.mark.parametrize("source", ["file", "stdin"])
def test_messages_that_are_none(shown, typed, tmp_path, content, words, source):
    content = content if isinstance(content, bytes) else content.encode()
    file = tmp_path / "talk.json"
    file.write_bytes(content)
    typed(content)
    code, out, err = shown("--messages", str(file) if source == "file" else "-")
    assert (code, out) == (2, "")
    assert words in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "a text or --messages must be given"),
        (["--messages", "talk.json", "Hi"], "--messages must not be given with a text"),
        (["--messages", "no-such-file.json"], "--messages: cannot read 'no-such-file.json': No such file"),
        (["--family", "lama3", "Hi"], "did you mean"),
        (["--model", "gpt.streaming", "Hi"], "give --family, --list shows all"),
        (["--family", "gemma", "--system", "x", "Hi"], "no system message"),
        (["<|im_end|>"], "render verbatim with --allow-control-tokens"),
    ],
)
def test_what_cannot_be_shown(shown, arguments, words):
    code, out, err = shown(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("nupic-client: error: ")
    assert words in err


def test_two_system_messages(shown, tmp_path):
    file = tmp_path / "talk.json"
    file.write_text(json.dumps([{"role": "system", "content": "A"}, *TALK]))
    code, _, err = shown("--messages", str(file), "--system", "B")
    assert code == 2
    assert "--system must not be given" in err


def test_control_tokens_may_be_allowed(shown):
    code, out, _ = shown("--family", "chatml", "--allow-control-tokens", "<|im_end|>")
    assert code == 0
    assert out.startswith("⟦<|im_start|>⟧user⏎\n⟦<|im_end|>⟧⟦<|im_end|>⟧⏎\n")


def test_the_list_names_every_family_and_alias(shown):
    code, out, err = shown("--list")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [row[0] for row in rows] == list(FAMILIES)
    assert {word.strip(",") for row in rows for word in row} >= set(ALIASES)


@posix
def test_arguments_that_are_not_text_are_written_as_they_came():
    finished = run_cli("prompt", "--raw", "--family", "plain", "Gr\udcfc\udcdf", PYTHONUTF8="1", binary=True)
    assert finished.stdout == b"Gr\xfc\xdf"
    assert finished.returncode == 0


def test_a_stdout_without_bytes(main, monkeypatch):
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    assert main("prompt", "--raw", "--family", "plain", "Hi") == 0
    assert stdout.getvalue() == "Hi"


@posix
@pytest.mark.parametrize(("changes", "styled"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_tokens_are_in_reverse_on_a_terminal(changes, styled):
    command = [*CLI, "prompt", "--family", "zephyr", "Hi"]
    with Terminal(command, **{"TERM": "xterm", "NO_COLOR": "", **changes}) as terminal:
        assert terminal.wait() == 0
    expected = "\033[7m<|user|>\033[0m\033[2m⏎\033[0m\nHi" if styled else "⟦<|user|>⟧⏎\nHi"
    assert terminal.screen.text.startswith(expected)


def test_raw_ends_without_a_newline_of_its_own():
    finished = run_cli("prompt", "--family", "plain", "--raw", "Hi")
    assert (finished.stdout, finished.stderr) == ("Hi", "")
