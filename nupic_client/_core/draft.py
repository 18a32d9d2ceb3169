"""A generation as the caller asks for it: options merged and validated, then turned into a request."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from nupic_client._core import flows, wire
from nupic_client._core.exchange import Exchange, PreparedRequest
from nupic_client.backends.plan import Backend, make_tensor
from nupic_client.backends.signature import InputTensor, ModelSignature, TensorValue
from nupic_client.config import Timeouts, check_metadata
from nupic_client.errors import ConfigurationError, DeadlineExceededError, ModelUnavailableError, RequestError
from nupic_client.sampling import OPTION_NAMES, SamplingParams

if TYPE_CHECKING:
    from nupic_client.model_spec import ModelSpec

__all__ = ["CallOptions", "Draft", "GenerateOptions", "start_generation"]


class GenerateOptions(TypedDict, total=False):
    """The keyword options that every generation takes, on the client as defaults or on a call.

    An option set on a call replaces the client's; ``None`` goes back to the server's default.
    """

    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    stop: str | Sequence[str] | None
    seed: int | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    timeout: float | Timeouts | None
    """Seconds for the whole call."""
    request_id: str | None
    """Sent with the request and shown in errors; made up when it is not given."""
    metadata: Mapping[str, str | bytes] | None
    """gRPC metadata (HTTP/2 headers), besides the client's."""
    backend_inputs: Mapping[str, TensorValue | Sequence[TensorValue]] | None
    """Further inputs of the model by name, sent as the data type and shape that the model declares."""
    unsupported: Literal["error", "warn"]
    """What to do with an option that the model has no input for; ``stop`` always works."""


