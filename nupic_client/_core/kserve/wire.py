"""The protobuf messages of KServe v2: the generated classes, and building and parsing requests and responses.

The message classes are those of ``tritonclient``. Importing that package the normal way runs its ``__init__``, which
imports grpc, numpy and a JSON library and takes five times as long as all of ours, so the two generated modules are
executed on their own. They register with protobuf's default pool: a program that imports ``tritonclient.grpc`` too gets
the same classes.

Spec: https://github.com/kserve/kserve/blob/master/docs/predict-api/v2/required_api.md (gRPC section) and Triton's
protocol extensions, https://github.com/triton-inference-server/server/tree/main/docs/protocol
"""

from __future__ import annotations

import builtins
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf.message import DecodeError

from nupic_client._core.kserve.codec import encode_tensor
from nupic_client.errors import ProtocolError
from nupic_client.signature import InputTensor

__all__ = [
    "EMPTY_FINAL_PARAMETER",
    "FINAL_PARAMETER",
    "METHODS",
    "EncodedTensor",
    "build_infer_request",
    "method_path",
    "parse_stream_response",
    "pb",
    "serialize",
    "serialize_infer_request",
    "serialized_contents",
    "text_among",
]

FINAL_PARAMETER = "triton_final_response"
"""Response parameter: true on the last response of a request, with or without content."""
EMPTY_FINAL_PARAMETER = "triton_enable_empty_final_response"
"""Request parameter: mark the end by a response of its own when the last content did not carry the mark."""


def _load_messages() -> ModuleType:
    """Execute tritonclient's generated modules without running the package's ``__init__``."""
    package = importlib.util.find_spec("tritonclient")
    if (
        package is None or not package.submodule_search_locations
    ):  # pragma: no cover - it is a core dependency
        raise ImportError(
            "nupic_client needs the package tritonclient[grpc]: pip install 'tritonclient[grpc]'"
        )
    folder = Path(package.submodule_search_locations[0]) / "grpc"
    stand_in: Any = ModuleType("tritonclient.grpc")

    def import_(name: str, *args: Any, **kwargs: Any) -> Any:
        # The generated code says `from tritonclient.grpc import model_config_pb2`: give it ours.
        return stand_in if name == "tritonclient.grpc" else builtins.__import__(name, *args, **kwargs)

    for name in ("model_config_pb2", "service_pb2"):
        spec = importlib.util.spec_from_file_location(f"{__name__}.{name}", folder / f"{name}.py")
        if spec is None or spec.loader is None:  # pragma: no cover - a .py path always has a loader
            raise ImportError(f"cannot load {name} of tritonclient")
        module = importlib.util.module_from_spec(spec)
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": import_}
        spec.loader.exec_module(module)
        setattr(stand_in, name, module)
    return stand_in.service_pb2  # type: ignore[no-any-return]  # set by the loop


pb: Any = _load_messages()
"""The generated module ``service_pb2``."""

METHODS: Mapping[str, tuple[Any, Any]] = {
    name: (getattr(pb, f"{name}Request"), getattr(pb, f"{name}Response"))
    for name in (
        "ServerLive",
        "ServerReady",
        "ServerMetadata",
        "ModelReady",
        "ModelMetadata",
        "ModelConfig",
        "ModelInfer",
        "ModelStatistics",
        "RepositoryIndex",
        "RepositoryModelLoad",
        "RepositoryModelUnload",
    )
} | {"ModelStreamInfer": (pb.ModelInferRequest, pb.ModelStreamInferResponse)}
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
    outputs: Iterable[str] = (),
    parameters: Mapping[str, bool | int | str] = {},
) -> Any:
    """Build a ModelInferRequest.

    Args:
        model: the server's name of the model.
        tensors: the inputs.
        request_id: echoed by the server on every response.
        version: model version; empty for the server's choice.
        outputs: names of the outputs to return; none asks for all.
        parameters: request parameters.

    Returns:
        A ``ModelInferRequest`` with raw contents.

    Raises:
        ValueError: a value does not fit its data type.
    """
    request = pb.ModelInferRequest(model_name=model, model_version=version, id=request_id)
    for tensor in tensors:
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if isinstance(tensor, EncodedTensor):
            request.raw_input_contents.append(b"".join(tensor.contents))
            continue
        try:
            request.raw_input_contents.append(encode_tensor(tensor.datatype, tensor.values))
        except ValueError as error:
            raise ValueError(f"input {tensor.name!r}: {error}") from None
    for name in outputs:
        request.outputs.add(name=name)
    _set_parameters(request, parameters)
    return request


