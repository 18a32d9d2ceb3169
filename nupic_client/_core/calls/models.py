"""Find the model that answers at once: the one that was named, or its twin."""

from __future__ import annotations

from collections.abc import Generator, MutableMapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nupic_client._core.calls import flows
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.signature_messages import signature_from_config, signature_from_metadata
from nupic_client.errors import ModelUnavailableError, RequestError, RequestRejectedError
from nupic_client.logs import log_outcome
from nupic_client.naming import unary_name

if TYPE_CHECKING:
    from nupic_client._core.generation.request import CallOptions
    from nupic_client.registry import ModelSpec
    from nupic_client.signature import ModelSignature

__all__ = ["resolve_model", "wait_until_ready"]


def resolve_model(
    model: ModelSpec, options: CallOptions, signatures: MutableMapping[str, ModelSignature]
) -> flows.Flow[ModelSignature]:
    """Find the model to ask and its signature: asked for once, then remembered.

    NuPIC gives a GPT that streams the name of its twin that answers at once with ``.streaming`` behind it.
    That twin is meant here, if the server has it; else the one that streams is.

    Args:
        model: what the caller named.
        options: timeout and metadata.
        signatures: those known so far, by the name that was looked for; completed in place.

    Returns:
        The signature; its name is the one to send.

    Raises:
        RequestError: the server does not have the model or could not be asked.
    """
    name = model.server_name
    found = options.signature or signatures.get(name)
    if found is None:
        twin = unary_name(name)
        try:
            try:
                found = yield from _describe(twin, model.version, options)
            except ModelUnavailableError:
                if twin == name:
                    raise
                found = yield from _describe(name, model.version, options)
        except RequestError as error:
            error.model = error.model or name
            error.request_id = error.request_id or options.request_id or ""
            if isinstance(error, ModelUnavailableError) and error.status == "NOT_FOUND" and model.hint:
                error.message = f"{error.message}; {model.hint}"
            log_outcome(error.model, error.request_id, error, attempts=error.attempts)
            raise
        signatures[name] = found
    return found


def _describe(name: str, version: str, options: CallOptions) -> flows.Flow[ModelSignature]:
    """Do as `flows.describe_model`, but take the models of a server without ModelConfig to answer at once."""
    timeout = options.timeouts.total
    metadata = tuple(options.metadata.items())
    try:
        request = wire.pb.ModelConfigRequest(name=name, version=version)
        response = yield flows.Invoke("ModelConfig", request, timeout, metadata)
        signature = signature_from_config(response.config)
    except RequestRejectedError as error:
        if error.status != "UNIMPLEMENTED":
            raise
        request = wire.pb.ModelMetadataRequest(name=name, version=version)
        response = yield flows.Invoke("ModelMetadata", request, timeout, metadata)
        signature = replace(signature_from_metadata(response), decoupled=False)
    return replace(signature, name=name)


def wait_until_ready(
    model: ModelSpec, *, timeout: float | None, target: str, metadata: flows.Metadata
) -> flows.Flow[None]:
    """Poll until the server and the model, or its twin that answers at once, are ready.

    Raises:
        DeadlineExceededError: not ready in time; it says what was missing.
        RequestError: waiting cannot help.
    """
    name = model.server_name
    waiting: Generator[flows.Command, Any, None] = flows.wait_until_ready(
        name, timeout=timeout, target=target, metadata=metadata
    )
    twin = unary_name(name)
    reply: Any = None
    failure: Exception | None = None
    while True:
        try:
            command = waiting.throw(failure) if failure is not None else waiting.send(reply)
        except StopIteration:
            return
        reply = failure = None
        try:
            if isinstance(command, flows.Invoke) and command.method == "ModelReady" and twin != name:
                reply = yield replace(command, request=wire.pb.ModelReadyRequest(name=twin))
                if reply.ready:
                    continue
            reply = yield command
        except RequestError as error:
            failure = error