_OPTION_TYPES = frozenset(GenerateOptions.__annotations__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """The options of one call, validated. Immutable."""

    sampling: SamplingParams = field(default_factory=SamplingParams)
    timeouts: Timeouts = field(default_factory=Timeouts)
    request_id: str | None = None
    metadata: Mapping[str, str | bytes] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    backend_inputs: Mapping[str, TensorValue | Sequence[TensorValue]] = field(
        default_factory=lambda: MappingProxyType({}), repr=False
    )
    unsupported: Literal["error", "warn"] = "error"

    def override(self, options: GenerateOptions) -> CallOptions:
        """Return these options with the given ones put over them.

        Raises:
            TypeError: an option does not exist; the message names the nearest one.
            ConfigurationError: a value is wrong.
        """
        if not options:
            return self
        unknown = next((name for name in options if name not in _OPTION_TYPES), None)
        if unknown is not None:
            raise TypeError(_unknown_option(unknown))
        changes: dict[str, Any] = {}
        sampling = {name: options[name] for name in OPTION_NAMES if name in options}  # type: ignore[literal-required]
        if sampling:
            changes["sampling"] = replace(self.sampling, **sampling)
        if "timeout" in options:
            changes["timeouts"] = Timeouts.of(options["timeout"])
        if "request_id" in options:
            changes["request_id"] = _request_id(options["request_id"])
        if "metadata" in options:
            given = check_metadata(options["metadata"] or {})
            changes["metadata"] = MappingProxyType({**self.metadata, **given})
        if "backend_inputs" in options:
            changes["backend_inputs"] = _backend_inputs(options["backend_inputs"] or {})
        if "unsupported" in options:
            changes["unsupported"] = _unsupported(options["unsupported"])
        return replace(self, **changes)


def _unknown_option(name: str) -> str:
    near = difflib.get_close_matches(name, _OPTION_TYPES, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"there is no option {name!r}: {hint}the options are {', '.join(sorted(_OPTION_TYPES))}"


def _request_id(value: str | None) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigurationError(f"request_id must be a non-empty string, not {value!r}")
    return value


def _backend_inputs(
    value: Mapping[str, TensorValue | Sequence[TensorValue]],
) -> Mapping[str, TensorValue | Sequence[TensorValue]]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            f"backend_inputs must be a mapping of names to values, not {type(value).__name__}"
        )
    return MappingProxyType(dict(value))


def _unsupported(value: str) -> str:
    if value not in {"error", "warn"}:
        raise ConfigurationError(f"unsupported must be 'error' or 'warn', not {value!r}")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A generation that was validated but not yet matched with the model's signature.

    Args:
        model: what to call and how.
        prompt: the text that is sent.
        options: of this call.
        request_id: of this call.
        target: the server, for error texts.
        backend: how the model spells requests.
    """

    model: ModelSpec
    prompt: str = field(repr=False)
    options: CallOptions
    request_id: str
    target: str
    backend: Backend

    def prepare(self, signature: ModelSignature) -> PreparedRequest:
        """Make the request for a model with this signature.

        Raises:
            ConfigurationError: the model cannot do what is asked; nothing was sent.
        """
        options = self.options
        tensors = self.backend.inputs(signature, self.prompt, self._sampling(signature))
        tensors = _with_inputs(tensors, signature, options.backend_inputs)
        _check_filled(tensors, signature)
        stops = dict.fromkeys((*options.sampling.stop_strings, *self.model.stop))
        try:
            message = wire.build_infer_request(
                self.model.server_name,
                tensors,
                request_id=self.request_id,
                version=self.model.version,
                parameters={wire.EMPTY_FINAL_PARAMETER: True},
            )
        except ValueError as error:  # a number too large for its type, or a text that is no Unicode
            raise ConfigurationError(f"model {signature.name!r}: {error}") from None
        return PreparedRequest(
            message=message,
            layout=self.backend.layout(signature, cumulative=self.model.cumulative),
            stops=tuple(stops),
            model=self.model.server_name,
            target=self.target,
            request_id=self.request_id,
            timeout=options.timeouts.total,
            metadata=tuple(options.metadata.items()),
        )

    def _sampling(self, signature: ModelSignature) -> SamplingParams:
        """Return the options to send, after complaining about those that the model has no input for."""
        sampling = self.options.sampling
        missing = [
            name
            for name, _ in sampling.given()
            if name != "stop" and not self.backend.supports(name, signature)
        ]
        if missing:
            has = [name for name in OPTION_NAMES if self.backend.supports(name, signature)]
            message = (
                f"model {signature.name!r} has no input for {', '.join(missing)}; it takes {', '.join(has) or 'no options'}"
                " (and stop, which the client does itself)"
            )
            if self.options.unsupported == "error":
                raise ConfigurationError(
                    f"{message}. Leave it out, or set unsupported='warn' to go on without it"
                )
            warnings.warn(message, stacklevel=2)
        return sampling


def _with_inputs(
    tensors: list[InputTensor],
    signature: ModelSignature,
    extra: Mapping[str, TensorValue | Sequence[TensorValue]],
) -> list[InputTensor]:
    for name in extra:
        if name not in signature.inputs:
            raise ConfigurationError(
                f"backend_inputs: model {signature.name!r} has no input {name!r}; it has {', '.join(signature.inputs)}"
            )
    kept = [tensor for tensor in tensors if tensor.name not in extra]
    return kept + [make_tensor(signature.inputs[name], value, signature) for name, value in extra.items()]


def _check_filled(tensors: list[InputTensor], signature: ModelSignature) -> None:
    filled = {tensor.name for tensor in tensors}
    missing = [name for name, spec in signature.inputs.items() if not spec.optional and name not in filled]
    if missing:
        raise ConfigurationError(
            f"model {signature.name!r} requires the input {', '.join(map(repr, missing))}:"
            " give it as an option of that name or in backend_inputs"
        )


def start_generation(draft: Draft, signatures: MutableMapping[str, ModelSignature]) -> flows.Flow[Exchange]:
    """Find the model's signature (asked for once, then remembered) and make the exchange.

    Args:
        draft: what is wanted.
        signatures: those known so far, by the server's model name; completed in place.

    Returns:
        The exchange; its clock starts before the signature is asked for.

    Raises:
        ConfigurationError: the model cannot stream, or cannot do what is asked.
        RequestError: the server could not be asked.
    """
    start: float = yield flows.ReadClock()
    name = draft.model.server_name
    signature = signatures.get(name)
    if signature is None:
        signature = yield from _describe(draft)
        signatures[name] = signature
    return Exchange(draft.prepare(signature), start)


def _describe(draft: Draft) -> flows.Flow[ModelSignature]:
    name = draft.model.server_name
    timeout = draft.options.timeouts.total
    metadata = tuple(draft.options.metadata.items())
    try:
        signature = yield from flows.describe_model(
            name, draft.model.version, timeout=timeout, metadata=metadata
        )
        if signature.decoupled:
            return signature
        twin = f"{name}.streaming"
        ready = yield flows.Invoke("ModelReady", wire.pb.ModelReadyRequest(name=twin), timeout, metadata)
    except RequestError as error:
        error.model = error.model or name
        error.request_id = error.request_id or draft.request_id
        if isinstance(error, DeadlineExceededError):
            error.limit = timeout
        if isinstance(error, ModelUnavailableError) and error.status == "NOT_FOUND" and draft.model.hint:
            error.message = f"{error.message}; {draft.model.hint}"
        raise
    hint = (
        f"use {twin!r}, which this server has"
        if ready.ready
        else "choose a model whose name ends in '.streaming'"
    )
    raise ConfigurationError(f"model {name!r} does not stream (it is not decoupled): {hint}")
