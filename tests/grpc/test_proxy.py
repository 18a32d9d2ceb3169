"""P-F3: what is on this machine is never asked for at a proxy, and where a proxy is in play the errors name it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import grpc
import pytest
from faults.connect_proxy import ConnectProxy

from nupic_client import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceClient,
    RetryPolicy,
    ServerClient,
    StreamingClient,
    Timeouts,
)
from nupic_client._grpc.channel import channel_options
from nupic_client._grpc.names import Addresses
from nupic_client._grpc.proxy import goes_direct, proxy_of
from nupic_client.config import ClientConfig
from nupic_client.errors import InferenceError, RequestError
from nupic_client.testing import FakeTriton, abort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy")
DEAD = "http://127.0.0.1:9"
"""Where no proxy is."""
REMOTE = "gpt.example.test:8001"
"""A server that only a proxy knows."""
WAYS: dict[str, Callable[[StreamingClient], object]] = {
    "generate": lambda client: client.generate("hi"),
    "stream": lambda client: list(client.stream("hi")),
    "agenerate": lambda client: asyncio.run(client.agenerate("hi")),
}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[FakeTriton]:
    with FakeTriton(["one", " two"]) as server:
        yield server


def config(url: str | list[str], **options: str | int) -> ClientConfig:
    return ClientConfig.create(url, environ={}, channel_options=options)


# This machine


LOCAL = [
    "localhost:{port}",
    "LocalHost:{port}",
    "127.0.0.1:{port}",
    "127.3.2.1:{port}",
    "grpc://127.0.0.1:{port}",
    "dns:///localhost:{port}",
    "0.0.0.0:{port}",
    "[::ffff:127.0.0.1]:{port}",
    "localhost:{port},127.0.0.1:{port}",
]


@pytest.mark.parametrize("variable", ["grpc_proxy", "https_proxy", "http_proxy"])
@pytest.mark.parametrize("url", LOCAL)
def test_what_is_on_this_machine_is_reached_without_the_proxy(monkeypatch, url, variable):
    monkeypatch.setenv(variable, DEAD)
    with FakeTriton(["one", " two"], host="0.0.0.0") as server:
        address = url.format(port=server.url.rpartition(":")[2])
        with StreamingClient("gpt.streaming", address, timeout=20) as client:
            assert client.generate("hi").text == "one two"
            assert asyncio.run(client.agenerate("hi")).text == "one two"


@pytest.mark.parametrize(
    "url", ["[::1]:1", "unix:/run/x", "unix:x", "localhost.:1", ["[::1]:1", "[::1]:2"], "[::]:1"]
)
def test_other_local_addresses(url, monkeypatch):
    monkeypatch.setenv("http_proxy", DEAD)
    assert dict(channel_options(config(url)))["grpc.enable_http_proxy"] == 0
    assert proxy_of(config(url)) is None


def test_all_that_talks_to_a_server_of_its_own_does(monkeypatch, server):
    monkeypatch.setenv("http_proxy", DEAD)
    with ServerClient(server.url) as client:
        assert client.is_live()
        assert client.is_ready()
        client.wait_until_ready(timeout=10)
    with InferenceClient("gpt", server.url) as client:
        assert client.infer({"text_input": "hi"})
    program = [sys.executable, "-m", "nupic_client.cli"]
    for command in (["generate", "hi", "--model", "gpt.streaming"], ["health"]):
        done = subprocess.run(
            [*program, *command, "--url", server.url], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.model
def test_the_first_command_of_the_readme(monkeypatch):
    monkeypatch.setenv("http_proxy", DEAD)
    command = [sys.executable, "-m", "nupic_client.cli", "generate", "--local", "hi", "--max-tokens", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr


def test_who_wants_a_proxy_for_this_machine_gets_it(server):
    with ConnectProxy() as proxy:
        for options in (
            {"grpc.http_proxy": proxy.url},
            {"grpc.http_proxy": proxy.url, "grpc.enable_http_proxy": 1},
        ):
            with StreamingClient("gpt.streaming", server.url, channel_options=options) as client:
                assert client.generate("hi").text == "one two"
        assert proxy.wanted == [server.url] * 2


def test_who_wants_none_gets_none(monkeypatch):
    monkeypatch.setenv("http_proxy", DEAD)
    assert proxy_of(config(REMOTE, **{"grpc.enable_http_proxy": 0})) is None


# Other machines


@pytest.mark.parametrize("way", WAYS)
def test_a_proxy_that_connects_is_used_and_not_mentioned(monkeypatch, server, way):
    with ConnectProxy(destination=server.url) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with StreamingClient("gpt.streaming", REMOTE, timeout=20) as client:
            WAYS[way](client)
            server.reply = ["one", abort("INTERNAL", "the model broke")]
            with pytest.raises(InferenceError) as caught:
                WAYS[way](client)
        assert "proxy" not in str(caught.value)
        assert set(proxy.wanted) == {REMOTE}


def refused(
    code: int, way: str, variable: str, monkeypatch: pytest.MonkeyPatch, user: str = ""
) -> RequestError:
    with ConnectProxy(code) as proxy:
        monkeypatch.setenv(variable, f"http://{user}{proxy.address}")
        client = StreamingClient(
            "gpt.streaming", REMOTE, timeout=20, max_retries=RetryPolicy(max_retries=2, initial_backoff=0.01)
        )
        with client, pytest.raises(RequestError) as caught:
            WAYS[way](client)
        assert f"the proxy {proxy.url} of ${variable}" in str(caught.value)
        assert "secret" not in f"{caught.value!r} {caught.value} {vars(caught.value)}"
        return caught.value


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("variable", ["grpc_proxy", "https_proxy", "http_proxy"])
@pytest.mark.parametrize("code", [403, 404])
def test_a_proxy_that_refuses_is_not_asked_again(monkeypatch, way, variable, code):
    error = refused(code, way, variable, monkeypatch, "user:secret@")
    assert type(error) is ConnectionFailedError
    assert f"does not connect to {REMOTE} (HTTP {code})" in error.message
    assert "set no_proxy=gpt.example.test to go past it" in error.message
    assert (error.retryable, len(error.attempts), error.status) == (False, 1, "UNAVAILABLE")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("user", "words"), [("", "wants credentials"), ("user:secret@", "accepts other credentials")]
)
def test_a_proxy_that_wants_credentials(monkeypatch, way, user, words):
    error = refused(407, way, "http_proxy", monkeypatch, user)
    assert type(error) is AuthenticationError
    assert f"{words} (HTTP 407): give them in it, as http://USER:PASSWORD@127.0.0.1:" in error.message
    assert (error.retryable, len(error.attempts)) == (False, 1)


@pytest.mark.parametrize("code", [502, 503, 429])
def test_a_proxy_that_cannot_now_is_asked_again(monkeypatch, code):
    error = refused(code, "generate", "http_proxy", monkeypatch)
    assert type(error) is ConnectionFailedError
    assert (error.retryable, len(error.attempts)) == (True, 3)


def test_credentials_of_the_variable_are_sent(monkeypatch, server):
    with ConnectProxy(destination=server.url) as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:secret@{proxy.address}")
        with StreamingClient("gpt.streaming", REMOTE) as client:
            client.generate("hi")
        assert proxy.credentials == ["Proxy-Authorization: Basic dXNlcjpzZWNyZXQ="]


@pytest.mark.parametrize("way", WAYS)
def test_a_proxy_that_is_not_there(monkeypatch, way):
    monkeypatch.setenv("https_proxy", DEAD)
    monkeypatch.setenv("no_proxy", "other.test")
    with StreamingClient("gpt.streaming", REMOTE, max_retries=0) as client:
        with pytest.raises(ConnectionFailedError) as caught:
            WAYS[way](client)
    assert (
        f"through the proxy {DEAD} of $https_proxy (add gpt.example.test to no_proxy to go past it)"
        in str(caught.value)
    )
    assert "nothing listens on gpt" not in str(caught.value)  # nobody has tried
    assert caught.value.retryable


@pytest.mark.slow  # seconds of silence
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("timeout", [Timeouts(total=1.0), Timeouts(connect=1.0, total=30)])
def test_a_proxy_that_does_not_answer(monkeypatch, way, timeout):
    with ConnectProxy(code=0) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with StreamingClient("gpt.streaming", REMOTE, timeout=timeout, max_retries=0) as client:
            with pytest.raises((ConnectionFailedError, DeadlineExceededError)) as caught:
                WAYS[way](client)
        assert f"through the proxy {proxy.url} of $http_proxy" in str(caught.value)


def test_a_connection_that_breaks_in_an_answer_names_it(monkeypatch, server):
    server.reply = ["one", abort("UNAVAILABLE", "Socket closed")]
    with ConnectProxy(destination=server.url) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with StreamingClient("gpt.streaming", REMOTE) as client:
            with pytest.raises(ConnectionFailedError, match="through the proxy") as caught:
                client.generate("hi")
    assert caught.value.partial_text == "one"


def test_health_is_no_matter_of_a_proxy_that_refuses(monkeypatch):
    """The server may be well: False would be a wrong answer."""
    with ConnectProxy(403) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with ServerClient(REMOTE) as client, pytest.raises(ConnectionFailedError, match="HTTP 403"):
            client.is_live()


# Lists


def test_each_server_of_a_list_has_its_own_way(monkeypatch):
    monkeypatch.setenv("http_proxy", DEAD)
    monkeypatch.setenv("no_proxy", "10.0.0.1")
    found = Addresses(config(["10.0.0.1:1", "10.0.0.2:1", "localhost:1"])).look_up()
    assert [proxy_of(each) is not None for each in found.values()] == [False, True, False]


def test_a_name_is_looked_up_by_its_proxy(monkeypatch):
    monkeypatch.setenv("http_proxy", DEAD)
    assert [*Addresses(config("dns:///triton.invalid:1")).look_up()] == ["dns:///triton.invalid:1"]


def test_a_name_that_goes_past_the_proxy_is_looked_up_here(monkeypatch):
    monkeypatch.setenv("http_proxy", DEAD)
    monkeypatch.setenv("no_proxy", "localhost")
    assert "127.0.0.1:1" in Addresses(config("dns:///localhost:1")).look_up()


def test_without_a_proxy_nothing_is_said_about_one():
    assert "grpc.enable_http_proxy" not in dict(channel_options(config(REMOTE)))
    assert proxy_of(config(REMOTE)) is None


# The rules are gRPC's


# grpcio 1.83 compares the ends of names only, without a look at the dots between their parts.
RECENT = pytest.mark.skipif(
    [*map(int, grpc.__version__.split(".")[:2])] < [1, 85], reason="the rules of a newer gRPC"
)

SETTINGS = [
    {},
    {"http_proxy": "{url}"},
    {"https_proxy": "{url}"},
    {"grpc_proxy": "{url}"},
    {"HTTP_PROXY": "{url}"},
    {"HTTPS_PROXY": "{url}"},
    {"all_proxy": "{url}"},
    {"grpc_proxy": "", "http_proxy": "{url}"},
    {"https_proxy": "", "http_proxy": "{url}"},
    {"http_proxy": "{address}"},
    {"http_proxy": "HTTP://{address}/path"},
    {"http_proxy": "https://{address}"},
    {"http_proxy": "socks5://{address}"},
    {"http_proxy": "http://user:pass@{address}"},
    {"http_proxy": "http://"},
    {"http_proxy": "{url}", "no_proxy": ""},
    {"http_proxy": "{url}", "no_proxy": "*"},
    {"http_proxy": "{url}", "no_proxy": "example.test"},
    {"http_proxy": "{url}", "no_proxy": ".example.test"},
    {"http_proxy": "{url}", "no_proxy": "*.example.test"},
    pytest.param({"http_proxy": "{url}", "no_proxy": "ample.test"}, marks=RECENT),
    {"http_proxy": "{url}", "no_proxy": "GPT.example.TEST"},
    pytest.param({"http_proxy": "{url}", "no_proxy": ".gpt.example.test"}, marks=RECENT),
    {"http_proxy": "{url}", "no_proxy": "gpt.example.test:8001"},
    {"http_proxy": "{url}", "no_proxy": "a, gpt.example.test ,b"},
    {"http_proxy": "{url}", "NO_PROXY": "gpt.example.test"},
    {"http_proxy": "{url}", "no_proxy": "gpt.example.test", "no_grpc_proxy": ""},
    {"http_proxy": "{url}", "no_proxy": "gpt.example.test", "no_grpc_proxy": "x"},
    {"http_proxy": "{url}", "no_proxy": "x", "no_grpc_proxy": "gpt.example.test"},
    {"http_proxy": "{url}", "no_proxy": "192.0.2.1"},
    {"http_proxy": "{url}", "no_proxy": "192.0.2.0/24,2001:db8::/32"},
    {"http_proxy": "{url}", "no_proxy": "192.0.2.77/24"},
    {"http_proxy": "{url}", "no_proxy": "192.0.2"},
    {"http_proxy": "{url}", "no_proxy": ".2.1"},
    {"http_proxy": "{url}", "no_proxy": "2001:db8::1"},
    {"http_proxy": "{url}", "no_proxy": "[2001:db8::1]"},
]


@pytest.mark.parametrize("url", [REMOTE, f"dns:///{REMOTE}", "192.0.2.1:8001", "[2001:db8::1]:8001"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_rules_are_those_of_grpc(monkeypatch, settings, url):
    with ConnectProxy(403) as proxy:
        for name, value in settings.items():
            monkeypatch.setenv(name, value.format(url=proxy.url, address=proxy.address))
        wanted = proxy_of(config(url)) is not None
        assert not goes_direct(config(url))
        with grpc.insecure_channel(config(url).server.target, channel_options(config(url))) as channel:
            call = channel.unary_unary("/x/y").future(b"", timeout=10 if wanted else 0.1)
            assert isinstance(call.exception(), grpc.RpcError)
        assert bool(proxy.wanted) is wanted
