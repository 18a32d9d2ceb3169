"""Mistral AI's instruct formats, v0.1 to Tekken v7: they differ in spaces and in the system prompt."""

from __future__ import annotations

from nupic_client.prompts import answer_formats
from nupic_client.prompts.family import DateLine, Family, Place, Rule, Turn
from nupic_client.prompts.tool_format import CallFormat, ListPlace, ResultFormat, ToolFormat, ToolList
from nupic_client.prompts.tool_text import joined_list, json_list

__all__ = ["FAMILIES"]

_OPENVINO = "openvinotoolkit/openvino.genai:tests/python_tests/data/tokenizer_configs.py"
_LLAMA_CPP = "ggml-org/llama.cpp:tests/test-chat-template.cpp"
_BOS = "<s>"
_EOS = "</s>"
_STOP = (_EOS,)
_INST = ("[INST]", "[/INST]")
# Tokenizers from v3 on know the tool markers as control tokens, whether or not a prompt uses tools.
_TOOLS = (
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_CALLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
)
_SYSTEM_PROMPT = ("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")


def _calls(space: str, *, content: Turn | None = None) -> CallFormat:
    return CallFormat(
        content=content,
        before=f"[TOOL_CALLS]{space}[",
        item='{"name": $quoted_name, "arguments": $arguments, "id": "$id"}',
        between=", ",
        after="]",
        end=_EOS,
        id_length=9,
    )


def _tools(space: str) -> ToolFormat:
    """Return how the Hugging Face templates of v3 write tools. Ids are what comes back in ``call_id``."""
    return ToolFormat(
        listing=ToolList(
            place=ListPlace.LAST_TEXT,
            before=f"[AVAILABLE_TOOLS]{space}",
            write=joined_list,
            after="[/AVAILABLE_TOOLS]",
        ),
        calls=_calls(space),
        results=ResultFormat(
            item=f'[TOOL_RESULTS]{space}{{"content": $content, "call_id": "$id"}}[/TOOL_RESULTS]'
        ),
        alternating=True,
    )


def _tools_7(space: str) -> ToolFormat:
    """Return how Mistral's own encoder writes tools in v7, of which the Hugging Face templates have none."""
    return ToolFormat(
        listing=ToolList(
            place=ListPlace.LAST_USER,
            before=f"[AVAILABLE_TOOLS]{space}",
            write=json_list,
            after="[/AVAILABLE_TOOLS]",
        ),
        calls=_calls(space, content=Turn(space, "", str.rstrip)),
        results=ResultFormat(item=f"[TOOL_RESULTS]{space}$id[TOOL_CONTENT]{space}$content[/TOOL_RESULTS]"),
    )


def _legacy(
    name: str, reference_model: str, source: str, *, after_answer: str, aliases: tuple[str, ...]
) -> Family:
    return Family(
        name=name,
        reference_model=reference_model,
        source=source,
        description="the 2023 template: no system message",
        bos=_BOS,
        eos=_EOS,
        stop=_STOP,
        markers=_INST,
        start=_BOS,
        system=Rule.REFUSED,
        alternating=True,
        user=Turn("[INST] ", " [/INST]"),
        assistant=Turn("", after_answer),
        aliases=aliases,
    )


def _folding(
    name: str,
    reference_model: str,
    *,
    user: Turn,
    assistant: Turn,
    place: Place,
    markers: tuple[str, ...],
    tools: ToolFormat | None = None,
    aliases: tuple[str, ...],
) -> Family:
    which = (
        "first user turn"
        if place is Place.FIRST_USER
        else "last turn, and is lost when that is an assistant's"
    )
    return Family(
        name=name,
        reference_model=reference_model,
        source=_OPENVINO,
        description=f"the system message goes into the {which}; an empty one leaves its blank line",
        bos=_BOS,
        eos=_EOS,
        stop=_STOP,
        markers=markers,
        start=_BOS,
        system=Turn("", "\n\n"),
        late_system=Rule.REFUSED,
        system_place=place,
        alternating=True,
        user=user,
        assistant=assistant,
        tools=tools,
        answer=answer_formats.MISTRAL if _TOOLS[0] in markers else None,
        aliases=aliases,
    )


