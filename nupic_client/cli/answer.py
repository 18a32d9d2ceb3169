"""One answer: streamed, shown, and stopped by Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nupic_client.messages import Message
    from nupic_client.results import Generation
    from nupic_client.streaming import StreamingClient

__all__ = ["stream_answer"]


def stream_answer(
    client: StreamingClient, prompt: str | Iterable[Message], write: Callable[[str], object]
) -> Generation:
    """Stream an answer and return it; Ctrl-C cancels it on the server and returns what had arrived.

    Args:
        client: who is asked.
        prompt: a text or a conversation.
        write: called with each piece of text.

    Raises:
        NupicError: the request is wrong or failed.
        KeyboardInterrupt: Ctrl-C before the request was sent.
    """
    stream = client.stream(prompt)
    try:
        with stream:
            for text in stream:
                write(text)
    except KeyboardInterrupt:
        stream.close()
    return stream.result()
