"""The KServe v2 gRPC service: every method of the real server that this one offers."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from nupic_client._core.kserve import wire
from nupic_client._version import __version__
from nupic_client.local.engine import StreamAbort, StreamEnd
from nupic_client.local.kserve.description import model_config, model_metadata
from nupic_client.local.kserve.dynamo import DYNAMO_METHODS, is_dynamo
from nupic_client.local.kserve.handler import FailedAnswer, InferenceHandler
from nupic_client.local.kserve.limits import UNLIMITED, ServerLimits
from nupic_client.local.kserve.model_control import ModelControl
from nupic_client.local.kserve.response_queue import ResponseQueue
from nupic_client.local.kserve.status import StatusError, invalid
from nupic_client.local.kserve.versions import check_version
from nupic_client.server_info import ServerInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Executor

    from nupic_client.local.kserve.repository import Repository

__all__ = ["EXTENSIONS", "OWN_INFO", "Servicer"]

_log = logging.getLogger("nupic_client.local")

_EXITING = "Server exiting"
_UNREADABLE = object()
"""Stands for a request that cannot be parsed."""
_NO_MESSAGE = "Exception deserializing request!"
EXTENSIONS = (
    "classification",
    "model_repository",
    "model_repository(unload_dependents)",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
)
"""The protocol extensions of this servicer, in the real server's order."""
OWN_INFO = ServerInfo(name="nupic_client", version=__version__, extensions=EXTENSIONS)
"""The usual answer to ServerMetadata."""


