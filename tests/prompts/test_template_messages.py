"""What templates are given: messages in Hugging Face's form, and tools."""

import json

import pytest

from nupic_client import ImagePart, Message, Tool, ToolCall, assistant, system, user
from nupic_client.errors import PromptError
from nupic_client.prompts import FAMILIES, PromptFormatter, formatter_for

CALL = ToolCall("c1", "weather", '{"city": "Paris", "days": 2}')
LOOP = [
    system("Be brief."),
    user("Weather?"),
    Message("assistant", "", (CALL,), reasoning="I look."),
    Message("tool", "21 °C", tool_call_id="c1", name="weather"),
]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
IMAGE = ImagePart(b"\x89PNG\r\n\x1a\n" + bytes(8))
DUMP = "{{ messages | tojson }}{# tools #}"


def dumped(messages, template=DUMP, **options):
    return json.loads(PromptFormatter.from_jinja(template)(messages, **options))


def test_a_template_gets_every_key_in_hugging_face_s_form():
    assert dumped(LOOP) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "I look.",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": {"city": "Paris", "days": 2}},
                }
            ],
        },
        {"role": "tool", "content": "21 °C", "tool_call_id": "c1", "name": "weather"},
    ]


def test_messages_as_openai_writes_them_are_the_same():
    assert dumped([message.as_dict() for message in LOOP]) == dumped(LOOP)


def test_arguments_that_are_no_object_stay_a_text():
    (message,) = dumped([Message("assistant", "", (ToolCall("", "f", '{"a":'),))])
    assert message["tool_calls"] == [{"type": "function", "function": {"name": "f", "arguments": '{"a":'}}]


def test_a_template_that_joins_arguments_gets_them_as_a_text():
    template = (
        "{% for m in messages if m.tool_calls %}{% for c in m.tool_calls %}"
        "{{ c['function']['name'] + '\n' + c['function']['arguments'] }}{% endfor %}{% endfor %}"
    )
    assert PromptFormatter.from_jinja(template)(LOOP) == 'weather\n{"city": "Paris", "days": 2}'
    with pytest.raises(PromptError, match="TypeError"):
        PromptFormatter.from_jinja("{{ 1 + 'a' }}")(LOOP)


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("", "reasoning_content"),
        ("{{ messages[0].thinking }}", "thinking"),
        ("{{ messages[0]['thinking'] }}", "thinking"),
        ("{{ messages[0].reasoning }}", "reasoning"),
        ("{{ messages[0].reasoning_content or messages[0].thinking }}", "reasoning_content"),
        ("{{ enable_thinking }}", "reasoning_content"),
    ],
)
def test_reasoning_has_the_name_that_the_template_reads(source, key):
    (message,) = dumped(
        [Message("assistant", "Hi", reasoning="Hm.")], f"{DUMP}{{% if false %}}{source}{{% endif %}}"
    )
    assert message == {"role": "assistant", "content": "Hi", key: "Hm."}


@pytest.mark.parametrize("test", ["m['content'] is none", "m.content is not none", 'm["content"] is none'])
def test_a_template_that_looks_for_no_content_finds_none(test):
    template = f"{{% for m in messages if {test} %}}{{% endfor %}}{{{{ messages | tojson }}}}"
    assert dumped([Message("assistant", "", (CALL,))], template)[0]["content"] is None
    assert dumped([Message("assistant", "Wait.", (CALL,)), assistant("")], template)[1]["content"] == ""
    other = template.replace("content", "reasoning_content")
    assert dumped([Message("assistant", "", (CALL,))], other)[0]["content"] == ""


PARTS = "{% for p in m.content %}{{ p['text'] if p.type == 'text' else '<image>' }}{% endfor %}"
LISTS = f"{{% for m in messages %}}{PARTS}{{% endfor %}}"
BOTH = (
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
    f"{PARTS}{{% endif %}}{{% endfor %}}"
)


@pytest.mark.parametrize("template", [LISTS, BOTH])
def test_contents_with_images_are_lists_of_parts(template):
    formatter = PromptFormatter.from_jinja(template)
    assert formatter([system("Look. "), user(["a", IMAGE, "b"])]) == "Look. a<image>b"
    assert formatter("just text") == "just text"
    assert dumped([user(["a", IMAGE])], DUMP + "{# image #}")[0]["content"] == [
        {"type": "text", "text": "a"},
        {"type": "image"},
    ]


def test_a_template_without_images():
    with pytest.raises(
        PromptError, match=r"message 1 \(user\) has an image, but the chat template has no place"
    ):
        PromptFormatter.from_jinja(DUMP)([system(""), user([IMAGE])])


def test_tools_are_schemas():
    template = "{{ tools | tojson }}"

    def now(zone: str = "UTC") -> str:
        """Tell the time."""

    formatter = PromptFormatter.from_jinja(template)
    assert json.loads(formatter("hi", tools=[TOOL, now])) == [TOOL, Tool.of(now).as_dict()]
    assert formatter("hi", tools=[TOOL]) == json.dumps([TOOL])  # the order of keys too
    for none in (None, [], ()):
        assert formatter("hi", tools=none) == "null"


def test_a_template_without_tools():
    with pytest.raises(PromptError, match="the chat template of mine has no place for them"):
        PromptFormatter.from_jinja("{{ messages }}", family="mine")("hi", tools=[TOOL])


WITHOUT_TOOLS = [name for name, formatter in FAMILIES.items() if formatter._family.tools is None]


@pytest.mark.parametrize("family", WITHOUT_TOOLS)
def test_a_family_without_tools_says_so(family):
    formatter = formatter_for(family)
    with pytest.raises(PromptError, match=f"because {family} has no tools.*from_tokenizer_config"):
        formatter("hi", tools=[TOOL])
    with pytest.raises(PromptError, match=r"message 1 has calls of tools, but .* has no tools: "):
        formatter([user("hi"), Message("assistant", "", (CALL,))])
    with pytest.raises(PromptError, match=r"message 1 has the role 'tool', but .* has no tools: "):
        formatter([user("hi"), Message("tool", "21")])


@pytest.mark.parametrize("family", sorted({*FAMILIES} - {"gemma-3", "qwen2-vl"}))  # see test_images
def test_a_family_without_images_says_so(family):
    with pytest.raises(PromptError, match=r"message 0 \(user\) has an image, but .* has no place for images"):
        formatter_for(family)([user(["What is this?", IMAGE])])


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_of_text_are_one_text(family):
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "this?"}]
    formatter = formatter_for(family)
    assert formatter([{"role": "user", "content": parts}]) == formatter("What is this?")
