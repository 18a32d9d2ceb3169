"""`observe_all`: an observer of the requests of all clients; and what the clients keep of an observer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from nupic_client._core.calls.observing import Observing
from nupic_client._grpc import housekeeping
from nupic_client._public import publish
from nupic_client.observe import Observer

__all__ = ["Everywhere", "everywhere", "observe_all", "observing_of"]


class Everywhere:
    """The observers of all clients. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may come here too
        self.observers: tuple[Observing, ...] = ()

    def add(self, observing: Observing) -> None:
        """Tell this one, too."""
        with self._lock:
            self.observers = (*self.observers, observing)

    def remove(self, observing: Observing) -> None:
        """Tell this one of no more requests; those that run will still be told of their end."""
        with self._lock:
            self.observers = tuple(each for each in self.observers if each is not observing)


everywhere: Everywhere = Everywhere()
"""Empty until `observe_all` is called: nothing in this package does that by itself."""


def observing_of(observer: Observer) -> Observing:
    """Return what tells an observer.

    Raises:
        ConfigurationError: it is none.
    """
    return Observing(observer, time.monotonic, housekeeping.Deferred)


def observe_all(observer: Observer) -> Callable[[], None]:
    """Tell an observer of the requests of all clients of this process, also of those that exist already.

    It is told besides the clients' own observers. It is for programs and for what instruments them: a library gives its
    clients an ``observer=`` of their own.

    Args:
        observer: see `Observer`.

    Returns:
        A function that ends it. The requests that run then are told of to their end. Idempotent; thread-safe.

    Raises:
        ConfigurationError: it has none of the methods of an observer, or one that cannot be called.

    Example:
        .. code-block:: python

            import nupic_client

            stop = nupic_client.observe_all(figures)
            try:
                main()
            finally:
                stop()
    """
    observing = observing_of(observer)
    everywhere.add(observing)
    return lambda: everywhere.remove(observing)


publish(__name__)
