"""`HttpInferenceClient`: one model over HTTP, where only the server's HTTP port can be reached."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal, overload

from typing_extensions import Self, Unpack

import nupic_client  # its streams import gRPC when they are asked for, also by those who read annotations
from nupic_client._arrays import Vectors
from nupic_client._core.calls.auth import Bearer
from nupic_client._core.calls.flows import Metadata
from nupic_client._core.calls.models import ModelDirectory
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.calls.watch import Watch
from nupic_client._core.generation.opening import generate_unary, open_stream
from nupic_client._core.generation.request import GenerationRequest
from nupic_client._core.generation.session import GenerationSession
from nupic_client._core.inference.bulk import BulkSettings, embedding_pipeline
from nupic_client._core.inference.call import infer, infer_observed
from nupic_client._core.inference.request import InferenceRequest, check_text
from nupic_client._core.inference.result import InferenceResult
from nupic_client._core.kserve.rest import check_headers
from nupic_client._option_signatures import named_options
from nupic_client._parsing import Parsing
from nupic_client._public import publish
from nupic_client._single_inference import Errors, Inputs, OnResult, SingleInferenceClient, check_many
from nupic_client._sync.http import HttpTransport
from nupic_client.backends.protocol import Backend
from nupic_client.config import TLS, BearerTokenSource, check_tls, check_token_path
from nupic_client.errors import ConfigurationError
from nupic_client.messages import MessageLike
from nupic_client.observe import Observer
from nupic_client.options import GenerateOptions, InferOptions, InferStreamOptions, TextAs
from nupic_client.prompts import PromptFormatter
from nupic_client.registry import ModelRegistry
from nupic_client.results import Generation
from nupic_client.server_url import parse_http_url

__all__ = ["HttpInferenceClient"]

DEFAULT_URL = "localhost:8000"
"""NuPIC's and Triton's default HTTP port on this machine."""
_OWN = frozenset({"_bearer", "_transport", "_models", "_streaming_models", "_request_cache", "_requests"})
"""Attributes that a copy of a client does not get."""


@named_options
class HttpInferenceClient(SingleInferenceClient, Parsing):
    """A client for one model over HTTP. Thread-safe: calls at the same time have connections of their own.

    It has `infer`, `embed`, `map`, `generate` and `parse` of `InferenceClient`, with the same options and errors, and
    `stream` of `StreamingClient`; nothing is async. It goes straight to the server: proxies of the environment
    (``$HTTP_PROXY``) are not used.

    Args:
        model: a friendly name of the registry or the server's own name of a model.
        url: ``host:port``, ``http://host:port`` or ``https://host:port`` (TLS), with a path behind it where a proxy has the
            server there. Default: ``localhost:8000``.
        registry: where the model is looked up. Default: the models that come with the package.
        backend: the adapter for the requests of `generate` and `stream`, see `StreamingClient`.
        formatter: how conversations become prompts: a `PromptFormatter` or the name of a family.
        text: the type of the elements of BYTES outputs, ``"str"`` or ``"bytes"``.
        tls: certificates and names for an ``https://`` url.
        bearer_token: a bearer token that is sent with every request, or a function that returns it: see `StreamingClient`.
        allow_insecure_token: send the token in plain text to another machine.
        observer: told of each request, see `Observer`.
        **options: defaults for every call, as of `InferenceClient`; ``metadata`` are headers.

    A copy, pickled copies included, has the same configuration and its own connections.

    Raises:
        ConfigurationError: an argument is wrong. Nothing is sent by the constructor.
        TypeError: an option does not exist.

    Example:
        .. code-block:: python

            client = ClientFactory.get_client("sbert", "localhost:8000", "http")
            vectors = client.embed(["a sentence"])
    """

    def __init__(
        self,
        model: str,
        url: str | None = None,
        *,
        registry: ModelRegistry | None = None,
        backend: Backend | str | None = None,
        formatter: PromptFormatter | str | None = None,
        text: TextAs = "str",
        tls: TLS | None = None,
        bearer_token: BearerTokenSource | None = None,
        allow_insecure_token: bool = False,
        observer: Observer | None = None,
        **options: Unpack[GenerateOptions],
    ) -> None:
        self._configure(
            model,
            formatter=formatter,
            registry=registry,
            backend=backend,
            observer=observer,
            options=options,
        )
        self._text = check_text(text)
        _check_headers(self._options.metadata)
        check_tls(tls, "https://")
        self._endpoint = endpoint = parse_http_url(DEFAULT_URL if url is None else url)
        if tls is not None and not endpoint.secure:
            raise ConfigurationError(
                f"tls is given but the url {str(endpoint)!r} is not secure: use https://{endpoint}",
                parameter="tls",
            )
        check_token_path(endpoint, "https://", bearer_token, allow_insecure=allow_insecure_token)
        self._tls = tls
        self._bearer_token = bearer_token
        self._begin()

    def _begin(self) -> None:
        self._bearer = Bearer.of(self._bearer_token)
        self._transport = HttpTransport(
            self._endpoint, tls=self._tls, patience=self._options.timeouts.connect, bearer=self._bearer
        )
        self._begin_model()
        # One name may mean two models: that which answers at once, and its twin that streams.
        self._streaming_models = ModelDirectory()

    def __getstate__(self) -> dict[str, Any]:
        # The configuration only: a copy has its own connections and its own signature.
        return {name: value for name, value in self.__dict__.items() if name not in _OWN}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    @property
    def url(self) -> str:
        """The server, as ``host:port`` with the path before ``/v2``."""
        return str(self._endpoint)

    def infer(self, inputs: Inputs, **options: Unpack[InferOptions]) -> InferenceResult:
        """Send one request and return the model's outputs. Blocks; thread-safe.

        Args:
            inputs: as for `InferenceClient.infer`.
            **options: as for `InferenceClient.infer`; ``metadata`` are headers.

        Raises:
            ConfigurationError: the inputs or options do not fit the model; they were not sent.
            RequestError: the request failed.
            TypeError: an option does not exist.
        """
        request, watch = self._inference_request(options), self._watch("infer")
        if watch is None:
            return self._transport.run(infer(request, inputs, self._models))
        flow = infer_observed(request, inputs, self._models, watch)
        return self._transport.run(flow)

    def embed(
        self,
        texts: str | Iterable[str],
        *,
        output: str | None = None,
        batch_size: int | None = None,
        concurrency: int = 8,
        **options: Unpack[InferOptions],
    ) -> Vectors:
        """Turn texts into vectors, as `InferenceClient.embed` does. Blocks; thread-safe.

        Args:
            texts: as for `InferenceClient.embed`.
            output: as for `InferenceClient.embed`.
            batch_size: as for `InferenceClient.embed`.
            concurrency: number of requests at the same time; each has a thread and a connection.
            **options: as for `InferenceClient.embed`.

        Raises:
            ConfigurationError: as for `InferenceClient.embed`.
            RequestError: a request failed; the others are cancelled.
            TypeError: an option does not exist.
        """
        settings = BulkSettings(concurrency=concurrency, ordered=False)
        watch = self._watch("embed")
        batcher = self._transport.run(self._embedding(texts, options, output, batch_size, watch))
        pipeline = embedding_pipeline(batcher, settings, watch)
        with self._results(pipeline, batcher.inputs(), None, watch) as results:
            for index, result in results:
                batcher.add(index, result)
        return batcher.matrix()

    @overload
    def map(
        self,
        inputs: Iterable[Inputs],
        *,
        concurrency: int = ...,
        ordered: Literal[True] = ...,
        callback: OnResult | None = ...,
        errors: Literal["raise"] = ...,
        batch_size: int | None = ...,
        **options: Unpack[InferOptions],
    ) -> nupic_client.ResultStream[InferenceResult]: ...
    @overload
    def map(
        self,
        inputs: Iterable[Inputs],
        *,
        concurrency: int = ...,
        ordered: bool = ...,
        callback: OnResult | None = ...,
        errors: Errors = ...,
        batch_size: int | None = ...,
        **options: Unpack[InferOptions],
    ) -> nupic_client.ResultStream[Any]: ...
    def map(
        self,
        inputs: Iterable[Inputs],
        *,
        concurrency: int = 32,
        ordered: bool = True,
        callback: OnResult | None = None,
        errors: Errors = "raise",
        batch_size: int | None = None,
        **options: Unpack[InferOptions],
    ) -> nupic_client.ResultStream[Any]:
        """Send many inputs, several at a time, and return their results as an iterator, as `InferenceClient.map` does.

        Thread-safe. Inputs are read and results are handed out in the thread that reads; the requests have threads of their
        own, at most ``concurrency``, and a connection each. Leaving the iterator ends what is on its way.

        Args:
            inputs: as for `InferenceClient.map`.
            concurrency: number of requests at the same time.
            ordered: as for `InferenceClient.map`.
            callback: as for `InferenceClient.map`.
            errors: as for `InferenceClient.map`.
            batch_size: as for `InferenceClient.map`.
            **options: as for `InferenceClient.map`.

        Raises:
            ConfigurationError: an option is wrong.
            TypeError: an option does not exist.

        Example:
            .. code-block:: python

                for result in client.map(arrays, concurrency=8):
                    print(result.only.shape)
        """
        check_many(inputs, Iterable)
        watch = self._watch("map")
        opening = self._bulk(
            options,
            callback,
            watch,
            concurrency=concurrency,
            ordered=ordered,
            errors=errors,
            batch_size=batch_size,
        )
        return self._results(opening, inputs, callback, watch)

    def generate(self, prompt: str | Iterable[MessageLike], **options: Unpack[GenerateOptions]) -> Generation:
        """Generate a text and return it when it is complete. Blocks; thread-safe.

        A model that answers at once is asked as by `infer`, which every server has. A model that streams is read to its end,
        as by `stream`.

        Args:
            prompt: a text, sent unchanged, or a list of messages, rendered by the model's prompt formatter.
            **options: as for `InferenceClient.generate`; ``metadata`` are headers.

        Raises:
            ConfigurationError: as for `InferenceClient.generate`.
            PromptError: as for `InferenceClient.generate`.
            RequestError: as for `InferenceClient.generate`, and where the model streams and the server does not do that over
                HTTP.
            TypeError: an option does not exist.
        """
        asking = self._asking(prompt, options)
        if asking is None:
            return self._generate(prompt, options)
        return self._until_valid(asking, self._generate)

    def _generate(self, prompt: str | Iterable[MessageLike], options: GenerateOptions) -> Generation:
        request = self._request(prompt, options, watch=self._watch("generate", streaming=None))
        outcome = self._transport.run(generate_unary(request, self._models, self._request_cache))
        if isinstance(outcome, Generation):
            return outcome
        with self._text_stream(outcome) as stream:
            return stream.result()

    def stream(
        self, prompt: str | Iterable[MessageLike], **options: Unpack[GenerateOptions]
    ) -> nupic_client.TextStream:
        """Send a prompt and return the answer as a stream of text, as `StreamingClient.stream` does. Thread-safe.

        The server needs Triton's generate extension or MLServer's streams. Leaving the stream closes its connection, which
        cancels the generation.

        Args:
            prompt: as for `generate`.
            **options: as for `generate`.

        Raises:
            ConfigurationError: as for `generate`, or the model does not stream.
            PromptError: as for `generate`.
            RequestError: the model's signature could not be asked for.
            TypeError: an option does not exist.

        Example:
            .. code-block:: python

                with client.stream("Once upon a time") as stream:
                    for text in stream:
                        print(text, end="", flush=True)
        """
        request = self._request(prompt, options, watch=self._watch("stream", streaming=True))
        opening = open_stream(request, self._streaming_models, self._request_cache)
        return self._text_stream(self._transport.run(opening))

    def wait_until_ready(self, timeout: float | None = 60.0) -> None:
        """Block until the server and the model are ready. Thread-safe.

        Args:
            timeout: seconds; None waits without limit.

        Raises:
            DeadlineExceededError: not ready in time; it says what was missing.
            RequestError: waiting cannot help, e.g. wrong credentials.
        """
        self._transport.run(self._readiness(timeout))

    def close(self) -> None:
        """Close the connections, which ends what is running on them. Idempotent; safe from any thread."""
        self._transport.close()

    def __enter__(self) -> Self:
        """Return the client; the end of the block closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _request(
        self,
        prompt: str | Iterable[MessageLike],
        options: GenerateOptions,
        defaults: CallOptions | None = None,
        request_id: str | None = None,
        *,
        watch: Watch | None = None,
    ) -> GenerationRequest:
        request = super()._request(prompt, options, defaults, request_id, watch=watch)
        _check_headers(request.options.metadata)
        return request

    def _inference_request(self, options: InferOptions | InferStreamOptions, **how: bool) -> InferenceRequest:
        request = super()._inference_request(options, **how)
        _check_headers(request.options.metadata)
        return request

    def _results(self, *arguments: Any) -> nupic_client.ResultStream[Any]:
        transport: Any = self._transport  # all that a stream of results needs of one, it has
        return nupic_client.ResultStream(transport, *arguments)

    def _text_stream(self, session: GenerationSession) -> nupic_client.TextStream:
        transport: Any = self._transport
        return nupic_client.TextStream(transport, session)


def _check_headers(metadata: Metadata) -> None:
    """Check that metadata can be sent as headers; that of a function is checked when it is sent."""
    if isinstance(metadata, tuple):
        check_headers(metadata)


publish(__name__)
