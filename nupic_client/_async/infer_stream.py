"""An inference with any number of responses that is read by awaiting."""

from __future__ import annotations

from collections.abc import AsyncIterator

from nupic_client._async.call_stream import AsyncCallStream, Items
from nupic_client._core.inference.result import InferenceResult
from nupic_client._core.inference.session import InferenceSession, Item
from nupic_client._public import publish
from nupic_client.errors import RequestError

__all__ = ["AsyncInferenceStream"]


class AsyncInferenceStream(AsyncCallStream[InferenceSession, Item]):
    """The results of one request, each as it comes.

    Made by `InferenceClient.ainfer_stream`; the request is sent by ``async with`` or the first read. Iterate over it for
    an `InferenceResult` of each response; a model may give any number of them, also none. Leaving it cancels the request
    on the server: the end of an ``async with`` block, ``break`` out of an ``async for`` loop, an exception, cancelling the
    task that reads, `cancel()` from any thread or task, or dropping it.

    One task reads; `cancel()` may be used from any thread or task. The stream keeps no results.

    Example:
        .. code-block:: python

            async with client.ainfer_stream({"IN": [4, 2, 0, 1]}) as stream:
                async for result in stream:
                    print(result["OUT"])
    """

    _unit = "result"

    def __aiter__(self) -> AsyncIterator[InferenceResult]:
        """Yield the results; leaving the loop before its end closes the stream.

        Raises:
            RequestError: the request failed.
            StreamClosedError: the stream was closed.
            StreamConsumedError: it was already read to its end.
        """
        if self._session is not None:
            self._session.check_unread()
        return _Results(self)

    async def __anext__(self) -> InferenceResult:
        """Return the next result. Raises as `__aiter__`, and ``StopAsyncIteration`` at the end."""
        item = await self._read()
        if not item:
            raise StopAsyncIteration
        return item[0]

    async def results(self) -> list[InferenceResult]:
        """Read the stream to its end and return the results that were not read yet.

        Raises:
            RequestError: as for `__aiter__`; ``partial_results`` has those that this method had read.
            StreamClosedError: as for `__aiter__`.
            StreamConsumedError: as for `__aiter__`.
        """
        found: list[InferenceResult] = []
        try:
            async for result in self:
                found.append(result)  # noqa: PERF401 - those before an error are kept
        except RequestError as error:
            raise error.with_facts(partial_results=tuple(found)) from error.__cause__
        return found


class _Results(Items[Item]):
    """The results of one ``async for``."""

    __slots__ = ()

    async def __anext__(self) -> InferenceResult:
        item: Item = await super().__anext__()
        return item[0]


publish(__name__)
