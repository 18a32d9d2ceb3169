"""The machines that can reach a server: only this one by default, and with ``expose`` others, with a warning."""

from __future__ import annotations

import warnings

from nupic_client._public import publish
from nupic_client.errors import ConfigurationError
from nupic_client.server_url import is_loopback, is_unspecified

__all__ = ["ExposedServerWarning", "exposure", "listening_host", "warn_if_exposed"]

_LOOPBACK = "127.0.0.1"
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - only where the caller asks for it


class ExposedServerWarning(UserWarning):
    """A server of this process can be reached from other machines."""


def listening_host(host: str | None, *, expose: bool) -> str:
    """Return the address to listen on.

    Args:
        host: the caller's choice, or None.
        expose: whether other machines may connect.

    Raises:
        ConfigurationError: other machines can reach the address, and ``expose`` is not set.
    """
    if host is None:
        return _EVERYWHERE if expose else _LOOPBACK
    if not expose and not is_loopback(host):
        raise ConfigurationError(
            f"host must be {_LOOPBACK} or another address that only this machine reaches, not"
            f" {host or 'every address'!r}: leave it out",
            parameter="host",
            hint="or give expose=True to let other machines in, and protect the server with TLS and a token",
        )
    return host or _EVERYWHERE


def exposure(host: str, *, tls: bool, token: bool, mutual: bool = False) -> str:
    """Return a sentence on who can use a server and read its traffic; empty if only this machine can.

    Args:
        host: the address that the server listens on.
        tls: whether it uses TLS.
        token: whether it requires a token.
        mutual: whether it requires client certificates.
    """
    if is_loopback(host):
        return ""
    where = "an address of this one" if is_unspecified(host) else host
    reach = f"this server is exposed: every machine that reaches {where}"
    if tls and (token or mutual):
        known = " and ".join(
            ["the token"] * token + ["a certificate of an authority that is trusted here"] * mutual
        )
        return f"{reach} can connect, and use it with {known}; TLS is on"
    if tls:
        return f"{reach} CAN USE IT: TLS is on, but no token is wanted"
    if token:
        return f"{reach} can connect; a token is wanted, but TLS is off: WHO LISTENS ON THE WAY READS IT, and every text"
    return f"{reach} CAN USE IT, and who listens on the way reads every text: there is NO TOKEN AND NO TLS"


def warn_if_exposed(host: str, *, tls: bool, token: bool, mutual: bool = False, stacklevel: int = 3) -> None:
    """Give an `ExposedServerWarning` with the sentence of `exposure`, if there is one."""
    text = exposure(host, tls=tls, token=token, mutual=mutual)
    if text:
        warnings.warn(text, ExposedServerWarning, stacklevel=stacklevel)


publish(__name__)
