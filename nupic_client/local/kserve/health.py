"""The gRPC health service, which Kubernetes and load balancers ask: ``grpc.health.v1.Health/Check``.

Its two messages have one field each, so they are read and written here by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from nupic_client.local.kserve.repository import Repository

__all__ = ["health_handler"]

_SERVING = b"\x08\x01"
_NOT_SERVING = b"\x08\x02"


def health_handler(repository: Repository) -> Any:
    """Return the service for ``grpc.Server.add_generic_rpc_handlers``.

    As the real server's, it looks at the server as a whole, whatever service the request names, and has no ``Watch``.
    """

    def check(_request: bytes, context: Any) -> bytes:
        if repository.exiting:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Server exiting")
        return _SERVING if repository.ready else _NOT_SERVING

    handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers)
