"""Configuration to gRPC channel arguments and credentials."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import grpc

from nupic_client._core.kserve import wire
from nupic_client._grpc.proxy import goes_direct
from nupic_client._version import USER_AGENT
from nupic_client.config import TLS, ClientConfig
from nupic_client.errors import ConfigurationError, ConnectionFailedError
from nupic_client.server_url import ServerUrl

__all__ = ["channel_options", "channel_target", "credentials", "stream_method", "unary_method"]

_DEFAULTS: dict[str, str | int] = {
    # Answers and tensors may be large. A limit here would only turn a good answer into an error.
    "grpc.max_send_message_length": -1,
    "grpc.max_receive_message_length": -1,
    # A keepalive ping finds a connection that died silently. Servers punish pings more often than every five minutes
    # (GOAWAY too_many_pings; gRPC's and Triton's default), so stay above that, and send none without a call.
    "grpc.keepalive_time_ms": 310_000,
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.keepalive_permit_without_calls": 0,
    # A server that comes back is found within a second; gRPC's own default backs off up to two minutes. Even with gRPC's
    # jitter of a fifth, one pause is shorter than the default retries together, so these reach a server that is up.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 500,
    # By default a new channel shares the failed connection of an older channel to the same target, and fails at once
    # with the old "Connection refused" although the server is up again.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.primary_user_agent": USER_AGENT,
}


def channel_options(config: ClientConfig) -> list[tuple[str, str | int]]:
    """Return the channel arguments: our defaults with the user's put over them by name.

    Raises:
        ConfigurationError: several servers have no common name for their certificates, or are behind a proxy.
    """
    options = dict(_DEFAULTS)
    if config.server.addresses:
        options["grpc.service_config"] = '{"loadBalancingConfig": [{"round_robin": {}}]}'
        options["grpc.lb_policy_name"] = "round_robin"
    if config.server.secure and (name := _certificate_name(config)) is not None:
        options["grpc.ssl_target_name_override"] = name
    if config.connect_timeout is not None:
        # gRPC gives each attempt to connect at least this long, and then fails the calls that wait for it.
        options["grpc.min_reconnect_backoff_ms"] = max(int(config.connect_timeout * 1000), 1)
    if goes_direct(config):
        options["grpc.enable_http_proxy"] = 0
    options.update(config.channel_options)
    return list(options.items())


def _certificate_name(config: ClientConfig) -> str | None:
    """Return the name to check certificates against, or None for the host of the url.

    The names in a list of servers become addresses (see `channel_target`), and certificates are not made for those.
    """
    if config.tls is not None and config.tls.target_name is not None:
        return config.tls.target_name
    hosts = {host for host, _ in config.server.addresses}
    if len(hosts) > 1:
        raise ConfigurationError(
            f"tls.target_name must be given for several servers ({config.server}): it is the one name that their"
            " certificates are for",
            parameter="tls.target_name",
        )
    return hosts.pop() if hosts else None


def channel_target(server: ServerUrl) -> str:
    """Return the gRPC target. Names in a list of servers are looked up here: gRPC takes a list of addresses only.

    Raises:
        ConnectionFailedError: a name in a list cannot be resolved.
        ConfigurationError: the list mixes IPv4 and IPv6 addresses.
    """
    if not server.addresses:
        return server.target
    resolved = [_resolve(host, port) for host, port in server.addresses]
    versions = {ipaddress.ip_address(host).version for host, _ in resolved}
    if len(versions) > 1:
        raise ConfigurationError(
            f"url as a list must have either IPv4 or IPv6 addresses, not both: {server}", parameter="url"
        )
    if versions == {4}:
        return "ipv4:" + ",".join(f"{host}:{port}" for host, port in resolved)
    return "ipv6:" + ",".join(f"[{host}]:{port}" for host, port in resolved)


def _resolve(host: str, port: int) -> tuple[str, int]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: not a possible host name
        raise ConnectionFailedError(
            f"cannot resolve the host name {host!r}: {getattr(error, 'strerror', None) or error}",
            target=f"{host}:{port}",
            retryable=True,
        ) from None
    # IPv4 first: a list must not mix the two, and names such as localhost often have both.
    return str(min(found, key=lambda item: item[0] != socket.AF_INET)[4][0]), port


def credentials(tls: TLS | None) -> grpc.ChannelCredentials:
    """Return TLS credentials; the default authorities are the system's.

    Raises:
        ConfigurationError: a certificate file cannot be read.
    """
    tls = tls or TLS()
    return grpc.ssl_channel_credentials(
        tls.pem("root_certificates"), tls.pem("private_key"), tls.pem("certificate_chain")
    )


def stream_method(channel: Any) -> Callable[..., Any]:
    """Return the method for streams of a channel, whose responses are left as bytes.

    It is called as unary_stream: one request, half-closed at once. On the wire it is the same method.
    """
    method: Callable[..., Any] = channel.unary_stream(
        wire.method_path("ModelStreamInfer"),
        request_serializer=wire.serialize,
        response_deserializer=None,
    )
    return method


def unary_method(channel: Any, name: str) -> Callable[..., Any]:
    """Return one of the other methods of a channel; the responses of ``ModelInfer`` are left as bytes."""
    _, response_class = wire.METHODS[name]
    # Contents may be large, and a response that repeats an earlier one need not be parsed: that one is left as bytes.
    read = None if name == "ModelInfer" else response_class.FromString
    method: Callable[..., Any] = channel.unary_unary(
        wire.method_path(name), request_serializer=wire.serialize, response_deserializer=read
    )
    return method
