"""`StreamingClient`: stream a GPT's output, by callback, iterator or async iterator."""

from __future__ import annotations

import copy
import inspect
import os
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from nupic_client._async.stream import AsyncTextStream
from nupic_client._async.transport import AsyncTransport
from nupic_client._core import flows
from nupic_client._core.discovery import start_or_discover
from nupic_client._core.draft import CallOptions, Draft, GenerateOptions
from nupic_client._core.exchange import Exchange
from nupic_client._sync.stream import TextStream
from nupic_client._sync.transport import Transport
from nupic_client.backends.plain import PlainBackend
from nupic_client.backends.signature import ModelSignature
from nupic_client.config import TLS, ClientConfig, UrlLike
from nupic_client.errors import ConfigurationError
from nupic_client.messages import MessageLike, to_messages
from nupic_client.model_spec import ModelSpec
from nupic_client.prompts import PromptFormatter, formatter_for
from nupic_client.registry import ModelRegistry, default_registry
from nupic_client.results import Generation

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

__all__ = ["AsyncCallback", "Callback", "Prompt", "StreamingClient"]

Prompt: TypeAlias = "str | Iterable[MessageLike]"
"""A text that is sent as it is, or a conversation that the model's prompt formatter renders."""
Callback: TypeAlias = "Callable[[str], object]"
"""Called with each piece of text."""
AsyncCallback: TypeAlias = "Callable[[str], Awaitable[object] | object]"
"""Called with each piece of text; what it returns is awaited if it can be."""


