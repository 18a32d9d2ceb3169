"""The protobuf messages of KServe v2: building and parsing requests and responses.

Spec: https://github.com/kserve/kserve/blob/master/docs/predict-api/v2/required_api.md (gRPC section) and Triton's
protocol extensions, https://github.com/triton-inference-server/server/tree/main/docs/protocol
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError

from nupic_client._core.kserve.codec import encode_tensor
from nupic_client._core.kserve.messages import load_messages
from nupic_client._parameters import NO_PARAMETERS, Parameters
from nupic_client.errors import ProtocolError
from nupic_client.shared_memory_places import SharedMemoryOutput
from nupic_client.signature import InputTensor

__all__ = [
    "EMPTY_FINAL_PARAMETER",
    "FINAL_PARAMETER",
    "METHODS",
    "EncodedTensor",
    "RequestedOutput",
    "build_infer_request",
    "method_path",
    "parameter_value",
    "parameters_of",
    "parse_bare_response",
    "parse_infer_response",
    "parse_stream_response",
    "pb",
    "request_head",
    "serialize",
    "set_parameters",
    "text_among",
]

Content: TypeAlias = Any
"""Raw contents: bytes, or a contiguous buffer with them, such as an array."""
FINAL_PARAMETER = "triton_final_response"
"""Response parameter: true on the last response of a request, with or without content."""
EMPTY_FINAL_PARAMETER = "triton_enable_empty_final_response"
"""Request parameter: mark the end by a response of its own when the last content did not carry the mark."""


pb: Any = load_messages()
"""The message classes, as tritonclient's module ``service_pb2`` has them."""

METHODS: Mapping[str, tuple[Any, Any]] = {
    method.name: (getattr(pb, method.input_type.name), getattr(pb, method.output_type.name))
    for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
}
"""Request and response class of each method of the service."""


def method_path(name: str) -> str:
    """Return the gRPC path of a method of the inference service."""
    return f"/inference.GRPCInferenceService/{name}"


def build_infer_request(
    model: str,
    tensors: Iterable[InputTensor | EncodedTensor],
    *,
    request_id: str = "",
    version: str = "",
    outputs: Iterable[RequestedOutput | str] = (),
    parameters: Parameters = NO_PARAMETERS,
) -> Any:
    """Build a ModelInferRequest.

    Args:
        model: the server's name of the model.
        tensors: the inputs.
        request_id: echoed by the server on every response.
        version: model version; empty for the server's choice.
        outputs: the outputs to return, a name where nothing special is asked; none asks for all.
        parameters: request parameters.

    Returns:
        A ``ModelInferRequest`` with raw contents.

    Raises:
        ValueError: a value does not fit its data type.
    """
    tensors = tuple(tensors)
    request = _without_contents(model, tensors, request_id, version, outputs, parameters)
    for tensor in tensors:
        if isinstance(tensor, EncodedTensor):
            if tensor.contents:  # those in shared memory have none, and the server skips them when it counts
                request.raw_input_contents.append(b"".join(tensor.contents))
            continue
        try:
            request.raw_input_contents.append(encode_tensor(tensor.datatype, tensor.values))
        except ValueError as error:
            raise ValueError(f"input {tensor.name!r}: {error}") from None
    return request


def _without_contents(
    model: str,
    tensors: Iterable[InputTensor | EncodedTensor],
    request_id: str,
    version: str,
    outputs: Iterable[RequestedOutput | str],
    parameters: Parameters,
) -> Any:
    request = pb.ModelInferRequest(model_name=model, model_version=version, id=request_id)
    for tensor in tensors:
        described = request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if isinstance(tensor, EncodedTensor) and tensor.parameters:
            set_parameters(described, tensor.parameters)
    for output in outputs:
        if isinstance(output, str):
            request.outputs.add(name=output)
            continue
        asked = request.outputs.add(name=output.name)
        if output.parameters:
            set_parameters(asked, output.parameters)
    if parameters:
        set_parameters(request, parameters)
    return request


def set_parameters(message: Any, parameters: Parameters) -> None:
    """Put parameters into a request or response, or into one of its tensors.

    Raises:
        ValueError: a value does not fit its field.
    """
    for name, value in parameters.items():
        if isinstance(value, bool):
            message.parameters[name].bool_param = value
        elif isinstance(value, int) and value >= 1 << 63:
            message.parameters[name].uint64_param = value
        elif isinstance(value, int):
            message.parameters[name].int64_param = value
        elif isinstance(value, float):
            message.parameters[name].double_param = value
        else:
            message.parameters[name].string_param = value


