"""Decode a ModelInferRequest to an `EngineRequest`, and check it as the real server does, with the same texts.

The texts are those of Triton 2.51; clients classify errors by them.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import (
    decode_bytes_tensor,
    decode_numbers,
    encode_tensor,
    is_numeric,
    typed_elements,
)
from nupic_client._datatypes import DATATYPES
from nupic_client.local.engine import EngineRequest, ServedModel, readable
from nupic_client.local.kserve.parameters import (
    check_output_parameters,
    check_parameters,
    uses_shared_memory,
)
from nupic_client.local.kserve.status import StatusError, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nupic_client.local.kserve.shared_memory import NoMemory
    from nupic_client.signature import TensorSpec, TensorValue

__all__ = ["batch_size", "check_request", "decode_request", "id_prefix"]

_PREFIX = 4
"""Size of the length prefix of a string, in bytes."""
_FIELDS = {datatype.contents: name for name, datatype in DATATYPES.items() if datatype.contents}
"""The fields of typed contents, each with the data type that the server names for it: the widest one."""


def _values(message: Any, index: int) -> list[TensorValue]:
    """Return the elements of one input, from raw contents or from typed contents.

    Raises:
        ValueError: a string is truncated.
    """
    item = message.inputs[index]
    if not message.raw_input_contents:
        return list(typed_elements(item) or ())
    raw = message.raw_input_contents[index] if index < len(message.raw_input_contents) else b""
    if item.datatype == "BYTES":
        return list(decode_bytes_tensor(raw))
    return list(decode_numbers(item.datatype, raw)) if is_numeric(item.datatype) else [raw]


def _content(message: Any, index: int) -> bytes:
    """Return the content of one input in its raw form."""
    if message.raw_input_contents:
        raw: bytes = message.raw_input_contents[index]
        return raw
    values = _values(message, index)
    return encode_tensor(message.inputs[index].datatype, values) if values else b""


def decode_request(
    message: Any, model: ServedModel | None, *, metadata: Mapping[str, str | bytes], method: str
) -> EngineRequest:
    """Decode a request; inputs that cannot be decoded are left out.

    Args:
        message: the ModelInferRequest.
        model: the requested model, if it exists.
        metadata: metadata of the RPC.
        method: name of the method.

    Returns:
        The request; FakeTriton records it for tests.
    """
    inputs: dict[str, Any] = {}
    for index, item in enumerate(message.inputs):
        try:
            values = [readable(value) for value in _values(message, index)]
        except ValueError:
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
        parameters=wire.parameters_of(message),
        metadata=metadata,
        method=method,
        outputs=tuple(item.name for item in message.outputs),
        input_parameters={item.name: wire.parameters_of(item) for item in message.inputs if item.parameters},
        output_parameters={
            item.name: wire.parameters_of(item) for item in message.outputs if item.parameters
        },
        final=model.final if model else "separate",
    )


def check_request(message: Any, model: ServedModel, memory: NoMemory) -> dict[str, int]:
    """Check a request against the model's signature, in the order of the real server.

    Args:
        message: the ModelInferRequest.
        model: the requested model.
        memory: the shared memory that is registered; inputs in it have their contents already.

    Returns:
        The number of classes of each output that is wanted as a classification.

    Raises:
        StatusError: with the real server's text.
    """
    check_parameters(message)
    _check_contents(message, model, memory)
    classes = check_output_parameters(message, memory.check)
    for item in message.outputs:
        if item.name not in model.signature.outputs:
            raise invalid(f"unexpected inference output '{item.name}' for model '{model.name}'")
    _check_inputs(message, model)
    return classes


def batch_size(message: Any, model: ServedModel) -> int:
    """Return the elements in the batch of a request that was checked; 1 for a model without batches."""
    if not model.signature.max_batch_size or not message.inputs:
        return 1
    return _batch(message.inputs[0].shape) or 1


def id_prefix(message: Any) -> str:
    """Return the prefix of some of the server's texts, with the id of the request."""
    return f"[request id: {message.id or '<id_unknown>'}] "


def _check_contents(message: Any, model: ServedModel, memory: NoMemory) -> None:
    """Check that each input is given once and has a content of either kind."""
    times = Counter(item.name for item in message.inputs)
    twice = next((name for name, count in times.items() if count > 1), None)
    if twice is not None:
        raise invalid(f"{id_prefix(message)}input '{twice}' already exists in request")
    for index, item in enumerate(message.inputs):
        typed = item.HasField("contents")
        region = uses_shared_memory(item)
        if region and typed:
            raise invalid(
                f"unexpected 'content' provided when using shared memory for input tensor '{item.name}' for model "
                f"'{model.name}'"
            )
        if region:
            memory.check(item, region)
        if typed and message.raw_input_contents:
            raise invalid(
                "contents field must not be specified when using raw_input_contents for "
                f"'{item.name}' for model '{model.name}'"
            )
        right = DATATYPES[item.datatype].contents if item.datatype in DATATYPES else ""
        wrong = next((name for name in _FIELDS if name != right and getattr(item.contents, name)), None)
        if wrong is not None:
            raise invalid(
                f"unexpected explicit tensor data for input tensor '{item.name}' for model '{model.name}' of "
                f"type '{_FIELDS[wrong]}', expected datatype '{item.datatype}'"
            )
        if not typed and index >= len(message.raw_input_contents):
            raise invalid(
                f"unable to find data for input tensor '{item.name}' for model '{model.name}' in request."
            )


