"""`HttpInferenceClient`: the same requests over HTTP, by tritonclient's HTTP client.

For scripts that only have the server's HTTP port. It infers and embeds, one request after the other.
`InferenceClient` does more, and faster.
"""

from __future__ import annotations

import importlib
import ssl
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nupic_client._core.calls.auth import Bearer, SignedCall
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.inference.arrays import from_raw, texts_of
from nupic_client._core.inference.embedding import EmbeddingBatcher, check_texts
from nupic_client._core.inference.inputs import encode_inputs
from nupic_client._core.inference.request import InferenceRequest, check_text
from nupic_client._core.inference.result import InferenceResult
from nupic_client._core.kserve.error_messages import error_from_message
from nupic_client._core.kserve.signature_messages import signature_from_config_json
from nupic_client._public import publish
from nupic_client.config import check_token_path
from nupic_client.endpoint import is_loopback
from nupic_client.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceError,
    ProtocolError,
    RequestError,
    RequestRejectedError,
)
from nupic_client.naming import unary_name
from nupic_client.options import InferOptions
from nupic_client.registry import ModelRegistry, default_registry
from nupic_client.signature import ModelSignature

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self, Unpack

    from nupic_client._core.calls.flows import Flow, Metadata
    from nupic_client._core.inference.arrays import ArrayLike, TextAs

__all__ = ["HttpInferenceClient"]

DEFAULT_URL = "localhost:8000"
"""NuPIC's and Triton's default HTTP port on this machine."""
_OWN = frozenset({"_http", "_bearer", "_connections", "_signature"})
"""What a copy of a client does not take over."""


