"""Vicuna and Alpaca: plain-text roles, as FastChat and Stanford's training code write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client.prompts.family import Family, Job, Rule, Turn

if TYPE_CHECKING:
    from nupic_client.prompts.builder import PromptBuilder

__all__ = ["FAMILIES"]


def _by_position(family: Family, job: Job, builder: PromptBuilder) -> None:
    """Render as FastChat does: the separator goes by the position of a message, not by its role.

    The last system message wins, wherever it stands; an empty message prints its role and no separator.
    """
    assert isinstance(family.user, Turn)  # noqa: S101  # narrows the type; families with this script have both turns
    assert isinstance(family.assistant, Turn)  # noqa: S101
    separators = (family.user.after, family.assistant.after)
    systems = [index for index, message in enumerate(job.messages) if message.role == "system"]
    if systems:
        builder.content(job.messages[systems[-1]].text, systems[-1])
    else:
        builder.literal(family.default_system or "")
    builder.literal(separators[0])
    turns = ((index, message) for index, message in enumerate(job.messages) if message.role != "system")
    for position, (index, message) in enumerate(turns):
        before = family.user.before if message.role == "user" else family.assistant.before
        if message.text:
            builder.literal(before)
            builder.content(message.text, index)
            builder.literal(separators[position % 2])
        else:
            builder.literal(before.rstrip())
    if job.add_generation_prompt:
        builder.literal(family.generation)


_DEFAULT_ALPACA = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
)
# Headings open a turn wherever they stand. "### Input:" is the third one Alpaca was trained on.
_HEADINGS = ("### Instruction:", "### Input:", "### Response:")

VICUNA = Family(
    name="vicuna-1.1",
    reference_model="lmsys/vicuna-7b-v1.5",
    source="lm-sys/FastChat:fastchat/conversation.py (vicuna_v1.1)",
    description="a default system prompt; the last system message wins; separators go by position",
    bos="<s>",
    eos="</s>",
    stop=("</s>",),
    # Between two turns there is a single space or nothing, so these words open a turn wherever they stand.
    markers=("USER:", "ASSISTANT:"),
    system=Turn("", ""),
    user=Turn("USER: ", " "),
    assistant=Turn("ASSISTANT: ", "</s>"),
    default_system=(
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions."
    ),
    generation="ASSISTANT:",
    aliases=("vicuna", "vicuna-1.5", "vicuna-v1.5"),
    script=_by_position,
)

ALPACA_FASTCHAT = Family(
    name="alpaca-fastchat",
    reference_model="tatsu-lab/alpaca-7b-wdiff (as FastChat serves it)",
    source="lm-sys/FastChat:fastchat/conversation.py (alpaca)",
    description="a default system prompt; the last system message wins; separators go by position",
    bos="<s>",
    eos="</s>",
    stop=("</s>",),
    markers=_HEADINGS,
    system=Turn("", ""),
    user=Turn("### Instruction: ", "\n\n"),
    assistant=Turn("### Response: ", "</s>"),
    default_system=_DEFAULT_ALPACA,
    generation="### Response:",
    script=_by_position,
)

ALPACA = Family(
    name="alpaca",
    reference_model="tatsu-lab/alpaca-7b-wdiff",
    source='tatsu-lab/stanford_alpaca:train.py PROMPT_DICT["prompt_no_input"]',
    description="exactly one user message; the prompt always opens the answer",
    bos="<s>",
    eos="</s>",
    stop=("</s>",),
    markers=_HEADINGS,
    start=f"{_DEFAULT_ALPACA}\n\n",
    system=Rule.REFUSED,
    user=Turn("### Instruction:\n", "\n\n### Response:"),
    assistant=Rule.REFUSED,
    roles=("user",),
    aliases=("stanford-alpaca",),
)

FAMILIES = (VICUNA, ALPACA_FASTCHAT, ALPACA)
