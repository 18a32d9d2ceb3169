"""From a ModelInferRequest to an `EngineRequest`: decoding, and the real server's checks with its own words.

The texts are those of Triton 2.51; clients sort errors by them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nupic_client._core import wire
from nupic_client.local.engine import EngineRequest, ServedModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nupic_client.backends.signature import TensorSpec, TensorValue

__all__ = ["Refusal", "check_request", "decode_request"]


class Refusal(Exception):  # noqa: N818 - the server's answer, not a fault of the server
    """The request does not fit.

    Args:
        code: name of the gRPC status a unary call ends with.
        message: the real server's text.
        reached_model: whether the response names the model and carries the final mark.
    """

    def __init__(self, code: str, message: str, *, reached_model: bool = False) -> None:
        super().__init__(code, message, reached_model)
        self.code = code
        self.message = message
        self.reached_model = reached_model


_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def _raw_values(name: str, datatype: str, raw: bytes) -> list[TensorValue]:
    if datatype == "BYTES":
        return list(_strings(name, raw))
    try:
        width = len(wire.encode_tensor(datatype, [0]))
    except ValueError:
        return [raw]
    numbers = (
        wire.decode_number(datatype, raw[start : start + width]) for start in range(0, len(raw), width)
    )
    return [number for number in numbers if number is not None]


def _strings(name: str, raw: bytes) -> list[bytes]:
    try:
        return wire.decode_bytes_tensor(raw)
    except ValueError:
        pass
    # Walk to the element that is cut off: the server's text states its numbers.
    rest = raw
    while len(rest) >= 4 and len(rest) - 4 >= int.from_bytes(rest[:4], "little"):
        rest = rest[4 + int.from_bytes(rest[:4], "little") :]
    if len(rest) < 4:
        text = (
            f"incomplete string length indicator for inference input '{name}', expecting 4 bytes but only "
            f"{len(rest)} bytes available"
        )
    else:
        text = (
            f"incomplete string data for inference input '{name}', expecting string of length "
            f"{int.from_bytes(rest[:4], 'little')} but only {len(rest) - 4} bytes available"
        )
    raise Refusal("INVALID_ARGUMENT", text, reached_model=True)


def _values(message: Any, index: int) -> list[TensorValue]:
    """Return the elements of one input, from raw contents or from typed contents."""
    item = message.inputs[index]
    if message.raw_input_contents:
        raw = message.raw_input_contents[index] if index < len(message.raw_input_contents) else b""
        return _raw_values(item.name, item.datatype, raw)
    return list(getattr(item.contents, _CONTENTS.get(item.datatype, "bytes_contents")))


def _readable(value: TensorValue) -> TensorValue:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _parameter(value: Any) -> bool | int | float | str:
    chosen = value.WhichOneof("parameter_choice")
    result: bool | int | float | str = getattr(value, chosen) if chosen else ""
    return result


def decode_request(
    message: Any, model: ServedModel | None, *, metadata: Mapping[str, str | bytes], method: str
) -> EngineRequest:
    """Decode a request as far as it can be decoded; inputs that cannot are left out.

    Args:
        message: the ModelInferRequest.
        model: the model it is for, if it exists.
        metadata: metadata of the RPC.
        method: name of the method.

    Returns:
        The request, also for tests that look at what a client sent.
    """
    inputs: dict[str, Any] = {}
    for index, item in enumerate(message.inputs):
        try:
            values = [_readable(value) for value in _values(message, index)]
        except Refusal:
            continue
        declared = model.signature.inputs.get(item.name) if model else None
        many = len(values) != 1 or (declared is not None and -1 in declared.shape)
        inputs[item.name] = values if many else values[0]
    prompt = inputs.get(model.text_input if model else "text_input", "")
    return EngineRequest(
        model=message.model_name,
        version=message.model_version,
        request_id=message.id,
        prompt=prompt if isinstance(prompt, str) else "",
        inputs=inputs,
        parameters={name: _parameter(value) for name, value in message.parameters.items()},
        metadata=metadata,
        method=method,
        outputs=tuple(item.name for item in message.outputs),
        final=model.final if model else "separate",
    )


def check_request(message: Any, model: ServedModel) -> None:
    """Check a request against the model's signature, in the order of the real server.

    Args:
        message: the ModelInferRequest.
        model: the model it is for.

    Raises:
        Refusal: with the real server's text.
    """
    for name in message.parameters:
        if name.startswith("triton_") and name != wire.EMPTY_FINAL_PARAMETER:
            raise _invalid(
                "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following "
                f"keys starting with 'triton_' are allowed: {wire.EMPTY_FINAL_PARAMETER}"
            )
    for item in message.outputs:
        if item.name not in model.signature.outputs:
            raise _invalid(f"unexpected inference output '{item.name}' for model '{model.name}'")
    _check_inputs(message, model)
    for index, item in enumerate(message.inputs):
        _check_content(item, _values(message, index))


def _invalid(text: str) -> Refusal:
    return Refusal("INVALID_ARGUMENT", text)


def _check_inputs(message: Any, model: ServedModel) -> None:
    declared = model.signature.inputs
    prefix = f"[request id: {message.id or '<id_unknown>'}] "
    given = [item.name for item in message.inputs]
    missing = [name for name, spec in declared.items() if not spec.optional and name not in given]
    required = sum(not spec.optional for spec in declared.values())
    unexpected = next((name for name in given if name not in declared), None)
    if not required <= len(given) <= len(declared) or (missing and unexpected is None):
        expected = (
            f"expected {required} inputs"
            if required == len(declared)
            else f"expected number of inputs between {required} and {len(declared)}"
        )
        raise _invalid(
            f"{prefix}{expected} but got {len(given)} inputs for model '{model.name}'. Got input(s) "
            f"{_names(given)}, but missing required input(s) {_names(missing)}. Please provide all "
            "required input(s)."
        )
    if unexpected is not None:
        raise _invalid(f"unexpected inference input '{unexpected}' for model '{model.name}'")
    for item in message.inputs:
        wanted = declared[item.name]
        if item.datatype != wanted.datatype:
            raise _invalid(
                f"{prefix}inference input '{item.name}' data-type is '{item.datatype}', but model "
                f"'{model.name}' expects '{wanted.datatype}'"
            )
    for item in message.inputs:
        _check_shape(item, declared[item.name], model, prefix)
    if model.signature.max_batch_size and len({item.shape[0] for item in message.inputs}) > 1:
        odd = next(item for item in message.inputs if item.shape[0] != message.inputs[0].shape[0])
        raise _invalid(
            f"{prefix}input '{odd.name}' batch size does not match other inputs for '{model.name}'"
        )


def _names(names: list[str]) -> str:
    return "[" + ",".join(f"'{name}'" for name in names) + "]"


def _check_shape(item: Any, wanted: TensorSpec, model: ServedModel, prefix: str) -> None:
    batched = model.signature.max_batch_size > 0
    expected = (-1, *wanted.shape) if batched else wanted.shape
    shape = tuple(item.shape)
    if len(shape) != len(expected) or any(
        want not in (-1, size) for want, size in zip(expected, shape, strict=False)
    ):
        note = (
            "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be "
            "prepended to each input shape. If you want to specify the full shape including the batch dim "
            "in your input dims config, try setting max_batch_size to zero. See the model configuration docs "
            "for more info on max_batch_size."
        )
        raise _invalid(
            f"{prefix}unexpected shape for input '{item.name}' for model '{model.name}'. Expected "
            f"{_dimensions(expected)}, got {_dimensions(shape)}. {note if batched else ''}"
        )
    if batched and shape[0] > model.signature.max_batch_size:
        raise _invalid(
            f"{prefix}inference request batch-size must be <= {model.signature.max_batch_size} for "
            f"'{model.name}'"
        )


def _dimensions(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def _check_content(item: Any, values: list[TensorValue]) -> None:
    count = math.prod(item.shape)
    if len(values) == count:
        return
    if item.datatype == "BYTES":
        text = f"expected {count} string elements for inference input '{item.name}', got {len(values)}"
    else:
        width = len(wire.encode_tensor(item.datatype, [0]))
        text = (
            f"unexpected total byte size {len(values) * width} for input '{item.name}', expecting "
            f"{count * width}"
        )
    raise Refusal("INVALID_ARGUMENT", text, reached_model=True)
