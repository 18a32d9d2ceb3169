"""The real Triton as a process of the tests, and `RealTriton`: the same with the face of `FakeTriton`."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import socketserver
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from typing_extensions import Self

from nupic_client._core.kserve import wire
from nupic_client.local.engine import (
    EngineError,
    EngineRequest,
    FinalPlacement,
    ServedModel,
    StreamAbort,
    StreamEnd,
    text_signature,
)
from nupic_client.local.engines.scripted import ReplySource, ScriptedEngine
from nupic_client.local.kserve.outputs import joined
from nupic_client.local.kserve.responses import ResponseWriter
from nupic_client.local.triton.config import config_text
from nupic_client.local.triton.process import TritonProcess
from nupic_client.testing import Cancellation

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from nupic_client.signature import ModelSignature

__all__ = ["REPOSITORY", "RealTriton", "TritonServer"]

HERE = Path(__file__).parent
REPOSITORY = HERE / "repository"


def _sleeps(process: int) -> bool:
    """Tell whether all threads of a process wait for something at this moment."""
    stats = Path(f"/proc/{process}/task").glob("*/stat")
    try:
        return all(stat.read_text().rpartition(") ")[2].startswith("S") for stat in stats)
    except (FileNotFoundError, ProcessLookupError):  # a thread ended between the listing and the look
        return False


class TritonServer(TritonProcess):
    """The real server with the models of these tests.

    Args:
        repository: the folder with the models.
        options: further options for the program.
        environment: further variables for it and its models.
        port: the port; 0 picks a free one.
        http_port: the port for HTTP, 0 for a free one; None for no HTTP.
    """

    def __init__(
        self,
        repository: Path = REPOSITORY,
        *options: str,
        environment: Mapping[str, str] | None = None,
        port: int = 0,
        http_port: int | None = None,
    ) -> None:
        super().__init__(
            repository,
            port=port,
            http_port=http_port,
            # The models tell the tests with which metadata a request came.
            options=["--grpc-header-forward-pattern=x-.*", *options],
            environment=environment,
            backends=(HERE / "backends").iterdir(),
        )

    def variables(self) -> dict[str, str]:
        return {
            **super().variables(),
            "NUPIC_TEST_CODE": str(HERE / "model_code"),
            "NUPIC_TEST_EVENTS": str(self.folder / "events.jsonl"),
        }

    @property
    def events(self) -> list[dict[str, Any]]:
        """What the models have noted so far, above all cancellations."""
        path = self.folder / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


_FAKE_ONLY = frozenset({"ready", "models_ready", "exiting", "calls"})


class RealTriton:
    """The real server with a script for its answers: what `FakeTriton` is, over the real protocol.

    The server's models ask this object what to answer, so replies may be functions, and the script means the
    same as with `FakeTriton`; how requests are checked, answered and cancelled is up to the real server. It
    differs in this:

    - `requests` has only those that reached a model. ``parameters`` lacks the ``triton_`` ones, which the
      server keeps to itself; ``metadata`` has only names that begin with ``x-``.
    - Steps that no model can do (`abort`, `end`, `raw` with bytes) skip the test, and so do the attributes
      for what only a fake server can do or know (``ready``, ``exiting``, ``calls``).

    Args:
        reply: as for `FakeTriton`.
        models: signatures of the models to serve instead of the test repository.
        final: where the final mark of a streamed answer goes.
        options: further options for the program.
    """

    def __init__(
        self,
        reply: ReplySource = ("Hello", ", ", "world", "!"),
        *,
        models: Iterable[ModelSignature] | None = None,
        final: FinalPlacement = "separate",
        options: Sequence[str] = (),
    ) -> None:
        self._engine = ScriptedEngine(reply, on_cancel=self._cancelled)
        self._options = options
        self._check(reply)
        self._generated = models is not None
        signatures = (
            [text_signature("gpt.streaming"), text_signature("gpt", decoupled=False)]
            if models is None
            else models
        )
        self._models = {item.name: ServedModel(item.name, item, self._engine) for item in signatures}
        self._folder = Path(tempfile.mkdtemp(prefix="nupic-replies-"))
        self.final = final
        """Where the final mark of the next streamed answers goes."""
        self._changed = threading.Condition()
        self._requests: list[EngineRequest] = []
        self._cancellations: list[Cancellation] = []
        self._listener: _Listener | None = None
        self._models_folder = self._repository() if self._generated else REPOSITORY
        self.server = self._process()
        """The process."""

    def _process(self, port: int = 0) -> TritonServer:
        environment = {"NUPIC_TEST_REPLIES": str(self._folder / "socket")}
        return TritonServer(
            self._models_folder, *self._options, environment=environment, port=port, http_port=0
        )

    def _repository(self) -> Path:
        repository = self._folder / "models"
        for model in self._models.values():
            folder = repository / model.name
            shutil.copytree(REPOSITORY / "gpt" / "1", folder / "1")
            (folder / "config.pbtxt").write_text(config_text(model.signature))
        return repository

    # --- life

    def start(self) -> RealTriton:
        """Start the server; returns when its models are ready."""
        self._listener = _Listener(str(self._folder / "socket"), self._converse)
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()
        try:
            self.server.start()
        except BaseException:
            self.stop()
            raise
        return self

    def restart(self) -> None:
        """Start it again on the same port; returns when its models are ready."""
        url = self.url
        self.server.kill()
        self.server = self._process(int(url.rpartition(":")[2]))
        self.server.start()

    def kill_models(self) -> None:
        """Kill the processes of the models (SIGKILL), each at a moment when it sleeps.

        One that is killed while it holds the lock of the memory that it shares with the server takes the server with it:
        Triton 2.51 aborts with ``boost::interprocess::lock_exception``.
        """
        assert self.server.process is not None
        for child in psutil.Process(self.server.process.pid).children():
            end = time.monotonic() + 10
            while not _sleeps(child.pid):
                assert time.monotonic() < end, f"process {child.pid} is never idle"
                time.sleep(0.002)
            child.kill()

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.server.running

    def stop(self, *, gently: bool = False) -> None:
        """Stop the server, at once unless ``gently``. Idempotent."""
        (self.server.stop if gently else self.server.kill)()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown()
            listener.server_close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """``host:port`` to connect to."""
        return self.server.url

    # --- what it says

    @property
    def http_url(self) -> str:
        """``host:port`` of its HTTP."""
        return self.server.http_url

    @property
    def reply(self) -> ReplySource:
        """What the next requests are answered with."""
        return self._engine.reply

    @reply.setter
    def reply(self, reply: ReplySource) -> None:
        self._check(reply)
        self._engine.reply = reply

    @staticmethod
    def _check(reply: ReplySource) -> None:
        for step in reply if isinstance(reply, (list, tuple)) else ():
            if type(step).__name__ in {"_Abort", "_End"} or isinstance(
                getattr(step, "response", None), bytes
            ):
                pytest.skip(f"the real server cannot be told to do this: {step}")

    def __getattr__(self, name: str) -> Any:
        if name in _FAKE_ONLY:
            pytest.skip(f"the real server has nothing like FakeTriton.{name}")
        raise AttributeError(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FAKE_ONLY:
            pytest.skip(f"the real server cannot be told: FakeTriton.{name} = {value!r}")
        super().__setattr__(name, value)

    # --- what it saw

    @property
    def requests(self) -> Sequence[EngineRequest]:
        """Every request that reached a model so far, in the order of arrival."""
        with self._changed:
            return tuple(self._requests)

    @property
    def cancellations(self) -> Sequence[Cancellation]:
        """Every generation that its model saw cancelled, in order."""
        with self._changed:
            return tuple(self._cancellations)

    def clear(self) -> None:
        """Forget the recorded requests and cancellations, also those of generations that still run."""
        with self._changed:
            self._requests = []
            self._cancellations = []

    def wait_for_requests(self, count: int = 1, *, timeout: float = 10.0) -> Sequence[EngineRequest]:
        """Wait until this many requests have reached a model, and return all of them.

        Raises:
            AssertionError: they did not come in time.
        """
        with self._changed:
            came = self._changed.wait_for(lambda: len(self._requests) >= count, timeout)
            assert came, f"{len(self._requests)} of {count} requests arrived within {timeout} s"
            return tuple(self._requests)

    def wait_for_cancellation(self, count: int = 1, *, timeout: float = 10.0) -> Sequence[Cancellation]:
        """Wait until the models have seen this many generations cancelled, and return all of them.

        Raises:
            AssertionError: they were not cancelled in time.
        """
        with self._changed:
            came = self._changed.wait_for(lambda: len(self._cancellations) >= count, timeout)
            assert came, (
                f"{len(self._cancellations)} of {count} generations were cancelled within {timeout} s "
                f"({len(self._requests)} requests arrived)"
            )
            return tuple(self._cancellations)

    def _cancelled(self, request: EngineRequest, sent: int) -> None:
        with self._changed:
            # A generation of an earlier test may end only now.
            if any(request is known for known in self._requests):
                self._cancellations.append(Cancellation(request.request_id, sent, request.model))
                self._changed.notify_all()

    # --- the models' questions

    def _converse(self, connection: socket.socket) -> None:
        """Answer one request: read the question, write the chunks, and notice when the model hangs up."""
        with connection.makefile("rb") as lines:
            request = self._read(json.loads(lines.readline()))
            with self._changed:
                self._requests.append(request)
                self._changed.notify_all()
            cancelled = threading.Event()
            threading.Thread(target=_wait_for_end, args=(lines, cancelled), daemon=True).start()
            with contextlib.closing(self._answers(request, cancelled)) as answers:
                try:
                    for answer in answers:
                        connection.sendall(json.dumps(answer).encode() + b"\n")
                except OSError:  # the model has hung up: what it saw must be known before the script ends
                    cancelled.wait(10)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            cancelled.wait(10)  # until the model has read everything and hangs up

    def _answers(self, request: EngineRequest, cancelled: threading.Event) -> Generator[dict[str, Any]]:
        model = self._models[request.model]
        writer = ResponseWriter(model, request)
        chunks = model.engine.generate(request, cancelled)
        final = False
        try:
            for chunk in chunks if model.signature.decoupled else joined(chunks):
                if chunk.raw is not None:
                    yield _as_it_is(chunk.raw)
                    continue
                response, final = writer.content(chunk), chunk.final
                outputs = [] if response is None else _outputs(response)
                if outputs or final:
                    yield {"outputs": outputs, "final": final}
        except EngineError as error:
            yield {"error": str(error)}
        except (StreamAbort, StreamEnd) as control:
            yield {"error": f"the real server cannot be told to do this: {control!r}"}
        except Exception as error:
            yield {"error": f"{type(error).__name__}: {error}"}
        else:
            if not final and not cancelled.is_set():
                yield {"outputs": [], "final": True}
        finally:
            chunks.close()

    def _read(self, question: dict[str, Any]) -> EngineRequest:
        inputs: dict[str, Any] = {}
        for name, item in question["inputs"].items():
            values = [_readable(value) if item["datatype"] == "BYTES" else value for value in item["values"]]
            inputs[name] = values if item["many"] else values[0]
        model = self._models[question["model"]]
        headers = {key: value for key, value in question["parameters"].items() if key.startswith("x-")}
        prompt = inputs.get(model.text_input, "")
        return EngineRequest(
            model=model.name,
            request_id=question["request_id"],
            prompt=prompt if isinstance(prompt, str) else "",
            inputs=inputs,
            parameters={key: value for key, value in question["parameters"].items() if key not in headers},
            metadata=headers,
            method="ModelStreamInfer" if model.signature.decoupled else "ModelInfer",
            outputs=tuple(question["outputs"]),
            final=self.final,
        )


def _readable(value: str) -> str | bytes:
    data = value.encode("latin-1")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _outputs(response: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": output.name,
            "datatype": output.datatype,
            "shape": list(output.shape),
            "raw": base64.b64encode(raw).decode(),
        }
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    ]


def _as_it_is(response: Any) -> dict[str, Any]:
    """Return what makes a model send this response, as far as a model can: its outputs or its error."""
    if isinstance(response, bytes):
        return {"error": "the real server cannot be told to send bytes that are no message"}
    if response.error_message:
        return {"error": response.error_message}
    parameters = response.infer_response.parameters
    final = wire.FINAL_PARAMETER in parameters and parameters[wire.FINAL_PARAMETER].bool_param
    return {"outputs": _outputs(response.infer_response), "final": final}


def _wait_for_end(lines: Any, ended: threading.Event) -> None:
    with contextlib.suppress(OSError, ValueError):
        lines.read()
    ended.set()


# Where there is none the server does not run either, but the tests that need it must still be collected.
_SocketServer: Any = getattr(socketserver, "UnixStreamServer", socketserver.TCPServer)


class _Listener(socketserver.ThreadingMixIn, _SocketServer):
    """The socket that the models ask."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, path: str, converse: Any) -> None:
        self._converse = converse
        super().__init__(path, socketserver.BaseRequestHandler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._converse(request)
