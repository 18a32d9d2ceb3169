"""From an inference request to its responses, for unary calls and streams alike."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nupic_client._core.kserve import wire
from nupic_client.local.engine import (
    Chunk,
    EngineError,
    EngineRequest,
    ServedModel,
    StreamAbort,
    StreamEnd,
)
from nupic_client.local.kserve.admission import AdmissionQueue, QueueFull
from nupic_client.local.kserve.dynamo import (
    DynamoWriter,
    check_dynamo_request,
    is_dynamo,
    wants_stream,
)
from nupic_client.local.kserve.limits import UNLIMITED, ServerLimits
from nupic_client.local.kserve.outputs import joined
from nupic_client.local.kserve.requests import batch_size, check_request, decode_request, id_prefix
from nupic_client.local.kserve.responses import ResponseWriter
from nupic_client.local.kserve.statistics import Execution
from nupic_client.local.kserve.status import StatusError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from nupic_client.local.kserve.repository import Repository

__all__ = ["FailedAnswer", "InferenceHandler"]

_STATUS_WANTED = "triton_grpc_error"
"""Metadata of a stream; "true" ends it with a status where its request fails."""

_log = logging.getLogger("nupic_client.local")


@dataclass(frozen=True, slots=True)
class FailedAnswer:
    """The failure of one request, for both kinds of calls.

    Args:
        code: the gRPC status of a unary call.
        text: the details of that status.
        message: the ModelStreamInferResponse of a stream, which goes on.
        reached_model: whether the request had reached its model.
    """

    code: str
    text: str
    message: Any
    reached_model: bool = True


class InferenceHandler:
    """Answer requests with the engines of a repository. Thread-safe.

    Args:
        repository: the models.
        on_request: called with every request before anything is checked.
        limits: bounds for the requests that run and wait.
    """

    def __init__(
        self,
        repository: Repository,
        on_request: Callable[[EngineRequest], None],
        limits: ServerLimits = UNLIMITED,
    ) -> None:
        self._repository = repository
        self._admission = AdmissionQueue(limits.max_running, limits.max_waiting)
        self._on_request = on_request

    def infer(self, message: Any, metadata: Mapping[str, str | bytes], cancelled: threading.Event) -> Any:
        """Answer a unary call: a ModelInferResponse, raw bytes, or a FailedAnswer."""
        with closing(self._responses(message, metadata, cancelled, "ModelInfer")) as responses:
            first, *_ = [*responses, wire.pb.ModelInferResponse(model_name=message.model_name, id=message.id)]
        return first.infer_response if isinstance(first, wire.pb.ModelStreamInferResponse) else first

    def stream(
        self, message: Any, metadata: Mapping[str, str | bytes], cancelled: threading.Event
    ) -> Generator[Any]:
        """Answer a request on a stream: ModelStreamInferResponse messages or raw bytes.

        Raises:
            StreamAbort: the client wants the failure of a model as the status of the RPC.
        """
        ends = metadata.get(_STATUS_WANTED) == "true"
        with closing(self._responses(message, metadata, cancelled, "ModelStreamInfer")) as responses:
            for response in responses:
                if not isinstance(response, FailedAnswer):
                    yield response
                elif ends and response.reached_model:
                    raise StreamAbort(response.code, response.text)
                else:
                    yield response.message

    def _responses(
        self, message: Any, metadata: Mapping[str, str | bytes], cancelled: threading.Event, method: str
    ) -> Generator[Any]:
        execution = Execution()
        known = self._repository.models.get(message.model_name)
        message = self._repository.memory.filled(message)
        request = decode_request(message, known, metadata=metadata, method=method)
        self._on_request(request)
        writer = DynamoWriter(known, request) if is_dynamo(known) else ResponseWriter(known, request)
        try:
            model = self._repository.find(message.model_name, message.model_version)
            if is_dynamo(model):
                check_dynamo_request(message, request)
            _check_method(model, method)
            writer.classes = self._checked(message, model, execution)
            writer.write_to_memory(self._repository.memory.write, message.outputs)
            with self._admission.admitted(cancelled) as admitted:
                execution.queue = execution.age - execution.compute_input
                if admitted:
                    yield from self._counted(model, request, writer, cancelled, execution)
        except StatusError as error:
            response = writer.error(error.message, reached_model=error.reached_model)
            yield FailedAnswer(error.code, error.message, response, error.reached_model)
        except QueueFull as full:
            text = f"{id_prefix(message)}Exceeds maximum queue size: {full}; try again later"
            yield FailedAnswer(
                "UNAVAILABLE", text, writer.error(text, reached_model=False), reached_model=False
            )

    def _checked(self, message: Any, model: ServedModel, execution: Execution) -> dict[str, int]:
        try:
            classes = check_request(message, model, self._repository.memory)
        except StatusError as error:
            if error.reached_model:
                self._repository.counter(model.name).failed(execution)
            raise
        execution.batch = batch_size(message, model)
        execution.compute_input = execution.age
        return classes

    def _counted(
        self,
        model: ServedModel,
        request: EngineRequest,
        writer: ResponseWriter,
        cancelled: threading.Event,
        execution: Execution,
    ) -> Generator[Any]:
        counter = self._repository.counter(model.name)
        try:
            for response in _engine_responses(model, request, writer, cancelled, execution):
                if writer.finished:  # a client that has its whole answer finds itself counted
                    counter.succeeded(execution)
                yield response
        except EngineError as error:
            counter.succeeded(execution)
            yield FailedAnswer(error.code, str(error), writer.error(str(error)))
        finally:
            counter.succeeded(execution)


def _check_method(model: ServedModel, method: str) -> None:
    if method == "ModelInfer" and model.signature.decoupled:
        raise StatusError(
            "UNIMPLEMENTED", "ModelInfer RPC doesn't support models with decoupled transaction policy"
        )


def _engine_responses(
    model: ServedModel,
    request: EngineRequest,
    writer: ResponseWriter,
    cancelled: threading.Event,
    execution: Execution,
) -> Generator[Any]:
    with closing(_guarded(model, request, cancelled)) as chunks:
        streams = model.signature.decoupled or (is_dynamo(model) and wants_stream(request))
        for chunk in _timed(chunks if streams else joined(chunks), execution):
            if chunk.raw is not None:
                yield chunk.raw
                continue
            begin = time.monotonic_ns()
            response = writer.content(chunk)
            execution.compute_output += time.monotonic_ns() - begin
            if response is not None:
                yield wire.pb.ModelStreamInferResponse(infer_response=response)
            if chunk.final:
                break
    asked = request.parameters.get(wire.EMPTY_FINAL_PARAMETER) is True
    if asked and writer.marks_end and not writer.finished and not cancelled.is_set():
        yield wire.pb.ModelStreamInferResponse(infer_response=writer.final())


def _timed(chunks: Iterable[Chunk], execution: Execution) -> Iterator[Chunk]:
    """Add the time for each chunk to the execution, without the time that the consumer takes."""
    iterator = iter(chunks)
    while True:
        begin = time.monotonic_ns()
        try:
            chunk = next(iterator, None)
        finally:
            execution.compute_infer += time.monotonic_ns() - begin
        if chunk is None:
            return
        yield chunk


def _guarded(model: ServedModel, request: EngineRequest, cancelled: threading.Event) -> Generator[Chunk]:
    """Turn an exception of an engine, or of a test's reply function, into a model error that names it."""
    try:
        yield from model.engine.generate(request, cancelled)
    except (EngineError, StreamAbort, StreamEnd):
        raise
    except Exception as error:
        _log.exception("the engine of model %r failed", model.name)
        raise EngineError(f"{type(error).__name__}: {error}") from error
