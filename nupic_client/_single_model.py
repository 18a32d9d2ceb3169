"""The base of the clients for one model, whatever carries their calls: the model, prompts and default options."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from typing_extensions import Self, Unpack

from nupic_client._core.calls.auth import Bearer
from nupic_client._core.calls.models import ModelDirectory
from nupic_client._core.calls.observing import Observing
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.calls.watch import Watch, watching
from nupic_client._core.generation.answer_plan import plan_answer
from nupic_client._core.generation.asking import Asking
from nupic_client._core.generation.request import GenerationRequest
from nupic_client._core.generation.request_cache import RequestCache
from nupic_client._option_signatures import MISSING, named_options
from nupic_client._repr import client_repr
from nupic_client._request_id import new_request_id
from nupic_client._text import check_text
from nupic_client._traceback import without_frames
from nupic_client.backends.detect import backend_of
from nupic_client.backends.protocol import Backend
from nupic_client.errors import ConfigurationError, OutputError, PromptError
from nupic_client.logs import switch_on
from nupic_client.messages import Message, MessageLike, check_is_list, check_texts, to_messages
from nupic_client.observe import Observer, Operation
from nupic_client.observers import everywhere, observing_of
from nupic_client.options import GenerateOptions
from nupic_client.parts import ImagePart
from nupic_client.prompts import PromptFormatter, formatter_for
from nupic_client.registry import ModelRegistry, ModelSpec, default_registry
from nupic_client.results import Generation
from nupic_client.tools import Tool

__all__ = ["SingleModelClient", "Tokenizer"]


class Tokenizer(Protocol):
    """What counts tokens: a tokenizer of transformers, tokenizers or SentencePiece."""

    def encode(self, text: str, /) -> Any:
        """Return the tokens of a text: a list, or an object with a length or with ``ids``."""


@named_options
class SingleModelClient:
    """A client for one model, without its connection: subclasses have that, and set ``_bearer``."""

    _bearer: Bearer | None

    def _configure(
        self,
        model: str,
        *,
        formatter: PromptFormatter | str | None,
        registry: ModelRegistry | None,
        backend: Backend | str | None,
        observer: Observer | None,
        options: GenerateOptions,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        """Set what a copy of the client has too."""
        if tokenizer is not None and not callable(getattr(tokenizer, "encode", None)):
            raise ConfigurationError(
                f"tokenizer must have a method encode(text), not be {type(tokenizer).__name__}",
                parameter="tokenizer",
            )
        self._tokenizer = tokenizer
        switch_on(os.environ)
        self._added: tuple[Observing | None, ...] = ()
        self.observer = observer
        self._spec = _registry(registry).resolve(model)
        self._formatter = self._spec.formatter if formatter is None else _formatter(formatter, self._spec)
        # A server whose tokenizer does not know the family's tokens would print them and continue, also as the user.
        chosen = self._formatter
        stops = () if chosen is None else tuple(filter(None, (*chosen.stop, chosen.opens_user_turn)))
        self._chat_spec = replace(self._spec, stop=tuple(dict.fromkeys((*self._spec.stop, *stops))))
        self._options = _defaults(CallOptions(sampling=self._spec.sampling_defaults), options)
        self._backend = backend_of(self._spec.backend if backend is None else backend)

    def _begin_model(self) -> None:
        """Set the knowledge of the server's models, which a copy of the client gathers itself."""
        self._models = ModelDirectory()
        self._request_cache = RequestCache()

    @property
    def model(self) -> ModelSpec:
        """The client's knowledge of its model, such as the server's name for it."""
        return self._spec

    @property
    def observer(self) -> Observer | None:
        """Told of the requests; None for none, or where it was dropped because it raised. May be set, for later requests."""
        return None if self._observing is None or self._observing.dropped else self._observing.observer

    @observer.setter
    def observer(self, observer: Observer | None) -> None:
        self._observing: Observing | None = None if observer is None else observing_of(observer)
        self._set_observers()

    def add_observer(self, observer: Observer) -> Callable[[], None]:
        """Tell an observer of later requests, besides `observer`. Thread-safe.

        Clients that `with_options` makes of this one from now on have it too, and so have pickled copies, if it can be
        pickled.

        Args:
            observer: see `Observer`.

        Returns:
            A function that takes it off this client again. The requests that run then are told of to their end. Idempotent.

        Raises:
            ConfigurationError: it has none of the methods of an observer, or one that cannot be called.
        """
        observing = observing_of(observer)
        with _changing:
            self._added = (*self._added, observing)
            self._set_observers()
        return partial(self._remove_observer, observing)

    def _remove_observer(self, observing: Observing) -> None:
        with _changing:
            self._added = tuple(each for each in self._added if each is not observing)
            self._set_observers()

    def _set_observers(self) -> None:
        own = self._observing
        self._observers = self._added if own is None else (own, *self._added)

    def _watch(
        self, operation: Operation, *, streaming: bool | None = False, session: str = ""
    ) -> Watch | None:
        """Return what tells the observers of the requests of a call; None where nobody wants to know."""
        of_all = everywhere.observers
        if not self._observers and not of_all:
            return None
        return watching((*self._observers, *of_all), operation, streaming=streaming, session=session)

    @property
    def formatter(self) -> PromptFormatter | None:
        """The formatter for conversations; None if the model's format is not known, and then only texts can be sent."""
        return self._formatter

    @property
    def url(self) -> str:
        """The server."""
        raise NotImplementedError

    def _count(self, text: str) -> int:
        encoded = self._tokenizer.encode(text)  # type: ignore[union-attr]  # callers know that there is one
        return len(getattr(encoded, "ids", encoded))

    @property
    def _counter(self) -> Callable[[str], int] | None:
        """What counts the tokens of a text; None without a tokenizer."""
        return None if self._tokenizer is None else self._count

    def with_options(self, **options: Unpack[GenerateOptions]) -> Self:
        """Return a client with other defaults on the same connection; closing either closes both.

        Args:
            **options: replace this client's.

        Raises:
            ConfigurationError: a value is wrong.
            TypeError: an option does not exist.
        """
        twin = object.__new__(type(self))
        twin.__dict__.update(
            self.__dict__, _options=_defaults(self._options, options), _request_cache=RequestCache()
        )
        return twin

    def __repr__(self) -> str:
        return client_repr(self, lambda: self._spec.server_name)

    def _request(
        self,
        prompt: str | Iterable[MessageLike],
        options: GenerateOptions,
        defaults: CallOptions | None = None,
        request_id: str | None = None,
        *,
        watch: Watch | None = None,
    ) -> GenerationRequest:
        """Validate a generation as far as that is possible without the server.

        Args:
            prompt: the prompt.
            options: of this call.
            defaults: what these are put over; the client's own if it is None.
            request_id: of this call, if it is not among the options.
            watch: tells an observer of it; None without one.
        """
        try:
            call = (defaults or self._options).override(options)
        except (TypeError, ConfigurationError) as error:
            raise without_frames(error) from error.__cause__
        model = self._spec
        messages: tuple[Message, ...] = ()
        images: tuple[ImagePart, ...] = ()
        answer = None
        if isinstance(prompt, str):
            check_text("prompt", prompt, parameter="prompt")
            if options:
                _check_of_text(options)
        else:
            messages = _checked_messages(prompt)
            formatter = self._known_formatter()
            if call.tools or call.tool_choice.forces or formatter.reasons or call.reasoning is not None:
                answer, call = plan_answer(
                    formatter.family, formatter.answer, call, reasons=formatter.reasons
                )
            tools = None if answer is None else answer.tools
            prompt, images = self._render(formatter, messages, call, tools)
            model = self._chat_spec
        return GenerationRequest(
            model=model,
            prompt=prompt,
            options=call,
            request_id=request_id or call.request_id or new_request_id(),
            target=self.url,
            backend=self._backend,
            bearer=self._bearer,
            images=images,
            answer=answer,
            keep_special_tokens=answer is not None and answer.needs_special_tokens,
            chat=model is self._chat_spec,
            watch=watch,
            messages=messages if watch is not None and watch.wants_content else (),
        )

    def _asking(self, prompt: str | Iterable[MessageLike], options: GenerateOptions) -> Asking | None:
        """Return what asks again for an answer whose form only the client checks; None where that is not wanted."""
        if options.get("enforce", self._options.enforce) != "validate":
            return None
        call = self._options.override(options)
        if not (call.output_format or call.tool_choice.forces) or not call.output_retries:
            return None
        return Asking(prompt, options, call, time.monotonic())

    def _until_valid(self, asking: Asking, ask: Callable[[Any, GenerateOptions], Generation]) -> Generation:
        """Ask for an answer until its form is right."""
        while True:
            try:
                return ask(asking.prompt, asking.options)
            except OutputError as error:
                asking.again(error, time.monotonic())
            except PromptError:
                if not asking.unquoted():
                    raise

    async def _auntil_valid(
        self, asking: Asking, ask: Callable[[Any, GenerateOptions], Awaitable[Generation]]
    ) -> Generation:
        """Ask for an answer until its form is right; the async twin of `_until_valid`."""
        while True:
            try:
                return await ask(asking.prompt, asking.options)
            except OutputError as error:
                asking.again(error, time.monotonic())
            except PromptError:
                if not asking.unquoted():
                    raise

    def _known_formatter(self) -> PromptFormatter:
        if self._formatter is None:
            name, near = self._spec.name, self._spec.suggestion
            otherwise = f"{near}if {name!r} is right, " if near else ""
            raise ConfigurationError(
                f"formatter must be given to send messages to model {name!r}, whose prompt format is not known:"
                f" {otherwise}give a family such as 'chatml' or 'zephyr', or a PromptFormatter; or give the prompt as a"
                " text",
                parameter="formatter",
            )
        return self._formatter

    def _render(
        self,
        formatter: PromptFormatter,
        messages: Sequence[Message],
        call: CallOptions,
        tools: tuple[Tool, ...] | None,
    ) -> tuple[str, tuple[ImagePart, ...]]:
        """Return the prompt of a conversation, and its images, whose files are read."""
        try:
            rendered = formatter(
                messages,
                tools=tools,
                continue_final_message=call.continue_final_message,
                **call.template_variables,
            )
        except PromptError as error:
            if not error.hint:
                raise
            hint = "or send client.formatter(messages, allow_control_tokens=True) where you trust its author"
            raise error.with_facts(hint=hint) from error.__cause__
        # The servers' tokenizers put a BOS token before every text; a second one makes answers worse.
        rendered = rendered if self._spec.bos == "keep" else formatter.without_bos(rendered)
        return rendered, tuple(image.loaded() for message in messages for image in message.images)


