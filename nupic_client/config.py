"""The configuration of a connection: url, TLS, token, metadata and channel options, checked before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from nupic_client._numbers import check_integer
from nupic_client._public import publish
from nupic_client._suggest import listed
from nupic_client._text import check_text
from nupic_client.endpoint import BALANCING, Balancing
from nupic_client.errors import ConfigurationError
from nupic_client.server_url import HttpUrl, ServerUrl, UrlLike, parse_url

__all__ = [
    "DEFAULT_URL",
    "TLS",
    "BearerTokenSource",
    "ClientConfig",
    "MetadataLike",
    "check_metadata",
    "check_tls",
    "check_token_path",
    "read_pem",
]

DEFAULT_URL = "localhost:8001"
"""NuPIC's and Triton's default gRPC port on this machine."""

BearerTokenSource: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]]
"""A bearer token, or a function or coroutine function that returns it."""
MetadataLike: TypeAlias = (
    Mapping[str, str | bytes]
    | Callable[[], Mapping[str, str | bytes]]
    | Callable[[], Awaitable[Mapping[str, str | bytes]]]
)
"""Metadata by name, or a function or coroutine function that returns it for each call to the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """Certificates and names for ``grpcs://``; bytes are PEM text, strings and paths are files.

    Args:
        root_certificates: the authorities to trust; None for the system's.
        certificate_chain: this client's own certificate, for mutual TLS.
        private_key: the key of that certificate; never shown in a repr.
        target_name: the name in the server's certificate, if it differs from the url's host.

    Raises:
        ConfigurationError: a value has the wrong type, or only one of certificate and key is given.
    """

    root_certificates: str | Path | bytes | None = None
    """The authorities to trust; None for the system's."""
    certificate_chain: str | Path | bytes | None = None
    """This client's own certificate, for mutual TLS."""
    private_key: str | Path | bytes | None = field(default=None, repr=False)
    """The key of that certificate; never shown in a repr."""
    target_name: str | None = None
    """The name in the server's certificate, if it differs from the url's host."""

    def __post_init__(self) -> None:
        for name in ("root_certificates", "certificate_chain", "private_key"):
            value = getattr(self, name)
            if not (value is None or isinstance(value, (str, PathLike, bytes))):
                raise ConfigurationError(
                    f"tls.{name} must be a path, or the PEM text as bytes, not {type(value).__name__}",
                    parameter=f"tls.{name}",
                )
        if not (self.target_name is None or isinstance(self.target_name, str)):
            raise ConfigurationError(
                f"tls.target_name must be a string, not {type(self.target_name).__name__}",
                parameter="tls.target_name",
            )
        check_text("tls.target_name", self.target_name or "", parameter="tls.target_name")
        if (self.certificate_chain is None) != (self.private_key is None):
            missing = "tls.private_key" if self.private_key is None else "tls.certificate_chain"
            raise ConfigurationError(
                f"{missing} is missing: mutual TLS needs both a certificate and its key", parameter=missing
            )

    def pem(self, name: str) -> bytes | None:
        """Return the PEM text of a field, read from its file if it is a path.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        value: str | Path | bytes | None = getattr(self, name)
        return None if value is None else read_pem(f"tls.{name}", value)


def check_tls(tls: object, scheme: str) -> None:
    """Raise ConfigurationError for what is not `TLS` or None; its value is not shown, for it may be a key."""
    if not (tls is None or isinstance(tls, TLS)):
        advice = f"a url with {scheme} is all that it takes" if isinstance(tls, bool) else "give it as TLS(…)"
        given = repr(tls) if isinstance(tls, bool) else type(tls).__name__
        raise ConfigurationError(f"tls must be a TLS object, not {given}: {advice}", parameter="tls")


def read_pem(parameter: str, value: str | Path | bytes) -> bytes:
    """Return PEM text, read from its file if it is a path.

    Args:
        parameter: the name of the argument, for the error.
        value: bytes are the text itself, strings and paths are files.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    if isinstance(value, bytes):
        return value
    try:
        return Path(value).read_bytes()
    except OSError as error:
        raise _unreadable(parameter, value, error.strerror) from None
    except ValueError as error:  # not a path, for example with a null character
        raise _unreadable(parameter, value, error) from None


def _unreadable(parameter: str, value: str | Path, reason: object) -> ConfigurationError:
    return ConfigurationError(f"{parameter}: cannot read {str(value)!r}: {reason}", parameter=parameter)


def check_token_path(
    server: ServerUrl | HttpUrl, secure_scheme: str, token: object, *, allow_insecure: bool
) -> None:
    """Check that a token may be sent to a server: over TLS, or to this machine.

    Args:
        server: the server.
        secure_scheme: of its url with TLS, as ``"grpcs://"``, for the error.
        token: the token or its source; None for none.
        allow_insecure: whether the caller allows it in plain text.

    Raises:
        ConfigurationError: the token would be sent in plain text.
    """
    if not (token is None or server.secure or server.is_local or allow_insecure):
        raise ConfigurationError(
            f"the token would go to {str(server)!r} in plain text, for everyone on the way to read: use"
            f" {secure_scheme}{server}",
            parameter="bearer_token",
            hint="or allow_insecure_token=True where the network protects it",
        )


_METADATA_KEY = re.compile(r"[0-9a-z_.-]+")


