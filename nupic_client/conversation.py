"""`Conversation`: talk to a model and remember what was said."""

from __future__ import annotations

import json
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from contextlib import aclosing, closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import Self, Unpack

from nupic_client._async.stream import AsyncTextStream
from nupic_client._core.generation.session import GenerationSession
from nupic_client._files import replace_file
from nupic_client._history import estimate_tokens, renumbered, trimmed
from nupic_client._numbers import check_integer
from nupic_client._option_signatures import named_options
from nupic_client._public import publish
from nupic_client._repr import counted
from nupic_client._request_id import new_request_id
from nupic_client._sync.stream import TextStream
from nupic_client._text import check_text
from nupic_client._tool_loop import Exchange, RunTools, ToolLoop, arun_call, exchanged, run_call
from nupic_client.errors import ConfigurationError, PromptError, StreamStateError
from nupic_client.messages import Content, Message, MessageLike, check_texts, read_messages, system, user
from nupic_client.observe import Operation
from nupic_client.options import GenerateOptions
from nupic_client.results import Generation
from nupic_client.streaming import (
    AsyncCallback,
    Callback,
    StreamingClient,
    check_async_callback,
    check_callback,
)
from nupic_client.tools import to_tools

__all__ = ["Conversation"]

AnyStream = TypeVar("AnyStream", TextStream, AsyncTextStream)


