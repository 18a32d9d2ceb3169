"""Images in the prompts of the families that see."""

from __future__ import annotations

import pytest

from nupic_client import PromptFormatter
from nupic_client.errors import PromptError
from nupic_client.messages import ImagePart, Message, TextPart, assistant, system, user
from nupic_client.prompts import formatter_for
from nupic_client.prompts.builder import PromptBuilder

CAT = ImagePart("https://example.org/cat.png")
SEE = ("qwen2-vl", "gemma-3")
PLACES = {"qwen2-vl": "<|vision_start|><|image_pad|><|vision_end|>", "gemma-3": "<start_of_image>"}


@pytest.mark.parametrize("family", SEE)
def test_an_image_stands_where_the_message_has_it(family):
    place = PLACES[family]
    prompt = formatter_for(family)([user(["a", CAT, "b"]), assistant("c"), user([CAT])])
    assert f"a{place}b" in prompt
    assert prompt.count(place) == 2


def test_each_text_is_trimmed_where_the_template_trims():
    place = PLACES["gemma-3"]
    prompt = formatter_for("gemma-3")([system(" s "), user([" a ", CAT, "\nb\n"])])
    assert prompt == f"<bos><start_of_turn>user\n s \n\na{place}b<end_of_turn>\n<start_of_turn>model\n"


@pytest.mark.parametrize("family", SEE)
@pytest.mark.parametrize("role", ["assistant", "system"])
def test_only_users_show_images(family, role):
    with pytest.raises(
        PromptError, match=rf"\({role}\) has an image, but {family} has images in user messages only"
    ):
        formatter_for(family)(
            [Message(role, [CAT]), user("u"), assistant("a")][: 1 if role == "system" else 2]
        )


@pytest.mark.parametrize("family", SEE)
def test_a_text_cannot_pretend_to_be_an_image(family):
    for text in (
        PLACES[family],
        f"x{PLACES[family]}y",
        "<|image_pad|>" if family == "qwen2-vl" else PLACES[family],
    ):
        for content in (text, ["a", text, CAT], [text[:5], CAT, text[5:]], [text[:8], text[8:], CAT]):
            with pytest.raises(PromptError, match="could forge a turn"):
                formatter_for(family)([user(content)])
    said = formatter_for(family)([user("u"), assistant(PLACES[family]), user([CAT])])
    assert said.count(PLACES[family]) == 1


LLAVA = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }} {% endif %}"
    "{% endfor %}{% endfor %}ASSISTANT:"
)


def test_a_template_of_the_models_own_places_the_images():
    formatter = PromptFormatter.from_jinja(LLAVA)
    assert formatter([user([CAT, "What is this?"])]) == "USER: <image>\nWhat is this? ASSISTANT:"
    with pytest.raises(PromptError, match="contains '<image>'"):
        formatter([user(["an <image> here", CAT])])


def test_the_texts_beside_an_image_are_content_and_the_image_is_not():
    builder = PromptBuilder("<image>")
    builder.parts((TextPart(" a "), CAT, TextPart("b")), str.strip, 3)
    assert builder.text() == "a<image>b"
    assert builder.find_forged(["<image>"]) is None
    assert builder.find_forged(["a<image"]) == ("a<image", 3, 0)
    assert builder.find_forged(["e>b"]) == ("e>b", 3, 2)
