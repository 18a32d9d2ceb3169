"""Answer formats: the data, Hugging Face's ``response_template``, and the formats of the families."""

from __future__ import annotations

import json
import pickle
import re

import pytest

from nupic_client import ConfigurationError
from nupic_client.prompts import (
    ANSWER_FORMATS,
    FAMILIES,
    AnswerField,
    AnswerFormat,
    PromptFormatter,
    answer_format,
    formatter_for,
)

TEMPLATE = {
    "version": 1,
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "thinking": {"open": "<think>", "close": "</think>"},
        "tool_calls": {
            "open_pattern": r"<\|call\|>(?P<name>\w+)",
            "close": ["<|end_call|>", "<|stop|>"],
            "repeats": True,
            "content": "json",
            "content_args": {"unquoted_keys": True},
            "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}},
        },
        "content": {"close": "<|im_end|>", "content_args": {"strip": False}},
    },
}


def test_a_response_template():
    made = AnswerFormat.from_template(
        TEMPLATE, special_tokens=["<|call|>", "<|end_call|>", "<|other|>", "<|im_end|>"]
    )
    assert made.start_anchor == ("<|im_start|>assistant\n",)
    assert made.defaults == {"role": "assistant"}
    assert made.special_tokens == ("<|call|>", "<|end_call|>", "<|im_end|>")
    assert made.has_reasoning
    assert made.has_tool_calls
    thinking, calls, content = made.fields
    assert (thinking.name, thinking.open, thinking.close) == ("thinking", ("<think>",), ("</think>",))
    assert (calls.open_pattern, calls.close) == (r"<\|call\|>(?P<name>\w+)", ("<|end_call|>", "<|stop|>"))
    assert calls.content_args == {"unquoted_keys": True}
    assert content.is_rest
    assert made.ignored == ()


def test_without_a_field_for_the_rest_the_turn_may_open_again():
    template = {"start_anchor": ["<a>", "<b>"], "fields": {"content": {"open": "<c>"}}}
    assert AnswerFormat.from_template(template).ignored == ("<a>", "<b>")


def with_field(**values):
    return {"start_anchor": "<a>", "fields": {"tool_calls": values}}


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ([], "must be an object, not list"),
        ({**TEMPLATE, "version": 2}, "version must be 1, not 2"),
        ({**TEMPLATE, "feilds": {}}, "unknown key 'feilds': did you mean 'fields'"),
        ({**TEMPLATE, "fields": {}}, "at least one field"),
        ({**TEMPLATE, "fields": []}, "at least one field"),
        ({**TEMPLATE, "defaults": 1}, "defaults must be an object, not int"),
        ({"fields": TEMPLATE["fields"]}, "start_anchor or start_anchor_pattern"),
        ({**TEMPLATE, "start_anchor_pattern": "a"}, "start_anchor or start_anchor_pattern"),
        ({**TEMPLATE, "start_anchor": 5}, "start_anchor must be a string or a list of strings"),
        (
            {"start_anchor_pattern": "(", "fields": {"content": {}}},
            "start_anchor_pattern is no regular expression",
        ),
        (
            {"start_anchor": "a", "fields": {"content": {}, "thinking": {}}},
            "only one field may lack an open string",
        ),
        ({"start_anchor": "a", "fields": {"content": "text"}}, "field content must be an object, not str"),
        (with_field(opened="<x>"), "unknown key 'opened': did you mean 'open'"),
        (with_field(open=[]), "at least one string"),
        (with_field(open=[""]), "strings that are not empty"),
        (with_field(open={"a": 1}), "strings that are not empty"),
        (with_field(open="<x>", open_pattern="y"), "open or open_pattern, not both"),
        (with_field(open_pattern="("), "open_pattern is no regular expression"),
        (with_field(open_pattern=5), "open_pattern must be a regular expression, not int"),
        (with_field(open="<x>", content="jsn"), "content 'jsn' is unknown: did you mean 'json'"),
        (with_field(open="<x>", content=["json"]), "is unknown"),
        (with_field(open="<x>", content_args=[]), "content_args must be an object, not list"),
        (with_field(open="<x>", content="xml-inline"), "named groups key and value"),
        (
            with_field(open="<x>", content="xml-inline", content_args={"tag_pattern": "("}),
            "no regular expression",
        ),
        (with_field(open="<x>", join="", repeats=False), "join needs repeats"),
        (with_field(open="<x>", join=5, repeats=True), "join must be a string, not int"),
        (with_field(open="<x>", repeats=1), "repeats must be True or False, not 1"),
        (with_field(open="<x>", transform_each=True), "transform_each needs a transform"),
        (with_field(open_pattern="(?P<name>x)"), "no transform that uses them"),
        (with_field(open="<x>", transform={"name": ["a {content}"]}), "placeholders that stand alone"),
    ],
)
def test_what_is_wrong_is_said(template, words):
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        AnswerFormat.from_template(template)


