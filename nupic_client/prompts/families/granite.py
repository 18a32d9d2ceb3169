"""IBM's Granite 3."""

from __future__ import annotations

from nupic_client.prompts import answer_formats
from nupic_client.prompts.family import DateLine, Family, Turn
from nupic_client.prompts.tool_format import CallFormat, ListPlace, ResultFormat, ToolFormat, ToolList
from nupic_client.prompts.tool_text import json_blocks, json_list_4

__all__ = ["FAMILIES"]

_OPENVINO = "openvinotoolkit/openvino.genai:tests/python_tests/data/tokenizer_configs.py"
_EOS = "<|end_of_text|>"
_GENERATION = "<|start_of_role|>assistant<|end_of_role|>"


def _turn(role: str) -> Turn:
    return Turn(f"<|start_of_role|>{role}<|end_of_role|>", f"{_EOS}\n")


_CALLS = CallFormat(
    start=_GENERATION,
    content=Turn("", ""),
    before="<|tool_call|>[",
    item='{"name": $quoted_name, "arguments": $arguments}',
    between=", ",
    after="]",
    end=f"{_EOS}\n",
)
_TOOLS_3_0 = ToolFormat(
    listing=ToolList(
        place=ListPlace.BEFORE,
        before="<|start_of_role|>available_tools<|end_of_role|>\n",
        write=json_blocks,
        after=f"{_EOS}\n",
    ),
    calls=_CALLS,
    results=ResultFormat(item=f"<|start_of_role|>tool_response<|end_of_role|>$content{_EOS}\n"),
)


def _tools(role: str, default_system: str) -> ToolFormat:
    return ToolFormat(
        listing=ToolList(
            place=ListPlace.AFTER,
            before=f"<|start_of_role|>{role}<|end_of_role|>",
            write=json_list_4,
            after=f"{_EOS}\n",
            default_system=default_system,
        ),
        calls=_CALLS,
        results=ResultFormat(item=f"<|start_of_role|>tool<|end_of_role|>$content{_EOS}\n"),
    )


_TOOLS_3_1 = _tools(
    "tools",
    "Knowledge Cutoff Date: April 2024.\nToday's Date: {date}.\nYou are Granite, developed by IBM. "
    "You are a helpful AI assistant with access to the following tools. When a tool is required to answer the user's "
    "query, respond with <|tool_call|> followed by a JSON list of tools used. If a tool does not exist in the provided "
    "list of tools, notify the user that you do not have the ability to fulfill the request.",
)
_TOOLS_3_3 = _tools(
    "available_tools",
    "Knowledge Cutoff Date: April 2024. Today's Date: {date}. You are Granite, developed by IBM. "
    "You are a helpful assistant with access to the following tools. When a tool is required to answer the user's "
    "query, respond only with <|tool_call|> followed by a JSON list of tools used. If a tool does not exist in the "
    "provided list of tools, notify the user that you do not have the ability to fulfill the request.",
)


def _granite(
    name: str,
    reference_model: str,
    source: str,
    default_system: str | None,
    tools: ToolFormat,
    aliases: tuple[str, ...],
) -> Family:
    dated = default_system is not None
    default = "a default system prompt with today's date, which an empty one suppresses"
    return Family(
        name=name,
        reference_model=reference_model,
        source=source,
        description=default if dated else "no default system prompt",
        bos=_EOS,
        eos=_EOS,
        stop=(_EOS,),
        markers=("<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>"),
        system=_turn("system"),
        user=_turn("user"),
        assistant=_turn("assistant"),
        default_system=default_system,
        generation=_GENERATION,
        # From 3.1 on the official templates open the answer inside the loop over the messages after the
        # system one.
        generation_needs_turn=dated,
        date=DateLine("%B %d, %Y") if dated else None,
        tools=tools,
        answer=answer_formats.GRANITE_3,
        aliases=aliases,
    )


GRANITE_3_0 = _granite(
    "granite-3.0",
    "ibm-granite/granite-3.0-1b-a400m-instruct",
    _OPENVINO,
    None,
    _TOOLS_3_0,
    ("granite3.0", "granite-3.0-instruct"),
)
GRANITE_3_1 = _granite(
    "granite-3.1",
    "ibm-granite/granite-3.1-3b-a800m-instruct",
    _OPENVINO,
    "Knowledge Cutoff Date: April 2024.\nToday's Date: {date}.\nYou are Granite, developed by IBM. "
    "You are a helpful AI assistant.",
    _TOOLS_3_1,
    ("granite3.1", "granite-3.1-instruct"),
)
GRANITE_3_3 = _granite(
    "granite-3.3",
    "ibm-granite/granite-3.3-2b-instruct",
    "ggml-org/llama.cpp:models/templates/ibm-granite-granite-3.3-2B-Instruct.jinja",
    "Knowledge Cutoff Date: April 2024. Today's Date: {date}. You are Granite, developed by IBM. "
    "You are a helpful AI assistant.",
    _TOOLS_3_3,
    ("granite", "granite3.3", "granite-3.3-instruct"),
)

FAMILIES = (GRANITE_3_0, GRANITE_3_1, GRANITE_3_3)