def check_metadata(metadata: Mapping[str, str | bytes]) -> Mapping[str, str | bytes]:
    """Validate request metadata (HTTP/2 headers) and return a copy.

    Args:
        metadata: names to values. Names are lowercase letters, digits and ``_ . -``; a name that ends in ``-bin`` takes
            bytes, all others printable ASCII.

    Raises:
        ConfigurationError: gRPC would refuse a name or value. Values are not shown, because they may be secret.
    """
    if not isinstance(metadata, Mapping):
        raise ConfigurationError(
            f"metadata must be a mapping of names to values, not {type(metadata).__name__}",
            parameter="metadata",
        )
    for name, value in metadata.items():
        if not isinstance(name, str) or not _METADATA_KEY.fullmatch(name) or name.startswith("grpc-"):
            raise ConfigurationError(
                f"metadata names must be lowercase letters, digits and '_.-' and must not begin with 'grpc-', not {name!r}",
                parameter="metadata",
            )
        if name.endswith("-bin"):
            if not isinstance(value, bytes):
                raise ConfigurationError(
                    f"metadata {name!r} must be bytes, because its name ends in '-bin'", parameter="metadata"
                )
        elif not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise ConfigurationError(
                f"metadata {name!r} must be a string of printable ASCII characters", parameter="metadata"
            )
    return dict(metadata)


def _check_options(options: Mapping[str, str | int]) -> Mapping[str, str | int]:
    good = isinstance(options, Mapping) and all(
        isinstance(name, str) and isinstance(value, (str, int)) for name, value in options.items()
    )
    if not good:
        raise ConfigurationError(
            "channel_options must be a mapping of gRPC argument names to strings and integers",
            parameter="channel_options",
        )
    for text in (item for pair in options.items() for item in pair if isinstance(item, str)):
        check_text("channel_options", text, parameter="channel_options")
    return dict(options)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """The configuration of a connection. Immutable; its repr shows no keys.

    Args:
        server: the server or servers.
        tls: certificates and names for a secure endpoint.
        channel_options: gRPC channel arguments, merged by name over the defaults.
        connect_timeout: seconds for the connection, or None for gRPC's default.
        bearer_token: the bearer token that is sent with every call.
        balancing: how one of several servers is chosen.
        max_outstanding: requests of this client that run on a server at the same time; None for no limit.
    """

    server: ServerUrl
    tls: TLS | None = None
    channel_options: Mapping[str, str | int] = field(default_factory=dict)
    connect_timeout: float | None = None
    bearer_token: BearerTokenSource | None = field(default=None, repr=False)
    balancing: Balancing = "least-busy"
    max_outstanding: int | None = None

    @property
    def is_pool(self) -> bool:
        """Whether requests are distributed, or wait for their turn in the client."""
        return self.server.is_several or self.max_outstanding is not None

    def of_server(self, server: ServerUrl, name: str = "") -> ClientConfig:
        """Return the configuration for one of the servers.

        Args:
            server: its url.
            name: the ``name:port`` that its address was found by, which its certificate is for; empty for none.
        """
        tls, options = self.tls, self.channel_options
        if name:
            options = {"grpc.default_authority": name, **options}
            if server.secure and (tls is None or tls.target_name is None):
                tls = replace(tls or TLS(), target_name=ServerUrl(name).host_and_port[0])
        return replace(self, server=server, tls=tls, channel_options=options, max_outstanding=None)

    @classmethod
    def create(
        cls,
        url: UrlLike | None = None,
        *,
        environ: Mapping[str, str],
        tls: TLS | None = None,
        channel_options: Mapping[str, str | int] | None = None,
        connect_timeout: float | None = None,
        bearer_token: BearerTokenSource | None = None,
        allow_insecure_token: bool = False,
        balancing: Balancing = "least-busy",
        max_outstanding: int | None = None,
    ) -> ClientConfig:
        """Make a configuration from a client's arguments.

        Args:
            url: see `parse_url`; None takes ``$NUPIC_URL``, else ``localhost:8001``.
            environ: the environment variables, e.g. ``os.environ``.
            tls: needs a ``grpcs://`` url, or a ``dns:///`` one, which it makes secure.
            channel_options: gRPC channel arguments by name.
            connect_timeout: seconds for the connection, or None for gRPC's default.
            bearer_token: the bearer token that is sent with every call.
            allow_insecure_token: send the token in plain text to another machine.
            balancing: how one of several servers is chosen.
            max_outstanding: requests of this client that run on a server at the same time; None for no limit.

        Raises:
            ConfigurationError: an argument is wrong.
        """
        check_tls(tls, "grpcs://")
        server = parse_url(url if url is not None else environ.get("NUPIC_URL") or DEFAULT_URL)
        if tls is not None:
            server = server.with_tls_by_name()
        if tls is not None and not server.secure:
            raise ConfigurationError(
                f"url {str(server)!r} is not secure, but certificates or names for TLS are given: use"
                f" grpcs://{server}",
                parameter="url",
            )
        check_token_path(server, "grpcs://", bearer_token, allow_insecure=allow_insecure_token)
        return cls(
            server=server,
            tls=tls,
            channel_options=_check_options({} if channel_options is None else channel_options),
            connect_timeout=connect_timeout,
            bearer_token=bearer_token,
            balancing=_check_balancing(balancing),
            max_outstanding=_check_outstanding(max_outstanding),
        )


def _check_balancing(value: Balancing) -> Balancing:
    if value not in BALANCING:
        raise ConfigurationError(
            f"balancing must be one of {listed(BALANCING)}, not {value!r}",
            parameter="balancing",
        )
    return value


def _check_outstanding(value: int | None) -> int | None:
    return (
        None
        if value is None
        else check_integer(
            "max_outstanding", value, "a positive number of requests or None for no limit", low=1
        )
    )


publish(__name__)
