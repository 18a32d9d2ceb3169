"""Which model of the server a name means, and its signature: asked once, then remembered.

Three rules read a name. The registry (`nupic_client.registry`) turns a friendly name into the server's; NuPIC's
suffix ``.streaming`` (`nupic_client.naming`) gives a model a twin; and the server knows which of the two it has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from nupic_client._core.calls.flows import Flow, Invoke, Metadata, completing
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.signature_messages import signature_from_config, signature_from_metadata
from nupic_client.errors import (
    ModelUnavailableError,
    RequestError,
    RequestRejectedError,
    UnknownModelError,
)
from nupic_client.logs import log_outcome
from nupic_client.naming import parse_model_name, streaming_name, unary_name

if TYPE_CHECKING:
    from nupic_client._core.calls.options import CallOptions
    from nupic_client.model_spec import ModelSpec
    from nupic_client.signature import ModelSignature

__all__ = ["ModelDirectory", "candidates", "describe_model", "streaming_twin"]


class ModelDirectory:
    """The models of a server, as far as one client knows them. Thread-safe: two threads may ask for the same signature."""

    __slots__ = ("_short_names", "_signatures", "_streamed")

    def __init__(self) -> None:
        self._signatures: dict[str, ModelSignature] = {}
        self._streamed: dict[str, ModelSignature] = {}
        """Those of `streamed` whose name has another meaning elsewhere."""
        self._short_names: dict[str, str] = {}

    def known(self, model: ModelSpec, options: CallOptions) -> tuple[ModelSpec, ModelSignature | None]:
        """Return the model with the server's name, and its signature if that is known without asking.

        Args:
            model: the model as the caller named it.
            options: of the call; a signature in them takes precedence over a remembered one.
        """
        full_name = self._short_names.get(model.server_name)
        if full_name is not None:
            model = replace(model, server_name=full_name)
        return model, options.signature or self._signatures.get(model.server_name)

    def remember(self, model: ModelSpec, signature: ModelSignature) -> None:
        """Keep a signature, so that the server is not asked for it again.

        Args:
            model: as `streaming` returned it.
            signature: as `streaming` returned it.
        """
        self._signatures[model.server_name] = signature

    def forget(self, name: str) -> None:
        """Drop a signature, so that it is asked for again: the server may have loaded another version of the model.

        Args:
            name: the server's name of the model.
        """
        self._signatures.pop(name, None)
        self._streamed.pop(name, None)

    def streaming(
        self, model: ModelSpec, options: CallOptions, target: str
    ) -> Flow[tuple[ModelSpec, ModelSignature]]:
        """Find the model for a stream. If neither the registry nor the server knows the name, it may be a short one.

        A short name such as ``"zephyr"`` means the one model that streams and has it in its name. Finding that model
        takes one round trip, once.

        Args:
            model: the model as the caller named it.
            options: of the call.
            target: the server, for error texts.

        Returns:
            The model under the server's name, and its signature.

        Raises:
            UnknownModelError: the short name fits several models; the message lists them.
            RequestError: the server does not have the model (the message lists those that stream), or could not be asked.
        """
        short_name = model.server_name
        model, signature = self.known(model, options)
        if signature is not None:
            return model, signature
        try:
            signature = yield from describe_model(model.server_name, model.version, metadata=options.metadata)
        except ModelUnavailableError as error:
            # The server has the model but cannot run it now: no other model must answer in its place.
            if error.status != "NOT_FOUND" or error.retryable:
                raise
            error = _with_hint(error, model)
            if model.registered:
                raise error from error.__cause__
            found = yield from _discover(error, model, options, target)
            self._short_names[short_name] = found
            model = replace(model, server_name=found)
            signature = yield from describe_model(found, model.version, metadata=options.metadata)
        return model, signature

    def known_unary(self, model: ModelSpec, options: CallOptions) -> ModelSignature | None:
        """Return the signature that `unary` returns, if it is known without asking."""
        return options.signature or self._signatures.get(model.server_name)

    def unary(
        self, model: ModelSpec, options: CallOptions, *, target: str, request_id: str = ""
    ) -> Flow[ModelSignature]:
        """Find the model for one request with one answer.

        In NuPIC a GPT that streams has the name of its twin that answers at once, followed by ``.streaming``. The twin is
        taken if the server has it, else the model that streams.

        Args:
            model: the model as the caller named it.
            options: of the call.
            target: the server, for error texts.
            request_id: of the request, for error texts.

        Returns:
            The signature; its ``name`` is the model to send the request to.

        Raises:
            RequestError: the server does not have the model or could not be asked.
        """
        name = model.server_name
        signature = self.known_unary(model, options)
        if signature is None:
            flow = _describe_first(model, options.metadata, (unary_name(name), name))
            try:
                signature = yield from completing(flow, model=name, target=target, request_id=request_id)
            except RequestError as error:
                log_outcome(error.model, error.request_id, error, attempts=len(error.attempts))
                raise
            self._signatures[name] = signature
        return signature

    def streamed(self, model: ModelSpec, options: CallOptions) -> Flow[ModelSignature]:
        """Find the model for one request with any number of answers.

        It is the model of that name, if the server has it, else its twin that answers at once.

        Args:
            model: the model as the caller named it.
            options: of the call.

        Returns:
            The signature; its ``name`` is the model to send the request to.

        Raises:
            RequestError: the server does not have the model or could not be asked.
        """
        name, twin = model.server_name, unary_name(model.server_name)
        known = self._signatures if name == twin else self._streamed
        signature = options.signature or known.get(name)
        if signature is None:
            signature = yield from _describe_first(model, options.metadata, (name, twin))
            known[name] = signature
        return signature


def describe_model(
    model: str,
    version: str = "",
    *,
    timeout: float | None = None,
    metadata: Metadata = (),
    decoupled: bool = True,
) -> Flow[ModelSignature]:
    """Ask the server for the signature of a model: one round trip.

    ModelConfig has everything that ModelMetadata has, and more (optional inputs, decoupled). It is an extension of Triton:
    servers without it are asked for ModelMetadata.

    Args:
        model: the server's name of the model.
        version: of the model; empty for the server's choice.
        timeout: seconds for each call, or None.
        metadata: sent with the calls.
        decoupled: the value for models whose server does not say whether they are decoupled.

    Raises:
        ModelUnavailableError: the server does not have the model.
        RequestError: any other failure.
    """
    try:
        request = wire.pb.ModelConfigRequest(name=model, version=version)
        response = yield Invoke("ModelConfig", request, timeout, metadata)
        return signature_from_config(response.config)
    except RequestRejectedError as error:
        if error.status != "UNIMPLEMENTED":
            raise
    request = wire.pb.ModelMetadataRequest(name=model, version=version)
    response = yield Invoke("ModelMetadata", request, timeout, metadata)
    return signature_from_metadata(response, decoupled=decoupled)


def _describe_first(model: ModelSpec, metadata: Metadata, names: Iterable[str]) -> Flow[ModelSignature]:
    """Describe the first of these models that the server has."""
    for candidate in dict.fromkeys(names):
        try:
            signature = yield from describe_model(
                candidate, model.version, metadata=metadata, decoupled=False
            )
            return replace(signature, name=candidate)
        except ModelUnavailableError as error:
            missing = error
    raise _with_hint(missing, model) from missing.__cause__


def streaming_twin(model: ModelSpec, metadata: Metadata) -> Flow[str | None]:
    """Return the name of a model's twin that streams, if the server has it ready."""
    twin = streaming_name(model.server_name)
    if twin == model.server_name:
        return None
    response = yield Invoke("ModelReady", wire.pb.ModelReadyRequest(name=twin), None, metadata)
    return twin if response.ready else None


