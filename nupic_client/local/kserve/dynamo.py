"""How NVIDIA Dynamo's KServe frontend answers a text request, where it differs from Triton: for tests of clients.

By its source, ``lib/llm/src/grpc/service`` of https://github.com/ai-dynamo/dynamo; the texts of its refusals are its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nupic_client._core.kserve.codec import decode_bytes_tensor
from nupic_client.backends.dynamo import is_of_dynamo
from nupic_client.local.engine import StreamAbort
from nupic_client.local.kserve.responses import ResponseWriter
from nupic_client.signature import ModelSignature, TensorSpec

if TYPE_CHECKING:
    from nupic_client.local.engine import Chunk, EngineRequest, ServedModel

__all__ = [
    "DYNAMO_METHODS",
    "DynamoWriter",
    "check_dynamo_request",
    "dynamo_signature",
    "is_dynamo",
    "wants_stream",
]

DYNAMO_METHODS = ("ServerLive", "ServerReady", "ModelReady", "ModelMetadata", "ModelConfig", "ModelInfer")
"""The methods of the service that Dynamo has, besides ModelStreamInfer."""
_PLATFORM = "dynamo"
_SWITCHES = ("streaming", "stream")


def dynamo_signature(name: str) -> ModelSignature:
    """Return the signature of a text model of NVIDIA Dynamo; a server of this package answers for it as Dynamo does.

    Such a model streams although it is not decoupled, marks no response as the final one, sends typed contents, and refuses
    every input besides ``text_input`` and ``streaming``. A server that has no other models has no methods that Dynamo lacks.

    Args:
        name: the model's name.

    Example:
        >>> [*dynamo_signature("llama").inputs]
        ['text_input', 'streaming']
    """
    inputs = (TensorSpec("text_input", "BYTES"), TensorSpec("streaming", "BOOL", optional=True))
    outputs = (TensorSpec("text_output", "BYTES", (-1,)), TensorSpec("finish_reason", "BYTES", (-1,)))
    return ModelSignature(
        name=name,
        inputs={spec.name: spec for spec in inputs},
        outputs={spec.name: spec for spec in outputs},
        backend=_PLATFORM,
        platform=_PLATFORM,
    )


def is_dynamo(model: ServedModel | None) -> bool:
    """Return whether a model is to be served as Dynamo does."""
    return model is not None and is_of_dynamo(model.signature)


def check_dynamo_request(message: Any, request: EngineRequest) -> None:
    """Check a request as Dynamo does; what is wrong ends the call with a status, also that of a stream.

    Args:
        message: the ModelInferRequest.
        request: the same, decoded.

    Raises:
        StreamAbort: Dynamo refuses the request.
    """
    for item in message.inputs:
        if item.name not in {"text_input", *_SWITCHES}:
            raise _refused(f"Invalid input name: {item.name}, supported inputs are 'text_input', 'stream'")
        wanted = "BOOL" if item.name in _SWITCHES else "BYTES"
        if item.datatype != wanted:
            raise _refused(f"Expected '{item.name}' to be of type {wanted}, got \"{item.datatype}\"")
        if [*item.shape] not in ([1], [1, 1]):
            raise _refused(f"Expected '{item.name}' to have shape [1], got {[*item.shape]}")
    if "text_input" not in request.inputs:
        raise _refused("Missing required input: 'text_input'")
    if request.method == "ModelInfer" and wants_stream(request):
        raise StreamAbort("INVALID_ARGUMENT", "Streaming is not supported for this endpoint")


def _refused(words: str) -> StreamAbort:
    status = (
        f'status: InvalidArgument, message: "{words}", details: [], metadata: MetadataMap {{ headers: {{}} }}'
    )
    return StreamAbort("INVALID_ARGUMENT", f"Failed to parse request: {status}")


def wants_stream(request: EngineRequest) -> bool:
    """Return whether the answer is wanted in chunks."""
    return any(request.inputs.get(name) is True for name in _SWITCHES)


class DynamoWriter(ResponseWriter):
    """Write responses with typed contents, a finish reason that may be empty, and without marks.

    Args:
        model: the requested model.
        request: the request.
    """

    marks_end = False

    def __init__(self, model: ServedModel | None, request: EngineRequest) -> None:
        super().__init__(model, replace(request, inputs={**request.inputs, "return_finish_reason": True}))

    def content(self, chunk: Chunk) -> Any:
        """Return the ModelInferResponse of a chunk, or None if there is nothing to send."""
        response = super().content(chunk)
        if response is None:
            return None
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
            texts = [b"" if text == b"None" else text for text in decode_bytes_tensor(raw)]
            output.contents.bytes_contents.extend(texts)
        del response.raw_output_contents[:]
        response.parameters.clear()
        return response
