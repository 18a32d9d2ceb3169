"""One request and its one answer: find the model, encode inputs, decode the response. Nothing here waits."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Generator, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypedDict

from nupic_client._core import flows, wire
from nupic_client._core.arrays import EncodedBatch, encode_inputs
from nupic_client._core.draft import CallOptions, Draft
from nupic_client._core.exchange import Exchange, too_long
from nupic_client._core.tensors import Array, ArrayLike, TextAs, decode_outputs, text_bytes
from nupic_client.errors import (
    ConfigurationError,
    DeadlineExceededError,
    ModelUnavailableError,
    ProtocolError,
    RequestError,
    RequestRejectedError,
)
from nupic_client.logs import log_outcome, log_sending
from nupic_client.naming import unary_name

if TYPE_CHECKING:
    from nupic_client.backends.signature import ModelSignature
    from nupic_client.registry import ModelSpec
    from nupic_client.results import Generation

__all__ = ["InferDraft", "InferOptions", "InferenceResult", "complete", "infer", "locate", "wait_until_ready"]


class InferOptions(TypedDict, total=False):
    """The keyword options of a request that is answered at once."""

    outputs: Sequence[str] | None
    """The outputs to return, by name; all if it is not given."""
    parameters: Mapping[str, bool | int | float | str] | None
    """Request parameters of the protocol, such as ``priority``."""
    text: TextAs
    """Whether the elements of BYTES outputs become ``"str"`` or ``"bytes"``."""
    timeout: float | None
    """Seconds for the whole call."""
    request_id: str | None
    """Sent with the request and shown in errors; made up when it is not given."""
    metadata: Mapping[str, str | bytes] | None
    """gRPC metadata (HTTP/2 headers), besides the client's."""
    max_output_bytes: int | None
    """Texts (BYTES outputs) of more bytes together are an error; ``None`` for no limit. Default 64 MiB."""


