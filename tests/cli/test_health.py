"""`nupic-client health`."""

import json
import sys
import threading

import pytest
from cli.processes import CLI, Terminal

from nupic_client.testing import FakeTriton


@pytest.fixture
def health(main, capsys):
    def health(*arguments):
        code = main("health", *arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return health


def test_a_server_that_is_ready(health, server):
    code, out, err = health("--url", server.url, "--model", "smollm2")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][:2] == ["server", server.url]
    assert lines[1:] == [["live", "yes"], ["ready", "yes"], ["model", "smollm2", "ready"]]
    assert health("--url", server.url)[0] == 0


def test_json(health, server):
    code, out, _ = health("--url", server.url, "--model", "nope", "--json")
    found = json.loads(out)
    assert code == 1
    assert found["name"]
    assert {name: found[name] for name in ("url", "live", "ready", "model", "model_ready")} == {
        "url": server.url,
        "live": True,
        "ready": True,
        "model": "nope",
        "model_ready": False,
    }


def test_a_model_that_is_not_there_is_told_from_one_that_is_not_ready(health, server):
    """U-A20."""
    code, out, _ = health("--url", server.url, "--model", "smollm3.streaming")
    assert code == 1
    assert "model   smollm3.streaming  not ready: the server has no such model or version" in out
    assert "did you mean 'smollm2.streaming'?" in out
    server.models_ready["gpt.streaming"] = False
    code, out, _ = health("--url", server.url, "--model", "gpt.streaming")
    assert code == 1
    assert "model   gpt.streaming  not ready: the model is not loaded now" in out
    assert "did you mean" not in out


def test_a_server_that_is_not_ready(health, server):
    server.ready = False
    code, out, _ = health("--url", server.url)
    assert code == 1
    assert "ready   no\n" in out


def test_a_server_that_shuts_down(health, server):
    server.exiting = True
    code, out, _ = health("--url", server.url, "--json")
    assert (code, json.loads(out)["live"]) == (1, False)


def test_a_server_that_cannot_be_reached(health, free_port):
    url = f"127.0.0.1:{free_port}"
    code, out, err = health("--url", url, "--model", "smollm2", "--json")
    assert (code, json.loads(out)["live"], json.loads(out)["model_ready"]) == (3, False, False)
    assert "cannot reach" in err
    assert health("--url", url)[:2] == (3, "")


def test_wait(health, server):
    server.ready = False
    assert health("--url", server.url, "--wait", "0.2")[0] == 1
    timer = threading.Timer(0.2, lambda: setattr(server, "ready", True))
    timer.start()
    assert health("--url", server.url, "--wait", "20")[0] == 0
    timer.join()


@pytest.mark.parametrize("seconds", ["-1", "nan"])
def test_a_wait_that_is_none(health, seconds):
    code, _, err = health("--wait", seconds)
    assert code == 2
    assert "--wait must be a number of seconds >= 0" in err


@pytest.mark.model
def test_the_embedded_server_is_well(health):
    assert health("--local", "--model", "smollm2-embed")[0] == 0


def test_each_of_several_servers_is_asked(main, capsys):
    with FakeTriton() as one, FakeTriton() as other:
        assert main("health", "--url", f"{one.url},{other.url}") == 0
        blocks = capsys.readouterr().out.split("\n\n")
        assert [block.split()[1] for block in blocks] == [one.url, other.url]
        assert main("health", "--url", f"{one.url},{other.url}", "--json") == 0
        lines = capsys.readouterr().out.splitlines()
        assert [json.loads(line)["url"] for line in lines] == [one.url, other.url]


def test_of_several_servers_some_may_be_away(main, capsys):
    with FakeTriton() as one:
        with FakeTriton() as gone:
            pass
        assert main("health", "--url", f"{one.url},{gone.url}") == 1
        shown = capsys.readouterr()
        assert f"server  {one.url}" in shown.out
        assert gone.url in shown.err
    assert main("health", "--url", f"{one.url},{gone.url}") == 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_who_waits_at_a_terminal_is_told_and_ctrl_c_ends_its_line(free_port):
    url = f"127.0.0.1:{free_port}"
    with Terminal([*CLI, "health", "--url", url, "--wait", "600"]) as terminal:
        terminal.screen.wait_for(f"waiting up to 600 s for {url} …")
        terminal.type("\x03")
        assert terminal.wait() == 130
    assert terminal.screen.text.endswith("^C\n")
