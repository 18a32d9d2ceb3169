"""Cohere's Command R."""

from __future__ import annotations

from nupic_client.prompts import answer_formats
from nupic_client.prompts.families.cohere_tools import COMMAND_R_TOOLS
from nupic_client.prompts.family import Family, Rule, Turn

__all__ = ["FAMILIES"]

_START = "<|START_OF_TURN_TOKEN|>"
_END = "<|END_OF_TURN_TOKEN|>"

COMMAND_R = Family(
    name="command-r",
    reference_model="CohereLabs/c4ai-command-r-v01",
    source="openvinotoolkit/openvino.genai:tests/python_tests/data/tokenizer_configs.py",
    description="user and assistant are trimmed, the system message is not",
    bos="<BOS_TOKEN>",
    eos=_END,
    stop=(_END,),
    markers=(_START, _END, "<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<EOS_TOKEN>"),
    start="<BOS_TOKEN>",
    system=Turn(f"{_START}<|SYSTEM_TOKEN|>", _END),
    late_system=Rule.DROPPED,
    alternating=True,
    user=Turn(f"{_START}<|USER_TOKEN|>", _END, str.strip),
    assistant=Turn(f"{_START}<|CHATBOT_TOKEN|>", _END, str.strip),
    generation=f"{_START}<|CHATBOT_TOKEN|>",
    tools=COMMAND_R_TOOLS,
    answer=answer_formats.COMMAND_R,
    aliases=("cohere", "command"),
)

FAMILIES = (COMMAND_R,)
