"""The table of what servers say when a request fails: which class each text means, and whether to send it again.

One table for all ways a text comes: inside a stream, as the details of a call's status, in the body of an HTTP answer, and
behind an ensemble or a model that calls another one (see `server_words`). The texts of Triton were seen on 2.51.0 or are
in its source, those of vLLM were seen on 0.32 (CPU); those of TensorRT-LLM, MLServer, KServe and Envoy are from their
sources.

A pattern begins with ``^`` where a model's own words may contain the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from nupic_client._core.kserve import context_length, lora_names
from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ContextLengthError,
    ModelUnavailableError,
    OverloadedError,
    RequestError,
    RequestRejectedError,
    TransportError,
)

__all__ = ["RULES", "SERVER_STOPS", "VLLM_REFUSAL", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of text means.

    Args:
        pattern: finds the texts.
        error: their class.
        status: the gRPC status of such an error where the text came without one.
        sentence: what happened.
        retryable: whether the same request may succeed if it is sent again.
        advice: says what to do about a text; None where the sentence does.
    """

    pattern: re.Pattern[str]
    error: type[RequestError]
    status: str
    sentence: str
    retryable: bool = False
    advice: Callable[[str], str] | None = None


def _rule(
    pattern: str,
    error: type[RequestError],
    status: str,
    sentence: str,
    *,
    retryable: bool = False,
    advice: Callable[[str], str] | None = None,
) -> Rule:
    return Rule(re.compile(pattern), error, status, sentence, retryable, advice)


_ENGINE = r"^(Error generating (stream|request): )?"
"""vLLM's backend and TensorRT-LLM's put this before what the engine says, but not always."""

VLLM_REFUSAL = "vLLM refused sampling_parameters (its log says which)"
"""The sentence for a refusal that names no parameter."""

SERVER_STOPS = r"^Server (exiting|not ready)|^Server is stopping|server is shutting down"
"""The words of a server that takes no requests, whatever their model."""