@named_options
class Conversation:
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

    _last: Callable[[], TextStream | AsyncTextStream | None] = staticmethod(lambda: None)
    """Returns the stream of the last answer, while there is one."""

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
        self._client = client
        self._system = _checked_system(system)
        self._kept = _checked_history(messages)
        given = _checked_tokens("context_length", context_length, least=1)
        self._context_length = client.model.context_length if given is None else given
        self._reserve = _checked_tokens("reserve", reserve, least=0)
        self._count_tokens = count_tokens or client._counter or estimate_tokens  # noqa: SLF001
        self._last = _nothing
        self._exchange: Exchange | None = None
        self._left_out = 0
        self._session = new_request_id()

    def __getstate__(self) -> dict[str, Any]:
        # A running answer belongs to this conversation. A copy has the messages so far and a client of its own.
        return {**self.__dict__, "_kept": list(self._messages), "_last": _nothing, "_exchange": None}

    @property
    def _messages(self) -> list[Message]:
        """The messages so far. An exchange whose loop was left is dropped first: an async loop tells of it later."""
        if self._exchange is not None and self._exchange.is_left:
            self._drop(self._exchange)
        return self._kept

    @property
    def id(self) -> str:
        """The id of this conversation, made up when it began and saved with it; for observers its ``session``."""
        return self._session

    @property
    def system(self) -> str | None:
        """The system prompt, or None for the default of the model. A new value applies from the next message on."""
        return self._system

    @system.setter
    def system(self, text: str | None) -> None:
        self._system = _checked_system(text)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages so far, without the system prompt. May be set, for the next message on."""
        return tuple(self._messages)

    @messages.setter
    def messages(self, messages: Iterable[MessageLike]) -> None:
        self._check_idle()
        self._kept = _checked_history(messages)

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

    def clear(self) -> None:
        """Forget all messages; the system prompt stays.

        Raises:
            StreamStateError: the last answer is still being generated.
        """
        self._check_idle()
        self._messages.clear()

    def undo(self) -> tuple[Message, ...]:
        """Drop the last exchange: the last message of the user, and what followed it.

        Returns:
            The messages that were dropped; empty where there was none.

        Raises:
            StreamStateError: the last answer is still being generated.

        Example:
            .. code-block:: python

                question, answer = conversation.undo()
                conversation.generate(question.text + " Answer in one sentence.")
        """
        self._check_idle()
        places = [index for index, message in enumerate(self._messages) if message.role == "user"]
        dropped = tuple(self._messages[places[-1] :]) if places else ()
        del self._messages[len(self._messages) - len(dropped) :]
        return dropped

    def to_json(self) -> str:
        """Return the conversation as JSON text, for `from_json`. It contains all messages in plain text."""
        messages = [message.as_dict() for message in self._messages]
        data = {
            "version": 1,
            "id": self._session,
            "model": self._client.model.name,
            "system": self._system,
            "messages": messages,
        }
        return json.dumps(data, ensure_ascii=False, indent=1)

    def save(self, path: str | Path) -> None:
        """Write the conversation to a file in the form of `to_json`.

        An existing file is replaced as a whole: if writing fails or is interrupted, the older one stays.

        Args:
            path: the file.

        Raises:
            OSError: the file cannot be written.
        """
        replace_file(Path(path), self.to_json().encode())

    @classmethod
    def from_json(cls, text: str, client: StreamingClient, **options: Any) -> Self:
        """Return a conversation from the JSON text of `to_json`.

        Args:
            text: the JSON text.
            client: the model to continue with, not necessarily the same one.
            **options: as for the constructor.

        Raises:
            ConfigurationError: the text is not a conversation.
        """
        try:
            data = json.loads(text)
            if data["version"] != 1:
                raise ConfigurationError(f"a saved conversation must have version 1, not {data['version']!r}")
            conversation = cls(client, system=data["system"], messages=data["messages"], **options)
            conversation._session = _checked_id(data.get("id", conversation._session))
            return conversation  # noqa: TRY300 - what it takes is checked above
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(f"this is not a saved conversation: {error!r}") from None

    @classmethod
    def load(cls, path: str | Path, client: StreamingClient, **options: Any) -> Self:
        """Return the conversation in a file of `save`.

        Args:
            path: the file.
            client: as for `from_json`.
            **options: as for `from_json`.

        Raises:
            ConfigurationError: the file has no conversation.
            OSError: the file cannot be read.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"this is not a saved conversation: {error}") from None
        return cls.from_json(text, client, **options)

    def __repr__(self) -> str:
        count = counted(len(getattr(self, "_kept", ())), "message")
        last = self._last()
        state = "" if last is None or last.closed else ", answering"
        return f"Conversation({getattr(self, '_client', None)!r}, {count}{state})"

    def _check_idle(self) -> None:
        last = self._last()
        if last is not None and not last.closed:
            raise StreamStateError(
                "the last answer is still being generated: read it to its end or close it first"
            )
        if self._messages and self._messages[-1].tool_calls and self._exchange is not None:
            raise StreamStateError(
                "the calls of the last answer are still to be run: read its rounds to their end or close them first"
            )
        self._exchange = None  # what it has is complete, and stays, however its loop ends

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

    def _begin_exchange(self, exchange: Exchange) -> None:
        self._check_idle()
        exchange.before = list(self._messages)
        self._exchange = exchange

    def _end_exchange(self, exchange: Exchange) -> None:
        if self._exchange is exchange:
            self._exchange = None

    def _drop(self, exchange: Exchange) -> None:
        """Take back what an exchange has said, unless something else was said since."""
        if self._exchange is exchange:
            self._exchange = None
            self._kept = exchange.before
            exchange.dropped = True

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
        whole = [*front, *self._messages, *new]
        self._left_out = 0
        if self._context_length is None:
            return whole
        reserve = self._context_length // 4 if self._reserve is None else self._reserve
        tools = to_tools(options.get("tools", self._client._options.tools))  # noqa: SLF001
        listed = sum(self._count_tokens(json.dumps(tool.as_dict())) for tool in tools)
        budget = self._context_length - reserve - listed
        sent = trimmed(front, self._messages, new, budget, self._count_tokens)
        self._left_out = len(whole) - len(sent)
        return sent


def _question(content: Content) -> list[Message]:
    message = user(content)
    check_text("the message", message.text, parameter="text")
    return [message]


def _checked_system(text: str | None) -> str | None:
    if text is not None and not isinstance(text, str):
        raise ConfigurationError(f"system must be a string, not {text!r}", parameter="system")
    check_text("system", text or "", parameter="system")
    return text


def _checked_id(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"the id of a saved conversation must be a non-empty string, not {value!r}")
    return value


def _checked_history(given: Iterable[MessageLike]) -> list[Message]:
    messages = list(read_messages(given))
    if any(message.role == "system" for message in messages):
        raise ConfigurationError(
            "messages must not have a system message: leave it out",
            parameter="messages",
            hint="or give it as system=",
        )
    check_texts(messages)
    return messages


def _checked_tokens(name: str, count: int | None, *, least: int) -> int | None:
    return None if count is None else check_integer(name, count, f"a number of tokens >= {least}", low=least)


def _nothing() -> None:
    """Return no stream, before the first message."""


publish(__name__)
