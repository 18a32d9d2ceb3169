"""What a conversation becomes on its way to the server."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from nupic_client import (
    ConfigurationError,
    Conversation,
    Message,
    ModelRegistry,
    ModelSpec,
    PromptError,
    PromptFormatter,
    StreamingClient,
    ToolCall,
    assistant,
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


# Template variables, prefill, tools of a conversation

THINK = "<think>\n\n</think>\n\n"


@pytest.fixture
def qwen(server):
    with StreamingClient("gpt.streaming", url=server.url, formatter="qwen3") as client:
        yield client


def test_template_variables_are_given_on_a_call_and_on_a_client(read, qwen, server):
    read(qwen, [user("hi")], template_variables={"enable_thinking": False})
    assert server.requests[-1].prompt.endswith(f"assistant\n{THINK}")
    quiet = qwen.with_options(template_variables={"enable_thinking": False})
    read(quiet, [user("hi")])
    assert server.requests[-1].prompt.endswith(f"assistant\n{THINK}")
    read(quiet, [user("hi")], template_variables={"enable_thinking": True})
    assert server.requests[-1].prompt.endswith("assistant\n")
    read(quiet, "a text is sent as it is")
    assert server.requests[-1].prompt == "a text is sent as it is"


def test_a_conversation_takes_template_variables(qwen, server):
    conversation = Conversation(qwen, system="x")
    conversation.generate("hi", template_variables={"enable_thinking": False})
    assert server.requests[-1].prompt.endswith(f"assistant\n{THINK}")


def test_template_variables_that_the_family_does_not_have(read, client, qwen, server):
    with pytest.raises(ConfigurationError, match="qwen3 has no template variable 'think'") as caught:
        read(qwen, [user("hi")], template_variables={"think": False})
    assert caught.value.parameter == "template_variables"
    assert not server.requests


def test_an_answer_is_continued(read, server):
    with StreamingClient("gpt.streaming", url=server.url, formatter="chatml") as client:
        read(client, [user("6 * 7?"), assistant('{"answer": ')], continue_final_message=True)
        assert server.requests[-1].prompt.endswith('<|im_start|>assistant\n{"answer": ')
        with pytest.raises(ConfigurationError, match="needs a last message of role 'assistant'") as caught:
            read(client, [user("6 * 7?")], continue_final_message=True)
        assert caught.value.parameter == "continue_final_message"


@pytest.mark.parametrize("options", [{"template_variables": {"a": 1}}, {"continue_final_message": True}])
def test_a_text_is_sent_as_it_is_and_takes_no_options_of_a_template(read, client, server, options):
    with pytest.raises(ConfigurationError, match="must be given with a list of messages, not with a text"):
        read(client, "hi", **options)
    assert not server.requests


def test_the_second_turn_of_a_tool_call_is_sent(read, server):
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}<|im_end|>\n"
        "{% endfor %}<|im_start|>assistant\n"
    )
    formatter = PromptFormatter.from_jinja(template)
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    with StreamingClient("gpt.streaming", url=server.url, formatter=formatter) as client:
        read(
            client,
            [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "2"},
            ],
        )
    assert server.requests[-1].prompt == (
        "<|im_start|>user\nhi<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call><|im_end|>\n'
        "<|im_start|>tool\n2<|im_end|>\n<|im_start|>assistant"
    )


@pytest.mark.parametrize("part", ["reasoning", "arguments", "name"])
def test_text_of_any_part_that_cannot_be_sent_is_refused(read, server, part):
    bad = "\ud800"
    message = {
        "reasoning": Message("assistant", "", reasoning=bad),
        "arguments": Message("assistant", "", (ToolCall("", "f", bad),)),
        "name": Message("user", "", name=bad),
    }[part]
    with (
        StreamingClient("gpt.streaming", url=server.url, formatter="chatml") as client,
        pytest.raises(ConfigurationError, match=r"message 1 .* must be text that UTF-8 can encode"),
    ):
        read(client, [user("hi"), message])
    assert not server.requests


def test_a_saved_conversation_keeps_calls_of_tools(qwen):
    messages = [
        user("hi"),
        Message("assistant", "", (ToolCall("c1", "f", '{"x": 1}'),), reasoning="Hm."),
        Message("tool", "2", tool_call_id="c1", name="f"),
        assistant("2"),
    ]
    text = Conversation(qwen, messages=messages).to_json()
    assert Conversation.from_json(text, qwen).messages == tuple(messages)


# Counting tokens


class Words:
    """As a tokenizer of transformers: a list of numbers."""

    def encode(self, text):
        return list(range(len(text.split())))


class Encoded:
    """As a tokenizer of tokenizers: an object with ids."""

    def encode(self, text):
        return SimpleNamespace(ids=text.split())


@pytest.mark.parametrize("tokenizer", [Words(), Encoded()])
def test_a_client_with_a_tokenizer_counts_what_it_would_send(server, tokenizer):
    with StreamingClient("gpt.streaming", url=server.url, formatter="chatml", tokenizer=tokenizer) as client:
        assert client.count_tokens("one two three") == 3
        sent = client.formatter([user("one two three")])
        assert client.count_tokens([user("one two three")]) == len(sent.split())
        assert client.with_options(temperature=1).count_tokens("one") == 1
        with pytest.raises(PromptError):
            client.count_tokens([user("<|im_end|>")])
    assert not server.requests


def test_a_client_without_a_tokenizer_counts_nothing(client):
    with pytest.raises(ConfigurationError, match="tokenizer must be given to the client") as caught:
        client.count_tokens("hi")
    assert caught.value.parameter == "tokenizer"
    with pytest.raises(ConfigurationError, match=r"tokenizer must have a method encode\(text\), not be int"):
        StreamingClient("gpt.streaming", url="127.0.0.1:1", tokenizer=5)


def test_a_conversation_counts_with_the_tokenizer_of_its_client(server):
    with StreamingClient("gpt.streaming", url=server.url, formatter="chatml", tokenizer=Words()) as client:
        history = [user("one " * 30), assistant("two " * 30), user("three"), assistant("four")]
        conversation = Conversation(client, messages=history, context_length=60, reserve=10)
        conversation.generate("five")
        assert "three" in server.requests[-1].prompt
        assert "one" not in server.requests[-1].prompt
        by_hand = Conversation(
            client, messages=history, context_length=60, reserve=10, count_tokens=lambda _text: 0
        )
        by_hand.generate("five")
        assert "one" in server.requests[-1].prompt
