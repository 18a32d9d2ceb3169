"""The scripts that complete words (U-M7), in the shells themselves."""

import shlex
import shutil
import subprocess
import sys

import pytest

from nupic_client.cli.completion import SHELLS, script
from nupic_client.cli.program import parser

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shells of POSIX")

CASES = {
    "nupic-client ge": ["generate"],
    "nupic-client --ver": ["--version"],
    "nupic-client generate --max-t": ["--max-tokens"],
    "nupic-client generate --reasoning ": ["hide", "show"],
    "nupic-client generate --url ": [],
    "nupic-client completion ": ["bash", "fish", "zsh"],
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


@pytest.mark.parametrize("shell", SHELLS)
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
