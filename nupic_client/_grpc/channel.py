"""Configuration to gRPC channel arguments and credentials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from nupic_client._core.kserve import wire
from nupic_client._grpc.proxy import goes_direct
from nupic_client._version import USER_AGENT
from nupic_client.config import TLS, ClientConfig

__all__ = ["channel_options", "credentials", "stream_method", "unary_method"]

_DEFAULTS: dict[str, str | int] = {
    # Answers and tensors may be large. A limit here would only turn a good answer into an error.
    "grpc.max_send_message_length": -1,
    "grpc.max_receive_message_length": -1,
    # An error's text comes as metadata. gRPC's own limit of 16 KiB makes "no capacity" of a longer one, such as a traceback
    # with the contents of a tensor.
    "grpc.max_metadata_size": 1 << 20,
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
    """Return the channel arguments for one server: our defaults with the user's put over them by name."""
    options = dict(_DEFAULTS)
    if config.server.secure and config.tls is not None and config.tls.target_name is not None:
        options["grpc.ssl_target_name_override"] = config.tls.target_name
    if config.connect_timeout is not None:
        # gRPC gives each attempt to connect at least this long, and then fails the calls that wait for it.
        options["grpc.min_reconnect_backoff_ms"] = max(int(config.connect_timeout * 1000), 1)
    if goes_direct(config):
        options["grpc.enable_http_proxy"] = 0
    options.update(config.channel_options)
    return list(options.items())


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
