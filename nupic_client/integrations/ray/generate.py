"""`Generate`: a text for each row."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import pyarrow as pa

from nupic_client import ConfigurationError, Generation, StreamingClient
from nupic_client.integrations.ray.mapper import Columns, Errors, Mapper, failed_columns

__all__ = ["Generate"]


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


class Generate(Mapper):
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
            return failed_columns(result, index)
        return {
            self._output: result.text,
            "finish_reason": None if result.finish_reason is None else str(result.finish_reason),
            "input_tokens": result.usage.input_tokens,
            "output_tokens": result.usage.output_tokens,
            "time_to_first_token": result.timing.time_to_first_token,
            "endpoint": result.endpoint,
            "attempts": len(result.attempts),
        }


async def _numbered(results: AsyncIterator[Any]) -> AsyncIterator[tuple[int, Any]]:
    index = 0
    async for result in results:
        yield index, result
        index += 1
