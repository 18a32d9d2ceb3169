"""Certificates for tests, as bytes."""

import trustme

AUTHORITY = trustme.CA()
OTHER_AUTHORITY = trustme.CA()
ROOTS = AUTHORITY.cert_pem.bytes()


def pair(*names, authority=AUTHORITY):
    """Return a certificate chain and its key, as `ServerTLS` and `TLS` call them."""
    issued = authority.issue_cert(*(names or ("127.0.0.1",)))
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    return {"certificate_chain": chain, "private_key": issued.private_key_pem.bytes()}
