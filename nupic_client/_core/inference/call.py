"""One request and its one answer: find the model, encode inputs, decode the response. Nothing here waits."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from nupic_client._core.calls import flows
from nupic_client._core.calls.models import resolve_model
from nupic_client._core.generation.session import GenerationSession
from nupic_client._core.inference.arrays import ArrayLike
from nupic_client._core.inference.inputs import encode_inputs
from nupic_client._core.kserve import wire
from nupic_client.errors import RequestError, RequestRejectedError

if TYPE_CHECKING:
    from nupic_client._core.generation.request import GenerationRequest
    from nupic_client._core.inference.request import InferenceRequest
    from nupic_client._core.inference.result import InferenceResult
    from nupic_client.results import Generation
    from nupic_client.signature import ModelSignature

__all__ = ["complete", "infer"]


def infer(
    request: InferenceRequest,
    inputs: Mapping[str, ArrayLike] | ArrayLike,
    signatures: MutableMapping[str, ModelSignature],
) -> flows.Flow[InferenceResult]:
    """Send one request and return its result; the deadline covers the question for the signature too.

    Raises:
        ConfigurationError: the inputs do not fit the model; they were not sent.
        RequestError: the request failed.
    """
    flow = _infer(request, inputs, signatures)
    return (yield from flows.with_deadline(flow, request.timeout, request.options.retry))


def _infer(
    request: InferenceRequest,
    inputs: Mapping[str, ArrayLike] | ArrayLike,
    signatures: MutableMapping[str, ModelSignature],
) -> flows.Flow[InferenceResult]:
    start: float = yield flows.ReadClock()
    signature = yield from resolve_model(request.model, request.options, signatures)
    prepared = request.prepare(signature, encode_inputs(signature, inputs))
    now: float = yield flows.ReadClock()
    left = None if request.timeout is None else max(request.timeout - (now - start), 0.0)
    try:
        return (yield from request.call(prepared, left))
    except RequestRejectedError:
        # It may have loaded another version since it was asked: ask again the next time.
        signatures.pop(request.model.server_name, None)
        raise


def complete(
    request: GenerationRequest, signatures: MutableMapping[str, ModelSignature]
) -> flows.Flow[Generation | GenerationSession]:
    """Generate a text without streaming.

    Returns:
        The generation of a model that answers at once; for one that streams the session, to be sent as a
        stream and read to its end.

    Raises:
        ConfigurationError: the model cannot do what is asked; nothing was sent.
        RequestError: the generation failed.
    """
    flow = _complete(request, signatures)
    return (yield from flows.with_deadline(flow, request.options.timeouts.total, request.options.retry))


def _complete(
    request: GenerationRequest, signatures: MutableMapping[str, ModelSignature]
) -> flows.Flow[Generation | GenerationSession]:
    start: float = yield flows.ReadClock()
    signature = yield from resolve_model(request.model, request.options, signatures)
    model = replace(request.model, server_name=signature.name)
    session = GenerationSession(replace(request, model=model, stream=False).prepare(signature), start)
    session.on_signature_changed = partial(signatures.pop, request.model.server_name, None)
    wire_request = session.request
    if signature.decoupled:
        return session
    wire_request.message.ClearField("parameters")  # they ask for the end of a stream
    try:
        now: float = yield flows.ReadClock()
        response = yield flows.Invoke(
            "ModelInfer",
            wire_request.message,
            session.remaining(now),
            wire_request.metadata,
            session.count_attempt,
        )
    except RequestError as error:
        now = yield flows.ReadClock()
        raise session.failed(error, now) from error.__cause__
    now = yield flows.ReadClock()
    session.receive(wire.as_last_of_stream(response), now)
    session.ended(now)
    return session.result()
