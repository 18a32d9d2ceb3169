"""What a conversation becomes on its way to the server."""

from __future__ import annotations

import pytest

from nupic_client import (
    ModelRegistry,
    ModelSpec,
    PromptFormatter,
    StreamingClient,
    get_prompt_formatter,
    system,
    user,
)
from nupic_client.prompts import FAMILIES


def sent(read, server, messages, **options):
    spec = ModelSpec(name="gpt.streaming", **options)
    with StreamingClient("gpt.streaming", url=server.url, registry=ModelRegistry([spec])) as client:
        read(client, messages)
    return server.requests[-1].prompt


@pytest.mark.parametrize("family", [name for name, formatter in FAMILIES.items() if formatter.prints_bos])
def test_no_second_bos_is_sent(client, server, family):
    formatter = FAMILIES[family]
    rendered = formatter("hi")
    assert rendered.startswith(formatter.bos_token)
    spec = ModelSpec(name="gpt.streaming", family=family)
    with StreamingClient("gpt.streaming", url=server.url, registry=ModelRegistry([spec])) as client:
        client.generate([user("hi")])
    assert server.requests[0].prompt == rendered.removeprefix(formatter.bos_token)


def test_the_bos_is_kept_where_the_model_says_so(read, server):
    prompt = sent(read, server, [user("hi")], family="llama3", bos="keep")
    assert prompt == FAMILIES["llama-3-instruct"]("hi")
    assert prompt.startswith("<|begin_of_text|>")


def test_a_token_that_opens_turns_is_no_bos_to_take_away(read, server):
    assert sent(read, server, [user("hi")], family="smollm2") == FAMILIES["smollm2"]("hi")


def test_a_text_is_sent_with_its_bos(read, server):
    assert sent(read, server, "<s>hi", family="llama2") == "<s>hi"


def test_the_models_system_prompt_stands_in_for_a_missing_one(read, server):
    options = {"family": "chatml", "system": "Be brief."}
    assert "Be brief." in sent(read, server, [user("hi")], **options)
    assert "Be brief." not in sent(read, server, [system("Be long."), user("hi")], **options)
    assert "Be brief." not in sent(read, server, [system(""), user("hi")], **options)


def test_defaults_of_the_models_sampling_hold(read, server):
    sent(read, server, "hi", sampling={"temperature": 0.25, "max_tokens": 2})
    assert server.requests[0].inputs["temperature"] == 0.25
    assert server.requests[0].inputs["max_tokens"] == 2


def test_a_formatter_of_the_models_own_template(read, server):
    template = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    formatter = PromptFormatter.from_jinja(template, bos_token="<s>")
    with StreamingClient("gpt.streaming", url=server.url, formatter=formatter) as client:
        read(client, [user("hi")])
    assert formatter("hi") == "<s>[user]hi"
    assert server.requests[0].prompt == "[user]hi"


def test_a_model_name_gives_the_models_formatter_and_a_family_the_official_one():
    assert "named SmolLM" in get_prompt_formatter("smollm2")("hi")
    assert "You are a helpful assistant." in get_prompt_formatter("smollm2.streaming")("hi")


@pytest.mark.parametrize("end", ["</s>", "<|user|>"])
def test_a_server_that_prints_the_familys_end_token_is_stopped_there(read, server, end):
    server.reply = ["Paris", end, "and more"]
    with StreamingClient("gpt.streaming", url=server.url, formatter="zephyr") as client:
        if end in client.formatter.stop:
            assert read(client, [user("hi")])[1].text == "Paris"
        assert read(client, "hi")[1].text == f"Paris{end}and more"
