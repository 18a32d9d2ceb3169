"""What `Generate` and `Embed` share: columns in and out, and the places for requests."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import pyarrow as pa
from ray.data.block import BlockAccessor

from nupic_client import ConfigurationError, NupicError

__all__ = ["Columns", "Errors", "Mapper", "check_count", "failed_columns"]

Errors: TypeAlias = Literal["column", "raise"]
"""Whether the error of a row becomes the value of its column ``error``, or fails the job."""
Columns: TypeAlias = dict[str, Any]


class Mapper(ABC):
    """What both classes share.

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
        check_count("concurrency", concurrency)
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


def check_count(name: str, value: object) -> None:
    """Raise ConfigurationError for what is no number of requests or texts."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} must be an integer >= 1, not {value!r}", parameter=name)


def failed_columns(error: NupicError, index: int | None = None) -> Columns:
    """Return the columns of a row that failed. Its place in the batch would say nothing to a reader of the dataset."""
    text = str(error).removeprefix(f"item {index}: ")
    attempts = getattr(error, "attempts", ())
    return {
        "error": f"{type(error).__name__}: {text}",
        "endpoint": getattr(error, "endpoint", None) or None,
        "attempts": len(attempts) or None,
    }
