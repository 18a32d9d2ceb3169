"""FakeTriton: a server with the real protocol, a real port and scripted answers."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any

from typing_extensions import Self

from nupic_client._numbers import check_wait
from nupic_client._repr import server_repr
from nupic_client.local.engine import EngineRequest, FinalPlacement, ServedModel, text_signature
from nupic_client.local.engines.scripted import ReplySource, ScriptedEngine
from nupic_client.local.kserve.limits import UNLIMITED, ServerLimits
from nupic_client.local.kserve.repository import Repository
from nupic_client.local.kserve.server import InferenceServer
from nupic_client.local.kserve.servicer import EXTENSIONS
from nupic_client.server_info import ServerInfo
from nupic_client.signature import ModelSignature

__all__ = ["Cancellation", "FakeTriton"]

_DEFAULT_REPLY = ("Hello", ", ", "world", "!")
_EXTENSIONS = (*EXTENSIONS[:-3], "system_shared_memory", *EXTENSIONS[-3:], "trace", "logging")
"""Those of the embedded server, and what only tests want, in the real server's order."""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A generation that the client cancelled.

    Args:
        request_id: the id of the request.
        tokens_sent: the number of text steps that were sent.
        model: the model of the request.
    """

    request_id: str
    tokens_sent: int
    model: str


class FakeTriton:
    """A server for tests with scripted answers. Use it as a context manager, or call `start` and `stop`.

    It checks requests as the real server does, with the same error texts. Like Triton, it checks only the *number* of
    inputs, so a request whose prompt input has the wrong name is still answered. Tests may read and set its attributes
    from any thread while it runs.

    Args:
        reply: the answer to every request: a list of steps, a `Reply`, or a function that returns either for the
            recorded request. A text is one response; other steps are `sleep`, `fail`, `silence`, `abort`, `end` and
            `raw`.
        models: the models, in place of ``gpt.streaming`` (decoupled) and ``gpt`` (not decoupled). A `ModelSignature`
            is served with the script, a `ServedModel` with its own engine.
        final: the place of the final mark of a streamed answer.
        ready: whether the server and its models are ready from the start.
        host: the address to listen on.
        port: the port; 0 picks a free one, and keeps it when the server is started again. With a fixed port a test can
            stop a server and start another in its place.
        explicit: whether clients may load and unload models.
        credentials: a ``grpc.ServerCredentials`` to serve with TLS; None serves in plain text.
        bearer_tokens: the bearer tokens that are accepted, other calls end with UNAUTHENTICATED; None accepts every call.
        limits: bounds for what clients ask for; none by default.
        name: the server's name in its metadata.
        version: the server's version in its metadata.
        extensions: the protocol extensions in its metadata.
        server_options: gRPC server arguments by name, as ``grpc.max_connection_age_ms``.
        batch_dimension: False leaves the batch dimension out of the outputs, as TensorRT-LLM's postprocessing does; for
            one of several models, set it at its `ServedModel`.

    Raises:
        ConfigurationError: on entering, if the port is not free.

    Example:
        >>> with FakeTriton(["Hello", sleep(0.05), " world"]) as server:
        ...     client = StreamingClient("gpt", url=server.url)  # doctest: +SKIP
    """

    def __init__(
        self,
        reply: ReplySource = _DEFAULT_REPLY,
        *,
        models: Iterable[ServedModel | ModelSignature] | None = None,
        final: FinalPlacement = "separate",
        ready: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
        explicit: bool = False,
        credentials: Any = None,
        bearer_tokens: Collection[str] | None = None,
        limits: ServerLimits = UNLIMITED,
        name: str = "triton",
        version: str = "2.51.0",
        extensions: Sequence[str] = _EXTENSIONS,
        server_options: Mapping[str, str | int] = MappingProxyType({}),
        batch_dimension: bool = True,
    ) -> None:
        self._engine = ScriptedEngine(reply, on_cancel=self._cancelled)
        if models is None:
            models = [text_signature("gpt.streaming"), text_signature("gpt", decoupled=False)]
        served = [
            ServedModel(item.name, item, self._engine, final=final, batch_dimension=batch_dimension)
            if isinstance(item, ModelSignature)
            else item
            for item in models
        ]
        self._repository = Repository(served, explicit=explicit, tests=True)
        self._server = InferenceServer(
            self._repository,
            host=host,
            port=port,
            on_request=self._received,
            on_call=self._called,
            credentials=credentials,
            bearer_tokens=bearer_tokens,
            limits=limits,
            info=ServerInfo(name=name, version=version, extensions=tuple(extensions)),
            options=server_options,
        )
        self._changed = threading.Condition()
        self._requests: list[EngineRequest] = []
        self._calls: list[str] = []
        self._metadata: list[Mapping[str, str | bytes]] = []
        self._cancellations: list[Cancellation] = []
        self.models_ready: MutableMapping[str, bool] = _ModelsReady(self._repository)
        """Whether each model is ready, by name; may be set while the server runs."""
        self.ready = ready
        if not ready:
            for model in self.models_ready:
                self.models_ready[model] = False

    # --- start and stop

    def start(self) -> Self:
        """Listen; returns when clients can connect.

        Raises:
            ConfigurationError: the port is not free.
        """
        self._server.start()
        return self

    def stop(self, grace: float | None = None) -> None:
        """Stop listening and cut running calls, like a killed server. Idempotent; `start` works again, on the same port.

        Args:
            grace: seconds that running calls may take to end.
        """
        self._server.stop(check_wait(grace))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """``host:port`` to connect to; empty before the start."""
        return self._server.url

    def __repr__(self) -> str:
        server = getattr(self, "_server", None)
        if server is None or not server.running:
            state = "stopped" if server is not None and server.url else "not started"
        else:
            state = "ready" if self.ready and not self.exiting else "not ready"
        return server_repr(self, state)

    # --- answers

    @property
    def bearer_tokens(self) -> Collection[str] | None:
        """The bearer tokens that are accepted; may be set while the server runs."""
        return self._server.bearer_tokens

    @bearer_tokens.setter
    def bearer_tokens(self, tokens: Collection[str] | None) -> None:
        self._server.bearer_tokens = tokens

    @property
    def reply(self) -> ReplySource:
        """The answer to the next requests."""
        return self._engine.reply

    @reply.setter
    def reply(self, reply: ReplySource) -> None:
        self._engine.reply = reply

    @property
    def ready(self) -> bool:
        """The answer to ServerReady; models have their own readiness in ``models_ready``."""
        return self._repository.ready

    @ready.setter
    def ready(self, ready: bool) -> None:
        self._repository.ready = ready

    @property
    def exiting(self) -> bool:
        """Whether it behaves like the real server during its shutdown.

        Running streams go on, new requests fail because the model has no available versions, and the health calls end
        with UNAVAILABLE.
        """
        return self._repository.exiting

    @exiting.setter
    def exiting(self, exiting: bool) -> None:
        self._repository.exiting = exiting

    # --- records

    @property
    def requests(self) -> Sequence[EngineRequest]:
        """All inference requests so far, refused ones included, in the order of their arrival."""
        with self._changed:
            return tuple(self._requests)

    @property
    def calls(self) -> Sequence[str]:
        """The method names of all calls so far, such as ``"ModelConfig"``, in the order of their arrival."""
        with self._changed:
            return tuple(self._calls)

    @property
    def metadata(self) -> Sequence[Mapping[str, str | bytes]]:
        """The metadata of all calls so far, in the order of `calls`."""
        with self._changed:
            return tuple(self._metadata)

    @property
    def cancellations(self) -> Sequence[Cancellation]:
        """All generations that were cancelled, in order."""
        with self._changed:
            return tuple(self._cancellations)

    def clear(self) -> None:
        """Forget the recorded requests, calls and cancellations."""
        with self._changed:
            self._calls.clear()
            self._metadata.clear()
            self._requests.clear()
            self._cancellations.clear()

    def wait_for_requests(self, count: int = 1, *, timeout: float = 5.0) -> Sequence[EngineRequest]:
        """Wait until this many requests have arrived, and return all of them.

        Args:
            count: the number of requests since the start or the last `clear`.
            timeout: seconds to wait.

        Raises:
            AssertionError: they did not arrive in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._requests) >= count, check_wait(timeout)):
                ids = [request.request_id for request in self._requests]
                raise AssertionError(f"{len(ids)} of {count} requests arrived within {timeout} s: {ids}")
            return tuple(self._requests)

    def wait_for_cancellation(self, count: int = 1, *, timeout: float = 5.0) -> Sequence[Cancellation]:
        """Wait until this many generations were cancelled, and return all of them.

        Args:
            count: the number of cancellations since the start or the last `clear`.
            timeout: seconds to wait.

        Raises:
            AssertionError: they were not cancelled in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._cancellations) >= count, check_wait(timeout)):
                raise AssertionError(
                    f"{len(self._cancellations)} of {count} generations were cancelled within {timeout} s "
                    f"({len(self._requests)} requests arrived): {self._cancellations}"
                )
            return tuple(self._cancellations)

    def _called(self, method: str, metadata: Mapping[str, str | bytes]) -> None:
        with self._changed:
            self._calls.append(method)
            self._metadata.append(metadata)

    def _received(self, request: EngineRequest) -> None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def _cancelled(self, request: EngineRequest, sent: int) -> None:
        with self._changed:
            self._cancellations.append(Cancellation(request.request_id, sent, request.model))
            self._changed.notify_all()


class _ModelsReady(MutableMapping[str, bool]):
    """The readiness of the models of a repository, as a mapping."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def __getitem__(self, name: str) -> bool:
        self._known(name)
        return self._repository.is_ready(name)

    def __setitem__(self, name: str, ready: bool) -> None:
        self._known(name)
        self._repository.set_ready(name, ready=ready)

    def __delitem__(self, name: str) -> None:
        raise TypeError("models cannot be removed from a running server; set them to False")

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    @property
    def _models(self) -> Mapping[str, ServedModel]:
        return self._repository.models

    def _known(self, name: str) -> None:
        if name not in self._models:
            raise KeyError(f"there is no model {name!r}; there are {sorted(self._models)}")
