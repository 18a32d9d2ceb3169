"""A conversation keeps what was really said, in every flavour."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nupic_client import (
    TLS,
    ConfigurationError,
    Conversation,
    ImagePart,
    InferenceError,
    Message,
    ModelRegistry,
    ModelSpec,
    PromptError,
    ServerClient,
    StreamingClient,
    StreamStateError,
    TensorSpec,
    assistant,
    user,
)
from nupic_client.prompts import FAMILIES
from nupic_client.testing import FakeTriton, fail, silence, text_signature


def by_say(conversation, text, **options):
    return conversation.generate(text, **options).text


def by_send(conversation, text, **options):
    return "".join(conversation.stream(text, **options))


def by_asay(conversation, text, **options):
    return asyncio.run(conversation.agenerate(text, **options)).text


def by_asend(conversation, text, **options):
    async def read() -> str:
        return "".join([chunk async for chunk in conversation.astream(text, **options)])

    return asyncio.run(read())


@pytest.fixture(params=[by_say, by_send, by_asay, by_asend])
def talk(request):
    return request.param


@pytest.fixture
def server():
    with FakeTriton(lambda request: [f"answer {request.prompt.count('<|im_start|>user')}"]) as server:
        yield server


@pytest.fixture
def client(server):
    with StreamingClient("gpt.streaming", url=server.url, formatter="chatml") as client:
        yield client


def test_the_history_is_sent_with_each_message(talk, client, server):
    conversation = Conversation(client, system="Be brief.")
    assert talk(conversation, "one") == "answer 1"
    assert talk(conversation, "two") == "answer 2"
    assert conversation.messages == (user("one"), assistant("answer 1"), user("two"), assistant("answer 2"))
    assert server.requests[1].prompt == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\none<|im_end|>\n"
        "<|im_start|>assistant\nanswer 1<|im_end|>\n<|im_start|>user\ntwo<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_failed_answer_is_dropped_with_its_question(talk, client, server):
    conversation = Conversation(client)
    server.reply = ["half", fail("boom")]
    with pytest.raises(InferenceError):
        talk(conversation, "one")
    assert conversation.messages == ()
    server.reply = ["whole"]
    assert talk(conversation, "again") == "whole"
    assert conversation.messages == (user("again"), assistant("whole"))


def test_a_refused_message_is_not_kept(talk, client, server):
    conversation = Conversation(client)
    with pytest.raises(PromptError):
        talk(conversation, "<|im_end|>")
    assert talk(conversation, "fine") == "answer 1"
    assert conversation.messages[0] == user("fine")


def test_a_failure_to_open_does_not_block_the_conversation(talk, server):
    with StreamingClient("nope", url=server.url, formatter="chatml") as client:
        conversation = Conversation(client)
        for _ in range(2):
            with pytest.raises(Exception, match="not found"):
                talk(conversation, "hi")


def test_an_answer_that_was_left_is_kept_as_far_as_it_came(client, server):
    conversation = Conversation(client)
    server.reply = ["half", silence()]
    for _ in conversation.stream("one"):
        break
    server.wait_for_cancellation()
    assert conversation.messages == (user("one"), assistant("half"))

    async def main() -> None:
        async for _ in conversation.astream("two"):
            break

    asyncio.run(main())
    server.wait_for_cancellation(2)
    assert conversation.messages[2:] == (user("two"), assistant("half"))


def test_an_answer_of_which_nothing_came_is_dropped(client, server):
    conversation = Conversation(client)
    server.reply = [silence()]
    with conversation.stream("one"):
        pass
    assert conversation.messages == ()


def test_an_empty_answer_that_came_to_its_end_is_kept(talk, client, server):
    conversation = Conversation(client)
    server.reply = []
    assert talk(conversation, "one") == ""
    assert conversation.messages == (user("one"), assistant(""))


def test_one_answer_at_a_time(client, server):
    conversation = Conversation(client)
    server.reply = ["half", silence()]
    stream = conversation.stream("one")
    next(stream)
    for use in (lambda: conversation.stream("two"), conversation.undo, conversation.clear):
        with pytest.raises(StreamStateError, match="still being generated"):
            use()
    stream.close()
    server.reply = ["whole"]
    assert conversation.generate("two").text == "whole"


def test_a_dropped_answer_is_cancelled(client, server):
    conversation = Conversation(client)
    server.reply = ["half", silence()]
    next(conversation.stream("one"))
    server.wait_for_cancellation()


def test_the_oldest_exchanges_are_left_out_when_the_context_is_full(client, server):
    conversation = Conversation(
        client, system="S", context_length=100, reserve=20, count_tokens=lambda text: len(text.split()) * 10
    )
    for index in range(5):
        conversation.generate(f"message{index}")
    assert len(conversation.messages) == 10
    prompt = server.requests[-1].prompt
    assert "message4" in prompt
    assert "message0" not in prompt
    sent = sum(f"{said}<|im_end|>" in prompt for said in (message.text for message in conversation.messages))
    assert conversation.left_out == 9 - sent > 0  # the last answer was in no request
    conversation.clear()
    conversation.generate("message5")
    assert conversation.left_out == 0
    assert prompt.startswith("<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n")


def test_the_new_message_is_always_sent(client, server):
    conversation = Conversation(client, context_length=10)
    conversation.generate("a very long message " * 20)
    assert "a very long message" in server.requests[0].prompt


def test_the_system_prompt_may_change_and_the_history_be_cleared(client, server):
    conversation = Conversation(client, system="A")
    conversation.generate("one")
    conversation.clear()
    conversation.system = "B"
    conversation.generate("two")
    assert conversation.messages == (user("two"), assistant("answer 1"))
    assert server.requests[1].prompt.startswith("<|im_start|>system\nB<|im_end|>\n<|im_start|>user\ntwo")


def test_a_conversation_is_saved_and_loaded(client, tmp_path):
    conversation = Conversation(client, system="Sei höflich. 🎉")
    conversation.generate("one")
    conversation.save(tmp_path / "talk.json")
    loaded = Conversation.load(tmp_path / "talk.json", client)
    assert (loaded.system, loaded.messages) == (conversation.system, conversation.messages)
    assert loaded.generate("two").text == "answer 2"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version": 2}', '{"version": 1, "system": null, "messages": [{"role": "user"}]}'],
)
def test_what_is_no_saved_conversation_is_refused(client, text):
    with pytest.raises(ConfigurationError):
        Conversation.from_json(text, client)


def test_a_system_message_belongs_into_system(client):
    with pytest.raises(ConfigurationError, match="system="):
        Conversation(client, messages=[Message("system", "x"), user("y")])


def test_the_callback_is_the_second_argument(client, server):
    server.reply = ["Hel", "lo"]
    chunks = []

    async def callback(text):
        chunks.append(text)

    for talker in (client, Conversation(client)):
        talker.generate("hi", chunks.append)
        asyncio.run(talker.agenerate("hi", callback))
    assert chunks == ["Hel", "lo"] * 4


def test_what_cannot_be_called_is_no_callback(client):
    for talker in (client, Conversation(client)):
        with pytest.raises(ConfigurationError, match="callback must be a plain function, not 100"):
            talker.generate("hi", 100)
        with pytest.raises(ConfigurationError, match="callback must be a function or a coroutine function"):
            asyncio.run(talker.agenerate("hi", 100))


def test_a_coroutine_function_is_no_callback_of_say(client, server):
    async def callback(text: str) -> None: ...

    with pytest.raises(ConfigurationError):
        Conversation(client).generate("hi", callback=callback)
    assert not server.requests


@pytest.mark.parametrize(
    "wrong",
    [
        {"system": 5},
        {"context_length": 0},
        {"context_length": True},
        {"context_length": "many"},
        {"reserve": -1},
        {"reserve": 1.5},
    ],
)
def test_a_wrong_value_is_refused_at_once(client, wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Conversation(client, **wrong)


def test_a_system_prompt_that_is_no_text_is_refused(client):
    conversation = Conversation(client, system="A")
    with pytest.raises(ConfigurationError, match="system must be a string"):
        conversation.system = b"B"
    assert conversation.system == "A"


def test_a_saved_system_prompt_that_is_no_text_is_refused(client):
    with pytest.raises(ConfigurationError, match="system must be a string"):
        Conversation.from_json('{"version": 1, "system": 5, "messages": []}', client)


def test_a_message_that_is_no_text_is_refused(talk, client, server):
    conversation = Conversation(client)
    with pytest.raises(ConfigurationError):
        talk(conversation, None)
    assert not server.requests


def test_what_was_said_before_is_given_as_messages_or_mappings(client, server):
    conversation = Conversation(client, messages=[user("one"), {"role": "assistant", "content": "two"}])
    conversation.generate("three")
    assert server.requests[0].prompt.count("<|im_start|>") == 4
    assert [message.content for message in conversation.messages] == ["one", "two", "three", "answer 2"]


def test_the_system_prompt_of_the_model_is_used_where_none_is_given(server):
    registry = ModelRegistry([ModelSpec(name="gpt.streaming", family="chatml", system="From the registry.")])
    with StreamingClient("gpt.streaming", url=server.url, registry=registry) as client:
        Conversation(client).generate("one")
        Conversation(client, system="").generate("one")
    assert server.requests[0].prompt.startswith("<|im_start|>system\nFrom the registry.<|im_end|>")
    assert server.requests[1].prompt.startswith("<|im_start|>system\n<|im_end|>")


def test_the_context_length_of_the_model_is_used_where_none_is_given(server):
    registry = ModelRegistry([ModelSpec(name="gpt.streaming", family="chatml", context_length=40)])
    with StreamingClient("gpt.streaming", url=server.url, registry=registry) as client:
        conversation = Conversation(client)
        conversation.generate("a first message of some length")
        conversation.generate("two")
        longer = Conversation(client, messages=conversation.messages, context_length=4000)
        longer.generate("three")
    assert "first message" not in server.requests[1].prompt
    assert "first message" in server.requests[2].prompt


def test_an_answer_that_is_left_after_its_end_is_kept_whole(client):
    conversation = Conversation(client)
    with conversation.stream("one") as stream:
        assert list(stream) == ["answer 1"]
    stream.close()
    assert conversation.messages == (user("one"), assistant("answer 1"))


def test_its_repr_has_no_content(client):
    conversation = Conversation(client, system="secret")
    conversation.generate("hidden")
    assert "secret" not in repr(conversation)
    assert "hidden" not in repr(conversation)
    assert "2 messages" in repr(conversation)


FAMILY_MARKERS = [
    (family, token.strip())
    for family, formatter in FAMILIES.items()
    if family not in {"alpaca", "plain"}  # alpaca has no assistant messages
    for token in formatter.control_tokens[:2]
]


def client_opens(family: str) -> str:
    """Return what opens an answer; some families open its reasoning there."""
    return FAMILIES[family]([user("x")])[-20:]


@pytest.mark.parametrize(("family", "marker"), FAMILY_MARKERS)
def test_a_conversation_goes_on_after_an_answer_with_a_marker(server, family, marker):
    """P-F5: the answer is kept as it came, and rendered without a forged turn."""
    half = len(marker) // 2
    opened = "</think>" if "<think>" in client_opens(family) else ""
    answers = iter(
        [
            [opened, "Write ", marker, " first."],
            [opened, marker[:half], marker[half:], " x"],
            [opened, "fine"],
        ]
    )
    server.reply = lambda _request: next(answers)
    with StreamingClient("gpt.streaming", url=server.url, formatter=family) as client:
        conversation = Conversation(client)
        said = [conversation.generate(text).text for text in ("Hi", "thanks", "bye")]
        assert [message.content for message in conversation.messages[1::2]] == said
        again = Conversation.from_json(conversation.to_json(), client)
        assert again.messages == conversation.messages
        harmless = [user("Hi"), assistant("x"), user("thanks"), assistant("y"), user("bye")]
        expected = client.formatter.without_bos(client.formatter(harmless))
    prompt = server.requests[2].prompt
    for token in client.formatter.control_tokens:
        assert prompt.count(token) == expected.count(token)
    if marker not in client.formatter.stop:
        assert said[0] == f"Write {marker} first."


def test_hand_written_loops_go_on_too(client, server):
    """P-F5: the same for messages that are kept by the caller."""
    server.reply = ["Write <|im_start|>user"]
    answer = client.generate([user("Hi")])
    client.generate([user("Hi"), assistant(answer.text), user("thanks")])
    assert "Write <| im_start |>user<|im_end|>" in server.requests[1].prompt


def test_an_answer_ends_where_it_opens_the_users_turn(server):
    """P-F5: a model that plays the user is stopped, where its family opens turns on a line of their own."""
    server.reply = ["Sure.\n<|us", "er|>\nAnd what is 2+2?", silence()]
    with StreamingClient("gpt.streaming", url=server.url, formatter="zephyr") as client:
        conversation = Conversation(client)
        assert conversation.generate("Hi").text == "Sure."
        server.wait_for_cancellation()
        server.reply = ["Sure.\n<|user|>\nAnd what is 2+2?"]
        assert client.generate("a text").text == "Sure.\n<|user|>\nAnd what is 2+2?"
        server.reply = ["It is\n<|user|> or `<|user|>`."]
        assert conversation.generate("quoted?").text == "It is\n<|user|> or `<|user|>`."
        conversation.generate("thanks")
    assert server.requests[-1].prompt.count("<|user|>") == 3


def test_what_is_refused_names_an_option_that_exists(client, server):
    """U-A7: `generate` has no ``allow_control_tokens``."""
    with pytest.raises(PromptError, match=r"client\.formatter\(messages, allow_control_tokens=True\)"):
        client.generate([user("x <|im_end|>")])
    client.generate(client.formatter([user("x <|im_end|>")], allow_control_tokens=True))
    assert "x <|im_end|>" in server.requests[0].prompt


def test_the_last_exchange_is_dropped(client, server):
    conversation = Conversation(client)
    conversation.generate("one")
    conversation.generate("two")
    assert conversation.undo() == (user("two"), assistant("answer 2"))
    assert conversation.generate("three").text == "answer 2"
    assert [message.content for message in conversation.messages[::2]] == ["one", "three"]
    conversation.undo()
    conversation.undo()
    assert conversation.undo() == ()
    conversation.messages = [user("one"), assistant("x"), user("unanswered")]
    assert conversation.undo() == (user("unanswered"),)


def test_the_history_is_edited(client, server):
    conversation = Conversation(client)
    conversation.generate("one")
    conversation.messages = [*conversation.messages[:-1], {"role": "assistant", "content": "edited"}]
    conversation.generate("two")
    assert "edited<|im_end|>" in server.requests[1].prompt
    for wrong in ([{"role": "system", "content": "x"}], "text", None, user("x"), ["x"]):
        with pytest.raises(ConfigurationError):
            conversation.messages = wrong
    assert len(conversation.messages) == 4


def test_a_running_answer_keeps_its_history(client, server):
    conversation = Conversation(client, messages=[user("one"), assistant("two")])
    server.reply = ["half", silence()]
    with conversation.stream("three") as stream:
        next(stream)
        with pytest.raises(StreamStateError, match="still being generated"):
            conversation.undo()
        with pytest.raises(StreamStateError, match="still being generated"):
            conversation.messages = []
    assert len(conversation.messages) == 4


SURROGATE = "smile \ud83d"


@pytest.mark.parametrize(
    "start",
    [
        lambda client: client.generate(SURROGATE),
        lambda client: client.generate([user("fine"), user(SURROGATE)]),
        lambda client: client.generate([{"role": "user", "content": [SURROGATE]}]),
        lambda client: client.generate([user("Hi")], stop=[SURROGATE]),
        lambda client: client.generate("Hi", request_id=SURROGATE),
        lambda client: client.generate("Hi", metadata={"x-name": SURROGATE}),
        lambda client: StreamingClient(SURROGATE, url=client.url),
        lambda client: ModelSpec(name="x", server_name=SURROGATE),
        lambda client: ModelSpec(name="x", aliases=[SURROGATE]),
        lambda client: Conversation(client, system=SURROGATE),
        lambda client: Conversation(client, messages=[user(SURROGATE)]),
        lambda client: Conversation(client).generate(SURROGATE),
        lambda client: Conversation(client, context_length=200).generate(SURROGATE),
        lambda client: Conversation.from_json(SAVED.replace("Hi", "\\ud83d"), client),
        lambda client: ServerClient(client.url).is_model_ready(SURROGATE),
        lambda client: ServerClient(client.url).load(SURROGATE),
        lambda client: ServerClient(client.url).signature(SURROGATE),
        lambda client: TLS(target_name=SURROGATE),
        lambda client: StreamingClient("m", url=client.url, channel_options={"grpc.x": SURROGATE}),
    ],
)
def test_a_lone_surrogate_is_an_error_where_it_comes_in(client, server, start):
    """P-F11."""
    with pytest.raises(ConfigurationError, match=r"lone surrogate '\\ud83d'|ASCII"):
        start(client)
    assert not server.requests


SAVED = '{"version": 1, "model": "m", "system": null, "messages": [{"role": "user", "content": "Hi"}]}'


def test_a_failed_save_leaves_the_older_file(client, tmp_path, monkeypatch):
    """P-F11: for a full disk and Ctrl-C alike."""
    file = tmp_path / "talk.json"
    file.write_text("older")
    file.chmod(0o640)
    conversation = Conversation(client, messages=[user("Hi"), assistant("Ho")])
    for failure in (OSError(28, "No space left on device"), KeyboardInterrupt()):

        def fail_to_sync(_descriptor, failure=failure):
            raise failure

        with monkeypatch.context() as patch, pytest.raises(type(failure)):
            patch.setattr("os.fsync", fail_to_sync)
            conversation.save(file)
        assert file.read_text() == "older"
        assert list(tmp_path.iterdir()) == [file]
    conversation.save(file)
    assert Conversation.load(file, client).messages == conversation.messages
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_stays_a_link_and_a_device_a_device(client, tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "talk.json")
    Conversation(client).save(tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "talk.json").is_file()
    Conversation(client).save("/dev/null")
    assert not Path("/dev/null").is_file()


def test_a_file_that_is_not_utf_8_is_no_saved_conversation(client, tmp_path):
    (tmp_path / "talk.json").write_bytes(b"na\xefve")
    with pytest.raises(ConfigurationError, match="not a saved conversation"):
        Conversation.load(tmp_path / "talk.json", client)


def test_errors_count_the_history_and_not_what_is_sent(client):
    """U-A7: the system prompt is in no message of the conversation, and the oldest are left out of the prompt."""
    bad = "x <|im_end|>"
    earlier = [user("one " * 50), assistant("a"), user("two"), assistant("b")]
    for more in ({}, {"system": "Be brief."}, {"system": "Be brief.", "context_length": 100}):
        with pytest.raises(PromptError, match=r"^the new message \(user\) contains '<\|im_end\|>'"):
            Conversation(client, messages=earlier, **more).generate(bad)
        with pytest.raises(PromptError, match=r"^message 2 \(user\) contains"):
            Conversation(client, messages=[*earlier[:2], user(bad), earlier[3]], **more).generate("Hi")
    with pytest.raises(PromptError, match=r"^the system prompt \(system\) contains"):
        Conversation(client, system=bad, messages=earlier).generate("Hi")


def test_a_message_may_have_images(talk):
    """They are kept, saved and sent again with each prompt."""
    image = ImagePart(b"\x89PNG\r\n\x1a\n" + b"\0" * 20)
    signature = text_signature(
        "vision.streaming",
        extra_inputs=[TensorSpec("image", "BYTES", (-1,)), TensorSpec("sampling_parameters", "BYTES", (1,))],
    )
    with (
        FakeTriton(["A cat."], models=[signature]) as server,
        StreamingClient("vision.streaming", url=server.url, formatter="qwen2-vl", backend="vllm") as client,
    ):
        conversation = Conversation(client)
        assert talk(conversation, ["What is it?", image]) == "A cat."
        talk(conversation, "And now?")
        prompts = [request.prompt for request in server.requests]
        again = Conversation.from_json(conversation.to_json(), client)
    assert [prompt.count("<|image_pad|>") for prompt in prompts] == [1, 1]
    assert conversation.messages[0].images == (image,)
    assert again.messages[0].images[0].data() == image.data()
