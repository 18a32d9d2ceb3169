"""All names that are written, in one table: the conventions for generative AI are still being changed.

Two generations of them are known: the one that backends read today (1.37 to 1.41), and the newest draft, which
``OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental`` chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

__all__ = ["LATEST", "OURS", "PRESENT", "SCOPE", "SECONDS", "TOKENS", "Metrics", "Names", "names_of"]

SCOPE = "nupic_client.integrations.opentelemetry"
"""The name of the instrumentation."""
SECONDS = tuple(0.01 * 2**power for power in range(14))
"""The boundaries of histograms of durations, as the conventions ask for."""
TOKENS = tuple(4**power for power in range(14))
"""The same for numbers of tokens."""
_OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"


@dataclass(frozen=True, slots=True)
class Metrics:
    """The names of the metrics of one kind of operation; an empty one does not exist in its generation."""

    duration: str = "gen_ai.client.operation.duration"
    tokens: str = "gen_ai.client.token.usage"
    """A histogram of both kinds of tokens, told apart by an attribute."""
    input_tokens: str = ""
    """A histogram."""
    output_tokens: str = ""
    total_input_tokens: str = ""
    """A counter."""
    total_output_tokens: str = ""
    first_chunk: str = "gen_ai.client.operation.time_to_first_chunk"
    next_chunk: str = "gen_ai.client.operation.time_per_output_chunk"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one generation of the conventions."""

    schema: str | None = "https://opentelemetry.io/schemas/1.37.0"
    operation: str = "gen_ai.operation.name"
    provider: str = "gen_ai.provider.name"
    request_model: str = "gen_ai.request.model"
    max_tokens: str = "gen_ai.request.max_tokens"
    temperature: str = "gen_ai.request.temperature"
    top_p: str = "gen_ai.request.top_p"
    top_k: str = "gen_ai.request.top_k"
    top_k_type: type = float
    seed: str = "gen_ai.request.seed"
    stop: str = "gen_ai.request.stop_sequences"
    frequency_penalty: str = "gen_ai.request.frequency_penalty"
    presence_penalty: str = "gen_ai.request.presence_penalty"
    stream: str = "gen_ai.request.stream"
    output_type: str = "gen_ai.output.type"
    conversation: str = "gen_ai.conversation.id"
    response_id: str = "gen_ai.response.id"
    response_model: str = "gen_ai.response.model"
    finish_reasons: str = "gen_ai.response.finish_reasons"
    time_to_first_chunk: str = "gen_ai.response.time_to_first_chunk"
    input_tokens: str = "gen_ai.usage.input_tokens"
    output_tokens: str = "gen_ai.usage.output_tokens"
    token_type: str = "gen_ai.token.type"  # noqa: S105 - no secret
    address: str = "server.address"
    port: str = "server.port"
    error: str = "error.type"
    input_messages: str = "gen_ai.input.messages"
    output_messages: str = "gen_ai.output.messages"
    system_instructions: str = "gen_ai.system_instructions"
    tool_definitions: str = "gen_ai.tool.definitions"
    details: str = "gen_ai.client.inference.operation.details"
    """The event."""
    message_finish_reason: bool = True
    """Whether an output message repeats the finish reason."""
    inference: Metrics = Metrics()
    embeddings: Metrics = Metrics(first_chunk="", next_chunk="")


class OURS:
    """Names of this package, for what the conventions have none for."""

    attempts = "nupic.attempts"
    chunks = "nupic.chunks"
    output_bytes = "nupic.output_bytes"
    endpoints = "nupic.endpoints"
    retry = "nupic.retry"
    attempt = "nupic.retry.attempt"
    delay = "nupic.retry.delay"


PRESENT = Names()
LATEST = replace(
    PRESENT,
    schema=None,  # it has none with a number yet
    top_k_type=int,
    message_finish_reason=False,
    inference=Metrics(
        duration="gen_ai.client.inference.duration",
        tokens="",
        input_tokens="gen_ai.client.inference.operation.input_tokens",
        output_tokens="gen_ai.client.inference.operation.output_tokens",
        total_input_tokens="gen_ai.client.inference.usage.input_tokens",
        total_output_tokens="gen_ai.client.inference.usage.output_tokens",
        first_chunk="gen_ai.client.inference.time_to_first_chunk",
        next_chunk="gen_ai.client.inference.time_per_output_chunk",
    ),
    embeddings=Metrics(
        duration="gen_ai.client.embeddings.duration",
        tokens="",
        input_tokens="gen_ai.client.embeddings.operation.input_tokens",
        first_chunk="",
        next_chunk="",
    ),
)


def names_of(environ: Mapping[str, str]) -> Names:
    """Return the names of the generation that the environment chooses."""
    chosen = {name.strip() for name in environ.get(_OPT_IN, "").split(",")}
    return LATEST if "gen_ai_latest_experimental" in chosen else PRESENT
