"""What gRPC itself says of a connection that failed, or of an answer that is not gRPC's: what happened and what to do.

Nothing documented tells gRPC's own statuses from those of the server: code, details and metadata look the same (grpcio
1.85). Only metadata at the end proves a server. So gRPC's own words are known by the way they begin; all others are the
server's. The words are those of gRPC 1.85; where they change, the error says that the server words it, with gRPC's text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote

from nupic_client._core.calls.tls_advice import tls_advice
from nupic_client._core.kserve.http_statuses import HTTP_STATUSES, phrase
from nupic_client._core.kserve.server_words import shorten
from nupic_client.errors import ConnectionFailedError, ProtocolError, RequestError, RequestRejectedError

__all__ = ["Reading", "gateway_failure", "is_of_grpc", "unreachable"]


class Reading(NamedTuple):
    """What a text of gRPC means."""

    error: type[RequestError]
    message: str
    retryable: bool


_OF_GRPC = re.compile(
    r"(?:(?:UNAVAILABLE|UNKNOWN|INTERNAL): )?(?:(?:ipv4|ipv6|unix|dns|vsock):\S+: )?"
    r"(?:failed to (?:connect to (?:all addresses|remote host)|pick|parse http)|connections to all backends failing"
    r"|connection (?:refused|reset|timed out|closed|aborted|attempt timed out|dropped)|no route to host"
    r"|network (?:is )?unreachable|host is (?:down|unreachable)|broken pipe|socket (?:is )?closed|empty address list"
    r"|endpoint (?:closing|read|write|closed)|transport (?:closed|is closing|destroyed|disconnected)"
    r"|channel (?:is )?closed|(?:stream|subchannel) (?:removed|refused|disconnected)|end of tcp stream"
    r"|(?:received )?(?:GOAWAY|RST_STREAM)|failed parsing http|too many pings|keepalive|ping timeout"
    r"|max(?:imum)?[ _]connection[ _](?:age|idle)|enter idle|recvmsg|sendmsg|readv?:|writev?:|tcp handshake"
    r"|(?:ssl|tls|tsi|security) ?hand ?shak|hand ?shak|(?:dns|name|address) resol|errors resolving"
    r"|c-ares|domain name not found|fd shutdown|delayed close|server closed the stream without)",
    re.IGNORECASE,
)


def is_of_grpc(details: str) -> bool:
    """Return whether gRPC words a failure of the connection like this, and not the server."""
    return _OF_GRPC.match(details) is not None


_REFUSED = re.compile(r"connection refused|ECONNREFUSED|WSA Error.*10061", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:ipv4|ipv6|unix|vsock):(?P<address>\S+?):\s")
_PREFIX = re.compile(r"^failed to connect to all addresses; last error: [A-Z_]+: ")
_CLOSED_AT_ONCE = "last error: UNAVAILABLE"
_FRAME_KIND = re.compile(r"Expected SETTINGS frame as the first frame, got frame type (?P<kind>\d+)")
_HTTP1 = "http1.x server"
_LETTERS = range(0x20, 0x7F)
"""Kinds of frames that do not exist: the fourth letter of an answer in HTTP/1, or of a page."""
_NO_HTTP2 = "missing selected ALPN"

_GRPC_PORT = "give Triton's gRPC port (8001 by default)"
_HTTP_PORT = "8000"
_UNKNOWN_PLACE = "the server"
_TLS_HINT = (
    "it may want TLS (a grpcs:// url) or a client certificate (TLS(certificate_chain=…, private_key=…))"
)
_PINGS_ADVICE = (
    "the server ended the connection because it was pinged too often: raise grpc.keepalive_time_ms in channel_options"
    " (300000 is what servers allow by default)"
)
_AGED = re.compile(r"enter idle|max(?:imum)?[ _]connection[ _]age", re.IGNORECASE)
"""Triton 2.51 and grpcio 1.85."""
_AGE_ADVICE = (
    "the server ended the connection because of its age, with the calls that still ran: raise the grace"
    " (--grpc-max-connection-age-grace, milliseconds, where it is Triton)"
)


def unreachable(details: str, target: str) -> Reading:
    """Return what gRPC's words for a connection that failed mean.

    Args:
        details: of a status that is gRPC's own.
        target: the server as the client was told; empty where it is not known.
    """
    advice = tls_advice(details, "grpc")
    if advice is not None:
        return Reading(ConnectionFailedError, f"{advice}: {_readable(details)}", retryable=False)
    place = _place(details, target)
    for reading in (_not_grpc(details, place), _refused(details, place)):
        if reading is not None:
            return reading
    sentence = "cannot reach the server"
    if "too_many_pings" in details or "Too many pings" in details:
        sentence = _PINGS_ADVICE
    elif _AGED.match(details):
        sentence = _AGE_ADVICE
    elif _CLOSED_AT_ONCE in details:
        return _closed_at_once(details, place)
    return Reading(ConnectionFailedError, f"{sentence}: {_readable(details)}", retryable=True)


def _not_grpc(details: str, place: str) -> Reading | None:
    """Return the reading of an answer that is not gRPC's, at the very beginning of a connection."""
    if _NO_HTTP2 in details:
        message = f"{place} speaks TLS, but not gRPC (HTTP/2): {_GRPC_PORT}, or one where gRPC is served"
        return Reading(ConnectionFailedError, message, retryable=False)
    kind = _FRAME_KIND.search(details)
    if _HTTP1 in details or (kind is not None and int(kind["kind"]) in _LETTERS):
        message = f"{place} speaks HTTP, not gRPC: {_GRPC_PORT}, or a grpcs:// url where the port is for TLS"
        return Reading(ConnectionFailedError, message, retryable=False)
    if kind is not None and details.startswith("failed to connect"):
        message = f"{place} does not speak plain gRPC: {_TLS_HINT}, or it is another port: {_GRPC_PORT}"
        return Reading(ConnectionFailedError, message, retryable=False)
    return None


