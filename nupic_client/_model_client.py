"""The base of the clients for one model: the model, the connection and the default options."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import FunctionType
from typing import Any

from typing_extensions import Self, Unpack

from nupic_client._connected import Connected
from nupic_client._core.calls import flows
from nupic_client._core.calls.models import ModelDirectory, wait_until_ready
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.generation.request import GenerationRequest
from nupic_client._core.generation.request_cache import RequestCache
from nupic_client._request_id import new_request_id
from nupic_client._text import check_text
from nupic_client.backends.detect import backend_of
from nupic_client.backends.protocol import Backend
from nupic_client.config import TLS, BearerTokenSource, ClientConfig
from nupic_client.endpoint import UrlLike
from nupic_client.errors import ConfigurationError, PromptError
from nupic_client.logs import switch_on
from nupic_client.messages import MessageLike, check_is_list, check_texts, to_messages
from nupic_client.options import GenerateOptions
from nupic_client.prompts import PromptFormatter, formatter_for
from nupic_client.registry import ModelRegistry, ModelSpec, default_registry

__all__ = ["ModelClient"]


class ModelClient(Connected):
    """A client for one model; its arguments are documented on the classes that extend it."""

    _own = Connected._own | {"_models", "_request_cache"}  # noqa: SLF001 - of its own base class

    def __init__(
        self,
        model: str,
        url: UrlLike | None = None,
        *,
        formatter: PromptFormatter | str | None = None,
        registry: ModelRegistry | None = None,
        backend: Backend | str | None = None,
        tls: TLS | None = None,
        bearer_token: BearerTokenSource | None = None,
        allow_insecure_token: bool = False,
        channel_options: Mapping[str, str | int] | None = None,
        **options: Unpack[GenerateOptions],
    ) -> None:
        switch_on(os.environ)
        self._spec = (registry or default_registry()).resolve(model)
        if isinstance(formatter, str):
            formatter = formatter_for(formatter).with_system(self._spec.system)
        self._formatter = formatter or self._spec.formatter
        # A server whose tokenizer does not know the family's tokens would print them and continue, also as the user.
        chosen = self._formatter
        stops = () if chosen is None else tuple(filter(None, (*chosen.stop, chosen.opens_user_turn)))
        self._chat_spec = replace(self._spec, stop=tuple(dict.fromkeys((*self._spec.stop, *stops))))
        self._options = _defaults(CallOptions(sampling=self._spec.sampling_defaults), options)
        self._config = ClientConfig.create(
            url,
            environ=os.environ,
            tls=tls,
            bearer_token=bearer_token,
            allow_insecure_token=allow_insecure_token,
            channel_options=channel_options,
            connect_timeout=self._options.timeouts.connect,
        )
        self._backend = backend_of(self._spec.backend if backend is None else backend)
        self._begin()

    def __init_subclass__(cls) -> None:
        """Give a class a constructor of its own name, for the errors of a call that does not fit it."""
        super().__init_subclass__()
        if "__init__" not in vars(cls):
            cls.__init__ = _renamed(cls.__init__, f"{cls.__name__}.__init__")  # type: ignore[method-assign]

    def _begin(self) -> None:
        super()._begin()
        self._models = ModelDirectory()
        self._request_cache = RequestCache()

    @property
    def model(self) -> ModelSpec:
        """The client's knowledge of its model, such as the server's name for it."""
        return self._spec

    @property
    def formatter(self) -> PromptFormatter | None:
        """The formatter for conversations; None if the model's format is not known, and then only texts can be sent."""
        return self._formatter

    @property
    def url(self) -> str:
        """The server, as gRPC addresses it."""
        return str(self._config.endpoint)

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
        return f"{type(self).__name__}({self._spec.server_name!r}, url={self.url!r})"

    def _request(self, prompt: str | Iterable[MessageLike], options: GenerateOptions) -> GenerationRequest:
        """Validate a generation as far as that is possible without the server."""
        call = self._options.override(options)
        model = self._spec
        if isinstance(prompt, str):
            check_text("prompt", prompt, parameter="prompt")
        else:
            prompt = self._render(prompt)
            model = self._chat_spec
        return GenerationRequest(
            model=model,
            prompt=prompt,
            options=call,
            request_id=call.request_id or new_request_id(),
            target=self.url,
            backend=self._backend,
            bearer=self._bearer,
        )

    def _render(self, prompt: Iterable[MessageLike]) -> str:
        check_is_list("prompt", "a str or a list of messages", prompt)
        messages = to_messages(prompt)
        check_texts(messages)
        if self._formatter is None:
            name, near = self._spec.name, self._spec.suggestion
            otherwise = f"{near}if {name!r} is right, " if near else ""
            raise ConfigurationError(
                f"formatter must be given to send messages to model {name!r}, whose prompt format is not known:"
                f" {otherwise}give a family such as 'chatml' or 'zephyr', or a PromptFormatter; or give the prompt as a"
                " text",
                parameter="formatter",
            )
        try:
            rendered = self._formatter(messages)
        except PromptError as error:
            if not error.hint:
                raise
            hint = "or send client.formatter(messages, allow_control_tokens=True) where you trust its author"
            raise error.with_facts(hint=hint) from error.__cause__
        # The servers' tokenizers put a BOS token before every text; a second one makes answers worse.
        return rendered if self._spec.bos == "keep" else self._formatter.without_bos(rendered)

    def _readiness(self, timeout: float | None) -> flows.Flow[None]:
        return wait_until_ready(
            self._spec.server_name, timeout=timeout, target=self.url, metadata=self._options.metadata
        )


def _renamed(function: Any, name: str) -> Any:
    copied = FunctionType(
        function.__code__, function.__globals__, name, function.__defaults__, function.__closure__
    )
    copied.__kwdefaults__ = function.__kwdefaults__
    copied.__annotations__ = function.__annotations__
    copied.__doc__, copied.__module__, copied.__qualname__ = function.__doc__, function.__module__, name
    return copied


def _defaults(base: CallOptions, options: GenerateOptions) -> CallOptions:
    if "request_id" in options:
        raise ConfigurationError(
            "request_id must be given to a call, not to a client: each request has its own",
            parameter="request_id",
        )
    return base.override(options)
