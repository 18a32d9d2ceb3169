"""An inference with any number of responses that is read by blocking."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

from nupic_client._core.inference.result import InferenceResult
from nupic_client._core.inference.session import InferenceSession, Item
from nupic_client._public import publish
from nupic_client._sync.call_stream import CallStream
from nupic_client.errors import RequestError

__all__ = ["InferenceStream"]


class InferenceStream(CallStream[InferenceSession, Item]):
    """The results of one request, each as it comes.

    Made by `InferenceClient.infer_stream`, which has sent the request already. Iterate over it for an `InferenceResult`
    of each response; a model may give any number of them, also none. Leaving it cancels the request on the server: the
    end of a ``with`` block, ``break`` out of a ``for`` loop, an exception (also ``KeyboardInterrupt``), `close()` from any
    thread, or dropping it.

    One thread reads; `close()` may be used from any thread. The stream keeps no results.

    Example:
        .. code-block:: python

            with client.infer_stream({"IN": [4, 2, 0, 1]}) as stream:
                for result in stream:
                    print(result["OUT"])
    """

    _unit = "result"

    def __iter__(self) -> Iterator[InferenceResult]:
        """Yield the results; leaving the loop before its end closes the stream.

        Raises:
            RequestError: the request failed.
            StreamClosedError: the stream was closed.
            StreamConsumedError: it was already read to its end.
        """
        self._session.check_unread()
        return map(_only, self._items())

    def __next__(self) -> InferenceResult:
        """Return the next result. Raises as `__iter__`, and ``StopIteration`` at the end."""
        item = self._read()
        if not item:
            raise StopIteration
        return item[0]

    def results(self) -> list[InferenceResult]:
        """Read the stream to its end and return the results that were not read yet.

        Raises:
            RequestError: as for `__iter__`; ``partial_results`` has those that this method had read.
            StreamClosedError: as for `__iter__`.
            StreamConsumedError: as for `__iter__`.
        """
        found: list[InferenceResult] = []
        try:
            for result in self:
                found.append(result)  # noqa: PERF402 - those before an error are kept
        except RequestError as error:
            raise error.with_facts(partial_results=tuple(found)) from error.__cause__
        return found


_only = itemgetter(0)


publish(__name__)
