"""The tools of DeepSeek V3 and R1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client.prompts.tool_format import CallFormat, ListPlace, ResultFormat, ToolFormat, ToolList
from nupic_client.prompts.tool_render import list_tools
from nupic_client.prompts.tool_text import call_fields, json_lines, quote_item
from nupic_client.prompts.turn import Turn

if TYPE_CHECKING:
    from nupic_client.messages import Message
    from nupic_client.prompts.builder import PromptBuilder
    from nupic_client.prompts.family import Family, Job

__all__ = ["R1_TOOLS", "TOOL_TOKENS", "V3_TOOLS"]

_EOS = "<｜end▁of▁sentence｜>"
_CALLS, _CALLS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_CALL, _CALL_END, _SEP = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"
_OUTPUTS, _OUTPUTS_END = "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>"
_OUTPUT, _OUTPUT_END = "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"
TOOL_TOKENS = (
    *(_CALLS, _CALLS_END, _CALL, _CALL_END, _SEP),
    *(_OUTPUTS, _OUTPUTS_END, _OUTPUT, _OUTPUT_END),
)


def _render_v3(family: Family, job: Job, builder: PromptBuilder) -> None:
    """Render V3: content beside calls hides them, and only several calls are closed, as in the official template."""
    _render(family, job, builder, v3=True)


def _render_r1(family: Family, job: Job, builder: PromptBuilder) -> None:
    _render(family, job, builder, v3=False)


def _render(family: Family, job: Job, builder: PromptBuilder, *, v3: bool) -> None:
    tools = V3_TOOLS if v3 else R1_TOOLS
    builder.literal(family.start)
    _say_systems(tools, job, builder)
    called = answered = after_result = False
    for index, message in enumerate(job.messages):
        if message.role == "user":
            after_result = False
            builder.turn(family.user, message.text, index)
        elif message.role == "tool":
            after_result = True
            builder.literal((("\n" if v3 else "") + _OUTPUT) if answered else _OUTPUTS + _OUTPUT)
            builder.content(message.text, index)
            builder.literal(_OUTPUT_END)
            answered = True
        elif message.role == "assistant" and message.tool_calls and not (v3 and message.text):
            after_result = False
            # The token that opens the calls is printed once in a conversation.
            _say_calls(tools, message, index, builder, v3=v3, opened=called)
            called = True
        elif message.role == "assistant" and after_result:
            after_result = False
            builder.literal(_OUTPUTS_END)
            builder.content(message.text, index)
            builder.literal(_EOS)
        elif message.role == "assistant":
            builder.turn(family.assistant, message.text, index)
    builder.literal(_OUTPUTS_END if after_result else "")
    if job.add_generation_prompt and not after_result:
        builder.literal(family.generation)


def _say_systems(tools: ToolFormat, job: Job, builder: PromptBuilder) -> None:
    systems = [(index, message) for index, message in enumerate(job.messages) if message.role == "system"]
    for position, (index, message) in enumerate(systems):
        builder.literal("\n\n" if position else "")
        builder.content(message.text, index)
    if job.tools:
        builder.literal(tools.listing.gap if systems else "")
        list_tools(tools.listing, job, builder)


def _say_calls(
    tools: ToolFormat, message: Message, index: int, builder: PromptBuilder, *, v3: bool, opened: bool
) -> None:
    """Append the calls of a message. V3's template closes them after each but the first of a conversation."""
    for position, call in enumerate(message.tool_calls):
        further = opened or position > 0
        if further:
            builder.literal("\n")
        else:
            builder.literal("<｜Assistant｜>")
            builder.content(message.text, index)
            builder.literal(_CALLS)
        quote_item(builder, tools.calls.item, call_fields(call), index)
        if v3 and further:
            builder.literal(_CALLS_END + _EOS)
    if not v3:
        builder.literal(_CALLS_END + _EOS)


def _tools(*, v3: bool) -> ToolFormat:
    return ToolFormat(
        # The official templates have no place for the tools on offer. This is how vLLM's template for V3 lists them.
        listing=ToolList(
            place=ListPlace.SYSTEM,
            gap="\n\n",
            before=(
                "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
                "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
            ),
            write=json_lines,
            after=(
                f"\n</tools>\n\nFor function call returns, you should first print {_CALLS}"
                "For each function call, you should return object like:\n"
                f"{_CALL}function{_SEP}<function_name>\n```json\n<function_arguments_in_json_format>\n```{_CALL_END}"
                f"At the end of function call returns, you should print {_CALLS_END}{_EOS}"
            ),
        ),
        calls=CallFormat(
            content=Turn("", ""),
            item=f"{_CALL}function{_SEP}$name\n```json\n$raw\n```{_CALL_END}",
            between="\n",
            end=_EOS,
        ),
        results=ResultFormat(item=f"{_OUTPUT}$content{_OUTPUT_END}"),
        script=_render_v3 if v3 else _render_r1,
    )


V3_TOOLS = _tools(v3=True)
R1_TOOLS = _tools(v3=False)
