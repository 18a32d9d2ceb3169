"""Blocking calls to the server over HTTP, for the same flows as over gRPC."""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any

from nupic_client._core.calls import flows
from nupic_client._core.calls.tls_advice import tls_advice
from nupic_client._core.kserve import rest, wire
from nupic_client._core.kserve.rest_errors import error_from_http
from nupic_client._core.kserve.rest_streams import generate_request
from nupic_client._grpc import fork
from nupic_client._sync.driver import Driver
from nupic_client._sync.http_calls import Handle, HttpCall, Workers
from nupic_client._sync.http_connection import CLOSED, Body, Connection
from nupic_client._sync.http_tls import tls_context
from nupic_client._traceback import without_frames
from nupic_client._version import USER_AGENT
from nupic_client.errors import (
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    ModelUnavailableError,
    ProtocolError,
    RequestError,
    RequestRejectedError,
    TransportError,
)

if TYPE_CHECKING:
    from nupic_client._core.calls.auth import Bearer
    from nupic_client._core.calls.session import StreamSession
    from nupic_client._core.kserve.rest import RestRequest
    from nupic_client._sync.http_stream import HttpStreamCall
    from nupic_client.config import TLS
    from nupic_client.server_url import HttpUrl

__all__ = ["HttpTransport"]

_LONGEST_JSON = 256 * 2**20
"""Bytes of JSON in one answer: they become ten times as many in memory. Raw bytes are not limited."""
_LONGEST_REASON = 2**16
_SETTINGS = "\x00\x00"
"""How the first frame of HTTP/2 begins, which gRPC sends at once: no frame of settings is longer than 255 bytes."""
_PLAIN_ADVICE = "the server closed the connection without an answer: it may want TLS (an https:// url)"
_CLOSED_ADVICE = (
    "the server closed the connection without an answer: it may want a client certificate"
    " (TLS(certificate_chain=…, private_key=…))"
)
_ALERT = "\x15\x03"
"""How TLS says no."""


