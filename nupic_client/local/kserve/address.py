"""The address a server listens on: whether it can, and how clients write it."""

from __future__ import annotations

import socket

from nupic_client._numbers import check_integer
from nupic_client.errors import ConfigurationError

__all__ = ["cannot_listen", "check_address", "free_port", "join_address", "url_of"]

_CONNECTABLE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound to by default


def join_address(host: str, port: int) -> str:
    """Return ``host:port``, with brackets where the host is an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url_of(host: str, port: int) -> str:
    """Return what clients on this machine connect to, where a server listens on this address."""
    return join_address(_CONNECTABLE.get(host, host), port)


def check_address(host: str, port: int) -> None:
    """Check that a server could listen on an address now.

    Args:
        host: a name or an address of this machine.
        port: the port; 0 stands for any.

    Raises:
        ConfigurationError: it could not.
    """
    port = check_integer("port", port, "an integer from 0 to 65535", low=0, high=65535)
    # The servers' own attempts print a page of their internals before they fail, so ours comes first.
    try:
        _bind(host, port)
    except OSError as error:
        raise cannot_listen(host, port, getattr(error, "strerror", None) or str(error)) from error


def free_port(host: str) -> int:
    """Return a port that nobody listens on at this moment.

    Raises:
        ConfigurationError: the host is not an address of this machine.
    """
    try:
        return _bind(host, 0)
    except OSError as error:
        raise cannot_listen(host, 0, getattr(error, "strerror", None) or str(error)) from error


def cannot_listen(host: str, port: int, reason: str) -> ConfigurationError:
    """Return the error that says that a server cannot listen on an address."""
    return ConfigurationError(
        f"cannot listen on {join_address(host, port)}: {reason}. Choose another port (0 picks a "
        "free one), or stop the program that uses it"
    )


def _bind(host: str, port: int) -> int:
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
