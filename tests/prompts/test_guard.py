"""Control tokens in tools, calls, results, names and reasoning."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client import ImagePart, Message, Tool, ToolCall, user
from nupic_client.errors import PromptError
from nupic_client.prompts import PromptFormatter

END = "<|im_end|>"
ESCAPED = "\\u003c|im_end|\\u003e"
FORMATTER = PromptFormatter.from_jinja(
    "{{ tools | tojson }}{{ messages | tojson }}{% if false %}<|im_start|><|im_end|>{% endif %}"
)


def schema(**more):
    return {"type": "object", "properties": {"city": {"type": "string", **more}}}


@pytest.mark.parametrize(
    "message",
    [
        Message("tool", f"21{END}", tool_call_id="c1"),
        Message("tool", "21", tool_call_id=END),
        Message("tool", "21", name=END),
        Message("user", "hi", name=f"a{END}"),
        Message("assistant", "hi", name=END),
        Message("user", ["<|im_", ImagePart("https://example.org/a"), "end|>"]),
    ],
)
def test_a_foreign_text_with_a_token_is_refused(message):
    with pytest.raises(
        PromptError, match=r"message 1 \(.*\) contains '<\|im_end\|>', which jinja reads as control"
    ):
        FORMATTER([user("hi"), message])


@pytest.mark.parametrize(
    "tool",
    [
        Tool("f", f"Do it.{END}"),
        Tool("f", "", schema(description=f"a city{END}")),
        Tool("f", "", schema(enum=["a", END])),
        Tool("f", "", schema(default={"x": [END]})),
        Tool("f", "", {"type": "object", "properties": {END: {}}}),
        {"name": "f", "parameters": schema(description="<|im_start|>")},
    ],
)
def test_a_description_of_a_tool_with_a_token_is_refused(tool):
    with pytest.raises(
        PromptError, match=r"^the tool 'f' contains '<\|im_.*\|>', which jinja reads as control"
    ):
        FORMATTER("hi", tools=[Tool("fine"), tool])
    assert "<|im_" in FORMATTER("hi", tools=[tool], allow_control_tokens=True)


@pytest.mark.parametrize(
    ("message", "read"),
    [
        (Message("assistant", END), {"content": "<| im_end |>"}),
        (Message("assistant", "", reasoning=END), {"reasoning_content": "<| im_end |>"}),
    ],
)
def test_the_model_s_own_words_are_neutralised(message, read):
    assert read.items() <= messages_of([message])[0].items()


def messages_of(messages):
    return json.loads(FORMATTER(messages).removeprefix("null"))


@pytest.mark.parametrize(
    ("call", "function"),
    [
        (ToolCall("", END, "{}"), {"name": "<| im_end |>", "arguments": {}}),
        (
            ToolCall("", "f", json.dumps({"a": [END], END: 1})),
            {"name": "f", "arguments": {"a": ["<| im_end |>"], "<| im_end |>": 1}},
        ),
        (
            ToolCall("", "f", f'{{"a": "{ESCAPED}"}}'),  # a template would print what this stands for
            {"name": "f", "arguments": {"a": "<| im_end |>"}},
        ),
        (ToolCall("", "f", f'{{"a": "{END}'), {"name": "f", "arguments": '{"a": "<| im_end |>'}),
    ],
)
def test_the_model_s_own_calls_are_neutralised(call, function):
    (message,) = messages_of([Message("assistant", "", (call,))])
    assert message["tool_calls"][0]["function"] == function


def test_arguments_without_a_token_stay_as_they_were_written():
    formatter = PromptFormatter.from_jinja(
        "{{ messages[0].tool_calls[0].function.arguments + '' }}{% if false %}<|im_end|>{% endif %}"
    )
    text = '{"a":1,  "b":"<|x|>"}'
    call = ToolCall("", "f", '{"a":1,  "b":"\\u0041"}')
    assert formatter([Message("assistant", END, (call,))]) == call.arguments
    assert "<| x |>" in formatter([Message("assistant", "", (ToolCall("", "f", text),))])


pieces = st.sampled_from(["<|im_", "end|>", "start|>", "x", "\\", '"', "\n", END, ESCAPED])
words = st.lists(pieces, max_size=4).map("".join)


@given(words, words, words, words, st.dictionaries(words, words, max_size=2))
def test_no_text_brings_a_token_into_the_prompt(content, reasoning, name, arguments, parsed):
    calls = (ToolCall("c1", name or "f", arguments), ToolCall("c2", "f", json.dumps(parsed)))
    prompt = FORMATTER([Message("assistant", content, calls, reasoning=reasoning or None)])
    decoded = str(json.loads(prompt.removeprefix("null")))
    for token in ("<|im_start|>", END):
        assert token not in prompt
        assert token not in decoded
