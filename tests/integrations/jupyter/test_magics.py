"""``%nupic`` and ``%%nupic``: a conversation of a kernel, in cells that are prompts."""

from __future__ import annotations

import contextlib

import pytest
from needed import need

need("jupyter")

from integrations.jupyter.notebooks import interrupt_when_shown, run
from IPython.core.interactiveshell import InteractiveShell

from nupic_client.integrations.jupyter import NupicMagics
from nupic_client.testing import fail, sleep

# What Jupyter warns of is its business.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.filterwarnings("default")]

LOAD = "%load_ext nupic_client.integrations.jupyter"


FAMILY = "give --formatter with a family such as chatml or zephyr"


def prompts(server):
    return [request.prompt for request in server.requests]


def test_a_cell_is_a_message_and_its_output_the_answer(server):
    outputs = run(
        LOAD, "%nupic smollm2", "%%nupic\nHello?", "%%nupic --plain --no-stats\n\nAnd now?\n", "%nupic"
    )
    assert outputs[1] == []
    (shown,) = outputs[2]
    assert shown["output_type"] == "display_data"
    assert shown["data"]["text/markdown"].startswith("**Paris** is &lt;script>")
    (plain,) = outputs[3]
    assert plain["data"] == {"text/plain": "**Paris** is <script>x</script> big."}
    first, second = prompts(server)
    assert "user\nHello?<" in first
    assert first in second
    assert "user\nAnd now?<" in second
    assert outputs[4][0]["text"] == f"smollm2 at {server.url}, 4 messages\n"


def test_options_of_the_line_stay_and_those_of_a_cell_do_not(server):
    run(
        *(
            LOAD,
            "%nupic smollm2 --max-tokens 2 --system 'Be short.'",
            "%%nupic --max-tokens 1 --temperature 0\nA",
            "%%nupic\nB",
        ),
        *("%nupic --seed 3", "%%nupic --system 'Be long.' --reset --stop x --stop y\nC", "%%nupic\nD"),
    )
    a, b, c, d = server.requests
    assert [int(request.inputs["max_tokens"]) for request in (a, b, c, d)] == [1, 2, 2, 2]
    assert a.inputs["temperature"] == 0
    assert "temperature" not in b.inputs
    assert "system\nBe short." in a.prompt
    assert "Be long." in c.prompt
    assert "user\nA" not in c.prompt
    assert "user\nC" in d.prompt
    assert "Be long." in d.prompt
    assert "random_seed" not in b.inputs
    assert int(c.inputs.get("random_seed", c.inputs.get("seed", 3))) == 3


def test_errors_are_one_line(server):
    server.reply = [fail("the model\nis tired")]
    outputs = run(
        *(LOAD, "%nupic", "%%nupic\nHi", "%nupic smollm2", "%%nupic\nHi", "%%nupic --max-toknes 3\nHi"),
        *("%nupic --max-tokens x", "%nupic --max-tokens 0", "%nupic a b c", "%nupic --system 'never ended"),
        *(
            "%nupic nosuchmodel",
            "%%nupic --max-tokens 0\nHi",
            "%%nupic other\nHi",
            "%nupic smollm2 http://x:1",
        ),
    )
    usage = [cell[0]["text"] for cell in outputs if cell and cell[0]["output_type"] == "stream"]
    assert usage == [
        "UsageError: no model yet: choose one with %nupic MODEL [URL]\n",
        "UsageError: no model yet: choose one with %nupic MODEL [URL]\n",
        "UsageError: unrecognized arguments: --max-toknes: did you mean --max-tokens?\n",
        "UsageError: argument --max-tokens: invalid int value: 'x'; %nupic? shows the options\n",
        "UsageError: unrecognized arguments: c; %nupic? shows the options\n",
        "UsageError: No closing quotation: --system 'never ended\n",
        f"UsageError: the prompt format of model 'nosuchmodel' is not known: {FAMILY}\n",
        "UsageError: 'other' must be an option: the model is chosen by %nupic MODEL [URL]\n",
    ]
    errors = [cell[0] for cell in outputs if cell and cell[0]["output_type"] == "error"]
    assert [error["traceback"] for error in errors] == [[error["evalue"]] for error in errors]
    lines = [error["evalue"] for error in errors]
    assert not [line for line in lines if "\n" in line]
    assert lines[0].startswith("InferenceError: ")
    assert "the model is tired" in lines[0]
    assert lines[1] == "ConfigurationError: max_tokens must be an integer >= 1, not 0"
    assert lines[2] == lines[1]
    assert lines[-1].startswith("ConfigurationError: ")


