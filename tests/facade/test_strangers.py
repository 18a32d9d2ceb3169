"""Who else answers at a url: gateways with a status of HTTP, web servers, ports for TLS. Each way to ask says the same."""

from __future__ import annotations

import asyncio
import socket
import traceback

import pytest
from facade import strangers
from local.certificates import AUTHORITY, ROOTS

from nupic_client import (
    TLS,
    AuthenticationError,
    ConnectionFailedError,
    InferenceClient,
    InferenceError,
    OverloadedError,
    ProtocolError,
    RequestError,
    RequestRejectedError,
    RetryPolicy,
    ServerClient,
    StreamingClient,
)
from nupic_client.testing import text_signature

FAST = RetryPolicy(max_retries=1, initial_backoff=0.01, max_backoff=0.01)
SIGNATURE = text_signature("m")


def streamed(url, prompt="hi", **options):
    return StreamingClient("m", url, **options).generate(prompt, signature=SIGNATURE)


def streamed_async(url, prompt="hi", **options):
    return asyncio.run(StreamingClient("m", url, **options).agenerate(prompt, signature=SIGNATURE))


def mapped(url, prompt="hi", **options):
    return list(StreamingClient("m", url, **options).map([prompt], signature=SIGNATURE))


def called(url, **options):
    return InferenceClient("m", url, **options).infer(["hi"])


def called_async(url, **options):
    return asyncio.run(InferenceClient("m", url, **options).ainfer(["hi"]))


WAYS = [streamed, streamed_async, called, called_async]
each_way = pytest.mark.parametrize("ask", WAYS)


def failure(ask, url, **options):
    with pytest.raises(RequestError) as caught:
        ask(url, max_retries=options.pop("max_retries", FAST), **options)
    return caught.value


@each_way
@pytest.mark.parametrize("body", [b"", b"<html>gateway</html>"], ids=["empty", "page"])
@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (413, RequestRejectedError, False),
        (429, OverloadedError, True),
        (401, AuthenticationError, False),
        (403, AuthenticationError, False),
        (404, RequestRejectedError, False),
        (302, RequestRejectedError, False),
        (500, InferenceError, False),
        (502, ConnectionFailedError, True),
        (503, ConnectionFailedError, True),
        (504, ConnectionFailedError, True),
    ],
)
def test_the_status_of_a_gateway(ask, status, kind, retryable, body):
    """P-F15."""
    with strangers.gateway(status, body) as url:
        error = failure(ask, url)
    assert (type(error), error.retryable, len(error.attempts)) == (kind, retryable, 2 if retryable else 1)
    assert f"the gateway answered {status}" in error.message
    assert "cannot reach" not in error.message


@each_way
@pytest.mark.parametrize("body", [b"", b"<html>welcome</html>"], ids=["empty", "page"])
def test_a_page_in_place_of_an_answer(ask, body):
    """P-F15."""
    with strangers.gateway(200, body, **{"content-type": "text/html"}) as url:
        error = failure(ask, url)
    lost = bool(body) and ask in {streamed, streamed_async}  # such a page may be that of a 502
    assert (type(error), len(error.attempts)) == (ProtocolError, 2 if lost else 1)
    assert "the answer is not gRPC's: a gateway or a web server answered" in error.message


@pytest.mark.parametrize("ask", [streamed, streamed_async, mapped])
@pytest.mark.parametrize("size", [2, 3_000_000])
def test_a_page_that_comes_before_grpc_has_looked_at_its_status(ask, size):
    """nginx sends both at once, while it still gets the request: gRPC has several texts for that, some without status."""
    with strangers.gateway(502, b"<html>gateway</html>", at_once=True) as url:
        for _ in range(5):
            error = failure(ask, url, prompt="x" * size)
            assert type(error) in {ConnectionFailedError, ProtocolError}, error
            assert (error.retryable, len(error.attempts)) == (True, 2)


@each_way
def test_an_answer_that_its_gateway_ends(ask):
    """nginx does it when the server behind it has died."""
    with strangers.resetting(2) as url:
        error = failure(ask, url)
    assert (type(error), error.status, error.retryable) == (ConnectionFailedError, "INTERNAL", True)
    assert error.message.startswith("the connection broke: a gateway or the server ended the answer")


