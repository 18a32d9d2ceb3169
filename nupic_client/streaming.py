"""`StreamingClient`: stream the text of a model by callback, iterator or async iterator."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Iterable, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias, overload

from typing_extensions import Unpack

from nupic_client._async.bulk import AsyncResultStream
from nupic_client._async.stream import AsyncTextStream
from nupic_client._callbacks import (
    AsyncCallback,
    AsyncOnResult,
    Callback,
    Errors,
    OnResult,
    check_async_callback,
    check_callback,
    check_on_result,
    check_plain_on_result,
)
from nupic_client._core.calls import flows
from nupic_client._core.calls.bulk import MapSettings
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.calls.watch import Watch
from nupic_client._core.generation.bulk import PromptPipeline, open_prompts
from nupic_client._core.generation.opening import open_stream
from nupic_client._core.generation.request import GenerationRequest
from nupic_client._core.generation.session import GenerationSession, OnEnd
from nupic_client._model_client import ModelClient
from nupic_client._option_signatures import named_options
from nupic_client._parsing import AsyncParsing, Parsing
from nupic_client._public import publish
from nupic_client._sync.bulk import ResultStream
from nupic_client._sync.stream import TextStream
from nupic_client.errors import ConfigurationError
from nupic_client.messages import MessageLike
from nupic_client.observe import Operation
from nupic_client.options import GenerateOptions
from nupic_client.results import Generation

__all__ = ["AsyncCallback", "Callback", "Prompt", "PromptItem", "StreamingClient"]

Prompt: TypeAlias = str | Iterable[MessageLike]
"""A text, sent unchanged, or a conversation, rendered by the model's prompt formatter."""
PromptItem: TypeAlias = Prompt | tuple[Prompt, GenerateOptions | Mapping[str, Any]]
"""A prompt of many, or a tuple of a prompt and its options."""