def _closed_at_once(details: str, place: str) -> Reading:
    """Return the reading of a connection that the server closed before it said anything."""
    if place.rpartition(":")[2] == _HTTP_PORT:
        message = f"{place} closed the connection at once, as Triton's HTTP port does (8000 by default): {_GRPC_PORT}"
        return Reading(ConnectionFailedError, message, retryable=False)
    # So does a server that is just going down, or a container whose server is not up yet: another try may help.
    message = (
        f"the server closed the connection at once: {_TLS_HINT}; or this is Triton's HTTP port: {_GRPC_PORT}."
        f" gRPC says: {_readable(details)}"
    )
    return Reading(ConnectionFailedError, message, retryable=True)


def _refused(details: str, place: str) -> Reading | None:
    if _REFUSED.search(details) is None:
        return None
    tried = _tried(details)
    # A name has an address or two, and gRPC tells only of the last that it tried.
    by_name = re.fullmatch(r"[^:]*[a-zA-Z][^:]*:\d+", place) is not None
    also = f" ({tried})" if by_name and tried not in {"", place} else ""
    there = "" if place == _UNKNOWN_PLACE else f", nothing listens on {place}{also}"
    which = f"{_HTTP_PORT} is Triton's HTTP port, " if place.rpartition(":")[2] == _HTTP_PORT else ""
    message = (
        f"cannot reach the server: connection refused{there}. Is it running? Start one with 'nupic-client serve', or"
        f" {which}{_GRPC_PORT}"
    )
    return Reading(ConnectionFailedError, message, retryable=True)


def _tried(details: str) -> str:
    """Return the address that gRPC tried last, readable; "" where it does not say."""
    found = _ADDRESS.search(details)
    return "" if found is None else unquote(found["address"])


def _place(details: str, target: str) -> str:
    """Return the server as the client was told; the address of the one of a list that gRPC tells of."""
    target = target.removeprefix("dns:///")
    return _tried(details) or target or _UNKNOWN_PLACE if "," in target or not target else target


def _readable(details: str) -> str:
    text = _ADDRESS.sub(lambda match: f"{unquote(match['address'])}: ", shorten(details))
    return _PREFIX.sub("", text)


# --- answers of gateways, which are HTTP and not gRPC