def test_formats_are_checked_too():
    with pytest.raises(ConfigurationError, match="at least one field"):
        AnswerFormat(fields=())
    with pytest.raises(ConfigurationError, match="must be an AnswerField, not dict"):
        AnswerFormat(fields=({},))
    with pytest.raises(ConfigurationError, match="not both"):
        AnswerFormat(fields=(AnswerField(name="content"),), start_anchor="a", start_anchor_pattern="b")


def test_formats_are_values():
    for answer in ANSWER_FORMATS.values():
        again = pickle.loads(pickle.dumps(answer))
        assert again == answer
        assert hash(again) == hash(answer)
    args = {"strip": False}
    field = AnswerField(name="content", content_args=args)
    args["strip"] = True
    assert field.content_args == {"strip": False}


def test_formats_have_names():
    assert answer_format(" Kimi-K2 ") is ANSWER_FORMATS["kimi-k2"]
    with pytest.raises(ConfigurationError, match="no answer format 'kimi': did you mean 'kimi-k2'"):
        answer_format("kimi")
    with pytest.raises(ConfigurationError, match="must be a string, not int"):
        answer_format(3)


@pytest.mark.parametrize("name", ANSWER_FORMATS)
def test_special_tokens_are_in_the_anchors(name):
    answer = ANSWER_FORMATS[name]
    source = repr(
        [
            (field.open, field.close, field.open_pattern, field.around, field.content_args)
            for field in answer.fields
        ]
    )
    plain = source.replace("\\", "") + "".join((*answer.ignored, *answer.start_anchor))
    for token in answer.special_tokens:
        assert token in plain


@pytest.mark.parametrize(
    "name",
    ["chatml", "smollm2", "qwen2.5", "qwen3", "llama3.1", "llama3.2", "llama3.3", "mistral-v0.3", "mistral-nemo",
     "mistral-large", "mistral-v7-tekken", "deepseek-v3", "deepseek-r1", "command-r", "granite-3.0", "granite-3.1",
     "granite-3.3", "phi-4-mini"],
)  # fmt: skip
def test_families_know_their_answers(name):
    formatter = formatter_for(name)
    assert formatter.answer.has_tool_calls
    prompt = formatter("Hello")
    assert any(prompt.endswith((anchor, f"{anchor}<think>\n")) for anchor in formatter.answer.start_anchor)
    assert pickle.loads(pickle.dumps(formatter)).answer == formatter.answer


def test_families_without_tools_have_text_only():
    assert formatter_for("llama2").answer is None
    assert sum(formatter.answer is None for formatter in FAMILIES.values()) > 10


def test_another_answer():
    formatter = formatter_for("chatml").with_answer("qwen3-coder")
    assert formatter.answer is ANSWER_FORMATS["qwen3-coder"]
    assert formatter.with_answer(None).answer is None
    assert formatter.with_answer(ANSWER_FORMATS["lfm2"]).answer is ANSWER_FORMATS["lfm2"]
    assert formatter_for("chatml").answer is ANSWER_FORMATS["hermes"]
    with pytest.raises(ConfigurationError, match="no answer format 'qwen3-coderr'"):
        formatter.with_answer("qwen3-coderr")
    with pytest.raises(ConfigurationError, match="must be an AnswerFormat or the name of one, not dict"):
        formatter.with_answer({})


def test_a_tokenizers_configuration(tmp_path):
    pytest.importorskip("jinja2")
    config = {
        "chat_template": "{{ messages[0].content }}",
        "eos_token": "<|im_end|>",
        "added_tokens_decoder": {
            "1": {"content": "<|call|>", "special": True},
            "2": {"content": "<think>", "special": False},
        },
        "response_schema": {"type": "object"},
    }
    assert PromptFormatter.from_tokenizer_config(config).answer is None
    config["response_template"] = TEMPLATE
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    answer = PromptFormatter.from_tokenizer_config(tmp_path).answer
    assert answer == AnswerFormat.from_template(TEMPLATE, special_tokens=["<|call|>", "<|im_end|>"])
    assert answer.special_tokens == ("<|call|>", "<|im_end|>")
    config["response_template"] = {**TEMPLATE, "version": 9}
    with pytest.raises(ConfigurationError, match="response_template: its version must be 1, not 9"):
        PromptFormatter.from_tokenizer_config(config)
