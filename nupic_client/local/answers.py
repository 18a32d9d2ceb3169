"""One request in, its responses out: what unary calls and streams have in common."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nupic_client._core import wire
from nupic_client.local.engine import EngineError, EngineRequest, Piece, ServedModel, StreamAbort, StreamEnd
from nupic_client.local.gate import Gate, GateFull
from nupic_client.local.limits import UNLIMITED, ServerLimits
from nupic_client.local.outputs import joined
from nupic_client.local.requests import Refusal, check_request, decode_request, id_prefix
from nupic_client.local.responses import ResponseWriter

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterator, Mapping

    from nupic_client.local.repository import Repository

__all__ = ["Answers", "Failure"]

_log = logging.getLogger("nupic_client.local")


@dataclass(frozen=True, slots=True)
class Failure:
    """A request failed: the status a unary call ends with, and the message a stream sends instead."""

    code: str
    text: str
    message: Any


class Answers:
    """Answer requests with the engines of a repository. Thread-safe.

    Args:
        repository: the models.
        on_request: called with every request before anything is checked.
        limits: how many requests may run and wait.
    """

    def __init__(
        self,
        repository: Repository,
        on_request: Callable[[EngineRequest], None],
        limits: ServerLimits = UNLIMITED,
    ) -> None:
        self._repository = repository
        self._gate = Gate(limits.max_running, limits.max_waiting)
        self._on_request = on_request

    def once(self, message: Any, metadata: Mapping[str, str | bytes], cancelled: threading.Event) -> Any:
        """Answer a unary call: a ModelInferResponse, raw bytes, or a Failure."""
        with closing(self._answers(message, metadata, cancelled, "ModelInfer")) as answers:
            first, *_ = [*answers, wire.pb.ModelInferResponse(model_name=message.model_name, id=message.id)]
        return first.infer_response if isinstance(first, wire.pb.ModelStreamInferResponse) else first

    def stream(
        self, message: Any, metadata: Mapping[str, str | bytes], cancelled: threading.Event
    ) -> Generator[Any]:
        """Answer a request on a stream: ModelStreamInferResponse messages or raw bytes."""
        with closing(self._answers(message, metadata, cancelled, "ModelStreamInfer")) as answers:
            for answer in answers:
                yield answer.message if isinstance(answer, Failure) else answer

    def _answers(
        self, message: Any, metadata: Mapping[str, str | bytes], cancelled: threading.Event, method: str
    ) -> Generator[Any]:
        known = self._repository.models.get(message.model_name)
        request = decode_request(message, known, metadata=metadata, method=method)
        self._on_request(request)
        writer = ResponseWriter(known, request)
        try:
            model = self._repository.find_ready(message.model_name, message.model_version)
            _check_method(model, method)
            check_request(message, model)
            with self._gate.passed(cancelled) as came:
                if came:
                    yield from self._counted(model, request, writer, cancelled)
        except Refusal as refusal:
            response = writer.error(refusal.message, reached_model=refusal.reached_model)
            yield Failure(refusal.code, refusal.message, response)
        except GateFull as full:
            text = f"{id_prefix(message)}Exceeds maximum queue size: {full}; try again later"
            yield Failure("UNAVAILABLE", text, writer.error(text, reached_model=False))

    def _counted(
        self, model: ServedModel, request: EngineRequest, writer: ResponseWriter, cancelled: threading.Event
    ) -> Generator[Any]:
        try:
            yield from _engine_answers(model, request, writer, cancelled)
        except EngineError as error:
            self._repository.count(model.name, ok=False)
            yield Failure("INTERNAL", str(error), writer.error(str(error)))
        else:
            self._repository.count(model.name, ok=True)


def _check_method(model: ServedModel, method: str) -> None:
    if method == "ModelInfer" and model.signature.decoupled:
        raise Refusal(
            "UNIMPLEMENTED", "ModelInfer RPC doesn't support models with decoupled transaction policy"
        )


def _engine_answers(
    model: ServedModel, request: EngineRequest, writer: ResponseWriter, cancelled: threading.Event
) -> Iterator[Any]:
    with closing(_guarded(model, request, cancelled)) as pieces:
        for piece in pieces if model.signature.decoupled else joined(pieces):
            if piece.raw is not None:
                yield piece.raw
                continue
            response = writer.content(piece)
            if response is not None:
                yield wire.pb.ModelStreamInferResponse(infer_response=response)
            if piece.final:
                break
    asked = request.parameters.get(wire.EMPTY_FINAL_PARAMETER) is True
    if asked and not writer.finished and not cancelled.is_set():
        yield wire.pb.ModelStreamInferResponse(infer_response=writer.final())


def _guarded(model: ServedModel, request: EngineRequest, cancelled: threading.Event) -> Generator[Piece]:
    """Turn a mistake in an engine, or in a test's own reply function, into a model error that names it."""
    try:
        yield from model.engine.generate(request, cancelled)
    except (EngineError, StreamAbort, StreamEnd):
        raise
    except Exception as error:
        _log.exception("the engine of model %r failed", model.name)
        raise EngineError(f"{type(error).__name__}: {error}") from error
