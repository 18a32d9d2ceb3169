"""A generation that is read by blocking."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nupic_client._core.generation.session import GenerationSession
from nupic_client._public import publish
from nupic_client._sync.call_stream import CallStream
from nupic_client.results import Event, Finished, Generation

__all__ = ["TextStream"]


class TextStream(CallStream[GenerationSession, str]):
    """The text of one generation, chunk by chunk, as it is generated.

    Made by `StreamingClient.stream`, which has sent the request already. Iterate over it for chunks of text, or over
    `events()` for typed events. Leaving it cancels the generation on the server: the end of a ``with`` block, ``break``
    out of a ``for`` loop, an exception (also ``KeyboardInterrupt``), `close()` from any thread, or dropping it.

    One thread reads; `close()` and `text` may be used from any thread.

    Example:
        .. code-block:: python

            with client.stream("Once upon a time") as stream:
                for text in stream:
                    print(text, end="", flush=True)
            print(stream.result().timing.time_to_first_token)
    """

    @property
    def text(self) -> str:
        """The text so far."""
        return self._session.text

    def __iter__(self) -> Iterator[str]:
        """Yield chunks of text; leaving the loop before its end closes the stream.

        Raises:
            RequestError: the generation failed; ``partial_text`` has the text so far.
            StreamClosedError: the stream was closed.
            StreamConsumedError: it was already read to its end.
        """
        self._session.check_unread()
        return self._items()

    def __next__(self) -> str:
        """Return the next chunk of text. Raises as `__iter__`, and ``StopIteration`` at the end."""
        while not (text := self._read()):
            if not self._session.outputs_only:
                raise StopIteration
        return text

    def events(self) -> Iterator[Event]:
        """Yield a `TextDelta` for each chunk of text and `Finished` at the end. Raises as `__iter__`.

        Between them are a `ReasoningDelta` for each chunk of reasoning, and of a call of a tool `ToolCallStarted`,
        `ToolArguments` as they come, and `ToolCall` when it is complete.

        With ``outputs=`` there is one for each response that has such outputs, even without new text.
        """
        self._session.check_unread()
        for text in self._items(with_outputs=True):
            yield from self._session.events(text)
        yield from self._session.last_events()
        yield Finished(self._session.result())

    def partial(self) -> Iterator[Any]:
        """Yield the value of an answer in JSON as far as it has come, each time that it has grown. Raises as `__iter__`.

        Texts and numbers are in it when they are complete, objects and lists as soon as they begin. It is the same object
        each time: copy it to keep one state of it. It is not checked; ``result().parsed`` is the value that was.

        Raises:
            ConfigurationError: ``response_format`` asks for what is not JSON.
        """
        self._session.check_unread()
        value = self._session.growing_value()
        for text in self._items():
            if value.feed(text):
                yield value.value
        if value.end():
            yield value.value

    def result(self) -> Generation:
        """Read the stream to its end and return the generation.

        For a stream that was closed before its end, it has the text so far and the finish reason ``cancelled``.

        Raises:
            RequestError: the generation failed; ``partial_text`` has the text so far.
            OutputError: the text does not have the form that ``response_format`` asks for.
        """
        if self._session.running:
            for _ in self:
                pass
        return self._session.result()


publish(__name__)