def _set_parameters(request: Any, parameters: Mapping[str, bool | int | float | str]) -> None:
    for name, value in parameters.items():
        if isinstance(value, bool):
            request.parameters[name].bool_param = value
        elif isinstance(value, int) and value >= 1 << 63:
            request.parameters[name].uint64_param = value
        elif isinstance(value, int):
            request.parameters[name].int64_param = value
        elif isinstance(value, float):
            request.parameters[name].double_param = value
        else:
            request.parameters[name].string_param = value


@dataclass(frozen=True, slots=True)
class EncodedTensor:
    """An input of a request whose contents are encoded already.

    Args:
        name: the input's name.
        datatype: its KServe v2 data type.
        shape: its full shape.
        contents: its raw contents, in parts that follow one another.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    contents: tuple[bytes | memoryview, ...]


def serialize_infer_request(
    model: str,
    tensors: Iterable[EncodedTensor],
    *,
    request_id: str = "",
    version: str = "",
    outputs: Iterable[str] = (),
    parameters: Mapping[str, bool | int | float | str] = {},
) -> bytes:
    """Build and serialize a ModelInferRequest, copying the contents of its tensors only once.

    A protobuf message takes contents only as ``bytes`` (one copy), copies those, and copies again when it is serialized:
    16 MB take 40 ms. Fields may stand in any order on the wire, so the raw contents are put behind the rest as they are:
    below 1 ms.

    Args:
        model: the server's name of the model.
        tensors: the inputs.
        request_id: echoed by the server.
        version: model version; empty for the server's choice.
        outputs: names of the outputs to return; none asks for all.
        parameters: request parameters.

    Raises:
        ValueError: a parameter does not fit its field.
    """
    tensors = tuple(tensors)
    request = pb.ModelInferRequest(model_name=model, model_version=version, id=request_id)
    for tensor in tensors:
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    for name in outputs:
        request.outputs.add(name=name)
    _set_parameters(request, parameters)
    parts: list[bytes | memoryview] = [request.SerializeToString()]
    for tensor in tensors:
        parts.append(_RAW_INPUT_TAG + _varint(sum(len(content) for content in tensor.contents)))
        parts.extend(tensor.contents)
    return b"".join(parts)


# Field number and wire type 2, a length and bytes: https://protobuf.dev/programming-guides/encoding/
_RAW_INPUT_TAG = bytes([pb.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number << 3 | 2])
_RAW_OUTPUT_TAG = bytes(
    [pb.ModelInferResponse.DESCRIPTOR.fields_by_name["raw_output_contents"].number << 3 | 2]
)


def _varint(number: int) -> bytes:
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


def parse_stream_response(data: bytes, request_id: str) -> Any:
    """Parse a serialized ``ModelStreamInferResponse``.

    Args:
        data: the bytes.
        request_id: of the request, for the error.

    Raises:
        ProtocolError: the bytes are no such message.
    """
    try:
        return _parse_stream_response(data)
    except DecodeError:
        raise ProtocolError(
            "the server sent a response that cannot be read: check that the url is that of a KServe v2 or Triton server,"
            " and that no proxy changes its answers",
            request_id=request_id,
        ) from None


_parse_stream_response = pb.ModelStreamInferResponse.FromString


def text_among(data: bytes, count: int, index: int) -> bytes | None:
    """Return the first BYTES element of one of the raw contents of a serialized response.

    Args:
        data: a ``ModelStreamInferResponse``, perhaps.
        count: how many raw contents it should have.
        index: which of them it is.

    Returns:
        The element, or None for bytes that are no such response.
    """
    try:
        contents = _parse_stream_response(data).infer_response.raw_output_contents
    except DecodeError:
        return None
    return contents[index][4:] if len(contents) == count else None


def serialized_contents(contents: Iterable[bytes]) -> bytes:
    """Return the raw contents of a response in the form that they have at its end."""
    return b"".join(
        part for content in contents for part in (_RAW_OUTPUT_TAG, _varint(len(content)), content)
    )


def serialize(message: Any) -> bytes:
    """Serialize a message; one that is serialized already stays as it is."""
    return message if isinstance(message, bytes) else message.SerializeToString()
