"""Tools in ChatML: Hermes, which Qwen follows, and SmolLM2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client.prompts.python_types import described, properties_of, python_type
from nupic_client.prompts.tool_format import CallFormat, ListPlace, ResultFormat, ToolFormat, ToolList
from nupic_client.prompts.tool_text import json_lines, json_list, to_json
from nupic_client.prompts.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nupic_client.tools import Tool

__all__ = ["HERMES_TOOLS", "QWEN_2_5_TOOLS", "QWEN_3_TOOLS", "SMOLLM2_TOOLS"]

_MARKERS = ("<tool_response>", "</tool_response>")
_END = "<|im_end|>\n"
_ASSISTANT = "<|im_start|>assistant"


def _signatures(tools: Sequence[Tool]) -> str:
    """Write each tool on a line, its Python signature and the descriptions of its parameters in its description."""
    return "\n".join([_signature(tool) for tool in tools])


def _signature(tool: Tool) -> str:
    properties = properties_of(tool)
    types = {
        name: python_type(schema, "list[{}]", "dict[str, {}]", "dict") for name, schema in properties.items()
    }
    names = ", ".join([f"{name}: {kind}" for name, kind in types.items()])
    lines = "".join(
        [f"        {name}({types[name]}): {described(schema).strip()}" for name, schema in properties.items()]
    )
    args = f"    Args:\n{lines}" if properties else ""
    parameters = to_json(tool.as_dict()["function"]["parameters"]) if properties else "{}"
    return (
        f'{{"type": "function", "function": {{"name": "{tool.name}", "description": "{tool.name}({names}) - '
        f"{tool.description}\n\n{args}"
        f'", "parameters": {parameters}}}'
    )


HERMES_TOOLS = ToolFormat(
    listing=ToolList(
        place=ListPlace.BEFORE,
        before=(
            "<|im_start|>system\nYou are a function calling AI model. You are provided with function signatures within "
            "<tools></tools> XML tags. You may call one or more functions to assist with the user query. Don't make "
            "assumptions about what values to plug into functions. Here are the available tools: <tools> "
        ),
        write=_signatures,
        after=(
            " </tools>Use the following pydantic model json schema for each tool call you will make: "
            '{"properties": {"name": {"title": "Name", "type": "string"}, "arguments": {"title": "Arguments", '
            '"type": "object"}}, "required": ["name", "arguments"], "title": "FunctionCall", "type": "object"}}\n'
            "For each function call return a json object with function name and arguments within "
            "<tool_call></tool_call> XML tags as follows:\n<tool_call>\n"
            f'{{"name": <function-name>, "arguments": <args-dict>}}\n</tool_call>{_END}'
        ),
    ),
    calls=CallFormat(
        start=_ASSISTANT, item='\n<tool_call>\n{"name": "$name", "arguments": $text}\n</tool_call>', end=_END
    ),
    results=ResultFormat(
        before="<|im_start|>tool\n",
        item="<tool_response>\n$content\n</tool_response>",
        between="\n",
        after="\n<|im_end|>",
        last="<|im_end|>",
    ),
    markers=_MARKERS,
)

_QWEN_LIST = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
)
_QWEN_AFTER = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
    "</tool_call>"
)
_QWEN_RESULTS = ResultFormat(
    before="<|im_start|>user", item="\n<tool_response>\n$content\n</tool_response>", after=_END
)

QWEN_2_5_TOOLS = ToolFormat(
    listing=ToolList(place=ListPlace.SYSTEM, before=f"\n\n{_QWEN_LIST}", write=json_lines, after=_QWEN_AFTER),
    calls=CallFormat(
        start=_ASSISTANT,
        content=Turn("\n", ""),
        item='\n<tool_call>\n{"name": "$name", "arguments": $arguments}\n</tool_call>',
        end=_END,
    ),
    results=_QWEN_RESULTS,
    markers=_MARKERS,
    shares_user_turn=True,
)

QWEN_3_TOOLS = ToolFormat(
    listing=ToolList(
        place=ListPlace.SYSTEM, gap="\n\n", before=_QWEN_LIST, write=json_lines, after=_QWEN_AFTER
    ),
    calls=CallFormat(
        item='<tool_call>\n{"name": "$name", "arguments": $text}\n</tool_call>', between="\n", end=_END
    ),
    results=_QWEN_RESULTS,
    markers=_MARKERS,
    shares_user_turn=True,
)


# The template of SmolLM2 has no tools. This is the prompt that its authors give for function calling, in the 1.7B model's
# repository; calls and results are written as the models that share its training data write them.
SMOLLM2_TOOLS = ToolFormat(
    listing=ToolList(
        place=ListPlace.SYSTEM,
        default_system="",
        gap="\n\n",
        before=(
            "You are an expert in composing functions. You are given a question and a set of possible functions. \n"
            "Based on the question, you will need to make one or more function/tool calls to achieve the purpose. \n"
            "If none of the functions can be used, point it out and refuse to answer. \n"
            "If the given question lacks the parameters required by the function, also point it out.\n\n"
            "You have access to the following tools:\n<tools>"
        ),
        write=json_list,
        after=(
            "</tools>\n\nThe output MUST strictly adhere to the following format, and NO other text MUST be included.\n"
            "The example format is as follows. Please make sure the parameter type is correct. If no function call is "
            "needed, please make the tool calls an empty list '[]'.\n<tool_call>[\n"
            '{"name": "func_name1", "arguments": {"argument1": "value1", "argument2": "value2"}},\n'
            "... (more tool calls as required)\n]</tool_call>"
        ),
    ),
    calls=CallFormat(
        start=f"{_ASSISTANT}\n",
        content=Turn("", "\n"),
        before="<tool_call>[",
        item='{"name": $quoted_name, "arguments": $arguments}',
        between=", ",
        after="]</tool_call>",
        end=_END,
    ),
    results=ResultFormat(
        before="<|im_start|>user", item="\n<tool_response>\n$content\n</tool_response>", after=_END
    ),
    markers=_MARKERS,
    shares_user_turn=True,
)
