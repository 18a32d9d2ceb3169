"""IBM's Granite 3."""

from __future__ import annotations

from nupic_client.prompts import answer_formats
from nupic_client.prompts.family import DateLine, Family, Turn

__all__ = ["FAMILIES"]

_OPENVINO = "openvinotoolkit/openvino.genai:tests/python_tests/data/tokenizer_configs.py"
_EOS = "<|end_of_text|>"
_GENERATION = "<|start_of_role|>assistant<|end_of_role|>"


def _turn(role: str) -> Turn:
    return Turn(f"<|start_of_role|>{role}<|end_of_role|>", f"{_EOS}\n")


def _granite(
    name: str, reference_model: str, source: str, default_system: str | None, aliases: tuple[str, ...]
) -> Family:
    dated = default_system is not None
    default = "a default system prompt with today's date, which an empty one suppresses"
    return Family(
        name=name,
        reference_model=reference_model,
        source=source,
        description=default if dated else "no default system prompt",
        bos=_EOS,
        eos=_EOS,
        stop=(_EOS,),
        markers=("<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>"),
        system=_turn("system"),
        user=_turn("user"),
        assistant=_turn("assistant"),
        default_system=default_system,
        generation=_GENERATION,
        # From 3.1 on the official templates open the answer inside the loop over the messages after the
        # system one.
        generation_needs_turn=dated,
        date=DateLine("%B %d, %Y") if dated else None,
        answer=answer_formats.GRANITE_3,
        aliases=aliases,
    )


GRANITE_3_0 = _granite(
    "granite-3.0",
    "ibm-granite/granite-3.0-1b-a400m-instruct",
    _OPENVINO,
    None,
    ("granite3.0", "granite-3.0-instruct"),
)
GRANITE_3_1 = _granite(
    "granite-3.1",
    "ibm-granite/granite-3.1-3b-a800m-instruct",
    _OPENVINO,
    "Knowledge Cutoff Date: April 2024.\nToday's Date: {date}.\nYou are Granite, developed by IBM. "
    "You are a helpful AI assistant.",
    ("granite3.1", "granite-3.1-instruct"),
)
GRANITE_3_3 = _granite(
    "granite-3.3",
    "ibm-granite/granite-3.3-2b-instruct",
    "ggml-org/llama.cpp:models/templates/ibm-granite-granite-3.3-2B-Instruct.jinja",
    "Knowledge Cutoff Date: April 2024. Today's Date: {date}. You are Granite, developed by IBM. "
    "You are a helpful AI assistant.",
    ("granite", "granite3.3", "granite-3.3-instruct"),
)

FAMILIES = (GRANITE_3_0, GRANITE_3_1, GRANITE_3_3)
