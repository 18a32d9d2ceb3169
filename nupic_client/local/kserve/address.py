"""The address that a server listens on: checks, and the url for clients."""

from __future__ import annotations

import socket

from nupic_client._numbers import check_integer
from nupic_client.errors import ConfigurationError
from nupic_client.server_url import join_address

__all__ = ["cannot_listen", "check_address", "free_port", "url_of"]

_CONNECTABLE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound to by default


def url_of(host: str, port: int) -> str:
    """Return the url at which clients on this machine reach a server that listens on this address."""
    return join_address(_CONNECTABLE.get(host, host), port)


def check_address(host: str, port: int) -> None:
    """Check that a server can listen on an address now.

    Args:
        host: a name or an address of this machine.
        port: the port; 0 stands for any.

    Raises:
        ConfigurationError: it cannot.
    """
    port = check_integer("port", port, "an integer from 0 to 65535", low=0, high=65535)
    # gRPC and Triton log a page of internals when they cannot listen, so the address is tried here first.
    _bind(host, port)


def free_port(host: str) -> int:
    """Return a port that is free at this moment.

    Raises:
        ConfigurationError: the host is not an address of this machine.
    """
    return _bind(host, 0)


def cannot_listen(host: str, port: int, reason: str) -> ConfigurationError:
    """Return the error for an address that a server cannot listen on."""
    return ConfigurationError(
        f"cannot listen on {join_address(host, port)}: {reason}. Choose another port (0 picks a "
        "free one), or stop the program that uses it"
    )


def _bind(host: str, port: int) -> int:
    try:
        return _bound_port(host, port)
    except OSError as error:
        raise cannot_listen(host, port, error.strerror or str(error)) from error


def _bound_port(host: str, port: int) -> int:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # pragma: no cover - Windows
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        bound: int = probe.getsockname()[1]
        return bound
