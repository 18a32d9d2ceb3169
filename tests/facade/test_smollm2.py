"""A real language model behind the embedded server: the same text in every flavour."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from nupic_client import ContextLengthError, Conversation, LocalServer, StreamingClient, system, user

pytestmark = pytest.mark.model

QUESTION = [system("You are a helpful assistant."), user("What is the capital of France?")]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with LocalServer() as server:
        yield server.url


@pytest.fixture
def client(url: str) -> Iterator[StreamingClient]:
    with StreamingClient("smollm2", url=url, temperature=0, max_tokens=40) as client:
        yield client


def test_every_colour_reads_the_same_text(read, client):
    chunks, generation = read(client, QUESTION)
    assert generation.text == "The capital of France is Paris."
    assert "".join(chunks) == generation.text
    assert len(chunks) > 3
    assert generation.finish_reason == "stop"
    assert generation.usage.output_tokens >= len(chunks)
    assert generation.usage.input_tokens > 10
    assert generation.timing.inter_token_latency.mean > 0


@pytest.mark.parametrize(("words", "requested"), [(3000, 3001), (600_000, None)])
def test_a_prompt_that_is_too_long_is_typed(read, client, words, requested):
    """U-A21: a gateway can make a 400 of it."""
    with pytest.raises(
        ContextLengthError, match="the request has more tokens than the model can hold"
    ) as caught:
        read(client, "word " * words)
    error = caught.value
    assert (error.limit, error.requested, error.retryable, len(error.attempts)) == (2048, requested, False, 1)


def test_leaving_early_frees_the_model(client):
    for _ in client.stream("Once upon a time", max_tokens=2000):
        break
    assert client.generate(QUESTION).text == "The capital of France is Paris."


def test_a_seed_reproduces_and_another_does_not(client):
    def story(seed: int) -> str:
        return client.generate("Once upon a time", temperature=1.5, seed=seed, max_tokens=30).text

    assert story(1) == story(1)
    assert story(1) != story(2)


def test_the_prompt_of_a_conversation_needs_no_system_message_for_a_good_answer(client):
    assert "Paris" in client.generate(QUESTION[1:]).text


def test_a_conversation_remembers(client):
    conversation = Conversation(client)
    conversation.generate("What is the capital of France?")
    conversation.generate("Name one river in that city.")
    assert len(conversation.messages) == 4
    assert all(message.content for message in conversation.messages)


def test_tasks_share_the_model(client):
    async def main() -> list[str]:
        generations = await asyncio.gather(*(client.agenerate(QUESTION) for _ in range(4)))
        return [generation.text for generation in generations]

    assert set(asyncio.run(main())) == {"The capital of France is Paris."}
