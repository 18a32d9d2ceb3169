"""Wrong arguments: one line that names what was meant (U-A18), and the other ways to start the program (U-M7)."""

import sys

import pytest
from cli.processes import run, run_cli

from nupic_client.cli import options
from nupic_client.cli.program import parser


@pytest.fixture
def refused(main, capsys):
    """Run the program with arguments that do not parse; return the line of its error."""

    def refused(*arguments):
        with pytest.raises(SystemExit) as ending:
            main(*arguments)
        said = capsys.readouterr()
        assert (ending.value.code, said.out) == (2, "")
        assert said.err.startswith("nupic-client: error: ")
        assert said.err.count("\n") == 1
        return said.err.removeprefix("nupic-client: error: ").rstrip("\n")

    return refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("generate a --quiet b --max-tokens 3 c", ["a", "b", "c"]),
        ("generate --quiet a b", ["a", "b"]),
        ("generate a --quiet -- -b --max", ["a", "-b", "--max"]),
        ("generate - --quiet b", ["-", "b"]),
        ("generate --quiet", []),
    ],
)
def test_the_words_of_a_prompt_may_stand_between_options(arguments, words):
    assert parser().parse_args(arguments.split()).prompt == words


@pytest.mark.parametrize("command", ["embed x", "infer --input x=1", "health"])
def test_the_short_option_for_the_model(command):
    assert parser().parse_args([*command.split(), "-m", "mine"]).model == "mine"


@pytest.mark.slow
def test_help_in_a_locale_that_lacks_a_character():
    finished = run_cli("generate", "--help", PYTHONIOENCODING="ascii")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "host:port, grpcs://host:port (TLS), unix:/path, ?" in " ".join(finished.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            "generate --modle x Hi",
            "there is no option --modle: did you mean --model? (nupic-client generate --help",
        ),
        ("generate Hi --modle=x", "there is no option --modle: did you mean --model? "),
        ("generate --max-token 5 Hi", "there is no option --max-token: did you mean --max-tokens? "),
        ("generate -t 5 Hi", "there is no option -t: did you mean --timeout or "),
        ("generate -x Hi", "there is no option -x (nupic-client generate --help explains)"),
        ("infer --modle x", "there is no option --modle: did you mean --model? "),
        (
            "genrate Hi",
            "there is no command 'genrate': did you mean 'generate'? the commands are generate, chat",
        ),
        ("help", "there is no command 'help': did you mean '--help'? "),
        ("list", "there is no command 'list': did you mean 'models'? "),
        ("run smollm2 Hi", "there is no command 'run': did you mean 'chat'? "),
        ("--versoin", "there is no option --versoin: did you mean --version? (nupic-client --help explains)"),
        ("--local generate Hi", "--local must stand after the command"),
        ("--url a:1 generate Hi", "--url must stand after the command"),
        (
            "completion bsh",
            "shell must be one of 'bash', 'zsh', 'fish', 'powershell', not 'bsh': did you mean 'bash'?",
        ),
        ("chat Hi there", "unexpected argument 'Hi': a text with blanks must be between quotes"),
        ("chat --max-tokens abc", "--max-tokens must be a whole number, not 'abc'"),
        ("chat --max-tokens", "--max-tokens must have a value"),
        ("chat --temperature hot", "--temperature must be a number, not 'hot'"),
        ("chat --local --url a:1", "--url must not be given with --local"),
        ("infer --input x=1", "the following arguments are required: --model"),
        ("", "the following arguments are required: COMMAND (nupic-client --help explains)"),
    ],
)
def test_a_mistake_is_one_line_with_what_was_meant(refused, arguments, words):
    assert words in refused(*arguments.split())


def test_what_an_error_repeats_cannot_control_the_terminal(refused):
    assert "\x1b" not in refused("generate", "--m\x1b[2J", "Hi")


def test_what_looks_like_an_option_may_be_a_text(main, server, capsys):
    assert main("generate", "--url", server.url, "--quiet", "--raw", "--", "--modle") == 0
    assert main("generate", "--url", server.url, "--quiet", "--raw", "-- a list") == 0
    assert main("generate", "--url", server.url, "--quiet", "--raw", "-5") == 0
    assert [request.prompt for request in server.requests] == ["--modle", "-- a list", "-5"]


@pytest.mark.slow
def test_the_package_is_the_program():
    finished = run([sys.executable, "-m", "nupic_client", "genrate"])
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr == run_cli("genrate").stderr


def test_the_model_may_come_from_the_environment(main, server, monkeypatch, capsys):
    monkeypatch.setenv(options.MODEL_VARIABLE, "gpt.streaming")
    for more in ([], ["-m", "smollm2"]):
        assert main("generate", "--url", server.url, "--quiet", "--raw", *more, "Hi") == 0
    assert [request.model for request in server.requests] == ["gpt.streaming", "smollm2.streaming"]
    assert main("generate", "--local", "Hi") == 2
    assert (
        "no model 'gpt.streaming', only 'smollm2' and 'smollm2-embed' ($NUPIC_MODEL is set)"
        in capsys.readouterr().err
    )
    assert main("prompt", "--model", "smollm2", "--raw", "Hi") == 0
    assert main("prompt", "--family", "zephyr", "--raw", "Hi") == 0