def _check_inputs(message: Any, model: ServedModel) -> None:
    declared = model.signature.inputs
    prefix = id_prefix(message)
    given = [item.name for item in message.inputs]
    required = sum(not spec.optional for spec in declared.values())
    # The server only counts inputs: an optional one can stand in for a required one.
    if not required <= len(given) <= len(declared):
        missing = [name for name, spec in declared.items() if not spec.optional and name not in given]
        expected = (
            f"expected {required} inputs"
            if required == len(declared)
            else f"expected number of inputs between {required} and {len(declared)}"
        )
        raise invalid(
            f"{prefix}{expected} but got {len(given)} inputs for model '{model.name}'. Got input(s) "
            f"{_names(given[::-1])}, but missing required input(s) {_names(missing) if missing else ']'}. Please "
            "provide all required input(s)."
        )
    unexpected = next((name for name in given if name not in declared), None)
    if unexpected is not None:
        raise invalid(f"unexpected inference input '{unexpected}' for model '{model.name}'")
    if model.signature.max_batch_size:
        _check_batch(message, model, prefix)
    for index, item in enumerate(message.inputs):
        wanted = declared[item.name]
        if item.datatype != wanted.datatype:
            raise invalid(
                f"{prefix}inference input '{item.name}' data-type is "
                f"'{item.datatype if item.datatype in DATATYPES else '<invalid>'}', but model '{model.name}' expects "
                f"'{wanted.datatype}'"
            )
        _check_shape(item, wanted, model, prefix)
        _check_content(item, _content(message, index), model, prefix)


def _check_batch(message: Any, model: ServedModel, prefix: str) -> None:
    first = None
    for item in reversed(message.inputs):  # the order of the real server, nearly always
        if not item.shape:
            raise invalid(
                f"{prefix}input '{item.name}' has no shape but model requires batch dimension for "
                f"'{model.name}'"
            )
        if first is None:
            first = item.shape[0]
        if item.shape[0] != first:
            raise invalid(
                f"{prefix}input '{item.name}' batch size does not match other inputs for '{model.name}'"
            )


def _batch(shape: Sequence[int]) -> int:
    """Return the first dimension, of which the real server keeps 32 bits."""
    return shape[0] & 0xFFFFFFFF


def _signed(number: int, bits: int) -> int:
    """Return the number that the real server makes of one with too many bits."""
    return (number + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def _names(names: list[str]) -> str:
    return "[" + ",".join(f"'{name}'" for name in names) + "]"


def _check_shape(item: Any, wanted: TensorSpec, model: ServedModel, prefix: str) -> None:
    batched = model.signature.max_batch_size > 0
    expected = (-1, *wanted.shape) if batched else wanted.shape
    shape = tuple(item.shape)
    if len(shape) == len(expected) and -1 in shape[batched:]:
        raise invalid(
            f"{prefix}All input dimensions should be specified for input '{item.name}' for model "
            f"'{model.name}', got {_dimensions(shape)}"
        )
    if len(shape) != len(expected) or any(
        want not in (-1, size) for want, size in zip(expected, shape, strict=False)
    ):
        note = (
            "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be "
            "prepended to each input shape. If you want to specify the full shape including the batch dim "
            "in your input dims config, try setting max_batch_size to zero. See the model configuration docs "
            "for more info on max_batch_size."
        )
        raise invalid(
            f"{prefix}unexpected shape for input '{item.name}' for model '{model.name}'. Expected "
            f"{_dimensions(expected)}, got {_dimensions(shape)}. {note if batched else ''}"
        )
    if batched and _signed(_batch(shape), 32) > model.signature.max_batch_size:
        raise invalid(
            f"{prefix}inference request batch-size must be <= {model.signature.max_batch_size} for "
            f"'{model.name}'"
        )


def _dimensions(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def _check_content(item: Any, raw: bytes, model: ServedModel, prefix: str) -> None:
    """Check that the content has the number of elements of the shape."""
    count = math.prod(item.shape)
    if model.signature.max_batch_size > 0:
        # An empty batch is checked as if the shape had no batch dimension.
        count = math.prod(item.shape[1:]) * (_batch(item.shape) or 1)
    if item.datatype != "BYTES":
        expected = _signed(DATATYPES[item.datatype].size * count, 64)
        if len(raw) != expected:
            raise invalid(
                f"{prefix}input byte size mismatch for input '{item.name}' for model '{model.name}'. "
                f"Expected {expected}, got {len(raw)}"
            )
        return
    subject = f"for inference input '{item.name}'"
    found = position = length = missing = 0
    while position < len(raw):
        if len(raw) - position < _PREFIX:
            raise invalid(
                f"{prefix}incomplete string length indicator {subject} for model '{model.name}', expecting "
                f"{_PREFIX} bytes but only {len(raw) - position} bytes available. Please make sure the "
                "string length indicator is in one buffer."
            )
        length = int.from_bytes(raw[position : position + _PREFIX], "little")
        position += _PREFIX + length
        missing = position - len(raw)
        found += 1
    if found > count:
        raise invalid(
            f"{prefix}unexpected number of string elements {found} {subject} for model '{model.name}', "
            f"expecting {count}"
        )
    if found < count:
        raise invalid(
            f"{prefix}expected {count} string elements {subject} for model '{model.name}', got {found}"
        )
    if missing > 0:  # only the model itself can tell
        raise StatusError(
            "INVALID_ARGUMENT",
            f"incomplete string data {subject}, expecting string of length {length} but only "
            f"{length - missing} bytes available",
            reached_model=True,
        )
