"""`Embed`: a vector for each row."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import cached_property, partial
from typing import Any

import pyarrow as pa

from nupic_client import InferenceClient, NupicError, RequestRejectedError, TransportError
from nupic_client.integrations.ray.mapper import Columns, Errors, Mapper, check_count, failed_columns

__all__ = ["Embed"]


class Embed(Mapper):
    """Turn a text of each row of a dataset into a vector, as a class for ``Dataset.map_batches``.

    The columns that are added: the vector, a list of float32, and ``error``. Rows go to the server several in a request. If
    the request of some rows is refused, each is sent by itself, and only those that are wrong have an error.

    Args:
        model: as for `InferenceClient`.
        url: the address of the server, or a list of several, as for `InferenceClient`.
        text: the column with the texts.
        output: the column for the vectors.
        batch_size: number of texts in one request; no more than the model takes.
        concurrency: how many requests an actor runs at the same time.
        errors: as for `Generate`.
        model_output: name of the model's output with the vectors, where it has several.
        **options: everything else that `InferenceClient` takes.

    Raises:
        ConfigurationError: an argument is wrong; those of the client are checked with the first batch, which makes it.

    Example:
        .. code-block:: python

            vectors = dataset.map_batches(
                Embed,
                fn_constructor_args=("smollm2-embed", "localhost:8001"),
                compute=ray.data.ActorPoolStrategy(size=2),
                batch_size=1024,
            )
    """

    def __init__(
        self,
        model: str,
        url: str | Sequence[str] | None = None,
        *,
        text: str = "text",
        output: str = "embedding",
        batch_size: int = 32,
        concurrency: int = 8,
        errors: Errors = "column",
        model_output: str | None = None,
        **options: Any,
    ) -> None:
        check_count("batch_size", batch_size)
        results = {output: pa.list_(pa.float32()), "error": pa.string()}
        super().__init__([text], results, concurrency, errors)
        self._text = text
        self._output = output
        self._batch_size = batch_size
        self._model_output = model_output
        self._connect = partial(InferenceClient, model, url, **options)

    @cached_property
    def _client(self) -> InferenceClient:
        return self._connect()

    async def _run(self, rows: Sequence[Columns]) -> Sequence[Columns]:
        await self._vectors([])  # what is wrong with the model is not the fault of a row
        texts = [row[self._text] for row in rows]
        chunks = [texts[start : start + self._batch_size] for start in range(0, len(texts), self._batch_size)]
        async with _cancelled_together([self._embed(chunk) for chunk in chunks]) as tasks:
            return [columns for task in tasks for columns in await task]

    async def _embed(self, texts: Sequence[Any]) -> Sequence[Columns]:
        async with self._places.here():
            try:
                return [{self._output: vector} for vector in await self._vectors(texts)]
            except NupicError as error:
                if self._errors == "raise":
                    raise
                if isinstance(error, TransportError) and not isinstance(error, RequestRejectedError):
                    return [failed_columns(error)] * len(texts)  # whatever the texts are
            return [await self._embed_one(text) for text in texts]

    async def _embed_one(self, text: Any) -> Columns:
        try:
            (vector,) = await self._vectors([text])
        except NupicError as error:
            return failed_columns(error)
        return {self._output: vector}

    async def _vectors(self, texts: Sequence[Any]) -> Any:
        return await self._client.aembed(texts, output=self._model_output)


@contextlib.asynccontextmanager
async def _cancelled_together(work: Sequence[Any]) -> AsyncIterator[Sequence[asyncio.Task[Any]]]:
    """Run coroutines as tasks; those that still run at the end of the block are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
