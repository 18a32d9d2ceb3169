"""One connection of HTTP: Python's own, with a deadline for all that it reads and writes."""

from __future__ import annotations

import contextlib
import http.client
import selectors
import socket
import ssl
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nupic_client._core.kserve.rest import JSON_LENGTH
from nupic_client.errors import ProtocolError

if TYPE_CHECKING:
    from nupic_client._core.kserve.rest import RestRequest
    from nupic_client.server_url import HttpUrl

__all__ = ["CLOSED", "Body", "Connection", "TLSSocket"]

_PIECE = 64 * 2**20
"""Bytes that are read at once at most: an answer may promise more than there is memory for."""
_SOME = 2**16
_TOGETHER = 2**16
"""Bytes that are sent at once rather than as they come: each sending takes a packet and wakes the server."""
_SELECTOR = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)  # the default one opens a file each time
CLOSED = (
    http.client.RemoteDisconnected,
    ConnectionResetError,
    BrokenPipeError,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)
"""The errors of a connection that the other side has closed."""


class _Socket(socket.socket):
    """A socket that ends whatever it does at one moment, however little by little the other side sends."""

    end: float | None = None
    """When, by the monotonic clock."""

    def hurry(self, most: float | None = None) -> None:
        """Let the next operation take the time that is left, or less.

        Raises:
            TimeoutError: none is.
        """
        left = most
        if self.end is not None:
            left = self.end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            left = left if most is None else min(left, most)
        self.settimeout(left)

    def __del__(self) -> None:
        # Of a client that was only dropped. Python would close it too, but complain.
        with contextlib.suppress(Exception):
            self.close()

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        self.hurry()
        return super().recv_into(*arguments, **options)

    def send(self, *arguments: Any) -> int:
        self.hurry()
        return super().send(*arguments)

    def sendall(self, *arguments: Any) -> None:
        self.hurry()
        super().sendall(*arguments)


class TLSSocket(_Socket, ssl.SSLSocket):
    """The same with TLS; contexts make them."""


class _Response(http.client.HTTPResponse):
    """An answer; what a server says in between is passed over. The base class does that with the status 100 only."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]  # typeshed leaves it out
            if not http.HTTPStatus.SWITCHING_PROTOCOLS < found[1] < http.HTTPStatus.OK:
                return found
            http.client.parse_headers(self.fp)


class Connection(http.client.HTTPConnection):
    """A connection to a server, opened at its first request and again where the server had closed it.

    Args:
        endpoint: the server.
        context: the certificates, for TLS.
        name: the name that the server's certificate is for.
        patience: seconds that connecting may take, or None.
    """

    sock: _Socket | None
    response_class = _Response

    def __init__(
        self, endpoint: HttpUrl, context: ssl.SSLContext | None, name: str, patience: float | None
    ) -> None:
        super().__init__(endpoint.host, endpoint.port)
        if endpoint.secure:
            self.default_port = 443  # for the header Host
        self._context = context
        self._name = name
        self._patience = patience
        self._end: float | None = None
        self._interrupted = False
        self._wire: _Socket | None = None
        """The socket, also while an answer is read of which the server said that it closes the connection behind it."""
        self._held: list[bytes | memoryview] | None = None
        self.answered = False
        """Whether the headers of an answer to the last request have come."""

    def ask(
        self, request: RestRequest, path: str, headers: Mapping[str, str], end: float | None
    ) -> http.client.HTTPResponse:
        """Send a request and return what comes back, as far as its headers.

        A server may close a connection that waited for long at the very moment when it is used: then the request goes out
        once more, over another one.

        Args:
            request: the request.
            path: its whole path.
            headers: its headers.
            end: when it must be answered, by the monotonic clock.
        """
        reused = self._prepare(end)
        try:
            response = self._ask(request, path, headers)
        except CLOSED:
            if not reused or self._interrupted:
                raise
            self.close()
            response = self._ask(request, path, headers)
        self.answered = True
        return response

    def begin(self, request: RestRequest, path: str, headers: Mapping[str, str], end: float | None) -> None:
        """Send a request and wait for nothing; arguments as those of `ask`."""
        self._prepare(end)
        self._write(request, path, headers)

    def answer(self) -> http.client.HTTPResponse:
        """Wait for the answer to `begin` and return it, as far as its headers."""
        response = self.getresponse()
        self.answered = True
        return response

    def _prepare(self, end: float | None) -> bool:
        """Get ready for a request; return whether the connection was used before."""
        self._end, self.answered = end, False
        if self.sock is not None and self._is_stale():
            self.close()
        return self.sock is not None

    def _write(self, request: RestRequest, path: str, headers: Mapping[str, str]) -> None:
        if self.sock is None:
            self.connect()
        assert self.sock is not None  # noqa: S101 - for the type checker
        if self._interrupted:  # while it connected
            raise http.client.RemoteDisconnected("interrupted")
        self.sock.end = self._end
        length = {"Content-Length": str(sum(map(len, request.body)))} if request.verb == "POST" else {}
        self._held = []
        try:
            self.request(request.verb, path, request.body or None, {**headers, **request.headers, **length})
        finally:
            held, self._held = self._held, None
        first: list[bytes | memoryview] = []
        size = 0
        while held and size + len(held[0]) <= _TOGETHER:
            size += len(held[0])
            first.append(held.pop(0))
        for part in (b"".join(first), *held):
            self.sock.sendall(part)

    def send(self, data: Any) -> None:
        """Take a part of a request, which `_write` sends together with the others."""
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    def _ask(self, request: RestRequest, path: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        try:
            self._write(request, path, headers)
        except CLOSED as error:
            # A server that refuses a request may say why and close before it has read the whole.
            try:
                return self.getresponse()
            except (OSError, http.client.HTTPException):
                raise error from None
        return self.getresponse()

    def connect(self) -> None:
        """Open the connection: the first address of the server that answers is taken."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except UnicodeError as error:  # no host name can look like this
            raise OSError(f"{self.host!r} is no name of a host: {error}") from None
        for index, (family, kind, protocol, _, address) in enumerate(found):
            try:
                self.sock = self._wire = self._open(_Socket(family, kind, protocol), address)
            except OSError:
                if index == len(found) - 1:
                    raise
            else:
                return

    def _open(self, sock: _Socket, address: Any) -> _Socket:
        try:
            sock.end = self._end
            sock.hurry(self._patience)
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is None:
                return sock
            sock.hurry(self._patience)
            secure = self._context.wrap_socket(sock, server_hostname=self._name)
        except BaseException:
            sock.close()
            raise
        assert isinstance(secure, _Socket)  # noqa: S101 - the context makes these
        return secure

    def _is_stale(self) -> bool:
        """Return whether the server has closed the connection, or sent what nobody asked for."""
        with _SELECTOR() as selector:
            selector.register(self.sock, selectors.EVENT_READ)  # type: ignore[arg-type]  # it is open
            return bool(selector.select(0))

    @property
    def interrupted(self) -> bool:
        """Whether `interrupt` was called."""
        return self._interrupted

    def interrupt(self) -> None:
        """End what another thread does on this connection, for good."""
        self._interrupted = True
        wire = self._wire
        if wire is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(wire, socket.SHUT_RDWR)  # closing would not wake its reader


