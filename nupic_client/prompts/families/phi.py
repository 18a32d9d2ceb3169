"""Microsoft's Phi-3 and Phi-4."""

from __future__ import annotations

from nupic_client.prompts import answer_formats
from nupic_client.prompts.family import Family, Rule, Turn
from nupic_client.prompts.tool_format import CallFormat, ListPlace, ResultFormat, ToolFormat, ToolList
from nupic_client.prompts.tool_text import bare_list

__all__ = ["FAMILIES"]

_OPENVINO = "openvinotoolkit/openvino.genai:tests/python_tests/data/tokenizer_configs.py"
_MARKERS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
_STOP = ("<|end|>", "<|endoftext|>", "<|assistant|>")


def _phi_3(name: str, reference_model: str, *, skip_empty: bool, aliases: tuple[str, ...]) -> Family:
    empty = "is not printed" if skip_empty else "is printed"
    return Family(
        name=name,
        reference_model=reference_model,
        source=_OPENVINO,
        description=f"ends with EOS where no answer is asked for; an empty system message {empty}",
        bos="<s>",
        eos="<|endoftext|>",
        stop=_STOP,
        markers=_MARKERS,
        system=Turn("<|system|>\n", "<|end|>\n", skip_empty=skip_empty),
        user=Turn("<|user|>\n", "<|end|>\n"),
        assistant=Turn("<|assistant|>\n", "<|end|>\n"),
        generation="<|assistant|>\n",
        ending="<|endoftext|>",
        aliases=aliases,
    )


PHI_3 = _phi_3("phi-3", "microsoft/Phi-3-mini-4k-instruct", skip_empty=False, aliases=("phi3",))
PHI_3_5 = _phi_3("phi-3.5", "microsoft/Phi-3.5-mini-instruct", skip_empty=True, aliases=("phi3.5",))

PHI_3_LEGACY = Family(
    name="phi-3-legacy",
    reference_model="microsoft/Phi-3-mini-4k-instruct (April 2024 revision)",
    source='ggml-org/llama.cpp:tests/test-chat-template.cpp ("Phi-3-mini")',
    description="the first release: system messages are silently dropped; every user turn opens the answer",
    bos="<s>",
    eos="<|endoftext|>",
    stop=_STOP,
    markers=_MARKERS,
    start="<s>",
    system=Rule.DROPPED,
    user=Turn("<|user|>\n", "<|end|>\n<|assistant|>\n"),
    assistant=Turn("", "<|end|>\n"),
)

PHI_4 = Family(
    name="phi-4",
    reference_model="microsoft/phi-4",
    source=_OPENVINO,
    description="ChatML with <|im_sep|> in place of the newlines",
    bos="<|endoftext|>",
    eos="<|im_end|>",
    stop=("<|im_end|>", "<|endoftext|>"),
    markers=("<|im_start|>", "<|im_sep|>", "<|im_end|>"),
    system=Turn("<|im_start|>system<|im_sep|>", "<|im_end|>"),
    user=Turn("<|im_start|>user<|im_sep|>", "<|im_end|>"),
    assistant=Turn("<|im_start|>assistant<|im_sep|>", "<|im_end|>"),
    generation="<|im_start|>assistant<|im_sep|>",
    aliases=("phi4",),
)

# The official template takes the tools as a text in the system message, and knows no calls: they are what the model writes.
_TOOLS = ToolFormat(
    listing=ToolList(place=ListPlace.SYSTEM, before="<|tool|>", write=bare_list, after="<|/tool|>"),
    calls=CallFormat(
        start="<|assistant|>",
        content=Turn("", ""),
        before="functools[",
        item='{"name": $quoted_name, "arguments": $arguments}',
        between=", ",
        after="]",
        end="<|end|>",
    ),
    results=ResultFormat(item="<|tool|>$content<|end|>"),
)

PHI_4_MINI = Family(
    name="phi-4-mini",
    reference_model="microsoft/Phi-4-mini-instruct",
    source=_OPENVINO,
    description="no newlines between turns; ends with EOS where no answer is asked for",
    bos="<|endoftext|>",
    eos="<|endoftext|>",
    stop=("<|end|>", "<|endoftext|>"),
    markers=(*_MARKERS, "<|tool|>", "<|/tool|>", "<|tool_call|>", "<|/tool_call|>", "<|tool_response|>"),
    system=Turn("<|system|>", "<|end|>"),
    user=Turn("<|user|>", "<|end|>"),
    assistant=Turn("<|assistant|>", "<|end|>"),
    generation="<|assistant|>",
    ending="<|endoftext|>",
    tools=_TOOLS,
    answer=answer_formats.PHI_4_MINI,
    aliases=("phi4-mini",),
)

FAMILIES = (PHI_3, PHI_3_LEGACY, PHI_3_5, PHI_4, PHI_4_MINI)
