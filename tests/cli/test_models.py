"""`nupic-client models`: a table for people, JSON for programs."""

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from cli.processes import CLI, Terminal, run_cli

from nupic_client._core.kserve import wire
from nupic_client.cli.table import table
from nupic_client.cli.terminal import printable
from nupic_client.testing import FakeTriton, text_signature

posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")

NAMES = [
    "nupic-sbert.base-v3",
    "nupic-sbert-1-v3",
    "numenta-sbert-2-v2-wtokenizer",
    "zephyr-7b-beta.streaming",
    "smollm2.streaming",
    *(f"model{index:02}" for index in range(25)),
]


@pytest.fixture
def thirty():
    signatures = [text_signature(name, decoupled=name.endswith(".streaming")) for name in NAMES]
    with FakeTriton(models=signatures) as server:
        yield server


@pytest.fixture
def listed(main, capsys):
    """Run the command; return its code, stdout and stderr."""

    def listed(*arguments):
        code = main("models", *arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return listed


def test_thirty_models_stand_in_columns(listed, thirty):
    thirty.models_ready["model07"] = False
    code, out, err = listed("--url", thirty.url)
    assert (code, err) == (0, "")
    header, *rows = out.splitlines()
    assert len(rows) == 30
    assert "\033" not in out
    assert header.split() == [
        *("NAME", "VERSION", "STATE", "STREAMS", "BACKEND", "FAMILY", "FRIENDLY", "NAME", "NUPIC"),
        *(["REASON"] if "REASON" in header else []),
    ]
    by_name = {row.split()[0]: row for row in rows}
    assert sorted(by_name) == sorted(NAMES)

    def cell(name, column, width):
        start = header.index(column)
        return by_name[name][start : start + width].strip()

    assert cell("nupic-sbert.base-v3", "NUPIC", 30) == "sbert base v3"
    assert cell("nupic-sbert-1-v3", "NUPIC", 30) == "sbert 1 v3"
    assert cell("numenta-sbert-2-v2-wtokenizer", "NUPIC", 30).startswith("sbert 2 v2 wtokenizer")
    assert cell("zephyr-7b-beta.streaming", "FAMILY", 8) == "zephyr"
    assert cell("zephyr-7b-beta.streaming", "STREAMS", 7) == "yes"
    assert cell("model00", "STREAMS", 7) == "no"
    assert cell("smollm2.streaming", "FRIENDLY NAME", 13) == "smollm2"
    assert cell("smollm2.streaming", "STATE", 5) == "READY"
    assert cell("smollm2.streaming", "VERSION", 7) == "1"
    assert cell("model07", "STATE", 11) != "READY"
    assert cell("model07", "STREAMS", 7) == "-"


def test_json_has_every_field(listed, thirty):
    code, out, _ = listed("--url", thirty.url, "--json")
    assert code == 0
    models = {model["name"]: model for model in json.loads(out)}
    assert len(models) == 30
    assert models["nupic-sbert.base-v3"]["parts"] == {
        "full": "nupic-sbert.base-v3",
        "vendor": "nupic",
        "family": "sbert",
        "size": "base",
        "version": 3,
        "variant": "",
        "streaming": False,
    }
    assert models["smollm2.streaming"]["streams"] is True
    assert models["smollm2.streaming"]["friendly_name"] == "smollm2"


def test_a_server_without_models(listed):
    with FakeTriton(models=[]) as server:
        assert listed("--url", server.url) == (*(0, "", f"the server at {server.url} has no models\n"),)
        assert listed("--url", server.url, "--json")[1] == "[]\n"


@pytest.mark.model
def test_the_embedded_server_is_listed(listed):
    code, out, _ = listed("--local")
    assert code == 0
    assert [line.split()[:4] for line in out.splitlines()[1:]] == [
        ["smollm2", "1", "READY", "no"],
        ["smollm2-embed", "1", "READY", "no"],
        ["smollm2.streaming", "1", "READY", "yes"],
    ]


def test_metadata_is_sent(listed, thirty):
    assert listed("--url", thirty.url, "--metadata", "authorization=Bearer x")[0] == 0
    assert listed("--url", thirty.url, "--metadata", "Bad Name=1")[0] == 2


def test_no_embedded_server_is_started_where_nothing_answers(listed, default_url):
    code, out, err = listed()
    assert (code, out) == (3, "")
    what, facts, advice = err.splitlines()
    assert what.startswith("nupic-client: error: cannot reach the server")
    assert facts == f"  server {default_url}, status UNAVAILABLE"
    assert advice.endswith("--local")


def test_a_server_that_does_not_answer(listed):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"127.0.0.1:{mute.getsockname()[1]}"
        code, out, err = listed("--url", url, "--timeout", "0.3")
    assert (code, out) == (4, "")
    assert "no complete answer in time" in err


def test_a_pipe_gets_plain_text(thirty):
    finished = run_cli("models", "--url", thirty.url)
    assert finished.returncode == 0
    assert "\033" not in finished.stdout
    assert finished.stderr == ""


@posix
@pytest.mark.parametrize(
    ("changes", "bold"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_the_header_is_bold_on_a_terminal(thirty, changes, bold):
    with Terminal(
        [*CLI, "models", "--url", thirty.url], **{"TERM": "xterm", "NO_COLOR": "", **changes}
    ) as terminal:
        assert terminal.wait() == 0
    assert ("\033[1mNAME" in terminal.screen.text) is bold


@pytest.fixture
def telling():
    """A server that says why a model is not ready, as the real one does."""
    index = wire.pb.RepositoryIndexResponse()
    index.models.add(name="a", state="UNAVAILABLE", reason="no space left")
    index.models.add(name="b", version="2", state="READY")
    config = wire.pb.ModelConfigResponse()
    config.config.name = "b"
    config.config.model_transaction_policy.decoupled = True
    handlers = {
        method: grpc.unary_unary_rpc_method_handler(
            lambda _request, _context, answer=answer: answer.SerializeToString()
        )
        for method, answer in {"RepositoryIndex": index, "ModelConfig": config}.items()
    }
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_why_a_model_is_not_ready_is_told(listed, telling):
    _, out, _ = listed("--url", telling)
    header, broken, ready = out.splitlines()
    assert header.endswith("NUPIC  REASON")
    assert broken.split()[:3] == ["a", "-", "UNAVAILABLE"]
    assert broken.endswith("no space left")
    assert ready.split() == ["b", "2", "READY", "yes", "-", "-", "-", "-", "-"]


def test_cells_are_aligned_and_harmless():
    assert table(("A", "LONG"), [("x", "1"), ("", "\033[31m22"), ("yyy", "")]) == (
        "A    LONG\nx    1\n-    ␛[31m22\nyyy  -\n"
    )


def test_control_characters_become_pictures():
    assert printable("a\x00\t\n\x1b\x7f\x9b\u00e9") == "a␀␉␊␛␡\\x9bé"
