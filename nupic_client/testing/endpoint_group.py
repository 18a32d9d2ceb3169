"""EndpointGroup: several `FakeTriton` servers, each of which can die, come back, lose its model or shut down."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from typing_extensions import Self

from nupic_client._numbers import check_integer
from nupic_client.errors import ConfigurationError
from nupic_client.local.engines.scripted import ReplySource
from nupic_client.testing.fake_triton import FakeTriton

__all__ = ["EndpointGroup"]

_DEFAULT_REPLY = ("Hello", ", ", "world", "!")
_PATIENCE = 10.0
"""Seconds for a port to become free again: another program may have been lent it for a connection."""


class EndpointGroup:
    """Several `FakeTriton` servers for tests of a client with several servers. Use it as a context manager.

    A server is reached as ``group[0]``, with all that `FakeTriton` has: ``group[1].reply = ["other"]``,
    ``group[1].requests``. The switches of the group are what a server of a fleet goes through.

    Args:
        count: the number of servers.
        reply: the answer of each of them, as for `FakeTriton`.
        hosts: the address that each listens on, in place of ``count`` times 127.0.0.1. All of 127.0.0.0/8 is this
            machine on Linux, so that several servers can have the same port, as those of one name do.
        port: the port of all, for ``hosts`` that differ; 0 picks one for each.
        **options: further arguments of `FakeTriton`.

    Raises:
        ConfigurationError: ``count`` is wrong; on entering, a port is not free.

    Example:
        .. code-block:: python

            with EndpointGroup(3, reply=["Hello"]) as group, StreamingClient("gpt", url=group.urls) as client:
                client.generate("Hi")
                group.kill(0)
                assert client.generate("Hi").text == "Hello"  # from another one
                group.start_again(0)
    """

    def __init__(
        self,
        count: int = 2,
        reply: ReplySource = _DEFAULT_REPLY,
        *,
        hosts: Sequence[str] = (),
        port: int = 0,
        **options: Any,
    ) -> None:
        check_integer("count", count, "a whole number above 0", low=1)
        self.servers: Sequence[FakeTriton] = tuple(
            FakeTriton(reply, host=host, port=port, **options) for host in hosts or ["127.0.0.1"] * count
        )
        """The servers."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start all servers."""
        with ExitStack() as stack:
            for server in self.servers:
                stack.enter_context(server)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def __len__(self) -> int:
        return len(self.servers)

    def __getitem__(self, index: int) -> FakeTriton:
        return self.servers[index]

    def __iter__(self) -> Iterator[FakeTriton]:
        return iter(self.servers)

    @property
    def urls(self) -> list[str]:
        """The ``host:port`` of each server, for a client's ``url``."""
        return [server.url for server in self.servers]

    @property
    def shares(self) -> list[int]:
        """How many inference requests each server has got so far."""
        return [len(server.requests) for server in self.servers]

    def index_of(self, address: str) -> int:
        """Return which of the servers has this address, as of ``Generation.endpoint``.

        Raises:
            ValueError: none.
        """
        return self.urls.index(address)

    def kill(self, index: int) -> None:
        """Stop a server at once: its calls break, and nobody listens at its port any more. Idempotent."""
        self.servers[index].stop()

    def start_again(self, index: int) -> None:
        """Start a killed server on the same port. Its records go on.

        Raises:
            ConfigurationError: another program has taken the port meanwhile, and keeps it.
        """
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                self.servers[index].start()
            except ConfigurationError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
            else:
                return

    def set_ready(self, index: int, ready: bool) -> None:  # noqa: FBT001 - a switch
        """Set whether a server and all its models are ready; one that is not refuses requests and says so."""
        server = self.servers[index]
        server.ready = ready
        for model in server.models_ready:
            server.models_ready[model] = ready

    def set_exiting(self, index: int, exiting: bool) -> None:  # noqa: FBT001 - a switch
        """Set whether a server shuts down as the real one: running streams go on, new requests are refused."""
        self.servers[index].exiting = exiting
