"""An observer is told of each text, in every way to ask for one: the beginning, the first text, and how it ends."""

from __future__ import annotations

import asyncio

import pytest
from inference.rest_server import RestServer

from nupic_client import (
    ConfigurationError,
    ConnectionFailedError,
    Conversation,
    FinishReason,
    HttpInferenceClient,
    InferenceClient,
    InferenceError,
    PromptError,
    RetryPolicy,
    StreamingClient,
    user,
)
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import decode_bytes_tensor, encode_tensor
from nupic_client.local.engine import text_signature
from nupic_client.prompts import formatter_for
from nupic_client.testing import FakeTriton, abort, fail, silence

QUICK = RetryPolicy(max_retries=2, initial_backoff=0.01)


@pytest.fixture
def client(server, seen):
    with StreamingClient("gpt.streaming", server.url, observer=seen, max_retries=QUICK) as client:
        yield client


def unary(server, seen):
    return InferenceClient("gpt", server.url, observer=seen, max_retries=QUICK)


def streamed(server, seen):
    return InferenceClient("gpt.streaming", server.url, observer=seen, max_retries=QUICK)


def generate(client, prompt, **options):
    return client.generate(prompt, **options)


def agenerate(client, prompt, **options):
    return asyncio.run(client.agenerate(prompt, **options))


def stream(client, prompt, **options):
    with client.stream(prompt, **options) as stream:
        return stream.result()


def astream(client, prompt, **options):
    async def read():
        async with client.astream(prompt, **options) as stream:
            return await stream.result()

    return asyncio.run(read())


WAYS = pytest.mark.parametrize("ask", [generate, agenerate, stream, astream])


@WAYS
def test_a_text_is_told_of(client, server, seen, ask):
    generation = ask(client, "hi", max_tokens=8, temperature=0.5, stop=["never"])
    info, outcome = seen.only()
    assert seen.names == ["start", "first", "end"]
    assert info.operation == ask.__name__.removeprefix("a")
    assert (info.model, info.target, info.request_id) == ("gpt.streaming", server.url, generation.request_id)
    assert (info.chat, info.streaming, info.session) == (False, True, "")
    assert (info.sampling.max_tokens, info.sampling.temperature, info.sampling.top_p) == (8, 0.5, None)
    assert info.sampling.stop == ("never",)
    assert info.context == {"span": info.request_id}
    assert (outcome.model, outcome.streamed) == ("gpt.streaming", True)
    assert (outcome.finish_reason, outcome.usage) == (generation.finish_reason, generation.usage)
    assert (outcome.timing, outcome.attempts) == (generation.timing, generation.attempts)
    assert (outcome.endpoint, outcome.cancelled, outcome.error) == (server.url, False, None)
    assert outcome.output_bytes == len("Hello")
    first, last = outcome.chunk_times
    assert 0 < first <= last <= outcome.timing.total
    assert seen.calls[1][2] == (first,)


@WAYS
def test_nothing_that_was_said_is_told(client, server, seen, ask):
    server.reply = ["answered words", fail("words of the server")]
    with pytest.raises(InferenceError) as caught:
        ask(client, "asked words", metadata={"x-secret": "told nobody"})
    _, outcome = seen.only()
    assert caught.value.partial_text == "answered words"
    assert type(outcome.error) is type(caught.value)
    assert (outcome.error.message, outcome.error.attempts) == (caught.value.message, caught.value.attempts)
    assert (outcome.error.partial_text, outcome.error.__cause__, outcome.error.__traceback__) == (
        "",
        None,
        None,
    )
    told = repr([facts for _, *facts in seen.calls]) + repr(outcome.error.__dict__)
    for words in ("answered words", "asked words", "told nobody"):
        assert words not in told


@WAYS
def test_an_error_ends_it(client, server, seen, ask):
    server.reply = ["Hel", fail("broken")]
    with pytest.raises(InferenceError):
        ask(client, "hi")
    _, outcome = seen.only()
    assert isinstance(outcome.error, InferenceError)
    assert (outcome.finish_reason, outcome.cancelled, outcome.output_bytes) == (None, False, 3)
    assert seen.names == ["start", "first", "end"]


