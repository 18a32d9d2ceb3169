"""Google's Gemma: strict turns, the assistant is called ``model``."""

from __future__ import annotations

from nupic_client.prompts.family import Family, Place, Rule, Turn

__all__ = ["FAMILIES"]

_END = "<end_of_turn>\n"


def _gemma(
    name: str,
    reference_model: str,
    source: str,
    *,
    description: str,
    system: Turn | Rule,
    image: str | None = None,
    aliases: tuple[str, ...],
) -> Family:
    return Family(
        name=name,
        reference_model=reference_model,
        source=source,
        description=description,
        bos="<bos>",
        eos="<eos>",
        stop=("<end_of_turn>", "<eos>"),
        markers=("<start_of_turn>", "<end_of_turn>", *((image,) if image else ())),
        start="<bos>",
        system=system,
        # The official templates look for a system message at the front only. One that stands where an answer
        # is due passes their check, and is printed as a turn.
        late_system=Turn("<start_of_turn>system\n", _END, str.strip),
        system_place=Place.FIRST_USER,
        alternating=True,
        user=Turn("<start_of_turn>user\n", _END, str.strip),
        assistant=Turn("<start_of_turn>model\n", _END, str.strip),
        generation="<start_of_turn>model\n",
        image=image,
        aliases=aliases,
    )


GEMMA = _gemma(
    "gemma",
    "google/gemma-2b-it",
    "openvinotoolkit/openvino.genai:tests/python_tests/data/tokenizer_configs.py",
    description="no system message; user and assistant are trimmed",
    system=Rule.REFUSED,
    aliases=("gemma1", "gemma-1", "gemma-it"),
)
GEMMA_2 = _gemma(
    "gemma-2",
    "google/gemma-2-2b-it",
    "ggml-org/llama.cpp:models/templates/google-gemma-2-2b-it.jinja",
    description="no system message; user and assistant are trimmed",
    system=Rule.REFUSED,
    aliases=("gemma2", "gemma-2-it"),
)
GEMMA_3 = _gemma(
    "gemma-3",
    "google/gemma-3-1b-it",
    "openvinotoolkit/openvino.genai:tests/python_tests/data/tokenizer_configs.py",
    description="the system message goes untrimmed into the first user turn; user and assistant are trimmed",
    system=Turn("", "\n\n"),
    image="<start_of_image>",
    aliases=("gemma3", "gemma-3-it"),
)

FAMILIES = (GEMMA, GEMMA_2, GEMMA_3)