_OF_HTTP2 = re.compile(
    r"Stream removed \(|Error in HTTP transport completing operation: |Pending writes failed due to stream closure \("
    r"|Received http2 header with status: "
)
"""How gRPC begins when an answer ends without a status of gRPC; which of these, and what it adds, is a matter of chance."""
_HTTP_STATUS = re.compile(r"Received http2 header with status: (?P<status>\d{1,3})\b")
_NO_TRAILERS = re.compile(r"No status received$")
_PAGE = "(Data frame with END_STREAM flag received)"
_TOO_LARGE = "Stream removed (received metadata size exceeds"
_RESET = re.compile(r"\(Received RST_STREAM with error code (?P<code>\d+)\)")
_ENDED_BY_OTHERS: Mapping[int, str] = MappingProxyType(
    {0: "NO_ERROR", 2: "INTERNAL_ERROR", 10: "CONNECT_ERROR"}
)
"""Codes of RFC 9113 that blame nobody: nginx 1.31 gives 2 when the server behind it has died in the middle of its answer."""
_WITH_A_STATUS = frozenset({7, 8, 11, 12})
"""Codes that gRPC has statuses for, https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors."""
_GATEWAY_ADVICE: Mapping[int, str] = MappingProxyType(
    {
        401: "it wants valid credentials",
        403: "these credentials do not allow it",
        404: "it has no gRPC service behind this url: check the url, and the routes of the gateway",
        407: "it wants credentials of its own",
        413: "the request is too large for it: shorten the prompt, or raise the limit of the gateway",
        429: "it has no capacity for this now",
        431: "the metadata is too large for it",
        502: "it does not reach the server",
        503: "it does not reach the server, or that is not ready",
        504: "it gave up waiting for the server",
    }
)


def gateway_failure(details: str, *, streamed: bool = False) -> Reading | None:
    """Return the reading of an answer of a gateway, or None for other texts.

    Args:
        details: of any status.
        streamed: whether they are of a stream. There gRPC loses the status of HTTP where a page comes right behind it: a 502
            is told as such, or like a page of a web server (grpcio 1.85). Of a unary call it knows the status always.
    """
    if _NO_TRAILERS.match(details):
        return _page(details, retryable=False)
    if not _OF_HTTP2.match(details):
        return None
    found = _HTTP_STATUS.search(details)
    if found is not None:
        status = int(found["status"])
        return _page(details, retryable=False) if status < 100 else _http_status(status)
    if _TOO_LARGE in details:
        message = (
            "the server's metadata, with the text of its error, are larger than this client takes: raise"
            f" grpc.max_metadata_size in channel_options ({shorten(details)})"
        )
        return Reading(ProtocolError, message, retryable=False)
    if _PAGE in details:
        return _page(details, retryable=streamed)
    reset = _RESET.search(details)
    return None if reset is None else _reset(int(reset["code"]), details)


def _page(details: str, *, retryable: bool) -> Reading:
    """Return the reading of an answer that is not gRPC's, whose status is not known, or is not one."""
    message = (
        "the answer is not gRPC's: a gateway or a web server answered, perhaps with a page. Check the url, that the gateway"
        f" passes gRPC on, and that it reaches the server ({shorten(details)})"
    )
    return Reading(ProtocolError, message, retryable)


def _reset(code: int, details: str) -> Reading | None:
    """Return the reading of an answer that a reset of its stream ended; None where gRPC's status says what it means."""
    if code in _WITH_A_STATUS:
        return None
    if code in _ENDED_BY_OTHERS:
        message = (
            "the connection broke: a gateway or the server ended the answer, as a gateway does when the server behind it has"
            f" died ({shorten(details)})"
        )
        return Reading(ConnectionFailedError, message, retryable=True)
    message = f"a gateway or the server ended the answer because of HTTP/2 ({shorten(details)})"
    return Reading(ProtocolError, message, retryable=True)


def _http_status(status: int) -> Reading:
    """Return the reading of a status of HTTP."""
    said = f"the gateway answered {status} {phrase(status)}".rstrip()
    if 300 <= status < 400:
        message = f"{said}, which is not followed: give the url where it is"
        return Reading(RequestRejectedError, message, retryable=False)
    meaning = HTTP_STATUSES.get(status)
    kind: type[RequestError]
    if status == 404:  # no model: the gateway knows none
        kind, retryable = RequestRejectedError, False
    elif meaning is not None:
        kind, retryable = meaning.error, meaning.retryable
    else:
        kind, retryable = (RequestRejectedError if status < 500 else ConnectionFailedError), False
    advice = _GATEWAY_ADVICE.get(status)
    return Reading(kind, f"{said}: {advice}" if advice else said, retryable)
