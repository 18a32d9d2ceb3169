"""The requests of the clients for arrays, embeddings and complete texts, whatever carries them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from nupic_client._arrays import ArrayLike
from nupic_client._callbacks import Errors, OnResult, check_on_result
from nupic_client._core.calls import flows
from nupic_client._core.calls.readiness import wait_until_ready
from nupic_client._core.calls.watch import Watch
from nupic_client._core.inference.bulk import BulkSettings, Pipeline, open_pipeline
from nupic_client._core.inference.embedding import EmbeddingBatcher, check_texts, prepare_embedding
from nupic_client._core.inference.request import InferenceRequest, InferenceRequests
from nupic_client._request_id import new_request_id
from nupic_client._single_model import SingleModelClient
from nupic_client.errors import ConfigurationError
from nupic_client.naming import unary_name
from nupic_client.options import InferOptions, InferStreamOptions, TextAs

__all__ = ["Errors", "Inputs", "OnResult", "SingleInferenceClient", "check_many"]

Inputs: TypeAlias = Mapping[str, ArrayLike] | ArrayLike
"""Arrays by the name of the input, or the value of the only input: an array, a list of texts, a number. Each may be an
`InferInput`, which has parameters beside it, or a `SharedMemoryTensor`."""


class SingleInferenceClient(SingleModelClient):
    """A client for one model with arrays, without its connection. Subclasses set ``_text``."""

    _text: TextAs

    def _begin_model(self) -> None:
        super()._begin_model()
        self._requests: InferenceRequests | None = None

    def _inference_request(
        self, options: InferOptions | InferStreamOptions, *, single: bool = True, streamed: bool = False
    ) -> InferenceRequest:
        """Return the request, with all checks that need no server."""
        requests = self._requests
        if requests is None or requests.defaults is not self._options:  # as after `with_options`
            requests = self._requests = InferenceRequests(
                self._spec, self._options, self.url, self._text, new_request_id
            )
        return requests.of(options, single=single, streamed=streamed)

    def _embedding(
        self,
        texts: str | Iterable[str],
        options: InferOptions,
        output: str | None,
        batch_size: int | None,
        watch: Watch | None = None,
    ) -> flows.Flow[EmbeddingBatcher]:
        request = self._inference_request(options, single=False)
        return prepare_embedding(
            request, check_texts(texts), self._models, watch, output=output, batch_size=batch_size
        )

    def _bulk(
        self, options: InferOptions, callback: object, watch: Watch | None = None, **settings: Any
    ) -> flows.Flow[Pipeline]:
        check_on_result(callback)
        request = self._inference_request(options, single=False)
        return open_pipeline(request, BulkSettings(**settings), self._models, watch)

    def _readiness(self, timeout: float | None) -> flows.Flow[None]:
        name = self._spec.server_name
        return wait_until_ready(
            name, timeout=timeout, target=self.url, metadata=self._options.metadata, twin=unary_name(name)
        )


def check_many(inputs: object, *kinds: type) -> None:
    """Raise ConfigurationError for what are not many inputs."""
    if isinstance(inputs, (str, bytes, Mapping)) or not isinstance(inputs, kinds):
        raise ConfigurationError(
            f"inputs must be an iterable of what infer takes, not {type(inputs).__name__}: put a single input into a"
            " list",
            parameter="inputs",
        )
