"""`NupicEmbedding`: an embedding model of a Triton or NuPIC server for LlamaIndex."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import Field

from nupic_client import InferenceClient
from nupic_client.integrations.llama_index.clients import client_of, plain_url

__all__ = ["NupicEmbedding"]

Vector = list[float]


class NupicEmbedding(BaseEmbedding):
    """An embedding model of a Triton or NuPIC server for LlamaIndex, sync and natively async.

    One object serves any number of threads, tasks and event loops. A pickled copy has a connection of its own.
    ``to_dict`` and what callbacks get have no credentials.

    Args:
        model_name: as ``model`` of `nupic_client.InferenceClient`.
        url: as for `nupic_client.InferenceClient`.
        client: a `nupic_client.InferenceClient` to use in place of a new one; then model and ``url`` are its own.
        output: the name of the model's output with the vectors, where it has several.
        query_instruction: stands before each query, as ``"query: "`` of E5.
        text_instruction: stands before each text.
        embed_batch_size: the number of texts that LlamaIndex gives at once. The client splits them where the model takes
            fewer.
        **options: what else `nupic_client.InferenceClient` takes (``bearer_token``, ``tls``, ``timeout``, …), and the
            fields of LlamaIndex's ``BaseEmbedding`` (``num_workers``, ``callback_manager``, …).

    Raises:
        ConfigurationError: an argument is wrong. Nothing is sent by the constructor.
        TypeError: an option does not exist.

    Example:
        .. code-block:: python

            from nupic_client.integrations.llama_index import NupicEmbedding

            embedding = NupicEmbedding("smollm2-embed", url="localhost:8001")
            vectors = embedding.get_text_embedding_batch(["a sentence", "another one"])
    """

    url: str | list[str] | None = Field(default=None, description="The address of the server, or several.")
    output: str | None = Field(default=None, description="The output with the vectors.")
    query_instruction: str = Field(default="", description="Stands before each query.")
    text_instruction: str = Field(default="", description="Stands before each text.")
    client: Any = Field(default=None, exclude=True, description="The connection.")

    def __init__(
        self,
        model_name: str = "",
        url: str | Sequence[str] | None = None,
        *,
        client: InferenceClient | None = None,
        **options: Any,
    ) -> None:
        fields = {name: options.pop(name) for name in [*options] if name in type(self).model_fields}
        client = client_of(
            client,
            lambda: InferenceClient(model_name, url, **options),
            options,
            named=model_name,
            parameter="model_name",
            kind="an InferenceClient",
        )
        super().__init__(
            client=client,
            model_name=model_name or client.model.server_name,
            url=plain_url(url, client.url),
            **fields,
        )

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the class in what LlamaIndex writes."""
        return "NupicEmbedding"

    def _get_query_embedding(self, query: str) -> Vector:
        return self._embed([f"{self.query_instruction}{query}"])[0]

    async def _aget_query_embedding(self, query: str) -> Vector:
        return (await self._aembed([f"{self.query_instruction}{query}"]))[0]

    def _get_text_embedding(self, text: str) -> Vector:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> Vector:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: Sequence[str]) -> list[Vector]:
        return self._embed([f"{self.text_instruction}{text}" for text in texts])

    async def _aget_text_embeddings(self, texts: Sequence[str]) -> list[Vector]:
        return await self._aembed([f"{self.text_instruction}{text}" for text in texts])

    def _embed(self, texts: Sequence[str]) -> list[Vector]:
        vectors: list[Vector] = self.client.embed(texts, output=self.output).tolist()
        return vectors

    async def _aembed(self, texts: Sequence[str]) -> list[Vector]:
        vectors: list[Vector] = (await self.client.aembed(texts, output=self.output)).tolist()
        return vectors

    def __getstate__(self) -> dict[str, Any]:
        pickle.dumps(
            self.client
        )  # LlamaIndex would leave it out, and a copy would be without its credentials
        state: dict[str, Any] = super().__getstate__()
        return state