@each_way
def test_a_gateway_that_speaks_grpc_says_when_to_come_back(ask):
    """P-F15: as Envoy does."""
    says = {
        "content-type": "application/grpc",
        "grpc-status": "14",
        "grpc-message": "no healthy upstream",
        "retry-after": "7",
    }
    with strangers.gateway(200, **says) as url:
        error = failure(ask, url, max_retries=0)
    assert (type(error), error.retry_after, error.retryable) == (ConnectionFailedError, 7.0, True)
    assert error.message == "the gateway does not reach the server: no healthy upstream"


HTTP1 = {
    "nginx": b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n",
    "an old server": b"<!DOCTYPE html><html>bad request</html>",
    "a page alone": b"<html>The plain HTTP request was sent to HTTPS port</html>",
}


@each_way
@pytest.mark.parametrize("answer", HTTP1.values(), ids=HTTP1)
def test_a_port_for_http(ask, answer):
    """P-F10, U-B5: the commonest mistake of all."""
    with strangers.answering(answer) as url:
        error = failure(ask, url)
    assert f"{url} speaks HTTP, not gRPC: give Triton's gRPC port (8001 by default)" in error.message
    assert (type(error), error.retryable, len(error.attempts)) == (ConnectionFailedError, False, 1)


@each_way
def test_an_alert_of_tls(ask):
    """P-F10: too short for a frame, so that gRPC tells of a connection that was closed."""
    with strangers.answering(b"\x15\x03\x03\x00\x02\x02\x46") as url:
        error = failure(ask, url)
    assert "it may want TLS (a grpcs:// url)" in error.message
    assert type(error) is ConnectionFailedError


@each_way
def test_https_without_http2(ask, tmp_path):
    """P-F10: a TLS-only proxy that does not pass gRPC on."""
    pair = AUTHORITY.issue_cert("127.0.0.1")
    pem = b"".join(blob.bytes() for blob in pair.cert_chain_pems)
    with strangers.tls_only(pair.private_key_pem.bytes(), pem, str(tmp_path)) as url:
        error = failure(ask, f"grpcs://{url}", tls=TLS(root_certificates=ROOTS))
    assert (type(error), error.retryable) == (ConnectionFailedError, False), error
    assert "speaks TLS, but not gRPC (HTTP/2)" in error.message


@each_way
def test_a_port_that_closes_at_once(ask):
    """P-F10: Triton's HTTP port does so."""
    with strangers.closing() as url:
        error = failure(ask, url)
    assert "or this is Triton's HTTP port: give Triton's gRPC port (8001 by default)" in error.message
    assert "it may want TLS (a grpcs:// url)" in error.message
    assert error.retryable


def unused_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@each_way
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_nothing_listens(ask, host):
    """U-A10: what to do, a readable address, and few lines."""
    url = f"{host}:{unused_port()}"
    try:
        ask(url, max_retries=0)
    except ConnectionFailedError as caught:
        error, lines = caught, traceback.format_exc().splitlines()
    assert f"connection refused, nothing listens on {url}" in error.message
    assert "'nupic-client serve'" in error.message
    assert "gRPC port (8001 by default)" in error.message
    assert "%5B" not in str(error)
    assert error.server_message
    assert "During handling" not in "".join(lines)
    assert "direct cause" not in "".join(lines)
    ours = [line for line in lines if "/nupic_client/" in line]
    assert len(ours) <= 6, "\n".join(lines)


def waiting(client):
    return client.wait_until_ready(timeout=20)


QUESTIONS = [
    ServerClient.is_live,
    ServerClient.is_ready,
    lambda client: client.is_model_ready("m"),
    waiting,
    lambda client: asyncio.run(client.ais_live()),
    lambda client: asyncio.run(client.await_until_ready(timeout=20)),
]


@pytest.mark.parametrize("ask", QUESTIONS)
def test_waiting_does_not_help_against_the_wrong_port(ask):
    """P-F10, U-B5."""
    with strangers.answering(HTTP1["nginx"]) as url, ServerClient(url) as client:
        with pytest.raises(ConnectionFailedError, match="speaks HTTP, not gRPC"):
            ask(client)


def test_a_gateway_without_its_server_is_not_live():
    """P-F15: waiting may help."""
    with strangers.gateway(502) as url, ServerClient(url) as client:
        assert client.is_live() is False
        assert client.is_model_ready("m") is False
