from __future__ import annotations

import json
import socket

import grpc
import pytest

from nupic_client._grpc import channel
from nupic_client._grpc.channel import channel_options, channel_target, credentials
from nupic_client.config import TLS, ClientConfig
from nupic_client.errors import ConfigurationError, ConnectionFailedError
from nupic_client.server_url import parse_url


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


def test_a_list_of_servers_is_used_in_turn():
    config = json.loads(options(["a:1", "b:2"])["grpc.service_config"])
    assert config == {"loadBalancingConfig": [{"round_robin": {}}]}


def test_one_server_needs_no_load_balancing():
    assert "grpc.service_config" not in options()


def test_the_name_on_the_certificate_may_differ_from_the_host():
    found = options("grpcs://host:1", tls=TLS(target_name="triton.internal"))
    assert found["grpc.ssl_target_name_override"] == "triton.internal"


def test_without_another_name_the_host_is_checked():
    assert "grpc.ssl_target_name_override" not in options("grpcs://host:1", tls=TLS())


def test_the_server_is_told_who_asks():
    assert options()["grpc.primary_user_agent"].startswith("nupic-client/")


# Targets


@pytest.mark.parametrize("url", ["no-such-host.invalid:1", "unix:/x", "dns:///host:1"])
def test_one_server_is_left_to_grpc_to_look_up(url):
    assert channel_target(parse_url(url)) == parse_url(url).target


@pytest.mark.parametrize(
    ("urls", "target"),
    [
        (["127.0.0.1:1", "127.0.0.2:2"], "ipv4:127.0.0.1:1,127.0.0.2:2"),
        (["[::1]:1", "[::2]:2"], "ipv6:[::1]:1,[::2]:2"),
    ],
)
def test_a_list_of_addresses_is_one_target(urls, target):
    assert channel_target(parse_url(urls)) == target


def test_addresses_of_both_kinds_are_an_error():
    with pytest.raises(ConfigurationError, match="IPv4 or IPv6 addresses, not both"):
        channel_target(parse_url(["127.0.0.1:1", "[::1]:2"]))


def test_of_the_addresses_of_a_name_an_ipv4_one_is_taken(monkeypatch):
    def both(host, port, **_):
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port)),
        ]

    monkeypatch.setattr(channel.socket, "getaddrinfo", both)
    assert channel_target(parse_url(["a:1", "b:2"])) == "ipv4:10.0.0.1:1,10.0.0.1:2"


def test_a_name_that_cannot_be_resolved_is_a_failed_connection(monkeypatch):
    def nowhere(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(channel.socket, "getaddrinfo", nowhere)
    with pytest.raises(
        ConnectionFailedError, match="cannot resolve the host name 'a': Name or service"
    ) as caught:
        channel_target(parse_url(["a:1", "b:2"]))
    assert (caught.value.target, caught.value.retryable) == ("a:1", True)


@pytest.mark.parametrize("host", ["a..b", "a" * 64, ".a"])
def test_a_name_that_is_no_host_name_is_a_failed_connection_too(host):
    with pytest.raises(ConnectionFailedError, match="cannot resolve"):
        channel_target(parse_url([f"{host}:1", "127.0.0.1:2"]))


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


def test_certificates_of_several_servers_are_checked_against_the_one_name_they_share():
    assert (
        options(["grpcs://gpt.example:1", "grpcs://gpt.example:2"])["grpc.ssl_target_name_override"]
        == "gpt.example"
    )
    given = options(["grpcs://a:1", "grpcs://b:2"], tls=TLS(target_name="gpt.example"))
    assert given["grpc.ssl_target_name_override"] == "gpt.example"


def test_several_names_with_tls_need_to_be_told_which_one_counts():
    with pytest.raises(ConfigurationError, match="target_name"):
        options(["grpcs://a:1", "grpcs://b:2"])


def test_one_server_is_checked_against_its_own_name():
    assert "grpc.ssl_target_name_override" not in options("grpcs://a:1")