LEGACY_0_1 = _legacy(
    "mistral-v0.1-legacy",
    "mistralai/Mistral-7B-Instruct-v0.1 (2023 revision)",
    "huggingface/huggingface.js:packages/jinja/test/e2e.test.js (TheBloke/Mistral-7B-Instruct-v0.1-GPTQ)",
    after_answer="</s> ",
    aliases=(),
)
LEGACY_0_2 = _legacy(
    "mistral-v0.2-legacy",
    "mistralai/Mistral-7B-Instruct-v0.2 (2023 revision)",
    _LLAMA_CPP,
    after_answer="</s>",
    aliases=("mistral-legacy",),
)
V1 = _folding(
    "mistral-v1",
    "mistralai/Mistral-7B-Instruct-v0.1",
    user=Turn(" [INST] ", " [/INST]"),
    assistant=Turn(" ", _EOS),
    place=Place.FIRST_USER,
    markers=_INST,
    aliases=("mistral-v0.1", "mistral-v0.2"),
)
MIXTRAL = _folding(
    "mixtral-instruct",
    "mistralai/Mixtral-8x7B-Instruct-v0.1",
    user=Turn(" [INST] ", " [/INST]"),
    assistant=Turn(" ", _EOS),
    place=Place.FIRST_USER,
    markers=_INST,
    aliases=("mixtral",),
)
V3 = _folding(
    "mistral-v3",
    "mistralai/Mistral-7B-Instruct-v0.3",
    user=Turn("[INST] ", "[/INST]"),
    assistant=Turn(" ", _EOS, str.strip),
    place=Place.LAST_USER,
    markers=_INST + _TOOLS,
    tools=_tools(" "),
    aliases=("mistral", "mistral-v0.3", "mistral-instruct"),
)
V3_TEKKEN = _folding(
    "mistral-v3-tekken",
    "mistralai/Mistral-Nemo-Instruct-2407",
    user=Turn("[INST]", "[/INST]"),
    assistant=Turn("", _EOS),
    place=Place.LAST_USER,
    markers=_INST + _TOOLS,
    tools=_tools(""),
    aliases=("mistral-nemo",),
)

V7 = Family(
    name="mistral-v7",
    reference_model="mistralai/Mistral-Large-Instruct-2411",
    source=_LLAMA_CPP,
    description="a turn of its own for every system message",
    bos=_BOS,
    eos=_EOS,
    stop=_STOP,
    markers=(*_INST, *_SYSTEM_PROMPT, *_TOOLS, "[TOOL_CONTENT]"),
    start=_BOS,
    system=Turn("[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"),
    user=Turn("[INST] ", "[/INST]"),
    assistant=Turn(" ", _EOS),
    tools=_tools_7(" "),
    answer=answer_formats.MISTRAL,
    aliases=("mistral-large",),
)

V7_TEKKEN = Family(
    name="mistral-v7-tekken",
    reference_model="mistralai/Mistral-Small-3.1-24B-Instruct-2503",
    source="huggingface/transformers:tests/models/pixtral/test_processing_pixtral.py (a copy)",
    description="a default system prompt with today's date, which an empty one suppresses",
    bos=_BOS,
    eos=_EOS,
    stop=_STOP,
    markers=(*_INST, *_SYSTEM_PROMPT, *_TOOLS, "[TOOL_CONTENT]"),
    start=_BOS,
    system=Turn("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    user=Turn("[INST]", "[/INST]"),
    assistant=Turn("", _EOS),
    default_system=(
        "You are Mistral Small 3, a Large Language Model (LLM) created by Mistral AI, a French startup "
        "headquartered in Paris.\nYour knowledge base was last updated on 2023-10-01. "
        "The current date is {date}.\n\n"
        "When you're not sure about some information, you say that you don't have the information and don't "
        "make up anything.\n"
        "If the user's question is not clear, ambiguous, or does not provide enough context for you to "
        "accurately answer the question, you do not try to answer it right away and you rather ask the user "
        'to clarify their request (e.g. "What are some good restaurants around me?" => "Where are you?" or '
        '"When is the next flight to Tokyo" => "Where do you travel from?")'
    ),
    date=DateLine("%Y-%m-%d"),
    tools=_tools_7(""),
    answer=answer_formats.MISTRAL,
    aliases=("mistral-small", "mistral-small-3.1"),
)

FAMILIES = (LEGACY_0_1, LEGACY_0_2, V1, MIXTRAL, V3, V3_TEKKEN, V7, V7_TEKKEN)