def test_an_interrupt_stops_the_model_and_the_conversation_goes_on(server):
    server.reply = lambda request: (
        ["So ", "far", *[sleep(0.05), "."] * 1000] if len(server.requests) == 1 else ["Good."]
    )

    _, _, [shown, error], [later] = run(
        LOAD, "%nupic smollm2", "%%nupic\nHi", "%%nupic\nAgain", meanwhile=interrupt_when_shown
    )
    assert shown["data"]["text/markdown"].endswith("<small>interrupted</small>")
    assert error["traceback"] == ["KeyboardInterrupt: the model was stopped"]
    assert later["data"]["text/markdown"].startswith("Good.")
    assert "assistant\nSo far" in server.requests[1].prompt
    server.wait_for_cancellation()


def test_other_errors_show_the_lines_of_the_notebook_only(server):
    code = "from nupic_client import StreamingClient\ndef ask():\n    return StreamingClient('nosuch').generate('Hi')\nask()"
    _, [short], _, [long] = run(LOAD, code, "%unload_ext nupic_client.integrations.jupyter", code)
    first, second, message = short["traceback"]
    assert first == "line 4, in <module>: ask()"
    assert second == "line 3, in ask: return StreamingClient('nosuch').generate('Hi')"
    assert message.startswith("ModelUnavailableError: ")
    assert len("\n".join(long["traceback"]).splitlines()) > 10


def test_unloading_closes_the_connection(server):
    outputs = run(
        LOAD, "%nupic smollm2", "%%nupic\nHi", "%unload_ext nupic_client.integrations.jupyter", "%%nupic\nHi"
    )
    assert outputs[-1][0]["text"].startswith("UsageError: no model yet")
    assert len(server.requests) == 1


@pytest.fixture
def shell():
    shell = InteractiveShell.instance()
    yield shell
    with contextlib.suppress(Exception):
        shell.run_line_magic("unload_ext", "nupic_client.integrations.jupyter")
    InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("%nupic smol", "smollm2"),
        ("%nupic --max", "--max-tokens"),
        ("%nupic smollm2 --sys", "--system"),
        ("%%nupic --res", "--reset"),
    ],
)
def test_the_line_can_be_completed(shell, line, found):
    shell.run_line_magic("load_ext", "nupic_client.integrations.jupyter")
    _, matches = shell.complete(line.split()[-1], line, len(line))
    assert found in matches


def test_a_model_is_completed_once(shell):
    shell.run_line_magic("load_ext", "nupic_client.integrations.jupyter")
    _, matches = shell.complete("smol", "%nupic other smol", 17)
    assert "smollm2" not in matches


def test_errors_of_others_stay_theirs(shell):
    def handler(*arguments):
        return []

    shell.set_custom_exc((ZeroDivisionError,), handler)
    shell.run_line_magic("load_ext", "nupic_client.integrations.jupyter")
    assert shell.custom_exceptions == (ZeroDivisionError,)
    shell.run_line_magic("unload_ext", "nupic_client.integrations.jupyter")
    assert shell.custom_exceptions == (ZeroDivisionError,)


def test_the_help_of_the_magic_shows_its_options():
    assert "--max-tokens" in NupicMagics.nupic.__doc__
