"""The requests and responses of one model as bytes: a repeated one costs a copy of its head and its contents.

Requests for the same model with the same options differ in their id and their contents only, and so do the answers. What was
checked once for some names, data types and shapes is not checked again.

A message is its head, its id and the raw contents. Fields may stand in any order on the wire, so a request has its raw
contents at its end; Triton puts those of a response there too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nupic_client._arrays import ArrayLike
from nupic_client._core.inference.inputs import encode_inputs, single_inputs
from nupic_client._core.inference.response import ResponseReader
from nupic_client._core.kserve import message_bytes, wire
from nupic_client._core.kserve.arrays import DTYPES

if TYPE_CHECKING:
    from nupic_client._core.inference.inputs import EncodedBatch
    from nupic_client._core.inference.request import InferenceRequest
    from nupic_client._core.inference.result import InferenceResult
    from nupic_client.signature import ModelSignature

__all__ = ["InferenceCodec"]

_MOST_HEADS = 256
"""Combinations of shapes that are remembered; texts of any number in a list may bring many."""


class InferenceCodec:
    """Write the requests of one model that have the same options, and read the responses. Thread-safe.

    Args:
        request: the options.
        signature: of the model.

    Raises:
        ConfigurationError: the model cannot do what is asked.
    """

    __slots__ = ("_heads", "_inputs", "_only", "_request", "decode", "read", "signature")

    def __init__(self, request: InferenceRequest, signature: ModelSignature) -> None:
        request.check(signature)
        self.signature: ModelSignature = signature
        self._request = request
        self._inputs = {name: _Input(spec.datatype) for name, spec in signature.inputs.items()}
        single = single_inputs(signature)
        self._only = single[0] if len(single) == 1 else ""
        self._heads: dict[Any, bytes] = {}
        reader = ResponseReader(request, signature.name)
        self.read: Callable[..., InferenceResult] = reader.read
        """As `ResponseReader.read`."""
        self.decode: Callable[..., InferenceResult] = reader.decode
        """As `ResponseReader.decode`."""

    def write(self, inputs: Mapping[str, ArrayLike] | ArrayLike, request_id: str) -> bytes:
        """Return the serialized ``ModelInferRequest`` for these inputs.

        Raises:
            ConfigurationError: they do not fit the model.
        """
        named = inputs if isinstance(inputs, Mapping) else {self._only: inputs} if self._only else None
        found = None if named is None else self._known(named)
        if found is None:
            return self._first(inputs, named, request_id)
        head, parts = found
        return message_bytes.join_request(head, request_id, parts)

    def write_batch(self, batch: EncodedBatch, request_id: str) -> bytes:
        """Return the serialized ``ModelInferRequest`` for inputs that were encoded before."""
        return message_bytes.join_request(
            self._head(batch), request_id, [tensor.contents for tensor in batch.tensors]
        )

    def _known(self, named: Mapping[str, ArrayLike]) -> tuple[bytes, list[Any]] | None:
        """Return the head and the contents of a request like an earlier one; None for any other."""
        key: list[Any] = []
        parts: list[Any] = []
        for name, value in named.items():
            known = self._inputs.get(name)
            shape = None if known is None else known.shape_of(value)
            if known is None or shape is None:
                return None
            key.append(name)
            key.append(shape)
            content = known.content_of(value)
            if content is None:
                return None
            parts.append(content)
        head = self._heads.get(tuple(key))
        return None if head is None else (head, parts)

    def _first(
        self,
        inputs: Mapping[str, ArrayLike] | ArrayLike,
        named: Mapping[str, ArrayLike] | None,
        request_id: str,
    ) -> bytes:
        """Write a request with all checks, and remember what the next one like it need not check."""
        batch = encode_inputs(self.signature, inputs)
        head = self._head(batch)
        if named is not None and self._inputs:
            self._remember(named, batch, head)
        return message_bytes.join_request(head, request_id, [tensor.contents for tensor in batch.tensors])

    def _remember(self, named: Mapping[str, ArrayLike], batch: EncodedBatch, head: bytes) -> None:
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        key: list[Any] = []
        for (name, value), tensor in zip(named.items(), batch.tensors, strict=True):
            shape = self._inputs[name].remember(value, tensor)
            if shape is None:
                return
            key += (name, shape)
        self._heads[tuple(key)] = head

    def _head(self, batch: EncodedBatch) -> bytes:
        request = self._request
        return wire.request_head(
            self.signature.name,
            batch.tensors,
            version=request.model.version,
            outputs=request.outputs,
            parameters=request.parameters,
        )


class _Input:
    """What was found about the values of one input: their shapes as given, and as sent."""

    __slots__ = ("_dtype", "_is_text", "_shapes")

    def __init__(self, datatype: str) -> None:
        self._dtype = DTYPES.get(datatype) if datatype != "BF16" else None
        self._is_text = datatype == "BYTES"
        self._shapes: dict[tuple[int, ...], tuple[int, ...]] = {}

    def shape_of(self, value: ArrayLike) -> tuple[int, ...] | None:
        """Return the shape that a value is sent with, if one like it was sent before."""
        given = self._given(value)
        return None if given is None else self._shapes.get(given)

    def _given(self, value: ArrayLike) -> tuple[int, ...] | None:
        """Return the shape of a value as it is given; None for a kind of value that needs all checks each time."""
        if type(value) is np.ndarray:  # numpy takes None for a data type
            return value.shape if self._dtype is not None and value.dtype == self._dtype else None
        if self._is_text and type(value) is list:
            return (len(value),)
        return () if self._is_text and type(value) is str else None

    def content_of(self, value: ArrayLike) -> Any:
        """Return the raw contents of a value whose shape is known, in parts; None where it needs all checks."""
        if type(value) is np.ndarray:
            return (value if value.flags.c_contiguous else np.ascontiguousarray(value),)
        parts = []
        for text in [value] if type(value) is str else value:
            if type(text) is not str:
                return None
            try:
                element = text.encode()
            except UnicodeEncodeError:
                return None  # the checks say what is wrong
            parts.append(len(element).to_bytes(4, "little"))
            parts.append(element)
        return (b"".join(parts),)

    def remember(self, value: ArrayLike, tensor: wire.EncodedTensor) -> tuple[int, ...] | None:
        """Note the shape of a value that passed all checks; return it where values like it may skip them."""
        given = self._given(value)
        if given is None or tensor.parameters:
            return None
        if type(value) is list and not all(type(text) is str for text in value):  # its lists are dimensions
            return None
        if len(self._shapes) >= _MOST_HEADS:
            self._shapes.clear()
        self._shapes[given] = tensor.shape
        return tensor.shape
