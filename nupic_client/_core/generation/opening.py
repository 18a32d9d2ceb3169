"""From a request to its session: find the model, build the message, and refuse what the model cannot do."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from nupic_client._core.calls.flows import Flow, Invoke, ReadClock, completing, with_deadline
from nupic_client._core.calls.models import streaming_twin
from nupic_client._core.generation.session import GenerationSession
from nupic_client._core.kserve.wire import EMPTY_FINAL_PARAMETER
from nupic_client.backends.detect import detect
from nupic_client.errors import ConfigurationError, DeadlineExceededError, RequestError
from nupic_client.logs import log_outcome

if TYPE_CHECKING:
    from nupic_client._core.calls.models import ModelDirectory
    from nupic_client._core.generation.request import GenerationRequest
    from nupic_client._core.generation.request_cache import RequestCache
    from nupic_client._core.generation.session import OnEnd
    from nupic_client.model_spec import ModelSpec
    from nupic_client.results import Generation
    from nupic_client.signature import ModelSignature
    from nupic_client.timeouts import Timeouts

__all__ = ["generate_unary", "open_stream"]


def open_stream(
    request: GenerationRequest,
    models: ModelDirectory,
    cache: RequestCache,
    on_end: OnEnd | None = None,
) -> Flow[GenerationSession]:
    """Make the session of a stream; the server is asked for the model's signature if it is not known yet.

    Args:
        request: the generation.
        models: the client's knowledge of the server's models; extended here.
        cache: of the client.
        on_end: called once with the session when the generation has ended, however it ended; must not raise.

    Returns:
        The session. Its clock starts before the server is asked.

    Raises:
        ConfigurationError: the model cannot stream, or cannot do what is asked; the request was not sent.
        UnknownModelError: the name may mean several models of the server.
        RequestError: the server does not have the model, or could not be asked.
    """
    start: float = yield ReadClock()
    model, signature = models.known(request.model, request.options)
    if signature is None or not signature.decoupled:
        model, signature = yield from _ask_server(request, models)
    if model is not request.model:
        request = replace(request, model=model)
    # A refusal may mean that the server has loaded another version of the model: the next request asks again.
    return GenerationSession(
        request,
        cache.wire_request(request, signature),
        start,
        on_end=on_end,
        on_signature_changed=partial(models.forget, model.server_name),
    )


def _ask_server(request: GenerationRequest, models: ModelDirectory) -> Flow[tuple[ModelSpec, ModelSignature]]:
    """Ask the server which model is meant and whether it streams, within the deadline for the first token."""
    options = request.options
    limit = _question_limit(options.timeouts)
    flow = completing(
        _streaming_model(request, models),
        model=request.model.server_name,
        target=request.target,
        request_id=request.request_id,
    )
    try:
        return (yield from with_deadline(flow, limit, options.retry))
    except RequestError as error:
        failure = _late(error, options.timeouts) if isinstance(error, DeadlineExceededError) else error
        log_outcome(request.model.server_name, request.request_id, failure, attempts=failure.attempts)
        raise failure from error.__cause__


def _streaming_model(
    request: GenerationRequest, models: ModelDirectory
) -> Flow[tuple[ModelSpec, ModelSignature]]:
    model, signature = yield from models.streaming(request.model, request.options, request.target)
    backend = request.backend or detect(signature)
    if not signature.decoupled and request.stream:
        streaming_hint = backend.refuse_streaming(signature)
        if streaming_hint is not None:
            twin = yield from streaming_twin(model, request.options.metadata)
            hint = f"use {twin!r}, which this server has" if twin else streaming_hint
            raise ConfigurationError(
                f"model {model.server_name!r} does not stream (it is not decoupled): {hint}"
            )
    if request.options.signature is None:
        models.remember(model, signature)
    return model, signature


def _question_limit(timeouts: Timeouts) -> float | None:
    """Return the limit for the questions before the request: waiting for them is waiting for the first token."""
    if timeouts.first_token is None:
        return timeouts.total
    first_token = timeouts.first_token + (timeouts.connect or 0.0)  # the connection may have to be made first
    return first_token if timeouts.total is None else min(first_token, timeouts.total)


def _late(error: DeadlineExceededError, timeouts: Timeouts) -> DeadlineExceededError:
    """Return the error of a question that was not answered in time, with the timeout that set its limit."""
    if error.limit is None:
        return error
    total = error.limit == timeouts.total
    names = "timeout" if total else "first_token and connect timeouts"
    return error.with_facts(
        deadline="total" if total else "first_token",
        message=f"the server did not say within {error.limit:g} s what the model takes and gives ({names})",
    )


def generate_unary(
    request: GenerationRequest, models: ModelDirectory, cache: RequestCache
) -> Flow[Generation | GenerationSession]:
    """Generate a text without streaming. Arguments as of `open_stream`.

    Returns:
        The generation of a model that answers at once; for a model that streams the session, to be sent as a stream and
        read to its end.

    Raises:
        ConfigurationError: the model cannot do what is asked; nothing was sent.
        RequestError: the generation failed.
    """
    options = request.options
    return (
        yield from with_deadline(_generate(request, models, cache), options.timeouts.total, options.retry)
    )


def _generate(
    request: GenerationRequest, models: ModelDirectory, cache: RequestCache
) -> Flow[Generation | GenerationSession]:
    start: float = yield ReadClock()
    signature = yield from models.unary(
        request.model, request.options, target=request.target, request_id=request.request_id
    )
    forget = partial(models.forget, request.model.server_name)
    request = replace(request, model=replace(request.model, server_name=signature.name), stream=False)
    wire_request = cache.wire_request(request, signature)
    session = GenerationSession(request, wire_request, start, on_signature_changed=forget)
    if signature.decoupled:
        return session
    del session.message.parameters[EMPTY_FINAL_PARAMETER]  # only streams have a final response
    try:
        response = yield Invoke(
            "ModelInfer", session.message, None, request.options.metadata, session.count_attempt
        )
    except RequestError as error:
        now: float = yield ReadClock()
        raise session.failed(error, now) from error.__cause__
    now = yield ReadClock()
    session.receive(response, now, whole=True)
    session.ended(now)
    return session.result()
