"""The fixture itself: what it installs, starts, stops and leaves behind."""

from __future__ import annotations

import socket
from pathlib import Path

import grpc
import psutil
import pytest

from nupic_client.errors import LocalModelError
from nupic_client.local.triton import install as installation
from nupic_client.local.triton.config import config_text
from nupic_client.local.triton.process import TritonProcess
from nupic_client.testing import abort, text_signature
from triton import fixtures
from triton.server import RealTriton, TritonServer

ONE_MODEL = (text_signature("gpt.streaming"),)


def shared_memory(server: RealTriton) -> set[str]:
    """Return the names of the server's own shared memory; other servers may run on this machine."""
    return {path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(server.server.prefix)}


def own_addresses():
    """Return the addresses of this machine that are no loopback ones."""
    return [
        item.address
        for items in psutil.net_if_addrs().values()
        for item in items
        if item.family == socket.AF_INET and not item.address.startswith("127.")
    ]


@pytest.mark.parametrize("gently", [True, False], ids=["SIGTERM", "SIGKILL"])
def test_nothing_is_left_of_a_stopped_server(serve_real, gently):
    server = serve_real(models=ONE_MODEL)
    parent = psutil.Process(server.server.process.pid)
    processes = [parent, *parent.children(recursive=True)]
    assert len(processes) == 2, "the server and the process of its model"
    assert shared_memory(server)
    server.stop(gently=gently)
    _, alive = psutil.wait_procs(processes, 5)
    assert not alive
    assert not shared_memory(server)
    host, _, port = server.url.partition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 1)
    server.stop()


def test_the_server_is_the_real_one(raw):
    (metadata,) = raw.call("ServerMetadata").messages
    assert (metadata.name, metadata.version) == ("triton", "2.51.0")


def test_a_server_that_does_not_start_shows_its_log(real_triton, tmp_path):
    model = tmp_path / "broken"
    (model / "1").mkdir(parents=True)
    (model / "1" / "model.py").write_text("raise ImportError('there is something wrong with me')\n")
    (model / "config.pbtxt").write_text(config_text(text_signature("broken")))
    with pytest.raises(LocalModelError, match="there is something wrong with me"):
        TritonServer(tmp_path).start()


def test_a_model_that_answers_for_a_test_that_is_over_does_not_disturb_the_next(real_triton, raw):
    real_triton.clear()
    assert not real_triton.requests
    with pytest.raises(AssertionError, match="0 of 1 requests arrived within"):
        real_triton.wait_for_requests(timeout=0.01)
    with pytest.raises(AssertionError, match="0 of 1 generations were cancelled"):
        real_triton.wait_for_cancellation(timeout=0.01)


def test_what_the_real_server_cannot_do_skips_the_test(real_triton):
    with pytest.raises(pytest.skip.Exception, match="cannot be told"):
        real_triton.reply = [abort("UNAVAILABLE")]


def test_what_only_a_fake_server_knows_skips_the_test(real_triton):
    with pytest.raises(pytest.skip.Exception, match=r"FakeTriton\.calls"):
        _ = real_triton.calls
    with pytest.raises(pytest.skip.Exception, match=r"FakeTriton\.exiting = True"):
        real_triton.exiting = True
    with pytest.raises(AttributeError):
        _ = real_triton.nope


def test_a_server_that_a_test_has_killed_is_replaced(real_triton):
    real_triton.server.process.kill()
    real_triton.server.process.wait()
    server = fixtures.shared_server()
    assert server is not real_triton
    assert server.running


def test_a_missing_server_skips_or_fails(monkeypatch):
    def refuse() -> None:
        raise LocalModelError("not on this machine")

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("NUPIC_REQUIRE_TRITON", raising=False)
    with pytest.raises(pytest.skip.Exception, match="not on this machine"):
        fixtures.require_server(refuse)
    monkeypatch.setenv("NUPIC_REQUIRE_TRITON", "1")
    with pytest.raises(pytest.fail.Exception, match="not on this machine"):
        fixtures.require_server(refuse)
    monkeypatch.delenv("NUPIC_REQUIRE_TRITON")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="not on this machine"):
        fixtures.require_server(refuse)


@pytest.mark.parametrize(
    ("system", "machine", "libc"),
    [
        ("darwin", "arm64", ("", "")),
        ("linux", "aarch64", ("glibc", "2.36")),
        ("linux", "x86_64", ("glibc", "2.31")),
    ],
)
def test_machines_without_a_wheel(monkeypatch, system, machine, libc):
    monkeypatch.setattr(installation.sys, "platform", system)
    monkeypatch.setattr(installation.platform, "machine", lambda: machine)
    monkeypatch.setattr(installation.platform, "libc_ver", lambda: libc)
    with pytest.raises(LocalModelError, match=r"wheel|glibc"):
        installation.check_machine()


def test_the_address_is_of_this_machine_only(real_triton):
    connections = psutil.Process(real_triton.server.process.pid).net_connections("tcp")
    listening = {item.laddr.ip.removeprefix("::ffff:") for item in connections if item.status == "LISTEN"}
    assert listening == {"127.0.0.1"}


def test_the_adapter_starts_and_stops_like_the_fake_server(serve_real):
    server = serve_real(["a"], models=ONE_MODEL, final="with_last")
    assert isinstance(server, RealTriton)
    with grpc.insecure_channel(server.url) as channel:
        grpc.channel_ready_future(channel).result(10)
    assert server.reply == ["a"]
    assert server.final == "with_last"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "own"])
def test_a_proxy_is_not_asked_whether_the_server_is_ready(needs_triton, tmp_path, monkeypatch, host):
    """P-F3: not on another address of this machine either."""
    if host == "own":
        (host, *_) = own_addresses() or ["127.0.0.2"]
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    model = tmp_path / "echo"
    (model / "1").mkdir(parents=True)
    (model / "1" / "model.py").write_text(
        "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
    )
    (model / "config.pbtxt").write_text(config_text(text_signature("echo")))
    with TritonProcess(tmp_path, host=host) as server:
        assert server.running
