"""From a streamed request to its session: find the model, encode the inputs, and refuse what the model cannot do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from nupic_client._core.calls.flows import READ_CLOCK, Flow
from nupic_client._core.calls.observation import observed
from nupic_client._core.calls.opening import ask_first
from nupic_client._core.inference.session import InferenceSession
from nupic_client.timeouts import NO_RETRIES

if TYPE_CHECKING:
    from nupic_client._arrays import ArrayLike
    from nupic_client._core.calls.auth import Bearer
    from nupic_client._core.calls.models import ModelDirectory
    from nupic_client._core.calls.observation import Observation
    from nupic_client._core.calls.watch import Watch
    from nupic_client._core.inference.request import InferenceRequest
    from nupic_client._core.inference.session import OnEnd

__all__ = ["open_inference_stream"]


def open_inference_stream(
    request: InferenceRequest,
    inputs: Mapping[str, ArrayLike] | ArrayLike,
    models: ModelDirectory,
    *,
    bearer: Bearer | None = None,
    on_end: OnEnd | None = None,
    once: bool = False,
    watch: Watch | None = None,
) -> Flow[InferenceSession]:
    """Make the session of a stream; the server is asked for the model's signature if it is not known yet.

    Args:
        request: the request without its inputs.
        inputs: of the caller.
        models: the client's knowledge of the server's models; extended here.
        bearer: adds the token to the metadata.
        on_end: called once with the session when the stream has ended, however it ended; must not raise.
        once: whether the request must not be sent again; the questions before it may be.
        watch: tells an observer of the request; None without one.

    Returns:
        The session. Its clock starts before the server is asked.

    Raises:
        ConfigurationError: the inputs do not fit the model; they were not sent.
        RequestError: the server does not have the model, or could not be asked.
    """
    make = partial(_open, request, inputs, models, bearer, on_end, once)
    return make(None) if watch is None else observed(watch, make, **request.facts())


def _open(
    request: InferenceRequest,
    inputs: Mapping[str, ArrayLike] | ArrayLike,
    models: ModelDirectory,
    bearer: Bearer | None,
    on_end: OnEnd | None,
    once: bool,  # noqa: FBT001
    observation: Observation | None,
) -> Flow[InferenceSession]:
    start: float = yield READ_CLOCK
    options = request.options
    signature = yield from ask_first(
        models.streamed(request.model, options),
        options,
        model=request.model.server_name,
        target=request.target,
        request_id=options.request_id or "",
        observation=observation,
    )
    if once:
        request = replace(request, options=replace(options, retry=NO_RETRIES))
    codec = request.codec(signature)
    message = codec.write(inputs, options.request_id or "")
    # A refusal may mean that the server has loaded another version of the model: the next request asks again.
    return InferenceSession(
        request,
        codec,
        message,
        start,
        bearer=bearer,
        on_end=on_end,
        on_signature_changed=partial(models.forget, request.model.server_name),
        observation=observation,
    )