class StreamingClient:
    """A client for one model that streams its text.

    One client serves any number of threads, tasks and event loops at the same time; it opens its connection at the
    first call and keeps it. Options given here are the defaults of every call.

    Args:
        model: a friendly name of the registry (``"smollm2"``) or the server's own name of a model.
        url: the server's gRPC address: ``host:port``, ``grpc://…``, ``grpcs://…`` (TLS), ``dns:///name:port``,
            ``unix:/path`` or a list of them. Default: ``$NUPIC_URL``, else ``localhost:8001``.
        formatter: how conversations become prompts: a `PromptFormatter` or the name of a family. Default: the model's.
        registry: where the model is looked up. Default: the models that come with the package.
        tls: certificates and names for a ``grpcs://`` url.
        channel_options: gRPC channel arguments by name, put over the defaults.
        **options: defaults for every call, see `GenerateOptions`: sampling options, ``timeout`` (seconds, default 600),
            ``metadata``, ``backend_inputs``, ``unsupported``.

    Raises:
        ConfigurationError: an argument is wrong. Nothing is sent by the constructor.
        TypeError: an option that does not exist.

    Example:
        .. code-block:: python

            from nupic_client import StreamingClient, user

            with StreamingClient("smollm2", url="localhost:8001") as client:
                client.generate([user("Why is the sky blue?")], callback=lambda text: print(text, end="", flush=True))
    """

    def __init__(
        self,
        model: str,
        url: UrlLike | None = None,
        *,
        formatter: PromptFormatter | str | None = None,
        registry: ModelRegistry | None = None,
        tls: TLS | None = None,
        channel_options: Mapping[str, str | int] | None = None,
        **options: Unpack[GenerateOptions],
    ) -> None:
        self._spec = (registry or default_registry()).resolve(model)
        if isinstance(formatter, str):
            formatter = formatter_for(formatter).with_system(self._spec.system)
        self._formatter = formatter or self._spec.formatter
        # A server whose tokenizer does not know the family's tokens would print them and go on.
        stops = self._formatter.stop if self._formatter is not None else ()
        self._chat_spec = replace(self._spec, stop=tuple(dict.fromkeys((*self._spec.stop, *stops))))
        self._options = _defaults(CallOptions(sampling=self._spec.sampling_defaults), options)
        self._config = ClientConfig.create(url, environ=os.environ, tls=tls, channel_options=channel_options)
        self._transport = Transport(self._config)
        self._async_transport = AsyncTransport(self._config)
        self._signatures: dict[str, ModelSignature] = {}
        self._found: dict[str, str] = {}
        self._backend = PlainBackend()

    @property
    def model(self) -> ModelSpec:
        """What the client knows about its model, such as the server's name of it."""
        return self._spec

    @property
    def formatter(self) -> PromptFormatter | None:
        """What writes conversations as prompts; None where that is not known, so that only texts can be sent."""
        return self._formatter

    @property
    def url(self) -> str:
        """The server, as gRPC addresses it."""
        return str(self._config.endpoint)

    def generate(
        self, prompt: Prompt, *, callback: Callback | None = None, **options: Unpack[GenerateOptions]
    ) -> Generation:
        """Generate a text and return it when it is complete. Blocks; thread-safe.

        Args:
            prompt: a text, sent as it is, or a list of messages, rendered by the model's prompt formatter.
            callback: called with each piece of text as it arrives, on this thread. An exception in it cancels the
                generation and is raised here.
            **options: of this call, see `GenerateOptions`.

        Returns:
            The generation with its text, finish reason, usage and timing.

        Raises:
            ConfigurationError: an option or the prompt is wrong, or the model cannot do what is asked; nothing was sent.
            PromptError: the conversation does not fit the model's format.
            RequestError: the request failed; ``partial_text`` has the text so far.
            TypeError: an option that does not exist.

        Example:
            .. code-block:: python

                generation = client.generate("Once upon a time", callback=print, max_tokens=100)
        """
        check_callback(callback)
        return self._deliver(self.stream(prompt, **options), callback)

    def stream(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> TextStream:
        """Send a prompt and return its text as a stream: iterate over it for the pieces as they arrive.

        Blocks only to ask for the model's signature, once. Thread-safe. Leaving the stream cancels the generation.

        Args:
            prompt: as for `generate`.
            **options: as for `generate`.

        Returns:
            The stream, also a context manager; ``stream.result()`` is the finished generation.

        Raises:
            ConfigurationError: as for `generate`.
            PromptError: as for `generate`.
            RequestError: the model's signature could not be asked for.
            TypeError: an option that does not exist.

        Example:
            .. code-block:: python

                with client.stream("Once upon a time") as stream:
                    for text in stream:
                        print(text, end="", flush=True)
        """
        return self._stream(prompt, options)

    async def agenerate(
        self, prompt: Prompt, *, callback: AsyncCallback | None = None, **options: Unpack[GenerateOptions]
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
            TypeError: an option that does not exist.
        """
        if callback is not None and not callable(callback):
            raise ConfigurationError(f"callback must be a function or a coroutine function, not {callback!r}")
        return await self._adeliver(self.astream(prompt, **options), callback)

    def astream(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> AsyncTextStream:
        """Return the text of a prompt as an async stream; the async twin of `stream`. Does not block.

        The request is sent by ``async with`` or by the first read.

        Args:
            prompt: as for `generate`.
            **options: as for `generate`.

        Returns:
            The stream, also an async context manager; ``await stream.result()`` is the finished generation.

        Raises:
            ConfigurationError: an option or the prompt is wrong.
            PromptError: as for `generate`.
            TypeError: an option that does not exist.

        Example:
            .. code-block:: python

                async with client.astream("Once upon a time") as stream:
                    async for text in stream:
                        print(text, end="", flush=True)
        """
        return self._astream(prompt, options)

    def wait_until_ready(self, timeout: float | None = 60.0) -> None:
        """Block until the server and the model are ready. Thread-safe.

        Args:
            timeout: seconds; None waits without limit.

        Raises:
            DeadlineExceededError: not ready in time; it says what was missing.
            RequestError: waiting cannot help, e.g. wrong credentials.
        """
        self._transport.run(self._readiness(timeout))

    async def await_until_ready(self, timeout: float | None = 60.0) -> None:
        """Wait until the server and the model are ready; the async twin of `wait_until_ready`.

        Args:
            timeout: seconds; None waits without limit.

        Raises:
            DeadlineExceededError: as for `wait_until_ready`.
            RequestError: as for `wait_until_ready`.
        """
        await self._async_transport.run(self._readiness(timeout))

    def with_options(self, **options: Unpack[GenerateOptions]) -> Self:
        """Return a client with other defaults that shares this one's connection; closing either closes both.

        Args:
            **options: put over this client's.

        Raises:
            ConfigurationError: a value is wrong.
            TypeError: an option that does not exist.
        """
        twin = copy.copy(self)
        twin._options = _defaults(self._options, options)  # noqa: SLF001 - of the same class
        return twin

    def close(self) -> None:
        """Close the connection and cancel what is running on it. Returns at once. Idempotent; safe from any thread."""
        self._transport.close()
        self._async_transport.close()

    async def aclose(self) -> None:
        """Close the connection and cancel what is running on it; the async twin of `close`."""
        self._transport.close()
        await self._async_transport.aclose()

    def __enter__(self) -> Self:
        """Return the client; the end of the block closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        """Return the client; the end of the block closes it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._spec.server_name!r}, url={self.url!r})"

    def _draft(self, prompt: Prompt, options: GenerateOptions) -> Draft:
        """Decide everything that can be decided without the server."""
        call = self._options.override(options)
        model = self._spec
        if not isinstance(prompt, str):
            prompt = self._render(prompt)
            model = self._chat_spec
        return Draft(
            model=model,
            prompt=prompt,
            options=call,
            request_id=call.request_id or uuid.uuid4().hex,
            target=self.url,
            backend=self._backend,
        )

    def _render(self, prompt: Iterable[MessageLike]) -> str:
        messages = to_messages(prompt)
        if self._formatter is None:
            raise ConfigurationError(
                f"it is not known how model {self._spec.name!r} wants conversations written: give formatter= (a family"
                " such as 'chatml' or 'zephyr', or a PromptFormatter), or give the prompt as a text"
            )
        rendered = self._formatter(messages)
        # The servers' tokenizers put a BOS token before every text; a second one makes answers worse.
        return rendered if self._spec.bos == "keep" else self._formatter.without_bos(rendered)

    def _stream(self, prompt: Prompt, options: GenerateOptions, on_end: OnEnd = None) -> TextStream:
        return TextStream(self._transport, self._start(self._draft(prompt, options), on_end))

    def _astream(self, prompt: Prompt, options: GenerateOptions, on_end: OnEnd = None) -> AsyncTextStream:
        draft = self._draft(prompt, options)
        return AsyncTextStream(self._async_transport, self._start(draft, on_end), draft.request_id)

    def _start(self, draft: Draft, on_end: OnEnd) -> flows.Flow[Exchange]:
        exchange = yield from start_or_discover(draft, self._signatures, self._found)
        exchange.on_end = on_end
        return exchange

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

    def _readiness(self, timeout: float | None) -> flows.Flow[None]:
        metadata = tuple(self._options.metadata.items())
        return flows.wait_until_ready(
            self._spec.server_name, timeout=timeout, target=self.url, metadata=metadata
        )


OnEnd: TypeAlias = "Callable[[Exchange], None] | None"


def check_callback(callback: Callback | None) -> None:
    """Raise ConfigurationError for a callback that a blocking call cannot use."""
    if callback is not None and (not callable(callback) or inspect.iscoroutinefunction(callback)):
        raise ConfigurationError(
            f"callback must be a plain function, not {callback!r}; agenerate takes async ones"
        )


def _defaults(base: CallOptions, options: GenerateOptions) -> CallOptions:
    if "request_id" in options:
        raise ConfigurationError("request_id belongs to a call, not to a client: each request has its own")
    return base.override(options)