class Body:
    """The body of an answer, read in parts.

    Args:
        response: the answer, of which only the headers were read.
    """

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self._left = response.length  # None where the server does not say
        self._problem = _problem_of(response)

    def check(self) -> None:
        """Check that it can be read; of an answer whose status says enough it need not be.

        Raises:
            ProtocolError: it cannot.
        """
        if self._problem is not None:
            raise self._problem

    def read_json(self, limit: int) -> bytes:
        """Return the JSON that the answer begins with: all of it, where it says nothing else.

        Args:
            limit: how many bytes that may be.

        Raises:
            ProtocolError: it is longer, or what the answer says of it is wrong.
            IncompleteRead: it ended before what it promises.
        """
        length = self._response.headers.get(JSON_LENGTH)
        size = self._left if length is None else _number(JSON_LENGTH, length)
        found = self._read(limit + 1) if size is None else b""
        if max(size or 0, len(found)) > limit:
            raise ProtocolError(f"the server's answer has more than {limit} bytes of JSON")
        return found if size is None else self.read(size)

    def beginning(self, limit: int) -> bytes:
        """Return the first bytes, at most as many; none where it cannot be read. Raises as `read`."""
        if self._problem is not None:
            return b""
        return self._read(limit) if self._left is None else self.read(min(self._left, limit))

    def read(self, size: int) -> bytes:
        """Return this many bytes.

        Raises:
            ProtocolError: the answer promises less.
            IncompleteRead: it ended before what it promises.
        """
        if self._left is not None and size > self._left:
            raise ProtocolError(f"the server's answer has {self._left} bytes where {size} must be")
        found = self._read(size)
        if len(found) < size:
            if self._left is None:
                raise ProtocolError(f"the server's answer has {len(found)} bytes where {size} must be")
            raise http.client.IncompleteRead(b"", size - len(found))
        if self._left is not None:
            self._left -= size
        return found

    @property
    def delimited(self) -> bool:
        """Whether the answer says where it ends; else it ends where the connection does, for whatever reason."""
        return self._response.chunked or self._left is not None

    def some(self) -> bytes:
        """Return bytes that have come, waiting for the first; none at the end of the answer.

        Raises:
            IncompleteRead: it ended before what it promises.
        """
        if self._left is None:
            return self._response.read1(_SOME)
        return self.read(min(self._left, _SOME)) if self._left else b""

    def ended(self) -> bool:
        """Return whether nothing follows; the connection can be used again then."""
        if self._problem is not None:
            return False
        return self._left == 0 or (self._left is None and not self._response.read(1))

    def _read(self, size: int) -> bytes:
        parts = []
        while size > 0:
            part = self._response.read(min(size, _PIECE))
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _problem_of(response: http.client.HTTPResponse) -> ProtocolError | None:
    """Return why the body of an answer cannot be read; None where it can."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in {"", "identity"}:
        return ProtocolError(f"the server compressed its answer ({encoding!r}), which it was not asked for")
    try:
        if not response.chunked:
            _number("Content-Length", response.headers.get("Content-Length", "0"))
    except ProtocolError as error:
        return error
    return None


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise ProtocolError(f"the server sent a {name} that is no length: {value[:100]!r}")
    return int(value)