_changing = threading.RLock()
"""Held while the observers of a client change."""


def _checked_messages(prompt: Iterable[MessageLike]) -> tuple[Message, ...]:
    if prompt is MISSING:
        raise TypeError("prompt is missing: give a text or a list of messages as the first argument")
    check_is_list("prompt", "a str or a list of messages", prompt)
    messages = to_messages(prompt)
    check_texts(messages)
    return messages


def _registry(given: ModelRegistry | None) -> ModelRegistry:
    if given is None:
        return default_registry()
    if not isinstance(given, ModelRegistry):
        raise ConfigurationError(
            f"registry must be a ModelRegistry, not {type(given).__name__}", parameter="registry"
        )
    return given


def _formatter(given: PromptFormatter | str, spec: ModelSpec) -> PromptFormatter:
    if isinstance(given, str):
        return formatter_for(given).with_system(spec.system)
    if not isinstance(given, PromptFormatter):
        raise ConfigurationError(
            f"formatter must be a PromptFormatter or the name of a family, not {type(given).__name__}",
            parameter="formatter",
            hint="PromptFormatter.from_jinja and from_tokenizer_config make one of a model's own template",
        )
    return given


def _check_of_text(options: GenerateOptions) -> None:
    """Refuse options of a call that only a rendered prompt can follow."""
    for name in ("template_variables", "continue_final_message", "tools", "tool_choice", "reasoning"):
        if options.get(name):
            raise ConfigurationError(
                f"{name} must be given with a list of messages, not with a text, which is sent as it is",
                parameter=name,
            )


def _defaults(base: CallOptions, options: GenerateOptions) -> CallOptions:
    if "request_id" in options:
        raise ConfigurationError(
            "request_id must be given to a call, not to a client: each request has its own",
            parameter="request_id",
        )
    return base.override(options)
