"""The scripts that complete words (U-M7), in the shells themselves."""

import argparse
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from nupic_client.cli.completion import SHELLS, script
from nupic_client.cli.program import parser
from nupic_client.cli.usage import commands_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shells of POSIX")

CASES = {
    "nupic-client ge": ["generate"],
    "nupic-client --ver": ["--version"],
    "nupic-client generate --max-t": ["--max-tokens"],
    "nupic-client generate --reasoning ": ["hide", "show"],
    "nupic-client generate --url ": [],
    "nupic-client completion ": ["bash", "fish", "powershell", "zsh"],
    "nupic-client serve --tls-cert a-": ["a-file.pem"],
    "nupic-client batch a-": ["a-file.pem"],
    "nupic-client batch with": ["with a blank"],
}


def needed(shell):
    if shutil.which(shell) is None:
        assert (shell, sys.platform) != ("bash", "linux"), "bash is on every Linux that this runs on"
        pytest.skip(f"there is no {shell} here")


@pytest.fixture
def folder(tmp_path):
    for name in ("a-file.pem", "with a blank"):
        (tmp_path / name).touch()
    for shell in SHELLS:
        (tmp_path / shell).write_text(script(shell, parser()))
    return tmp_path


def output(command, folder):
    finished = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=True, timeout=60)
    assert finished.stderr == ""
    return finished.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_the_program_prints_the_script(main, capsys, shell):
    assert main("completion", shell) == 0
    assert capsys.readouterr().out == script(shell, parser())


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shell != "powershell"])
def test_the_shell_reads_it(folder, shell):
    needed(shell)
    output([shell, "-n", shell], folder)


@pytest.mark.parametrize("line", CASES)
def test_bash_completes(folder, line):
    needed("bash")
    words = line.split(" ")
    given = " ".join(map(shlex.quote, words))
    program = (
        f"source ./bash; COMP_WORDS=({given}); COMP_CWORD={len(words) - 1}; _nupic_client; "
        '[ ${#COMPREPLY[@]} = 0 ] || printf "%s\\n" "${COMPREPLY[@]}"'
    )
    assert sorted(output(["bash", "--norc", "-c", program], folder).splitlines()) == CASES[line]


@pytest.mark.parametrize("line", CASES)
def test_fish_completes(folder, line):
    needed("fish")
    program = f"source ./fish; complete -C {shlex.quote(line)}"
    found = output(["fish", "--no-config", "-c", program], folder).splitlines()
    assert sorted(word.partition("\t")[0].replace("\\ ", " ") for word in found) == CASES[line]


def test_zsh_completes(folder):
    needed("zsh")
    # zsh completes at its line editor only: compadd is replaced by what prints its words.
    program = (
        "compdef() { :; }; _arguments() { print -r -- $@; }; _describe() { print -rl -- $commands; }\n"
        "source ./zsh; words=(nupic-client ''); CURRENT=2; _nupic_client; "
        "words=(nupic-client generate ''); CURRENT=3; _nupic_client"
    )
    found = output(["zsh", "-f", "-c", program], folder)
    assert "generate:generate a text from a prompt\n" in found
    assert (
        "*--reasoning[print the model's reasoning before the answer, dimmed on a terminal, or not]" in found
    )
    assert ":value:(show hide)" in found


@pytest.mark.parametrize("line", [line for line in CASES if "a-" not in line and "with" not in line])
def test_powershell_completes(folder, line):
    needed("pwsh")
    (folder / "powershell.ps1").write_text(script("powershell", parser()))
    program = (
        f". ./powershell.ps1; $line = '{line}'; "
        "([System.Management.Automation.CommandCompletion]::CompleteInput($line, $line.Length, $null))"
        ".CompletionMatches | Where-Object ResultType -eq 'ParameterValue' | ForEach-Object CompletionText"
    )
    found = output(["pwsh", "-NoProfile", "-NonInteractive", "-Command", program], folder)
    assert sorted(found.splitlines()) == CASES[line]


def powershell_tables(text):
    """Return the tables of PowerShell's script by their names; each is a list of pairs of a key and a word or a list."""
    quoted = r"'((?:[^']|'')*)'"
    tables = {}
    table = re.compile(r"^    \$(\w+) = (\[ordered\]@\{.*?\}|@\{.*?^    \})$", re.MULTILINE | re.DOTALL)
    for name, body in table.findall(text):
        if body.startswith("[ordered]"):
            tables[name] = re.findall(rf"{quoted} = {quoted}", body)
        else:
            rows = re.findall(rf"^        {quoted} = \[ordered\]@\{{(.*)\}}$", body, re.MULTILINE)
            tables[name] = [(key, re.findall(rf"{quoted} = {quoted}", row)) for key, row in rows]
    return tables


def test_powershell_has_all_words():
    """Where there is no PowerShell: what its own reader would want of the text."""
    text = script("powershell", parser())
    assert text.isascii()
    outside = re.sub(r"'(?:[^']|'')*'", "", text)
    assert "'" not in outside
    for opening, closing in ("{}", "()", "[]"):
        assert outside.count(opening) == outside.count(closing)
    tables = powershell_tables(text)
    assert [*tables] == ["commands", "options", "values", "arguments"]
    commands = commands_of(parser())
    assert [word for word, _ in tables["commands"]] == [*commands, "-h", "--help", "--version"]
    options = dict(tables["options"])
    for name, command in commands.items():
        assert [word for word, _ in options[name]] == [*command._option_string_actions]
    assert [word for word, _ in dict(tables["values"])["generate --reasoning"]] == ["show", "hide"]
    assert [word for word, _ in dict(tables["arguments"])["completion"]] == [*SHELLS]
    rows = [tables["commands"], *options.values(), *dict(tables["values"]).values()]
    for row in rows:
        words = [word.lower() for word, _ in row]
        assert len({*words}) == len(words)  # its tables do not know capitals
        assert all(meaning for _, meaning in row)  # an empty one is an error


def test_powershell_quotes():
    program = argparse.ArgumentParser(prog="p", add_help=False)
    command = program.add_subparsers().add_parser("c", add_help=False)
    command.add_argument("--it", help="it’s the user's … $x")
    assert "'--it' = 'it?s the user''s ... $x'" in script("powershell", program)
