"""What the models here share: the fields that say which model of which server, and their clients."""

from __future__ import annotations

import hashlib
import itertools
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from langchain_core.utils import from_env, secret_from_env
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, field_serializer

from nupic_client import (
    TLS,
    ConfigurationError,
    InferenceClient,
    Message,
    PromptError,
    PromptFormatter,
    RetryPolicy,
    StreamingClient,
    Timeouts,
    user,
)

__all__ = ["OPTIONS", "Clients", "Connection", "TextModel", "renders"]

Client: TypeAlias = StreamingClient | InferenceClient

OPTIONS = (
    *("max_tokens", "temperature", "top_p", "top_k", "min_p", "stop", "seed"),
    *("repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("timeout", "max_retries", "logprobs", "lora", "session", "parameters", "backend_inputs", "unsupported"),
)
"""The fields that are options of each call."""
_SECRET = frozenset({"bearer_token", "metadata", "channel_options", "observer"})
"""Arguments of a client that do not change an answer, or that nobody else may see."""
_MOST_CLIENTS = 16
"""How many clients a model keeps."""


class Clients:
    """The clients of a model, made when they are needed. Shallow copies share them; one that was pickled makes its own.

    The fields of a model may change, and a call may name another model, so only the clients used last are kept. The others
    close when their last call has ended and nobody holds them.
    """

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[Any, ...], tuple[Client, tuple[object, ...]]] = OrderedDict()
        self._lock = threading.Lock()
        self.alternating: dict[PromptFormatter | None, bool] = {None: False}
        """Whether the roles of a conversation must alternate, by the formatters that were asked."""

    def get(self, facts: tuple[object, ...], make: Callable[[], Client]) -> Any:
        """Return the client for what it depends on. Thread-safe."""
        key = tuple(fact if isinstance(fact, str) else id(fact) for fact in facts)
        with self._lock:
            if key not in self._made:
                self._made[key] = make(), facts  # the facts stay alive, so that no id is used twice
            self._made.move_to_end(key)
            client, _ = self._made[key]
            dropped = [self._made.popitem(last=False) for _ in range(len(self._made) - _MOST_CLIENTS)]
        del dropped  # not while the lock is held
        return client

    def take(self) -> list[Client]:
        """Return all clients, and forget them."""
        with self._lock:
            made, self._made = self._made, OrderedDict()
        return [client for client, _ in made.values()]

    def __reduce__(self) -> Any:
        return Clients, ()


class Connection(BaseModel):
    """The fields that say which model of which server."""

    model_config = ConfigDict(
        arbitrary_types_allowed=True, populate_by_name=True, extra="forbid", hide_input_in_errors=True
    )  # the input has the token

    model: str = Field(validation_alias=AliasChoices("model", "model_name"))
    """A friendly name of the registry, or the server's own name of a model. A call may name another one."""
    url: str | list[str] | None = Field(
        default_factory=from_env("NUPIC_URL", default=None), validation_alias=AliasChoices("url", "base_url")
    )
    """The server's gRPC address or several, as for `StreamingClient`. Default: ``$NUPIC_URL``, else ``localhost:8001``."""
    token: SecretStr | None = Field(
        default_factory=secret_from_env("NUPIC_TOKEN", default=None),
        validation_alias=AliasChoices("token", "api_key"),
    )
    """The bearer token. Default: ``$NUPIC_TOKEN``."""
    tls: TLS | None = None
    """Certificates for a ``grpcs://`` url."""
    allow_insecure_token: bool = False
    """Send the token in plain text to another machine."""
    timeout: float | Timeouts | None = Field(
        default=None, validation_alias=AliasChoices("timeout", "request_timeout")
    )
    """Seconds for a whole call, or all its deadlines as `Timeouts`."""
    max_retries: int | RetryPolicy | None = None
    """How often a request is sent again that failed before anything of its answer had arrived."""
    client_options: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Further arguments of the client: ``balancing``, ``max_outstanding``, ``observer``, ``registry``, ``metadata``, …"""
    _clients: Clients = PrivateAttr(default_factory=Clients)

    @field_serializer("client_options")
    def _without_secrets(self, options: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if name not in _SECRET}

    def close(self) -> None:
        """Close the connections; the next call opens new ones. Idempotent."""
        for client in self._clients.take():
            client.close()

    async def aclose(self) -> None:
        """Close the connections; the async twin of `close`."""
        for client in self._clients.take():
            await client.aclose()

    def _connect(self, model: str | None = None) -> Any:
        """Return the client for the fields as they are now, and for a model that a call names."""
        name = self.model if model is None else model
        arguments = {**self._arguments(), **self.client_options}
        facts = (name, str(self.url), *_flat(arguments))
        return self._clients.get(facts, lambda: self._client_class(name, self.url, **arguments))

    @property
    def _client_class(self) -> type[Any]:
        return StreamingClient

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments of a client that are fields."""
        fields = {"tls": self.tls, "timeout": self.timeout, "max_retries": self.max_retries}
        arguments: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
        if self.token is not None:
            arguments["bearer_token"] = self.token.get_secret_value()
        if self.allow_insecure_token:
            arguments["allow_insecure_token"] = True
        return arguments

    def _identity(self, names: Sequence[str]) -> dict[str, Any]:
        """Return these fields and further arguments, all that may change an answer and nothing that is secret."""
        more = {f"client_{name}": value for name, value in self.client_options.items() if name not in _SECRET}
        fields = {name: getattr(self, name) for name in ("model", "url", *names)}
        return {name: value for name, value in {**fields, **more}.items() if value is not None}


