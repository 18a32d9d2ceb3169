"""The advice for a TLS handshake that failed: the words of Python and of gRPC, and words that say something else."""

from __future__ import annotations

import pytest

from nupic_client._core.calls.tls_advice import BAD_FILES, tls_advice

# Words in the form of Python with OpenSSL 3 and of gRPC, with a part of the advice. Handshakes that really fail are tested
# with servers, in tests/inference/test_http.py and tests/facade/test_tls.py.
WORDS = [
    ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1006)", "needs a new"),
    ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate is not yet valid", "the clocks"),
    ("CERTIFICATE_VERIFY_FAILED: IP address mismatch, certificate is not valid for '127.0.0.1'.", "for another name: use"),
    ("Hostname Verification Check failed.", "for another name: use"),
    (
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate chain",
        "is self-signed: give",
    ),
    ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self signed certificate", "is self-signed: give"),
    (
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate",
        "not trusted here: give",
    ),
    ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "use {plain}://"),
    ("[SSL: RECORD_LAYER_FAILURE] record layer failure (_ssl.c:1029)", "use {plain}://"),
    ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required", "wants a client certificate"),
    ("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:2576)", "does not trust this client's"),
    ("Failed to create security handshaker", BAD_FILES),
    ("Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: something new", "handshake with the server failed"),
]  # fmt: skip


@pytest.mark.parametrize("plain", ["http", "grpc"])
@pytest.mark.parametrize(("words", "advice"), WORDS, ids=lambda value: value[:50])
def test_known_words_have_their_advice(words, advice, plain):
    found = tls_advice(words, plain)
    assert advice.format(plain=plain) in found
    assert "{" not in found
    assert tls_advice(f"failed to connect: {words} (and more)", plain) == found


@pytest.mark.parametrize("words", ["", "Connection refused", "[SSL] something new", "certificate"])
def test_other_words_have_none(words):
    assert tls_advice(words, "http") is None


def test_the_more_precise_words_count():
    both = "CERTIFICATE_VERIFY_FAILED: certificate has expired"
    assert tls_advice(both, "grpc") != tls_advice("CERTIFICATE_VERIFY_FAILED", "grpc")
    assert "expired" in tls_advice(f"Tls handshake failed: {both}", "grpc")


def test_the_advice_for_files_says_what_to_check():
    assert "check that they are PEM" in BAD_FILES
