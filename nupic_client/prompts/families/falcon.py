"""The first Falcon: plain-text roles, nothing but a blank line between turns."""

from __future__ import annotations

from nupic_client.prompts.family import Family, Rule, Turn

__all__ = ["FAMILIES"]


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
