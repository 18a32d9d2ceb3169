"""Find the model that a short name means on a server, when the registry does not know it."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import replace
from functools import partial

from nupic_client._core.calls.flows import Flow, Invoke, Metadata, ReadClock, with_deadline
from nupic_client._core.generation.request import GenerationRequest, start_generation, start_with
from nupic_client._core.generation.session import GenerationSession
from nupic_client._core.kserve import wire
from nupic_client.errors import DeadlineExceededError, ModelUnavailableError, RequestError, UnknownModelError
from nupic_client.logs import log_outcome
from nupic_client.naming import parse_model_name
from nupic_client.signature import ModelSignature
from nupic_client.timeouts import Timeouts

__all__ = ["candidates", "start_or_discover"]


def start_or_discover(
    request: GenerationRequest,
    signatures: MutableMapping[str, ModelSignature],
    found: MutableMapping[str, str],
) -> Flow[GenerationSession]:
    """Do what `start_generation` does; a name that neither registry nor server know is looked for on the server.

    A short name such as ``"zephyr"`` means the one model there that streams and has it in its name. That costs one round
    trip, once.

    Args:
        request: what is wanted.
        signatures: those known so far; completed in place.
        found: short names found so far and the models they mean; completed in place.

    Raises:
        UnknownModelError: several models have the name in theirs; lists them.
        ModelUnavailableError: none has; lists what streams there.
    """
    options = request.options
    start: float = yield ReadClock()
    short = request.model.server_name in found
    if short:
        request = _renamed(request, found[request.model.server_name])
    signature = options.signature or signatures.get(request.model.server_name)
    if signature is not None and signature.decoupled:  # nothing to ask: the usual way, and the short one
        return start_with(request, signature, signatures, start)
    limit = _patience(options.timeouts)
    asking = start_generation if short else partial(_start, found=found)
    try:
        return (yield from with_deadline(asking(request, signatures, start=start), limit, options.retry))
    except RequestError as error:
        if isinstance(error, DeadlineExceededError) and limit is not None:
            _explain(error, limit, options.timeouts)
        log_outcome(request.model.server_name, request.request_id, error, attempts=error.attempts)
        raise


def _patience(timeouts: Timeouts) -> float | None:
    """Return how long the questions before the request may take: a server that never answers them never begins either."""
    if timeouts.first_token is None:
        return timeouts.total
    first_token = timeouts.first_token + (timeouts.connect or 0.0)  # the connection may have to be made first
    return first_token if timeouts.total is None else min(first_token, timeouts.total)


def _explain(error: DeadlineExceededError, limit: float, timeouts: Timeouts) -> None:
    error.limit = limit
    error.deadline = "total" if limit == timeouts.total else "first_token"
    words = "timeout" if limit == timeouts.total else "first_token and connect timeouts"
    error.message = f"the server did not say within {limit:g} s what the model takes and gives ({words})"


def _start(
    request: GenerationRequest,
    signatures: MutableMapping[str, ModelSignature],
    *,
    found: MutableMapping[str, str],
    start: float,
) -> Flow[GenerationSession]:
    name = request.model.server_name
    try:
        return (yield from start_generation(request, signatures, start))
    except ModelUnavailableError as error:
        # One that may work if it is tried again is there, but not loaded now: another must not answer for it.
        if error.status != "NOT_FOUND" or error.retryable or request.model.registered:
            raise
        metadata = tuple(request.options.metadata.items())
        names = yield from _ready_models(request.options.timeouts.total, metadata)
        if names is None:
            raise
        matches = candidates(name, names)
        if not matches:
            error.message = f"{error.message}. {_streaming_there(names)}"
            raise
        if len(matches) > 1:
            raise UnknownModelError(
                f"{name!r} may mean several models of the server {request.target}: {', '.join(map(repr, matches))}."
                " Name one of them",
                model=name,
                known=tuple(matches),
            ) from None
    found[name] = matches[0]
    return (yield from start_generation(_renamed(request, matches[0]), signatures, start))


def candidates(name: str, models: list[str]) -> list[str]:
    """Return the models that a short name may mean: those that stream and have it in their name.

    Args:
        name: the short name; upper and lower case are the same.
        models: the server's names.
    """
    streaming = [model for model in models if parse_model_name(model).streaming]
    exact = [model for model in streaming if parse_model_name(model).family.lower() == name.lower()]
    return exact or [model for model in streaming if name.lower() in model.lower()]


def _renamed(request: GenerationRequest, server_name: str) -> GenerationRequest:
    return replace(request, model=replace(request.model, server_name=server_name))


def _streaming_there(names: list[str]) -> str:
    streaming = [name for name in names if parse_model_name(name).streaming]
    if not streaming:
        return "No model there has a name that ends in '.streaming'"
    return f"These models stream there: {', '.join(streaming)}"


def _ready_models(timeout: float | None, metadata: Metadata) -> Flow[list[str] | None]:
    """Ask for the names of the models that are ready; None where the server does not tell."""
    try:
        request = wire.pb.RepositoryIndexRequest(ready=True)
        index = yield Invoke("RepositoryIndex", request, timeout, metadata)
    except RequestError:
        return None
    return sorted({entry.name for entry in index.models})
