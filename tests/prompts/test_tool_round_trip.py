"""A call that a family writes into a prompt is read as the same call where it stands in an answer."""

import json

import pytest

from nupic_client import Message, ToolCall, user
from nupic_client._core.generation.answer import AnswerParser
from nupic_client.prompts import FAMILIES
from nupic_client.tools import to_tools

WITH_TOOLS = [name for name, formatter in FAMILIES.items() if formatter._family.tools is not None]
TOOLS = to_tools(
    [
        {
            "name": "weather",
            "description": "Tell the weather.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "A city"},
                    "days": {"type": "array", "description": "Days", "items": {"type": "integer"}},
                },
            },
        }
    ]
)
ARGUMENTS = [{"city": 'Paris "x" é', "days": [1, 2]}, {"city": "</a>\n```\\ {}"}]


def written(formatter, message):
    """Return the answer that a message is: what stands between the user's turn and the end of an answer."""
    family = formatter._family
    prompt = formatter([user("Weather?"), message], tools=TOOLS, add_generation_prompt=False)
    answer = prompt.partition("Weather?")[2].removeprefix(family.user.after)
    for opening in (family.generation, "<｜Assistant｜>"):
        answer = answer.removeprefix(opening)
    ends = [answer.index(token) for token in (*formatter.stop, "<|START_OF_TURN_TOKEN|>") if token in answer]
    return answer[: min(ends, default=len(answer))]


def read(formatter, prompt, answer):
    parser = AnswerParser(formatter.answer, prompt=prompt, tools=TOOLS, new_id=lambda index: f"call_{index}")
    text = "".join(
        part for part in (*parser.feed(answer), *parser.finish(cut=False)) if isinstance(part, str)
    )
    return parser.tool_calls, text


# Falcon 3's template shows the model one form of calls, and writes them back in another, OpenAI's.
@pytest.mark.parametrize("number", [1, 2], ids=["one call", "two calls"])
@pytest.mark.parametrize("family", [name for name in WITH_TOOLS if name != "falcon3"])
def test_calls_are_read_as_they_are_written(family, number):
    formatter = FAMILIES[family]
    if number > 1 and formatter._family.tools.calls.most == 1:
        pytest.skip("one call in a message")
    calls = tuple(
        ToolCall(f"abcdefgh{index}", "weather", json.dumps(arguments, ensure_ascii=False))
        for index, arguments in enumerate(ARGUMENTS[:number])
    )
    answer = written(formatter, Message("assistant", tool_calls=calls))
    # R1's prompt opens the reasoning, which the answer then has to close.
    prompt = formatter("Weather?", tools=TOOLS)
    closed = "</think>" if prompt.endswith("<think>\n") else ""
    found, text = read(formatter, prompt, closed + answer)
    assert [(call.name, call.parsed) for call in found] == [("weather", each) for each in ARGUMENTS[:number]]
    assert not text.strip()


@pytest.mark.parametrize("family", WITH_TOOLS)
def test_an_answer_after_a_result_is_text(family):
    formatter = FAMILIES[family]
    call = Message("assistant", tool_calls=(ToolCall("abcdefghi", "weather", "{}"),))
    prompt = formatter(
        [user("Weather?"), call, Message("tool", "sun", tool_call_id="abcdefghi")], tools=TOOLS
    )
    assert read(formatter, prompt, "It is sunny.") == ((), "It is sunny.") or prompt.endswith("<think>\n")


def test_falcon_3_is_read_in_the_form_that_it_is_shown():
    formatter = FAMILIES["falcon3"]
    prompt = formatter("Weather?", tools=TOOLS)
    answer = '<tool_call>\n[\n  {"name": "weather", "arguments": {"city": "Rome"}}\n]\n</tool_call>'
    assert '<tool_call>\n[\n  {"name": ' in prompt
    assert [call.parsed for call in read(formatter, prompt, answer)[0]] == [{"city": "Rome"}]
