"""A server of KServe v2 over HTTP: Triton's answers with its extensions, or those of a server that has none of them."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from google.protobuf.json_format import MessageToDict
from inference.tensor_server import TensorServer, echo
from typing_extensions import Self

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import decode_bytes_tensor, decode_numbers, encode_tensor
from nupic_client.signature import ModelSignature


class RefusedError(Exception):
    """An answer that is none."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, text)
        self.status, self.headers = status, headers or {}
        self.body = text if text.startswith(("<", "{")) or not text else json.dumps({"error": text})


class RestServer:
    """A context manager.

    Args:
        signatures: of the models.
        answer: makes a ``ModelInferResponse`` from a ``ModelInferRequest``; may raise `RefusedError`.
        extensions: whether it has Triton's: model configurations and binary tensors.
        path: what stands before ``/v2``.
        context: for TLS.
    """

    def __init__(
        self,
        *signatures: ModelSignature,
        answer: Callable[[Any], Any] = echo,
        extensions: bool = True,
        path: str = "",
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.models = TensorServer(*signatures)
        self.answer = answer
        self.extensions = extensions
        self.path = path
        self.context = context
        self.tokens: set[str] | None = None
        self.ready = True
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.requests: list[Any] = []
        self.connections = 0
        self.close_after_answer = False
        """Close each connection behind an answer, without saying so in it."""
        self.open: set[Any] = set()
        self.events: Callable[[dict[str, Any]], Iterable[Any]] | None = None
        """Makes the answer to a request for a streamed text: an event for each mapping, bytes as they are, and an `Event` to
        wait for; None where the server has no such call."""
        self.event_status = 200
        self.event_type = "text/event-stream; charset=utf-8"
        self.event_headers: dict[str, str] = {}
        self.prompts: list[dict[str, Any]] = []
        """What was asked to be streamed."""
        self.gone: list[str] = []
        """The paths of the requests whose client went away."""
        self.running = 0
        self.most_running = 0
        self.changed = threading.Condition()

    def __enter__(self) -> Self:
        server = self
        handler = type("Handler", (Handler,), {"rest": server})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        if self.context is not None:
            self.server.socket = self.context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "http" if self.context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_port}{self.path}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        for each in list(self.open):
            each.close_connection = True
            each.connection.close()

    def reply(self, verb: str, path: str, headers: Any, body: bytes) -> tuple[dict[str, Any], list[bytes]]:
        self._check_token(headers)
        parts = [unquote(part) for part in path.removeprefix(self.path).strip("/").split("/")]
        match (verb, *parts):
            case ("GET", "v2"):
                return {"name": "rest", "extensions": ["binary_tensor_data"] * self.extensions}, []
            case ("GET", "v2", "health", "ready"):
                if not self.ready:
                    raise RefusedError(400, "")
                return {}, []
            case ("GET", "v2", "models", name, "ready"):
                if name not in self.models.signatures:
                    raise RefusedError(400, "Model version not ready")
                return {}, []
            case ("GET", "v2", "models", name, *_, "config") if self.extensions:
                return self._described("_config", name)["config"], []
            case ("GET", "v2", "models", name):
                return self._described("_metadata", name), []
            case ("POST", "v2", "repository", "index") if self.extensions:
                return [{"name": name, "state": "READY"} for name in self.models.signatures], []  # type: ignore[return-value]
            case ("POST", "v2", "models", name, *_, "infer"):
                with self._counted():
                    return self._infer(name, headers, body)
        raise RefusedError(404, '{"detail":"Not Found"}')

    def _check_token(self, headers: Any) -> None:
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if self.tokens is not None and given not in self.tokens:
            raise RefusedError(401, f"who is {given}?")

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self.changed:
            self.running += 1
            self.most_running = max(self.running, self.most_running)
            self.changed.notify_all()
        try:
            yield
        finally:
            with self.changed:
                self.running -= 1
                self.changed.notify_all()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, 10)

    def _described(self, method: str, name: str) -> dict[str, Any]:
        request = wire.pb.ModelConfigRequest(name=name)
        context = Context()
        answer = getattr(self.models, method)(request, context)
        return MessageToDict(
            answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )

    def _infer(self, name: str, headers: Any, body: bytes) -> tuple[dict[str, Any], list[bytes]]:
        size = int(headers.get("Inference-Header-Content-Length") or len(body))
        head = json.loads(body[:size])
        request = wire.pb.ModelInferRequest(model_name=name, id=head.get("id", ""))
        wire.set_parameters(request, head.get("parameters", {}))
        for item in head["inputs"]:
            described = request.inputs.add(name=item["name"], datatype=item["datatype"], shape=item["shape"])
            parameters = item.get("parameters", {})
            length = parameters.pop("binary_data_size", None)
            wire.set_parameters(described, parameters)
            assert (length is None) is not self.extensions
            if length is None:
                request.raw_input_contents.append(encoded(item["datatype"], item["data"]))
            else:
                request.raw_input_contents.append(body[size : size + length])
                size += length
        assert size == len(body)
        for item in head.get("outputs", ()):
            wire.set_parameters(request.outputs.add(name=item["name"]), item.get("parameters", {}))
        self.requests.append(request)
        response = self.answer(request)
        binary = request.parameters["binary_data_output"].bool_param or any(
            item.get("parameters", {}).get("binary_data") for item in head.get("outputs", ())
        )
        answer = {"id": response.id, "model_name": response.model_name, "model_version": "1", "outputs": []}
        answer["parameters"] = dict(wire.parameters_of(response))
        blobs = []
        for item, raw in zip(response.outputs, response.raw_output_contents, strict=True):
            output = {"name": item.name, "datatype": item.datatype, "shape": list(item.shape)}
            if item.parameters:
                output["parameters"] = dict(wire.parameters_of(item))
            if binary:
                output.setdefault("parameters", {})["binary_data_size"] = len(raw)
                blobs.append(raw)
            else:
                output["data"] = decoded(item.datatype, raw)
            answer["outputs"].append(output)
        return answer, blobs


