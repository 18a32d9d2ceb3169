"""`NupicEmbeddings`: vectors of texts for LangChain."""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings
from pydantic import Field, model_validator
from typing_extensions import Self

from nupic_client import InferenceClient
from nupic_client.integrations.langchain.errors import langchain_errors
from nupic_client.integrations.langchain.settings import Connection

__all__ = ["NupicEmbeddings"]


class NupicEmbeddings(Connection, Embeddings):
    """An embedding model of LangChain on a NuPIC or Triton server.

    Args:
        model: a friendly name of the registry or the server's own name of a model; also ``model_name``.
        url: as for `ChatNupic`.
        token: as for `ChatNupic`.
        batch_size: number of texts in one request. Default: the most that the model takes.
        concurrency: number of requests at the same time.
        output: name of the model's output with the vectors, where it has several.

    Raises:
        pydantic.ValidationError: a field is wrong. Nothing is sent by the constructor.

    Example:
        .. code-block:: python

            from nupic_client.integrations.langchain import NupicEmbeddings

            vectors = NupicEmbeddings(model="smollm2-embed", url="localhost:8001").embed_documents(["a text", "another"])
    """

    batch_size: int | None = Field(default=None, ge=1)
    """Number of texts in one request."""
    concurrency: int = Field(default=8, ge=1)
    """Number of requests at the same time."""
    output: str | None = None
    """Name of the model's output with the vectors."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Make the client, which checks its arguments and connects to nothing."""
        self._connect()
        return self

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text.

        Raises:
            RequestError: a request failed; the others are cancelled.
        """
        with langchain_errors():
            return _lists(self._connect().embed(texts, **self._how())) if texts else []

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text; the async twin of `embed_documents`."""
        with langchain_errors():
            return _lists(await self._connect().aembed(texts, **self._how())) if texts else []

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a text. Raises as `embed_documents`."""
        return self.embed_documents([text])[0]

    async def aembed_query(self, text: str) -> list[float]:
        """Return the vector of a text; the async twin of `embed_query`."""
        return (await self.aembed_documents([text]))[0]

    @property
    def _client_class(self) -> type[Any]:
        return InferenceClient

    def _arguments(self) -> dict[str, Any]:
        retries = {} if self.max_retries is None else {"max_retries": self.max_retries}
        timeouts = {} if self.timeout is None else {"timeout": self.timeout}
        return {**super()._arguments(), **retries, **timeouts}

    def _how(self) -> dict[str, Any]:
        return {"batch_size": self.batch_size, "concurrency": self.concurrency, "output": self.output}


def _lists(vectors: Any) -> list[list[float]]:
    found: list[list[float]] = vectors.tolist()
    return found
