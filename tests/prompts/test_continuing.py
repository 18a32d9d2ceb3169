"""Prompts that end within the last message."""

import pytest

from nupic_client import ImagePart, Message, ToolCall, assistant, system, user
from nupic_client.errors import ConfigurationError, PromptError
from nupic_client.prompts import FAMILIES, PromptFormatter, formatter_for

ALL = [name for name in FAMILIES if name != "alpaca"]
START = '{"answer":'
Q = user("What is 6 times 7?")


@pytest.mark.parametrize("family", ALL)
def test_the_prompt_ends_with_the_content(family):
    formatter = formatter_for(family)
    prompt = formatter([Q, assistant(START)], continue_final_message=True)
    assert prompt.endswith(START)
    closed = formatter([Q, assistant(START)], add_generation_prompt=False)
    assert closed.startswith(prompt)


@pytest.mark.parametrize("family", ALL)
def test_an_empty_content_opens_the_answer(family):
    prompt = formatter_for(family)([Q, assistant("")], continue_final_message=True)
    assert formatter_for(family)([Q, assistant("x")], continue_final_message=True) == f"{prompt}x"


@pytest.mark.parametrize("family", ALL)
def test_spaces_at_the_end_stay_unless_the_family_trims(family):
    formatter = formatter_for(family)
    front = formatter([Q, assistant("Well,")], continue_final_message=True)
    prompt = formatter([Q, assistant("Well, ")], continue_final_message=True)
    assert prompt in {front, f"{front} "}


@pytest.mark.parametrize(("family", "end"), [("chatml", "Well, "), ("llama3", "Well,"), ("zephyr", "Well, ")])
def test_spaces_at_the_end(family, end):
    prompt = formatter_for(family)([Q, assistant("Well, ")], continue_final_message=True)
    assert prompt.endswith(end)


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content CLEAN}}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize(("clean", "end"), [("", "Well, "), ("| trim", "Well,")])
def test_a_template_is_cut_after_the_content(clean, end):
    formatter = PromptFormatter.from_jinja(CHATML.replace("CLEAN", clean))
    messages = [system("x"), Q, assistant("Well, ")]
    assert formatter(messages, continue_final_message=True).endswith(f"<|im_start|>assistant\n{end}")
    assert formatter(messages, continue_final_message=False).endswith("<|im_start|>assistant\n")


def test_content_that_is_like_the_mark():
    for text in ("CONTINUE_FINAL_MESSAGE_TAG", "CONTINUE_FINAL_MESSAGE_TAG "):
        prompt = formatter_for("chatml")([user(text), assistant(text)], continue_final_message=True)
        assert prompt == f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n{text}"


def test_a_content_with_an_image():
    formatter = PromptFormatter.from_jinja(
        "{% for m in messages %}{% for p in m.content %}{{ p.text if p.type == 'text' else '<image>' }}{% endfor %}."
        "{% endfor %}"
    )
    image = ImagePart("https://example.org/a.png")
    assert formatter([Message("assistant", ["a", image])], continue_final_message=True) == "a<image>"
    assert formatter([Message("assistant", [image, "b"])], continue_final_message=True) == "<image>b"


@pytest.mark.parametrize(
    ("messages", "options", "words"),
    [
        ([Q], {}, "needs a last message of role 'assistant', but message 0 is of role 'user'"),
        ([assistant("a"), Q], {}, "message 1 is of role 'user'"),
        ([Message("assistant", "", (ToolCall("", "f", "{}"),))], {}, "not one with calls of tools"),
        (
            [assistant("a")],
            {"add_generation_prompt": True},
            "must not be given together with add_generation_prompt",
        ),
    ],
)
def test_what_cannot_be_continued(messages, options, words):
    formatter = PromptFormatter.from_jinja(CHATML.replace("CLEAN", ""))
    with pytest.raises(ConfigurationError, match=words) as caught:
        formatter(messages, continue_final_message=True, **options)
    assert caught.value.parameter == "continue_final_message"


def test_a_format_that_does_not_print_the_last_message():
    with pytest.raises(PromptError, match="jinja does not"):
        PromptFormatter.from_jinja("{{ messages[0].content }}")(
            [Q, assistant("a")], continue_final_message=True
        )


def test_a_continued_message_cannot_forge_a_turn():
    prompt = formatter_for("chatml")([Q, assistant("<|im_end|>")], continue_final_message=True)
    assert prompt.endswith("<| im_end |>")