@WAYS
def test_each_attempt_that_failed_is_told_of(client, server, seen, ask):
    replies = [[abort("UNAVAILABLE", "away")], [abort("RESOURCE_EXHAUSTED", "busy")], ["Hello"]]
    server.reply = lambda request: replies.pop(0)
    ask(client, "hi")
    info, outcome = seen.only()
    assert seen.names == ["start", "retry", "retry", "first", "end"]
    retries = [facts for name, _, facts in seen.calls if name == "retry"]
    assert [(error.status, attempt) for error, _, attempt in retries] == [
        ("UNAVAILABLE", 1),
        ("RESOURCE_EXHAUSTED", 2),
    ]
    assert all(0 <= pause <= QUICK.max_backoff for _, pause, _ in retries)
    assert [attempt.status for attempt in outcome.attempts] == ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "OK"]
    assert info.request_id == seen.infos[0].request_id


@WAYS
def test_a_server_that_is_away_is_told_of(seen, ask):
    with FakeTriton() as server:
        url = server.url
    with StreamingClient("gpt.streaming", url, observer=seen, max_retries=QUICK) as client:
        with pytest.raises(ConnectionFailedError) as caught:
            ask(client, "hi")
    _, outcome = seen.only()
    assert seen.names == ["start", "retry", "retry", "end"]
    assert isinstance(outcome.error, ConnectionFailedError)
    assert outcome.attempts == caught.value.attempts
    assert outcome.timing.total > 0


@WAYS
def test_what_is_refused_before_is_not_told_of(client, seen, ask):
    for prompt, options in (("hi", {"max_tokens": 0}), ("hi", {"stop": 3}), ([user("hi")], {})):
        with pytest.raises(ConfigurationError):
            ask(client, prompt, **options)
    with client.with_options() as other:
        other._formatter = formatter_for("gemma")
        with pytest.raises(PromptError):
            ask(other, [user("hi"), user("ho")])
    assert seen.calls == []


@WAYS
def test_what_the_model_cannot_do_is_told_of(server, seen, ask):
    with StreamingClient("gpt.streaming", server.url, observer=seen) as client:
        for _ in range(2):  # before and after the model is known
            with pytest.raises(ConfigurationError):
                ask(client, "hi", logprobs=5)
    assert seen.names == ["start", "end"] * 2
    assert all(isinstance(outcome.error, ConfigurationError) for outcome in seen.outcomes)
    assert "ModelStreamInfer" not in server.calls


@pytest.mark.parametrize("ask", [generate, agenerate])
@pytest.mark.parametrize("connect", [unary, streamed])
def test_the_model_decides_how_it_answers(seen, connect, ask):
    name = "gpt" if connect is unary else "gpt.streaming"
    signature = text_signature(name, decoupled=connect is streamed)
    with FakeTriton(["Hel", "lo"], models=[signature]) as server, connect(server, seen) as client:
        generation = ask(client, "hi")
    info, outcome = seen.only()
    assert (info.operation, info.streaming) == ("generate", None)
    assert outcome.streamed is (connect is streamed)
    assert (outcome.attempts, outcome.usage) == (generation.attempts, generation.usage)
    assert outcome.output_bytes == len("Hello")
    assert seen.names == ["start", "first", "end"]


@pytest.mark.parametrize("ask", [generate, agenerate])
@pytest.mark.parametrize("connect", [unary, streamed])
def test_attempts_of_a_text_that_comes_at_once(server, seen, connect, ask):
    replies = [[abort("RESOURCE_EXHAUSTED", "busy")], [fail("broken")]]
    server.reply = lambda request: replies.pop(0)
    with connect(server, seen) as client, pytest.raises(InferenceError) as caught:
        ask(client, "hi")
    _, outcome = seen.only()
    assert seen.names == ["start", "retry", "end"]
    assert outcome.attempts == caught.value.attempts
    assert isinstance(outcome.error, InferenceError)


