"""The servers of a list and the addresses of names, looked up anew now and then. Look-ups block."""

from __future__ import annotations

import socket
from dataclasses import replace

from nupic_client._grpc.proxy import proxy_of
from nupic_client.config import ClientConfig
from nupic_client.errors import ConnectionFailedError
from nupic_client.server_url import ServerUrl, join_address

__all__ = ["Addresses"]

_EVERY = 30.0
"""Seconds after which names are looked up again while they are used: as often as gRPC does at most."""
_AT_MOST_EVERY = 1.0
"""Seconds between two look-ups at least, however many failures ask for one."""


class Addresses:
    """The configurations of the servers by address. Not thread-safe, but for `look_up`.

    Args:
        config: of the client.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._urls = config.server.servers or (config.server,)
        self.has_names = any(url.is_name for url in self._urls)
        self.found: dict[str, ClientConfig] = {}
        """The servers that there are now."""
        self._of_names: dict[ServerUrl, dict[str, ClientConfig]] = {}
        """What was found last for each name: one that does not resolve for a moment does not end what works."""
        self._looked_up = float("-inf")
        self._failed = False

    def note_failure(self) -> None:
        """Note that a server could not be reached: names may stand for others by now."""
        self._failed = True

    def is_due(self, now: float) -> bool:
        """Return whether to look names up now; they are not looked up by this."""
        if not self.found:
            return True
        return self.has_names and now - self._looked_up >= (_AT_MOST_EVERY if self._failed else _EVERY)

    def begin(self, now: float) -> None:
        """Note that a look-up begins."""
        self._looked_up, self._failed = now, False

    def look_up(self) -> dict[str, ClientConfig]:
        """Return the servers that there are now. Blocks while names are looked up; thread-safe.

        Raises:
            ConnectionFailedError: no server is known.
        """
        found: dict[str, ClientConfig] = {}
        failure: ConnectionFailedError | None = None
        for url in self._urls:
            direct = self._config.of_server(url)
            if url.is_name and proxy_of(direct) is None:  # a proxy looks names up itself
                try:
                    self._of_names[url] = self._of_name(url)
                except ConnectionFailedError as error:  # of several names the others may be well
                    failure = error
                found = {**found, **self._of_names.get(url, {}), **found}  # in order, the first one counts
            else:
                found.setdefault(str(url), direct)
        if failure is not None and not found:
            raise failure
        return found

    def _of_name(self, url: ServerUrl) -> dict[str, ClientConfig]:
        host, port = url.host_and_port
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # UnicodeError: not a possible host name
            raise ConnectionFailedError(
                f"cannot resolve the host name {host!r}: {getattr(error, 'strerror', None) or error}",
                target=str(url),
                status="UNAVAILABLE",
                retryable=True,
            ) from None
        addresses = dict.fromkeys(join_address(_host(entry[4]), port) for entry in found)
        name = join_address(host, port)
        return {address: self._config.of_server(replace(url, target=address), name) for address in addresses}


def _host(address: tuple[object, ...]) -> str:
    """Return the host of an address of the socket module, with its zone where it has one: ``fe80::1%eth0``."""
    host = str(address[0])
    scope = address[3] if len(address) > 3 else 0
    if not scope or "%" in host or not isinstance(scope, int):
        return host
    try:
        return f"{host}%{socket.if_indextoname(scope)}"
    except OSError:
        return f"{host}%{scope}"
