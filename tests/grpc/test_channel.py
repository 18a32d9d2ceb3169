from __future__ import annotations

import grpc
import pytest

from nupic_client._grpc.channel import channel_options, credentials
from nupic_client.config import TLS, ClientConfig
from nupic_client.errors import ConfigurationError


def options(url="host:1", **more):
    return dict(channel_options(ClientConfig.create(url, environ={}, **more)))


# Channel arguments


def test_messages_of_any_size_are_allowed():
    assert options()["grpc.max_receive_message_length"] == -1
    assert options()["grpc.max_send_message_length"] == -1


def test_pings_are_rarer_than_servers_allow():
    assert options()["grpc.keepalive_time_ms"] > 300_000


def test_the_users_values_win_by_name():
    given = {"grpc.keepalive_time_ms": 1, "grpc.mine": "x"}
    found = options(channel_options=given)
    assert found | given == found
    assert found["grpc.max_send_message_length"] == -1


def test_each_argument_is_there_once():
    names = [name for name, _ in channel_options(ClientConfig.create("a:1,b:2", environ={}))]
    assert len(names) == len(set(names))


def test_the_users_values_do_not_change_the_defaults():
    options(channel_options={"grpc.mine": "x"})
    assert "grpc.mine" not in options()


def test_the_name_on_the_certificate_may_differ_from_the_host():
    found = options("grpcs://host:1", tls=TLS(target_name="triton.internal"))
    assert found["grpc.ssl_target_name_override"] == "triton.internal"


def test_without_another_name_the_host_is_checked():
    assert "grpc.ssl_target_name_override" not in options("grpcs://host:1", tls=TLS())


def test_the_server_is_told_who_asks():
    assert options()["grpc.primary_user_agent"].startswith("nupic-client/")


# Credentials


def seen(monkeypatch, tls):
    """Return what gRPC is given: root certificates, private key, certificate chain."""
    calls = []
    monkeypatch.setattr(grpc, "ssl_channel_credentials", lambda *args: calls.append(args))
    credentials(tls)
    return calls[0]


def test_without_tls_options_the_systems_authorities_are_trusted():
    assert isinstance(credentials(None), grpc.ChannelCredentials)


def test_certificates_may_be_given_as_bytes(monkeypatch):
    tls = TLS(root_certificates=b"root", private_key=b"key", certificate_chain=b"chain")
    assert seen(monkeypatch, tls) == (b"root", b"key", b"chain")


def test_certificates_may_be_given_as_files(monkeypatch, tmp_path):
    for name in ("root", "key", "chain"):
        (tmp_path / name).write_bytes(name.encode())
    tls = TLS(
        root_certificates=tmp_path / "root",
        private_key=str(tmp_path / "key"),
        certificate_chain=str(tmp_path / "chain"),
    )
    assert seen(monkeypatch, tls) == (b"root", b"key", b"chain")


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ConfigurationError, match=r"tls.root_certificates: cannot read '.*ca.pem'"):
        credentials(TLS(root_certificates=tmp_path / "ca.pem"))


def test_one_server_is_checked_against_its_own_name():
    assert "grpc.ssl_target_name_override" not in options("grpcs://a:1")
