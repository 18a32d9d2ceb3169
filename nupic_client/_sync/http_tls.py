"""The certificates of `TLS` as Python takes them."""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nupic_client._core.calls.tls_advice import BAD_FILES
from nupic_client._sync.http_connection import TLSSocket
from nupic_client.errors import ConfigurationError

if TYPE_CHECKING:
    from nupic_client.config import TLS

__all__ = ["tls_context"]


def tls_context(tls: TLS | None) -> ssl.SSLContext:
    """Return what makes connections with TLS; the system's authorities where no others are given.

    Raises:
        ConfigurationError: they cannot be read or used.
    """
    roots = tls.pem("root_certificates") if tls is not None else None
    try:
        context = ssl.create_default_context(cadata=None if roots is None else roots.decode("ascii"))
        context.sslsocket_class = TLSSocket
        if tls is not None and tls.certificate_chain is not None:
            with _files(tls) as (chain, key):
                # Without a password Python would ask for one on the terminal.
                context.load_cert_chain(chain, key, password=lambda: b"")
    except (ssl.SSLError, ValueError, OSError) as error:
        raise ConfigurationError(f"{BAD_FILES} ({error})") from None
    return context


@contextlib.contextmanager
def _files(tls: TLS) -> Iterator[tuple[Path, Path]]:
    """Lend certificate and key as files, which is how Python wants them; what was given as bytes is on disk no longer."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - on Linux, and then no disk sees the key
    with tempfile.TemporaryDirectory(
        prefix="nupic-tls-", dir=memory
    ) as folder:  # only this user may enter it
        lent = []
        for name in ("certificate_chain", "private_key"):
            given = getattr(tls, name)
            path = Path(folder, name) if isinstance(given, bytes) else Path(given)
            if isinstance(given, bytes):
                path.touch(0o600)
                path.write_bytes(given)
            else:
                tls.pem(name)  # for the sentence about a file that cannot be read
            lent.append(path)
        yield lent[0], lent[1]
