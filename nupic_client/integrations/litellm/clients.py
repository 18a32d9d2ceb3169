"""The clients of a provider: one for each model, server and set of options, kept as long as there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from nupic_client import InferenceClient, StreamingClient

__all__ = ["Clients"]

Client = StreamingClient | InferenceClient


class _Entry:
    """A client, and the number of calls that use it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.users = 0
        self.kept = True


class Clients:
    """Clients by what they were made of. Thread-safe; the clients serve any event loop.

    Args:
        most: how many are kept. Beyond that the one that was used least recently is closed, when its last call has ended.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @contextmanager
    def use(self, kind: type[Client], model: str, url: str | None, **options: Any) -> Iterator[Any]:
        """Give a client, which is not closed before the end of the block unless everything is.

        Args:
            kind: its class.
            model: its first argument.
            url: its second argument.
            **options: its others, which can be hashed.
        """
        key = (kind, model, url, *sorted(options.items()))
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = _Entry(kind(model, url, **options))
            self._entries.move_to_end(key)
            entry.users += 1
            surplus = self._surplus()
        for client in surplus:
            client.close()
        try:
            yield entry.client
        finally:
            with self._lock:
                entry.users -= 1
                unused = not entry.users and not entry.kept
            if unused:
                entry.client.close()

    def close(self) -> None:
        """Close all of them, and cancel their calls. Later calls make new ones."""
        with self._lock:
            entries = [*self._entries.values()]
            self._entries.clear()
        for entry in entries:
            entry.client.close()

    def _surplus(self) -> list[Client]:
        """Take out what is too much, and return those of it that nobody uses."""
        taken = []
        while len(self._entries) > self._most:
            _, entry = self._entries.popitem(last=False)
            entry.kept = False
            taken.append(entry)
        return [entry.client for entry in taken if not entry.users]
