"""KServe v2 over HTTP: the messages of gRPC as requests of HTTP, and its answers as the messages of gRPC.

Tensors go as raw bytes behind the JSON where the server has Triton's extension for that, else as numbers and texts in the
JSON.

Spec: https://github.com/kserve/kserve/blob/master/docs/predict-api/v2/required_api.md and
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from google.protobuf import json_format

from nupic_client._core.kserve import message_bytes, wire
from nupic_client._core.kserve.error_messages import stream_error
from nupic_client._core.kserve.json_tensors import from_json, to_json
from nupic_client.errors import ConfigurationError, ProtocolError
from nupic_client.shared_memory_places import REGION

__all__ = [
    "BINARY_EXTENSION",
    "JSON_LENGTH",
    "InferResponse",
    "RestRequest",
    "as_json",
    "check_headers",
    "infer_request",
    "infer_response",
    "model_path",
    "parsed",
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
        "RepositoryIndex": "/v2/repository/index",
    }
)
_FLAGS: Mapping[str, str] = MappingProxyType(
    {"ServerLive": "live", "ServerReady": "ready", "ModelReady": "ready"}
)
"""The methods that the status answers, and the field of their message."""
_JSON: Mapping[str, str] = MappingProxyType({"Content-Type": "application/json"})
_FACTS = ("id", "model_name", "model_version")
_OF_HTTP = frozenset({"binary_data", "binary_data_size"})
"""Parameters of a tensor that say how its contents are sent."""
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
        places: the outputs that the server is to write to shared memory.
    """

    verb: str
    path: str
    headers: Mapping[str, str]
    body: tuple[bytes | memoryview, ...] = ()
    places: frozenset[str] = frozenset()


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
    if method == "RepositoryIndex":
        asked = json_format.MessageToDict(message, preserving_proto_field_name=True)
        return RestRequest("POST", path, _JSON, (json.dumps(asked).encode(),))
    return RestRequest("GET", path.format(model=model_path(message)) if "{" in path else path, {})


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
    elif method == "RepositoryIndex":
        _fill(message, {"models": _list_of_objects(_loaded(text), "models")})
    else:
        _fill(message.config if method == "ModelConfig" else message, parsed(text))
    return message


def refusal(method: str, status: int) -> Any:
    """Return the response message that a status of failure stands for, or None for a failure: Triton says no with 400."""
    if method in _FLAGS and (status == 400 or (method == "ModelReady" and status == 404)):
        return wire.METHODS[method][1]()
    return None


def model_path(message: Any) -> str:
    """Return the path of the model that a request message names, with its version where one is asked for."""
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
    message, contents = message_bytes.split_infer_request(data)
    head: dict[str, Any] = {"id": message.id} if message.id else {}
    parameters = dict(wire.parameters_of(message))
    if binary and not message.outputs:
        parameters["binary_data_output"] = True
    if parameters:
        head["parameters"] = parameters
    sent = iter(contents)
    head["inputs"] = [_input(tensor, sent, binary=binary) for tensor in message.inputs]
    if message.outputs:
        head["outputs"] = [_output(output, binary=binary) for output in message.outputs]
    path = f"{model_path(message)}/infer"
    text = as_json(head)
    places = frozenset(it.name for it in message.outputs if REGION in it.parameters)
    if not binary:
        return RestRequest("POST", path, _JSON, (text,), places)
    headers = {"Content-Type": "application/octet-stream", JSON_LENGTH: str(len(text))}
    return RestRequest("POST", path, headers, (text, *contents), places)


def as_json(head: Mapping[str, Any]) -> bytes:
    """Return the JSON of a request.

    Raises:
        ConfigurationError: a parameter cannot be sent so.
    """
    try:
        return json.dumps(head, allow_nan=False).encode()
    except ValueError:
        raise ConfigurationError(
            "parameters must be numbers that JSON has, not infinity or NaN", parameter="parameters"
        ) from None


def _input(tensor: Any, sent: Iterator[memoryview], *, binary: bool) -> dict[str, Any]:
    found = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
    parameters = dict(wire.parameters_of(tensor))
    if REGION not in parameters:
        content = next(sent)
        if binary:
            parameters["binary_data_size"] = len(content)
        else:
            found["data"] = to_json(tensor.name, tensor.datatype, content)
    return found | {"parameters": parameters} if parameters else found


