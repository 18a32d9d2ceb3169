"""The first Falcon: plain-text roles, nothing but a blank line between turns. And the tools of Falcon 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client.prompts.family import Family, Rule, Turn
from nupic_client.prompts.tool_format import CallFormat, ListPlace, ResultFormat, ToolFormat, ToolList
from nupic_client.prompts.tool_text import json_list_2, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nupic_client.tools import ToolCall

__all__ = ["FALCON_3_TOOLS", "FAMILIES"]


def _tidy(content: str) -> str:
    # One pass, as the official template does: three newlines become two, not one.
    return content.strip().replace("\n\n", "\n")


FALCON = Family(
    name="falcon-instruct",
    reference_model="tiiuae/falcon-7b-instruct",
    source="openvinotoolkit/openvino.genai:tests/python_tests/data/tokenizer_configs.py",
    description="all contents are trimmed, and double newlines in user and assistant content become one",
    eos="<|endoftext|>",
    stop=("<|endoftext|>", "\nUser:"),
    # "User:" is an everyday word: it opens a turn only at the start of a line, which includes the start of
    # the text.
    markers=("\nUser:", "\nAssistant:"),
    system=Turn("", "", str.strip),
    late_system=Rule.DROPPED,
    system_needs_turn=True,
    alternating=True,
    user=Turn("\n\nUser: ", "", _tidy),
    assistant=Turn("\n\nAssistant: ", "", _tidy),
    generation="\n\nAssistant:",
    aliases=("falcon",),
)

FAMILIES = (FALCON,)


def _as_dicts(calls: Sequence[ToolCall]) -> str:
    try:
        return to_json([_as_dict(call, call.parsed) for call in calls], 2)
    except (ValueError, RecursionError):  # a model can write what is no object, or nested without end
        return to_json([_as_dict(call, call.arguments) for call in calls], 2)


def _as_dict(call: ToolCall, arguments: object) -> dict[str, object]:
    return {
        **({"id": call.id} if call.id else {}),
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


FALCON_3_TOOLS = ToolFormat(
    listing=ToolList(
        place=ListPlace.SYSTEM,
        system=Turn("<|system|>\n", ""),
        late_system=Rule.DROPPED,
        before=(
            "You are a Falcon assistant skilled in function calling. You are helpful, respectful, and concise.\n\n"
            "# Tools\n\nYou have access to the following functions. You MUST use them to answer questions when needed. "
            "For each function call, you MUST return a JSON object inside <tool_call></tool_call> tags.\n\n<tools>"
        ),
        write=json_list_2,
        after=(
            "</tools>\n\n# Output Format\n\nYour response MUST follow this format when making function calls:\n"
            '<tool_call>\n[\n  {"name": "function_name", "arguments": {"arg1": "value1", "arg2": "value2"}},\n'
            '  {"name": "another_function", "arguments": {"arg": "value"}}\n]\n</tool_call>\n'
            "If no function calls are needed, respond normally without the tool_call tags.\n"
        ),
    ),
    calls=CallFormat(
        content=Turn("<|assistant|>\n", ""),
        before="\n<tool_call>\n",
        write=_as_dicts,
        after="\n</tool_call>",
        end="<|endoftext|>\n",
        plain=True,
    ),
    results=ResultFormat(item="<|assistant|>\n<tool_response>\n$content\n</tool_response>\n"),
    markers=("<tool_response>", "</tool_response>"),
)