def shout(request):
    contents = dict(zip([item.name for item in request.inputs], request.raw_input_contents, strict=True))
    text = decode_bytes_tensor(contents["text_input"])[0].decode().upper()
    response = wire.pb.ModelInferResponse(model_name=request.model_name, model_version="1", id=request.id)
    response.outputs.add(name="text_output", datatype="BYTES", shape=[1])
    response.raw_output_contents.append(encode_tensor("BYTES", [text]))
    return response


def test_over_http(seen):
    models = text_signature("gpt", decoupled=False), text_signature("gpt.streaming")
    with RestServer(*models, answer=shout) as server:
        with HttpInferenceClient("gpt", server.url, observer=seen) as client:
            assert client.generate("hi").text == "HI"
        info, outcome = seen.only()
        assert (info.operation, info.target, outcome.streamed) == ("generate", client.url, False)
        seen.calls.clear()
        server.events = lambda asked: [{"model_name": "gpt.streaming", "text_output": "HI"}]
        with HttpInferenceClient("gpt.streaming", server.url, observer=seen) as client:
            with client.stream("hi") as stream:
                assert stream.result().text == "HI"
    info, outcome = seen.only()
    assert (info.operation, info.streaming, outcome.streamed) == ("stream", True, True)
    assert outcome.output_bytes == 2


def test_a_conversation_has_an_id(server, seen):
    with StreamingClient("gpt.streaming", server.url, observer=seen, formatter="chatml") as client:
        conversation = Conversation(client)
        conversation.generate("hi")
        for _ in conversation.stream("again"):
            pass
        asyncio.run(conversation.agenerate("again"))
        again = Conversation.from_json(conversation.to_json(), client)
        again.generate("and again")
        Conversation(client).generate("another one")
    assert conversation.id
    assert [info.session for info in seen.infos][:4] == [conversation.id] * 4
    assert seen.infos[4].session not in {"", conversation.id}
    assert [info.operation for info in seen.infos] == ["generate", "stream", *["generate"] * 3]
    assert all(info.chat for info in seen.infos)
    assert len(again.messages) == 8
    seen.check_pairs(5)


def test_a_saved_conversation_without_an_id_gets_one(server):
    client = StreamingClient("gpt.streaming", server.url, formatter="chatml")
    assert Conversation.from_json('{"version": 1, "system": null, "messages": []}', client).id
    with pytest.raises(ConfigurationError, match="id of a saved conversation"):
        Conversation.from_json('{"version": 1, "id": 7, "system": null, "messages": []}', client)


def test_the_session_of_a_call(client, seen):
    client.generate("hi", session="one of many")
    assert seen.only()[0].session == "one of many"


def test_a_stop_string_is_an_end_and_no_cancellation(client, server, seen):
    server.reply = ["Hel", "lo END", silence()]
    assert client.generate("hi", stop="END").finish_reason is FinishReason.STOP
    _, outcome = seen.only()
    assert (outcome.finish_reason, outcome.cancelled) == (FinishReason.STOP, False)


def test_the_time_of_the_question_counts(client, seen):
    client.generate("hi")
    info, outcome = seen.only()
    assert info.started > 0
    assert outcome.timing.total >= outcome.chunk_times[-1]


@WAYS
def test_an_attempt_on_another_server(seen, ask):
    busy = [abort("UNAVAILABLE", "going away")]
    with FakeTriton(busy) as first, FakeTriton(busy) as second:
        urls = {first.url, second.url}

        def answer(request):
            other = first if seen.names.count("retry") else None
            return ["Hello"] if other else busy

        first.reply = second.reply = answer
        with StreamingClient(
            "gpt.streaming", [first.url, second.url], observer=seen, max_retries=QUICK
        ) as client:
            ask(client, "hi")
    _, outcome = seen.only()
    assert urls == {attempt.endpoint for attempt in outcome.attempts}
    assert outcome.endpoint == outcome.attempts[-1].endpoint
    assert [attempt.status for attempt in outcome.attempts] == ["UNAVAILABLE", "OK"]
    ((error, _, attempt),) = [facts for name, _, facts in seen.calls if name == "retry"]
    assert (error.target, error.endpoint, attempt) == (*[outcome.attempts[0].endpoint] * 2, 1)
