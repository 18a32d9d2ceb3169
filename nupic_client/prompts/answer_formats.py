r"""The answer formats of well-known families, by name.

Each is what the family's chat template makes of an answer with reasoning and tool calls. Patterns have bounds everywhere, so
that a wrong answer costs no more time than a right one.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nupic_client._suggest import did_you_mean, listed
from nupic_client.errors import ConfigurationError
from nupic_client.prompts.answer import AnswerField, AnswerFormat

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ANSWER_FORMATS", "answer_format", "json_call_of"]

_NAME = r"(?P<name>[A-Za-z0-9_.\-]{1,256})"
_IN_CONTENT = {"type": "function", "function": "{content}"}
_NAMED = {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}}
_NAMED_AND_ID = {"id": "{id}", **_NAMED}
_JSON_VALUES = {"name": "json", "args": {"allow_non_json": True}}
_CHATML = "<|im_start|>assistant\n"
_GRANITE = "<|start_of_role|>assistant<|end_of_role|>"
_LLAMA = ("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|header_start|>assistant<|header_end|>\n\n")
_DEEPSEEK = ("<｜Assistant｜>", "<｜tool▁outputs▁end｜>", "<｜tool▁output▁end｜>")

_CONTENT = AnswerField(name="content")


def _thinking(opened: str = "<think>", closed: str = "</think>") -> AnswerField:
    return AnswerField(name="thinking", open=(opened,), close=(closed,))


def _calls(**values: Any) -> AnswerField:
    transform = values.pop("transform", _IN_CONTENT)
    return AnswerField(name="tool_calls", repeats=True, transform=transform, **{"content": "json", **values})


def _tags(pattern: str) -> dict[str, Any]:
    return {"tag_pattern": pattern, "value_parser": _JSON_VALUES}


THINKING = AnswerFormat(fields=(_thinking(), _CONTENT))
BARE_JSON = AnswerFormat(fields=(_thinking(), _calls(open_pattern=r"\A\s{0,256}(?=[\[{])"), _CONTENT))
"""A call that is the whole answer, as where a server was told to write one."""


def json_call_of(names: Iterable[str]) -> AnswerFormat:
    """Return the format of an answer that is one call of these tools, or JSON of another kind, which is text.

    The keys stand in the order of the schema that the server enforces, so that the beginning says which of both it is.
    """
    name = "|".join(map(re.escape, names))
    blank = r"\s{0,64}"
    call = rf'\{{{blank}"name"{blank}:{blank}"(?:{name})"{blank},{blank}"arguments"{blank}:'
    return AnswerFormat(fields=(_thinking(), _calls(open_pattern=rf"\A\s{{0,256}}(?={call})"), _CONTENT))


HERMES = AnswerFormat(
    fields=(_thinking(), _calls(open="<tool_call>", close="</tool_call>"), _CONTENT),
    start_anchor=(_CHATML, _GRANITE),
)
FALCON_3 = AnswerFormat(fields=HERMES.fields, start_anchor=("<|assistant|>\n",))
_PARAMETER = r"<parameter=(?P<key>[^<>\n]{1,256})>\n?(?P<value>.*?)\n?</parameter>"
QWEN_3_CODER = AnswerFormat(
    fields=(
        _thinking(),
        _calls(
            open_pattern=rf"(?:<tool_call>\s{{0,16}})?<function={_NAME}>",
            close_pattern=r"(?:</function>\s{0,16})?</tool_call>|</function>",
            content="xml-inline",
            content_args=_tags(_PARAMETER),
            transform=_NAMED,
        ),
        _CONTENT,
    ),
    start_anchor=(_CHATML,),
)
SEED_OSS = AnswerFormat(
    fields=(
        _thinking("<seed:think>", "</seed:think>"),
        _calls(
            open_pattern=rf"<function={_NAME}>",
            close=("</function>",),
            around=("<seed:tool_call>", "</seed:tool_call>"),
            content="xml-inline",
            content_args=_tags(_PARAMETER),
            transform=_NAMED,
        ),
        _CONTENT,
    ),
    start_anchor=("<seed:bos>assistant\n",),
)
_BARE_PYTHON = _calls(
    open_pattern=r"\A\s{0,64}(?=\[\s{0,64}[A-Za-z_][A-Za-z0-9_.\-]{0,256}\()",
    content="python-call-list",
    transform=None,
)
LLAMA_3 = AnswerFormat(
    fields=(
        _calls(open="<|python_tag|>"),
        _calls(open_pattern=r'(?=\{\s{0,64}"(?:name|type|function|arguments|parameters)"\s{0,64}:)'),
        _calls(open_pattern=rf"<function={_NAME}>", close="</function>", transform=_NAMED),
        _BARE_PYTHON,
        _CONTENT,
    ),
    start_anchor=_LLAMA,
    special_tokens=("<|python_tag|>",),
)
PYTHONIC = AnswerFormat(
    fields=(
        _calls(open="<|python_start|>", close="<|python_end|>", content="python-call-list", transform=None),
        _BARE_PYTHON,
        _CONTENT,
    ),
    start_anchor=_LLAMA,
    special_tokens=("<|python_start|>", "<|python_end|>"),
)
OLMO_3 = AnswerFormat(
    fields=(
        _thinking(),
        _calls(
            open="<function_calls>", close="</function_calls>", content="python-call-list", transform=None
        ),
        _CONTENT,
    ),
    start_anchor=(_CHATML,),
)
LFM_2 = AnswerFormat(
    fields=(
        _thinking(),
        _calls(
            open="<|tool_call_start|>",
            close="<|tool_call_end|>",
            content="python-call-list",
            transform=None,
        ),
        _CONTENT,
    ),
    start_anchor=(_CHATML,),
    special_tokens=("<|tool_call_start|>", "<|tool_call_end|>"),
)
MISTRAL = AnswerFormat(
    fields=(
        _thinking("[THINK]", "[/THINK]"),
        _calls(open_pattern=r"\[TOOL_CALLS\]\s{0,16}(?=[\[{])"),
        _calls(
            open_pattern=(
                rf"\[TOOL_CALLS\]{_NAME}(?:\[CALL_ID\](?P<id>[A-Za-z0-9]{{1,64}}))?(?:\[ARGS\])?\s{{0,16}}(?=\{{)"
            ),
            transform=_NAMED_AND_ID,
        ),
        _CONTENT,
    ),
    start_anchor=("[/INST]", "[/TOOL_RESULTS]"),
    special_tokens=("[TOOL_CALLS]", "[CALL_ID]", "[ARGS]", "[THINK]", "[/THINK]"),
)
_DEEPSEEK_CALLS = (
    _calls(
        open_pattern=rf"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{_NAME}\s{{0,16}}```json\s{{0,16}}",
        close=("```<｜tool▁call▁end｜>", "<｜tool▁call▁end｜>", "```"),
        around=("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
        transform=_NAMED,
    ),
    _calls(
        open_pattern=rf"<｜tool▁call▁begin｜>{_NAME}<｜tool▁sep｜>(?=\s{{0,16}}\{{)",
        close=("<｜tool▁call▁end｜>",),
        transform=_NAMED,
    ),
)
_DEEPSEEK_TOKENS = (
    *("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>"),
    *("<｜tool▁call▁end｜>", "<｜tool▁sep｜>"),
)
DEEPSEEK_V3 = AnswerFormat(
    fields=(_thinking(), *_DEEPSEEK_CALLS, _CONTENT),
    start_anchor=_DEEPSEEK,
    special_tokens=_DEEPSEEK_TOKENS,
)
DEEPSEEK_V4 = AnswerFormat(
    fields=(
        _thinking(),
        _calls(
            open_pattern=r'<｜DSML｜invoke name="(?P<name>[^"<>\n]{1,256})">',
            close=("</｜DSML｜invoke>",),
            around=(
                *("<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>"),
                *("<｜DSML｜function_calls>", "</｜DSML｜function_calls>"),
            ),
            content="xml-inline",
            content_args=_tags(
                r'<｜DSML｜parameter name="(?P<key>[^"<>\n]{1,256})"(?: string="(?P<string>true|false)")?>'
                r"(?P<value>.*?)</｜DSML｜parameter>"
            ),
            transform=_NAMED,
        ),
        _CONTENT,
    ),
    start_anchor=_DEEPSEEK,
    special_tokens=("｜DSML｜",),
)
_KIMI_TOKENS = (
    *("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_begin|>"),
    *("<|tool_call_argument_begin|>", "<|tool_call_end|>"),
)
KIMI_K2 = AnswerFormat(
    fields=(
        _thinking(),
        _calls(
            open_pattern=(
                r"<\|tool_call_begin\|>\s{0,16}(?P<id>(?:functions\.)?(?P<name>[A-Za-z0-9_.\-]{1,256}):[0-9]{1,9})"
                r"\s{0,16}<\|tool_call_argument_begin\|>"
            ),
            close=("<|tool_call_end|>",),
            around=("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
            transform=_NAMED_AND_ID,
        ),
        _CONTENT,
    ),
    start_anchor=("<|im_assistant|>assistant<|im_middle|>",),
    special_tokens=_KIMI_TOKENS,
)
GLM_4 = AnswerFormat(
    fields=(
        _thinking(),
        _calls(
            open_pattern=rf"<tool_call>\s{{0,16}}{_NAME}\s{{0,16}}(?=<arg_key>|</tool_call>)",
            close=("</tool_call>",),
            content="xml-inline",
            content_args=_tags(
                r"<arg_key>(?P<key>[^<>\n]{1,256})</arg_key>\s{0,16}<arg_value>(?P<value>.*?)</arg_value>"
            ),
            transform=_NAMED,
        ),
        _CONTENT,
    ),
    start_anchor=("<|assistant|>",),
)
MINIMAX_M2 = AnswerFormat(
    fields=(
        _thinking(),
        _calls(
            open_pattern=r"""<invoke name=["']?(?P<name>[^"'<>\n]{1,256})["']?>""",
            close=("</invoke>",),
            around=("<minimax:tool_call>", "</minimax:tool_call>"),
            content="xml-inline",
            content_args=_tags(
                r"""<parameter name=["']?(?P<key>[^"'<>\n]{1,256})["']?>\n?(?P<value>.*?)\n?</parameter>"""
            ),
            transform=_NAMED,
        ),
        _CONTENT,
    ),
    start_anchor=("]~b]ai\n",),
)
GRANITE_3 = AnswerFormat(
    fields=(
        _thinking(),
        AnswerField(name="content", open=("<response>",), close=("</response>",)),
        _calls(open=("<|tool_call|>", "<tool_call>"), close=("</tool_call>",)),
        _CONTENT,
    ),
    start_anchor=(_GRANITE,),
    special_tokens=("<|tool_call|>",),
)
GRANITE_3_2 = AnswerFormat(
    fields=(
        _thinking("Here is my thought process:", "Here is my response:"),
        _calls(open=("<|tool_call|>", "<tool_call>"), close=("</tool_call>",)),
        _CONTENT,
    ),
    start_anchor=(_GRANITE,),
    special_tokens=("<|tool_call|>",),
)
PHI_4_MINI = AnswerFormat(
    fields=(
        _calls(open_pattern=r"functools\s{0,16}(?=\[)"),
        _calls(open="<|tool_call|>", close="<|/tool_call|>"),
        _CONTENT,
    ),
    start_anchor=("<|assistant|>",),
    special_tokens=("<|tool_call|>", "<|/tool_call|>"),
)
_COHERE_CALL = {
    "type": "function",
    "id": "{tool_call_id}",
    "function": {"name": "{tool_name}", "arguments": "{parameters}"},
}
_COHERE_START = "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
COMMAND_R = AnswerFormat(
    fields=(
        # The template puts a line between them, and the model often a space.
        _calls(
            open_pattern=r"Action:\s{0,16}```json", close="```", transform=_COHERE_CALL, transform_each=True
        ),
        _CONTENT,
    ),
    start_anchor=(_COHERE_START,),
)
COMMAND_A = AnswerFormat(
    fields=(
        _thinking("<|START_THINKING|>", "<|END_THINKING|>"),
        AnswerField(
            name="content",
            open=("<|START_RESPONSE|>", "<|START_TEXT|>"),
            close=("<|END_RESPONSE|>", "<|END_TEXT|>"),
        ),
        _calls(open="<|START_ACTION|>", close="<|END_ACTION|>", transform=_COHERE_CALL, transform_each=True),
        _CONTENT,
    ),
    start_anchor=(_COHERE_START,),
    special_tokens=(
        *("<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
        *("<|START_TEXT|>", "<|END_TEXT|>", "<|START_ACTION|>", "<|END_ACTION|>"),
    ),
)
GEMMA_4 = AnswerFormat(
    fields=(
        _thinking("<|channel>thought\n", "<channel|>"),
        _calls(
            open_pattern=rf"<\|tool_call>call:{_NAME}(?=\{{)",
            close=("<tool_call|>",),
            content_args={"unquoted_keys": True, "string_delims": [['<|"|>', '<|"|>']]},
            transform=_NAMED,
        ),
        _CONTENT,
    ),
    start_anchor=("<|turn>model\n", "<tool_response|>"),
    ignored=("<turn|>", "<|tool_response>", "<eos>"),
    special_tokens=("<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", '<|"|>'),
)
FUNCTION_GEMMA = AnswerFormat(
    fields=(
        _calls(
            open_pattern=rf"<start_function_call>call:{_NAME}(?=\{{)",
            close=("<end_function_call>",),
            content_args={"unquoted_keys": True, "string_delims": [["<escape>", "<escape>"]]},
            transform=_NAMED,
        ),
        _CONTENT,
    ),
    start_anchor=("<start_of_turn>model\n", "<end_function_response>"),
    ignored=("<start_function_response>",),
    special_tokens=("<start_function_call>", "<end_function_call>", "<escape>"),
)
_HEADER = r"[^<]{0,64}(?:<\|constrain\|>[^<]{0,64})?<\|message\|>"
GPT_OSS = AnswerFormat(
    fields=(
        AnswerField(
            name="thinking",
            open_pattern=rf"<\|channel\|>analysis(?! to=){_HEADER}",
            close=("<|end|>",),
            repeats=True,
        ),
        AnswerField(
            name="content",
            open_pattern=rf"<\|channel\|>(?:final|commentary)(?! to=){_HEADER}",
            close=("<|end|>", "<|return|>"),
            repeats=True,
        ),
        _calls(
            open_pattern=rf"<\|channel\|>(?:commentary|analysis) to=functions\.{_NAME}{_HEADER}",
            close=("<|call|>", "<|end|>"),
            transform=_NAMED,
        ),
        _calls(
            open_pattern=rf" ?to=functions\.{_NAME}<\|channel\|>(?:commentary|analysis){_HEADER}",
            close=("<|call|>", "<|end|>"),
            transform=_NAMED,
        ),
    ),
    start_anchor=("<|start|>assistant",),
    ignored=("<|start|>assistant", "<|end|>", "<|return|>", "<|call|>"),
    special_tokens=("<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|call|>"),
)

ANSWER_FORMATS: Mapping[str, AnswerFormat] = MappingProxyType(
    {
        "thinking": THINKING,
        "json": BARE_JSON,
        "hermes": HERMES,
        "falcon-3": FALCON_3,
        "qwen3-coder": QWEN_3_CODER,
        "seed-oss": SEED_OSS,
        "llama-3": LLAMA_3,
        "pythonic": PYTHONIC,
        "olmo-3": OLMO_3,
        "lfm2": LFM_2,
        "mistral": MISTRAL,
        "deepseek-v3": DEEPSEEK_V3,
        "deepseek-v4": DEEPSEEK_V4,
        "kimi-k2": KIMI_K2,
        "glm-4": GLM_4,
        "minimax-m2": MINIMAX_M2,
        "granite-3": GRANITE_3,
        "granite-3.2": GRANITE_3_2,
        "phi-4-mini": PHI_4_MINI,
        "command-r": COMMAND_R,
        "command-a": COMMAND_A,
        "gemma-4": GEMMA_4,
        "functiongemma": FUNCTION_GEMMA,
        "gpt-oss": GPT_OSS,
    }
)
"""The answer formats by name. Read-only."""


def answer_format(name: str) -> AnswerFormat:
    """Return the answer format of a family of models.

    Args:
        name: one of `ANSWER_FORMATS`; upper and lower case are the same.

    Raises:
        ConfigurationError: there is no such format; the message names similar ones.

    Example:
        >>> answer_format("kimi-k2").has_tool_calls
        True
    """
    if not isinstance(name, str):
        raise ConfigurationError(
            f"the name of an answer format must be a string, not {type(name).__name__}",
            parameter="answer_format",
        )
    found = ANSWER_FORMATS.get(name.strip().lower())
    if found is None:
        raise ConfigurationError(
            f"there is no answer format {name!r}: {did_you_mean(name.lower(), ANSWER_FORMATS)}"
            f"the formats are {listed(ANSWER_FORMATS, most=30)}",
            parameter="answer_format",
        )
    return found