class Servicer:
    """Answer the calls of any number of clients. Thread-safe.

    Args:
        repository: the models and the state of the server.
        handler: answers inference requests.
        executor: runs the generations, any number of them at once.
        limits: bounds for what clients ask for.
        info: the answer to ServerMetadata.
    """

    def __init__(
        self,
        repository: Repository,
        handler: InferenceHandler,
        executor: Executor,
        limits: ServerLimits = UNLIMITED,
        info: ServerInfo = OWN_INFO,
    ) -> None:
        self._limits = limits
        self._info = info
        self._repository = repository
        self._control = ModelControl(repository)
        self._handler = handler
        self._executor = executor
        self._stopping = threading.Event()
        self._running: set[Callable[[], None]] = set()
        self._lock = threading.Lock()

    def handler(self) -> Any:
        """Return the service for ``grpc.Server.add_generic_rpc_handlers``."""
        unary: Mapping[str, Callable[[Any, Any], Any]] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelInfer": self._model_infer,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._repository_index,
            "RepositoryModelLoad": self._model_load,
            "RepositoryModelUnload": self._model_unload,
            **self._repository.memory.calls(),
            **({} if self._repository.settings is None else self._repository.settings.calls()),
        }
        models = self._repository.models.values()
        if models and all(map(is_dynamo, models)):
            unary = {name: unary[name] for name in DYNAMO_METHODS}
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                _with_status_errors(call),
                request_deserializer=_deserializer(name),
                response_serializer=_serialize,
            )
            for name, call in unary.items()
        }
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
            self._model_stream_infer,
            request_deserializer=_deserializer("ModelStreamInfer"),
            response_serializer=_serialize,
        )
        return grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)

    def stop(self) -> None:
        """End every running call, and every later one at once, with UNAVAILABLE."""
        self._stopping.set()
        with self._lock:
            running = tuple(self._running)
        for end in running:
            end()

    @contextmanager
    def _registered(self, end: Callable[[], None], context: Any) -> Iterator[None]:
        """Let `stop` and the end of the RPC, for whatever reason, call ``end``."""
        most = self._limits.max_calls
        with self._lock:
            full = most is not None and len(self._running) >= most
            if not full:
                self._running.add(end)
        if full:
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"this server takes at most {most} inference calls at a time; try again later",
            )
        try:
            if self._stopping.is_set() or not context.add_callback(end):
                end()
            yield
        finally:
            with self._lock:
                self._running.discard(end)

    # --- health and description

    def _check_running(self, text: str) -> None:
        if self._repository.exiting:
            raise StatusError("UNAVAILABLE", text)

    def _server_live(self, _request: Any, _context: Any) -> Any:
        self._check_running(_EXITING)
        return wire.pb.ServerLiveResponse(live=True)

    def _server_ready(self, _request: Any, _context: Any) -> Any:
        self._check_running(_EXITING)
        return wire.pb.ServerReadyResponse(ready=self._repository.ready)

    def _server_metadata(self, _request: Any, _context: Any) -> Any:
        info = self._info
        return wire.pb.ServerMetadataResponse(
            name=info.name, version=info.version, extensions=info.extensions
        )

    def _model_ready(self, request: Any, _context: Any) -> Any:
        self._check_running("Server not ready")
        version = check_version(request.version)
        model = self._repository.models.get(request.name)
        known = model is not None and (not version or version in model.versions)
        return wire.pb.ModelReadyResponse(ready=known and self._repository.is_ready(request.name))

    def _model_metadata(self, request: Any, _context: Any) -> Any:
        return model_metadata(self._repository.find(request.name, request.version))

    def _model_config(self, request: Any, _context: Any) -> Any:
        return model_config(self._repository.find(request.name, request.version))

    def _model_statistics(self, request: Any, _context: Any) -> Any:
        version = check_version(request.version)
        known = {
            name: model for name, model in self._repository.models.items() if self._repository.is_ready(name)
        }
        if request.name and request.name not in known:
            raise invalid(f"requested model '{request.name}' is not available")
        if request.name and version and version not in known[request.name].versions:
            raise invalid(f"requested model version is not available for model '{request.name}'")
        response = wire.pb.ModelStatisticsResponse()
        for name in [request.name] if request.name else sorted(known):
            counter = self._repository.counter(name)
            response.model_stats.append(counter.message(name, known[name].versions[-1]))
        return response

    # --- the repository

    def _repository_index(self, request: Any, _context: Any) -> Any:
        if request.repository_name:
            raise StatusError("UNIMPLEMENTED", "'repository_name' specification is not supported")
        response = wire.pb.RepositoryIndexResponse()
        for name, model in sorted(self._repository.models.items()):
            ready = self._repository.is_ready(name)
            if ready or not request.ready:
                state, reason = ("READY", "") if ready else ("UNAVAILABLE", self._repository.reason(name))
                for version in model.versions:
                    response.models.add(name=name, version=version, state=state, reason=reason)
        return response

    def _model_load(self, request: Any, _context: Any) -> Any:
        self._control.load(request)
        return wire.pb.RepositoryModelLoadResponse()

    def _model_unload(self, request: Any, _context: Any) -> Any:
        self._control.unload(request)
        return wire.pb.RepositoryModelUnloadResponse()

    # --- inference

    def _model_infer(self, request: Any, context: Any) -> Any:
        cancelled = threading.Event()
        try:
            with self._registered(cancelled.set, context):
                response = self._handler.infer(request, _metadata(context), cancelled)
        except StreamAbort as abort:
            context.abort(_status(abort.code), abort.details)
        except StreamEnd:
            return wire.pb.ModelInferResponse()
        if self._stopping.is_set():
            context.abort(grpc.StatusCode.UNAVAILABLE, _EXITING)
        if isinstance(response, FailedAnswer):
            context.abort(_status(response.code), response.text)
        return response

    def _model_stream_infer(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        most = self._limits.max_on_stream
        queue: ResponseQueue[Any] = ResponseQueue(
            producers=None if most is None else most + 1,  # the reader of the requests is one of them
            patience=self._limits.read_timeout,
            on_stall=context.cancel,
        )
        queue.open_producer()

        def end() -> None:
            queue.close(StreamAbort("UNAVAILABLE", _EXITING))

        with self._registered(end, context):
            self._executor.submit(self._read_stream, requests, _metadata(context), queue)
            for item in queue:
                if isinstance(item, StreamEnd):
                    break
                if isinstance(item, StreamAbort):
                    queue.close()
                    context.abort(_status(item.code), item.details)
                yield item
            queue.close()

    def _read_stream(
        self, requests: Iterator[Any], metadata: Mapping[str, str | bytes], queue: ResponseQueue[Any]
    ) -> None:
        try:
            for request in requests:
                if request is _UNREADABLE:
                    queue.close(StreamAbort("INTERNAL", _NO_MESSAGE))
                    break
                if not queue.open_producer():
                    break
                self._executor.submit(self._respond_on_stream, request, metadata, queue)
        except Exception:  # noqa: BLE001 - grpcio raises a bare Exception here when the RPC is over
            queue.close()
        finally:
            queue.close_producer()

    def _respond_on_stream(
        self, request: Any, metadata: Mapping[str, str | bytes], queue: ResponseQueue[Any]
    ) -> None:
        responses = self._handler.stream(request, metadata, queue.closed)
        try:
            for message in responses:
                if not queue.put(message):
                    break
        except (StreamAbort, StreamEnd) as control:
            queue.put(control)
        except Exception as error:  # noqa: BLE001 - the client must not take silence for an answer
            _log.exception("a request could not be answered")
            queue.put(StreamAbort("INTERNAL", f"the server failed: {type(error).__name__}"))
        finally:
            responses.close()  # tells the engine
            queue.close_producer()


def _deserializer(method: str) -> Callable[[bytes], Any]:
    # gRPC prints a page about an error here, and a client could make it do so as often as it likes.
    read = wire.METHODS[method][0].FromString

    def deserialize(data: bytes) -> Any:
        try:
            return read(data)
        except Exception:  # noqa: BLE001 - protobuf's errors differ from one implementation to the other
            return _UNREADABLE

    return deserialize


def _serialize(message: Any) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()


def _status(code: str) -> Any:
    return grpc.StatusCode[code]


def _metadata(context: Any) -> Mapping[str, str | bytes]:
    return {item.key: item.value for item in context.invocation_metadata()}


def _with_status_errors(call: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a call that ends with the status of a StatusError."""

    def respond(request: Any, context: Any) -> Any:
        if request is _UNREADABLE:
            context.abort(grpc.StatusCode.INTERNAL, _NO_MESSAGE)
        try:
            return call(request, context)
        except StatusError as error:
            context.abort(_status(error.code), error.message)

    return respond
