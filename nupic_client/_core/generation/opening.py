"""From a request to its session: find the model, build the message, and refuse what the model cannot do."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nupic_client._core.calls.flows import READ_CLOCK, Attempts, Flow, Invoke, with_deadline
from nupic_client._core.calls.models import streaming_twin
from nupic_client._core.calls.observation import named_session, observed, observing_failure
from nupic_client._core.calls.opening import ask_first
from nupic_client._core.generation.session import GenerationSession
from nupic_client._core.kserve import wire
from nupic_client.backends.detect import detect
from nupic_client.errors import ConfigurationError, RequestError

if TYPE_CHECKING:
    from nupic_client._core.calls.models import ModelDirectory
    from nupic_client._core.calls.observation import Observation
    from nupic_client._core.generation.request import GenerationRequest
    from nupic_client._core.generation.request_cache import RequestCache
    from nupic_client._core.generation.session import OnEnd
    from nupic_client.model_spec import ModelSpec
    from nupic_client.results import Generation
    from nupic_client.signature import ModelSignature

__all__ = ["ask_model", "generate_unary", "open_stream"]


def open_stream(
    request: GenerationRequest,
    models: ModelDirectory,
    cache: RequestCache,
    on_end: OnEnd | None = None,
    *,
    kind: type[GenerationSession] = GenerationSession,
) -> Flow[GenerationSession]:
    """Make the session of a stream; the server is asked for the model's signature if it is not known yet.

    Args:
        request: the generation.
        models: the client's knowledge of the server's models; extended here.
        cache: of the client.
        on_end: called once with the session when the generation has ended, however it ended; must not raise.
        kind: the class of the session.

    Returns:
        The session. Its clock starts before the server is asked.

    Raises:
        ConfigurationError: the model cannot stream, or cannot do what is asked; the request was not sent.
        UnknownModelError: the name may mean several models of the server.
        RequestError: the server does not have the model, or could not be asked.
    """
    if request.watch is None:
        return _open_stream(request, models, cache, on_end, kind, None)
    make = partial(_open_stream, request, models, cache, on_end, kind)
    return observed(request.watch, make, **_facts_of(request))


def _facts_of(request: GenerationRequest) -> dict[str, Any]:
    """Return the facts of a request for an observer."""
    form = request.options.output_format
    return {
        "model": request.model.name,
        "target": request.target,
        "request_id": request.request_id,
        "chat": request.chat,
        "sampling": request.options.sampling,
        "session": named_session(request.options.session),
        "output_type": form and ("json" if form.is_json else "text"),
    }


def _tell_question(request: GenerationRequest, observation: Observation) -> None:
    """Keep what is said in a request for observers that want to know."""
    if request.watch is not None and request.watch.wants_content:
        observation.asked(request.messages if request.chat else request.prompt, request.options.tools)


def _open_stream(
    request: GenerationRequest,
    models: ModelDirectory,
    cache: RequestCache,
    on_end: OnEnd | None,
    kind: type[GenerationSession],
    observation: Observation | None,
) -> Flow[GenerationSession]:
    if observation is not None:
        _tell_question(request, observation)
    start: float = yield READ_CLOCK
    model, signature = models.known(request.model, request.options)
    if signature is None or not signature.decoupled:
        model, signature = yield from ask_model(request, models, observation)
    if model is not request.model:
        request = replace(request, model=model)
    if request.answer is not None:
        kind = _with_parts(kind)
    # A refusal may mean that the server has loaded another version of the model: the next request asks again.
    return kind(
        request,
        cache.wire_request(request, signature),
        start,
        on_end=on_end,
        on_signature_changed=partial(models.forget, model.server_name),
        observation=observation,
    )


def _with_parts(kind: type[GenerationSession]) -> type[GenerationSession]:
    from nupic_client._core.generation.answer_session import with_parts  # noqa: PLC0415 - few answers have parts

    return with_parts(kind)


def ask_model_observed(
    request: GenerationRequest, models: ModelDirectory
) -> Flow[tuple[ModelSpec, ModelSignature]]:
    """Ask for the model of many requests, and tell an observer if that fails: as of one request."""
    flow = ask_model(request, models)
    return flow if request.watch is None else observing_failure(request.watch, flow, **_facts_of(request))


def ask_model(
    request: GenerationRequest, models: ModelDirectory, observation: Observation | None = None
) -> Flow[tuple[ModelSpec, ModelSignature]]:
    """Ask the server for the model that streams, and its signature.

    Args:
        request: the generation.
        models: as of `open_stream`.
        observation: told of retries; None without an observer.

    Raises:
        ConfigurationError: as `open_stream`.
        UnknownModelError: as `open_stream`.
        RequestError: as `open_stream`.
    """
    return (
        yield from ask_first(
            _streaming_model(request, models),
            request.options,
            model=request.model.server_name,
            target=request.target,
            request_id=request.request_id,
            observation=observation,
        )
    )


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
    if request.watch is None:
        return _generate_within(request, models, cache, None)
    return observed(request.watch, partial(_generate_within, request, models, cache), **_facts_of(request))


def _generate_within(
    request: GenerationRequest, models: ModelDirectory, cache: RequestCache, observation: Observation | None
) -> Flow[Generation | GenerationSession]:
    """Generate a text within the deadline."""
    if observation is not None:
        _tell_question(request, observation)
    options = request.options
    flow = _generate(request, models, cache, observation)
    return (yield from with_deadline(flow, options.timeouts.total, options.retry, observation))


def _generate(
    request: GenerationRequest, models: ModelDirectory, cache: RequestCache, observation: Observation | None
) -> Flow[Generation | GenerationSession]:
    start: float = yield READ_CLOCK
    signature = yield from models.unary(
        request.model, request.options, target=request.target, request_id=request.request_id
    )
    forget = partial(models.forget, request.model.server_name)
    request = replace(request, model=replace(request.model, server_name=signature.name), stream=False)
    wire_request = cache.wire_request(request, signature)
    kind = GenerationSession if request.answer is None else _with_parts(GenerationSession)
    session = kind(request, wire_request, start, on_signature_changed=forget, observation=observation)
    if signature.decoupled:
        return session
    del session.message.parameters[wire.EMPTY_FINAL_PARAMETER]  # only streams have a final response
    attempts = Attempts(start, signature.name, session.affinity)
    if observation is not None:
        observation.sent(signature.name, attempts)
    try:
        invoke = Invoke("ModelInfer", session.message, None, request.options.metadata, attempts)
        response = wire.parse_infer_response((yield invoke))
    except RequestError as error:
        now: float = yield READ_CLOCK
        session.took(attempts, failed=True)
        raise session.failed(error, now) from error.__cause__
    now = yield READ_CLOCK
    session.took(attempts)
    session.receive(response, now, whole=True)
    session.ended(now)
    return session.result()
