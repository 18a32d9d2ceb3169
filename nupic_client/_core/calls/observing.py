"""An observer of a client, with its methods looked up once, and what becomes of one that raises. Nothing here waits."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol

from nupic_client.config import check_metadata
from nupic_client.errors import ConfigurationError
from nupic_client.logs import logger
from nupic_client.observe import ContentObserver, Observer, TracingObserver

if TYPE_CHECKING:
    from nupic_client.observe import Operation

__all__ = ["Deferred", "Observing"]

_TOLD = ("on_start", "on_first_token", "on_retry", "on_content", "on_end", "metadata")
_METHODS = (*_TOLD, "wants")


class Deferred(Protocol):
    """A place to call a function later from, where no lock is held: destructors may interrupt code that holds some."""

    def submit(self, function: Callable[[], object]) -> None:
        """Call a function soon. For destructors too; the last use of this object."""
        ...

    def release(self) -> None:
        """Call nothing; the last use of this object."""
        ...


class Observing:
    """An observer, with its methods looked up once. Thread-safe.

    A pickled copy has none if the observer cannot be pickled.

    Args:
        observer: of a client.
        clock: the monotonic clock.
        defer: makes a place to call the observer from later.

    Raises:
        ConfigurationError: it has none of the methods, or one that cannot be called.
    """

    __slots__ = ("_alive", "clock", "defer", "observer", *_METHODS)

    on_start: Callable[..., object] | None
    on_first_token: Callable[..., object] | None
    on_retry: Callable[..., object] | None
    on_content: Callable[..., object] | None
    on_end: Callable[..., object] | None
    metadata: Callable[..., object] | None
    wants: Callable[..., object] | None

    def __init__(self, observer: Any, clock: Callable[[], float], defer: Callable[[], Deferred]) -> None:
        self.observer = observer
        self.clock = clock
        self.defer = defer
        self._alive = [self]  # who pops it reports the failure
        for name in _METHODS:
            setattr(self, name, _method(observer, name))
        if not any(getattr(self, name) for name in _TOLD):
            raise ConfigurationError(
                f"observer must have at least one of the methods {', '.join(_TOLD)}, not"
                f" {type(observer).__name__}",
                parameter="observer",
            )

    def wanted(self, operation: Operation) -> bool:
        """Whether to tell of the requests of a call."""
        return bool(self._alive) and (self.wants is None or bool(self.tell("wants", operation)))

    def made_metadata(self, names: Collection[str]) -> Mapping[str, str | bytes]:
        """Return the observer's metadata for a call; what cannot be sent drops the observer, as an exception does.

        Args:
            names: of the metadata that there is already.
        """
        try:
            return check_metadata(self.tell("metadata", names) or {})
        except ConfigurationError:
            self._drop("metadata")
            return {}

    @property
    def dropped(self) -> bool:
        """Whether the observer raised, and is not called any more."""
        return not self._alive

    def tell(self, name: str, *arguments: Any, context: Context | None = None) -> Any:
        """Call a method of the observer; an exception in it is logged, and the observer is dropped.

        Ctrl-C passes: it is meant for the program.
        """
        method = getattr(self, name)
        if method is None:
            return None
        try:
            return method(*arguments) if context is None else context.run(method, *arguments)
        except Exception:  # noqa: BLE001 - an observer must not end the requests that it observes
            self._drop(name)
            return None

    def _drop(self, name: str) -> None:
        for each in _METHODS:
            setattr(self, each, None)
        try:
            self._alive.pop()
        except IndexError:
            return
        kind = type(self.observer).__name__
        logger.error("observer %s is not called any more: %s raised", kind, name, exc_info=True)

    def __copy__(self) -> Observing:
        return self

    def __deepcopy__(self, memo: object) -> Observing:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        import pickle  # noqa: PLC0415 - it was imported by now

        try:
            pickle.dumps(self.observer)
        except Exception:  # noqa: BLE001 - anything, from the objects that it holds
            logger.warning("observer %s cannot be pickled: a copy has none", type(self.observer).__name__)
            return _nothing, ()
        return Observing, (self.observer, self.clock, self.defer)


_DEFAULTS = frozenset(
    vars(kind)[name]
    for kind in (Observer, TracingObserver, ContentObserver)
    for name in _METHODS
    if name in vars(kind)
)
"""Those that do nothing, of observers that do not override them."""


def _method(observer: object, name: str) -> Callable[..., object] | None:
    """Return a method of an observer; None for one that it does not have, or does not override.

    Raises:
        ConfigurationError: it cannot be called, or is async.
    """
    method = getattr(observer, name, None)
    if method is None or getattr(method, "__func__", None) in _DEFAULTS:
        return None
    if not callable(method) or inspect.iscoroutinefunction(method) or isinstance(observer, type):
        kind = f"the class {observer.__name__}" if isinstance(observer, type) else f"{method!r}"
        advice = "make an object of it" if isinstance(observer, type) else "observers are told, not awaited"
        raise ConfigurationError(
            f"observer.{name} must be a plain method of an object, not {kind}: {advice}", parameter="observer"
        )
    return method  # type: ignore[no-any-return]


def _nothing() -> None:
    """Return the `Observing` of a copy whose observer could not be copied."""