class InferenceResult(Mapping[str, "Array"]):
    """The outputs of a model as numpy arrays, by name. Immutable.

    Numeric arrays are read-only views of the server's response; ``array.copy()`` can be changed. BF16 comes
    as float32. Where the model has one output only, the result itself can stand for that array:
    ``numpy.asarray(result)``.

    Example:
        .. code-block:: python

            result = client.infer({"x": array})
            result["y"].shape
    """

    __slots__ = ("_arrays", "model", "parameters", "request_id", "version")

    def __init__(
        self,
        arrays: Mapping[str, Array],
        *,
        model: str,
        version: str = "",
        request_id: str = "",
        parameters: Mapping[str, bool | int | float | str] = MappingProxyType({}),
    ) -> None:
        self._arrays = dict(arrays)
        self.model: str = model
        """The server's name of the model."""
        self.version: str = version
        """The version that answered."""
        self.request_id: str = request_id
        """The id the request was sent with."""
        self.parameters: Mapping[str, bool | int | float | str] = parameters
        """The response parameters."""

    @property
    def only(self) -> Array:
        """The array of the only output.

        Raises:
            ConfigurationError: there is more than one, or none.
        """
        if len(self._arrays) != 1:
            raise ConfigurationError(
                f"expected one output, model {self.model!r} gave"
                f" {', '.join(map(repr, self._arrays)) or 'none'}: name the one you want, as in result[name]"
            )
        return next(iter(self._arrays.values()))

    def rows(self, start: int, stop: int) -> InferenceResult:
        """Return a part of a batch: views of these rows of every output."""
        arrays = {name: array[start:stop] for name, array in self._arrays.items()}
        return InferenceResult(
            arrays,
            model=self.model,
            version=self.version,
            request_id=self.request_id,
            parameters=self.parameters,
        )

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:  # noqa: FBT001 - numpy's
        array = self.only
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __repr__(self) -> str:
        outputs = ", ".join(f"{name}: {array.dtype} {array.shape}" for name, array in self._arrays.items())
        return f"InferenceResult(model={self.model!r}, {outputs})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedInfer:
    """A request that is ready to be sent.

    Args:
        message: the serialized ``ModelInferRequest``.
        model: the server's name of the model.
        request_id: sent with the request.
    """

    message: bytes = field(repr=False)
    model: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InferDraft:
    """Requests that were validated but not yet matched with the model's signature.

    Args:
        model: what to call.
        options: timeout, metadata and request id.
        target: the server, for error texts.
        new_id: makes request ids.
        outputs: names of the outputs to return; none asks for all.
        parameters: request parameters.
        text: what BYTES elements become.
    """

    model: ModelSpec
    options: CallOptions
    target: str
    new_id: Callable[[], str] = field(repr=False)
    outputs: tuple[str, ...] = ()
    parameters: Mapping[str, bool | int | float | str] = field(default_factory=lambda: MappingProxyType({}))
    text: TextAs = "str"

    @classmethod
    def create(
        cls,
        model: ModelSpec,
        options: InferOptions,
        *,
        defaults: CallOptions,
        target: str,
        new_id: Callable[[], str],
        single: bool = True,
    ) -> InferDraft:
        """Make a draft from the options of a call.

        Args:
            model: what to call.
            options: of the call.
            defaults: the client's options.
            target: the server, for error texts.
            new_id: makes request ids.
            single: whether it is for one request only, which may have an id of the caller's.

        Raises:
            ConfigurationError: a value is wrong.
            TypeError: an option does not exist; the message names the nearest one.
        """
        for name in options:
            if name not in InferOptions.__annotations__:
                near = difflib.get_close_matches(name, InferOptions.__annotations__, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise TypeError(
                    f"there is no option {name!r}: {hint}the options are"
                    f" {', '.join(InferOptions.__annotations__)}"
                )
        if not single and options.get("request_id") is not None:
            raise ConfigurationError("request_id: expected none here, each request gets its own")
        outputs = options.get("outputs") or ()
        if isinstance(outputs, str):
            raise ConfigurationError(f"outputs: expected a list of names, given the str {outputs!r}")
        call: Any = {name: value for name, value in options.items() if name in _OF_CALL}
        return cls(
            model=model,
            options=defaults.override(call),
            target=target,
            new_id=new_id,
            outputs=tuple(outputs),
            parameters=MappingProxyType(dict(options.get("parameters") or {})),
            text=check_text(options.get("text", "str")),
        )

    @property
    def timeout(self) -> float | None:
        """Seconds for the whole call."""
        return self.options.timeouts.total

    def check(self, signature: ModelSignature) -> None:
        """Check that the model answers once and has the outputs.

        Raises:
            ConfigurationError: it does not.
        """
        if signature.decoupled:
            raise ConfigurationError(
                f"model {signature.name!r} streams its answer (it is decoupled): expected a model that"
                " answers once; use generate() for its text, or StreamingClient"
            )
        for name in self.outputs:
            check_output(signature, name)

    def prepare(self, signature: ModelSignature, batch: EncodedBatch) -> PreparedInfer:
        """Make the request.

        Raises:
            ConfigurationError: the model cannot do what is asked; nothing was sent.
        """
        self.check(signature)
        request_id = self.options.request_id or self.new_id()
        try:
            message = wire.serialize_infer_request(
                signature.name,
                batch.tensors,
                request_id=request_id,
                version=self.model.version,
                outputs=self.outputs,
                parameters=self.parameters,
            )
        except ValueError as error:
            raise ConfigurationError(f"parameters: {error}") from None
        return PreparedInfer(message=message, model=signature.name, request_id=request_id)

    def call(self, prepared: PreparedInfer, timeout: float | None) -> flows.Flow[InferenceResult]:
        """Send a request and return its result.

        Raises:
            RequestError: it failed.
        """
        start: float = yield flows.ReadClock()
        metadata = tuple(self.options.metadata.items())
        log_sending(prepared.model, prepared.request_id, self.target)
        attempts = _Counter()
        try:
            response = yield flows.Invoke("ModelInfer", prepared.message, timeout, metadata, attempts.add)
            result = self._result(prepared, response)
        except GeneratorExit:
            log_outcome(prepared.model, prepared.request_id, "cancelled", attempts=attempts.count)
            raise
        except RequestError as error:
            now: float = yield flows.ReadClock()
            error.model = error.model or prepared.model
            error.request_id = error.request_id or prepared.request_id
            error.target = error.target or self.target
            error.attempts = attempts.count
            if isinstance(error, DeadlineExceededError):
                error.limit = self.timeout
                error.elapsed = now - start
            log_outcome(
                prepared.model, prepared.request_id, error, total=now - start, attempts=attempts.count
            )
            raise
        now = yield flows.ReadClock()
        log_outcome(
            prepared.model, prepared.request_id, "finished", total=now - start, attempts=attempts.count
        )
        return result

    def _result(self, prepared: PreparedInfer, response: Any) -> InferenceResult:
        if response.id and response.id != prepared.request_id:
            raise ProtocolError(f"the server sent an answer to another request, {response.id!r}")
        limit = self.options.max_output_bytes
        if limit is not None and text_bytes(response) > limit:
            raise ProtocolError(too_long(limit))
        arrays = decode_outputs(response, self.text)
        missing = [name for name in self.outputs if name not in arrays]
        if missing:
            raise ProtocolError(f"the server did not send the output {', '.join(map(repr, missing))}")
        return InferenceResult(
            arrays,
            model=response.model_name or prepared.model,
            version=response.model_version,
            request_id=response.id or prepared.request_id,
            parameters={name: _parameter(value) for name, value in response.parameters.items()},
        )


class _Counter:
    """How often a call was made."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 1

    def add(self) -> None:
        self.count += 1


_OF_CALL = ("timeout", "request_id", "metadata", "max_output_bytes")


def check_text(value: TextAs) -> TextAs:
    """Return what BYTES elements shall become.

    Raises:
        ConfigurationError: neither ``"str"`` nor ``"bytes"``.
    """
    if value not in {"str", "bytes"}:
        raise ConfigurationError(f"text must be 'str' or 'bytes', not {value!r}")
    return value


def check_output(signature: ModelSignature, name: str) -> None:
    """Check that a model has an output.

    Raises:
        ConfigurationError: it has not.
    """
    if name not in signature.outputs:
        near = difflib.get_close_matches(str(name), signature.outputs, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigurationError(
            f"model {signature.name!r} has no output {name!r}: {hint}expected"
            f" {', '.join(map(repr, signature.outputs))}"
        )


def _parameter(value: Any) -> bool | int | float | str:
    chosen = value.WhichOneof("parameter_choice")
    result: bool | int | float | str = getattr(value, chosen) if chosen else ""
    return result


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


def locate(
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
        signature = wire.signature_from_config(response.config)
    except RequestRejectedError as error:
        if error.status != "UNIMPLEMENTED":
            raise
        request = wire.pb.ModelMetadataRequest(name=name, version=version)
        response = yield flows.Invoke("ModelMetadata", request, timeout, metadata)
        signature = replace(wire.signature_from_metadata(response), decoupled=False)
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