class HttpInferenceClient:
    """A client for one model over HTTP. Thread-safe: each thread has a connection of its own.

    Args:
        model: a friendly name of the registry or the server's own name of a model.
        url: ``host:port`` with or without ``http://``, or ``https://…``. Default: ``localhost:8000``.
        registry: where the model is looked up. Default: the models that come with the package.
        text: what the elements of BYTES outputs become, ``"str"`` or ``"bytes"``.
        timeout: seconds to wait for the server to connect, and for each chunk of its answer.
        bearer_token: a bearer token that is sent with every request, or a function that returns it: see `StreamingClient`.
        allow_insecure_token: send the token in plain text to another machine.

    A copy, also one that was pickled, has the configuration and makes its own connections.

    Raises:
        ConfigurationError: an argument is wrong, or ``tritonclient[http]`` is not installed.

    Example:
        .. code-block:: python

            client = ClientFactory.get_client("sbert", "localhost:8000", "http")
            vectors = client.infer(["a sentence"])
    """

    def __init__(
        self,
        model: str,
        url: str | None = None,
        *,
        registry: ModelRegistry | None = None,
        text: TextAs = "str",
        timeout: float = 600.0,
        bearer_token: str | Callable[[], str] | None = None,
        allow_insecure_token: bool = False,
    ) -> None:
        self._spec = (registry or default_registry()).resolve(model)
        self._name = unary_name(self._spec.server_name)
        self._text = check_text(text)
        scheme, separator, rest = (url or DEFAULT_URL).rpartition("://")
        if separator and scheme not in {"http", "https"}:
            raise ConfigurationError(
                f"url must be host:port, http://host:port or https://host:port, not {url!r}", parameter="url"
            )
        self._address = rest.rstrip("/")
        self._secure = scheme == "https"
        self._timeout = CallOptions().override({"timeout": timeout}).timeouts.total
        self._bearer_token = bearer_token
        host = urlsplit(f"//{self._address}").hostname or ""
        protected = bearer_token is None or self._secure or is_loopback(host) or allow_insecure_token
        check_token_path(self._address, f"https://{self._address}", protected=protected)
        self._begin()

    def _begin(self) -> None:
        self._http = _load()
        self._bearer = Bearer.of(self._bearer_token)
        self._connections = threading.local()
        self._signature: ModelSignature | None = None

    def __getstate__(self) -> dict[str, Any]:
        # The configuration only: a copy has its own connections and asks the server itself.
        return {name: value for name, value in self.__dict__.items() if name not in _OWN}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    @property
    def url(self) -> str:
        """The server, as ``host:port``."""
        return self._address

    def infer(
        self, inputs: Mapping[str, ArrayLike] | ArrayLike, **options: Unpack[InferOptions]
    ) -> InferenceResult:
        """Send one request and return the model's outputs. Blocks; thread-safe.

        Args:
            inputs: as for `InferenceClient.infer`.
            **options: ``outputs``, ``parameters``, ``text``, ``request_id``, and ``metadata`` as HTTP headers.

        Raises:
            ConfigurationError: the inputs or options do not fit the model.
            RequestError: the request failed.
        """
        return self._send(self._request(options), inputs)

    def embed(
        self,
        texts: str | Iterable[str],
        *,
        output: str | None = None,
        batch_size: int | None = None,
        **options: Unpack[InferOptions],
    ) -> NDArray[np.float32]:
        """Turn texts into vectors, as `InferenceClient.embed` does. Blocks; thread-safe.

        Args:
            texts: as for `InferenceClient.embed`.
            output: as for `InferenceClient.embed`.
            batch_size: as for `InferenceClient.embed`.
            **options: as for `infer`.

        Raises:
            ConfigurationError: as for `InferenceClient.embed`.
            RequestError: a request failed.
        """
        request = self._request(options)
        batcher = EmbeddingBatcher(
            request, self._describe(request), check_texts(texts), output=output, batch_size=batch_size
        )
        for index, inputs in enumerate(batcher.inputs()):
            batcher.add(index, self._send(batcher.request, inputs))
        return batcher.matrix()

    def close(self) -> None:
        """Close this thread's connection; those of other threads close when they end. Idempotent."""
        client = self._connections.__dict__.pop("client", None)
        if client is not None:
            client.close()

    def __enter__(self) -> Self:
        """Return the client; the end of the block closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"HttpInferenceClient({self._name!r}, url={self.url!r})"

    def _request(self, options: InferOptions) -> InferenceRequest:
        if options.get("timeout") is not None:
            raise ConfigurationError(
                "timeout must be given to the client over HTTP, not to a call", parameter="timeout"
            )
        return InferenceRequest.create(
            self._spec,
            {"text": self._text, **options},
            defaults=CallOptions(),
            target=self.url,
            new_id=lambda: uuid.uuid4().hex,
        )

    def _describe(self, request: InferenceRequest) -> ModelSignature:
        if self._signature is None:
            metadata = request.options.metadata
            config = self._call("get_model_config", self._name, self._spec.version, metadata=metadata)
            self._signature = signature_from_config_json(config)
        return self._signature

    def _send(
        self, request: InferenceRequest, inputs: Mapping[str, ArrayLike] | ArrayLike
    ) -> InferenceResult:
        signature = self._describe(request)
        batch = encode_inputs(signature, inputs)
        request.check(signature)
        tensors = []
        for tensor in batch.tensors:
            item = self._http.InferInput(tensor.name, list(tensor.shape), tensor.datatype)
            contents = b"".join(tensor.contents)
            item.set_data_from_numpy(from_raw(tensor.datatype, tensor.shape, contents, "bytes"))
            tensors.append(item)
        request_id = request.options.request_id or request.new_id()
        answer = self._call(
            "infer",
            self._name,
            tensors,
            model_version=self._spec.version,
            outputs=[self._http.InferRequestedOutput(name) for name in request.outputs] or None,
            request_id=request_id,
            metadata=request.options.metadata,
            parameters=dict(request.parameters) or None,
        )
        return self._result(request, answer)

    def _result(self, request: InferenceRequest, answer: Any) -> InferenceResult:
        response: Mapping[str, Any] = answer.get_response()
        arrays = {}
        for output in response["outputs"]:
            name = output["name"]
            array = answer.as_numpy(name)
            try:
                arrays[name] = (
                    texts_of(array) if output["datatype"] == "BYTES" and request.text == "str" else array
                )
            except ValueError as error:
                raise ProtocolError(f"output {name!r} is broken: {error}", model=self._name) from None
        return InferenceResult(
            arrays,
            model=response.get("model_name", self._name),
            version=response.get("model_version", ""),
            request_id=response.get("id", ""),
            parameters=response.get("parameters", {}),
        )

    def _call(self, method: str, *arguments: Any, metadata: Metadata = (), **options: Any) -> Any:
        """Call a method of the connection with the token, and once more with another one if the server wants that."""
        signed = SignedCall(self._bearer, metadata)
        while True:
            sent = self._perform(signed.sign())
            try:
                return self._call_once(method, *arguments, headers=_headers(sent), **options)
            except RequestError as error:
                if not signed.renews(error):
                    shown = signed.hide(error)
                    raise shown from (error.__cause__ if shown is error else None)

    def _perform(self, signing: Flow[Metadata]) -> Metadata:
        try:
            wanted: Any = next(signing)
            while True:
                wanted = signing.send(wanted.source())
        except StopIteration as stop:
            signed: Metadata = stop.value
            return signed

    def _call_once(
        self, method: str, *arguments: Any, headers: Mapping[str, str | bytes] | None, **options: Any
    ) -> Any:
        try:
            return getattr(self._client(), method)(*arguments, headers=headers, **options)
        except self._http.InferenceServerException as error:
            raise self._failed(error.message() or "", str(error.status() or "")) from error
        except TimeoutError as error:
            raise DeadlineExceededError(
                f"no answer within {self._timeout} s", limit=self._timeout, model=self._name, target=self.url
            ) from error
        except OSError as error:
            raise ConnectionFailedError(
                f"cannot reach the server: {error}", model=self._name, target=self.url, retryable=True
            ) from error

    def _failed(self, text: str, code: str) -> RequestError:
        known = _REFUSED.get(code, lambda _text: None)(text) or error_from_message(text)
        if known is None:
            kind = RequestRejectedError if code.startswith("4") else InferenceError
            known = kind(f"the server refused: {text}", server_message=text)
        return known.completed(model=self._name, target=self.url)

    def _client(self) -> Any:
        client = getattr(self._connections, "client", None)
        if client is None:
            # Its connections belong to the thread that made them.
            client = self._connections.client = self._http.InferenceServerClient(
                self._address,
                connection_timeout=self._timeout,
                network_timeout=self._timeout,
                ssl=self._secure,
                ssl_context_factory=ssl.create_default_context if self._secure else None,
            )
        return client


_REFUSED: Mapping[str, Callable[[str], RequestError]] = {
    "401": lambda text: AuthenticationError(
        f"the server wants valid credentials: {text}", status="UNAUTHENTICATED", server_message=text
    ),
    "403": lambda text: AuthenticationError(
        f"these credentials do not allow it: {text}", status="PERMISSION_DENIED", server_message=text
    ),
}
"""What the HTTP status of a server, or of a proxy before it, says by itself."""


def _headers(metadata: Metadata) -> dict[str, str | bytes] | None:
    return {name: value for name, value in metadata} or None  # noqa: C416 - a dict of both kinds of values


def _load() -> ModuleType:
    try:
        return importlib.import_module("tritonclient.http")
    except (ImportError, RuntimeError):
        # Without its extra tritonclient raises RuntimeError.
        raise ConfigurationError(
            "protocol 'http' needs tritonclient's HTTP client: pip install 'tritonclient[http]'; or use protocol"
            " 'grpc' with the server's gRPC port (8001 by default), which needs nothing more",
            parameter="protocol",
        ) from None


publish(__name__)
