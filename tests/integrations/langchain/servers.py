"""Servers and models of these tests."""

from __future__ import annotations

from nupic_client.integrations.langchain import ChatNupic
from nupic_client.testing import FakeTriton, competent_model, text_signature

MODEL = "smollm2.streaming"
OTHER = "other.streaming"


def serve(reply=None, *, guided=True, **options):
    models = [text_signature(name, guided=guided, **options) for name in (MODEL, OTHER)]
    return FakeTriton(competent_model("smollm2") if reply is None else reply, models=models)


def chat(server, **fields):
    return ChatNupic(**{"model": "smollm2", "url": server.url, "formatter": "smollm2", **fields})


def weather(city: str) -> str:
    """Tell how the weather in a city is."""
    return f"{city}: sunny"