@named_options
class StreamingClient(ModelClient, Parsing, AsyncParsing):
    """A client for one model that streams its text.

    One client serves any number of threads, tasks and event loops at the same time; it opens its connection at the
    first call and keeps it. Options given here are the defaults of every call.

    Args:
        model: a friendly name of the registry (``"smollm2"``) or the server's own name of a model.
        url: the server's gRPC address: ``host:port``, ``grpc://…``, ``grpcs://…`` (TLS), ``dns:///name:port``,
            ``unix:/path`` or a list of them. Default: ``$NUPIC_URL``, else ``localhost:8001``.
        formatter: how conversations become prompts: a `PromptFormatter` or the name of a family. Default: the model's.
        registry: the registry to look the model up in. Default: the models that come with the package.
        backend: the adapter for the model's inputs and outputs: a name such as ``"vllm"`` or an object, see
            `nupic_client.backends`. Default: chosen by the model's signature.
        tls: certificates and names for a ``grpcs://`` url.
        bearer_token: the bearer token of every call, or a function or coroutine function that returns it. A function is
            called before the first call, and again when the server refuses its token as UNAUTHENTICATED.
        allow_insecure_token: send the token in plain text to another machine.
        channel_options: gRPC channel arguments by name; they replace single defaults.
        observer: told of each request, see `Observer`: for metrics and traces. A pickled copy has it too, if it can be
            pickled.
        balancing: how one of several servers is chosen for a request: ``"least-busy"`` takes the one that runs the fewest
            requests of this client, ``"round-robin"`` each in turn, ``"sticky"`` the same one for all requests of a
            ``session``.
        max_outstanding: requests of this client that run on each server at the same time; the others wait here, the first
            one first. The wait counts as one for the first token. None for no limit.
        **options: defaults for every call, see `GenerateOptions`: sampling options, ``timeout`` (seconds, default 600),
            ``metadata``, ``backend_inputs``, ``unsupported``.

    Raises:
        ConfigurationError: an argument is wrong. Nothing is sent by the constructor.
        TypeError: an option does not exist.

    Example:
        .. code-block:: python

            from nupic_client import StreamingClient, user

            with StreamingClient("smollm2", url="localhost:8001") as client:
                client.generate([user("Why is the sky blue?")], callback=lambda text: print(text, end="", flush=True))
    """

    def generate(
        self, prompt: Prompt, callback: Callback | None = None, **options: Unpack[GenerateOptions]
    ) -> Generation:
        """Generate a text and return it when it is complete. Blocks; thread-safe.

        Args:
            prompt: a text, sent unchanged, or a list of messages, rendered by the model's prompt formatter.
            callback: called with each chunk of text as it arrives, on this thread. An exception in it cancels the
                generation and is raised here. With ``enforce="validate"`` it gets the text of each answer that is asked for.
            **options: options of this call, see `GenerateOptions`: sampling by ``max_tokens``, ``temperature``, ``top_p``,
                ``top_k``, ``min_p``, ``stop``, ``seed``, ``repetition_penalty``, ``presence_penalty`` and
                ``frequency_penalty``; ``timeout``, ``response_format``, ``tools`` and more.

        Returns:
            The generation with its text, finish reason, usage and timing.

        Raises:
            ConfigurationError: an option or the prompt is wrong, or the model does not support an option; nothing was sent.
            PromptError: the conversation does not fit the model's format.
            RequestError: the request failed; ``partial_text`` has the text so far.
            OutputError: the answer does not have the form that ``response_format`` asks for.
            TypeError: an option does not exist.

        Example:
            .. code-block:: python

                def show(text: str) -> None:
                    print(text, end="", flush=True)

                generation = client.generate("Once upon a time", callback=show, max_tokens=100)
        """
        check_callback(callback)
        asking = self._asking(prompt, options)
        if asking is None:
            return self._deliver(self._stream(prompt, options, operation="generate"), callback)
        return self._until_valid(
            asking, lambda *asked: self._deliver(self._stream(*asked, operation="generate"), callback)
        )

    def stream(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> TextStream:
        """Send a prompt and return the answer as a stream of chunks, to iterate over.

        Blocks only for the model's signature, once. Thread-safe. Leaving the stream cancels the generation.

        Args:
            prompt: as for `generate`.
            **options: as for `generate`.

        Returns:
            The stream, also a context manager; ``stream.result()`` is the finished generation.

        Raises:
            ConfigurationError: as for `generate`.
            PromptError: as for `generate`.
            RequestError: the model's signature could not be asked for.
            TypeError: an option does not exist.

        Example:
            .. code-block:: python

                with client.stream("Once upon a time") as stream:
                    for text in stream:
                        print(text, end="", flush=True)
        """
        return self._stream(prompt, options)

    async def agenerate(
        self, prompt: Prompt, callback: AsyncCallback | None = None, **options: Unpack[GenerateOptions]
    ) -> Generation:
        """Generate a text and return it when it is complete; the async twin of `generate`. Task-safe.

        Args:
            prompt: as for `generate`.
            callback: a function or a coroutine function, called in this task.
            **options: as for `generate`.

        Returns:
            As `generate`.

        Raises:
            ConfigurationError: as for `generate`.
            PromptError: as for `generate`.
            RequestError: as for `generate`.
            OutputError: as for `generate`.
            TypeError: an option does not exist.
        """
        check_async_callback(callback)
        asking = self._asking(prompt, options)
        if asking is None:
            return await self._adeliver(self._astream(prompt, options, operation="generate"), callback)
        return await self._auntil_valid(
            asking, lambda *asked: self._adeliver(self._astream(*asked, operation="generate"), callback)
        )

    def astream(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> AsyncTextStream:
        """Return the answer to a prompt as an async stream; the async twin of `stream`. Does not block.

        ``async with`` or the first read sends the request.

        Args:
            prompt: as for `generate`.
            **options: as for `generate`.

        Returns:
            The stream, also an async context manager; ``await stream.result()`` is the finished generation.

        Raises:
            ConfigurationError: an option or the prompt is wrong.
            PromptError: as for `generate`.
            TypeError: an option does not exist.

        Example:
            .. code-block:: python

                async with client.astream("Once upon a time") as stream:
                    async for text in stream:
                        print(text, end="", flush=True)
        """
        return self._astream(prompt, options)

    @overload
    def map(
        self,
        prompts: Iterable[PromptItem],
        *,
        concurrency: int = ...,
        ordered: Literal[True] = ...,
        callback: OnResult | None = ...,
        errors: Literal["raise"] = ...,
        **options: Unpack[GenerateOptions],
    ) -> ResultStream[Generation]: ...
    @overload
    def map(
        self,
        prompts: Iterable[PromptItem],
        *,
        concurrency: int = ...,
        ordered: bool = ...,
        callback: OnResult | None = ...,
        errors: Errors = ...,
        **options: Unpack[GenerateOptions],
    ) -> ResultStream[Any]: ...
    def map(
        self,
        prompts: Iterable[PromptItem],
        *,
        concurrency: int = 32,
        ordered: bool = True,
        callback: OnResult | None = None,
        errors: Errors = "raise",
        **options: Unpack[GenerateOptions],
    ) -> ResultStream[Any]:
        """Generate texts for many prompts, several at a time, and return them as an iterator. Thread-safe.

        Reading the iterator reads the prompts and sends them, a bounded number ahead: prompts may be endless, and memory
        stays flat. A slow iterable of prompts holds up the results; with `amap` it does not. Leaving the iterator cancels
        what is on its way.

        A prompt that the server has no capacity for (`OverloadedError`) is tried again until its ``timeout``, with the
        pauses of its retry policy; meanwhile fewer run at the same time, at first half as many, and then more again with
        each answer. ``max_retries=0`` makes it an error like all others.

        Args:
            prompts: any iterable of what `generate` takes. A tuple of a prompt and a mapping of options is a prompt with
                options of its own, put over those of the call. A mapping with the keys ``role`` and ``content`` is a
                message: a tuple of two messages is a conversation.
            concurrency: number of generations at the same time.
            ordered: yield results in the order of the prompts; otherwise as they complete, each as ``(index, result)``.
            callback: called with index and result of each prompt as it completes, on the reading thread.
            errors: ``"raise"`` raises the error of a prompt in place of its result, which ends the iteration;
                ``"return"`` yields it.
            **options: as for `generate`, without ``request_id``; ``timeout`` applies to each generation.

        Returns:
            The results, also a context manager. Nothing is sent before the first read.

        Raises:
            ConfigurationError: an argument is wrong.
            TypeError: an option does not exist.

        Example:
            .. code-block:: python

                for generation in client.map(prompts, concurrency=64, max_tokens=100):
                    print(generation.text)
        """
        check_prompts(prompts, Iterable)
        check_plain_on_result(callback)
        settings = MapSettings(concurrency=concurrency, ordered=ordered, errors=errors)
        watch = self._watch("map", streaming=True)
        opening = self._bulk(settings, callback, options, watch)
        return ResultStream(self._transport, opening, prompts, callback, watch)

    @overload
    def amap(
        self,
        prompts: Iterable[PromptItem] | AsyncIterable[PromptItem],
        *,
        concurrency: int = ...,
        ordered: Literal[True] = ...,
        callback: AsyncOnResult | None = ...,
        errors: Literal["raise"] = ...,
        **options: Unpack[GenerateOptions],
    ) -> AsyncResultStream[Generation]: ...
    @overload
    def amap(
        self,
        prompts: Iterable[PromptItem] | AsyncIterable[PromptItem],
        *,
        concurrency: int = ...,
        ordered: bool = ...,
        callback: AsyncOnResult | None = ...,
        errors: Errors = ...,
        **options: Unpack[GenerateOptions],
    ) -> AsyncResultStream[Any]: ...
    def amap(
        self,
        prompts: Iterable[PromptItem] | AsyncIterable[PromptItem],
        *,
        concurrency: int = 32,
        ordered: bool = True,
        callback: AsyncOnResult | None = None,
        errors: Errors = "raise",
        **options: Unpack[GenerateOptions],
    ) -> AsyncResultStream[Any]:
        """Generate texts for many prompts, and return an async iterator; the async twin of `map`. Task-safe.

        Args:
            prompts: any iterable or async iterable of what `map` takes.
            concurrency: as for `map`.
            ordered: as for `map`.
            callback: a function or a coroutine function, called in the reading task.
            errors: as for `map`.
            **options: as for `map`.

        Returns:
            The results, also an async context manager. Nothing is sent before the first read.

        Raises:
            ConfigurationError: as for `map`.
            TypeError: an option does not exist.

        Example:
            .. code-block:: python

                async for generation in client.amap(prompts, concurrency=64, max_tokens=100):
                    print(generation.text)
        """
        check_prompts(prompts, Iterable, AsyncIterable)
        settings = MapSettings(concurrency=concurrency, ordered=ordered, errors=errors)
        watch = self._watch("map", streaming=True)
        opening = self._bulk(settings, callback, options, watch)
        return AsyncResultStream(self._async_transport, opening, prompts, callback, watch)

    def count_tokens(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> int:
        """Count the tokens of a prompt with the client's ``tokenizer``. Sends nothing.

        Args:
            prompt: as for ``generate``.
            **options: as for ``generate``, of which some change the prompt.

        Returns:
            The number of tokens of what would be sent, as the tokenizer encodes a whole text.

        Raises:
            ConfigurationError: the client was given no tokenizer, or as for ``generate``.
            PromptError: as for ``generate``.
        """
        if self._tokenizer is None:
            raise ConfigurationError(
                "tokenizer must be given to the client to count tokens: for example"
                " tokenizers.Tokenizer.from_file('tokenizer.json')",
                parameter="tokenizer",
            )
        return self._count(self._request(prompt, options).prompt)

    def _bulk(
        self, settings: MapSettings, callback: object, options: GenerateOptions, watch: Watch | None
    ) -> flows.Flow[PromptPipeline]:
        check_on_result(callback)
        if options.get("request_id") is not None:
            raise ConfigurationError(
                "request_id must be left out here: each request gets its own, or the one in the options of its prompt",
                parameter="request_id",
            )
        call = self._options.override(options)
        make_request = partial(self._item_request, watch)
        return open_prompts(settings, call, make_request, self._models, self._request_cache)

    def _item_request(
        self, watch: Watch | None, prompt: Any, options: CallOptions, request_id: str | None
    ) -> GenerationRequest:
        return self._request(prompt, {}, options, request_id, watch=watch)

    def _stream(
        self,
        prompt: Prompt,
        options: GenerateOptions,
        on_end: OnEnd | None = None,
        *,
        operation: Operation = "stream",
        session: str = "",
    ) -> TextStream:
        watch = self._watch(operation, streaming=True, session=session)
        opening = self._open(self._request(prompt, options, watch=watch), on_end)
        return TextStream(self._transport, self._transport.run(opening))

    def _astream(
        self,
        prompt: Prompt,
        options: GenerateOptions,
        on_end: OnEnd | None = None,
        *,
        operation: Operation = "stream",
        session: str = "",
    ) -> AsyncTextStream:
        watch = self._watch(operation, streaming=True, session=session)
        request = self._request(prompt, options, watch=watch)
        return AsyncTextStream(self._async_transport, self._open(request, on_end), request.request_id)

    def _open(self, request: GenerationRequest, on_end: OnEnd | None) -> flows.Flow[GenerationSession]:
        return open_stream(request, self._models, self._request_cache, on_end)

    def _deliver(self, stream: TextStream, callback: Callback | None) -> Generation:
        with stream:
            if callback is not None:
                for text in stream:
                    callback(text)
            return stream.result()

    async def _adeliver(self, stream: AsyncTextStream, callback: AsyncCallback | None) -> Generation:
        async with stream:
            if callback is not None:
                async for text in stream:
                    outcome = callback(text)
                    if inspect.isawaitable(outcome):
                        await outcome
            return await stream.result()


def check_prompts(prompts: object, *kinds: type) -> None:
    """Raise ConfigurationError for what are not many prompts."""
    if isinstance(prompts, (str, bytes, Mapping)) or not isinstance(prompts, kinds):
        raise ConfigurationError(
            f"prompts must be an iterable of what generate takes, not {type(prompts).__name__}: put a single prompt into"
            " a list",
            parameter="prompts",
        )


publish(__name__)
