"""The gRPC server: a port, a servicer, and threads that do not keep the interpreter alive."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import grpc

from nupic_client.local.kserve.address import cannot_listen, check_address, url_of
from nupic_client.local.kserve.auth import is_authorized
from nupic_client.local.kserve.executor import DaemonExecutor
from nupic_client.local.kserve.handler import InferenceHandler
from nupic_client.local.kserve.health import health_handler
from nupic_client.local.kserve.limits import UNLIMITED, ServerLimits
from nupic_client.local.kserve.servicer import OWN_INFO, Servicer
from nupic_client.server_url import join_address

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from nupic_client.local.engine import EngineRequest
    from nupic_client.local.kserve.repository import Repository
    from nupic_client.server_info import ServerInfo

    OnCall = Callable[[str, Mapping[str, "str | bytes"]], None]

__all__ = ["InferenceServer"]

_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    # Without this a second server on the same port would silently share the connections.
    ("grpc.so_reuseport", 0),
    # A client that connects and sends nothing is dropped; gRPC's default is two minutes.
    ("grpc.server_handshake_timeout_ms", 20_000),
)
_OTHER_CALLS = 64
"""Further calls that may be open, so that health is answered even when the models are busy."""
_PATIENCE = 1.0
"""Seconds that calls may take to end after a stop."""


class InferenceServer:
    """Serve the models of a repository on one port. Start and stop it from one thread.

    Args:
        repository: the models.
        host: the address to listen on.
        port: the port; 0 picks a free one.
        on_request: called with every inference request, on the thread of its call.
        on_call: called first with the method name and metadata of every call.
        credentials: a ``grpc.ServerCredentials`` to serve with TLS; None serves in plain text.
        bearer_tokens: the bearer tokens that are accepted, other calls end with UNAUTHENTICATED; None accepts every call.
        limits: bounds for what clients ask for.
        info: the answer to ServerMetadata.
        options: gRPC server arguments by name, beside the server's own.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        on_request: Callable[[EngineRequest], None] = lambda _request: None,
        on_call: OnCall | None = None,
        credentials: Any = None,
        bearer_tokens: Collection[str] | None = None,
        limits: ServerLimits = UNLIMITED,
        info: ServerInfo = OWN_INFO,
        options: Mapping[str, str | int] = MappingProxyType({}),
    ) -> None:
        self._info = info
        self._options = tuple(options.items())
        self.repository = repository
        self.bearer_tokens = bearer_tokens
        """The bearer tokens that are accepted; may be set while the server runs."""
        self._credentials = credentials
        self._limits = limits
        self._on_call = on_call
        self._host = host
        self._port = port
        self._handler = InferenceHandler(repository, on_request, limits)
        self._server: grpc.Server | None = None
        self._servicer: Servicer | None = None
        self.url: str = ""
        """``host:port`` to connect to; empty before the first `start`."""

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    def start(self) -> None:
        """Listen and answer. Returns as soon as clients can connect. After a stop it listens on the same port.

        Raises:
            ConfigurationError: the address is not free or not on this machine.
        """
        executor = DaemonExecutor()
        calls = self._limits.max_calls
        server = grpc.server(
            cast("Any", executor),  # grpc asks for a thread pool, and any executor works
            # Lists, because tracing agents put theirs in front with `insert`.
            options=[*_OPTIONS, *_bounds(self._limits), *self._options],
            interceptors=[_Entrance(self)],
            maximum_concurrent_rpcs=None if calls is None else calls + _OTHER_CALLS,
        )
        servicer = Servicer(self.repository, self._handler, executor, self._limits, self._info)
        server.add_generic_rpc_handlers((servicer.handler(), health_handler(self.repository)))
        check_address(self._host, self._port)
        try:
            port = self._bind(server, join_address(self._host, self._port))
        except RuntimeError:
            port = 0
        if not port:
            reason = "it is not an address of this machine, or it is in use"
            raise cannot_listen(self._host, self._port, reason) from None
        server.start()
        self._server = server
        self._servicer = servicer
        self._port = port
        self.url = url_of(self._host, port)

    def _bind(self, server: grpc.Server, address: str) -> int:
        if self._credentials is None:
            return cast("int", server.add_insecure_port(address))
        return cast("int", server.add_secure_port(address, self._credentials))

    def called(self, method: str, metadata: Mapping[str, str | bytes]) -> None:
        """Report a call to ``on_call``."""
        if self._on_call is not None:
            self._on_call(method, metadata)

    def stop(self, grace: float | None = None) -> None:
        """Stop listening and end running calls with UNAVAILABLE. Idempotent.

        Args:
            grace: seconds that running calls may take to end by themselves.
        """
        server, self._server = self._server, None
        if server is None or self._servicer is None:
            return
        # When gRPC ends a call itself, each client of this process logs a line. So the servicer ends calls first,
        # and gRPC only those whose client does not read.
        stopped = server.stop((grace or 0.0) + _PATIENCE)
        if not grace or not stopped.wait(grace):
            self._servicer.stop()
        stopped.wait()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server has stopped; return False if ``timeout`` seconds passed first."""
        server = self._server
        return server is None or not server.wait_for_termination(timeout)


def _bounds(limits: ServerLimits) -> list[tuple[str, int]]:
    # gRPC applies this after decompression.
    bounds = [("grpc.max_receive_message_length", limits.max_request_bytes or -1)]
    if limits.max_connections is not None:
        bounds.append(("grpc.max_allowed_incoming_connections", limits.max_connections))
    return bounds


class _Entrance(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]  # grpc comes without types
    """Report every call, and refuse one without a valid token before its messages are read."""

    def __init__(self, server: InferenceServer) -> None:
        self._server = server

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        method = handler_call_details.method.rpartition("/")[2]
        metadata = dict(handler_call_details.invocation_metadata)
        self._server.called(method, metadata)
        tokens = self._server.bearer_tokens
        if tokens is not None and not is_authorized(metadata, tokens):
            return _UNAUTHENTICATED
        return continuation(handler_call_details)


def _refuse(_requests: Any, context: Any) -> None:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is missing or not valid")


_UNAUTHENTICATED = grpc.stream_stream_rpc_method_handler(_refuse)
"""Refuses calls of every kind."""
