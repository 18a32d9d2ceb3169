"""A request for arrays: its options checked and, where it has one answer, sent with retries, errors and logging."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from logging import DEBUG, INFO
from typing import TYPE_CHECKING, Any

from nupic_client._core.calls.flows import (
    READ_CLOCK,
    Attempts,
    Flow,
    Invoke,
    retrying,
    time_left,
    with_deadline,
)
from nupic_client._core.calls.observation import named_session, observing_failure
from nupic_client._core.calls.options import CallOptions, check_option_names
from nupic_client._core.calls.outputs import check_requested, requested_outputs
from nupic_client._core.kserve import wire
from nupic_client._parameters import NO_PARAMETERS, Parameters, check_parameters
from nupic_client._suggest import listed
from nupic_client.errors import ConfigurationError, DeadlineExceededError, RequestError
from nupic_client.logs import log_outcome, log_sending, logger
from nupic_client.options import InferOptions, InferStreamOptions, TextAs

if TYPE_CHECKING:
    from nupic_client._core.calls.models import ModelDirectory
    from nupic_client._core.calls.observation import Observation
    from nupic_client._core.calls.watch import Watch
    from nupic_client._core.inference.codec import InferenceCodec
    from nupic_client._core.inference.result import InferenceResult
    from nupic_client.registry import ModelSpec
    from nupic_client.shared_memory_places import SharedMemoryOutput
    from nupic_client.signature import ModelSignature

__all__ = ["InferenceRequest", "InferenceRequests", "check_text", "find_model_observed"]


class _Kept:
    """What a request remembers of the model that it was last sent to."""

    __slots__ = ("codec",)

    def __init__(self) -> None:
        self.codec: InferenceCodec | None = None


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
        places: where outputs are to be written, for those in shared memory.
        streamed: whether the model may answer with any number of responses.
        kept: for `codec`.
    """

    model: ModelSpec
    options: CallOptions
    target: str
    new_id: Callable[[], str] = field(repr=False)
    outputs: tuple[wire.RequestedOutput, ...] = ()
    parameters: Parameters = field(default_factory=lambda: NO_PARAMETERS)
    text: TextAs = "str"
    places: Mapping[str, SharedMemoryOutput] = field(default_factory=dict)
    streamed: bool = False
    kept: _Kept = field(default_factory=_Kept, repr=False, compare=False, init=False)

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
        outputs = requested_outputs(options.get("outputs"))
        places = {output.name: output.place for output in outputs if output.place is not None}
        if places and not single:
            raise ConfigurationError(
                f"outputs must not be in shared memory here, as {listed(places)}: every request would write to the same"
                " place; send each with infer()",
                parameter="outputs",
            )
        parameters = (
            check_parameters(options["parameters"]) if "parameters" in options else defaults.parameters
        )
        if streamed:
            call["request_id"] = call.get("request_id") or new_id()
            parameters = {**parameters, wire.EMPTY_FINAL_PARAMETER: True}
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
            check_requested(signature, output)

    def facts(self) -> dict[str, Any]:
        """Return the facts of a request for an observer; its id is made up, if the caller gave none."""
        request_id = self.options.request_id or self.new_id()
        return {
            "model": self.model.name,
            "target": self.target,
            "request_id": request_id,
            "session": named_session(self.options.session),
        }

    def find_model(
        self, models: ModelDirectory, observation: Observation | None = None
    ) -> Flow[ModelSignature]:
        """Return the signature of the model to send to, within the deadline. Raises as `ModelDirectory.unary`."""
        options = self.options
        question = models.unary(self.model, options, target=self.target, request_id=options.request_id or "")
        return with_deadline(question, self.timeout, options.retry, observation)

    def codec(self, signature: ModelSignature) -> InferenceCodec:
        """Return what writes the requests to a model and reads its responses; made anew for another signature.

        Raises:
            ConfigurationError: the model cannot do what is asked; nothing was sent.
        """
        codec = self.kept.codec
        if codec is None or codec.signature is not signature:
            from nupic_client._core.inference.codec import InferenceCodec  # noqa: PLC0415 - it imports numpy

            codec = self.kept.codec = InferenceCodec(self, signature)
        return codec

    def send(
        self,
        codec: InferenceCodec,
        message: bytes,
        request_id: str,
        start: float,
        *,
        asked: bool = False,
        observation: Observation | None = None,
    ) -> Flow[InferenceResult]:
        """Send a request and return its result, with retries within the deadline.

        Args:
            codec: reads the response.
            message: the serialized request.
            request_id: of this request.
            start: clock reading from which the deadline counts.
            asked: whether some of the time has passed since, with a question to the server.
            observation: told of the request; None without an observer.

        Raises:
            RequestError: it failed.
        """
        options = self.options
        timeout = options.timeouts.total
        end = None if timeout is None else start + timeout
        attempts = Attempts(start, codec.signature.name, options.session)
        if observation is not None:
            observation.sent(codec.signature.name, attempts)
        invoke = Invoke("ModelInfer", message, timeout, options.metadata, attempts)
        if logger.isEnabledFor(DEBUG):
            log_sending(codec.signature.name, request_id, self.target)
        try:
            if asked and end is not None:
                now: float = yield READ_CLOCK
                invoke = invoke.with_timeout(time_left(end, now))
            try:
                response = yield invoke
            except RequestError as error:
                response = yield from retrying(invoke, error, end, options.retry)
            result = codec.read(response, request_id, attempts.call)
            result.endpoint = attempts.endpoint or self.target
        except GeneratorExit:
            log_outcome(codec.signature.name, request_id, "cancelled", attempts=attempts.count)
            raise
        except RequestError as error:
            now = yield READ_CLOCK
            failure = error
            if not error.attempts:  # the answer is wrong, which does not know where it is from
                failure = attempts.note(error.completed(target=attempts.endpoint or self.target), now)
            raise self._failure(failure, codec, request_id, now - start) from error.__cause__
        if logger.isEnabledFor(INFO):
            now = yield READ_CLOCK
            name = codec.signature.name
            log_outcome(name, request_id, "finished", total=now - start, attempts=attempts.count)
        return result

    def _failure(
        self, error: RequestError, codec: InferenceCodec, request_id: str, elapsed: float
    ) -> RequestError:
        """Return the error of a request with its facts, and log it."""
        model = codec.signature.name
        failure = error.completed(model=model, target=self.target, request_id=request_id)
        if isinstance(failure, DeadlineExceededError):
            failure = failure.with_facts(limit=self.timeout, elapsed=elapsed)
        log_outcome(model, request_id, failure, total=elapsed, attempts=len(failure.attempts))
        return failure


