"""The servers that a url stands for."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from nupic_client import TLS, ConnectionFailedError
from nupic_client._grpc import names
from nupic_client._grpc.channel import channel_options
from nupic_client._grpc.names import Addresses
from nupic_client.config import ClientConfig


def addresses(url, **options):
    return Addresses(ClientConfig.create(url, environ={}, **options))


@pytest.fixture
def resolver(monkeypatch):
    """The addresses by name; a name without any cannot be resolved."""
    known = {}

    def getaddrinfo(host, port, **_):
        if not known.get(host):
            raise socket.gaierror(-2, "Name or service not known")
        v6 = [(socket.AF_INET6, it) for it in known[host] if ":" in str(it[0])]
        return [
            *((family, socket.SOCK_STREAM, 6, "", (it[0], port, 0, *it[1:])) for family, it in v6),
            *(
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (it[0], port))
                for it in known[host]
                if ":" not in it[0]
            ),
        ]

    monkeypatch.setattr(names.socket, "getaddrinfo", getaddrinfo)
    return known


def test_a_list_is_left_to_grpc_to_look_up(resolver):
    found = addresses(["a:1", "[::1]:2", "unix:/x"]).look_up()
    assert {address: config.server.target for address, config in found.items()} == {
        "a:1": "a:1",
        "[::1]:2": "[::1]:2",
        "unix:/x": "unix:/x",
    }


def test_a_name_is_all_its_addresses_of_both_kinds(resolver):
    resolver["triton.svc"] = [("10.0.0.1",), ("10.0.0.2",), ("fd00::1", 0)]
    found = addresses("dns:///triton.svc:8001").look_up()
    assert [*found] == ["[fd00::1]:8001", "10.0.0.1:8001", "10.0.0.2:8001"]
    assert all(config.server.target == address for address, config in found.items())
    assert not any(config.is_pool for config in found.values())


def test_an_address_keeps_its_zone(resolver, monkeypatch):
    monkeypatch.setattr(names.socket, "if_indextoname", {3: "eth0"}.__getitem__)
    resolver["triton.svc"] = [("fe80::1", 3)]
    assert [*addresses("dns:///triton.svc:8001").look_up()] == ["[fe80::1%eth0]:8001"]


def test_the_server_is_called_by_its_name(resolver):
    resolver["triton.svc"] = [("10.0.0.1",)]
    (config,) = addresses("dns:///triton.svc:8001").look_up().values()
    assert dict(channel_options(config))["grpc.default_authority"] == "triton.svc:8001"
    assert "grpc.ssl_target_name_override" not in dict(channel_options(config))


def test_certificates_are_for_the_name(resolver):
    resolver["triton.svc"] = [("10.0.0.1",)]
    (config,) = addresses("dns:///triton.svc:8001", tls=TLS()).look_up().values()
    assert config.server.secure
    assert dict(channel_options(config))["grpc.ssl_target_name_override"] == "triton.svc"


def test_or_for_the_one_that_was_given(resolver):
    resolver["triton.svc"] = [("10.0.0.1",)]
    (config,) = addresses("dns:///triton.svc:8001", tls=TLS(target_name="llm")).look_up().values()
    assert dict(channel_options(config))["grpc.ssl_target_name_override"] == "llm"


def test_a_list_and_a_name_are_added_up(resolver):
    resolver["triton.svc"] = [("10.0.0.1",), ("10.0.0.2",)]
    found = addresses(["10.0.0.2:8001", "dns:///triton.svc:8001"]).look_up()
    assert [*found] == ["10.0.0.2:8001", "10.0.0.1:8001"]


def test_a_name_that_cannot_be_resolved_is_a_failed_connection(resolver):
    with pytest.raises(
        ConnectionFailedError, match="cannot resolve the host name 'a': Name or service"
    ) as caught:
        addresses("dns:///a:1").look_up()
    assert (caught.value.target, caught.value.retryable) == ("dns:///a:1", True)


def test_the_others_of_the_list_remain(resolver):
    assert [*addresses(["dns:///a:1", "b:1"]).look_up()] == ["b:1"]


@pytest.mark.parametrize("host", ["a..b", "a" * 64, ".a"])
def test_a_name_that_is_no_host_name_is_a_failed_connection_too(host):
    with pytest.raises(ConnectionFailedError, match="cannot resolve"):
        addresses(f"dns:///{host}:1").look_up()


def test_names_are_looked_up_again_after_a_while_and_soon_after_a_failure(resolver):
    resolver["a"] = [("10.0.0.1",)]
    known = addresses("dns:///a:1")
    assert known.is_due(0.0)
    known.begin(0.0)
    known.found = known.look_up()
    assert not known.is_due(29.0)
    assert known.is_due(30.0)
    known.note_failure()
    assert not known.is_due(0.5)
    assert known.is_due(1.0)
    known.begin(1.0)
    assert not known.is_due(30.0)


def test_a_list_is_never_looked_up_again():
    known = addresses(["a:1", "b:1"])
    known.begin(0.0)
    known.found = known.look_up()
    known.note_failure()
    assert not known.is_due(1e9)


def test_a_client_with_one_server_loads_nothing_of_this():
    program = (
        "import sys, nupic_client; nupic_client.StreamingClient('m', 'a:1').close();"
        "print([name for name in sys.modules if 'nupic' in name and ('pool' in name or 'balance' in name)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
