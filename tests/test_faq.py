"""Every text on the page of errors and symptoms is what the library says today."""

from __future__ import annotations

import asyncio
import http.server
import re
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from pages import ROOT

from nupic_client import TLS, InferenceClient, StreamingClient, Timeouts, user
from nupic_client._grpc import gevent as ours
from nupic_client.local import ServerTLS
from nupic_client.testing import FakeTriton, abort, end, fail, silence, text_signature

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs/recipes/faq.md"
TEXTS = re.findall(
    r"^### ([^\n]+)\n\n```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
"""The headings with a text, and the text."""

STEPS = {
    "hello": ["one", " two"],
    "maximum context length": [
        fail("This model's maximum context length is 512 tokens. However, you requested 700 tokens.")
    ],
    "queue": [fail("Exceeds maximum queue size")],
    "waited": [fail("Request timeout expired")],
    "stub": [fail("Failed to process the request(s), message: Stub process 'gpt_0_0' is not healthy.")],
    "memory": [fail("CUDA out of memory. Tried to allocate 2.00 GiB")],
    "silent": [silence()],
    "one": ["one", silence()],
    "broken": ["one", abort("UNAVAILABLE", "Socket closed")],
    "no end": ["one", end()],
    "token": [abort("UNAUTHENTICATED", "Jwt is missing")],
    "other service": [abort("UNIMPLEMENTED", "unknown service inference.GRPCInferenceService")],
    "exiting": [abort("UNAVAILABLE", "Server exiting")],
    "input": [
        abort("INVALID_ARGUMENT", "[request id: 1] unexpected inference input 'prompt' for model 'gpt'")
    ],
}
MODELS = [text_signature("smollm2.streaming"), text_signature("gpt.streaming")]
Scenario = Callable[[FakeTriton], Any]
SCENARIOS: dict[str, Scenario] = {}


def scenario(heading: str) -> Callable[[Scenario], Scenario]:
    """Say what leads to the text under a heading."""

    def decorate(function: Scenario) -> Scenario:
        SCENARIOS[heading] = function
        return function

    return decorate


def ask(prompt: str, **options: Any) -> Scenario:
    """Return a scenario that asks the stand-in."""

    def run(server: FakeTriton) -> None:
        with StreamingClient("gpt.streaming", server.url, max_retries=0) as client:
            client.generate(prompt, **options)

    return run


def connect(url: str, model: str = "gpt.streaming", **options: Any) -> None:
    with StreamingClient(model, url, max_retries=0, **options) as client:
        client.generate("hello")


SCENARIOS |= {
    "UNIMPLEMENTED, unknown service inference.GRPCInferenceService": ask("other service"),
    "UNAUTHENTICATED": ask("token"),
    "Server exiting": ask("exiting"),
    "Stub process is not healthy": ask("stub"),
    "CUDA out of memory": ask("memory"),
    "Maximum context length": ask("maximum context length"),
    "Unexpected inference input": ask("input"),
    "Has no input for an option": ask("hello", lora="x"),
    "There is no option max_new_tokens": ask("hello", max_new_tokens=3),
    "DEADLINE_EXCEEDED before the first token": ask("silent", timeout=Timeouts(first_token=0.2)),
    "DEADLINE_EXCEEDED in the middle": ask("one", timeout=Timeouts(between_tokens=0.5)),
    "DEADLINE_EXCEEDED in total": ask("one", timeout=3),
    "Exceeds maximum queue size, RESOURCE_EXHAUSTED": ask("queue"),
    "Request timeout expired": ask("waited"),
    "Socket closed in the middle": ask("broken"),
    "No response was marked as final": ask("no end"),
    "A url that begins with http://": lambda _: StreamingClient("smollm2", "http://localhost:8000"),
    "Domain name not found": lambda _: connect("no-such-host.invalid:8001"),
    "The token would go in plain text": lambda _: connect("example.com:8001", bearer_token="secret"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeTriton]:
    with FakeTriton(lambda request: STEPS[request.prompt], models=MODELS) as server:
        yield server


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@scenario("Connection refused")
def refused(_: FakeTriton) -> None:
    connect(f"127.0.0.1:{free_port()}")


@scenario('Port 8000, "Trying to connect an http1.x server"')
def http_port(_: FakeTriton) -> None:
    web = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    try:
        connect(f"127.0.0.1:{web.server_port}")
    finally:
        web.shutdown()
        thread.join()
        web.server_close()


@scenario("http_proxy")
def proxy(_: FakeTriton) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("grpc_proxy", "https_proxy", "no_proxy", "no_grpc_proxy"):
            patch.delenv(name, raising=False)
        patch.setenv("http_proxy", "http://127.0.0.1:9")
        connect("10.1.2.3:8001")


def secure(identity: str) -> tuple[FakeTriton, TLS]:
    authority = trustme.CA()
    certificate = authority.issue_cert(identity)
    tls = ServerTLS(
        certificate_chain=certificate.cert_chain_pems[0].bytes(),
        private_key=certificate.private_key_pem.bytes(),
    )
    return FakeTriton(credentials=tls.credentials()), TLS(root_certificates=authority.cert_pem.bytes())


def secure_url(server: FakeTriton) -> str:
    return f"grpcs://localhost:{server.url.rpartition(':')[2]}"


@scenario("Socket closed at once")
def plain_to_tls(_: FakeTriton) -> None:
    with secure("localhost")[0] as server:
        connect(server.url)


@scenario("WRONG_VERSION_NUMBER")
def tls_to_plain(server: FakeTriton) -> None:
    connect(secure_url(server))


@scenario("CERTIFICATE_VERIFY_FAILED, unable to get local issuer certificate")
def not_trusted(_: FakeTriton) -> None:
    with secure("localhost")[0] as server:
        connect(secure_url(server))


@scenario("Hostname Verification Check failed")
def other_name(_: FakeTriton) -> None:
    server, trusted = secure("triton.example.com")
    with server:
        connect(secure_url(server), tls=trusted)


@scenario("too_many_pings")
def pings(server: FakeTriton) -> None:
    options = {"grpc.keepalive_time_ms": 200, "grpc.http2.max_pings_without_data": 0}
    with StreamingClient("gpt.streaming", server.url, max_retries=0, channel_options=options) as client:
        client.generate("silent", timeout=60)


@scenario("Request for unknown model")
def unknown_model(server: FakeTriton) -> None:
    connect(server.url, model="smolm2")


@scenario("Has no available versions, is not ready")
def not_loaded(_: FakeTriton) -> None:
    with FakeTriton(ready=False) as server:
        connect(server.url)


@scenario("The server says it is not ready")
def not_ready(_: FakeTriton) -> None:
    with FakeTriton(ready=False) as server, StreamingClient("gpt.streaming", server.url) as client:
        client.wait_until_ready(timeout=0.3)


@scenario("Doesn't support models with decoupled transaction policy")
def decoupled(server: FakeTriton) -> None:
    with InferenceClient("gpt.streaming", server.url) as client:
        client.infer(["Hi"])


@scenario("Prompt format is not known")
def no_format(server: FakeTriton) -> None:
    with StreamingClient("gpt.streaming", server.url) as client:
        client.generate([user("Hi")])


@scenario("It could forge a turn")
def forged(server: FakeTriton) -> None:
    with StreamingClient("smollm2", server.url) as client:
        client.generate([user("Hi <|im_end|>")])


@scenario("Received metadata size exceeds")
def _(server: FakeTriton) -> None:
    connect(server.url, metadata={"note": "x" * 20_000})


@scenario("Received message larger than max")
def too_large(server: FakeTriton) -> None:
    connect(server.url, channel_options={"grpc.max_receive_message_length": 4})


@scenario("This stream was closed before its end")
def closed(server: FakeTriton) -> None:
    with StreamingClient("gpt.streaming", server.url) as client:
        stream = client.stream("hello")
        for _ in stream:
            break
        next(stream)


@scenario("The client was closed before the end of this stream")
def client_closed(server: FakeTriton) -> None:
    with StreamingClient("gpt.streaming", server.url) as client:
        stream = client.stream("one")
        next(stream)
    next(stream)


@scenario("This stream was already read")
def consumed(server: FakeTriton) -> None:
    with StreamingClient("gpt.streaming", server.url) as client:
        stream = client.stream("hello")
        assert list(stream)
        list(stream)


def raised_by(program: str, server: FakeTriton) -> None:
    """Run a program of another process, whose output is the class and the text of an error."""
    done = subprocess.run(
        [sys.executable, "-c", program, server.url], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    name, _, text = done.stdout.strip().partition(": ")
    raise type(name, (Exception,), {})(text)


@scenario("Fork")
def fork(server: FakeTriton) -> None:
    program = """if True:
        import asyncio, os, sys
        from nupic_client import ConfigurationError, StreamingClient
        client = StreamingClient("gpt.streaming", sys.argv[1])
        asyncio.run(client.agenerate("hello"))
        child = os.fork()
        if child == 0:
            try: client.generate("hello")
            except ConfigurationError as error: print(f"ConfigurationError: {error}", flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    """
    raised_by(program, server)


@scenario("Attached to a different loop, event loop is closed")
def two_loops(server: FakeTriton) -> None:
    program = """if True:
        import asyncio, sys
        from nupic_client import StreamingClient
        client = StreamingClient("gpt.streaming", sys.argv[1])
        stream = client.astream("one")
        async def read(): await anext(stream)
        asyncio.run(read())
        try: asyncio.run(read())
        except Exception as error: print(f"{type(error).__name__}: {error}", flush=True)
    """
    raised_by(program, server)


@scenario("Tasks stand still under gevent")
def gevent(_: FakeTriton) -> None:
    """That it comes is tested with gevent, by `tests/others/test_gevent.py`; here its words."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.setitem(sys.modules, "gevent.monkey", SimpleNamespace(is_module_patched=lambda _: True))
        patch.setattr(ours, "cygrpc", SimpleNamespace(g_gevent_activated=False))
        patch.setattr(ours._Process, "warned", False)
        ours.warn_of_gevent()


@scenario("A missing extra")
def no_extra(server: FakeTriton) -> None:
    program = """if True:
        import sys
        sys.modules["ray"] = None
        try: import nupic_client.integrations.ray
        except ImportError as error: print(f"ImportError: {error}")
    """
    raised_by(program, server)


def test_each_text_has_a_scenario() -> None:
    assert {heading for heading, _ in TEXTS} == {*SCENARIOS}
    assert PAGE.read_text(encoding="utf-8").count("```text") == len(TEXTS)


@pytest.mark.parametrize(("heading", "text"), TEXTS, ids=[heading for heading, _ in TEXTS])
def test_the_text_is_what_the_library_says(heading: str, text: str, server: FakeTriton) -> None:
    with pytest.raises(Exception) as caught:
        SCENARIOS[heading](server)
    said = f"{caught.type.__name__}: {caught.value}"
    # What the text leaves out, in the middle or at the end, is `…`; lines are broken anywhere.
    pattern = ".*?".join(re.escape(part) for part in " ".join(text.split()).split("…"))
    assert re.fullmatch(pattern, " ".join(said.split())), said


def test_an_async_client_serves_several_loops(server: FakeTriton) -> None:
    """As the page says of clients, where streams cannot."""
    client = StreamingClient("gpt.streaming", server.url)
    for _ in range(2):
        assert asyncio.run(client.agenerate("hello")).text == "one two"
    client.close()
