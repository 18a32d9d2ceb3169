"""`NupicLLM`: a model of a Triton or NuPIC server as an LLM of LlamaIndex."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.bridge.pydantic import Field
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW, DEFAULT_NUM_OUTPUTS
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import default_completion_to_prompt

from nupic_client import Prompt, StreamingClient, user
from nupic_client.integrations.llama_index.clients import client_of, plain_url
from nupic_client.integrations.llama_index.messages import prompt_of, tools_of
from nupic_client.integrations.llama_index.responses import (
    ChatAnswer,
    CompletionAnswer,
    GrowingAnswer,
    chat_response,
    completion_response,
)
from nupic_client.integrations.llama_index.streams import Responses
from nupic_client.integrations.llama_index.structured import GuidedLLM

__all__ = ["NupicLLM"]

_WRITTEN = frozenset(
    {
        *("top_p", "top_k", "min_p", "stop", "seed"),
        *("repetition_penalty", "presence_penalty", "frequency_penalty"),
        *("timeout", "max_retries", "max_output_bytes", "logprobs", "lora"),
        *("reasoning", "template_variables", "enforce", "output_retries", "unsupported"),
    }
)
"""The options that ``to_dict`` may write: no others, since metadata and inputs of the model may hold what is secret."""
_PLAIN = (str, int, float, list, tuple, dict)


class NupicLLM(GuidedLLM):
    """A model of a Triton or NuPIC server as an LLM of LlamaIndex, with tools and structured predictions.

    All methods are there, sync and natively async. Where a stream is left, the server stops to generate. Token counts are in
    ``raw["usage"]`` and ``additional_kwargs``, with streams in those of the last response. ``raw`` has the same keys in
    every response. Errors are `nupic_client.NupicError`; ``partial_text`` of a `nupic_client.RequestError` has the text
    that had come.

    One object serves any number of threads, tasks and event loops. A pickled copy has a connection of its own.
    ``to_dict`` and what callbacks get have no credentials.

    Args:
        model: as for `nupic_client.StreamingClient`.
        url: as for `nupic_client.StreamingClient`.
        client: a `nupic_client.StreamingClient` to use in place of a new one; then ``model`` and ``url`` are its own.
        formatter: how conversations become prompts, as for `nupic_client.StreamingClient`.
        temperature: of every generation.
        max_tokens: of every generation; also LlamaIndex's ``num_output``.
        context_window: the most tokens of prompt and answer together, by which LlamaIndex cuts prompts. No server tells it.
        is_function_calling_model: whether agents give it tools. Default: whether its family has them.
        **options: what else `nupic_client.StreamingClient` takes (``bearer_token``, ``tls``, ``timeout``, ``top_p``, …),
            and the fields of LlamaIndex's ``LLM`` (``system_prompt``, ``callback_manager``, …). Options of generations can
            be given to each method, too.

    Raises:
        ConfigurationError: an argument is wrong. Nothing is sent by the constructor.
        TypeError: an option does not exist.

    Example:
        .. code-block:: python

            from llama_index.core.llms import ChatMessage
            from nupic_client.integrations.llama_index import NupicLLM

            llm = NupicLLM("smollm2", url="localhost:8001", temperature=0)
            for response in llm.stream_chat([ChatMessage("Why is the sky blue?")]):
                print(response.delta, end="", flush=True)
    """

    model: str = Field(description="The name of the model.")
    url: str | list[str] | None = Field(default=None, description="The address of the server, or several.")
    formatter: str | None = Field(default=None, description="The family that writes the prompts.")
    temperature: float | None = Field(default=None, description="The sampling temperature.")
    max_tokens: int | None = Field(default=None, description="The most tokens of an answer.")
    context_window: int = Field(
        default=DEFAULT_CONTEXT_WINDOW, description="The most tokens of prompt and answer.", gt=0
    )
    is_function_calling_model: bool | None = Field(
        default=None, description="Whether the model calls tools; by default as its family does."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Other options of every generation that are not secret."
    )
    client: Any = Field(default=None, exclude=True, description="The connection.")

    def __init__(
        self,
        model: str = "",
        url: str | Sequence[str] | None = None,
        *,
        client: StreamingClient | None = None,
        formatter: Any = None,
        **options: Any,
    ) -> None:
        fields = {name: options.pop(name) for name in [*options] if name in type(self).model_fields}
        written = {
            name: options.pop(name)
            for name in [*options]
            if name in _WRITTEN and isinstance(options[name], _PLAIN)
        }
        client = client_of(
            client,
            lambda: StreamingClient(model, url, formatter=formatter, **options),
            options,
            named=model,
            parameter="model",
            kind="a StreamingClient",
        )
        given = {
            "model": model or client.model.server_name,
            "url": plain_url(url, client.url),
            "formatter": formatter if isinstance(formatter, str) else None,
            "options": {**(fields.pop("options", None) or {}), **written},
        }
        super().__init__(client=client, **given, **fields)
        client.with_options(**self._options({}))  # checks them

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the class in what LlamaIndex writes."""
        return "NupicLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex knows of the model."""
        formatter = self.client.formatter
        calls = self.is_function_calling_model
        if calls is None:
            calls = formatter is not None and formatter.answer is not None and formatter.answer.has_tool_calls
        return LLMMetadata(
            context_window=self.context_window,
            num_output=self.max_tokens or DEFAULT_NUM_OUTPUTS,
            is_chat_model=formatter is not None,
            is_function_calling_model=calls,
            model_name=self.model,
        )

    def to_payload(self) -> dict[str, Any]:
        """Return what callbacks and events get to know of it: nothing secret."""
        return {
            **super().to_payload(),
            "model": self.model,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation. Blocks.

        Args:
            messages: the conversation: texts, images, reasoning, calls of tools and their results.
            **kwargs: options of the generation, as for `nupic_client.StreamingClient.generate`; ``tools`` may be
                LlamaIndex's, too.
        """
        several = kwargs.pop("allow_parallel_tool_calls", True)
        generation = self.client.generate(prompt_of(messages), **self._options(kwargs))
        return chat_response(generation, several_calls=several)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation; the async twin of `chat`."""
        several = kwargs.pop("allow_parallel_tool_calls", True)
        generation = await self.client.agenerate(prompt_of(messages), **self._options(kwargs))
        return chat_response(generation, several_calls=several)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation as it is generated. Leaving the generator stops the server.

        Args:
            messages: as for `chat`.
            **kwargs: as for `chat`.
        """
        answer = ChatAnswer(several_calls=kwargs.pop("allow_parallel_tool_calls", True))
        stream = self.client.stream(prompt_of(messages), **self._options(kwargs))

        def responses() -> ChatResponseGen:
            with stream:
                for event in stream.events():
                    yield answer.read(event)

        return responses()

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Answer a conversation as it is generated; the async twin of `stream_chat`."""
        answer = ChatAnswer(several_calls=kwargs.pop("allow_parallel_tool_calls", True))
        stream = await self.client.astream(prompt_of(messages), **self._options(kwargs)).__aenter__()
        return Responses(stream, stream.events(), answer.read)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002 - the interface
        """Answer a prompt. Blocks.

        Args:
            prompt: what a user says; with ``completion_to_prompt``, or for a model whose prompts are not known, a text.
            formatted: whether it is a text that is to be sent unchanged.
            **kwargs: options of the generation.
        """
        return completion_response(
            self.client.generate(self._prompt(prompt, formatted=formatted), **self._options(kwargs))
        )

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002 - the interface
        """Answer a prompt; the async twin of `complete`."""
        return completion_response(
            await self.client.agenerate(self._prompt(prompt, formatted=formatted), **self._options(kwargs))
        )

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:  # noqa: FBT001, FBT002 - the interface
        """Answer a prompt as it is generated. Leaving the generator stops the server.

        Args:
            prompt: as for `complete`.
            formatted: as for `complete`.
            **kwargs: as for `complete`.
        """
        answer = CompletionAnswer()
        stream = self.client.stream(self._prompt(prompt, formatted=formatted), **self._options(kwargs))

        def responses() -> CompletionResponseGen:
            with stream:
                for event in stream.events():
                    if (response := answer.read(event)) is not None:
                        yield response

        return responses()

    @llm_completion_callback()
    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 - the interface
        **kwargs: Any,
    ) -> CompletionResponseAsyncGen:
        """Answer a prompt as it is generated; the async twin of `stream_complete`."""
        answer = CompletionAnswer()
        asked = self.client.astream(self._prompt(prompt, formatted=formatted), **self._options(kwargs))
        stream = await asked.__aenter__()
        return Responses(stream, stream.events(), answer.read)

    @llm_chat_callback()
    def _stream_parsed(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Stream an answer in JSON; ``raw["parsed"]`` of each response has its value so far."""
        stream = self.client.stream(prompt_of(messages), **self._options(kwargs))
        answer = GrowingAnswer(stream)

        def responses() -> ChatResponseGen:
            with stream:
                for value in stream.partial():
                    yield answer.read(value)
                yield answer.last(stream.result())

        return responses()

    @llm_chat_callback()
    async def _astream_parsed(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Stream an answer in JSON; the async twin of `_stream_parsed`."""
        stream = await self.client.astream(prompt_of(messages), **self._options(kwargs)).__aenter__()
        answer = GrowingAnswer(stream)
        return Responses(stream, stream.partial(), answer.read, answer.last)

    def _options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a call: the fields, which may have been set since, and what was given for it."""
        own = {"temperature": self.temperature, "max_tokens": self.max_tokens, **self.options}
        options = {name: value for name, value in own.items() if value is not None} | dict(given)
        if options.get("tools"):
            options["tools"] = tools_of(options["tools"])
        return options

    def _prompt(self, prompt: str, *, formatted: bool) -> Prompt:
        if formatted:
            return prompt
        if self.client.formatter is None or self.completion_to_prompt is not default_completion_to_prompt:
            text: str = self.completion_to_prompt(prompt)
            return text
        return [user(prompt)]

    def __getstate__(self) -> dict[str, Any]:
        pickle.dumps(
            self.client
        )  # LlamaIndex would leave it out, and a copy would be without its credentials
        state: dict[str, Any] = super().__getstate__()
        return state
