"""One request with one answer: find the model, encode the inputs, decode the response. Nothing here waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nupic_client._core.calls.flows import Flow, with_deadline
from nupic_client._core.inference.inputs import encode_inputs
from nupic_client._core.kserve.arrays import ArrayLike
from nupic_client.errors import RequestRejectedError

if TYPE_CHECKING:
    from nupic_client._core.calls.models import ModelDirectory
    from nupic_client._core.inference.request import InferenceRequest
    from nupic_client._core.inference.result import InferenceResult

__all__ = ["infer"]


def infer(
    request: InferenceRequest, inputs: Mapping[str, ArrayLike] | ArrayLike, models: ModelDirectory
) -> Flow[InferenceResult]:
    """Send one request and return its result; the deadline covers the question for the signature too.

    Args:
        request: the request without its inputs.
        inputs: of the caller.
        models: the client's knowledge of the server's models; extended here.

    Raises:
        ConfigurationError: the inputs do not fit the model; they were not sent.
        RequestError: the request failed.
    """
    flow = _infer(request, inputs, models)
    return (yield from with_deadline(flow, request.timeout, request.options.retry))


def _infer(
    request: InferenceRequest, inputs: Mapping[str, ArrayLike] | ArrayLike, models: ModelDirectory
) -> Flow[InferenceResult]:
    signature = yield from request.find_model(models)
    serialized = request.serialize(signature, encode_inputs(signature, inputs))
    try:
        return (yield from request.call(serialized))
    except RequestRejectedError:
        # The server may have loaded another version of the model: the next request asks again.
        models.forget(request.model.server_name)
        raise
