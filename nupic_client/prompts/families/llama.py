"""Meta's Llama: 2 with ``[INST]``, 3 and later with header tokens."""

from __future__ import annotations

from datetime import date

from nupic_client.prompts import answer_formats
from nupic_client.prompts.family import DateLine, Family, Place, Rule, Turn
from nupic_client.prompts.tool_format import CallFormat, ListPlace, ResultFormat, ToolFormat, ToolList
from nupic_client.prompts.tool_text import json_each

__all__ = ["FAMILIES"]

_OPENVINO = "openvinotoolkit/openvino.genai:tests/python_tests/data/tokenizer_configs.py"

LLAMA_2 = Family(
    name="llama-2-chat",
    reference_model="meta-llama/Llama-2-7b-chat-hf",
    source=_OPENVINO,
    description="the system message, even an empty one, goes into the first user turn; others are trimmed",
    bos="<s>",
    eos="</s>",
    stop=("</s>",),
    markers=("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
    system=Turn("<<SYS>>\n", "\n<</SYS>>\n\n"),
    late_system=Rule.DROPPED,
    system_place=Place.FIRST_USER,
    trims_fold=True,
    alternating=True,
    bos_in_turns=True,
    user=Turn("<s>[INST] ", " [/INST]", str.strip),
    assistant=Turn(" ", " </s>", str.strip),
    aliases=("llama2", "llama-2", "llama2-chat"),
)


def _header(role: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


def _turn(role: str) -> Turn:
    return Turn(_header(role), "<|eot_id|>", str.strip)


_MARKERS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")

LLAMA_3 = Family(
    name="llama-3-instruct",
    reference_model="meta-llama/Meta-Llama-3-8B-Instruct",
    source=_OPENVINO,
    description="all contents are trimmed",
    bos="<|begin_of_text|>",
    eos="<|eot_id|>",
    stop=("<|eot_id|>", "<|end_of_text|>"),
    markers=_MARKERS,
    start="<|begin_of_text|>",
    system=_turn("system"),
    user=_turn("user"),
    assistant=_turn("assistant"),
    generation=_header("assistant"),
    aliases=("llama3", "llama-3", "llama3-instruct"),
)


_IN_SYSTEM = (
    "You have access to the following functions. To call a function, please respond with JSON for a function call."
    'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.'
    "Do not use variables.\n\n"
)
_IN_USER = (
    "Given the following functions, please respond with a JSON for a function call "
    "with its proper arguments that best answers the given prompt.\n\n"
    'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.'
    "Do not use variables.\n\n"
)
_SYSTEM_WITH_TOOLS = Turn(
    f"{_header('system')}Environment: ipython\nCutting Knowledge Date: December 2023\nToday Date: {{date}}\n\n",
    "<|eot_id|>",
    str.strip,
)
_TOOLS = ToolFormat(
    listing=ToolList(place=ListPlace.FIRST, system=_SYSTEM_WITH_TOOLS, before=_IN_USER, write=json_each),
    choice=(
        "tools_in_user_message",
        ToolList(place=ListPlace.HEAD, system=_SYSTEM_WITH_TOOLS, before=_IN_SYSTEM, write=json_each),
    ),
    calls=CallFormat(
        start=_header("assistant"),
        item='{"name": "$name", "parameters": $arguments}',
        end="<|eot_id|>",
        most=1,
    ),
    results=ResultFormat(item=f"{_header('ipython')}$quoted<|eot_id|>"),
)


def _llama_3_x(
    name: str, reference_model: str, source: str, day: date | None, aliases: tuple[str, ...]
) -> Family:
    clock = "today's date" if day is None else "a date that is 26 Jul 2024 unless you give one"
    return Family(
        name=name,
        reference_model=reference_model,
        source=source,
        description=f"always prints a system turn with {clock}; all contents are trimmed",
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        stop=("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
        markers=(*_MARKERS, "<|python_tag|>"),
        start="<|begin_of_text|>",
        system=Turn(
            f"{_header('system')}Cutting Knowledge Date: December 2023\nToday Date: {{date}}\n\n",
            "<|eot_id|>",
            str.strip,
        ),
        late_system=_turn("system"),
        default_system="",
        user=_turn("user"),
        assistant=_turn("assistant"),
        generation=_header("assistant"),
        date=DateLine("%d %b %Y", day),
        tools=_TOOLS,
        variables=("tools_in_user_message",),
        answer=answer_formats.LLAMA_3,
        aliases=aliases,
    )


_BUILT_IN = date(2024, 7, 26)

LLAMA_3_1 = _llama_3_x(
    "llama-3.1-instruct", "meta-llama/Llama-3.1-8B-Instruct", _OPENVINO, _BUILT_IN, ("llama3.1", "llama-3.1")
)
LLAMA_3_2 = _llama_3_x(
    "llama-3.2-instruct", "meta-llama/Llama-3.2-3B-Instruct", _OPENVINO, None, ("llama3.2", "llama-3.2")
)
LLAMA_3_3 = _llama_3_x(
    "llama-3.3-instruct",
    "meta-llama/Llama-3.3-70B-Instruct",
    "ggml-org/llama.cpp:models/templates/meta-llama-Llama-3.3-70B-Instruct.jinja",
    _BUILT_IN,
    ("llama3.3", "llama-3.3"),
)

FAMILIES = (LLAMA_2, LLAMA_3, LLAMA_3_1, LLAMA_3_2, LLAMA_3_3)
