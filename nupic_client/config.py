"""Where the server is and how to talk to it: parse, default, validate and redact. Nothing here opens a connection."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import unquote

from nupic_client._frozen import reduce_frozen
from nupic_client.errors import ConfigurationError

__all__ = [
    "DEFAULT_URL",
    "TLS",
    "ClientConfig",
    "Endpoint",
    "TokenSource",
    "check_metadata",
    "check_token_path",
    "is_loopback",
    "parse_url",
    "read_pem",
]

DEFAULT_URL = "localhost:8001"
"""NuPIC's and Triton's default gRPC port on this machine."""
_FORMS = "host:port, grpc://host:port, grpcs://host:port (TLS), dns:///name:port, unix:/path, or a list of host:port"

UrlLike: TypeAlias = "str | Sequence[str]"
TokenSource: TypeAlias = "str | Callable[[], str] | Callable[[], Awaitable[str]]"
"""A bearer token, or a function or coroutine function that returns it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A parsed url.

    Args:
        target: the gRPC target for one server, e.g. ``"localhost:8001"`` or ``"unix:/run/triton.sock"``.
        secure: whether TLS is used.
        addresses: all servers as (host, port) where a list was given, else empty.
    """

    target: str
    secure: bool = False
    addresses: tuple[tuple[str, int], ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine: a loopback address, ``localhost`` or a unix socket."""
        if self.target.startswith("unix:"):
            return True
        hosts = [host for host, _ in self.addresses] or [_split_host_port(self.target.rpartition("/")[2])[0]]
        return all(is_loopback(host) for host in hosts)

    def __str__(self) -> str:
        if not self.addresses:
            return self.target
        return ", ".join(_join(host, port) for host, port in self.addresses)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine by its spelling alone: a loopback address or ``localhost``."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_HTTP_HOST = re.compile(r"(\[[^\]]*\]|[^:/?#]*)")


def _split_host_port(text: str, url: str = "") -> tuple[str, int]:
    match = re.fullmatch(
        r"(?:\[(?P<v6>[0-9a-fA-F:.%]+)\]|(?P<host>[^\s:/@?#\[\]]+)):(?P<port>[0-9]{1,5})", text
    )
    if match is None or not 1 <= int(match["port"]) <= 65535:
        raise ConfigurationError(
            f"url {url or text!r} is not valid: expected {_FORMS}; a port is a number from 1 to 65535"
        )
    return match["v6"] or match["host"], int(match["port"])


def parse_url(url: UrlLike) -> Endpoint:
    """Parse the url of a server.

    Args:
        url: ``host:port``, ``grpc://host:port``, ``grpcs://host:port`` (TLS), ``dns:///name:port``, ``unix:/path``, or a
            list of the first three: all of them are used in turn (gRPC's ``round_robin``).

    Returns:
        The endpoint.

    Raises:
        ConfigurationError: anything else, with the form that was expected.

    Example:
        >>> parse_url("grpcs://gpt.example.com:443")
        Endpoint(target='gpt.example.com:443', secure=True, addresses=())
    """
    if not isinstance(url, str):
        return _parse_list(url)
    if "," in url:
        return _parse_list(url.split(","))
    text = url.strip()
    if not text.isprintable():
        raise ConfigurationError(f"url {url!r} is not valid: it has characters that cannot be printed")
    scheme, separator, rest = text.partition("://")
    if text.startswith("unix:"):
        return Endpoint(f"unix:{_socket_path(text, url)}")
    if text.startswith("dns:"):
        name = text.removeprefix("dns:").removeprefix("///")
        _split_host_port(name, url)
        return Endpoint(f"dns:///{name}")
    if separator and scheme.lower() in {"http", "https"}:
        raise ConfigurationError(
            f"url {url!r} is for HTTP, but streaming uses gRPC: give the server's gRPC port (8001 by default)"
            f" as {_HTTP_HOST.split(rest, maxsplit=1)[1] or 'host'}:8001"
        )
    if separator and scheme.lower() not in {"grpc", "grpcs"}:
        raise ConfigurationError(f"url {url!r} has the unknown scheme {scheme!r}: expected {_FORMS}")
    host, port = _split_host_port((rest if separator else text).rstrip("/"), url)
    return Endpoint(_join(host, port), secure=bool(separator) and scheme.lower() == "grpcs")


def _socket_path(text: str, url: str) -> str:
    path = unquote(text.removeprefix("unix:").removeprefix("//"))
    if not path or "\0" in path:
        raise ConfigurationError(
            f"url {url!r} is not valid: a unix socket needs a path, as in unix:/run/triton.sock"
        )
    # gRPC takes what follows two slashes for the name of a host.
    return f"/{path.lstrip('/')}" if path.startswith("//") else path


def _parse_list(urls: Sequence[str]) -> Endpoint:
    if not isinstance(urls, Sequence) or not urls or not all(isinstance(item, str) for item in urls):
        raise ConfigurationError(f"url must be a string or a non-empty list of strings, not {urls!r}")
    endpoints = [parse_url(item) for item in urls]
    if len(endpoints) == 1:
        return endpoints[0]
    if any(endpoint.target.startswith(("unix:", "dns:")) for endpoint in endpoints):
        raise ConfigurationError(
            f"a list of urls takes host:port, grpc:// or grpcs:// only, not {list(urls)!r}"
        )
    if len({endpoint.secure for endpoint in endpoints}) > 1:
        raise ConfigurationError(
            f"a list of urls is either all grpc:// or all grpcs://, not both: {list(urls)!r}"
        )
    addresses = tuple(
        address
        for endpoint in endpoints
        for address in endpoint.addresses or (_split_host_port(endpoint.target),)
    )
    return Endpoint(endpoints[0].target, endpoints[0].secure, addresses)


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """Certificates and names for ``grpcs://``; bytes are PEM text, strings and paths are files.

    Args:
        root_certificates: the authorities to trust; None for the system's.
        certificate_chain: this client's own certificate, for mutual TLS.
        private_key: the key of that certificate; never shown in a repr.
        target_name: the name that the server's certificate is checked against, where it differs from the url's host.

    Raises:
        ConfigurationError: a value of the wrong kind, or only one of certificate and key.
    """

    root_certificates: str | Path | bytes | None = None
    certificate_chain: str | Path | bytes | None = None
    private_key: str | Path | bytes | None = field(default=None, repr=False)
    target_name: str | None = None

    def __post_init__(self) -> None:
        for name in ("root_certificates", "certificate_chain", "private_key"):
            value = getattr(self, name)
            if not (value is None or isinstance(value, (str, PathLike, bytes))):
                raise ConfigurationError(
                    f"tls.{name} must be a path, or the PEM text as bytes, not {type(value).__name__}"
                )
        if not (self.target_name is None or isinstance(self.target_name, str)):
            raise ConfigurationError(
                f"tls.target_name must be a string, not {type(self.target_name).__name__}"
            )
        if (self.certificate_chain is None) != (self.private_key is None):
            raise ConfigurationError("mutual TLS needs both certificate_chain and private_key")

    def pem(self, name: str) -> bytes | None:
        """Return the PEM text of one of the three, reading its file if it is one.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        value: str | Path | bytes | None = getattr(self, name)
        return None if value is None else read_pem(f"tls.{name}", value)


def read_pem(what: str, value: str | Path | bytes) -> bytes:
    """Return PEM text that is given as it is or as a file.

    Args:
        what: the argument, for the error.
        value: bytes are the text itself, strings and paths are files.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    if isinstance(value, bytes):
        return value
    try:
        return Path(value).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{what}: cannot read {str(value)!r}: {error.strerror}") from None
    except ValueError as error:  # no path at all, such as one with a null character
        raise ConfigurationError(f"{what}: cannot read {str(value)!r}: {error}") from None


def check_token_path(shown: str, secure_url: str, *, protected: bool) -> None:
    """Check that a token may go to a server.

    Args:
        shown: the server.
        secure_url: the url with which it could.
        protected: whether nobody on the way can read it, or the caller does not mind.

    Raises:
        ConfigurationError: it may not.
    """
    if not protected:
        raise ConfigurationError(
            f"the token would go to {shown!r} in plain text, for everyone on the way to read: use"
            f" {secure_url}, or allow_insecure_token=True where the network protects it"
        )


_METADATA_KEY = re.compile(r"[0-9a-z_.-]+")


def check_metadata(metadata: Mapping[str, str | bytes]) -> Mapping[str, str | bytes]:
    """Validate request metadata (HTTP/2 headers) and return a read-only copy.

    Args:
        metadata: names to values. Names are lowercase letters, digits and ``_ . -``; a name that ends in ``-bin`` takes
            bytes, all others printable ASCII.

    Raises:
        ConfigurationError: a name or value that gRPC would refuse. Values are not shown: they may be secret.
    """
    if not isinstance(metadata, Mapping):
        raise ConfigurationError(
            f"metadata must be a mapping of names to values, not {type(metadata).__name__}"
        )
    for name, value in metadata.items():
        if not isinstance(name, str) or not _METADATA_KEY.fullmatch(name) or name.startswith("grpc-"):
            raise ConfigurationError(
                f"metadata name {name!r} is not valid: lowercase letters, digits and '_.-', not starting with 'grpc-'"
            )
        if name.endswith("-bin"):
            if not isinstance(value, bytes):
                raise ConfigurationError(f"metadata {name!r} ends in '-bin' and must be bytes")
        elif not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise ConfigurationError(f"metadata {name!r} must be a string of printable ASCII characters")
    return MappingProxyType(dict(metadata))


def _check_options(options: Mapping[str, str | int]) -> Mapping[str, str | int]:
    good = isinstance(options, Mapping) and all(
        isinstance(name, str) and isinstance(value, (str, int)) for name, value in options.items()
    )
    if not good:
        raise ConfigurationError(
            "channel_options must be a mapping of gRPC argument names to strings and integers"
        )
    return MappingProxyType(dict(options))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """Everything a connection needs to know. Immutable; its repr shows no keys.

    Args:
        endpoint: the server or servers.
        tls: certificates and names for a secure endpoint.
        channel_options: gRPC channel arguments, merged by name over the defaults.
        connect_timeout: seconds for making the connection, or None for gRPC's own.
        token: the bearer token that is sent with every call.
    """

    endpoint: Endpoint
    tls: TLS | None = None
    channel_options: Mapping[str, str | int] = field(default_factory=lambda: MappingProxyType({}))
    connect_timeout: float | None = None
    token: TokenSource | None = field(default=None, repr=False)

    __reduce__ = reduce_frozen

    @classmethod
    def create(
        cls,
        url: UrlLike | None = None,
        *,
        environ: Mapping[str, str],
        tls: TLS | None = None,
        channel_options: Mapping[str, str | int] | None = None,
        connect_timeout: float | None = None,
        token: TokenSource | None = None,
        allow_insecure_token: bool = False,
    ) -> ClientConfig:
        """Make a configuration from what a user gives.

        Args:
            url: see `parse_url`; None takes ``$NUPIC_URL``, else ``localhost:8001``.
            environ: the environment variables, e.g. ``os.environ``.
            tls: needs a ``grpcs://`` url.
            channel_options: gRPC channel arguments by name.
            connect_timeout: seconds for making the connection, or None for gRPC's own.
            token: the bearer token that is sent with every call.
            allow_insecure_token: send the token in plain text to another machine.

        Raises:
            ConfigurationError: any of them is wrong.
        """
        endpoint = parse_url(url if url is not None else environ.get("NUPIC_URL") or DEFAULT_URL)
        if tls is not None and not endpoint.secure:
            raise ConfigurationError(
                f"tls is given but the url {str(endpoint)!r} is not secure: use grpcs://{endpoint}"
            )
        protected = token is None or endpoint.secure or endpoint.is_local or allow_insecure_token
        check_token_path(str(endpoint), f"grpcs://{endpoint}", protected=protected)
        return cls(
            endpoint=endpoint,
            tls=tls,
            channel_options=_check_options({} if channel_options is None else channel_options),
            connect_timeout=connect_timeout,
            token=token,
        )
