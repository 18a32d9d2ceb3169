"""Stream one answer to the terminal and stop it on Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nupic_client._sync.stream import TextStream
    from nupic_client.results import Generation

__all__ = ["stream_answer"]


def stream_answer(start: Callable[[], TextStream], write: Callable[[str], object]) -> Generation:
    """Stream an answer and return it; Ctrl-C cancels it on the server and returns the text so far.

    Args:
        start: sends the request.
        write: called with each chunk of text.

    Raises:
        NupicError: the request is wrong or failed.
        KeyboardInterrupt: Ctrl-C before the request was sent.
    """
    stream = start()
    try:
        with stream:
            for text in stream:
                write(text)
    except KeyboardInterrupt:
        stream.close()
    return stream.result()
