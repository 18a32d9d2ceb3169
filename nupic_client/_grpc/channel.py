"""Configuration to gRPC channel arguments and credentials."""

from __future__ import annotations

import ipaddress
import socket
import sys

import grpc

from nupic_client._grpc.proxy import goes_direct
from nupic_client._version import __version__
from nupic_client.config import TLS, ClientConfig
from nupic_client.endpoint import Endpoint
from nupic_client.errors import ConfigurationError, ConnectionFailedError

__all__ = ["channel_options", "channel_target", "credentials"]

_DEFAULTS: dict[str, str | int] = {
    # Answers and tensors may be large, and a limit here only turns a good answer into an error.
    "grpc.max_send_message_length": -1,
    "grpc.max_receive_message_length": -1,
    # A keepalive ping finds a connection that died silently. Servers punish pings more often than every five minutes
    # (GOAWAY too_many_pings; gRPC's and Triton's default), so stay above that; and send none without a call.
    "grpc.keepalive_time_ms": 310_000,
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.keepalive_permit_without_calls": 0,
    # A server that comes back is found within a second; gRPC's own default backs off up to two minutes. With its jitter
    # of a fifth that is less than the shortest pauses of the default retries together, so they reach a server that is up.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 500,
    # By default a new channel shares the failed connection of an older one to the same target, and fails at once with
    # its "Connection refused" although the server is up again.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.primary_user_agent": f"nupic-client/{__version__} python/{sys.version_info.major}.{sys.version_info.minor}",
}


def channel_options(config: ClientConfig) -> list[tuple[str, str | int]]:
    """Return the channel arguments: our defaults with the user's put over them by name.

    Raises:
        ConfigurationError: it cannot be told which name the certificates of several servers are for, or there are
            several behind a proxy.
    """
    options = dict(_DEFAULTS)
    if config.endpoint.addresses:
        options["grpc.service_config"] = '{"loadBalancingConfig": [{"round_robin": {}}]}'
        options["grpc.lb_policy_name"] = "round_robin"
    if config.endpoint.secure and (name := _certificate_name(config)) is not None:
        options["grpc.ssl_target_name_override"] = name
    if config.connect_timeout is not None:
        # gRPC gives an attempt to connect at least this long, and fails the calls that wait for it afterwards.
        options["grpc.min_reconnect_backoff_ms"] = max(int(config.connect_timeout * 1000), 1)
    if goes_direct(config):
        options["grpc.enable_http_proxy"] = 0
    options.update(config.channel_options)
    return list(options.items())


def _certificate_name(config: ClientConfig) -> str | None:
    """Return the name to check certificates against, where it is not the url's own host.

    The names in a list of servers become addresses (see `channel_target`), for which no certificate is made.
    """
    if config.tls is not None and config.tls.target_name is not None:
        return config.tls.target_name
    hosts = {host for host, _ in config.endpoint.addresses}
    if len(hosts) > 1:
        raise ConfigurationError(
            f"tls.target_name must be given for several servers ({config.endpoint}): it is the one name that their"
            " certificates are for",
            parameter="tls.target_name",
        )
    return hosts.pop() if hosts else None


def channel_target(endpoint: Endpoint) -> str:
    """Return the gRPC target. Names in a list of servers are looked up here: gRPC takes a list of addresses only.

    Raises:
        ConnectionFailedError: a name in a list cannot be resolved.
        ConfigurationError: the list mixes IPv4 and IPv6 addresses.
    """
    if not endpoint.addresses:
        return endpoint.target
    resolved = [_resolve(host, port) for host, port in endpoint.addresses]
    versions = {ipaddress.ip_address(host).version for host, _ in resolved}
    if len(versions) > 1:
        raise ConfigurationError(
            f"url as a list must have either IPv4 or IPv6 addresses, not both: {endpoint}", parameter="url"
        )
    if versions == {4}:
        return "ipv4:" + ",".join(f"{host}:{port}" for host, port in resolved)
    return "ipv6:" + ",".join(f"[{host}]:{port}" for host, port in resolved)


def _resolve(host: str, port: int) -> tuple[str, int]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: no host name can look like this
        raise ConnectionFailedError(
            f"cannot resolve the host name {host!r}: {getattr(error, 'strerror', None) or error}",
            target=f"{host}:{port}",
            retryable=True,
        ) from None
    # IPv4 first: a list must not mix the two, and a name such as localhost often has both.
    return str(min(found, key=lambda item: item[0] != socket.AF_INET)[4][0]), port


def credentials(tls: TLS | None) -> grpc.ChannelCredentials:
    """Return TLS credentials; the system's authorities where no others are given.

    Raises:
        ConfigurationError: a certificate file cannot be read.
    """
    tls = tls or TLS()
    return grpc.ssl_channel_credentials(
        tls.pem("root_certificates"), tls.pem("private_key"), tls.pem("certificate_chain")
    )