class HttpTransport(Driver):
    """Connections that are kept, one for each thread that calls at the same time. Thread-safe.

    Args:
        endpoint: the server.
        tls: certificates and names for a secure one.
        patience: seconds that connecting may take, or None.
        bearer: adds the token to each call.
    """

    def __init__(
        self,
        endpoint: HttpUrl,
        *,
        tls: TLS | None = None,
        patience: float | None = None,
        bearer: Bearer | None = None,
    ) -> None:
        super().__init__(bearer)
        self.endpoint = endpoint
        self.closed = False
        """Whether `close` was called."""
        self._tls = tls
        self._patience = patience
        self._context: ssl.SSLContext | None = None
        self._binary: bool | None = None
        self._begin()
        fork.track(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()  # a signal handler may close the client in the middle of its own calls
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._workers = Workers()

    def _after_fork(self) -> None:
        """Begin anew in a forked child: the connections are the parent's. Their copies here close silently."""
        self._begin()

    def close(self) -> None:
        """Close all connections, which ends their calls. Idempotent; safe from any thread."""
        with self._lock:
            self.closed = True
            idle, self._idle = self._idle, []
            busy = tuple(self._busy)
        for connection in idle:
            connection.close()
        for connection in busy:
            connection.interrupt()
        self._workers.close()

    def begin(self, command: flows.Invoke) -> HttpCall:
        """Start a call in another thread and return it: a future, for `finish`.

        Raises:
            ConfigurationError: the client is closed.
        """
        self.check_open()
        call = HttpCall()
        self._workers.submit(self._work, call, command, _end_of(command))
        return call

    def finish(self, call: HttpCall) -> Any:
        """Wait for a call that `begin` started and return its response.

        Raises:
            RequestError: the call failed.
        """
        try:
            return call.result()
        except CancelledError:
            raise TransportError(
                "the call was cancelled", status="CANCELLED", target=str(self.endpoint)
            ) from None

    def stream(self, session: StreamSession[Any]) -> HttpStreamCall:
        """Send a request for a text that is streamed and return its call. A failure to send it is raised by the first read.

        Raises:
            ConfigurationError: the client is closed.
        """
        from nupic_client._sync.http_stream import HttpStreamCall  # noqa: PLC0415 - its exception is one of grpc

        metadata = self.run(session.sign())
        self.check_open()
        timeout = session.remaining(time.monotonic())
        call = HttpStreamCall(self, None if timeout is None else time.monotonic() + timeout)
        call.send(lambda end: self._generate_request(session.message, metadata, end), headers_of(metadata))
        return call

    def _generate_request(self, message: Any, metadata: flows.Metadata, end: float | None) -> RestRequest:
        # Triton names its extension for raw bytes, and not the one for generating. MLServer has neither.
        return generate_request(message, triton=self._has_binary(metadata, end))

    def _work(self, call: HttpCall, command: flows.Invoke, end: float | None) -> Callable[[], object]:
        """Make a call that `begin` started and return the function that tells its end."""
        if not call.set_running_or_notify_cancel():
            return _nothing
        try:
            response = self._answer(command, end, call.handle)
        except BaseException as error:  # noqa: BLE001 - `finish` raises it
            return partial(call.set_exception, without_frames(error))
        return partial(call.set_result, response)

    def _invoke(self, command: flows.Invoke) -> Any:
        handle = Handle()
        if command.attempts is not None:
            command.attempts.call = handle
        return self._answer(command, _end_of(command), handle)

    def _answer(self, command: flows.Invoke, end: float | None, handle: Handle) -> Any:
        try:
            if command.method == "ModelInfer":
                data = wire.serialize(command.request)
                binary = self._has_binary(command.metadata, end)
                request = rest.infer_request(data, binary=binary)
                read = partial(_read_outputs, places=request.places)
                return self._exchange(request, command, end, read, handle)
            request = rest.question(command.method, command.request)
            return self._exchange(
                request,
                command,
                end,
                lambda body: rest.reply(command.method, body.read_json(_LONGEST_JSON)),
                handle,
            )
        except RequestError as error:
            failure = error.with_facts(trailing_metadata=handle.trailing_metadata())
            raise failure.completed(target=str(self.endpoint)) from error.__cause__

    def _has_binary(self, metadata: flows.Metadata, end: float | None) -> bool:
        """Return whether the server takes and gives raw bytes: asked once. Where it does not say, all goes as JSON."""
        if self._binary is None:
            left = None if end is None else max(end - time.monotonic(), 0.001)
            asking = flows.Invoke("ServerMetadata", wire.pb.ServerMetadataRequest(), left, metadata)
            try:
                self._binary = rest.BINARY_EXTENSION in self._invoke(asking).extensions
            except (ModelUnavailableError, RequestRejectedError):  # a gateway that shows the models only
                self._binary = False
        return self._binary

    def _exchange(
        self,
        request: RestRequest,
        command: flows.Invoke,
        end: float | None,
        read: Callable[[Body], Any],
        handle: Handle | None,
    ) -> Any:
        """Send a request and return its answer as `read` makes it of the body."""
        headers = headers_of(command.metadata)
        handle = handle or Handle()
        with self._connection(end, handle) as connection:
            response = connection.ask(request, self.endpoint.path + request.path, headers, end)
            handle.headers = response.headers
            body = Body(response)
            if 200 <= response.status < 300:
                body.check()
                result = read(body)
                if not body.ended():
                    raise ProtocolError("the server's answer has more bytes than its outputs take")
            else:
                reason = body.beginning(_LONGEST_REASON)
                result = rest.refusal(command.method, response.status)
            if response.will_close or not body.ended():
                connection.close()
            response.close()
        if result is None:
            optional = command.method == "ModelConfig"
            raise error_from_http(response.status, reason, response.headers, optional=optional)
        return result

    @contextlib.contextmanager
    def _connection(self, end: float | None, handle: Handle) -> Iterator[Connection]:
        """Lend a connection; one on which something failed is not used again.

        Raises:
            ConfigurationError: the client is closed.
            RequestError: anything that a connection may raise.
        """
        connection = self.lend(handle)
        try:
            yield connection
        except BaseException as error:
            failure = self.failure(error, connection, end)
            connection.close()
            if failure is error:
                raise
            raise failure from error
        finally:
            self.take_back(connection, handle)

    def lend(self, handle: Handle) -> Connection:
        """Return a connection for one exchange, for `take_back` in any case.

        Args:
            handle: ends the exchange from another thread.

        Raises:
            ConfigurationError: the client is closed.
        """
        with self._lock:
            self.check_open()
            connection = self._idle.pop() if self._idle else self._new()
            self._busy.add(connection)
        handle.hold(connection)
        return connection

    def take_back(self, connection: Connection, handle: Handle) -> None:
        """Keep a connection for the next exchange if it is still open; idempotent."""
        handle.release()
        with self._lock:
            if connection not in self._busy:
                return
            self._busy.discard(connection)
            if not self.closed and connection.sock is not None and not connection.interrupted:
                self._idle.append(connection)
            else:
                connection.close()

    def _new(self) -> Connection:
        if self.endpoint.secure and self._context is None:
            self._context = tls_context(self._tls)
        name = (self._tls.target_name if self._tls is not None else None) or self.endpoint.host
        return Connection(self.endpoint, self._context, name, self._patience)

    def failure(self, error: BaseException, connection: Connection, end: float | None) -> BaseException:
        """Return our error for whatever ended an exchange."""
        if not isinstance(error, (OSError, http.client.HTTPException, ValueError)) or isinstance(
            error, (ConfigurationError, RequestError)
        ):
            return error
        if self.closed or connection.interrupted:
            cause = (
                "the client was closed before the answer came" if self.closed else "the call was cancelled"
            )
            return TransportError(cause, status="CANCELLED")
        if isinstance(error, TimeoutError) and end is not None and time.monotonic() >= end:
            return DeadlineExceededError("no complete answer in time")
        if isinstance(error, CLOSED) and not connection.answered:
            return _unreachable(_CLOSED_ADVICE if self.endpoint.secure else _PLAIN_ADVICE)
        if isinstance(error, http.client.BadStatusLine):
            return ProtocolError(_no_http(str(error)))
        if isinstance(error, http.client.IncompleteRead):
            return _unreachable("the connection broke while the answer was on its way")
        if not isinstance(error, OSError):
            return ProtocolError(
                f"the server's answer is not HTTP: {type(error).__name__}: {str(error)[:200]}"
            )
        advice = tls_advice(str(error), "http") if isinstance(error, ssl.SSLError) else None
        if advice is not None:
            return ConnectionFailedError(advice, status="UNAVAILABLE")
        reason = error.strerror or str(error) or "no connection in time"
        if connection.sock is not None:
            return _unreachable(f"the connection broke: {reason}")
        return _unreachable(f"cannot reach the server: {reason}")


def _unreachable(sentence: str) -> ConnectionFailedError:
    return ConnectionFailedError(sentence, status="UNAVAILABLE", retryable=True)


def _no_http(line: str) -> str:
    if line.startswith(_SETTINGS):
        return "this is a gRPC port: use the server's HTTP port (8000 by default), or InferenceClient"
    if line.startswith(_ALERT):
        return "the server speaks TLS on this port: use https://"
    return f"the server does not speak HTTP on this port: it began with {line[:80]!r}"


def headers_of(metadata: Any) -> dict[str, str]:
    """Return the headers of a request: metadata with bytes as gRPC writes them, and this client's name.

    Raises:
        ConfigurationError: metadata that a function made has a name that belongs to HTTP itself.
    """
    rest.check_headers(metadata)
    given = {
        name: value if isinstance(value, str) else base64.b64encode(value).decode()
        for name, value in metadata
    }
    return {"User-Agent": USER_AGENT, **given}


def _nothing() -> None:
    """Tell nothing: who cancelled a call knows it."""


def _end_of(command: flows.Invoke) -> float | None:
    """Return when a call must be answered, by the monotonic clock."""
    return None if command.timeout is None else time.monotonic() + command.timeout


def _read_outputs(body: Body, places: frozenset[str]) -> Any:
    return rest.infer_response(body.read_json(_LONGEST_JSON), body.read, places)
