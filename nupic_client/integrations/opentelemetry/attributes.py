"""The attributes of a request: from the facts that an observer is told to the names of the conventions."""

from __future__ import annotations

from typing import Any

from nupic_client import NupicError, RequestError, RequestInfo, RequestOutcome
from nupic_client.integrations.opentelemetry.names import OURS, Names

__all__ = [
    "add_server",
    "address_of",
    "at_end",
    "at_start",
    "description_of",
    "operation_of",
    "provider_of",
    "request_of",
]

_LONGEST = 256
"""Characters of the description of a failure."""


def operation_of(info: RequestInfo) -> str | None:
    """Return the name of the operation; None for arrays, which are not generative."""
    if info.sampling is not None:
        return "chat" if info.chat else "text_completion"
    return "embeddings" if info.operation == "embed" else None


def provider_of(model: str) -> str:
    """Return what serves a model, by its name."""
    return "nupic" if model.startswith("nupic") else "triton"


def address_of(target: str) -> tuple[str, int | None] | None:
    """Return the address and the port of a server, or of none for several.

    Args:
        target: as `RequestInfo` or an `Attempt` names it.

    Example:
        >>> address_of("gpu-1:8001"), address_of("[::1]:8001"), address_of("unix:/run/triton")
        (('gpu-1', 8001), ('::1', 8001), ('/run/triton', None))
    """
    if not target or "," in target:
        return None
    if target.startswith("unix:"):
        return "/" + target.removeprefix("unix:").lstrip("/"), None
    place = target.rpartition("//")[2] if "://" not in target else target.partition("://")[2].lstrip("/")
    host, colon, port = place.partition("/")[0].rpartition(":")
    if colon and port.isdecimal():
        return host.strip("[]"), int(port)
    return place.partition("/")[0].strip("[]"), None


def at_start(names: Names, info: RequestInfo, operation: str, provider: str) -> dict[str, Any]:
    """Return the attributes that samplers decide by, which are also those of the metrics."""
    found: dict[str, Any] = {
        names.operation: operation,
        names.provider: provider,
        names.request_model: info.model,
    }
    add_server(names, found, info.target)
    return found


def request_of(names: Names, info: RequestInfo) -> dict[str, Any]:
    """Return what else is known when a request begins."""
    found: dict[str, Any] = {names.response_id: info.request_id}
    if info.session:
        found[names.conversation] = info.session
    if info.output_type is not None:
        found[names.output_type] = info.output_type
    if info.streaming and info.sampling is not None:
        found[names.stream] = True
    sampling = info.sampling
    if sampling is None:
        return found
    wanted = {
        names.max_tokens: sampling.max_tokens,
        names.temperature: sampling.temperature,
        names.top_p: sampling.top_p,
        names.top_k: None if sampling.top_k is None else names.top_k_type(sampling.top_k),
        names.seed: _integer(sampling.seed),
        names.frequency_penalty: sampling.frequency_penalty,
        names.presence_penalty: sampling.presence_penalty,
    }
    found.update({name: value for name, value in wanted.items() if value is not None})
    if sampling.stop:
        found[names.stop] = [*sampling.stop]
    return found


def at_end(names: Names, info: RequestInfo, outcome: RequestOutcome) -> dict[str, Any]:
    """Return the attributes of the end of a request."""
    reason, usage, error = outcome.finish_reason, outcome.usage, outcome.error
    found: dict[str, Any] = {
        names.response_model: outcome.model or None,
        names.finish_reasons: None if reason is None else [str(reason)],
        names.input_tokens: usage.input_tokens,
        names.output_tokens: usage.output_tokens,
        names.error: None if error is None else type(error).__name__,
        OURS.attempts: len(outcome.attempts),
        OURS.output_bytes: outcome.output_bytes,
    }
    if info.sampling is not None:
        found[OURS.chunks] = outcome.timing.chunks
        if outcome.streamed:
            found[names.stream] = True
            found[names.time_to_first_chunk] = outcome.timing.time_to_first_token
    if len(outcome.attempts) > 1:
        found[OURS.endpoints] = [each.endpoint for each in outcome.attempts]
    found = {name: value for name, value in found.items() if value is not None}
    add_server(names, found, outcome.endpoint)
    return found


def description_of(error: Exception, *, with_content: bool) -> str:
    """Return what a span says about a failure: our sentence, without the server's own words, which may repeat the prompt.

    Args:
        error: the failure.
        with_content: whether prompts may be written, and so the server's words too.
    """
    if not isinstance(error, NupicError):
        return type(error).__name__  # of the user's own functions: its message may be anything
    words = error.message
    if isinstance(error, RequestError) and error.server_message and not with_content:
        words = words.replace(error.server_message, "…")
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"


def add_server(names: Names, found: dict[str, Any], target: str) -> None:
    """Add the address of a server to attributes; nothing for several."""
    place = address_of(target)
    if place is None:
        return
    found[names.address], port = place
    if port is not None:
        found[names.port] = port


def _integer(value: int | None) -> int | str | None:
    """Return an integer as OpenTelemetry can send it: of 64 bits with a sign; a larger one as text."""
    return value if value is None or value < 2**63 else str(value)