def _flat(arguments: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(itertools.chain.from_iterable(arguments.items()))


class TextModel(Connection):
    """The fields of models that write: how, and how much."""

    formatter: PromptFormatter | str | None = None
    """How conversations become prompts: a `PromptFormatter` or the name of a family. Default: the model's."""
    backend: Any = None
    """The adapter for the model's inputs and outputs. Default: chosen by the model's signature."""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    stop: str | list[str] | None = Field(
        default=None, validation_alias=AliasChoices("stop", "stop_sequences")
    )
    seed: int | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | int | None = None
    lora: Any = None
    session: str | None = None
    parameters: Mapping[str, Any] | None = None
    backend_inputs: Mapping[str, Any] | None = None
    unsupported: Literal["error", "warn"] | None = None
    streaming: bool = False
    """Whether ``invoke`` streams too, for callbacks that want each chunk."""

    def _arguments(self) -> dict[str, Any]:
        arguments = {**super()._arguments(), "formatter": self.formatter, "backend": self.backend}
        of_calls = {
            "timeout",
            "max_retries",
        }  # a client for each of their values would be one connection more
        return {
            name: value for name, value in arguments.items() if value is not None and name not in of_calls
        }

    def _options(
        self, names: Sequence[str], stop: list[str] | None, call: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the options of a call: the fields, and over them what the call says."""
        fields = {name: getattr(self, name) for name in names}
        options = {name: value for name, value in fields.items() if value is not None}
        options.update({name: value for name, value in call.items() if name not in _OF_LANGCHAIN})
        if stop is not None:
            options["stop"] = stop
        return options

    def _alternates(self, formatter: PromptFormatter | None) -> bool:
        """Return whether the roles must alternate in the model's template, so that messages of one role become one."""
        known = self._clients.alternating
        if formatter is not None and formatter not in known:
            known[formatter] = not renders(formatter, user("one"), user("two"))
        return known[formatter]

    def _identity(self, names: Sequence[str]) -> dict[str, Any]:
        identity = super()._identity(("formatter", "backend", *names))
        if "stop" in identity:  # LangChain puts the call's in its place, which may be none
            identity["stop_sequences"] = identity.pop("stop")
        if isinstance(self.formatter, PromptFormatter):
            identity["formatter"] = _digest(self.formatter)
        return identity


_OF_LANGCHAIN = frozenset({"model", "stream", "strict", "parallel_tool_calls"})
"""Keywords that say nothing to the server."""


def renders(formatter: PromptFormatter | None, *messages: Message) -> bool:
    """Return whether a model's template has a place for such a conversation."""
    if formatter is None:
        return False
    try:
        formatter(messages)
    except (PromptError, ConfigurationError):
        return False
    return True


def _digest(formatter: PromptFormatter) -> str:
    """Return what tells a formatter from others: two of one family may have different templates."""
    return f"{formatter.family} {hashlib.sha256(pickle.dumps(formatter)).hexdigest()[:16]}"
