"""Answers as tritonclient gets them, to compare those of this client with."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import tritonclient.grpc as tritonclient

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["array_facts", "tritonclient_answer", "tritonclient_stream"]

TIMEOUT = 20


def array_facts(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return all that can be compared of arrays, by name."""
    return {name: _array_facts(array) for name, array in arrays.items()}


def _array_facts(array: np.ndarray) -> tuple[str, tuple[int, ...], Any]:
    if (
        array.dtype == ml_dtypes.bfloat16
    ):  # tritonclient's; this client makes float32 of it, with the same values
        array = array.astype(np.float32)
    return array.dtype.str, array.shape, array.tolist()


def tritonclient_answer(
    url: str,
    model: str,
    inputs: Mapping[str, np.ndarray],
    outputs: Iterable[str] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return the facts of what tritonclient gets for a request."""
    asked = None if outputs is None else [tritonclient.InferRequestedOutput(name) for name in outputs]
    with tritonclient.InferenceServerClient(url) as client:
        result = client.infer(model, _tensors(client, model, inputs), outputs=asked, **options)
        return _facts(result)


def tritonclient_stream(
    url: str,
    model: str,
    inputs: Mapping[str, np.ndarray],
    outputs: Iterable[str] | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Return the facts of what tritonclient gets for a streamed request, without its empty final response."""
    answers: queue.Queue[Any] = queue.Queue()
    asked = None if outputs is None else [tritonclient.InferRequestedOutput(name) for name in outputs]
    found = []
    with tritonclient.InferenceServerClient(url) as client:
        tensors = _tensors(client, model, inputs)
        client.start_stream(lambda result, error: answers.put((result, error)))
        client.async_stream_infer(model, tensors, outputs=asked, enable_empty_final_response=True, **options)
        while True:
            result, error = answers.get(timeout=TIMEOUT)
            assert error is None, error
            if result.get_response().outputs:
                found.append(_facts(result))
            if result.get_response().parameters["triton_final_response"].bool_param:
                break
        client.stop_stream()
    return found


def _tensors(client: Any, model: str, inputs: Mapping[str, np.ndarray]) -> list[Any]:
    datatypes = {spec.name: spec.datatype for spec in client.get_model_metadata(model).inputs}
    tensors = []
    for name, array in inputs.items():
        tensor = tritonclient.InferInput(name, array.shape, datatypes[name])
        tensor.set_data_from_numpy(array.astype(ml_dtypes.bfloat16) if datatypes[name] == "BF16" else array)
        tensors.append(tensor)
    return tensors


def _facts(result: Any) -> dict[str, Any]:
    names = [output.name for output in result.get_response().outputs]
    return array_facts({name: result.as_numpy(name) for name in names})
