"""What gRPC says of connections that failed; the texts are those of gRPC 1.85, seen."""

from __future__ import annotations

import pytest

from nupic_client._grpc.connection_words import gateway_failure, is_of_grpc, unreachable
from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InferenceError,
    OverloadedError,
    ProtocolError,
    RequestRejectedError,
)

ALL = "failed to connect to all addresses; last error: "
REFUSED = ALL + "UNKNOWN: {}: Failed to connect to remote host: Connection refused"

OF_GRPC = [
    REFUSED.format("ipv4:127.0.0.1:1"),
    "connections to all backends failing; last error: UNKNOWN: ipv4:127.0.0.1:1: Connection refused",
    "Socket closed",
    "Socket closed (GOAWAY received; Debug Text: too_many_pings)",
    "Stream removed (Socket closed)",
    "Stream removed (Channel closed!)",
    "recvmsg:Connection reset by peer (104)",
    "Connection reset by peer",
    "Connection refused",
    "Broken pipe",
    "GOAWAY received",
    "Too many pings",
    "keepalive watchdog timeout",
    "ping timeout",
    "max connection age",
    "enter idle",
    "Received RST_STREAM with error code 7",
    "DNS resolution failed for nosuch:8001: C-ares status is not ARES_SUCCESS",
    "channel is closed",
    "Channel closed!",
    "Endpoint read failed",
    "empty address list: ",
    "ipv4:127.0.0.1:1: Failed to connect to remote host: No route to host",
    "Transport closed",
]
OF_A_SERVER = [
    "",
    "This protocol is restricted, expecting header 'x'",
    "Request timeout expired",
    "explicit model load / unload is not allowed if polling is enabled",
    "the connection to the database was refused: Socket closed",
    "cannot connect to redis: Connection refused",
    "no healthy upstream",
    "my words",
    "Server exiting",
    "streams are not offered now",
    "connection pool exhausted",
    "model 'x': Stub process is gone",
    "the model may not enter idle",
]


@pytest.mark.parametrize("text", OF_GRPC)
def test_words_of_grpc(text):
    """I-F3: only these are a connection that failed."""
    assert is_of_grpc(text)
    assert unreachable(text, "host:8001").error in {ConnectionFailedError, ProtocolError}


@pytest.mark.parametrize("text", OF_A_SERVER)
def test_words_of_a_server(text):
    """I-F3: a server that words it itself was reached."""
    assert not is_of_grpc(text)


@pytest.mark.parametrize(
    ("target", "tried", "place"),
    [
        ("localhost:9999", "ipv6:%5B::1%5D:9999", "localhost:9999 ([::1]:9999)"),
        ("dns:///name:9999", "ipv4:10.0.0.1:9999", "name:9999 (10.0.0.1:9999)"),
        ("127.0.0.1:9999", "ipv4:127.0.0.1:9999", "127.0.0.1:9999"),
        ("[::1]:9999", "ipv6:%5B::1%5D:9999", "[::1]:9999"),
        ("a:1, b:2", "ipv4:10.0.0.2:2", "10.0.0.2:2"),
        ("", "ipv4:10.0.0.2:2", "10.0.0.2:2"),
        ("unix:/run/x", "unix:/run/x", "unix:/run/x"),
    ],
)
def test_a_refused_connection_says_where_and_what_to_do(target, tried, place):
    """U-A10."""
    reading = unreachable(REFUSED.format(tried), target)
    assert reading.message == (
        f"cannot reach the server: connection refused, nothing listens on {place}. Is it running? Start one with"
        " 'nupic-client serve', or give Triton's gRPC port (8001 by default)"
    )
    assert reading.retryable


def test_a_refused_connection_to_the_http_port_says_that_too():
    """U-B5: with a name of two addresses gRPC tells only of the last one."""
    reading = unreachable(REFUSED.format("ipv6:%5B::1%5D:8000"), "localhost:8000")
    assert "8000 is Triton's HTTP port, give Triton's gRPC port (8001 by default)" in reading.message


HTTP1 = "Failed parsing HTTP/2 (Expected SETTINGS frame as the first frame, got frame type {})"


@pytest.mark.parametrize(
    "text",
    [
        HTTP1.format(80) + " (Trying to connect an http1.x server (HTTP status 400))",
        HTTP1.format(80) + " (Trying to connect an http1.x server)",
        HTTP1.format(79),
        HTTP1.format(116),
    ],
)
@pytest.mark.parametrize("target", ["localhost:8000", "host:31234"])
def test_an_http_port_is_named(text, target):
    """P-F10, U-B5."""
    reading = unreachable(f"{ALL}INTERNAL: ipv4:127.0.0.1:8000: {text}", target)
    words = f"{target} speaks HTTP, not gRPC: give Triton's gRPC port (8001 by default)"
    assert reading.message.startswith(words)
    assert (reading.error, reading.retryable) == (ConnectionFailedError, False)


def test_a_port_for_tls_is_named():
    """P-F10: an OpenSSL server answers plain words with an alert, whose fourth byte is no letter."""
    reading = unreachable(f"{ALL}INTERNAL: ipv4:127.0.0.1:443: {HTTP1.format(0)}", "host:443")
    assert "host:443 does not speak plain gRPC: it may want TLS (a grpcs:// url)" in reading.message
    assert not reading.retryable


