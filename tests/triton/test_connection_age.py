"""The real server with a limit for the age of connections: what it says of a stream that is cut, and that it is well."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from nupic_client import ConnectionFailedError, StreamingClient
from nupic_client._core.balance.meaning import Meaning, meaning_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from triton.server import RealTriton


def slow(request: object) -> Iterator[str]:
    for _ in range(600):
        yield "text "
        time.sleep(0.1)


def test_a_stream_that_is_cut_after_the_grace_says_nothing_against_the_server(
    serve_real: Callable[..., RealTriton],
) -> None:
    options = ["--grpc-max-connection-age=2000", "--grpc-max-connection-age-grace=1000"]
    server = serve_real(slow, options=options)
    with StreamingClient("gpt.streaming", url=server.url) as client:
        with pytest.raises(ConnectionFailedError, match="because of its age") as caught:
            client.generate("one")
        assert caught.value.partial_text.startswith("text ")
        assert meaning_of(caught.value) is Meaning.NOTHING
        server.reply = ["well"]
        assert client.generate("two").text == "well"
