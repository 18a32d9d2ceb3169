"""The options ``-o name value`` of the models."""

from __future__ import annotations

import json
from typing import Annotated, Any

import llm
from pydantic import BeforeValidator, Field

from nupic_client import Timeouts
from nupic_client.integrations.tls import tls_of

__all__ = ["Options", "client_options", "generate_options"]


def _of_json(value: Any) -> Any:
    """Read what stands on a command line as JSON, if it is some."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        return json.loads(value)
    return value


Json = Annotated[dict[str, Any], BeforeValidator(_of_json)]
Texts = Annotated[str | list[str], BeforeValidator(_of_json)]


class Options(llm.Options):  # type: ignore[misc,unused-ignore]
    """What ``-o name value`` sets; without one the server's default counts."""

    max_tokens: int | None = Field(None, description="The most tokens of the answer")
    temperature: float | None = Field(None, description="0 takes the likeliest token, more is more random")
    top_p: float | None = Field(None, description="Take tokens that have this probability together")
    top_k: int | None = Field(None, description="Take one of so many of the likeliest tokens")
    min_p: float | None = Field(
        None, description="Leave out tokens less likely than this share of the likeliest"
    )
    stop: Texts | None = Field(None, description="A text that ends the answer, or a JSON list of some")
    seed: int | None = Field(None, description="The same seed gives the same answer")
    repetition_penalty: float | None = Field(None, description="More than 1 makes repetitions less likely")
    presence_penalty: float | None = Field(None, description="Makes tokens less likely that were there")
    frequency_penalty: float | None = Field(None, description="The same, for each time that they were there")
    url: str | None = Field(
        None, description="The server, or several with commas between; default $NUPIC_URL"
    )
    timeout: float | None = Field(None, description="Seconds for the whole answer")
    first_token_timeout: float | None = Field(None, description="Seconds to the first token")
    between_tokens_timeout: float | None = Field(None, description="Seconds from one token to the next")
    max_retries: int | None = Field(
        None, description="Retries of a request that failed before its first token"
    )
    formatter: str | None = Field(None, description="The family whose prompt format is used, such as qwen3")
    backend: str | None = Field(
        None, description="The adapter of the model's inputs and outputs, such as vllm"
    )
    reasoning: str | None = Field(None, description='"separate" or "include", for reasoning of the model')
    template_variables: Json | None = Field(None, description="Variables of the chat template, as JSON")
    tool_choice: str | None = Field(None, description='"auto", "none", "required", or the name of a tool')
    enforce: str | None = Field(None, description='Who keeps an answer to its schema, "server" or "validate"')
    output_retries: int | None = Field(None, description="How often to ask again for an answer that fits")
    lora: str | None = Field(None, description="The adapter of the server to use")
    session: str | None = Field(None, description="Requests of one session go to the same server")
    request_id: str | None = Field(None, description="The id that the request is sent with")
    metadata: Json | None = Field(None, description="gRPC metadata (HTTP/2 headers), as JSON")
    parameters: Json | None = Field(None, description="Request parameters of the protocol, as JSON")
    backend_inputs: Json | None = Field(None, description="Further inputs of the model, as JSON")
    max_output_bytes: int | None = Field(None, description="The most bytes of the answer")
    unsupported: str | None = Field(
        None, description='"error" or "warn", for options that the model does not take'
    )
    tls: Json | None = Field(
        None, description='Certificates as JSON, such as {"root_certificates": "ca.pem"}'
    )
    allow_insecure_token: bool | None = Field(
        None, description="Send the token to another machine in plain text"
    )


_CLIENT = ("allow_insecure_token", "backend", "formatter", "tls", "url")
_DEADLINES = {
    "timeout": "total",
    "first_token_timeout": "first_token",
    "between_tokens_timeout": "between_tokens",
}


def client_options(options: Options) -> dict[str, Any]:
    """Return the options that a client is made with."""
    given = options.model_dump(exclude_none=True)
    chosen = {name: given[name] for name in _CLIENT if name in given}
    if "tls" in chosen:
        chosen["tls"] = tls_of(chosen["tls"])
    return chosen


def generate_options(options: Options) -> dict[str, Any]:
    """Return the options of a generation."""
    given = options.model_dump(exclude_none=True)
    deadlines = {ours: given.pop(name) for name, ours in _DEADLINES.items() if name in given}
    asked = {name: value for name, value in given.items() if name not in _CLIENT}
    return {**asked, "timeout": Timeouts(**deadlines)} if deadlines else asked
