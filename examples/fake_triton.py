"""Test your own code without a server: `pytest fake_triton.py`, or run it as a program."""

from __future__ import annotations

from nupic_client import RequestError, StreamingClient
from nupic_client.testing import FakeTriton, fail


def summary(client: StreamingClient, text: str) -> str:
    """Return a summary, or as much of it as there is: the code to test."""
    try:
        return client.generate(f"Summarize: {text}", max_tokens=50).text
    except RequestError as error:
        return f"{error.partial_text}…"


def test_a_summary() -> None:
    """The model gets the text and its answer comes back."""
    with (
        FakeTriton(["Short", " and", " sweet."]) as server,
        StreamingClient("gpt.streaming", url=server.url) as client,
    ):
        assert summary(client, "a long story") == "Short and sweet."
        assert server.requests[0].prompt == "Summarize: a long story"
        assert server.requests[0].inputs["max_tokens"] == 50


def test_a_model_that_fails() -> None:
    """The text before the failure is not lost."""
    with (
        FakeTriton(["Short", fail("out of memory")]) as server,
        StreamingClient("gpt.streaming", url=server.url) as client,
    ):
        assert summary(client, "a long story") == "Short…"


if __name__ == "__main__":
    test_a_summary()
    test_a_model_that_fails()
    print("2 tests passed")
