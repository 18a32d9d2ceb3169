"""``<|role|>``, a newline and the text: Zephyr, TinyLlama, StableLM, Falcon 3 and OLMo."""

from __future__ import annotations

from nupic_client.prompts import answer_formats
from nupic_client.prompts.families.falcon import FALCON_3_TOOLS
from nupic_client.prompts.family import Family, Rule, Turn

__all__ = ["FALCON_3", "OLMO", "STABLELM", "TINYLLAMA", "ZEPHYR"]

_OPENVINO = "openvinotoolkit/openvino.genai:tests/python_tests/data/tokenizer_configs.py"
_MARKERS = ("<|system|>", "<|user|>", "<|assistant|>")
_GENERATION = "<|assistant|>\n"


def _zephyr(
    name: str, reference_model: str, source: str, *, bos: str, eos: str, aliases: tuple[str, ...]
) -> Family:
    return Family(
        name=name,
        reference_model=reference_model,
        source=source,
        description="every turn ends with EOS and a newline",
        bos=bos,
        eos=eos,
        stop=(eos,),
        markers=_MARKERS,
        system=Turn("<|system|>\n", f"{eos}\n"),
        user=Turn("<|user|>\n", f"{eos}\n"),
        assistant=Turn("<|assistant|>\n", f"{eos}\n"),
        generation=_GENERATION,
        aliases=aliases,
    )


ZEPHYR = _zephyr(
    "zephyr",
    "HuggingFaceH4/zephyr-7b-beta",
    "huggingface/huggingface.js:packages/jinja/test/e2e.test.js",
    bos="<s>",
    eos="</s>",
    aliases=("zephyr-beta",),
)
TINYLLAMA = _zephyr(
    "tinyllama-chat",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    _OPENVINO,
    bos="<s>",
    eos="</s>",
    aliases=("tinyllama",),
)
STABLELM = _zephyr(
    "stablelm-zephyr",
    "stabilityai/stablelm-zephyr-3b",
    _OPENVINO,
    bos="<|endoftext|>",
    eos="<|endoftext|>",
    aliases=("stablelm",),
)

FALCON_3 = Family(
    name="falcon3",
    reference_model="tiiuae/Falcon3-3B-Instruct",
    source=_OPENVINO,
    description="only answers end with EOS, and the last one has no newline after it",
    eos="<|endoftext|>",
    stop=("<|endoftext|>",),
    markers=_MARKERS,
    system=Turn("<|system|>\n", "\n"),
    user=Turn("<|user|>\n", "\n"),
    assistant=Turn("<|assistant|>\n", "<|endoftext|>\n"),
    last_assistant=Turn("<|assistant|>\n", "<|endoftext|>"),
    generation=_GENERATION,
    tools=FALCON_3_TOOLS,
    answer=answer_formats.FALCON_3,
    aliases=("falcon-3",),
)

OLMO = Family(
    name="olmo-instruct",
    reference_model="allenai/OLMo-7B-0724-Instruct-hf",
    source=_OPENVINO,
    description="system messages are silently dropped; the prompt starts with EOS, since there is no BOS",
    eos="<|endoftext|>",
    stop=("<|endoftext|>",),
    markers=_MARKERS,
    start="<|endoftext|>",
    system=Rule.DROPPED,
    user=Turn("<|user|>\n", "\n"),
    assistant=Turn("<|assistant|>\n", "<|endoftext|>\n"),
    generation=_GENERATION,
    aliases=("olmo",),
)