def parameter_value(parameter: Any) -> bool | int | float | str:
    """Return the value of a parameter of a message; one that has none is empty."""
    chosen = parameter.WhichOneof("parameter_choice")
    value: bool | int | float | str = getattr(parameter, chosen) if chosen else ""
    return value


def parameters_of(message: Any) -> Parameters:
    """Return the parameters of a request or response, or of one of its tensors."""
    parameters = message.parameters
    return {name: parameter_value(value) for name, value in parameters.items()} if parameters else {}


@dataclass(frozen=True, slots=True)
class EncodedTensor:
    """An input of a request whose contents are encoded already.

    Args:
        name: the input's name.
        datatype: its KServe v2 data type.
        shape: its full shape.
        contents: its raw contents, in parts that follow one another; no parts at all for a tensor in shared memory.
        parameters: of this input.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    contents: tuple[Content, ...]
    parameters: Parameters = field(default_factory=lambda: NO_PARAMETERS)


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that a request asks for.

    Args:
        name: the output's name.
        parameters: of this output, such as the number of classes.
        place: where it is to be written, if that is in shared memory; ``parameters`` say so too.
    """

    name: str
    parameters: Parameters = field(default_factory=lambda: NO_PARAMETERS)
    place: SharedMemoryOutput | None = None


def request_head(
    model: str,
    tensors: Iterable[EncodedTensor],
    *,
    version: str = "",
    outputs: Iterable[RequestedOutput | str] = (),
    parameters: Parameters = NO_PARAMETERS,
) -> bytes:
    """Return a serialized ModelInferRequest without its id and raw contents, for `join_request`.

    Args:
        model: the server's name of the model.
        tensors: the inputs; their contents do not matter.
        version: model version; empty for the server's choice.
        outputs: the outputs to return, a name where nothing special is asked; none asks for all.
        parameters: request parameters.

    Raises:
        ValueError: a parameter does not fit its field.
    """
    message = _without_contents(model, tensors, "", version, outputs, parameters)
    data: bytes = message.SerializeToString()
    return data


def parse_infer_response(data: Any) -> Any:
    """Parse a ``ModelInferResponse``; transports that have the message itself give that.

    Raises:
        ProtocolError: the bytes are not such a message, or there is none.
    """
    if data is None:  # a call may end well without one
        raise ProtocolError("the call ended without an answer")
    if not isinstance(data, bytes):
        return data
    try:
        return pb.ModelInferResponse.FromString(data)
    except _UNREADABLE:
        raise ProtocolError("the server sent a response that cannot be read") from None


def parse_stream_response(data: bytes, request_id: str) -> Any:
    """Parse a serialized ``ModelStreamInferResponse``.

    Args:
        data: the bytes.
        request_id: of the request, for the error.

    Raises:
        ProtocolError: the bytes are not such a message.
    """
    try:
        return _parse_stream_response(data)
    except _UNREADABLE:
        raise ProtocolError(
            "the server sent a response that cannot be read: check that the url is that of a KServe v2 or Triton server,"
            " and that no proxy changes its answers",
            request_id=request_id,
        ) from None


def parse_bare_response(data: bytes) -> Any | None:
    """Parse a response of a server that streams bare responses, as MLServer does; None for bytes that are none.

    Triton wraps each response of a stream in a message with the fields 1 (an error) and 2 (the response). A bare one has
    the model's name and version there, and what it says in the fields from 3 on.

    Args:
        data: a serialized ``ModelInferResponse``, perhaps.
    """
    try:
        answer = pb.ModelInferResponse.FromString(data)
    except _UNREADABLE:
        return None
    return answer if answer.id or answer.parameters or answer.outputs or answer.raw_output_contents else None


_parse_stream_response = pb.ModelStreamInferResponse.FromString
_UNREADABLE = (DecodeError, UnicodeDecodeError)
"""What parsing raises; protobuf's pure Python has the second for a text that is not UTF-8."""


def text_among(data: bytes, count: int, index: int) -> bytes | None:
    """Return the first BYTES element of one of the raw contents of a serialized response.

    Args:
        data: bytes that may be a serialized ``ModelStreamInferResponse``.
        count: the number of raw contents it must have.
        index: the position of the element among them.

    Returns:
        The element, or None if the bytes are not such a response.
    """
    try:
        contents = _parse_stream_response(data).infer_response.raw_output_contents
    except _UNREADABLE:
        return None
    return contents[index][4:] if len(contents) == count else None


def serialize(message: Any) -> bytes:
    """Serialize a message; return bytes unchanged."""
    return message if isinstance(message, bytes) else message.SerializeToString()
