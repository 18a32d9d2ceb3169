"""Qwen3: ChatML with thinking blocks, which stay only in the turns after the last question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client.prompts import answer_formats
from nupic_client.prompts.families.hermes import QWEN_3_TOOLS
from nupic_client.prompts.family import Family, Job, Turn
from nupic_client.prompts.tool_render import list_tools, say_calls, say_result
from nupic_client.prompts.turn import Rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nupic_client.messages import Message
    from nupic_client.prompts.builder import PromptBuilder

__all__ = ["FAMILIES"]

_END = "<|im_end|>\n"
_ASSISTANT = "<|im_start|>assistant\n"


def _render(family: Family, job: Job, builder: PromptBuilder) -> None:
    last_question = _last_question(job.messages)
    _say_front(family, job, builder)
    for index, message in enumerate(job.messages):
        if message.role == "assistant":
            _say_assistant(family, job, index, builder, thinks=index > last_question)
        elif message.role == "tool":
            say_result(family, QWEN_3_TOOLS, job, index, builder)
        elif index or message.role != "system":
            builder.turn(family.user if message.role == "user" else family.system, message.text, index)
    if job.add_generation_prompt:
        builder.literal(family.generation)
        if job.variables.get("enable_thinking") is False:
            builder.literal("<think>\n\n</think>\n\n")


def _say_front(family: Family, job: Job, builder: PromptBuilder) -> None:
    turn, listing = family.system, QWEN_3_TOOLS.listing
    given = job.messages[0].role == "system"
    if isinstance(turn, Rule) or not (given or job.tools):
        return
    builder.literal(turn.before)
    builder.content(job.messages[0].text if given else "", 0)
    if job.tools:
        builder.literal(listing.gap if given else "")
        list_tools(listing, job, builder)
    builder.literal(turn.after)


def _say_assistant(family: Family, job: Job, index: int, builder: PromptBuilder, *, thinks: bool) -> None:
    message = job.messages[index]
    thought, answer = (
        _split_thought(message.text) if message.reasoning is None else (message.reasoning, message.text)
    )
    builder.literal(_ASSISTANT)
    if thinks and (thought or index == len(job.messages) - 1):
        builder.literal("<think>\n")
        builder.content(thought.strip("\n"), index)
        builder.literal("\n</think>\n\n")
        builder.content(answer.lstrip("\n"), index)
    else:
        builder.content(answer, index)
    # The newline before the first call goes by the content as it was given, not by what is left of it.
    builder.literal("\n" if message.tool_calls and answer else "")
    say_calls(family, QWEN_3_TOOLS.calls, job, index, builder)
    builder.literal(_END)


def _last_question(messages: Sequence[Message]) -> int:
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        is_tool_answer = message.text.startswith("<tool_response>") and message.text.endswith(
            "</tool_response>"
        )
        if message.role == "user" and not is_tool_answer:
            return index
    return len(messages) - 1


def _split_thought(content: str) -> tuple[str, str]:
    """Split ``<think>a</think>b``; the newlines go as they do in the official template."""
    if "</think>" not in content:
        return "", content
    parts = content.split("</think>")
    return parts[0].rstrip("\n").split("<think>")[-1].lstrip("\n"), parts[-1].lstrip("\n")


QWEN_3 = Family(
    name="qwen3",
    reference_model="Qwen/Qwen3-1.7B",
    source="openvinotoolkit/openvino.genai:tests/python_tests/data/tokenizer_configs.py",
    description="earlier thinking is dropped; answers after the last question get a <think> block",
    eos="<|im_end|>",
    stop=("<|im_end|>", "<|endoftext|>"),
    markers=("<|im_start|>", "<|im_end|>"),
    system=Turn("<|im_start|>system\n", _END),
    user=Turn("<|im_start|>user\n", _END),
    assistant=Turn(_ASSISTANT, _END),
    generation=_ASSISTANT,
    variables=("enable_thinking",),
    tools=QWEN_3_TOOLS,
    answer=answer_formats.HERMES,
    reasons=True,
    aliases=("qwen-3",),
    script=_render,
)

FAMILIES = (QWEN_3,)