@pytest.mark.parametrize("how", ["Socket closed", "recvmsg:Connection reset by peer (104)"])
def test_a_connection_that_is_closed_at_once(how):
    """P-F10: Triton's HTTP port does so, and so do servers that want TLS or are just going down."""
    closed = f"{ALL}UNAVAILABLE: ipv4:127.0.0.1:%s: {how}"
    usual = unreachable(closed % 9001, "127.0.0.1:9001")
    assert usual.message.startswith(
        "the server closed the connection at once: it may want TLS (a grpcs:// url)"
    )
    assert "or this is Triton's HTTP port: give Triton's gRPC port (8001 by default)" in usual.message
    assert usual.retryable
    http = unreachable(closed % 8000, "127.0.0.1:8000")
    assert http.message.startswith("127.0.0.1:8000 closed the connection at once, as Triton's HTTP port does")
    assert not http.retryable


def test_addresses_are_readable():
    reading = unreachable(f"{ALL}UNKNOWN: ipv6:%5B::1%5D:9: connection attempt timed out", "")
    assert reading.message == "cannot reach the server: [::1]:9: connection attempt timed out"


GATEWAY = {
    301: (RequestRejectedError, False),
    400: (RequestRejectedError, False),
    401: (AuthenticationError, False),
    403: (AuthenticationError, False),
    404: (RequestRejectedError, False),
    407: (AuthenticationError, False),
    408: (ConnectionFailedError, True),
    413: (RequestRejectedError, False),
    418: (RequestRejectedError, False),
    429: (OverloadedError, True),
    431: (RequestRejectedError, False),
    500: (InferenceError, False),
    502: (ConnectionFailedError, True),
    503: (ConnectionFailedError, True),
    504: (ConnectionFailedError, True),
    521: (ConnectionFailedError, False),
}


@pytest.mark.parametrize("status", GATEWAY)
@pytest.mark.parametrize(
    "text",
    ["Received http2 header with status: {}", "Stream removed (Received http2 header with status: {})"],
)
def test_the_answer_of_a_gateway(status, text):
    """P-F15."""
    reading = gateway_failure(text.format(status))
    assert (reading.error, reading.retryable) == GATEWAY[status]
    assert reading.message.startswith(f"the gateway answered {status}")


def test_what_to_do_about_a_gateway():
    """P-F15."""
    assert gateway_failure("Received http2 header with status: 413").message.endswith(
        "): the request is too large for it: shorten the prompt, or raise the limit of the gateway"
    )
    assert gateway_failure("Received http2 header with status: 502").message == (
        "the gateway answered 502 (Bad Gateway): it does not reach the server"
    )


RESET = "(RST_STREAM (Received RST_STREAM with error code {}))"
PAGE = "Data frame with END_STREAM flag received"
WRITING = (
    "Error in HTTP transport completing operation: send_trailing_metadata_finished write_state=IDLE refs=1 flags=1"
    " peer_address=ipv4:127.0.0.1:52389 (Pending writes failed due to stream closure ({}))"
)
"""grpcio 1.85, of nginx 1.31."""
PAGES = {
    f"Stream removed ({PAGE})": True,
    f"Stream removed ({PAGE}) {RESET.format(0)}": True,
    f"Stream removed ({PAGE}) {RESET.format(0)} ({WRITING.format(PAGE)})": True,
    WRITING.format(PAGE): True,
    "No status received": False,
    "Received http2 header with status: 0": False,  # HTTP/1 by proxy_pass to a server of gRPC
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("text", PAGES)
def test_a_page_in_place_of_an_answer(text, streamed):
    """P-F15: 200 with HTML; of a stream also any other status, which gRPC has lost."""
    reading = gateway_failure(text, streamed=streamed)
    assert (reading.error, reading.retryable) == (ProtocolError, streamed and PAGES[text])
    assert reading.message.startswith("the answer is not gRPC's")


def test_a_status_among_other_words_of_grpc():
    text = WRITING.format("Received http2 header with status: 502")
    assert gateway_failure(text).message.startswith("the gateway answered 502")


def test_metadata_that_are_too_large():
    text = "Stream removed (received metadata size exceeds hard limit (value length 20000 vs. 16384))"
    reading = gateway_failure(text)
    assert (reading.error, reading.retryable) == (ProtocolError, False)
    assert "raise grpc.max_metadata_size in channel_options" in reading.message


@pytest.mark.parametrize("code", [0, 2, 10])
def test_an_answer_that_was_ended_by_others(code):
    """2 is nginx's for a server that has died in the middle of its answer."""
    reading = gateway_failure(f"Stream removed {RESET.format(code)}")
    assert (reading.error, reading.retryable) == (ConnectionFailedError, True)


@pytest.mark.parametrize("code", [1, 3, 6, 9, 13])
def test_an_answer_that_was_ended_for_what_was_sent(code):
    reading = gateway_failure(f"Stream removed {RESET.format(code)}")
    assert (reading.error, reading.retryable) == (ProtocolError, True)


@pytest.mark.parametrize("code", [7, 8, 11, 12])
def test_resets_that_grpc_has_statuses_for(code):
    assert gateway_failure(f"Stream removed {RESET.format(code)}") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "broken",
        "the log says: Received http2 header with status: 502",
        f"the log says: {PAGE}",
        "Stream removed (Socket closed)",
    ],
)
def test_other_texts_are_not_of_a_gateway(text):
    assert gateway_failure(text) is None