RULES = (
    # --- who may ask
    _rule(
        r"This (protocol|API) is restricted, expecting header",
        AuthenticationError,
        "PERMISSION_DENIED",
        "the server lets only those in here who send its header: give it as metadata",
    ),
    # --- capacity
    _rule(
        r"^Exceeds maximum queue size",
        OverloadedError,
        "UNAVAILABLE",
        "the server has no capacity for this now",
        retryable=True,
    ),
    _rule(
        r"^Request timeout expired",
        OverloadedError,
        "UNAVAILABLE",
        "the server has no capacity for this now: the request waited in its queue for as long as the server allows",
        retryable=True,
    ),
    _rule(
        r"^timeout of the corresponding sequence has been expired",
        OverloadedError,
        "UNAVAILABLE",
        "the server has no capacity for this now: the sequence waited for as long as the server allows",
    ),
    _rule(
        r"^(upstream connect error|no healthy upstream|upstream request timeout|no_healthy_upstream)|^stream timeout$",
        ConnectionFailedError,
        "UNAVAILABLE",
        "the gateway does not reach the server",
        retryable=True,
    ),
    # --- which model, and whether it is there
    _rule(
        r"Request for unknown model: '.*' (has no available versions|version \S+ is not at ready state)"
        r"|^Model with name \S+ is not ready",
        ModelUnavailableError,
        "UNAVAILABLE",
        "the model is not loaded now: it is being loaded or unloaded, or the server is shutting down",
        retryable=True,
    ),
    _rule(
        r"Request for unknown model: '.*' (version \S+ )?is not found"
        r"|^Request for unknown model : "
        r"|^requested model ('.*' is not available|version is not available for model)"
        r"|^Model with name \S+ does not exist"
        r"|^Unexpected <class '[^']*ModelNotFound'>",
        ModelUnavailableError,
        "NOT_FOUND",
        "the server has no such model or version",
    ),
    _rule(
        r"Stub process '.*' is not healthy",
        ModelUnavailableError,
        "UNAVAILABLE",
        "the process that runs the model on the server has died",
    ),
    _rule(
        r"Model is unavailable due to unhealthy vLLM engine"
        r"|EngineCore encountered an issue"
        rf"|{_ENGINE}(Background loop (is not running|has errored)|AsyncEngine is dead)",
        ModelUnavailableError,
        "UNAVAILABLE",
        "the vLLM engine that runs the model has died",
    ),
    _rule(
        SERVER_STOPS,
        ModelUnavailableError,
        "UNAVAILABLE",
        "the server is starting or shutting down",
        retryable=True,
    ),
    # --- loading
    _rule(
        r"^explicit model load / unload is not allowed",
        RequestRejectedError,
        "FAILED_PRECONDITION",
        "the server does not load or unload models on request: Triton does with --model-control-mode=explicit",
    ),
    _rule(
        r"^(Invalid config override|Unrecognized load parameter|unexpected load parameter)",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        "the server does not take this configuration",
    ),
    _rule(
        r"^(load failed for model|failed to load ')",
        ModelUnavailableError,
        "INTERNAL",
        "the server could not load the model",
    ),
    # --- settings
    _rule(
        r"^Attempting to set invalid trace setting|^Unable to parse '\w+'(, got|\. Expecting value)"
        r"|^expect (boolean|int32|string|only 1 value) for '\w+'"
        r"|^(trace|log) file location can not be updated|^invalid argument for log_",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        "the server does not take this setting",
    ),
    # --- shared memory
    _rule(
        r"^Unable to find (\w+ )?shared memory region",
        RequestRejectedError,
        "NOT_FOUND",
        "the server has no such region of shared memory: register it; a server that was started again has none",
    ),
    _rule(
        r"^shared memory region '.*' already in manager",
        RequestRejectedError,
        "ALREADY_EXISTS",
        "a region of shared memory with this name is registered already",
    ),
    _rule(
        r"^Cannot unregister shared memory region .* in use",
        RequestRejectedError,
        "INTERNAL",
        "a request uses this region of shared memory",
        retryable=True,
    ),
    _rule(
        r"^(Unable to open|Invalid) shared memory region: |^[Ff]ailed to (register|open) .*(shared memory|CUDA IPC)",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        "the server cannot use this memory: it must exist on the server's machine, begin at a page, be no smaller than"
        " registered, and be registered only once",
    ),
    _rule(
        r"^Invalid offset( \+ byte size)? for shared memory region"
        r"|^shared memory size specified with the request for output",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        "the place in shared memory does not fit",
    ),
    # --- what the request asks for
    _rule(
        context_length.PATTERN,
        ContextLengthError,
        "INVALID_ARGUMENT",
        "the request has more tokens than the model can hold",
    ),
    _rule(
        r"'NoneType' object has no attribute 'lora_name'",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        VLLM_REFUSAL,
    ),
    _rule(
        rf"{_ENGINE}{lora_names.PATTERN}",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        "the server has no LoRA adapter of this name",
        advice=lora_names.advice,
    ),
    _rule(
        rf"{_ENGINE}LoRA (feature )?is not enabled|^\[vllm\] LoRA is not enabled",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        "the server has no LoRA adapters: leave lora= out, or load the model with enable_lora and a multi_lora.json",
    ),
    _rule(
        r"LoRA task \d+ not found in cache",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        "TensorRT-LLM does not hold the weights of this LoRA adapter now: send them once, with lora= and"
        " backend_inputs={'lora_weights': …, 'lora_config': …}",
    ),
    _rule(
        r"skip_special_tokens=False is not supported",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        "this tokenizer cannot leave special tokens in the text, which the tool calls or the reasoning of this family need:"
        " load the model with tokenizer_mode 'hf'",
    ),
    _rule(
        r"Requested (sample|prompt) logprobs of \d+, which is greater than max allowed"
        r"|When streaming, `?exclude_input_in_output`? = False is not allowed"
        rf"|{_ENGINE}(LoRA \S+ is not supported|Got lora_request)"
        rf"|{_ENGINE}(Grammar error|Incorrect padding$|allowed_token_ids |token_id\(s\) .* in logit_bias)"
        rf"|{_ENGINE}(Structured outputs requires|structured_outputs\.|Choice '.*' cannot be an empty list)"
        rf"|{_ENGINE}The (\w+ )?prompt cannot be empty"
        rf"|{_ENGINE}.{{0,300}}is not a multimodal model"
        rf"|{_ENGINE}(cannot identify image file|At most \d+ \w+\(s\) may be provided in one (request|prompt))"
        rf"|{_ENGINE}(Failed to apply prompt (replacement|update)|Expected there to be \d+ prompt (replacement|update))"
        rf"|{_ENGINE}Model .{{0,300}}does not support '\w+' request",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        "vLLM refused the request",
    ),
    _rule(
        r"^Error generating stream:$",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        "vLLM refused the request without saying why (its log may say more)",
    ),
    _rule(
        r"^guided_decoding_guide(_type)?\b",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        "the server cannot enforce this response_format: with enforce='validate' the client checks the answer",
    ),
    _rule(
        r"unexpected inference (input|output)"
        r"|inference input '.*' data-type is"
        r"|unexpected shape for input"
        r"|expected (number of|\d+) inputs|^out of bounds index \d+: request has \d+ inputs"
        r"|inference request batch-size must be"
        r"|parameter keys starting with 'triton_'"
        r"|^invalid value type for '\S+' parameter\b.{0,300}, expected |^invalid value for '(priority|classification)'"
        r"|^Unable to (parse|set) .{0,300}: attempt to access JSON non-"
        r"|^(receiving|sending) \w+ data via JSON is not supported"
        r"|^The schema can not convert input '.*' to tensor with proper shape"
        r"|^class result not available for output due to unsupported type"
        r"|incomplete string (data|length indicator)"
        r"|expected \d+ string elements|unexpected number of string elements"
        r"|input byte size mismatch|unable to find data for input|All input dimensions should be specified"
        r"|^input '.*' (already exists in request|batch size does not match|has no shape)"
        r"|model version .*version should be an integral value > 0"
        r"|^unexpected input '.*' in request header that does not map to any ensemble inputs"
        r"|^inference request .*must specify (a non-zero or non-empty correlation ID|the START flag|batch-size 1)"
        r"|(Received|Sent) message larger than max",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        "the request does not fit the model",
    ),
    _rule(
        r"^received metadata size exceeds hard limit",
        RequestRejectedError,
        "RESOURCE_EXHAUSTED",
        "the metadata of the request are larger than the server takes",
    ),
    _rule(
        r"^received metadata size exceeds soft limit",  # gRPC refuses some of these requests, by chance
        RequestRejectedError,
        "RESOURCE_EXHAUSTED",
        "the metadata of the request are larger than the server takes of each",
        retryable=True,
    ),
    _rule(
        r"doesn't support models with decoupled transaction policy",
        RequestRejectedError,
        "UNIMPLEMENTED",
        "the model streams and cannot be called in the request/response way",
    ),
    # --- cancelling
    _rule(
        r"^Request was cancelled|^Request cancelled by client",
        TransportError,
        "CANCELLED",
        "the server cancelled the request",
    ),
)
"""The table. The first rule that matches counts."""
