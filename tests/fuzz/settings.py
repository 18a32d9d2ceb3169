"""Targets: what a caller or a file sets. A value that works, or a ConfigurationError that says what is wrong."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

from nupic_client import (
    TLS,
    ConfigurationError,
    Message,
    ModelRegistry,
    PromptError,
    RetryPolicy,
    SamplingParams,
    Timeouts,
    UnknownModelError,
)
from nupic_client._core.calls.options import CallOptions
from nupic_client.config import ClientConfig, check_metadata
from nupic_client.messages import to_messages
from nupic_client.model_spec import ModelSpec, specs_from_toml
from nupic_client.naming import parse_model_name
from nupic_client.registry import default_registry, get_prompt_formatter
from nupic_client.server_url import ServerUrl, parse_url

from .choices import Choices
from .reference import explained


def url(data: bytes) -> None:
    """Any text, or several lines as a list: an endpoint that gRPC can be given, or a ConfigurationError."""
    text = data.decode(errors="surrogateescape")
    try:
        endpoint = parse_url(text.split("\n") if "\n" in text else text)
    except ConfigurationError as error:
        explained(error)
        return
    assert isinstance(endpoint.is_local, bool)
    assert endpoint.target.isprintable(), "gRPC takes names as C strings"
    assert str(endpoint)
    for server in endpoint.servers or (endpoint,):
        if not server.target.startswith("unix:"):
            host, port = server.host_and_port
            assert host
            assert 1 <= port <= 65535
    if not endpoint.servers:
        scheme = "grpcs://" if endpoint.secure else ""
        again = parse_url(scheme + endpoint.target)
        assert again == endpoint or "%" in text
    assert pickle.loads(pickle.dumps(endpoint)) == endpoint


_NUMBERS = (0, -1, 1, 2.5, 1e-300, 1e9, 1e10, 1e308, math.inf, -math.inf, math.nan, 2**31, 2**64, 10**400)


def _value(choices: Choices, depth: int = 0):
    """Any plain value that a caller may give by mistake."""
    kind = choices.below(9 if depth < 2 else 6)
    if kind == 0:
        return choices.pick((None, True, False))
    if kind == 1:
        return choices.pick(_NUMBERS)
    if kind == 2:
        return choices.number(choices.below(9)) - 2**31 * choices.flag()
    if kind == 3:
        return choices.text()
    if kind == 4:
        return choices.bytes(choices.below(12))
    if kind == 5:
        return choices.pick((Path("/nowhere/at/all.pem"), object(), len, Timeouts(), RetryPolicy(), TLS()))
    if kind == 6:
        return [_value(choices, depth + 1) for _ in range(choices.below(4))]
    if kind == 7:
        return {choices.text(): _value(choices, depth + 1) for _ in range(choices.below(4))}
    return tuple(_value(choices, depth + 1) for _ in range(choices.below(4)))


def settings(data: bytes) -> None:
    """Arguments of every kind for everything that is configured."""
    choices = Choices(data)
    while choices.more:
        check = choices.pick(_CHECKS)
        try:
            check(choices)
        except ConfigurationError as error:
            explained(error)


def _timeouts(choices: Choices) -> None:
    names = ("total", "first_token", "between_tokens", "connect")
    made = Timeouts(**{name: _value(choices) for name in names if choices.flag()})
    for name in names:
        seconds = getattr(made, name)
        assert seconds is None or (isinstance(seconds, float) and 0 < seconds < math.inf)
    made.override(_value(choices))


def _retries(choices: Choices) -> None:
    names = ("max_retries", "initial_backoff", "max_backoff")
    made = RetryPolicy(**{name: _value(choices) for name in names if choices.flag()})
    assert 0 <= made.max_retries <= 100
    assert made.initial_backoff is None or made.initial_backoff > 0
    RetryPolicy.of(_value(choices))


def _tls(choices: Choices) -> None:
    names = ("root_certificates", "certificate_chain", "private_key", "target_name")
    made = TLS(**{name: _value(choices) for name in names if choices.flag()})
    assert "private_key" not in repr(made)
    for name in names[:3]:
        pem = made.pem(name)
        assert pem is None or isinstance(pem, bytes)


def _sampling(choices: Choices) -> None:
    names = tuple(SamplingParams.__dataclass_fields__)
    made = SamplingParams(**{name: _value(choices) for name in names if choices.flag()})
    for name, value in made.given():
        assert name == "stop" or math.isfinite(value)
    assert SamplingParams(**dict(made.given())) == made


def _client(choices: Choices) -> None:
    given = {
        name: _value(choices)
        for name in ("url", "connect_timeout", "bearer_token", "channel_options")
        if choices.flag()
    }
    environ = {"NUPIC_URL": choices.text()} if choices.flag() else {}
    tls = TLS() if choices.flag() else None
    made = ClientConfig.create(**given, environ=environ, tls=tls, allow_insecure_token=choices.flag())
    assert isinstance(made.server, ServerUrl)
    if isinstance(made.bearer_token, str) and len(made.bearer_token) > 20:
        assert made.bearer_token not in repr(made)
    assert all(isinstance(name, str) for name in made.channel_options)


def _metadata(choices: Choices) -> None:
    made = check_metadata(_value(choices))
    for name, value in made.items():
        assert name == name.lower()
        assert isinstance(value, bytes if name.endswith("-bin") else str)


def _messages(choices: Choices) -> None:
    given = [{"role": _value(choices), "content": _value(choices)} for _ in range(choices.below(3))]
    made = to_messages(given if choices.flag() else _value(choices))
    assert all(isinstance(item, Message) for item in made)


def _call(choices: Choices) -> None:
    names = (
        "timeout",
        "max_retries",
        "max_output_bytes",
        "metadata",
        "stop",
        "max_tokens",
        "request_id",
        "logprobs",
    )
    made = CallOptions().override({name: _value(choices) for name in names if choices.flag()})
    assert made.timeouts.total is None or made.timeouts.total > 0


def _spec(choices: Choices) -> None:
    names = tuple(name for name in ModelSpec.__dataclass_fields__ if name not in {"hint", "name"})
    made = ModelSpec(name=choices.text() or "m", **{n: _value(choices) for n in names if choices.flag()})
    registry = ModelRegistry()
    registry.register(made)
    _check_registered(registry, made)


_CHECKS = (_timeouts, _retries, _tls, _sampling, _client, _metadata, _messages, _call, _spec)


def _check_registered(registry: ModelRegistry, spec: ModelSpec) -> None:
    assert registry[spec.name] is spec
    for name in (spec.name, *spec.aliases):
        assert registry.resolve(name).server_name == spec.server_name
    assert spec.server_name in registry
    assert isinstance(repr(spec), str)
    assert spec.parts.full == spec.server_name
    assert spec.cumulative in {None, True, False}
    assert spec.sampling_defaults.stop_strings is not None
    assert pickle.loads(pickle.dumps(spec)) == spec
    if spec.formatter is not None:
        try:
            assert spec.formatter("Hello")
        except PromptError as error:
            explained(error)


def models_toml(data: bytes) -> None:
    """Any text as a file of models: models that a registry takes and finds again, or a ConfigurationError."""
    try:
        specs = specs_from_toml(data.decode(errors="surrogateescape"), "models.toml")
    except ConfigurationError as error:
        explained(error)
        return
    registry = ModelRegistry()
    for spec in specs:
        try:
            registry.register(spec)
        except ConfigurationError as error:
            explained(error)
            return
        _check_registered(registry, spec)


def model_name(data: bytes) -> None:
    """Any text as a model's name: a spec, or an error that says what is wrong."""
    name = data.decode(errors="surrogateescape")
    parts = parse_model_name(name)
    assert parts.full == name
    assert parts.streaming == name.endswith(".streaming")
    registry = default_registry()
    try:
        spec = registry.resolve(name)
    except ConfigurationError:
        assert not name.strip() or not name.isprintable()  # a lone surrogate is not
        return
    assert spec.server_name == name or name in registry
    try:
        registry[name]
    except UnknownModelError as error:
        assert name not in registry
        explained(error)
    try:
        get_prompt_formatter(name)
    except ConfigurationError as error:
        explained(error)
