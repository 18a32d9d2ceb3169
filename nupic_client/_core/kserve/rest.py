"""KServe v2 over HTTP: the messages of gRPC as requests of HTTP, and its answers as the messages of gRPC.

Tensors go as raw bytes behind the JSON where the server has Triton's extension for that, else as numbers and texts in the
JSON.

Spec: https://github.com/kserve/kserve/blob/master/docs/predict-api/v2/required_api.md and
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from google.protobuf import json_format

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.json_tensors import from_json, to_json
from nupic_client.errors import ConfigurationError, ProtocolError

__all__ = [
    "BINARY_EXTENSION",
    "JSON_LENGTH",
    "InferResponse",
    "RestRequest",
    "check_headers",
    "infer_request",
    "infer_response",
    "question",
    "refusal",
    "reply",
]

BINARY_EXTENSION = "binary_tensor_data"
"""What the metadata of a server names where tensors may go as raw bytes."""
JSON_LENGTH = "Inference-Header-Content-Length"
"""The header that says how long the JSON before raw bytes is."""

_PATHS: Mapping[str, str] = MappingProxyType(
    {
        "ServerLive": "/v2/health/live",
        "ServerReady": "/v2/health/ready",
        "ServerMetadata": "/v2",
        "ModelReady": "{model}/ready",
        "ModelMetadata": "{model}",
        "ModelConfig": "{model}/config",
    }
)
_FLAGS: Mapping[str, str] = MappingProxyType(
    {"ServerLive": "live", "ServerReady": "ready", "ModelReady": "ready"}
)
"""The methods that the status answers, and the field of their message."""
_HTTPS_OWN = frozenset(
    {
        *("host", "connection", "keep-alive", "upgrade", "te", "trailer", "transfer-encoding", "expect"),
        *("content-length", "content-type", "content-encoding", "accept-encoding", JSON_LENGTH.lower()),
    }
)


@dataclass(frozen=True, slots=True)
class RestRequest:
    """A request of HTTP.

    Args:
        verb: ``"GET"`` or ``"POST"``.
        path: where it goes, below the server's own path.
        headers: what belongs to its body.
        body: the parts of its body, one after the other.
    """

    verb: str
    path: str
    headers: Mapping[str, str]
    body: tuple[bytes | memoryview, ...] = ()


def check_headers(metadata: Iterable[tuple[str, object]]) -> None:
    """Check that metadata can be sent as headers of HTTP.

    Raises:
        ConfigurationError: a name belongs to HTTP itself.
    """
    for name, _ in metadata:
        if name in _HTTPS_OWN:
            raise ConfigurationError(
                f"metadata must not have the name {name!r}, which belongs to HTTP itself: leave it out",
                parameter="metadata",
            )


def question(method: str, message: Any) -> RestRequest:
    """Return the request for a method other than ``ModelInfer``.

    Args:
        method: its name.
        message: its request message.
    """
    path = _PATHS[method]
    return RestRequest("GET", path.format(model=_model_path(message)) if "{" in path else path, {})


def reply(method: str, text: bytes) -> Any:
    """Return the response message of a method other than ``ModelInfer``.

    Raises:
        ProtocolError: the answer is none of this method.
    """
    message = wire.METHODS[method][1]()
    if method in _FLAGS:
        # The status has said yes. Servers put various bodies behind it.
        try:
            value = json.loads(text)[_FLAGS[method]]
        except (ValueError, TypeError, LookupError, RecursionError):
            value = True
        setattr(message, _FLAGS[method], value is not False)
        return message
    _fill(message.config if method == "ModelConfig" else message, _parsed(text))
    return message


def refusal(method: str, status: int) -> Any:
    """Return the response message that a status of failure stands for, or None for a failure: Triton says no with 400."""
    if method in _FLAGS and (status == 400 or (method == "ModelReady" and status == 404)):
        return wire.METHODS[method][1]()
    return None


def _model_path(message: Any) -> str:
    name = message.model_name if hasattr(message, "model_name") else message.name
    version = message.model_version if hasattr(message, "model_version") else message.version
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def infer_request(data: bytes, *, binary: bool) -> RestRequest:
    """Return the request for ``ModelInfer``.

    Args:
        data: the serialized ``ModelInferRequest``. Raw contents stay where they are.
        binary: whether the server takes raw bytes behind the JSON.

    Raises:
        ConfigurationError: a value cannot be sent as JSON.
    """
    message, contents = wire.split_infer_request(data)
    head: dict[str, Any] = {"id": message.id} if message.id else {}
    parameters = {**wire.parameters_of(message)}
    if binary and not message.outputs:
        parameters["binary_data_output"] = True
    if parameters:
        head["parameters"] = parameters
    head["inputs"] = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
            **_with_parameters(tensor),
        }
        for tensor in message.inputs
    ]
    if message.outputs:
        extra = {"binary_data": True} if binary else {}
        head["outputs"] = [
            {"name": output.name, **_with_parameters(output, **extra)} for output in message.outputs
        ]
    for tensor, content in zip(head["inputs"], contents, strict=True):
        if binary:
            tensor.setdefault("parameters", {})["binary_data_size"] = len(content)
        else:
            tensor["data"] = to_json(tensor["name"], tensor["datatype"], content)
    path = f"{_model_path(message)}/infer"
    try:
        text = json.dumps(head, allow_nan=False).encode()
    except ValueError:
        raise ConfigurationError(
            "parameters must be numbers that JSON has, not infinity or NaN", parameter="parameters"
        ) from None
    if not binary:
        return RestRequest("POST", path, {"Content-Type": "application/json"}, (text,))
    headers = {"Content-Type": "application/octet-stream", JSON_LENGTH: str(len(text))}
    return RestRequest("POST", path, headers, (text, *contents))


def _with_parameters(tensor: Any, **ours: bool) -> dict[str, Any]:
    """Return the parameters of an input or output as a field of its JSON; nothing where it has none."""
    parameters = {**wire.parameters_of(tensor), **ours}
    return {"parameters": parameters} if parameters else {}


class InferResponse:
    """A ``ModelInferResponse`` with its raw contents beside it, which a message would copy."""

    def __init__(self, message: Any, contents: list[bytes]) -> None:
        self._message = message
        self.raw_output_contents = contents

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)


def infer_response(text: bytes, read: Callable[[int], bytes]) -> InferResponse:
    """Return the response of ``ModelInfer``.

    Args:
        text: its JSON.
        read: returns as many of the bytes behind it.

    Raises:
        ProtocolError: it is none.
    """
    answer = _parsed(text)
    outputs = _list_of_objects(answer.get("outputs"))
    described = {name: answer.get(name) for name in ("id", "model_name", "model_version")}
    described["outputs"] = [
        {name: each.get(name) for name in ("name", "datatype", "shape")} for each in outputs
    ]
    message = wire.pb.ModelInferResponse()
    _fill(message, described)
    for part, told in ((message, answer), *zip(message.outputs, outputs, strict=True)):
        _set_parameters(part, told.get("parameters"))
    contents = [_content(tensor, each, read) for tensor, each in zip(message.outputs, outputs, strict=True)]
    return InferResponse(message, contents)


def _set_parameters(part: Any, given: Any) -> None:
    """Put the parameters of JSON into a message, those that the protocol has values for."""
    known = {
        name: value
        for name, value in (given.items() if isinstance(given, dict) else ())
        if isinstance(value, (bool, int, float, str)) and name != "binary_data_size"
    }
    try:
        wire.set_parameters(part, known)
    except ValueError as error:
        raise ProtocolError(f"the server sent a parameter that cannot be read: {error}") from None


def _content(tensor: Any, output: Mapping[str, Any], read: Callable[[int], bytes]) -> bytes:
    parameters = output.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        return from_json(tensor.name, tensor.datatype, output.get("data"))
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ProtocolError(
            f"output {tensor.name!r} cannot be decoded: its binary_data_size must be a whole number, not {size!r}"
        )
    return read(size)


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise ProtocolError("the server's answer is not what KServe v2 calls for: it is not a JSON object")
    return answer


def _list_of_objects(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ProtocolError("the server's answer is not what KServe v2 calls for: it has no list of outputs")
    return value


def _fill(message: Any, fields: dict[str, Any]) -> None:
    """Put what JSON says into a message; newer servers may say more than it has a field for."""
    try:
        json_format.ParseDict(fields, message, ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ProtocolError(f"the server's answer is not what KServe v2 calls for: {reason}") from None
