"""The url of a server or of several: its forms and their meaning."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias
from urllib.parse import unquote

from nupic_client.errors import ConfigurationError

__all__ = ["HttpUrl", "ServerUrl", "UrlLike", "is_loopback", "parse_http_url", "parse_url"]

_PORT = 8001
"""NuPIC's and Triton's default gRPC port."""
_HTTP_PORT_NUMBERS = frozenset({"80", "443", "8000", "8080", "8443"})
_FORMS = (
    "host:port, grpc://host:port, grpcs://host:port (TLS), dns:///name:port, unix:/path, or a list of these"
)

UrlLike: TypeAlias = str | Sequence[str]


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """A parsed url.

    Args:
        target: the gRPC target for one server, e.g. ``"localhost:8001"`` or ``"unix:/run/triton.sock"``.
        secure: whether TLS is used.
        servers: the urls of a list, each once; else empty.
    """

    target: str
    secure: bool = False
    servers: tuple[ServerUrl, ...] = ()

    @property
    def is_name(self) -> bool:
        """Whether it is a name for all the addresses that a look-up gives: ``dns:///name:port``."""
        return self.target.startswith("dns:") and not self.servers

    @property
    def is_several(self) -> bool:
        """Whether there may be several servers: a list, or a name for all its addresses."""
        return bool(self.servers) or self.is_name

    @property
    def host_and_port(self) -> tuple[str, int]:
        """The host and the port of one server that is no unix socket."""
        return _split_host_port(self.target.rpartition("/")[2])

    def with_tls_by_name(self) -> ServerUrl:
        """Return this url with TLS where it is for names: ``dns:///`` says nothing about TLS itself."""
        if self.servers:
            return (
                replace(self, secure=True, servers=tuple(replace(each, secure=True) for each in self.servers))
                if all(each.is_name for each in self.servers)
                else self
            )
        return replace(self, secure=True) if self.is_name else self

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names or addresses of the servers, without ports; none for a unix socket."""
        if self.servers:
            return tuple(host for server in self.servers for host in server.hosts)
        if self.target.startswith("unix:"):
            return ()
        return (self.host_and_port[0],)

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine: a loopback address, ``localhost`` or a unix socket."""
        # A connection to the unspecified address, 0.0.0.0 or ::, is one to this machine too.
        return all(is_loopback(host) or is_unspecified(host) for host in self.hosts)

    def __str__(self) -> str:
        return ", ".join(map(str, self.servers)) or self.target


@dataclass(frozen=True, slots=True)
class HttpUrl:
    """A parsed url of a server's HTTP port.

    Args:
        host: a name or an address, without brackets.
        port: the port.
        secure: whether TLS is used.
        path: what stands before ``/v2`` in every path, without a slash at its end.
    """

    host: str
    port: int
    secure: bool = False
    path: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine: a loopback address or ``localhost``."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"{join_address(self.host, self.port)}{self.path}"


