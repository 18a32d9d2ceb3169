"""Structured predictions by guided decoding."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from llama_index.core import instrumentation
from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictInProgressEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.program.utils import create_flexible_model
from llama_index.core.types import PydanticProgramMode

from nupic_client.integrations.llama_index.calling import ToolCallingLLM

__all__ = ["GuidedLLM"]

dispatcher = instrumentation.get_dispatcher(__name__)


class GuidedLLM(ToolCallingLLM):
    """A chat model whose structured predictions are held to their form by the server.

    With another ``pydantic_program_mode`` than the default LlamaIndex's own programs run.
    """

    @dispatcher.span
    def structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Any:
        """Ask for an object of a class. Blocks.

        The server lets the model write nothing else, and the object is validated. The prompt gets the schema of the class.

        Args:
            output_cls: a pydantic model.
            prompt: a prompt template.
            llm_kwargs: options of the generation, as ``{"max_tokens": 200}``.
            **prompt_args: the variables of the template.

        Raises:
            OutputError: the answer does not have the form, or was cut off.
            ConfigurationError: the server cannot enforce it: see the option ``enforce``.
        """
        if not self._is_guided:
            return super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        _started(output_cls, prompt, prompt_args)
        messages = self._asking_for(output_cls, prompt, prompt_args)
        found = self.chat(messages, response_format=output_cls, **(llm_kwargs or {})).raw["parsed"]
        dispatcher.event(LLMStructuredPredictEndEvent(output=found))
        return found

    @dispatcher.span
    async def astructured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Any:
        """Ask for an object of a class; the async twin of `structured_predict`."""
        if not self._is_guided:
            return await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        _started(output_cls, prompt, prompt_args)
        messages = self._asking_for(output_cls, prompt, prompt_args)
        response = await self.achat(messages, response_format=output_cls, **(llm_kwargs or {}))
        found = response.raw["parsed"]
        dispatcher.event(LLMStructuredPredictEndEvent(output=found))
        return found

    @dispatcher.span
    def stream_structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Iterator[Any]:
        """Ask for an object of a class and yield what of it has come. Blocks.

        The last object is one of the class. Those before it have its fields, with None for what has not come.

        Args:
            output_cls: as for `structured_predict`.
            prompt: as for `structured_predict`.
            llm_kwargs: as for `structured_predict`.
            **prompt_args: as for `structured_predict`.

        Raises:
            OutputError: as for `structured_predict`.
            ConfigurationError: as for `structured_predict`.
        """
        if not self._is_guided:
            yield from super().stream_structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return
        _started(output_cls, prompt, prompt_args)
        messages = self._asking_for(output_cls, prompt, prompt_args)
        part = create_flexible_model(output_cls)
        found = None
        for response in self._stream_parsed(messages, response_format=output_cls, **(llm_kwargs or {})):
            found = _object(response, output_cls, part)
            dispatcher.event(LLMStructuredPredictInProgressEvent(output=found))
            yield found
        dispatcher.event(LLMStructuredPredictEndEvent(output=found))

    @dispatcher.span
    async def astream_structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> AsyncIterator[Any]:
        """Ask for an object of a class and yield what of it has come; the async twin of `stream_structured_predict`."""
        if not self._is_guided:
            own: AsyncIterator[Any] = await super().astream_structured_predict(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
            return own

        async def objects() -> AsyncIterator[Any]:
            _started(output_cls, prompt, prompt_args)
            messages = self._asking_for(output_cls, prompt, prompt_args)
            part = create_flexible_model(output_cls)
            responses = await self._astream_parsed(messages, response_format=output_cls, **(llm_kwargs or {}))
            found = None
            async with contextlib.aclosing(responses):
                async for response in responses:
                    found = _object(response, output_cls, part)
                    dispatcher.event(LLMStructuredPredictInProgressEvent(output=found))
                    yield found
            dispatcher.event(LLMStructuredPredictEndEvent(output=found))

        return objects()

    @property
    def _is_guided(self) -> bool:
        return bool(self.pydantic_program_mode == PydanticProgramMode.DEFAULT)

    def _asking_for(self, output_cls: Any, prompt: Any, variables: dict[str, Any]) -> list[ChatMessage]:
        """Return the messages of a prompt, the last one of the user with the schema: a guide alone says nothing."""
        messages = self._extend_messages(prompt.format_messages(llm=self, **variables))
        schema = PydanticOutputParser(output_cls=output_cls).get_format_string(escape_json=False)
        place = max(
            (number for number, message in enumerate(messages) if message.role == MessageRole.USER),
            default=None,
        )
        if place is None:
            return [*messages, ChatMessage(role=MessageRole.USER, content=schema.strip())]
        asked = messages[place]
        told = asked.model_copy(update={"blocks": [*asked.blocks, TextBlock(text=schema)]})
        return [*messages[:place], told, *messages[place + 1 :]]


def _started(output_cls: Any, prompt: Any, variables: dict[str, Any]) -> None:
    dispatcher.event(
        LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=variables)
    )


def _object(response: Any, output_cls: Any, part: Any) -> Any:
    found = response.raw["parsed"]
    if isinstance(found, output_cls):
        return found
    return part(**found) if isinstance(found, dict) else part()