class Context:
    def abort(self, code: Any, details: str) -> None:
        raise RefusedError(404, details)


def encoded(datatype: str, data: list[Any]) -> bytes:
    if datatype == "BF16":
        raw = encode_tensor("FP32", data)
        return b"".join(raw[index + 2 : index + 4] for index in range(0, len(raw), 4))
    return encode_tensor(datatype, data)


def decoded(datatype: str, raw: bytes) -> list[Any]:
    if datatype == "BYTES":
        return [element.decode() for element in decode_bytes_tensor(raw)]
    if datatype == "BF16":
        return decode_numbers(
            "FP32", b"".join(b"\0\0" + raw[index : index + 2] for index in range(0, len(raw), 2))
        )
    return decode_numbers(datatype, raw)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are sent one after the other
    rest: RestServer

    def setup(self) -> None:
        super().setup()
        self.rest.connections += 1
        self.rest.open.add(self)

    def finish(self) -> None:
        self.rest.open.discard(self)
        super().finish()

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().handle()

    def do_GET(self) -> None:
        self.rest.paths.append(self.path)
        self.rest.headers.append({name.lower(): value for name, value in self.headers.items()})
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/generate_stream") and self.rest.events is not None:
            self.stream(json.loads(body))
            return
        try:
            answer, blobs = self.rest.reply(self.command, self.path, self.headers, body)
        except RefusedError as refused:
            self.send(refused.status, refused.body.encode(), refused.headers)
            return
        text = json.dumps(answer).encode()
        extra = {"Inference-Header-Content-Length": str(len(text))} if blobs else {}
        self.send(200, b"".join((text, *blobs)), extra)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.close_connection or self.rest.close_after_answer

    def stream(self, asked: dict[str, Any]) -> None:
        rest = self.rest
        rest.prompts.append(asked)
        assert rest.events is not None
        self.send_response_only(rest.event_status)
        self.send_header("Content-Type", rest.event_type)
        for name, value in {"Transfer-Encoding": "chunked", **rest.event_headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for step in rest.events(asked):
                if isinstance(step, threading.Event):
                    self.wait_for(step)
                    continue
                piece = step if isinstance(step, bytes) else b"data: " + json.dumps(step).encode() + b"\n\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.note_gone()

    def wait_for(self, event: threading.Event) -> None:
        """Wait as a server does that looks whether the client is still there."""
        while not event.wait(0.01):
            if select.select([self.connection], [], [], 0)[0] and not self.connection.recv(
                1, socket.MSG_PEEK
            ):
                raise ConnectionResetError

    def note_gone(self) -> None:
        self.close_connection = True
        with self.rest.changed:
            self.rest.gone.append(self.path)
            self.rest.changed.notify_all()

    def log_message(self, *_: object) -> None:
        pass
