"""The parser of answers: every family's form, in any pieces, cut anywhere; nothing is lost, and nothing is an error."""

from __future__ import annotations

import json
import random

import pytest
from core.generation.answer.account import read
from core.generation.answer.forms import FORMS, MATRIX, TOOLS, WEATHER, cases_of
from hypothesis import given, settings
from hypothesis import strategies as st

from nupic_client._core.generation.answer import AnswerParser
from nupic_client._core.generation.answer.calls import MAX_ARGUMENTS, MAX_CALLS
from nupic_client.prompts import ANSWER_FORMATS, AnswerField, AnswerFormat, answer_format
from nupic_client.results import ReasoningDelta, ToolArguments, ToolCallStarted
from nupic_client.tools import Tool, ToolCall

HERMES = answer_format("hermes")
BY_FORM = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)


def groupings(text, count, seed):
    """Cut a text into pieces of random lengths, again and again."""
    chance = random.Random(seed)
    for _ in range(count):
        most = chance.choice((2, 5, 12, 40))
        pieces, place = [], 0
        while place < len(text):
            end = place + chance.randint(1, most)
            pieces.append(text[place:end])
            place = end
        yield pieces


def places(text, case):
    """Return every place in a text; in the longest answers, whose anchors the others have too, every third."""
    return range(1, len(text), 3 if case.name.startswith(("types", "escapes")) else 1)


# The matrix


@pytest.mark.parametrize(("form", "case"), MATRIX, ids=[f"{form.name}-{case.name}" for form, case in MATRIX])
def test_the_matrix(form, case):
    text = case.text
    whole = read(form.format, [text], tools=TOOLS)
    assert whole.account == text
    if case.calls is not None:
        assert [(call.name, json.loads(call.arguments)) for call in whole.calls] == list(case.calls)
        assert (whole.content, whole.reasoning) == (case.content, case.reasoning)
        assert not whole.invalid
    assert read(form.format, text, tools=TOOLS) == whole
    for pieces in groupings(text, 100 if case.name.startswith("parallel") else 10, seed=len(text)):
        assert read(form.format, pieces, tools=TOOLS) == whole
    for place in places(text, case):
        assert read(form.format, [text[:place], text[place:]], tools=TOOLS) == whole


@BY_FORM
def test_an_answer_may_be_cut_anywhere(form):
    for case in cases_of(form):
        whole = read(form.format, [case.text], tools=TOOLS)
        for place in places(case.text, case):
            part = read(form.format, [case.text[:place]], tools=TOOLS, cut=True)
            assert part.account == case.text[:place]
            assert part.calls == whole.calls[: len(part.calls)]  # whole calls only


@pytest.mark.parametrize(
    "form", [form for form in FORMS if form.format_name != "gpt-oss"], ids=lambda form: form.name
)
def test_without_tools_a_call_is_text(form):
    text = form.write([WEATHER])
    bare = AnswerFormat(
        fields=form.format.fields,
        start_anchor=form.format.start_anchor,
        special_tokens=form.format.special_tokens,
    )
    read_text = read(bare, [text])
    assert (read_text.content, read_text.calls, read_text.invalid) == (text, (), ())


# Nothing is lost


