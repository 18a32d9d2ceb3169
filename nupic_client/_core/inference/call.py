"""One request with one answer: find the model, write the request, read the response. Nothing here waits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from nupic_client._core.calls.flows import READ_CLOCK, Flow
from nupic_client._core.calls.observation import observed
from nupic_client.errors import RequestRejectedError

if TYPE_CHECKING:
    from nupic_client._arrays import ArrayLike
    from nupic_client._core.calls.models import ModelDirectory
    from nupic_client._core.calls.observation import Observation
    from nupic_client._core.calls.watch import Watch
    from nupic_client._core.inference.request import InferenceRequest
    from nupic_client._core.inference.result import InferenceResult

__all__ = ["infer", "infer_observed"]


def infer(
    request: InferenceRequest,
    inputs: Mapping[str, ArrayLike] | ArrayLike,
    models: ModelDirectory,
    observation: Observation | None = None,
) -> Flow[InferenceResult]:
    """Send one request and return its result; the deadline covers the question for the signature too.

    Args:
        request: the request without its inputs.
        inputs: of the caller.
        models: the client's knowledge of the server's models; extended here.
        observation: told of the request; None without an observer.

    Raises:
        ConfigurationError: the inputs do not fit the model; they were not sent.
        RequestError: the request failed.
    """
    options = request.options
    start: float = yield READ_CLOCK
    signature = models.known_unary(request.model, options)
    asked = signature is None
    if signature is None:
        signature = yield from request.find_model(models, observation)
    codec = request.codec(signature)
    request_id = (observation and observation.request_id) or options.request_id or request.new_id()
    message = codec.write(inputs, request_id)
    try:
        return (
            yield from request.send(codec, message, request_id, start, asked=asked, observation=observation)
        )
    except RequestRejectedError:
        # The server may have loaded another version of the model: the next request asks again.
        models.forget(request.model.server_name)
        raise


def infer_observed(
    request: InferenceRequest,
    inputs: Mapping[str, ArrayLike] | ArrayLike,
    models: ModelDirectory,
    watch: Watch,
) -> Flow[InferenceResult]:
    """Do the same as `infer`, and tell an observer of it."""
    return observed(watch, partial(infer, request, inputs, models), **request.facts())
