"""Stream language models from the NuPIC Inference Server and any NVIDIA Triton, token by token.

    from nupic_client import StreamingClient, user

    with StreamingClient("smollm2", url="localhost:8001") as client:
        for text in client.stream([user("Why is the sky blue?")]):
            print(text, end="", flush=True)

Importing the package imports neither grpc nor numpy: each public name is loaded at its first use.
"""

from __future__ import annotations

import importlib

from nupic_client._version import __version__

# Type checkers treat this name as true wherever it comes from; importing typing would take longer than the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nupic_client._async.infer_stream import AsyncInferenceStream
    from nupic_client._async.stream import AsyncTextStream
    from nupic_client._sync.infer_stream import InferenceStream
    from nupic_client._sync.stream import TextStream
    from nupic_client.attempts import Attempt
    from nupic_client.config import TLS
    from nupic_client.conversation import Conversation
    from nupic_client.endpoint import Endpoint
    from nupic_client.errors import (
        AuthenticationError,
        ConfigurationError,
        ConnectionFailedError,
        ContextLengthError,
        DeadlineExceededError,
        IncompleteStreamError,
        InferenceError,
        LocalModelError,
        ModelUnavailableError,
        NupicError,
        OutputError,
        OverloadedError,
        PromptError,
        ProtocolError,
        RequestError,
        RequestRejectedError,
        StreamClosedError,
        StreamConsumedError,
        StreamStateError,
        TransportError,
        UnknownModelError,
    )
    from nupic_client.factory import ClientFactory
    from nupic_client.http_inference import HttpInferenceClient
    from nupic_client.infer_input import InferInput
    from nupic_client.inference import (
        AsyncResultStream,
        Classification,
        InferenceClient,
        InferenceResult,
        ResultStream,
    )
    from nupic_client.local import LocalServer
    from nupic_client.lora import Lora
    from nupic_client.messages import Message, assistant, system, user
    from nupic_client.model_spec import ModelSpec
    from nupic_client.naming import ModelName, parse_model_name
    from nupic_client.observe import (
        ContentObserver,
        Observer,
        RequestContent,
        RequestInfo,
        RequestOutcome,
        TracingObserver,
    )
    from nupic_client.observers import observe_all
    from nupic_client.options import GenerateOptions, InferOptions, InferStreamOptions
    from nupic_client.parts import ImagePart, TextPart
    from nupic_client.prompts import PromptFormatter
    from nupic_client.registry import (
        ModelRegistry,
        default_registry,
        get_prompt_formatter,
        model_naming_mapping,
    )
    from nupic_client.response_format import Choice, Grammar, Regex
    from nupic_client.results import (
        Event,
        Finished,
        FinishReason,
        Generation,
        Latency,
        ReasoningDelta,
        TextDelta,
        Timing,
        TokenLogprob,
        ToolArguments,
        ToolCallStarted,
        Usage,
    )
    from nupic_client.sampling import SamplingParams
    from nupic_client.sequence import InferenceSequence
    from nupic_client.server import ServerClient
    from nupic_client.server_info import (
        BatchStatistics,
        CudaSharedMemory,
        Durations,
        MemoryUsage,
        ModelInfo,
        ModelStatistics,
        ResponseStatistics,
        ServerInfo,
        SystemSharedMemory,
    )
    from nupic_client.shared_memory import SharedMemoryRegion
    from nupic_client.shared_memory_places import SharedMemoryOutput, SharedMemoryTensor
    from nupic_client.signature import ModelSignature, TensorSpec
    from nupic_client.streaming import AsyncCallback, Callback, Prompt, StreamingClient
    from nupic_client.timeouts import RetryPolicy, Timeouts
    from nupic_client.tools import Tool, ToolCall, ToolLike, to_tools