def fragments(answer):
    texts = []
    for field in answer.fields:
        texts += [*field.open, *field.close, *field.around]
    texts += answer.ignored
    texts += [form.write([WEATHER]) for form in FORMS if form.format == answer]
    return [*texts, *(text[: len(text) // 2] for text in texts), *(text[len(text) // 2 :] for text in texts)]


SIGNS = [
    '{"name": "f"',
    '"arguments": {',
    "}",
    "[",
    "]",
    '"',
    "\\",
    "\n",
    " ",
    ",",
    ";",
    "a",
    "<",
    ">",
    "[f(a=1)]",
    "'",
    "é",
    "</",
]


@st.composite
def answers(draw):
    name = draw(st.sampled_from(sorted(ANSWER_FORMATS)))
    answer = ANSWER_FORMATS[name]
    text = "".join(draw(st.lists(st.sampled_from([*fragments(answer), *SIGNS]), max_size=8)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return answer, text, pieces


@settings(max_examples=400, deadline=None)
@given(answers(), st.booleans(), st.booleans())
def test_nothing_is_lost_and_the_pieces_do_not_matter(answer, cut, with_tools):
    format_, text, pieces = answer
    tools = TOOLS if with_tools else ()
    whole = read(format_, [text], tools=tools, cut=cut)
    assert whole.account == text
    assert read(format_, pieces, tools=tools, cut=cut) == whole
    assert read(format_, text, tools=tools, cut=cut) == whole
    for call in whole.calls:
        assert isinstance(json.loads(call.arguments), dict)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(ANSWER_FORMATS)), st.text(max_size=60))
def test_a_plain_text_stays_as_it_is(name, text):
    whole = read(ANSWER_FORMATS[name], text, tools=TOOLS)
    assert whole.account == text
    if not set("<[{") & set(text):
        assert whole.content == text


# What the events say


def parts_of(text, answer=HERMES, *, tools=TOOLS, prompt="", cut=False, size=1):
    parser = AnswerParser(answer, prompt=prompt, tools=tools, new_id=lambda index: f"call_{index}")
    parts = []
    for place in range(0, len(text), size):
        parts += parser.feed(text[place : place + size])
    return parts + parser.finish(cut=cut), parser


def test_arguments_are_told_as_they_come():
    text = '<tool_call>{"name": "get_weather", "arguments": {"city": "Tok'
    parts, parser = parts_of(text, cut=True)
    assert ToolCallStarted(0, "call_0", "get_weather") in parts
    assert "".join(part.json_delta for part in parts if isinstance(part, ToolArguments)) == '{"city": "Tok'
    assert parser.tool_calls == ()
    assert parser.invalid_tool_calls == (text,)
    assert "".join(part for part in parts if isinstance(part, str)) == text


def test_arguments_are_the_models_own_text():
    arguments = '{ "a":1.50,"b" : "\\u00e9" ,"c":1e3}'
    _, parser = parts_of(f'<tool_call>{{"name":"f","arguments":{arguments}}}</tool_call>')
    assert parser.tool_calls == (ToolCall("call_0", "f", arguments),)


def test_arguments_may_come_before_the_name():
    parts, _ = parts_of('<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>')
    assert parts == [
        ToolCallStarted(0, "call_0", "f"),
        ToolArguments(0, '{"a": 1}'),
        ToolCall("call_0", "f", '{"a": 1}'),
    ]


def test_arguments_may_be_a_text_with_json_in_it():
    _, parser = parts_of('<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>')
    assert parser.tool_calls[0].arguments == '{"a": 1}'
    _, parser = parts_of('<tool_call>{"name": "f", "arguments": "no"}</tool_call>')
    assert parser.tool_calls == ()


def test_a_call_without_arguments_has_none():
    _, parser = parts_of(
        '<tool_call>{"name": "refresh"}</tool_call><tool_call>{"name": "f", "arguments": null}</tool_call>'
    )
    assert [call.arguments for call in parser.tool_calls] == ["{}", "{}"]


def test_the_end_of_a_call_in_a_string_is_no_end():
    _, parser = parts_of('<tool_call>{"name": "f", "arguments": {"a": "</tool_call>"}}</tool_call>!')
    assert parser.tool_calls[0].parsed == {"a": "</tool_call>"}


def test_a_call_after_an_invalid_one_is_read():
    parts, parser = parts_of('<tool_call>{no}</tool_call>\n<tool_call>{"name": "f"}</tool_call>')
    assert parser.invalid_tool_calls == ("<tool_call>{no}</tool_call>",)
    assert parser.tool_calls == (ToolCall("call_0", "f", "{}"),)
    assert "".join(part for part in parts if isinstance(part, str)) == "<tool_call>{no}</tool_call>"


def test_the_number_of_an_abandoned_call_is_not_used_again():
    parts, parser = parts_of(
        '<tool_call>{"name": "f", "arguments": {"a": !</tool_call><tool_call>{"name": "g", "arguments": {}}</tool_call>'
    )
    assert [part.index for part in parts if isinstance(part, ToolCallStarted)] == [0, 1]
    assert [call.id for call in parser.tool_calls] == ["call_1"]


def test_unknown_names_are_passed_on():
    _, parser = parts_of('<tool_call>{"name": "no_such_tool", "arguments": {}}</tool_call>')
    assert parser.tool_calls[0].name == "no_such_tool"


def test_an_answer_in_json_that_is_no_call_is_text():
    for text in (
        '{"city": "Tokyo", "people": 37000000}',
        '{"name": "Tokyo", "people": 1}',
        '[{"name": "Tokyo"}]',
    ):
        for name in ("llama-3", "json"):
            parts, parser = parts_of(text, answer_format(name))
            assert "".join(part for part in parts if isinstance(part, str)) == text
            assert parser.tool_calls == parser.invalid_tool_calls == ()


def test_text_between_calls_keeps_its_blanks():
    call = '<tool_call>{"name": "f"}</tool_call>'
    parts, _ = parts_of(f"One.\n{call}\nTwo.\n\n{call}\n")
    assert "".join(part for part in parts if isinstance(part, str)) == "One.\nTwo."


def test_a_leading_blank_stays_where_no_anchor_is():
    parts, _ = parts_of(" Hello \n", size=3)
    assert "".join(part for part in parts if isinstance(part, str)) == " Hello \n"


def test_the_last_thought_may_have_no_end():
    parts, parser = parts_of("<think>because", cut=True)
    assert parser.reasoning == "because"
    assert all(isinstance(part, ReasoningDelta) for part in parts)


def test_the_models_own_ids():
    kimi = next(form for form in FORMS if form.name == "kimi-k2")
    _, parser = parts_of(kimi.write([WEATHER, WEATHER]), kimi.format)
    assert [call.id for call in parser.tool_calls] == ["functions.get_weather:0", "functions.get_weather:1"]
    twice = '<tool_call>[{"id": "a", "name": "f", "arguments": {}}, {"id": "a", "name": "f", "arguments": {}}]</tool_call>'
    _, parser = parts_of(twice)
    assert [call.id for call in parser.tool_calls] == ["a", "call_1"]


def test_tags_get_the_types_of_the_schema():
    coder = next(form for form in FORMS if form.name == "qwen3-coder")
    tool = Tool(
        "f",
        "",
        {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": ["integer", "null"]}}},
    )
    _, parser = parts_of(
        coder.write([("f", {"a": "1.50", "b": "007", "c": "null", "d": "x"})]), coder.format, tools=[tool]
    )
    assert parser.tool_calls[0].parsed == {"a": "1.50", "b": 7, "c": None, "d": "x"}


# The prompt


@pytest.mark.parametrize(
    ("tail", "text", "content", "reasoning"),
    [
        ("<think>\n", "Hm.\n</think>\n\nHi", "Hi", "Hm."),
        ("<think>\n\n</think>\n\n", "Hi", "Hi", ""),
        ("", "<think>\nHm.\n</think>\n\nHi", "Hi", "Hm."),
        ("The answer is ", "42", "42", ""),
        ("Well <", "3", "3", ""),
        ("<thi", "nk>Hm.</think>Hi", "Hi", "Hm."),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_the_prompt_may_begin_the_answer(tail, text, content, reasoning, size):
    prompt = f"<|im_start|>assistant\n<think>old<|im_end|>\n<|im_start|>assistant\n{tail}"
    parts, parser = parts_of(text, prompt=prompt, size=size)
    assert "".join(part for part in parts if isinstance(part, str)) == content
    assert parser.reasoning == reasoning


def test_a_prompt_without_the_assistants_turn_may_still_open_the_reasoning():
    _, parser = parts_of("Hm.</think>Hi", prompt="### Answer:\n<think>\n")
    assert parser.reasoning == "Hm."
    _, parser = parts_of("Hi", prompt="What does <think> mean?")
    assert parser.reasoning == ""


def test_a_call_that_the_prompt_began():
    prompt = '<|im_start|>assistant\n<tool_call>\n{"name": "get_weather", "arguments": {"ci'
    parts, parser = parts_of('ty": "Rome"}}\n</tool_call>', prompt=prompt)
    assert parts[:2] == [ToolCallStarted(0, "call_0", "get_weather"), ToolArguments(0, '{"ci')]
    assert parser.tool_calls == (ToolCall("call_0", "get_weather", '{"city": "Rome"}'),)


# Bounds


def test_calls_have_a_number():
    call = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    whole = read(HERMES, [call * (MAX_CALLS + 2)], tools=TOOLS)
    assert len(whole.calls) == MAX_CALLS
    assert whole.content == call * 2
    assert len(whole.invalid) == 2


@BY_FORM
def test_too_many_calls_are_text_in_every_form(form):
    text = form.write([WEATHER]) * (MAX_CALLS + 3)
    whole = read(form.format, [text], tools=TOOLS)
    assert len(whole.calls) <= MAX_CALLS
    assert whole.account == text
    assert read(form.format, [text[:5000], text[5000:]], tools=TOOLS) == whole


@pytest.mark.parametrize("form", [FORMS[0], FORMS[2]], ids=lambda form: form.name)
def test_arguments_have_a_length(form):
    text = form.write([("f", {"a": "x" * (MAX_ARGUMENTS + 70_000)})])
    whole = read(
        form.format, [text[place : place + 9999] for place in range(0, len(text), 9999)], tools=TOOLS
    )
    assert whole.calls == ()
    assert whole.account == text
    assert len(whole.invalid) == 1


def test_arguments_have_a_depth():
    for depth, calls in ((50, 1), (70, 0)):
        text = f'<tool_call>{{"name": "f", "arguments": {{"a": {"[" * depth}{"]" * depth}}}}}</tool_call>'
        assert len(read(HERMES, [text], tools=TOOLS).calls) == calls
        pythonic = f"<|tool_call_start|>[f(a={'[' * depth}{']' * depth})]<|tool_call_end|>"
        assert len(read(answer_format("lfm2"), [pythonic], tools=TOOLS).calls) == calls


def test_a_number_has_a_length():
    text = f'<tool_call>{{"name": "f", "arguments": {{"a": {"1" * 5000}}}}}</tool_call>'
    assert read(HERMES, [text], tools=TOOLS).calls == ()


@BY_FORM
def test_work_grows_with_the_text_only(form, monkeypatch):
    """The characters that the parser looks at are a small multiple of those that came in."""
    from nupic_client._core.generation.answer import anchors  # noqa: PLC0415

    seen = 0

    def counting(method):
        def find(self, text, position, **options):
            nonlocal seen
            seen += len(text) - position
            return method(self, text, position, **options)

        return find

    for kind in (anchors.Literals, anchors.Pattern):
        monkeypatch.setattr(kind, "find", counting(kind.find))
    counts = []
    for size in (1000, 4000):
        seen = 0
        text = form.write([("f", {"a": "some words " * (size // 11)})])
        pieces = [text[place : place + 7] for place in range(0, len(text), 7)]
        read(form.format, pieces, tools=TOOLS)
        counts.append(seen / len(text))
    assert counts[1] < counts[0] * 1.5 + 20


def test_a_form_of_nothing_ends():
    """Anchors that match nothing do not stop the parser."""
    odd = AnswerFormat(
        fields=[
            AnswerField(name="thinking", open_pattern=r"(?:^|<think>\s*)", close_pattern=r"\Z|</think>"),
            AnswerField(name="content", close_pattern=r"\Z"),
        ]
    )
    for text in ("", "a", "a</think>b"):
        whole = read(odd, text)
        assert whole.account == text
        assert read(odd, [text]) == whole
