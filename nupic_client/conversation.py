"""`Conversation`: talk to a model and remember what was said."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from contextlib import aclosing, closing
from functools import partial
from typing import TypeVar

from typing_extensions import Unpack

from nupic_client._async.stream import AsyncTextStream
from nupic_client._callbacks import AsyncCallback, Callback, check_async_callback, check_callback
from nupic_client._core.generation.session import GenerationSession
from nupic_client._history import ContextWindow, estimate_tokens, renumbered
from nupic_client._option_signatures import named_options
from nupic_client._public import publish
from nupic_client._sync.stream import TextStream
from nupic_client._text import check_text
from nupic_client._tool_loop import Exchange, RunTools, ToolLoop, arun_call, exchanged, run_call
from nupic_client._transcript import Transcript
from nupic_client.errors import PromptError
from nupic_client.messages import Content, Message, MessageLike, system, user
from nupic_client.observe import Operation
from nupic_client.options import GenerateOptions
from nupic_client.results import Generation
from nupic_client.streaming import StreamingClient

__all__ = ["Conversation"]

AnyStream = TypeVar("AnyStream", TextStream, AsyncTextStream)


@named_options
class Conversation(Transcript):
    """A conversation with one model: `stream` streams an answer and keeps the history.

    **What is kept.** A complete answer is kept, with its message. An answer that you left early is kept as far as it came.
    If nothing had come, or if the answer failed with an error, both are dropped, so that you can send the message again.

    **What is sent.** With a context length (the model's own, or ``context_length=``), the oldest messages are left out,
    each together with its answer, until the rest fits beside ``reserve`` tokens for the new answer. The system prompt and
    the new message are always sent. Tokens are estimated as one for every three bytes of text, unless ``count_tokens`` or
    the client's ``tokenizer`` counts them. The history itself is never shortened.

    One answer at a time: for one thread or task. The client may be shared.

    Args:
        client: the model to talk to; it must know how to render conversations.
        system: the system prompt; None for the default of the model.
        messages: an earlier conversation to continue.
        context_length: number of tokens of prompt and answer together; None takes the model's, if it is known.
        reserve: tokens to keep free for the answer; None takes a quarter of the context.
        count_tokens: counts the tokens of a text; by default the client's ``tokenizer`` does, if it has one.

    Raises:
        ConfigurationError: a value is wrong.

    Example:
        .. code-block:: python

            from nupic_client import Conversation, StreamingClient

            conversation = Conversation(StreamingClient("smollm2"), system="You are a helpful assistant.")
            for text in conversation.stream("What is the capital of France?"):
                print(text, end="", flush=True)
            print(conversation.messages[-1].content)
    """

    def __init__(
        self,
        client: StreamingClient,
        *,
        system: str | None = None,
        messages: Iterable[MessageLike] = (),
        context_length: int | None = None,
        reserve: int | None = None,
        count_tokens: Callable[[str], int] | None = None,
    ) -> None:
        super().__init__(client, system=system, messages=messages)
        self._window = ContextWindow(
            client.model.context_length if context_length is None else context_length,
            reserve,
            count_tokens or client._counter or estimate_tokens,  # noqa: SLF001
        )
        self._left_out = 0

    @property
    def left_out(self) -> int:
        """How many of the oldest messages were not in the last request, as they did not fit into the context."""
        return self._left_out

    def stream(self, text: Content, **options: Unpack[GenerateOptions]) -> TextStream:
        """Send a message and return the answer as a stream. Blocks only to ask for the model's signature, once.

        Args:
            text: the user's message: a text, or a list of texts and images.
            **options: as for `StreamingClient.generate`.

        Returns:
            The stream; leaving it cancels the answer.

        Raises:
            StreamStateError: the last answer is still being generated.
            ConfigurationError: as for `StreamingClient.generate`.
            PromptError: as for `StreamingClient.generate`.
            RequestError: as for `StreamingClient.stream`.
        """
        self._check_idle()
        return self._ask(_question(text), options, "stream")

    def astream(self, text: Content, **options: Unpack[GenerateOptions]) -> AsyncTextStream:
        """Return the answer to a message as an async stream; the async twin of `stream`. Does not block.

        Args:
            text: as for `stream`.
            **options: as for `stream`.

        Returns:
            The stream; the request is sent by ``async with`` or the first read.

        Raises:
            StreamStateError: as for `stream`.
            ConfigurationError: as for `stream`.
            PromptError: as for `stream`.
        """
        self._check_idle()
        return self._aask(_question(text), options, "stream")

    def generate(
        self,
        text: Content,
        callback: Callback | None = None,
        *,
        run_tools: RunTools = False,
        max_tool_rounds: int = 8,
        **options: Unpack[GenerateOptions],
    ) -> Generation:
        """Send a message and return the complete answer. Blocks.

        With ``run_tools=True`` the functions that the model calls are run, one after the other on this thread, and the
        model is asked again with their results, until it answers without a call. An exception of a function is told to
        the model. Calls and results are messages of the conversation. If a request fails, or Ctrl-C ends a function, the
        whole exchange is dropped.

        Args:
            text: the user's message: a text, or a list of texts and images.
            callback: called with each chunk of text as it arrives.
            run_tools: run the functions of ``tools=`` that the model calls. It decides with what arguments: let functions
                do nothing that you would not let the author of any message do. A function in place of True gets each
                `ToolCall` and runs it, or raises an exception to refuse it, which is told to the model.
            max_tool_rounds: how often calls are run; then the model is asked without tools.
            **options: as for `StreamingClient.generate`.

        Returns:
            The answer with its finish reason, usage and timing; with ``run_tools`` the last one.

        Raises:
            StreamStateError: the last answer is still being generated.
            NupicError: as for `StreamingClient.generate`.
        """
        check_callback(callback)
        if run_tools:
            loop = self._tool_loop(options, max_tool_rounds, run_tools, can_await=False)
            with closing(self._start_rounds(loop, text, "generate")) as rounds:
                for stream in rounds:
                    generation = self._client._deliver(stream, callback)  # noqa: SLF001
            return generation
        self._check_idle()
        return self._client._deliver(self._ask(_question(text), options, "generate"), callback)  # noqa: SLF001

    async def agenerate(
        self,
        text: Content,
        callback: AsyncCallback | None = None,
        *,
        run_tools: RunTools = False,
        max_tool_rounds: int = 8,
        **options: Unpack[GenerateOptions],
    ) -> Generation:
        """Send a message and return the complete answer; the async twin of `generate`.

        Args:
            text: as for `generate`.
            callback: a function or a coroutine function, called in this task.
            run_tools: as for `generate`; plain functions run in a thread, async ones in this task.
            max_tool_rounds: as for `generate`.
            **options: as for `generate`.

        Returns:
            As `generate`.

        Raises:
            StreamStateError: as for `generate`.
            NupicError: as for `generate`.
        """
        check_async_callback(callback)
        if run_tools:
            loop = self._tool_loop(options, max_tool_rounds, run_tools, can_await=True)
            async with aclosing(self._astart_rounds(loop, text, "generate")) as rounds:
                async for stream in rounds:
                    generation = await self._client._adeliver(stream, callback)  # noqa: SLF001
            return generation
        self._check_idle()
        return await self._client._adeliver(self._aask(_question(text), options, "generate"), callback)  # noqa: SLF001

    def stream_rounds(
        self,
        text: Content,
        *,
        run_tools: RunTools = True,
        max_tool_rounds: int = 8,
        **options: Unpack[GenerateOptions],
    ) -> Generator[TextStream, None, None]:
        """Send a message and yield the answer as a stream; run what the model calls, and yield the next answer.

        This is `generate` with ``run_tools`` for a program that shows what comes. Read each stream before you take the next
        one. If you leave the loop early, or a request fails, the whole exchange is dropped.

        Args:
            text: as for `generate`.
            run_tools: as for `generate`; False ends the loop at the first answer.
            max_tool_rounds: as for `generate`.
            **options: as for `generate`, with ``tools``.

        Yields:
            A stream for each answer; the last one has no calls.

        Raises:
            StreamStateError: the last answer is still being generated.
            NupicError: as for `StreamingClient.stream`.

        Example:
            .. code-block:: python

                for stream in conversation.stream_rounds("How is the weather in Paris?", tools=[weather]):
                    for text in stream:
                        print(text, end="", flush=True)
        """
        loop = self._tool_loop(options, max_tool_rounds, run_tools, can_await=False)
        return self._start_rounds(loop, text, "stream")

    def astream_rounds(
        self,
        text: Content,
        *,
        run_tools: RunTools = True,
        max_tool_rounds: int = 8,
        **options: Unpack[GenerateOptions],
    ) -> AsyncGenerator[AsyncTextStream, None]:
        """Yield the answers to a message as async streams; the async twin of `stream_rounds`.

        Args:
            text: as for `stream_rounds`.
            run_tools: as for `agenerate`.
            max_tool_rounds: as for `stream_rounds`.
            **options: as for `stream_rounds`.

        Yields:
            As `stream_rounds`.

        Raises:
            StreamStateError: as for `stream_rounds`.
            NupicError: as for `stream_rounds`.
        """
        loop = self._tool_loop(options, max_tool_rounds, run_tools, can_await=True)
        return self._astart_rounds(loop, text, "stream")

    def _own(self, options: GenerateOptions) -> GenerateOptions:
        """Return the options of a call; where there are several servers, one of them may keep what it made of the past."""
        return {"session": self._session, **options} if self._client._config.is_pool else options  # noqa: SLF001

    def _ask(self, new: list[Message], options: GenerateOptions, operation: Operation) -> TextStream:
        start = partial(self._client._stream, operation=operation, session=self._session)  # noqa: SLF001
        return self._begin(lambda prompt, keep: start(prompt, self._own(options), keep), new, options)

    def _aask(self, new: list[Message], options: GenerateOptions, operation: Operation) -> AsyncTextStream:
        start = partial(self._client._astream, operation=operation, session=self._session)  # noqa: SLF001
        return self._begin(lambda prompt, keep: start(prompt, self._own(options), keep), new, options)

    def _start_rounds(
        self, loop: ToolLoop, text: Content, operation: Operation
    ) -> Generator[TextStream, None, None]:
        exchange = Exchange()
        return exchange.of(self._rounds(exchange, loop, _question(text), operation))

    def _astart_rounds(
        self, loop: ToolLoop, text: Content, operation: Operation
    ) -> AsyncGenerator[AsyncTextStream, None]:
        exchange = Exchange()
        return exchange.of(self._arounds(exchange, loop, _question(text), operation))

    def _rounds(
        self, exchange: Exchange, loop: ToolLoop, question: list[Message], operation: Operation
    ) -> Generator[TextStream, None, None]:
        self._begin_exchange(exchange)
        try:
            stream = self._ask(question, loop.options, operation)
            yield stream
            while loop.goes_on(stream.result()):
                results = [run_call(loop, call) for call in stream.result().tool_calls]
                stream = self._ask(self._with_results(results), loop.options, operation)
                yield stream
        except BaseException:
            self._drop(exchange)  # a call without its result would spoil all prompts to come
            raise
        self._end_exchange(exchange)

    async def _arounds(
        self, exchange: Exchange, loop: ToolLoop, question: list[Message], operation: Operation
    ) -> AsyncGenerator[AsyncTextStream, None]:
        self._begin_exchange(exchange)
        try:
            stream = self._aask(question, loop.options, operation)
            yield stream
            while loop.goes_on(generation := await stream.result()):
                results = [await arun_call(loop, call) for call in generation.tool_calls]
                stream = self._aask(self._with_results(results), loop.options, operation)
                yield stream
        except BaseException:
            self._drop(exchange)
            raise
        self._end_exchange(exchange)

    def _tool_loop(
        self, options: GenerateOptions, rounds: int, run: RunTools, *, can_await: bool
    ) -> ToolLoop:
        call = self._client._options.override(options)  # noqa: SLF001
        formatter = self._client.formatter
        neutral = str if formatter is None else formatter.neutral
        return ToolLoop(call, options, rounds, can_await=can_await, run=run, neutral=neutral)

    def _with_results(self, results: list[Message]) -> list[Message]:
        """Take the last answer off the history, and return it with the results of its calls."""
        formatter = self._client.formatter
        return exchanged(
            self._messages.pop(), results, None if formatter is None else formatter.calls_per_message
        )

    def _begin(
        self,
        start: Callable[[list[Message], Callable[[GenerationSession], None]], AnyStream],
        new: list[Message],
        options: GenerateOptions,
    ) -> AnyStream:
        exchange = self._exchange

        def keep(session: GenerationSession) -> None:
            if exchange is not None and exchange.dropped:
                return
            if session.failure is None and (session.text or session.finished):
                self._kept += [*new, session.answer_message()]

        prompt = self._prompt(new, options)
        try:
            stream = start(prompt, keep)
        except PromptError as error:
            raise renumbered(error, prompt, self._messages) from error.__cause__
        # A weak reference, so that dropping an answer cancels it like every other stream.
        self._last = weakref.ref(stream)
        return stream

    def _prompt(self, new: Sequence[Message], options: GenerateOptions) -> list[Message]:
        chosen = self._client.model.system if self._system is None else self._system
        front = [] if chosen is None else [system(chosen)]
        tools = options.get("tools", self._client._options.tools)  # noqa: SLF001
        sent = self._window.fitted(front, self._messages, new, tools)
        self._left_out = len(front) + len(self._messages) + len(new) - len(sent)
        return sent


def _question(content: Content) -> list[Message]:
    message = user(content)
    check_text("the message", message.text, parameter="text")
    return [message]


publish(__name__)
