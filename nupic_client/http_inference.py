"""`HttpInferenceClient`: requests over HTTP, for scripts that have only the server's HTTP port.

It infers and embeds, one request after the other. `InferenceClient` has many on their way at the same time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from typing_extensions import Self, Unpack

from nupic_client._arrays import ArrayLike, Vectors
from nupic_client._core.calls.auth import Bearer
from nupic_client._core.calls.models import ModelDirectory, wait_until_ready
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.inference.call import infer
from nupic_client._core.inference.embedding import check_texts, prepare_embedding
from nupic_client._core.inference.request import InferenceRequest, check_text
from nupic_client._core.inference.result import InferenceResult
from nupic_client._core.kserve.rest import check_headers
from nupic_client._public import publish
from nupic_client._request_id import new_request_id
from nupic_client._sync.http import HttpTransport
from nupic_client.config import TLS, BearerTokenSource, check_tls, check_token_path
from nupic_client.endpoint import parse_http_url
from nupic_client.errors import ConfigurationError
from nupic_client.logs import switch_on
from nupic_client.model_spec import ModelSpec
from nupic_client.naming import unary_name
from nupic_client.options import InferOptions, TextAs
from nupic_client.registry import ModelRegistry, default_registry
from nupic_client.timeouts import DEFAULT_TOTAL_TIMEOUT, RetryPolicy, Timeouts

__all__ = ["HttpInferenceClient"]

DEFAULT_URL = "localhost:8000"
"""NuPIC's and Triton's default HTTP port on this machine."""
_OWN = frozenset({"_transport", "_models"})
"""Attributes that a copy of a client does not get."""


class HttpInferenceClient:
    """A client for one model over HTTP. Thread-safe: threads that call at the same time have connections of their own.

    It goes straight to the server: proxies of the environment (``$HTTP_PROXY``) are not used.

    Args:
        model: a friendly name of the registry or the server's own name of a model.
        url: ``host:port``, ``http://host:port`` or ``https://host:port`` (TLS), with a path behind it where a proxy has the
            server there. Default: ``localhost:8000``.
        registry: where the model is looked up. Default: the models that come with the package.
        text: what the elements of BYTES outputs become, ``"str"`` or ``"bytes"``.
        timeout: seconds for each call, retries included, or `Timeouts` with the time for connecting; None for no limit.
        max_retries: how often a request is sent again that failed before it was answered; None for the default, 2.
        metadata: headers for every request, besides those of a call.
        tls: certificates and names for an ``https://`` url.
        bearer_token: a bearer token that is sent with every request, or a function that returns it: see `StreamingClient`.
        allow_insecure_token: send the token in plain text to another machine.

    A copy, pickled copies included, has the same configuration and its own connections.

    Raises:
        ConfigurationError: an argument is wrong. Nothing is sent by the constructor.

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
        text: TextAs = "str",
        timeout: float | Timeouts | None = DEFAULT_TOTAL_TIMEOUT,
        max_retries: int | RetryPolicy | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
        tls: TLS | None = None,
        bearer_token: BearerTokenSource | None = None,
        allow_insecure_token: bool = False,
    ) -> None:
        switch_on(os.environ)
        self._spec = (registry or default_registry()).resolve(model)
        self._text = check_text(text)
        self._options = CallOptions().override(
            {"timeout": timeout, "max_retries": max_retries, "metadata": metadata}
        )
        check_headers(self._options.metadata)
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
        self._transport = HttpTransport(
            self._endpoint,
            tls=self._tls,
            patience=self._options.timeouts.connect,
            bearer=Bearer.of(self._bearer_token),
        )
        self._models = ModelDirectory()

    def __getstate__(self) -> dict[str, Any]:
        # The configuration only: a copy has its own connections and its own signature.
        return {name: value for name, value in self.__dict__.items() if name not in _OWN}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    @property
    def model(self) -> ModelSpec:
        """What the client knows about its model, such as the server's name of it."""
        return self._spec

    @property
    def url(self) -> str:
        """The server, as ``host:port`` with the path before ``/v2``."""
        return str(self._endpoint)

    def infer(
        self, inputs: Mapping[str, ArrayLike] | ArrayLike, **options: Unpack[InferOptions]
    ) -> InferenceResult:
        """Send one request and return the model's outputs. Blocks; thread-safe.

        Args:
            inputs: as for `InferenceClient.infer`.
            **options: as for `InferenceClient.infer`; ``metadata`` are headers.

        Raises:
            ConfigurationError: the inputs or options do not fit the model; they were not sent.
            RequestError: the request failed.
            TypeError: an option that does not exist.
        """
        return self._transport.run(infer(self._request(options), inputs, self._models))

    def embed(
        self,
        texts: str | Iterable[str],
        *,
        output: str | None = None,
        batch_size: int | None = None,
        **options: Unpack[InferOptions],
    ) -> Vectors:
        """Turn texts into vectors, as `InferenceClient.embed` does, one request after the other. Blocks; thread-safe.

        Args:
            texts: as for `InferenceClient.embed`.
            output: as for `InferenceClient.embed`.
            batch_size: as for `InferenceClient.embed`.
            **options: as for `InferenceClient.embed`.

        Raises:
            ConfigurationError: as for `InferenceClient.embed`.
            RequestError: a request failed.
            TypeError: an option that does not exist.
        """
        opening = prepare_embedding(
            self._request(options, single=False),
            check_texts(texts),
            self._models,
            output=output,
            batch_size=batch_size,
        )
        batcher = self._transport.run(opening)
        for index, inputs in enumerate(batcher.inputs()):
            batcher.add(index, self._transport.run(infer(batcher.request, inputs, self._models)))
        return batcher.matrix()

    def wait_until_ready(self, timeout: float | None = 60.0) -> None:
        """Block until the server and the model are ready. Thread-safe.

        Args:
            timeout: seconds; None waits without limit.

        Raises:
            DeadlineExceededError: not ready in time; it says what was missing.
            RequestError: waiting cannot help, e.g. wrong credentials.
        """
        name = self._spec.server_name
        self._transport.run(
            wait_until_ready(
                name,
                timeout=timeout,
                target=self.url,
                metadata=self._options.metadata,
                twin=unary_name(name),
            )
        )

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

    def __repr__(self) -> str:
        return f"HttpInferenceClient({self._spec.server_name!r}, url={self.url!r})"

    def _request(self, options: InferOptions, *, single: bool = True) -> InferenceRequest:
        request = InferenceRequest.create(
            self._spec,
            {"text": self._text, **options},
            defaults=self._options,
            target=self.url,
            new_id=new_request_id,
            single=single,
        )
        check_headers(request.options.metadata)
        return request


publish(__name__)
