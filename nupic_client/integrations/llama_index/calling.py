"""Tools of LlamaIndex in requests, and calls of them in responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.utils import parse_partial_json

from nupic_client.integrations.llama_index.messages import tools_of

__all__ = ["ToolCallingLLM"]


class ToolCallingLLM(FunctionCallingLLM):
    """A chat model that calls tools."""

    def get_tool_calls_from_response(
        self,
        response: ChatResponse,
        error_on_no_tool_call: bool = True,  # noqa: FBT001, FBT002 - the interface
        **_kwargs: Any,
    ) -> list[ToolSelection]:
        """Return the calls of a response; those of a stream with the arguments that have come so far.

        Args:
            response: the response.
            error_on_no_tool_call: whether a response without one is an error.

        Raises:
            ValueError: there is none.
        """
        blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        if not blocks and error_on_no_tool_call:
            raise ValueError("the response must have at least one call of a tool, not none")
        return [
            ToolSelection(
                tool_id=block.tool_call_id or "",
                tool_name=block.tool_name,
                tool_kwargs=_arguments(block.tool_kwargs),
            )
            for block in blocks
        ]

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,  # noqa: ARG002, FBT001, FBT002 - the interface
        allow_parallel_tool_calls: bool = False,  # noqa: FBT001, FBT002 - the interface
        tool_required: bool = False,  # noqa: FBT001, FBT002 - the interface
        tool_choice: str | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        messages = [*(chat_history or ())]
        if user_msg is not None:
            messages.append(ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg)
        prepared = {"messages": messages, "allow_parallel_tool_calls": allow_parallel_tool_calls, **kwargs}
        if tools:
            prepared["tools"] = tools_of(tools)
            prepared["tool_choice"] = tool_choice or ("required" if tool_required else "auto")
        return prepared


def _arguments(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return parse_partial_json(given) if given else {}
    except ValueError:
        return {}
