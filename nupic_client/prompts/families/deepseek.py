"""DeepSeek: plain-text roles in LLM and V2, tokens in V3 and R1."""

# the full-width bar is part of the tokens

from __future__ import annotations

from nupic_client.prompts import answer_formats
from nupic_client.prompts.families.deepseek_tools import R1_TOOLS, TOOL_TOKENS, V3_TOOLS
from nupic_client.prompts.family import Family, Place, Turn
from nupic_client.prompts.tool_format import ToolFormat

__all__ = ["FAMILIES"]

_OPENVINO = "openvinotoolkit/openvino.genai:tests/python_tests/data/tokenizer_configs.py"
_BOS = "<｜begin▁of▁sentence｜>"
_EOS = "<｜end▁of▁sentence｜>"


def _plain_text(name: str, reference_model: str, source: str, aliases: tuple[str, ...]) -> Family:
    return Family(
        name=name,
        reference_model=reference_model,
        source=source,
        description="plain-text roles; bare system messages; nothing between EOS and the next turn",
        bos=_BOS,
        eos=_EOS,
        stop=(_EOS,),
        # "User:" is an everyday word: it opens a turn only at the start of a line, and right after BOS or
        # EOS.
        markers=("\nUser:", "\nAssistant:"),
        seams=tuple(f"{token}{role}:" for token in (_BOS, _EOS) for role in ("User", "Assistant")),
        start=_BOS,
        system=Turn("", "\n\n"),
        user=Turn("User: ", "\n\n"),
        assistant=Turn("Assistant: ", _EOS),
        generation="Assistant:",
        aliases=aliases,
    )


LLM = _plain_text(
    "deepseek-llm-chat",
    "deepseek-ai/deepseek-llm-7b-chat",
    "huggingface/huggingface.js:packages/jinja/test/e2e.test.js",
    ("deepseek-llm",),
)
V2 = _plain_text("deepseek-v2-chat", "deepseek-ai/DeepSeek-V2-Lite-Chat", _OPENVINO, ("deepseek-v2",))


def _without_thought(content: str) -> str:
    return content.rsplit("</think>", maxsplit=1)[-1]


def _tokens(
    name: str,
    reference_model: str,
    *,
    description: str,
    assistant: Turn,
    generation: str,
    tools: ToolFormat,
    aliases: tuple[str, ...],
) -> Family:
    return Family(
        name=name,
        reference_model=reference_model,
        source=_OPENVINO,
        description=f"all system messages go to the front, with a blank line between two{description}",
        bos=_BOS,
        eos=_EOS,
        stop=(_EOS,),
        markers=("<｜User｜>", "<｜Assistant｜>", *TOOL_TOKENS),
        start=_BOS,
        system=Turn("", "\n\n"),
        system_place=Place.FRONT,
        user=Turn("<｜User｜>", ""),
        assistant=assistant,
        generation=generation,
        tools=tools,
        answer=answer_formats.DEEPSEEK_V3,
        reasons="<think>" in generation,
        aliases=aliases,
    )


V3 = _tokens(
    "deepseek-v3",
    "deepseek-ai/DeepSeek-V3-Base",
    description="",
    assistant=Turn("<｜Assistant｜>", _EOS),
    generation="<｜Assistant｜>",
    tools=V3_TOOLS,
    aliases=("deepseek", "deepseek-chat"),
)
R1 = _tokens(
    "deepseek-r1",
    "deepseek-ai/DeepSeek-R1",
    description="; thinking is dropped from answers, and a new one starts with <think>",
    assistant=Turn("<｜Assistant｜>", _EOS, _without_thought),
    generation="<｜Assistant｜><think>\n",
    tools=R1_TOOLS,
    aliases=("deepseek-reasoner",),
)

FAMILIES = (LLM, V2, V3, R1)
