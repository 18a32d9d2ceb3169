"""Upstage's SOLAR, with headings for roles, and LG's EXAONE, with bracketed ones."""

from __future__ import annotations

from nupic_client.prompts.family import Family, Turn

__all__ = ["FAMILIES"]

_OPENVINO = "openvinotoolkit/openvino.genai:tests/python_tests/data/tokenizer_configs.py"

SOLAR = Family(
    name="solar-instruct",
    reference_model="upstage/SOLAR-10.7B-Instruct-v1.0",
    source=_OPENVINO,
    description="nothing between an answer and the next heading; an empty system message is not printed",
    bos="<s>",
    eos="</s>",
    stop=("</s>",),
    # A heading opens a turn anywhere: the template itself prints one right after an answer, on the same line.
    markers=("### System:", "### User:", "### Assistant:"),
    system=Turn("### System:\n", "\n\n", skip_empty=True),
    user=Turn("### User:\n", "\n\n"),
    assistant=Turn("### Assistant:\n", ""),
    generation="### Assistant:\n",
    aliases=("solar",),
)

EXAONE = Family(
    name="exaone-3.5",
    reference_model="LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct",
    source=_OPENVINO,
    description="prints an empty system turn where there is none",
    bos="[BOS]",
    eos="[|endofturn|]",
    stop=("[|endofturn|]",),
    markers=("[|system|]", "[|user|]", "[|assistant|]"),
    system=Turn("[|system|]", "[|endofturn|]\n"),
    default_system="",
    user=Turn("[|user|]", "\n"),
    assistant=Turn("[|assistant|]", "[|endofturn|]\n"),
    generation="[|assistant|]",
    aliases=("exaone", "exaone3.5"),
)

FAMILIES = (SOLAR, EXAONE)
