"""Callable classes for Ray Data: `Generate` and `Embed` for ``Dataset.map_batches``.

They need the extra ``ray``: ``pip install 'nupic-client[ray]'``.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Literal, TypeAlias

from nupic_client import (
    ConfigurationError,
    Generation,
    InferenceClient,
    NupicError,
    RequestRejectedError,
    StreamingClient,
    TransportError,
)

try:
    import pyarrow as pa
    from ray.data.block import BlockAccessor
except ImportError as error:
    raise ImportError(
        "nupic_client.integrations.ray needs the package ray[data]: pip install 'nupic-client[ray]'"
    ) from error

__all__ = ["Embed", "Errors", "Generate"]

Errors: TypeAlias = Literal["column", "raise"]
"""Whether the error of a row becomes the value of its column ``error``, or fails the job."""
Columns: TypeAlias = dict[str, Any]

_TYPES: Mapping[str, Any] = {
    "finish_reason": pa.string(),
    "input_tokens": pa.int64(),
    "output_tokens": pa.int64(),
    "time_to_first_token": pa.float64(),
    "endpoint": pa.string(),
    "attempts": pa.int32(),
    "error": pa.string(),
}
"""The columns beside the text. They have types of their own, so that blocks without any error fit to those with some."""


class _Mapper(ABC):
    """What the classes here share: columns in and out, and the places for requests.

    Args:
        sources: the columns that are read.
        results: the columns that are added, with their types.
        concurrency: how many requests run at the same time.
        errors: as for `Generate`.
    """

    def __init__(
        self, sources: Sequence[str], results: Mapping[str, Any], concurrency: int, errors: Errors
    ) -> None:
        if errors not in ("column", "raise"):
            raise ConfigurationError(
                f'errors must be "column" or "raise", not {errors!r}', parameter="errors"
            )
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise ConfigurationError(
                f"concurrency must be an integer >= 1, not {concurrency!r}", parameter="concurrency"
            )
        for name in sources:
            if name in results:
                raise ConfigurationError(
                    f"{name!r} must not be both a column that is read and one that is written: give output= another name",
                    parameter="output",
                )
        self._sources = sources
        self._results = results
        self._concurrency = concurrency
        self._errors = errors
        self._places = _Places(concurrency)

    async def __call__(self, batch: Any) -> AsyncIterator[Any]:
        """Yield a batch with the columns of the results added; Ray calls it, in one loop for all batches of an actor."""
        table = batch if isinstance(batch, pa.Table) else BlockAccessor.batch_to_arrow_block(batch)
        for name in self._sources:
            if name not in table.column_names:
                raise ConfigurationError(
                    f"the dataset must have the column {name!r}, not only {', '.join(table.column_names) or 'none'}"
                )
        rows = table.select(self._sources).to_pylist()
        results = await self._run(rows)
        table = table.drop_columns([name for name in self._results if name in table.column_names])
        for name, kind in self._results.items():
            values = [result.get(name) for result in results]
            table = table.append_column(name, pa.array(values, kind))
        yield table

    @abstractmethod
    async def _run(self, rows: Sequence[Columns]) -> Sequence[Columns]:
        """Return the columns of the results for each row."""

    def close(self) -> None:
        """Close the connections to the servers. Returns at once. Idempotent; safe from any thread."""
        client = vars(self).pop("_client", None)
        if client is not None:
            client.close()

    def __getstate__(self) -> Columns:
        """Return the arguments: a copy makes its own client, where it is used."""
        return {name: value for name, value in vars(self).items() if name != "_client"}

    def __del__(self) -> None:
        # Ray has no other word for the end of an actor. The interpreter may be half gone: never raise.
        with contextlib.suppress(Exception):
            self.close()


class Generate(_Mapper):
    """Generate a text for each row of a dataset, as a class for ``Dataset.map_batches``.

    Each actor has a client of its own, whose connections and places all its batches share. The columns that are added:
    the text, ``finish_reason``, ``input_tokens``, ``output_tokens``, ``time_to_first_token`` (seconds), ``endpoint`` (the
    address of the server that answered), ``attempts`` (how often the request was sent) and ``error``. What is not known is
    null. A column that was there under one of these names is replaced.

    Args:
        model: as for `StreamingClient`.
        url: the address of the server, or a list of several, as for `StreamingClient`.
        prompt: the column with the prompts, sent unchanged. Default: ``"prompt"``.
        messages: in its place the column with conversations, lists of messages.
        output: the column for the texts.
        concurrency: how many generations an actor runs at the same time.
        errors: ``"column"`` keeps the error of a row in its column ``error``, where null is success; ``"raise"`` fails the
            job.
        option_columns: columns with an option for each row, by the option's name, as
            ``{"max_tokens": "limit"}``. A null leaves the option out.
        **options: everything else that `StreamingClient` takes: how to connect (``tls``, ``balancing``, …), and options of
            all generations (``max_tokens``, ``temperature``, ``timeout``, …).

    Raises:
        ConfigurationError: an argument is wrong; those of the client are checked with the first batch, which makes it.

    Example:
        .. code-block:: python

            answers = dataset.map_batches(
                Generate,
                fn_constructor_args=("smollm2", ["10.0.0.1:8001", "10.0.0.2:8001"]),
                fn_constructor_kwargs={"max_tokens": 100},
                compute=ray.data.ActorPoolStrategy(size=2),
                batch_size=256,
            )
    """

    def __init__(
        self,
        model: str,
        url: str | Sequence[str] | None = None,
        *,
        prompt: str | None = None,
        messages: str | None = None,
        output: str = "text",
        concurrency: int = 64,
        errors: Errors = "column",
        option_columns: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        if prompt is not None and messages is not None:
            raise ConfigurationError(
                f"prompt and messages must not both be given ({prompt!r} and {messages!r}): a row has one of them",
                parameter="messages",
            )
        self._conversations = messages is not None
        self._input = messages or prompt or "prompt"
        self._option_columns = dict(option_columns or {})
        sources = dict.fromkeys([self._input, *self._option_columns.values()])
        super().__init__([*sources], {output: pa.string(), **_TYPES}, concurrency, errors)
        self._output = output
        self._connect = partial(StreamingClient, model, url, **options)

    @cached_property
    def _client(self) -> StreamingClient:
        return self._connect()

    async def _run(self, rows: Sequence[Columns]) -> Sequence[Columns]:
        places = self._places.here()
        taken = 0

        async def items() -> AsyncIterator[Any]:
            nonlocal taken
            for row in rows:
                await places.acquire()
                taken += 1
                yield self._prompt(row), self._options(row)

        def answered(_index: int, _result: object) -> None:
            nonlocal taken
            taken -= 1
            places.release()

        results = self._client.amap(
            items(),
            concurrency=self._concurrency,
            callback=answered,
            errors="return" if self._errors == "column" else "raise",
        )
        try:
            async with results:
                return [self._columns(index, result) async for index, result in _numbered(results)]
        finally:
            for _ in range(taken):
                places.release()

    def _prompt(self, row: Columns) -> Any:
        value = row[self._input]
        if not self._conversations or value is None:
            return value
        return value if isinstance(value, list) else [value]  # a text is one wrong message, and no prompt

    def _options(self, row: Columns) -> Columns:
        return {name: row[column] for name, column in self._option_columns.items() if row[column] is not None}

    def _columns(self, index: int, result: Any) -> Columns:
        if not isinstance(result, Generation):
            return _failed(result, index)
        return {
            self._output: result.text,
            "finish_reason": None if result.finish_reason is None else str(result.finish_reason),
            "input_tokens": result.usage.input_tokens,
            "output_tokens": result.usage.output_tokens,
            "time_to_first_token": result.timing.time_to_first_token,
            "endpoint": result.endpoint,
            "attempts": len(result.attempts),
        }


class Embed(_Mapper):
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
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ConfigurationError(
                f"batch_size must be an integer >= 1, not {batch_size!r}", parameter="batch_size"
            )
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
                    return [_failed(error)] * len(texts)  # whatever the texts are
            return [await self._embed_one(text) for text in texts]

    async def _embed_one(self, text: Any) -> Columns:
        try:
            (vector,) = await self._vectors([text])
        except NupicError as error:
            return _failed(error)
        return {self._output: vector}

    async def _vectors(self, texts: Sequence[Any]) -> Any:
        return await self._client.aembed(texts, output=self._model_output)


class _Places:
    """The places for requests that the batches of an actor share; they belong to the loop that runs.

    Args:
        number: how many requests run at the same time.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._of: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None

    def here(self) -> asyncio.Semaphore:
        """Return the places of the running loop."""
        loop = asyncio.get_running_loop()
        if self._of is None or self._of[0] is not loop:
            self._of = (loop, asyncio.Semaphore(self._number))
        return self._of[1]

    def __reduce__(self) -> Any:
        return _Places, (self._number,)


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


async def _numbered(results: AsyncIterator[Any]) -> AsyncIterator[tuple[int, Any]]:
    index = 0
    async for result in results:
        yield index, result
        index += 1


def _failed(error: NupicError, index: int | None = None) -> Columns:
    """Return the columns of a row that failed. Its place in the batch would say nothing to a reader of the dataset."""
    text = str(error).removeprefix(f"item {index}: ")
    attempts = getattr(error, "attempts", ())
    return {
        "error": f"{type(error).__name__}: {text}",
        "endpoint": getattr(error, "endpoint", None) or None,
        "attempts": len(attempts) or None,
    }
