"""`infer_stream` with the face of a text stream: the same tests, with nothing between them and the stream.

A model that streams text is a decoupled model like any other. `ResultsClient` calls it with `infer_stream` and shows each
result as its text; the stream itself, and all that ends, leaves, closes and fails it, is that of `InferenceClient`.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

from nupic_client import (
    AsyncInferenceStream,
    FinishReason,
    InferenceClient,
    InferenceResult,
    InferenceStream,
    RequestError,
)
from nupic_client._async.call_stream import Items
from nupic_client._core.inference.session import InferenceSession
from nupic_client._core.inference.stream_opening import open_inference_stream

__all__ = ["ResultsClient"]


def text_of(result: InferenceResult) -> str:
    return "".join(result["text_output"].ravel().tolist())


def summary(session: InferenceSession, text: str) -> Any:
    """Return what `result` of a text stream says, or raise what it raises."""
    if session.failure is not None:
        raise session.failure
    reason = FinishReason.STOP if session.finished else FinishReason.CANCELLED
    return SimpleNamespace(text=text, finish_reason=reason, attempts=session.attempts)


class Texts(InferenceStream):
    """The results as texts."""

    text = ""

    def _read(self) -> Any:
        try:
            item = super()._read()
        except RequestError as error:
            raise error.with_facts(partial_text=self.text) from error.__cause__
        self.text += "".join(map(text_of, item))
        return item

    def events(self) -> Iterator[Any]:
        for text in self:
            yield SimpleNamespace(text=text)
        yield SimpleNamespace(generation=self.result())

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]
        return map(text_of, super().__iter__())

    def __next__(self) -> str:  # type: ignore[override]
        return text_of(super().__next__())

    def result(self) -> Any:
        if self._session.running:
            for _ in self:
                pass
        return summary(self._session, self.text)


class AsyncTexts(AsyncInferenceStream):
    """The results as texts."""

    text = ""

    async def _read(self) -> Any:
        try:
            item = await super()._read()
        except RequestError as error:
            raise error.with_facts(partial_text=self.text) from error.__cause__
        self.text += "".join(map(text_of, item))
        return item

    async def events(self) -> AsyncIterator[Any]:
        async for text in self:
            yield SimpleNamespace(text=text)
        yield SimpleNamespace(generation=await self.result())

    def __aiter__(self) -> AsyncIterator[str]:  # type: ignore[override]
        if self._session is not None:
            self._session.check_unread()
        return _TextItems(self)

    async def __anext__(self) -> str:  # type: ignore[override]
        return text_of(await super().__anext__())

    async def result(self) -> Any:
        if not self.closed:
            async for _ in self:
                pass
        return summary(self._ended(), self.text)


class _TextItems(Items[Any]):
    async def __anext__(self) -> str:
        (result,) = await super().__anext__()
        return text_of(result)


class ResultsClient(InferenceClient):
    """A client whose streams of text are made with `infer_stream`."""

    def __init__(self, *args: Any, backend: object = None, **options: Any) -> None:
        super().__init__(*args, **options)

    def stream(self, prompt: str, **options: Any) -> Texts:
        _, opening = self._opening(prompt, options)
        return Texts(self._transport, self._transport.run(opening))

    def astream(self, prompt: str, **options: Any) -> AsyncTexts:
        request, opening = self._opening(prompt, options)
        return AsyncTexts(self._async_transport, opening, request.options.request_id or "")

    def _opening(self, prompt: str, options: Any) -> tuple[Any, Any]:
        request = self._inference_request(options, streamed=True)
        inputs = {"text_input": [prompt]}
        return request, open_inference_stream(request, inputs, self._models, bearer=self._bearer)

    def generate(self, prompt: str, callback: Any = None, **options: Any) -> Any:
        with self.stream(prompt, **options) as stream:
            for text in stream:
                if callback:
                    callback(text)
            return stream.result()

    async def agenerate(self, prompt: str, callback: Any = None, **options: Any) -> Any:
        async with self.astream(prompt, **options) as stream:
            async for text in stream:
                outcome = callback and callback(text)
                if inspect.isawaitable(outcome):
                    await outcome
            return await stream.result()
