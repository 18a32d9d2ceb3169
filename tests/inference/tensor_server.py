"""A server that answers with the very bytes it was sent, at once or as a stream, counts what runs and can hold it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from typing import Any

import grpc
import numpy as np
from typing_extensions import Self

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import decode_bytes_tensor
from nupic_client.signature import ModelSignature, TensorSpec


def signature(
    name: str,
    inputs: Mapping[str, tuple[str, tuple[int, ...]]],
    outputs: Mapping[str, tuple[str, tuple[int, ...]]] | None = None,
    **options: Any,
) -> ModelSignature:
    optional = options.pop("optional", ())
    return ModelSignature(
        name,
        {key: TensorSpec(key, *spec, optional=key in optional) for key, spec in inputs.items()},
        {key: TensorSpec(key, *spec) for key, spec in (outputs or inputs).items()},
        **options,
    )


def echo(request: Any) -> Any:
    """Answer with the inputs, byte for byte, under their names."""
    response = wire.pb.ModelInferResponse(
        model_name=request.model_name, model_version="1", id=request.id, parameters=request.parameters
    )
    for item in request.inputs:
        response.outputs.add(name=item.name, datatype=item.datatype, shape=item.shape)
    response.raw_output_contents.extend(request.raw_input_contents)
    return response


def streamed(answer: Any = None, *, final: bool | None = False, error: str = "", request_id: str = "") -> Any:
    """Wrap a response as a stream of Triton's carries it; without one it is empty."""
    message = wire.pb.ModelStreamInferResponse(error_message=error)
    if answer is not None:
        message.infer_response.CopyFrom(answer)
    if request_id:
        message.infer_response.id = request_id
    if final is not None:
        message.infer_response.parameters[wire.FINAL_PARAMETER].bool_param = final
    return message


def repeat(request: Any) -> Iterator[Any]:
    """Answer with each element of the first input in a response of its own, and an empty final one."""
    (tensor, raw), *_ = zip(request.inputs, request.raw_input_contents, strict=True)
    size = len(raw) // max(math.prod(tensor.shape), 1)
    for start in range(0, len(raw), size or 1):
        response = wire.pb.ModelInferResponse(model_name=request.model_name, model_version="1", id=request.id)
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=[1])
        response.raw_output_contents.append(raw[start : start + size])
        yield streamed(response)
    yield streamed(final=True, request_id=request.id)


class TensorServer:
    """A context manager.

    Args:
        signatures: of the models.
        answer: makes a response from a ``ModelInferRequest``; may raise `RefusedError`.
        stream: makes the responses of a stream from a ``ModelInferRequest``: messages, bytes, seconds to wait; may raise
            `RefusedError`.
    """

    def __init__(
        self,
        *signatures: ModelSignature,
        answer: Callable[[Any], Any] = echo,
        stream: Callable[[Any], Iterable[Any]] = repeat,
    ) -> None:
        self.signatures = {item.name: item for item in signatures}
        self.answer = answer
        self.stream = stream
        self.with_config = True
        self.gate = threading.Event()
        """Requests wait for it; open by default."""
        self.gate.set()
        self.held: Callable[[Any], bool] = lambda request: True
        """Which requests wait for the gate."""
        self.changed = threading.Condition()
        self.running = 0
        self.most_running = 0
        self.requests: list[Any] = []
        self.keep_requests = True
        self.count = 0
        self.cancelled = 0
        self.configs = 0
        self.trailers: tuple[tuple[str, str | bytes], ...] = ()

    def __enter__(self) -> Self:
        self._server = grpc.server(
            futures.ThreadPoolExecutor(128),
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )
        methods = {"ModelInfer": self._infer, "ModelConfig": self._config, "ModelMetadata": self._metadata}
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                method,
                request_deserializer=wire.METHODS[name][0].FromString,
                response_serializer=wire.serialize,
            )
            for name, method in methods.items()
        }
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=wire.pb.ModelInferRequest.FromString,
            response_serializer=wire.serialize,
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),)
        )
        self.url = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.stop(0).wait()

    def wait_for(self, condition: Callable[[TensorServer], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self), 10), "it did not happen in 10 s"

    def _find(self, name: str, context: Any) -> ModelSignature:
        found = self.signatures.get(name)
        if found is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
        return found

    def _config(self, request: Any, context: Any) -> Any:
        if not self.with_config:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "")
        self.configs += 1
        found = self._find(request.name, context)
        response = wire.pb.ModelConfigResponse()
        config = response.config
        config.name = found.name
        config.max_batch_size = found.max_batch_size
        config.model_transaction_policy.decoupled = found.decoupled
        for field, specs in ((config.input, found.inputs), (config.output, found.outputs)):
            for spec in specs.values():
                item = field.add(name=spec.name, dims=spec.shape)
                item.data_type = wire.pb.model__config__pb2.DataType.Value(
                    f"TYPE_{'STRING' if spec.datatype == 'BYTES' else spec.datatype}"
                )
                if spec.optional:
                    item.optional = True
        return response

    def _metadata(self, request: Any, context: Any) -> Any:
        found = self._find(request.name, context)
        response = wire.pb.ModelMetadataResponse(name=found.name)
        batch = (-1,) if found.max_batch_size else ()
        for field, specs in ((response.inputs, found.inputs), (response.outputs, found.outputs)):
            for spec in specs.values():
                field.add(name=spec.name, datatype=spec.datatype, shape=(*batch, *spec.shape))
        return response

    def _stream(self, requests: Any, context: Any) -> Iterator[Any]:
        request = next(requests)
        ended = self._begin(request, context)
        done = False
        try:
            for step in self.stream(request):
                if isinstance(step, (int, float)):
                    ended.wait(step)
                else:
                    yield step
            done = True
        except RefusedError as refused:
            done = True
            context.abort(refused.code, refused.details)
        finally:
            with self.changed:
                self.running -= 1
                self.cancelled += not done or ended.is_set()
                self.changed.notify_all()

    def _begin(self, request: Any, context: Any) -> threading.Event:
        """Count a request, and return what is set when its call is over."""
        context.set_trailing_metadata(self.trailers)
        ended = threading.Event()
        if not context.add_callback(ended.set):
            ended.set()
        with self.changed:
            self.count += 1
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            if self.keep_requests:
                self.requests.append(request)
            self.changed.notify_all()
        return ended

    def _infer(self, request: Any, context: Any) -> Any:
        ended = self._begin(request, context)
        try:
            while self.held(request) and not self.gate.wait(0.01):
                if ended.is_set():
                    with self.changed:
                        self.cancelled += 1
                    return None
            try:
                return self.answer(request)
            except RefusedError as refused:
                context.abort(refused.code, refused.details)
        finally:
            with self.changed:
                self.running -= 1
                self.changed.notify_all()


class RefusedError(Exception):
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details


def embedder() -> TensorServer:
    """Return a server that turns a text into its length and a one, and refuses requests with the text "bad"."""
    model = signature("embed", {"text": ("BYTES", (1,))}, {"v": ("FP32", (2,))}, max_batch_size=8)
    server = TensorServer(model)

    def respond(request: Any) -> Any:
        texts = [bytes(text) for text in decode_bytes_tensor(request.raw_input_contents[0])]
        if b"bad" in texts:
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "bad is not a word")
        vectors = np.array([[len(text), 1] for text in texts], np.float32)
        response = wire.pb.ModelInferResponse(model_name="embed")
        response.outputs.add(name="v", datatype="FP32", shape=vectors.shape)
        response.raw_output_contents.append(vectors.tobytes())
        return response

    server.answer = respond
    return server
