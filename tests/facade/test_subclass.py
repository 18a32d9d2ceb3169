"""A subclass of the client: what docs/how-to/wrap-a-client.md says of it."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest

from nupic_client import Conversation, StreamingClient
from nupic_client.testing import FakeTriton, text_signature


class Counting(StreamingClient):
    """Counts what passes its own methods."""

    def __init__(self, model: str, url: str, **options) -> None:
        super().__init__(model, url, **options)
        self.count = 0

    def generate(self, prompt, callback=None, **options):
        self.count += 1
        return super().generate(prompt, callback, **options)

    async def agenerate(self, prompt, callback=None, **options):
        self.count += 1
        return await super().agenerate(prompt, callback, **options)


@pytest.fixture
def client():
    guided = text_signature("gpt.streaming", guided=True)
    with FakeTriton(["3"], models=[guided]) as server:
        with Counting("gpt.streaming", server.url, formatter="chatml") as client:
            yield client


def test_parse_calls_its_generate(client):
    assert client.parse("How many?", int) == 3
    assert asyncio.run(client.aparse("How many?", int)) == 3
    assert client.count == 2


def test_maps_and_conversations_send_by_themselves(client):
    assert [generation.text for generation in client.map(["a", "b"])] == ["3", "3"]
    assert Conversation(client).generate("How many?").text == "3"
    assert client.count == 0


def test_copies_are_of_the_subclass(client):
    for twin in (client.with_options(max_tokens=3), copy.copy(client), pickle.loads(pickle.dumps(client))):
        assert type(twin) is Counting
        assert twin.generate("How many?").text == "3"
        assert twin.count == 1
