"""What servers say when a request fails, verbatim: the class, the status and whether to send the request again.

The tests try each text in all the forms in which it may come.
"""

from __future__ import annotations

from typing import NamedTuple

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


class Said(NamedTuple):
    """A text and what it means."""

    text: str
    error: type[RequestError]
    status: str = "INVALID_ARGUMENT"
    retryable: bool = False


TEXTS = [
    # Servers of gRPC
    Said(
        "received metadata size exceeds hard limit (value length 17000 vs. 16384)",
        RequestRejectedError,
        "RESOURCE_EXHAUSTED",
    ),
    Said(
        "received metadata size exceeds soft limit (8610 vs. 8192);  :path:80B :authority:57B",
        RequestRejectedError,
        "RESOURCE_EXHAUSTED",
        retryable=True,
    ),
    # Triton's settings
    *(
        Said(text, RequestRejectedError)
        for text in (
            "Attempting to set invalid trace setting :trace file name is not given",
            "Unable to parse 'trace_rate', got: abc",
            "Unable to parse 'trace_count'. Expecting value >= -1, got: -2",
            "expect only 1 value for 'trace_rate'",
            "expect boolean for 'log_info'",
            "expect int32 for 'log_verbose_level'",
            "trace file location can not be updated through network protocol",
            "log file location can not be updated through network protocol",
            "invalid argument for log_format, got: abc",
        )
    ),
    Said("Request for unknown model : nope", ModelUnavailableError, "NOT_FOUND"),
    # its shared memory
    *(
        Said(text, RequestRejectedError, "NOT_FOUND")
        for text in (
            "Unable to find shared memory region: 'nope'",
            "Unable to find system shared memory region: 'nope'",
            "Unable to find cuda shared memory region: 'nope'",
        )
    ),
    Said(
        "Cannot unregister shared memory region 'a', it is currently in use.",
        RequestRejectedError,
        "INTERNAL",
        retryable=True,
    ),
    Said("shared memory region 'a' already in manager", RequestRejectedError, "ALREADY_EXISTS"),
    *(
        Said(text, RequestRejectedError)
        for text in (
            "Unable to open shared memory region: '/nokey'",
            "Invalid shared memory region: '/a'",
            "failed to register shared memory region: invalid args",
            "failed to register shared memory region 'b': unable to process address spaceInvalid argument",
            "failed to open CUDA IPC handle: invalid argument",
            "Invalid offset for shared memory region: 'a'",
            "Invalid offset + byte size for shared memory region: 'a'",
            "shared memory size specified with the request for output 'y' (16 bytes) should be at least 32 bytes",
        )
    ),
    # Triton's queues (P-F7)
    Said("Exceeds maximum queue size", OverloadedError, "UNAVAILABLE", retryable=True),
    Said("Request timeout expired", OverloadedError, "UNAVAILABLE", retryable=True),
    Said("timeout of the corresponding sequence has been expired", OverloadedError, "UNAVAILABLE"),
    Said(
        "Server is stopping, scheduler for model has stopped accepting new inference requests",
        ModelUnavailableError,
        "UNAVAILABLE",
        retryable=True,
    ),
    # its models
    *(
        Said(text, ModelUnavailableError, "UNAVAILABLE", retryable=True)
        for text in (
            "Request for unknown model: 'llm' has no available versions",
            "Request for unknown model: 'llm' version 1 is not at ready state",
            "Model with name llm is not ready.",
            "Server exiting",
            "Server not ready",
            "GRPC server is shutting down and has stopped accepting new requests",
        )
    ),
    *(
        Said(text, ModelUnavailableError, "NOT_FOUND")
        for text in (
            "Request for unknown model: 'nope' is not found",
            "Request for unknown model: 'llm' version 9 is not found",
            "requested model 'nope' is not available",
            "requested model version is not available for model 'gpt'",
            "Unexpected <class 'mlserver.errors.ModelNotFound'>: Model nope not found",  # I-F15
            "Model with name nope does not exist.",
        )
    ),
    *(
        Said(text, ModelUnavailableError, "UNAVAILABLE")
        for text in (
            "Stub process 'llm_0_0' is not healthy.",
            "Model is unavailable due to unhealthy vLLM engine",
            "Error generating stream: EngineCore encountered an issue. See stack trace (above) for the root cause.",
            "Error generating stream: Background loop has errored already.",
        )
    ),
    *(
        Said(text, ModelUnavailableError, "INTERNAL")
        for text in (
            "failed to load 'nope', failed to poll from model repository",
            "failed to load 'llm', no version is available",
            "load failed for model 'llm': version 1 is at UNAVAILABLE state: Internal: RuntimeError: no weights",
        )
    ),
    # I-F3
    *(
        Said(text, AuthenticationError, "PERMISSION_DENIED")
        for text in (
            "This protocol is restricted, expecting header 'triton-grpc-protocol-key'",
            "This API is restricted, expecting header 'key'",
        )
    ),
    Said(
        "explicit model load / unload is not allowed if polling is enabled",
        RequestRejectedError,
        "FAILED_PRECONDITION",
    ),
    Said("Invalid config override: model config must not be empty", RequestRejectedError),
    Said(
        "upstream connect error or disconnect/reset before headers",
        ConnectionFailedError,
        "UNAVAILABLE",
        retryable=True,
    ),
    Said("no healthy upstream", ConnectionFailedError, "UNAVAILABLE", retryable=True),
    Said("stream timeout", ConnectionFailedError, "UNAVAILABLE", retryable=True),
    # requests that do not fit
    *(
        Said(text, RequestRejectedError)
        for text in (
            "unexpected inference input 'prompt' for model 'llm'",
            "guided_decoding_guide: llama.cpp cannot enforce 'not' and would ignore the whole guide",
            "guided_decoding_guide_type must be one of 'json', 'json_schema', 'regex', 'ebnf_grammar', not 'xml'",
            "unexpected inference output 'nope' for model 'llm'",
            "inference input 'text_input' data-type is 'INT32', but model 'llm' expects 'BYTES'",
            "unexpected shape for input 'text_input' for model 'llm'. Expected [1], got [2]. ",
            "expected number of inputs between 1 and 5 but got 0 inputs for model 'llm'.",
            "out of bounds index 0: request has 0 inputs",  # a batch of optional inputs, none of them given
            "inference request batch-size must be <= 64 for 'embed'",
            "parameter keys starting with 'triton_' are reserved for Triton usage.",
            "invalid value type for 'timeout' parameter, expected int64_param.",
            "invalid value type for 'shared_memory_offset' parameter for tensor 'x', expected int64_param.",
            "invalid value for 'priority', expected value >= 0.",
            # Triton over HTTP
            "Unable to parse 'priority': attempt to access JSON non-unsigned-integer as unsigned-integer",
            "Unable to set 'classification': attempt to access JSON non-unsigned-integer as unsigned-integer",
            "Unable to parse JSON bytes array: attempt to access JSON non-string as string",
            "receiving FP16 data via JSON is not supported. Please use the binary data format for input x",
            "The schema can not convert input 'text_input' to tensor with proper shape",
            "class result not available for output due to unsupported type 'BOOL'",
            "incomplete string data for inference input 'text_input', expecting string of length 50",
            "input 'text_input' already exists in request",
            "unexpected input 'x' in request header that does not map to any ensemble inputs",
            "inference request to model 'seq' must specify a non-zero or non-empty correlation ID",
            "inference request for sequence 7 to model 'seq' must specify the START flag on the first request",
            # vLLM (reference: vLLM 0.32 under Triton 2.51)
            "Error generating stream: 'NoneType' object has no attribute 'lora_name'",
            "Error generating stream: Requested sample logprobs of 21, which is greater than max allowed: 20",
            "Requested prompt logprobs of 50, which is greater than max allowed: 20",
            "When streaming, exclude_input_in_output = False is not allowed.",
            "LoRA feature is not enabled.",
            "[vllm] LoRA is not enabled, please restart the backend with LoRA enabled.",
            "LoRA fr is not supported, we currently support ['de']",
            "Error generating stream: LoRA fr is not supported, we currently support []",
            "LoRA task 10 not found in cache. Please send LoRA weights with request",
            "Error generating stream: skip_special_tokens=False is not supported for Mistral tokenizers.",
            "Error generating stream: Got lora_request LoRARequest(...) but LoRA is not enabled!",
            "Error generating stream: Grammar error: expected a rule",
            "Error generating stream: SmolLM2 is not a multimodal model",
            "Error generating stream: Incorrect padding",
            "Error generating stream: cannot identify image file <_io.BytesIO object at 0x7f0>",
            "Error generating stream: At most 1 image(s) may be provided in one request.",
            "Error generating stream: Failed to apply prompt replacement for mm_items['image'][0]",
            "Expected there to be 2 prompt updates corresponding to 2 image items, but instead found 1 prompt updates!",
            "Error generating stream: The decoder prompt cannot be empty",
            "Error generating stream: Model SmolLM2 does not support 'embed' request",
            "Error generating stream: ",
        )
    ),
    Said(
        "ModelInfer RPC doesn't support models with decoupled transaction policy",
        RequestRejectedError,
        "UNIMPLEMENTED",
    ),
    Said("Request was cancelled", TransportError, "CANCELLED"),
    Said("Request cancelled by client", TransportError, "CANCELLED"),
]
"""What a rule knows."""