def candidates(name: str, models: list[str]) -> list[str]:
    """Return the models that a short name may mean: those that stream and have it in their name.

    Args:
        name: the short name; upper and lower case are the same.
        models: the server's names.
    """
    streaming = _that_stream(models)
    wanted = unary_name(name).lower()  # the suffix is in each of the names, so it decides nothing
    exact = [model for model in streaming if parse_model_name(model).family.lower() == wanted]
    return exact or [model for model in streaming if wanted and wanted in unary_name(model).lower()]


def _that_stream(models: list[str]) -> list[str]:
    return [model for model in models if parse_model_name(model).streaming]


def _discover(error: ModelUnavailableError, model: ModelSpec, options: CallOptions, target: str) -> Flow[str]:
    """Return the one model that a short name means; without one, raise the error with a list of the models that stream."""
    try:
        request = wire.pb.RepositoryIndexRequest(ready=True)
        index = yield Invoke("RepositoryIndex", request, None, options.metadata)
    except RequestError:  # a server that does not list its models
        raise error from error.__cause__
    names = sorted({entry.name for entry in index.models})
    matches = candidates(model.server_name, names)
    if len(matches) > 1:
        raise UnknownModelError(
            f"{model.server_name!r} may mean several models of the server {target}: {', '.join(map(repr, matches))}."
            " Name one of them",
            model=model.server_name,
            known=tuple(matches),
        ) from None
    if not matches:
        listing = ", ".join(_that_stream(names))
        streams = (
            f"Models that stream there: {listing}"
            if listing
            else "No model there has a name that ends in '.streaming'"
        )
        raise error.with_facts(message=f"{error.message}. {streams}") from error.__cause__
    return matches[0]


def _with_hint(error: ModelUnavailableError, model: ModelSpec) -> ModelUnavailableError:
    """Add the names of the registry to the error of a model that the server does not have."""
    if error.status != "NOT_FOUND" or error.retryable or not model.hint:
        return error
    return error.with_facts(message=f"{error.message}; {model.hint}")
