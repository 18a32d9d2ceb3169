"""The parameters of a call of LiteLLM as options of this library."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import litellm
from litellm.exceptions import UnsupportedParamsError

from nupic_client import ConfigurationError, GenerateOptions, Timeouts
from nupic_client.integrations.tls import tls_of

__all__ = ["Parameters", "read_embedding_parameters", "read_parameters"]

_TIMEOUTS = {"first_token_timeout": "first_token", "between_tokens_timeout": "between_tokens"}
_CLIENT = frozenset(
    {"allow_insecure_token", "backend", "balancing", "formatter", "max_outstanding", "registry", "tls"}
)
_OTHERWISE = frozenset({"logprobs", "metadata", "outputs", "request_id", "signature", "timeout"})
"""Options that are read from something else, or that have no place in LiteLLM's answers."""
_OPTIONS = frozenset(GenerateOptions.__annotations__) - _OTHERWISE
_OF_EMBEDDINGS = frozenset({"batch_size", "concurrency", "output", "parameters", "session"})
_WITHOUT_EFFECT: Mapping[str, Any] = {
    "n": 1,
    "parallel_tool_calls": True,
    "modalities": ["text"],
    "service_tier": "auto",
    "store": False,
}
"""Parameters of OpenAI with the values that mean what happens anyway."""
_ABOUT_THE_CALLER = frozenset({"user", "safety_identifier", "prompt_cache_key"})
_LITELLM = frozenset({"stream", "stream_options", "extra_body"})


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a call asks for.

    Args:
        options: those of the generation.
        client: those of the client.
    """

    options: dict[str, Any]
    client: dict[str, Any]


def read_parameters(
    optional_params: Mapping[str, Any],
    *,
    model: str,
    provider: str,
    litellm_params: Mapping[str, Any] | None,
    timeout: Any = None,
    headers: Mapping[str, str] | None = None,
    api_key: str | None = None,
) -> Parameters:
    """Sort the parameters of a call.

    Args:
        optional_params: LiteLLM's mapping of all parameters that OpenAI has and of others.
        model: for the error.
        provider: for the error.
        litellm_params: LiteLLM's mapping of its own parameters; its ``drop_params`` leaves out what is not known.
        timeout: seconds for the whole call, or an ``httpx.Timeout``.
        headers: become metadata of the gRPC call.
        api_key: the bearer token.

    Raises:
        UnsupportedParamsError: a parameter is not known, and is not to be dropped.
        ConfigurationError: one of the client has a wrong value.
    """
    given = _given(optional_params)
    options = {name: given.pop(name) for name in _OPTIONS & given.keys()}
    logprobs, most = given.pop("logprobs", None), given.pop("top_logprobs", None)
    if logprobs:
        options["logprobs"] = most or True
    deadlines = {ours: given.pop(theirs) for theirs, ours in _TIMEOUTS.items() if theirs in given}
    options["timeout"] = _timeouts(timeout, deadlines)
    if headers:
        options["metadata"] = {name.lower(): value for name, value in headers.items()}
    client = _client_options(given, api_key)
    _check_nothing_is_left(given, model, provider, litellm_params)
    return Parameters(options, client)


def read_embedding_parameters(
    optional_params: Mapping[str, Any],
    *,
    model: str,
    provider: str,
    litellm_params: Mapping[str, Any] | None,
    timeout: Any = None,
    api_key: str | None = None,
) -> Parameters:
    """Sort the parameters of a call for vectors.

    Args:
        optional_params: as for `read_parameters`.
        model: as for `read_parameters`.
        provider: as for `read_parameters`.
        litellm_params: as for `read_parameters`.
        timeout: as for `read_parameters`.
        api_key: as for `read_parameters`.

    Raises:
        UnsupportedParamsError: a parameter is not known, and is not to be dropped.
    """
    given = _given(optional_params)
    options = {name: given.pop(name) for name in _OF_EMBEDDINGS & given.keys()}
    options["timeout"] = _timeouts(timeout, {}).total
    client = _client_options(given, api_key)
    _check_nothing_is_left(given, model, provider, litellm_params)
    return Parameters(options, client)


def _given(optional_params: Mapping[str, Any]) -> dict[str, Any]:
    given = {**optional_params, **(optional_params.get("extra_body") or {})}
    return {name: value for name, value in given.items() if _says_something(name, value)}


def _client_options(given: dict[str, Any], api_key: str | None) -> dict[str, Any]:
    options = {name: given.pop(name) for name in _CLIENT & given.keys()}
    if isinstance(options.get("tls"), Mapping):  # of a proxy's YAML
        options["tls"] = tls_of(options["tls"])
    for name, value in options.items():
        if not isinstance(value, Hashable):
            raise ConfigurationError(f"{name} must not be {value!r:.80}, which has no hash", parameter=name)
    if api_key:
        options["bearer_token"] = api_key
    return options


def _check_nothing_is_left(
    given: Mapping[str, Any], model: str, provider: str, litellm_params: Mapping[str, Any] | None
) -> None:
    if given and not (litellm.drop_params or (litellm_params or {}).get("drop_params")):
        raise UnsupportedParamsError(
            message=f"{provider} does not support the parameters {', '.join(sorted(given))}. To drop them, set"
            " `litellm.drop_params = True` or `drop_params=True`; for the proxy `drop_params: true` in"
            " `litellm_settings`.",
            llm_provider=provider,
            model=model,
        )


def _says_something(name: str, value: Any) -> bool:
    if value is None or value in ({}, []) or name in _LITELLM or name in _ABOUT_THE_CALLER:
        return False
    return name not in _WITHOUT_EFFECT or value != _WITHOUT_EFFECT[name]


def _timeouts(total: Any, deadlines: Mapping[str, float]) -> Timeouts:
    if hasattr(total, "read"):  # of httpx, where it is the time without a byte
        total = total.read
    return Timeouts(**({} if total is None else {"total": total}), **deadlines)