def _output(output: Any, *, binary: bool) -> dict[str, Any]:
    parameters = dict(wire.parameters_of(output))
    if binary and REGION not in parameters:
        parameters["binary_data"] = True
    return {"name": output.name, "parameters": parameters} if parameters else {"name": output.name}


class InferResponse:
    """A ``ModelInferResponse`` with its raw contents beside it, which a message would copy."""

    def __init__(self, message: Any, contents: list[bytes]) -> None:
        self.message = message
        self.raw_output_contents = contents

    def __getattr__(self, name: str) -> Any:
        return getattr(self.message, name)


def infer_response(text: bytes, read: Callable[[int], bytes], places: Collection[str] = ()) -> InferResponse:
    """Return the response of ``ModelInfer``.

    Args:
        text: its JSON.
        read: returns as many of the bytes behind it.
        places: the outputs that may have no contents: they were to be written to shared memory. Triton says nothing of it.

    Raises:
        ProtocolError: it is none.
        RequestError: it is an error of the model.
    """
    answer = parsed(text)
    reason = answer.get("error")
    if "outputs" not in answer and isinstance(reason, str) and reason:  # with a status that says otherwise
        raise stream_error(reason)
    outputs = _list_of_objects(answer.get("outputs"), "outputs")
    message = _described(answer, outputs)
    _set_parameters(message, answer.get("parameters"))
    for tensor, each in zip(message.outputs, outputs, strict=True):
        _set_parameters(tensor, each.get("parameters"))
    contents = [
        _content(tensor, each, read, tensor.name in places)
        for tensor, each in zip(message.outputs, outputs, strict=True)
    ]
    return InferResponse(message, contents)


def _described(answer: Mapping[str, Any], outputs: list[dict[str, Any]]) -> Any:
    """Return the response without contents and parameters."""
    facts = {name: _text_of(answer[name]) for name in _FACTS if answer.get(name) is not None}
    try:
        message = wire.pb.ModelInferResponse(**facts)
        for each in outputs:
            message.outputs.add(name=each["name"], datatype=each["datatype"], shape=each["shape"])
    except (LookupError, TypeError, ValueError):  # it is told in another way, or wrong
        message = wire.pb.ModelInferResponse()
        described = [{name: each.get(name) for name in ("name", "datatype", "shape")} for each in outputs]
        _fill(message, {**facts, "outputs": described})
    return message


def _text_of(value: Any) -> Any:
    """Return a fact as a text where a server says it as a number: versions look like ones."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _set_parameters(message: Any, given: Any) -> None:
    """Put the parameters that JSON gives into a response or one of its outputs, without those of HTTP itself."""
    if not isinstance(given, dict):
        return
    known = {
        name: value
        for name, value in given.items()
        if isinstance(value, (bool, int, float, str)) and name not in _OF_HTTP
    }
    try:
        wire.set_parameters(message, known)
    except ValueError as error:
        raise ProtocolError(f"the server sent a parameter that cannot be read: {error}") from None


def _content(
    tensor: Any,
    output: Mapping[str, Any],
    read: Callable[[int], bytes],
    placed: bool,  # noqa: FBT001
) -> bytes:
    parameters = output.get("parameters")
    given = parameters if isinstance(parameters, dict) else {}
    size = given.get("binary_data_size")
    if size is None:
        if "data" not in output and (placed or REGION in given):
            return b""
        return from_json(tensor.name, tensor.datatype, output.get("data"))
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ProtocolError(
            f"output {tensor.name!r} cannot be decoded: its binary_data_size must be a whole number, not {size!r}"
        )
    return read(size)


def parsed(text: bytes) -> dict[str, Any]:
    """Return the object that an answer is.

    Bytes that are not UTF-8 are kept, as lone surrogates: a text that is streamed may be cut inside a character.

    Raises:
        ProtocolError: it is none.
    """
    answer = _loaded(text)
    if not isinstance(answer, dict):
        raise ProtocolError("the server's answer is not what KServe v2 calls for: it is not a JSON object")
    return answer


def _loaded(text: bytes) -> Any:
    try:
        return json.loads(text.decode(errors="surrogateescape"))
    except (ValueError, RecursionError):
        return None


def _list_of_objects(value: Any, what: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ProtocolError(f"the server's answer is not what KServe v2 calls for: it has no list of {what}")
    return value


def _fill(message: Any, fields: dict[str, Any]) -> None:
    """Put what JSON says into a message; newer servers may say more than it has a field for."""
    try:
        json_format.ParseDict(fields, message, ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ProtocolError(f"the server's answer is not what KServe v2 calls for: {reason}") from None
