"""Qwen3: ChatML with thinking blocks, which stay only in the turns after the last question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client.prompts.family import Family, Job, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nupic_client.messages import Message
    from nupic_client.prompts.builder import PromptBuilder

__all__ = ["FAMILIES"]

_END = "<|im_end|>\n"
_ASSISTANT = "<|im_start|>assistant\n"


def _render(family: Family, job: Job, builder: PromptBuilder) -> None:
    last_question = _last_question(job.messages)
    last = len(job.messages) - 1
    for index, message in enumerate(job.messages):
        if message.role != "assistant":
            turn = family.user if message.role == "user" else family.system
            builder.turn(turn, message.text, index)
            continue
        thought, answer = _split_thought(message.text)
        builder.literal(_ASSISTANT)
        if index > last_question and (index == last or thought):
            builder.literal("<think>\n")
            builder.content(thought.strip("\n"), index)
            builder.literal("\n</think>\n\n")
            answer = answer.lstrip("\n")
        builder.content(answer, index)
        builder.literal(_END)
    if job.add_generation_prompt:
        builder.literal(family.generation)
        if job.variables.get("enable_thinking") is False:
            builder.literal("<think>\n\n</think>\n\n")


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
    aliases=("qwen-3",),
    script=_render,
)

FAMILIES = (QWEN_3,)