TOO_LONG = [
    (
        "the prompt has 1001 tokens but the context of this server holds 512, prompt and answer together. Shorten",
        512,
        1001,
    ),
    (
        "the prompt has 90000 bytes, which cannot fit: the context of this server holds 512 tokens, prompt and",
        512,
        None,
    ),
    ("text 1 has 601 tokens but this model takes at most 512. Split it", 512, 601),
    # vLLM
    (
        (
            "Error generating stream: The decoder prompt (length 5951) is longer than the maximum model length of 4096. Make"
            " sure that `max_model_len` is no smaller than the number of text tokens."
        ),
        4096,
        5951,
    ),
    (
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages,"
            " 1000 in the completion). Please reduce the length of the messages or completion."
        ),
        4096,
        5000,
    ),
    (
        (
            "This model's maximum context length is 8192 tokens. However, you requested 100 output tokens and your prompt"
            " contains at least 8093 input tokens, for a total of at least 8193 tokens."
        ),
        8192,
        8193,
    ),
    (
        "This model's maximum context length is 2048 tokens. However, your request has 3000 input tokens.",
        2048,
        3000,
    ),
    (
        "this model's maximum context length is 2048 tokens, but the prompt contains 3000 input tokens",
        2048,
        3000,
    ),
    ("Input prompt (5000 tokens) is too long and exceeds limit of 4096", 4096, 5000),
    # TensorRT-LLM
    (
        (
            "Encountered an error when fetching new request: Prompt length (8191) exceeds maximum input length (4096). Set"
            " log level to info and check TRTGptModel logs for how maximum input length is set"
        ),
        4096,
        8191,
    ),
    (
        "The sum of prompt length (72417.0), query length (0) should not exceed max_num_tokens (69632)",
        69632,
        72417,
    ),
    (
        (
            "Error generating request: The sum of prompt length (4000) and query length (0) max_tokens (2048) should not"
            " exceed max_seq_len (4096)"
        ),
        4096,
        6048,
    ),
    # llama.cpp
    ("request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it", 4096, 5000),
    (
        "the request exceeds the available context size. try increasing the context size or enable context shift",
        None,
        None,
    ),
    (
        "input (600 tokens) is too large to process. increase the physical batch size (current batch size: 512)",
        512,
        600,
    ),
    # SGLang, TGI, OpenAI's API
    ("The input (36000 tokens) is longer than the model's context length (32768 tokens).", 32768, 36000),
    (
        (
            "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of 5000"
            " tokens: 4000 tokens from the input messages and 1000 tokens for the completion."
        ),
        4096,
        5000,
    ),
    (
        (
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and"
            " 1000 `max_new_tokens`"
        ),
        4096,
        6000,
    ),
    ("`inputs` must have less than 1024 tokens. Given: 2000", 1024, 2000),
    ("prompt is too long: 210000 tokens > 200000 maximum", 200000, 210000),
    ("context_length_exceeded", None, None),
    ("Input length 2000 exceeds the maximum allowed input length of 1000 tokens.", 1000, 2000),
]
"""Texts for a prompt that is too long (U-A21), the most tokens that are possible and those of the request."""