_HOMES = {
    "_async.infer_stream": ("AsyncInferenceStream",),
    "_async.stream": ("AsyncTextStream",),
    "_sync.infer_stream": ("InferenceStream",),
    "_sync.stream": ("TextStream",),
    "attempts": ("Attempt",),
    "config": ("TLS",),
    "timeouts": ("RetryPolicy", "Timeouts"),
    "conversation": ("Conversation",),
    "endpoint": ("Endpoint",),
    "errors": (
        "AuthenticationError",
        "ConfigurationError",
        "ConnectionFailedError",
        "ContextLengthError",
        "DeadlineExceededError",
        "IncompleteStreamError",
        "InferenceError",
        "LocalModelError",
        "ModelUnavailableError",
        "NupicError",
        "OutputError",
        "OverloadedError",
        "PromptError",
        "ProtocolError",
        "RequestError",
        "RequestRejectedError",
        "StreamClosedError",
        "StreamConsumedError",
        "StreamStateError",
        "TransportError",
        "UnknownModelError",
    ),
    "factory": ("ClientFactory",),
    "http_inference": ("HttpInferenceClient",),
    "infer_input": ("InferInput",),
    "inference": (
        "AsyncResultStream",
        "Classification",
        "InferenceClient",
        "InferenceResult",
        "ResultStream",
    ),
    "local": ("LocalServer",),
    "lora": ("Lora",),
    "model_spec": ("ModelSpec",),
    "observe": (
        "ContentObserver",
        "Observer",
        "RequestContent",
        "RequestInfo",
        "RequestOutcome",
        "TracingObserver",
    ),
    "observers": ("observe_all",),
    "options": ("GenerateOptions", "InferOptions", "InferStreamOptions"),
    "naming": ("ModelName", "parse_model_name"),
    "messages": ("Message", "assistant", "system", "user"),
    "parts": ("ImagePart", "TextPart"),
    "prompts": ("PromptFormatter",),
    "tools": ("Tool", "ToolCall", "ToolLike", "to_tools"),
    "registry": (
        "ModelRegistry",
        "default_registry",
        "get_prompt_formatter",
        "model_naming_mapping",
    ),
    "response_format": ("Choice", "Grammar", "Regex"),
    "results": (
        "Event",
        "FinishReason",
        "Finished",
        "Generation",
        "Latency",
        "ReasoningDelta",
        "TextDelta",
        "Timing",
        "TokenLogprob",
        "ToolArguments",
        "ToolCallStarted",
        "Usage",
    ),
    "sampling": ("SamplingParams",),
    "sequence": ("InferenceSequence",),
    "server": ("ServerClient",),
    "server_info": (
        "BatchStatistics",
        "CudaSharedMemory",
        "Durations",
        "MemoryUsage",
        "ModelInfo",
        "ModelStatistics",
        "ResponseStatistics",
        "ServerInfo",
        "SystemSharedMemory",
    ),
    "shared_memory": ("SharedMemoryRegion",),
    "shared_memory_places": ("SharedMemoryOutput", "SharedMemoryTensor"),
    "signature": ("ModelSignature", "TensorSpec"),
    "streaming": ("AsyncCallback", "Callback", "Prompt", "StreamingClient"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

# Type checkers only read literal names in __all__.
__all__ = [
    "TLS",
    "AsyncCallback",
    "AsyncInferenceStream",
    "AsyncResultStream",
    "AsyncTextStream",
    "Attempt",
    "AuthenticationError",
    "BatchStatistics",
    "Callback",
    "Choice",
    "Classification",
    "ClientFactory",
    "ConfigurationError",
    "ConnectionFailedError",
    "ContentObserver",
    "ContextLengthError",
    "Conversation",
    "CudaSharedMemory",
    "DeadlineExceededError",
    "Durations",
    "Endpoint",
    "Event",
    "FinishReason",
    "Finished",
    "GenerateOptions",
    "Generation",
    "Grammar",
    "HttpInferenceClient",
    "ImagePart",
    "IncompleteStreamError",
    "InferInput",
    "InferOptions",
    "InferStreamOptions",
    "InferenceClient",
    "InferenceError",
    "InferenceResult",
    "InferenceSequence",
    "InferenceStream",
    "Latency",
    "LocalModelError",
    "LocalServer",
    "Lora",
    "MemoryUsage",
    "Message",
    "ModelInfo",
    "ModelName",
    "ModelRegistry",
    "ModelSignature",
    "ModelSpec",
    "ModelStatistics",
    "ModelUnavailableError",
    "NupicError",
    "Observer",
    "OutputError",
    "OverloadedError",
    "Prompt",
    "PromptError",
    "PromptFormatter",
    "ProtocolError",
    "ReasoningDelta",
    "Regex",
    "RequestContent",
    "RequestError",
    "RequestInfo",
    "RequestOutcome",
    "RequestRejectedError",
    "ResponseStatistics",
    "ResultStream",
    "RetryPolicy",
    "SamplingParams",
    "ServerClient",
    "ServerInfo",
    "SharedMemoryOutput",
    "SharedMemoryRegion",
    "SharedMemoryTensor",
    "StreamClosedError",
    "StreamConsumedError",
    "StreamStateError",
    "StreamingClient",
    "SystemSharedMemory",
    "TensorSpec",
    "TextDelta",
    "TextPart",
    "TextStream",
    "Timeouts",
    "Timing",
    "TokenLogprob",
    "Tool",
    "ToolArguments",
    "ToolCall",
    "ToolCallStarted",
    "ToolLike",
    "TracingObserver",
    "TransportError",
    "UnknownModelError",
    "Usage",
    "__version__",
    "assistant",
    "default_registry",
    "get_prompt_formatter",
    "model_naming_mapping",
    "observe_all",
    "parse_model_name",
    "system",
    "to_tools",
    "user",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
