"""The program as a whole: help, version, start-up."""

import sys

import pytest
from cli.processes import run, run_cli

from nupic_client import __version__, cli
from nupic_client.cli.exit_codes import ExitCode
from nupic_client.cli.terminal import abandon_stdout


@pytest.mark.parametrize(
    "arguments", [[], ["generate"], ["chat"], ["prompt"], ["models"], ["infer"], ["embed"], ["serve"]]
)
def test_help_names_every_exit_code(arguments):
    finished = run_cli(*arguments, "--help")
    assert finished.returncode == 0
    assert finished.stderr == ""
    codes = finished.stdout[finished.stdout.index("exit codes:") :].splitlines()[1:]
    assert [int(line.split()[0]) for line in codes if line] == [int(code) for code in ExitCode]


@pytest.mark.parametrize("wrapped", [False, True])
def test_ctrl_c_while_the_program_is_imported(monkeypatch, capsys, wrapped):
    class Pressed:
        def find_spec(self, name, *_):
            if name != "nupic_client.cli.program":
                return
            if wrapped:  # as Python before 3.12 does where a class is made
                raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()
            raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "nupic_client.cli.program", raising=False)
    monkeypatch.delattr(cli, "program", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Pressed(), *sys.meta_path])
    assert cli.main(["--version"]) == ExitCode.INTERRUPTED
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("command", "words"),
    [("batch", "show no progress, and no figures"), ("generate", "do not print the figures after an answer")],
)
def test_quiet_says_what_it_leaves_out(command, words):
    assert words in run_cli(command, "--help").stdout


def test_version():
    finished = run_cli("--version")
    assert finished.stdout == f"nupic-client {__version__}\n"


def test_nothing_heavy_is_imported_before_it_is_needed():
    program = (
        "import sys\n"
        "from nupic_client.cli import main\n"
        "try: main(['generate', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'grpc', 'numpy', 'google', 'asyncio'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))\n"
    )
    finished = run([sys.executable, "-c", program])
    assert finished.stdout.endswith("\n[]\n")


def test_the_log_of_grpc_is_off_unless_the_user_wants_it(monkeypatch):
    program = (
        "import os\n"
        "from nupic_client.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: print(os.environ['GRPC_VERBOSITY'])\n"
    )
    assert run([sys.executable, "-c", program], GRPC_VERBOSITY="debug").stdout.endswith("debug\n")
    monkeypatch.delenv("GRPC_VERBOSITY")
    assert run([sys.executable, "-c", program]).stdout.endswith("NONE\n")


def test_a_stdout_without_a_descriptor_can_be_abandoned(capsys):
    abandon_stdout()
    print("still here")
    assert capsys.readouterr().out == "still here\n"
