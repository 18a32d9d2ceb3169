"""Servers that are not the right one: gateways, web servers, ports for TLS and those that close at once."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from functools import partial

__all__ = ["answering", "closing", "gateway", "resetting", "tls_only"]

_PREFACE = 24
_DATA, _HEADERS, _RESET, _SETTINGS, _PING = 0, 1, 3, 4, 6
_ACKNOWLEDGED = 1
_END_HEADERS, _END_STREAM = 4, 1


@contextlib.contextmanager
def _listening(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    def handle(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            serve(connection)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def answering(answer: bytes) -> contextlib.AbstractContextManager[str]:
    """Serve one answer to whatever comes, as a web server does to what it does not understand."""

    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(answer)

    return _listening(serve)


def closing() -> contextlib.AbstractContextManager[str]:
    """Close each connection at once, as Triton's HTTP port does."""
    return _listening(lambda connection: connection.recv(1))


def tls_only(key: bytes, certificates: bytes, folder: str) -> contextlib.AbstractContextManager[str]:
    """Serve HTTPS without HTTP/2."""
    with open(f"{folder}/pem", "wb") as file:  # noqa: PTH123
        file.write(key + certificates)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/pem")

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1000)
            secured.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    return _listening(serve)


def gateway(
    status: int, body: bytes = b"", *, at_once: bool = False, **headers: str
) -> contextlib.AbstractContextManager[str]:
    """Answer each call with a status of HTTP, over HTTP/2.

    Args:
        status: of HTTP.
        body: a page.
        at_once: whether the page is sent in one piece with the status, and the end of the request is not waited for. Else
            the page of a failure comes when gRPC has looked at the status, which it otherwise loses now and then.
        **headers: further ones.
    """
    fields = {":status": str(status), "server": "nginx", **headers}
    head = b"".join(_field(name, value) for name, value in fields.items())

    def answer(connection: socket.socket, stream: int) -> bytes | None:
        end = 0 if body else _END_STREAM
        first = _frame(_HEADERS, _END_HEADERS | end, stream, head)
        page = _frame(_DATA, _END_STREAM, stream, body) if body else b""
        if at_once:
            connection.sendall(first + page + _frame(_RESET, 0, stream, bytes(4)))
            return None
        connection.sendall(first if status != 200 else first + page)
        return page if status != 200 else None

    return _listening(partial(_serve_http2, answer=answer))


def resetting(code: int) -> contextlib.AbstractContextManager[str]:
    """Begin the answer to each call as gRPC does, and end it by a reset of its stream."""
    head = _field(":status", "200") + _field("content-type", "application/grpc")

    def answer(connection: socket.socket, stream: int) -> None:
        connection.sendall(_frame(_HEADERS, _END_HEADERS, stream, head))
        connection.sendall(_frame(_RESET, 0, stream, struct.pack(">I", code)))

    return _listening(partial(_serve_http2, answer=answer))


def _serve_http2(connection: socket.socket, answer: Callable[[socket.socket, int], bytes | None]) -> None:
    """Answer each call; what an answer returns is sent when the client has ended the call."""
    connection.sendall(_frame(_SETTINGS))
    rest: dict[int, bytes | None] = {}
    data = b""
    while came := connection.recv(65_536):
        data += came
        data = data[_PREFACE:] if data.startswith(b"PRI") else data
        while len(data) >= 9 and len(data) >= 9 + (size := int.from_bytes(data[:3], "big")):
            kind, flags, stream = data[3], data[4], int.from_bytes(data[5:9], "big")
            data = data[9 + size :]
            if kind in {_SETTINGS, _PING} and not flags & _ACKNOWLEDGED:
                connection.sendall(_frame(kind, _ACKNOWLEDGED, 0, b"12345678" if kind == _PING else b""))
            elif kind == _HEADERS:
                rest[stream] = answer(connection, stream)
            elif kind == _RESET:
                connection.sendall(rest.pop(stream, None) or b"")


def _frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _field(name: str, value: str) -> bytes:
    parts = (name.encode(), value.encode())
    return b"\x00" + b"".join(bytes([len(part)]) + part for part in parts)
