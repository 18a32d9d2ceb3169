"""HTTP proxies: which one gRPC sends a connection through, and what it means when that fails.

gRPC reads lower-case variables: the first of ``grpc_proxy``, ``https_proxy`` and ``http_proxy`` that is set, with ``http://``
only, and the exceptions in ``no_grpc_proxy``, else ``no_proxy``. It says nothing about any of them in its errors, and it
knows no exception for this machine. Source: ``http_proxy_mapper.cc``; tests compare the rules here with what gRPC does.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nupic_client._core.kserve.server_words import shorten
from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineExceededError,
    RequestError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from urllib.parse import SplitResult

    from nupic_client.config import ClientConfig

__all__ = ["Proxy", "goes_direct", "proxy_of"]

_SWITCH = "grpc.enable_http_proxy"
_ARGUMENT = "grpc.http_proxy"
_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_REFUSED = re.compile(r"HTTP proxy returned response code (\d{3})")
"""gRPC's words for an answer to CONNECT that is not 200."""
_UNREACHED = "cannot reach the server"
_WANTS_CREDENTIALS = 407
_PASSING = frozenset({408, 425, 429})
"""Refusals that may be over soon, as all from 500 on."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy before a server. Shows no credentials.

    Args:
        address: ``host:port``.
        source: where it is set, as a user writes it.
        way_past: what to do to connect without it.
        target: the server.
        credentials: whether it is given a name and a password.
    """

    address: str
    source: str
    way_past: str
    target: str
    credentials: bool = field(default=False, repr=False)

    def __str__(self) -> str:
        return f"the proxy http://{self.address} of {self.source}"

    def explain(self, error: RequestError) -> RequestError:
        """Return the error of a call that went through this proxy, with the proxy named where it may be the cause."""
        if not isinstance(error, (ConnectionFailedError, DeadlineExceededError)):
            return error
        refused = _REFUSED.search(error.server_message)
        if refused is None:
            return error if str(self) in error.message else error.with_facts(message=self._named(error))
        return self._refusal(error, int(refused[1]))

    def _named(self, error: RequestError) -> str:
        way = f"through {self} ({self.way_past} to go past it)"
        if error.message.startswith(_UNREACHED):
            # No advice about the server: it is the proxy that gRPC connects to.
            return f"{_UNREACHED} {way}: {shorten(error.server_message)}"
        return f"{error.message}; {way}"

    def _refusal(self, error: RequestError, code: int) -> RequestError:
        if code == _WANTS_CREDENTIALS:
            wish = "accepts other credentials" if self.credentials else "wants credentials"
            return AuthenticationError(
                f"{self} {wish} (HTTP {code}): give them in it, as http://USER:PASSWORD@{self.address},"
                f" or {self.way_past} to go past it",
                target=error.target,
                status=error.status,
                server_message=error.server_message,
            )
        message = f"{self} does not connect to {self.target} (HTTP {code}): {self.way_past} to go past it"
        return error.with_facts(message=message, retryable=code >= 500 or code in _PASSING)


def proxy_of(config: ClientConfig, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """Return the proxy that gRPC connects through, or None where there is none.

    Args:
        config: of the client.
        environ: the environment variables.
    """
    server, options = config.server, config.channel_options
    if not options.get(_SWITCH, _ARGUMENT in options or not server.is_local):
        return None
    source, url = _setting(options, environ)
    exceptions = "no_grpc_proxy" if "no_grpc_proxy" in environ else "no_proxy"
    among = [host for host in server.hosts if not _is_exempt(host, environ.get(exceptions, "").split(","))]
    if url is None or not among:
        return None
    wanted = ",".join(dict.fromkeys(among))
    address = url.netloc.rpartition("@")
    return Proxy(
        address=address[2],
        source=source,
        way_past=f"add {wanted} to {exceptions}" if environ.get(exceptions) else f"set {exceptions}={wanted}",
        target=str(server),
        credentials=bool(address[0]),
    )


def goes_direct(config: ClientConfig, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether to keep gRPC from using a proxy, which it does not find out by itself."""
    if _SWITCH in config.channel_options:
        return False  # the user has decided
    return config.server.is_local and proxy_of(config, environ) is None


def _setting(options: Mapping[str, str | int], environ: Mapping[str, str]) -> tuple[str, SplitResult | None]:
    """Return where the proxy is set, and its url or None where gRPC takes none."""
    if _ARGUMENT in options:
        source, text = f"{_ARGUMENT} in channel_options", str(options[_ARGUMENT])
    else:
        name = next((name for name in _VARIABLES if name in environ), "")
        source, text = f"${name}", environ.get(name, "")
    try:
        url = urlsplit(text)
    except ValueError:
        return source, None
    return source, url if url.scheme == "http" and url.netloc else None


def _is_exempt(host: str, exceptions: Iterable[str]) -> bool:
    """Return whether gRPC goes past the proxy for a host: it is in the list, or of a domain or a network of the list."""
    for entry in filter(None, map(str.strip, exceptions)):
        name, domain = host.lower(), entry.lower().removeprefix(".")
        if name == domain or name.endswith(f".{domain}"):
            return True
        try:
            if "/" in entry and ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            continue
    return False
