"""The first results of a map, in both ways to read one: the rest is left."""

from __future__ import annotations

from typing import Any


def first_of(results: Any, take: int | None) -> list[Any]:
    """Return the results, or the first ``take`` of them, leaving the rest."""
    found = []
    with results:
        for result in results:
            found.append(result)
            if len(found) == take:
                break
    return found


async def afirst_of(results: Any, take: int | None) -> list[Any]:
    """Return them; the async twin of `first_of`."""
    found = []
    async with results:
        async for result in results:
            found.append(result)
            if len(found) == take:
                break
    return found