def is_loopback(host: str) -> bool:
    """Return whether a host is a loopback address or ``localhost``; names are not resolved."""
    if host.lower().removesuffix(".") == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def is_unspecified(host: str) -> bool:
    """Return whether a host is 0.0.0.0 or ``::``, which stand for all addresses of a machine."""
    address = _address(host)
    return address is not None and address.is_unspecified


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return a host as an address, and ``::ffff:127.0.0.1`` as the one of IPv4 that it is; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def join_address(host: str, port: int) -> str:
    """Return ``host:port``, with brackets where the host is an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_HTTP_HOST = re.compile(r"(\[[^\]]*\]|[^:/?#]*)")


def _split_host_port(text: str, url: str = "") -> tuple[str, int]:
    match = re.fullmatch(
        r"(?:\[(?P<v6>[0-9a-fA-F:.]+(?:%[0-9A-Za-z_.~-]+)?)\]|(?P<host>[^\s:/@?#\[\]]+)):(?P<port>[0-9]{1,5})",
        text,
    )
    if match is None or not 1 <= int(match["port"]) <= 65535:
        only_host = re.fullmatch(r"(\[[0-9a-fA-F:.]+(?:%[0-9A-Za-z_.~-]+)?\]|[^\s:/@?#\[\]]+):?", text)
        missing = f"{(url.strip() or text).rstrip('/:')}:{_PORT}"
        raise ConfigurationError(
            f"url must be {_FORMS}, with a port from 1 to 65535, not {url or text!r}"
            f"{f': the port is missing: {missing}?' if only_host else ''}",
            parameter="url",
        )
    return match["v6"] or match["host"], int(match["port"])


def parse_url(url: UrlLike) -> ServerUrl:
    """Parse the url of a server.

    Args:
        url: ``host:port``, ``grpc://host:port``, ``grpcs://host:port`` (TLS), ``dns:///name:port``, ``unix:/path``, or a
            list of these. A list and a ``dns:///`` name may be several servers; all of them with TLS, or none.

    Returns:
        The endpoint.

    Raises:
        ConfigurationError: the url has another form.

    Example:
        >>> parse_url("grpcs://gpt.example.com:443")
        ServerUrl(target='gpt.example.com:443', secure=True, servers=())
    """
    if not isinstance(url, str):
        return _parse_list(url)
    if "," in url:
        return _parse_list(url.split(","))
    text = url.strip()
    if not text.isprintable():
        raise ConfigurationError(f"url must have printable characters only, not {url!r}", parameter="url")
    scheme, separator, rest = text.partition("://")
    if text.startswith("unix:"):
        return ServerUrl(f"unix:{_socket_path(text, url)}")
    if text.startswith("dns:"):
        name = text.removeprefix("dns:").removeprefix("///")
        _split_host_port(name, url)
        return ServerUrl(f"dns:///{name}")
    if separator and scheme.lower() in {"http", "https"}:
        host = _HTTP_HOST.split(rest, maxsplit=1)[1] or "host"
        given = re.match(r":(\d+)", rest.removeprefix(host))
        likely = given[1] if given and given[1] not in _HTTP_PORT_NUMBERS else _PORT
        raise ConfigurationError(
            f"url {url!r} is for HTTP, but streaming uses gRPC: give the server's gRPC port ({_PORT} by default)"
            f"{f', with TLS as grpcs://{host}:{likely}, without' if scheme.lower() == 'https' else ''} as"
            f" {host}:{likely}",
            parameter="url",
        )
    if separator and scheme.lower() not in {"grpc", "grpcs"}:
        raise ConfigurationError(f"url must be {_FORMS}, not {url!r}", parameter="url")
    host, port = _split_host_port((rest if separator else text).rstrip("/"), url)
    return ServerUrl(join_address(host, port), secure=bool(separator) and scheme.lower() == "grpcs")


def _socket_path(text: str, url: str) -> str:
    path = unquote(text.removeprefix("unix:").removeprefix("//"))
    if not path or "\0" in path:
        raise ConfigurationError(
            f"url of a unix socket must have a path, as unix:/run/triton.sock, not {url!r}", parameter="url"
        )
    # gRPC reads the part after two slashes as a host name.
    return f"/{path.lstrip('/')}" if path.startswith("//") else path


def _parse_list(urls: Sequence[str]) -> ServerUrl:
    if not isinstance(urls, Sequence) or not urls or not all(isinstance(item, str) for item in urls):
        raise ConfigurationError(
            f"url must be a string or a non-empty list of strings, not {urls!r}", parameter="url"
        )
    parsed = [parse_url(item) for item in urls]
    servers = tuple(dict.fromkeys(each for server in parsed for each in server.servers or (server,)))
    if len(servers) == 1:
        return servers[0]
    if len({server.secure for server in servers}) > 1:
        raise ConfigurationError(
            f"url as a list must be all grpcs:// (TLS) or none of them, not {list(urls)!r}", parameter="url"
        )
    return ServerUrl(servers[0].target, servers[0].secure, servers)


_HTTP_URL = re.compile(
    r"(?:\[(?P<v6>[0-9a-fA-F:.]+(?:%[0-9A-Za-z_.~-]+)?)\]|(?P<host>[^\s:/@?#\[\]]+))(?::(?P<port>[0-9]{1,5}))?(?P<path>/[^\s?#]*)?"
)
_NO_SCHEME = "no scheme"
_HTTP_PORTS = {_NO_SCHEME: 8000, "http": 80, "https": 443}
"""The port of a url that names none. Without a scheme it is NuPIC's and Triton's default."""


def parse_http_url(url: str) -> HttpUrl:
    """Parse the url of a server's HTTP port.

    Args:
        url: ``host:port``, ``http://host:port`` or ``https://host:port`` (TLS), each with a path behind it where a proxy has
            the server there.

    Raises:
        ConfigurationError: anything else, with the form that was expected. Credentials in the url are not shown.

    Example:
        >>> parse_http_url("https://gpt.example.com/models")
        HttpUrl(host='gpt.example.com', port=443, secure=True, path='/models')
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"url must be a string, not {type(url).__name__}", parameter="url")
    if "@" in url:
        raise ConfigurationError(
            "url must be host:port, not one with credentials: give them as bearer_token=, or as"
            " metadata={'authorization': …}",
            parameter="url",
        )
    text = url.strip()
    scheme, separator, rest = text.rpartition("://")
    scheme = scheme.lower() if separator else _NO_SCHEME
    match = _HTTP_URL.fullmatch(rest)
    port = int(match["port"] or _HTTP_PORTS.get(scheme, 0)) if match is not None else 0
    readable = text.isascii() and text.isprintable()
    if match is None or not readable or scheme not in _HTTP_PORTS or not 1 <= port <= 65535:
        hint = "; gRPC has a port of its own (8001 by default)" if scheme.startswith("grpc") else ""
        raise ConfigurationError(
            f"url must be host:port, http://host:port or https://host:port (TLS), not {url!r}{hint}",
            parameter="url",
        )
    path = (match["path"] or "").rstrip("/").removesuffix("/v2").rstrip("/")
    return HttpUrl(match["v6"] or match["host"], port, scheme == "https", path)
