"""The same as transformers' own parser of ``response_template``, on what was recorded of it; and vLLM's fixtures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from core.generation.answer.account import read
from core.generation.answer.forms import TOOLS

from nupic_client.prompts import AnswerFormat, answer_format
from nupic_client.tools import Tool

HERE = Path(__file__).parent
RECORDED = json.loads((HERE / "transformers.json").read_text(encoding="utf-8"))
FORMATS = {name: AnswerFormat.from_template(template) for name, template in RECORDED["templates"].items()}
ANSWERS = RECORDED["answers"]
ANY_TOOL = (Tool("any"),)


def letters(text):
    """Return a text without its blanks, which are trimmed in other places here."""
    return "".join((text or "").split())


def calls_of(message):
    return [
        (call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ())
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_answers_are_read_as_transformers_reads_them(name):
    closes = tuple(end for field in FORMATS[name].fields if field.name == "tool_calls" for end in field.close)
    tried, has_rest = 0, any(field.is_rest for field in FORMATS[name].fields)
    for answer in ANSWERS:
        if answer["template"] != name:
            continue
        text, message = answer["text"], answer["message"]
        ours = read(FORMATS[name], [text], tools=ANY_TOOL)
        assert ours.account.replace(" " if name == "joined" else "\0", "") == text.replace(
            " " if name == "joined" else "\0", ""
        )
        assert read(FORMATS[name], text, tools=ANY_TOOL) == ours
        if message is None:  # an error there; here it is text
            continue
        tried += 1
        calls = [(call.name, json.loads(call.arguments)) for call in ours.calls]
        # A call that was cut off in its tags is none here, as it would lack arguments.
        theirs = calls_of(message)
        assert calls == theirs or (calls == theirs[:-1] and not text.rstrip().endswith(closes)), text
        if len(calls) < len(theirs):
            continue
        thinking = message.get("thinking", message.get("reasoning_content"))
        assert letters(ours.reasoning) == letters(thinking), text
        content = letters(message.get("content"))
        # Between the parts text is lost there, if no field is for the rest; here it is text.
        assert content == letters(ours.content) or (not has_rest and content in letters(ours.content)), text
    assert tried


def test_enough_was_recorded():
    assert len(ANSWERS) > 200
    assert sum(answer["message"] is None for answer in ANSWERS) < len(ANSWERS) / 2


# The forms that vLLM's test_format_conformance.py pins, one answer each; all of them call get_weather.
ONE = {"city": "SF"}
FIXTURES = {
    "hermes": (
        "hermes",
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "SF"}}\n</tool_call>',
        ONE,
    ),
    "pythonic": ("pythonic", '[get_weather(city="SF", units="metric")]', {"city": "SF", "units": "metric"}),
    "mistral": ("mistral", '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "SF"}}]', ONE),
    "mistral_v11": ("mistral", '[TOOL_CALLS]get_weather{"city": "SF"}', ONE),
    "qwen3_xml": (
        "qwen3-coder",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nSF\n</parameter>\n</function>\n</tool_call>",
        ONE,
    ),
    "kimi_k2": (
        "kimi-k2",
        (
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0\n"
            '<|tool_call_argument_begin|>{"city": "SF"}<|tool_call_end|><|tool_calls_section_end|>'
        ),
        ONE,
    ),
    "deepseek_v3": (
        "deepseek-v3",
        (
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n"
            '```json\n{"city": "SF"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
        ),
        ONE,
    ),
    "minimax_m2": (
        "minimax-m2",
        (
            '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">SF</parameter>\n</invoke>\n'
            "</minimax:tool_call>"
        ),
        ONE,
    ),
    "glm4_moe": (
        "glm-4",
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>SF</arg_value>\n</tool_call>",
        ONE,
    ),
    "deepseek_v4": (
        "deepseek-v4",
        (
            '<｜DSML｜tool_calls>\n<｜DSML｜invoke name="get_weather">\n'
            '<｜DSML｜parameter name="city" string="true">SF</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>'
        ),
        ONE,
    ),
    "qwen3_coder": (
        "qwen3-coder",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nSF\n</parameter>\n</function>\n</tool_call>",
        ONE,
    ),
}


@pytest.mark.parametrize("name", FIXTURES)
def test_the_forms_that_vllm_pins(name):
    format_name, text, arguments = FIXTURES[name]
    for pieces in ([text], text, [text[:20], text[20:]]):
        ours = read(answer_format(format_name), pieces, tools=TOOLS)
        assert [(call.name, call.parsed) for call in ours.calls] == [("get_weather", arguments)]
        assert (ours.content, ours.invalid, ours.account) == ("", (), text)


# What vLLM's tests of single families have besides.
CALL = '{"name": "f", "parameters": {"a": 1}}'
MORE = {
    "text around": ("llama-3", f"Here: {CALL} More?", ["f"], "Here: More?"),
    "semicolons": ("llama-3", f"{CALL};{CALL} ; {CALL}\n{CALL}", ["f"] * 4, ""),
    "a brace behind": ("llama-3", f"{CALL} I used {{f}}.", ["f"], "I used {f}."),
    "one more object": ("llama-3", f'{{"type": "function", "function": {CALL}}}', ["f"], ""),
    "no name": ("llama-3", '{"parameters": {}}', [], '{"parameters": {}}'),
    "no arguments": ("llama-3", '{"name": "f"}', [], '{"name": "f"}'),
    "an empty list": ("phi-4-mini", "functools[] This is text", [], "functools[] This is text"),
    "arguments first": ("granite-3", '<|tool_call|> [{"arguments": {"a": 1}, "name": "f"}]', ["f"], ""),
    "in backticks": ("granite-3", '<tool_call> [{"name": "f", "arguments": {}}]', ["f"], ""),
    "lines": ("olmo-3", "<function_calls>f(a='x')\ng(b=[1, None])</function_calls>", ["f", "g"], ""),
    "a blank": ("lfm2", "<|tool_call_start|> [f(a='1')]<|tool_call_end|>\nDone", ["f"], "Done"),
    "zeros": ("lfm2", "<|tool_call_start|>[f(month=07, day=05)]<|tool_call_end|>", ["f"], ""),
    "dots": ("lfm2", "<|tool_call_start|>[a.f(x={'k': 2})]<|tool_call_end|>", ["a.f"], ""),
    "many lines": ("lfm2", "<|tool_call_start|>[f(a='cat <<E\nx]\nE')]<|tool_call_end|>", ["f"], ""),
    "an empty block": (
        "lfm2",
        "<|tool_call_start|>[]<|tool_call_end|>",
        [],
        "<|tool_call_start|>[]<|tool_call_end|>",
    ),
    "escapes": (
        "functiongemma",
        "Hm. <start_function_call>call:f{a:<escape>b c<escape>}<end_function_call>",
        ["f"],
        "Hm.",
    ),
}


@pytest.mark.parametrize("name", MORE)
def test_more_of_what_models_write(name):
    format_name, text, names, content = MORE[name]
    ours = read(answer_format(format_name), [text], tools=TOOLS)
    assert [call.name for call in ours.calls] == names
    assert ours.content == content
    assert all(isinstance(call.parsed, dict) for call in ours.calls)
    assert read(answer_format(format_name), text, tools=TOOLS) == ours