def find_model_observed(
    request: InferenceRequest, models: ModelDirectory, watch: Watch | None
) -> Flow[ModelSignature]:
    """Find the model for many requests, and tell an observer if that fails: as of one request."""
    flow = request.find_model(models)
    return flow if watch is None else observing_failure(watch, flow, **request.facts())


class InferenceRequests:
    """The requests of one client: options that come again are checked once. Thread-safe.

    Args:
        model: the model to call.
        defaults: the client's options.
        target: the server, for error texts.
        text: the client's type of BYTES elements in results.
        new_id: makes request ids.
    """

    __slots__ = ("_known", "_model", "_new_id", "_target", "_text", "defaults")

    def __init__(
        self, model: ModelSpec, defaults: CallOptions, target: str, text: TextAs, new_id: Callable[[], str]
    ) -> None:
        self._model = model
        self.defaults = defaults
        self._target = target
        self._text = text
        self._new_id = new_id
        self._known: dict[Any, InferenceRequest] = {}

    def of(
        self, options: InferOptions | InferStreamOptions, *, single: bool = True, streamed: bool = False
    ) -> InferenceRequest:
        """Return the request with these options. Arguments and errors as for `InferenceRequest.create`."""
        if streamed:  # it has an id of its own
            return self._create(options, single=single, streamed=True)
        try:
            # The kind of a value counts too: 1 == True.
            key = (*options, *options.values(), *map(type, options.values()), single) if options else single
            known = self._known.get(key)
        except TypeError:  # a list or a mapping
            return self._create(options, single=single)
        if known is None:
            known = self._create(options, single=single)
            if "request_id" not in options:
                if len(self._known) >= _MOST_OPTIONS:
                    self._known.clear()
                self._known[key] = known
        return known

    def _create(
        self, options: InferOptions | InferStreamOptions, *, single: bool, streamed: bool = False
    ) -> InferenceRequest:
        return InferenceRequest.create(
            self._model,
            {"text": self._text, **options},
            defaults=self.defaults,
            target=self._target,
            new_id=self._new_id,
            single=single,
            streamed=streamed,
        )


_MOST_OPTIONS = 64

_OF_CALL = ("timeout", "max_retries", "request_id", "metadata", "max_output_bytes", "session")


def check_text(value: TextAs) -> TextAs:
    """Return the type of BYTES elements in results, after checking it.

    Raises:
        ConfigurationError: neither ``"str"`` nor ``"bytes"``.
    """
    if value not in ("str", "bytes"):
        raise ConfigurationError(f"text must be 'str' or 'bytes', not {value!r}", parameter="text")
    return value
