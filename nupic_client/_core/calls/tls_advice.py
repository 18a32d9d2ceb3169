"""What to do when a TLS handshake fails, by the words of the library that failed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["BAD_FILES", "tls_advice"]

_TRUST = "give the authority that signed it as TLS(root_certificates=…)"
_NAME = "use the name it was made for in the url, or give it as TLS(target_name=…)"
_FILES = "check that they are PEM, and that private_key is the key of certificate_chain"
_OWN = "TLS(certificate_chain=…, private_key=…)"
_NO_TLS = "the server does not speak TLS on this port: use {plain}://, or another port"
BAD_FILES = f"the certificates that were given for TLS do not work: {_FILES}"
"""The advice for certificates that cannot be used at all."""

_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "certificate has expired": "the server's certificate has expired: it needs a new one",
        "certificate is not yet valid": "the server's certificate is not valid yet: compare the clocks of both machines",
        "Hostname Verification Check failed": f"the server's certificate is for another name: {_NAME}",
        "certificate is not valid for": f"the server's certificate is for another name: {_NAME}",
        "self signed certificate": f"the server's certificate is self-signed: {_TRUST}",
        "self-signed certificate": f"the server's certificate is self-signed: {_TRUST}",
        "CERTIFICATE_VERIFY_FAILED": f"the server's certificate is of an authority that is not trusted here: {_TRUST}",
        "WRONG_VERSION_NUMBER": _NO_TLS,
        "RECORD_LAYER_FAILURE": _NO_TLS,
        "CERTIFICATE_REQUIRED": f"the server wants a client certificate: {_OWN}",
        "ALERT_UNKNOWN_CA": f"the server does not trust this client's certificate: give another one as {_OWN}",
        "security handshaker": BAD_FILES,
        "Tls handshake failed": "the TLS handshake with the server failed",
    }
)
"""What the words for a handshake that failed mean, the first that are found; trying again cannot help.

They are those of gRPC 1.85 with BoringSSL, and of Python with OpenSSL 3. Where they change, the general sentence with the
library's own text is left.
"""


def tls_advice(words: str, plain: str) -> str | None:
    """Return a sentence for a TLS handshake that failed, or None for words that do not say so.

    Args:
        words: of the library that failed.
        plain: the scheme of a url without TLS.
    """
    for part, advice in _ADVICE.items():
        if part in words:
            return advice.format(plain=plain)
    return None
