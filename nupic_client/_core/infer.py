"""One request and its one answer: find the model, encode inputs, decode the response. Nothing here waits."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from nupic_client._core import flows, wire
from nupic_client._core.arrays import encode_inputs
from nupic_client._core.exchange import Exchange
from nupic_client._core.locate import locate
from nupic_client._core.tensors import ArrayLike
from nupic_client.errors import RequestError, RequestRejectedError

if TYPE_CHECKING:
    from nupic_client._core.draft import Draft
    from nupic_client._core.infer_draft import InferDraft
    from nupic_client._core.infer_result import InferenceResult
    from nupic_client.backends.signature import ModelSignature
    from nupic_client.results import Generation

__all__ = ["complete", "infer"]


def infer(
    draft: InferDraft,
    inputs: Mapping[str, ArrayLike] | ArrayLike,
    signatures: MutableMapping[str, ModelSignature],
) -> flows.Flow[InferenceResult]:
    """Send one request and return its result; the deadline covers the question for the signature too.

    Raises:
        ConfigurationError: the inputs do not fit the model; they were not sent.
        RequestError: the request failed.
    """
    flow = _infer(draft, inputs, signatures)
    return (yield from flows.within(flow, draft.timeout, draft.options.retries))


def _infer(
    draft: InferDraft,
    inputs: Mapping[str, ArrayLike] | ArrayLike,
    signatures: MutableMapping[str, ModelSignature],
) -> flows.Flow[InferenceResult]:
    start: float = yield flows.ReadClock()
    signature = yield from locate(draft.model, draft.options, signatures)
    prepared = draft.prepare(signature, encode_inputs(signature, inputs))
    now: float = yield flows.ReadClock()
    left = None if draft.timeout is None else max(draft.timeout - (now - start), 0.0)
    try:
        return (yield from draft.call(prepared, left))
    except RequestRejectedError:
        # It may have loaded another version since it was asked: ask again the next time.
        signatures.pop(draft.model.server_name, None)
        raise


def complete(
    draft: Draft, signatures: MutableMapping[str, ModelSignature]
) -> flows.Flow[Generation | Exchange]:
    """Generate a text without streaming.

    Returns:
        The generation of a model that answers at once; for one that streams the exchange, to be sent as a
        stream and read to its end.

    Raises:
        ConfigurationError: the model cannot do what is asked; nothing was sent.
        RequestError: the generation failed.
    """
    flow = _complete(draft, signatures)
    return (yield from flows.within(flow, draft.options.timeouts.total, draft.options.retries))


def _complete(
    draft: Draft, signatures: MutableMapping[str, ModelSignature]
) -> flows.Flow[Generation | Exchange]:
    start: float = yield flows.ReadClock()
    signature = yield from locate(draft.model, draft.options, signatures)
    model = replace(draft.model, server_name=signature.name)
    exchange = Exchange(replace(draft, model=model, stream=False).prepare(signature), start)
    exchange.on_misfit = partial(signatures.pop, draft.model.server_name, None)
    request = exchange.request
    if signature.decoupled:
        return exchange
    request.message.ClearField("parameters")  # they ask for the end of a stream
    try:
        now: float = yield flows.ReadClock()
        response = yield flows.Invoke(
            "ModelInfer",
            request.message,
            exchange.remaining(now),
            request.metadata,
            exchange.count_attempt,
        )
    except RequestError as error:
        now = yield flows.ReadClock()
        raise exchange.failed(error, now) from error.__cause__
    now = yield flows.ReadClock()
    exchange.receive(wire.as_last_of_stream(response), now)
    exchange.ended(now)
    return exchange.result()
