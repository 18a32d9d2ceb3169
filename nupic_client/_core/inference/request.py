"""A request with one answer: validated, serialized, sent, and its response decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nupic_client._core.calls.flows import Flow, Invoke, ReadClock
from nupic_client._core.calls.options import CallOptions, check_option_names, too_long
from nupic_client._core.calls.outputs import check_output, requested_outputs
from nupic_client._core.inference.result import InferenceResult
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.output_arrays import decode_outputs, text_bytes
from nupic_client._core.kserve.shared_memory import decode_with_places
from nupic_client._parameters import NO_PARAMETERS, Parameters, check_parameters
from nupic_client._suggest import listed
from nupic_client.errors import ConfigurationError, ProtocolError, RequestError
from nupic_client.logs import log_outcome, log_sending
from nupic_client.options import InferOptions, InferStreamOptions, TextAs

if TYPE_CHECKING:
    from nupic_client._core.calls.models import ModelDirectory
    from nupic_client._core.inference.inputs import EncodedBatch
    from nupic_client.registry import ModelSpec
    from nupic_client.shared_memory_places import SharedMemoryOutput, SharedMemoryTensor
    from nupic_client.signature import ModelSignature

__all__ = ["InferenceRequest", "SerializedRequest", "check_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SerializedRequest:
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
class InferenceRequest:
    """One request or many, validated but not yet matched with the model's signature.

    Args:
        model: the model to call.
        options: timeout, metadata and request id.
        target: the server, for error texts.
        new_id: makes request ids.
        outputs: the outputs to return; none asks for all.
        parameters: request parameters.
        text: the type of BYTES elements in results, ``"str"`` or ``"bytes"``.
        streamed: whether the model may answer with any number of responses.
        places: where outputs are to be written, for those in shared memory.
    """

    model: ModelSpec
    options: CallOptions
    target: str
    new_id: Callable[[], str] = field(repr=False)
    outputs: tuple[wire.RequestedOutput, ...] = ()
    parameters: Parameters = field(default_factory=lambda: NO_PARAMETERS)
    text: TextAs = "str"
    streamed: bool = False
    places: Mapping[str, SharedMemoryOutput] = field(default_factory=dict)

    @classmethod
    def create(
        cls,
        model: ModelSpec,
        options: InferOptions | InferStreamOptions,
        *,
        defaults: CallOptions,
        target: str,
        new_id: Callable[[], str],
        single: bool = True,
        streamed: bool = False,
    ) -> InferenceRequest:
        """Make a request from the options of a call.

        Args:
            model: the model to call.
            options: of the call.
            defaults: the client's options.
            target: the server, for error texts.
            new_id: makes request ids.
            single: whether it is one request, which may have the caller's id.
            streamed: whether the model may answer with any number of responses; then the request gets its id now.

        Raises:
            ConfigurationError: a value is wrong.
            TypeError: an option does not exist; the message names the nearest one.
        """
        known = InferStreamOptions if streamed else InferOptions
        check_option_names(options, known.__annotations__)
        if not single and options.get("request_id") is not None:
            raise ConfigurationError(
                "request_id must be left out here: each request gets its own", parameter="request_id"
            )
        call: Any = {name: value for name, value in options.items() if name in _OF_CALL}
        parameters = (
            check_parameters(options["parameters"]) if "parameters" in options else defaults.parameters
        )
        if streamed:
            call["request_id"] = call.get("request_id") or new_id()
            parameters = {**parameters, wire.EMPTY_FINAL_PARAMETER: True}
        outputs = requested_outputs(options.get("outputs"))
        places = {output.name: output.place for output in outputs if output.place is not None}
        if places and not single:
            raise ConfigurationError(
                f"outputs must not be in shared memory here, as {listed(places)}: every request would write to the same"
                " place; send each with infer()",
                parameter="outputs",
            )
        return cls(
            model=model,
            options=defaults.override(call),
            target=target,
            new_id=new_id,
            outputs=outputs,
            places=places,
            parameters=parameters,
            text=check_text(options.get("text", "str")),
            streamed=streamed,
        )

    @property
    def timeout(self) -> float | None:
        """Seconds for the whole call."""
        return self.options.timeouts.total

    def check(self, signature: ModelSignature) -> None:
        """Check that the model answers once, unless the request is streamed, and has the outputs.

        Raises:
            ConfigurationError: it streams, or does not have them.
        """
        if signature.decoupled and not self.streamed:
            raise ConfigurationError(
                f"model {signature.name!r} must answer at once, not stream (it is decoupled): use infer_stream() of"
                " InferenceClient, or generate() for its text"
            )
        for output in self.outputs if signature.outputs else ():  # some servers list none
            check_output(signature, output.name)

    def find_model(self, models: ModelDirectory) -> Flow[ModelSignature]:
        """Return the signature of the model to send to. Raises as `ModelDirectory.unary`."""
        return models.unary(
            self.model, self.options, target=self.target, request_id=self.options.request_id or ""
        )

    def serialize(self, signature: ModelSignature, batch: EncodedBatch) -> SerializedRequest:
        """Return the request for these inputs, ready to be sent.

        Raises:
            ConfigurationError: the model cannot do what is asked; nothing was sent.
        """
        self.check(signature)
        request_id = self.options.request_id or self.new_id()
        message = wire.serialize_infer_request(
            signature.name,
            batch.tensors,
            request_id=request_id,
            version=self.model.version,
            outputs=self.outputs,
            parameters=self.parameters,
        )
        return SerializedRequest(message=message, model=signature.name, request_id=request_id)

    def call(self, serialized: SerializedRequest) -> Flow[InferenceResult]:
        """Send a request and return its result.

        Raises:
            RequestError: it failed.
        """
        start: float = yield ReadClock()
        model, request_id = serialized.model, serialized.request_id
        log_sending(model, request_id, self.target)
        attempts = _Counter()
        try:
            invoke = Invoke("ModelInfer", serialized.message, None, self.options.metadata, attempts.add)
            result = self._result(serialized, (yield invoke))
        except GeneratorExit:
            log_outcome(model, request_id, "cancelled", attempts=attempts.count)
            raise
        except RequestError as error:
            now: float = yield ReadClock()
            failure = error.completed(model=model, target=self.target, request_id=request_id)
            failure = failure.with_facts(attempts=attempts.count)
            log_outcome(model, request_id, failure, total=now - start, attempts=attempts.count)
            raise failure from error.__cause__
        now = yield ReadClock()
        log_outcome(model, request_id, "finished", total=now - start, attempts=attempts.count)
        return result

    def _result(self, serialized: SerializedRequest, response: Any) -> InferenceResult:
        if response.id and response.id != serialized.request_id:
            raise ProtocolError(f"the server sent an answer to another request, {response.id!r}")
        return self.decode(serialized, response)

    def decode(self, serialized: SerializedRequest, response: Any) -> InferenceResult:
        """Return the result in a ``ModelInferResponse``.

        Raises:
            ProtocolError: it is too long, lacks an output, or cannot be decoded.
        """
        limit = self.options.max_output_bytes
        if limit is not None and text_bytes(response) > limit:
            raise ProtocolError(too_long(limit))
        places: Mapping[str, SharedMemoryTensor] = {}
        if self.places:
            arrays, places = decode_with_places(response, self.text, self.places)
        else:
            arrays = decode_outputs(response, self.text)
        # A stream may have responses with nothing but parameters.
        asked = self.outputs if response.outputs or not self.streamed else ()
        missing = [it.name for it in asked if it.name not in arrays and it.name not in places]
        if missing:
            raise ProtocolError(f"the server did not send the output {', '.join(map(repr, missing))}")
        return InferenceResult(
            arrays,
            model=response.model_name or serialized.model,
            version=response.model_version,
            request_id=response.id or serialized.request_id,
            parameters=wire.parameters_of(response),
            output_parameters={
                output.name: wire.parameters_of(output) for output in response.outputs if output.parameters
            },
            places=places,
        )


class _Counter:
    """How often a call was made."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 1

    def add(self) -> None:
        self.count += 1


_OF_CALL = ("timeout", "max_retries", "request_id", "metadata", "max_output_bytes")


def check_text(value: TextAs) -> TextAs:
    """Return the type of BYTES elements in results, after checking it.

    Raises:
        ConfigurationError: neither ``"str"`` nor ``"bytes"``.
    """
    if value not in {"str", "bytes"}:
        raise ConfigurationError(f"text must be 'str' or 'bytes', not {value!r}", parameter="text")
    return value
