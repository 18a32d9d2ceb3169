"""OpenChat, whose roles carry the name of the data they were trained on."""

from __future__ import annotations

from nupic_client.prompts.family import Family, Turn

__all__ = ["FAMILIES"]

_OPENVINO = "openvinotoolkit/openvino.genai:tests/python_tests/data/tokenizer_configs.py"

OPENCHAT_3_5 = Family(
    name="openchat-3.5",
    reference_model="openchat/openchat-3.5-0106",
    source=_OPENVINO,
    description="roles are plain text, turns end with a token",
    bos="<s>",
    eos="<|end_of_turn|>",
    stop=("<|end_of_turn|>", "</s>"),
    markers=("GPT4 Correct User:", "GPT4 Correct Assistant:", "GPT4 Correct System:"),
    start="<s>",
    system=Turn("GPT4 Correct System: ", "<|end_of_turn|>"),
    user=Turn("GPT4 Correct User: ", "<|end_of_turn|>"),
    assistant=Turn("GPT4 Correct Assistant: ", "<|end_of_turn|>"),
    generation="GPT4 Correct Assistant:",
    aliases=("openchat", "openchat3.5"),
)


def _turn(role: str) -> Turn:
    return Turn(f"<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>", str.strip)


OPENCHAT_3_6 = Family(
    name="openchat-3.6",
    reference_model="openchat/openchat-3.6-8b-20240522",
    source=_OPENVINO,
    description="Llama 3 with OpenChat's roles; all contents are trimmed",
    bos="<|begin_of_text|>",
    eos="<|eot_id|>",
    stop=("<|eot_id|>",),
    markers=("<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"),
    start="<|begin_of_text|>",
    system=_turn("System"),
    user=_turn("GPT4 Correct User"),
    assistant=_turn("GPT4 Correct Assistant"),
    generation="<|start_header_id|>GPT4 Correct Assistant<|end_header_id|>\n\n",
    aliases=("openchat3.6",),
)

FAMILIES = (OPENCHAT_3_5, OPENCHAT_3_6)
