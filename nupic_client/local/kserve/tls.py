"""Certificates of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from nupic_client._public import publish
from nupic_client.config import read_pem
from nupic_client.errors import ConfigurationError

__all__ = ["ServerTLS"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTLS:
    """Certificates of a server; bytes are PEM text, strings and paths are files.

    Args:
        certificate_chain: the server's certificate, followed by those of intermediate authorities.
        private_key: the key of the certificate, without a passphrase; never shown in a repr.
        client_authorities: require client certificates of one of these authorities (mutual TLS).

    Example:
        >>> LocalServer(tls=ServerTLS(certificate_chain="server.pem", private_key="server.key"))  # doctest: +SKIP
    """

    certificate_chain: str | Path | bytes
    private_key: str | Path | bytes = field(repr=False)
    client_authorities: str | Path | bytes | None = None

    def pem(self, name: str) -> bytes | None:
        """Return the PEM text of a field, read from its file if it is a path.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        value: str | Path | bytes | None = getattr(self, name)
        return None if value is None else read_pem(f"tls.{name}", value)

    def credentials(self) -> Any:
        """Return the ``grpc.ServerCredentials``.

        Raises:
            ConfigurationError: a file cannot be read, or the certificates cannot be used.
        """
        authorities = self.pem("client_authorities")
        pair = (self.pem("private_key"), self.pem("certificate_chain"))
        credentials = grpc.ssl_server_credentials(
            [pair], authorities, require_client_auth=authorities is not None
        )
        _try_out(credentials)
        return credentials


def _try_out(credentials: Any) -> None:
    # gRPC reads them when a port is opened, and its error does not tell them from a port in use.
    server = grpc.server(None, options=[("grpc.so_reuseport", 0)])
    try:
        opened = server.add_secure_port("127.0.0.1:0", credentials)
    except RuntimeError:
        opened = 0
    finally:
        server.stop(None)
    if not opened:
        raise ConfigurationError(
            "tls cannot be used: check that the certificates and the key are PEM, that the key has no passphrase, and"
            " that it is the key of the certificate",
            parameter="tls",
        )


publish(__name__)