UNKNOWN = [
    "engine exploded at token 3",
    "",
    "the model wrote: Request was cancelled",
    "the queue says: Request timeout expired",
    "a context manager exceeded its length",
    "the name exceeds the maximum allowed length",
    "sequence exceeds maximum input length of the feature extractor",
    "my connection was refused by the database",
    "Incorrect padding of the image tensor",
    "ValueError: bad thing",
]
"""A model's own words, which no rule may know."""

TEXTS += [Said(text, ContextLengthError) for text, _, _ in TOO_LONG]

ENSEMBLE = "in ensemble 'ens', "
REQUEST_ID = "[request id: 2bea…] "
BLS = (
    "Failed to process the request(s) for model 'bls_0_1', message: TritonModelException: {}\n\nAt:\n"
    "  /m/model.py(9): execute\n"
)
WRAPPINGS = {
    "as it is": "{}",
    "request id": REQUEST_ID + "{}",
    "no request id": "[request id: <id_unknown>] {}",
    "ensemble": ENSEMBLE + "{}",
    "ensemble and request id": ENSEMBLE + REQUEST_ID + "{}",
    "nested ensembles": "in ensemble 'outer', " + ENSEMBLE + REQUEST_ID + "{}",
    "a request id around an ensemble": REQUEST_ID + ENSEMBLE + "{}",
    "BLS": BLS,
    "the answer to a BLS call": BLS.replace(
        "{}", "Model queue - Error when running inference: " + REQUEST_ID + "{}"
    ),
    "BLS in an ensemble": ENSEMBLE + REQUEST_ID + BLS,
    "BLS of BLS": BLS.replace("{}", BLS),
    "an instance of a newer Triton": "Failed to process the request(s) for model instance 'bls_0_1', message: {}",
    "a traceback": 'Traceback (most recent call last):\n  File "/m/model.py", line 3, in execute\n    run()\n'
    "c_python_backend_utils.TritonModelException: {}\n",
    "a traceback of a Python exception": 'Traceback (most recent call last):\n  File "/m/model.py", line 3, in execute\n'
    "    raise ValueError(text)\nValueError: {}\n\n",
    "another server's client": "tritonclient.utils.InferenceServerException: [StatusCode.UNAVAILABLE] {}",
    "a Python server": "Exception calling application: {}",
    "MLServer": "Unexpected <class 'mlserver.errors.InferenceError'>: {}",
}
"""What is put around a text on its way; all of it was seen on Triton 2.51 or is in sources."""
