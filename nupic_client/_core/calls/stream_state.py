"""Where a stream is between its first and its last moment, for its reader and for those who leave it. Nothing here waits.

A stream always ends in exactly one known way: finished, cancelled by the caller, or a typed error that says how far it had
come.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from enum import Enum
from logging import INFO
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from nupic_client.errors import StreamClosedError, StreamConsumedError
from nupic_client.logs import logger

if TYPE_CHECKING:
    from nupic_client._core.calls.observation import Observation
    from nupic_client.errors import RequestError
    from nupic_client.messages import Message
    from nupic_client.observe import RequestOutcome

__all__ = ["Later", "State", "StreamState"]

ItemT = TypeVar("ItemT")
Later: TypeAlias = Callable[[Callable[[], object]], object]


class State(Enum):
    """How far a stream is."""

    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


class StreamState(Generic[ItemT]):
    """The state of one stream. An item is what a read gives its caller; one that is false means that nothing has come.

    Args:
        start: clock reading when it begins.
        on_end: called once with the stream's session when it has ended, however it ended; must not raise.
        observation: told of the request; None without an observer.
    """

    __slots__ = (
        "_client_closed",
        "_consumed",
        "_end",
        "_error",
        "_left_by",
        "_observation",
        "_on_end",
        "_state",
        "first_due",
        "outputs_only",
        "running",
    )

    _nothing: ItemT
    """The item for nothing."""
    _consumed_words: str
    """The sentence of StreamConsumedError."""
    _closed_words: str
    """The sentence of StreamClosedError."""
    _client_closed_words: str
    """The same after the client was closed."""

    def __init__(
        self, start: float, on_end: Callable[[Any], None] | None, observation: Observation | None = None
    ) -> None:
        self._state = State.RUNNING
        self.running: bool = True
        """Whether the answer is still coming."""
        self.outputs_only: bool = False
        """Whether the item that was received last is false and counts nonetheless: a text's other outputs came."""
        self._client_closed = False
        self._consumed = False
        self._error: RequestError | None = None
        self._left_by: Exception | None = None
        self._end = start
        self._on_end = on_end
        self._observation = observation
        self.first_due: bool = observation is not None and observation.wants_first
        """Whether an observer waits for the first item."""

    @property
    @abstractmethod
    def answered(self) -> bool:
        """Whether the answer is complete; only the status of the call may be outstanding."""

    @abstractmethod
    def _log(self) -> None:
        """Log the outcome."""

    @abstractmethod
    def _outcome(self) -> RequestOutcome:
        """Return the outcome for an observer."""

    def said(self) -> Message | None:
        """Return the answer as far as it came, for an observer that wants to know; None where there are no words."""
        return None

    def cancelled(
        self,
        now: float,
        later: Later | None = None,
        *,
        client_closed: bool = False,
        error: BaseException | None = None,
    ) -> None:
        """End because the caller left the stream; without effect after the end.

        Args:
            now: clock reading.
            later: calls a function later. Destructors pass it, because the interrupted code may hold the locks of logging.
            client_closed: whether the client was closed.
            error: the exception that made the caller leave, such as one of the function for the token.
        """
        if self.running:
            self._client_closed = client_closed
            self._left_by = error if isinstance(error, Exception) else None
            self._close(State.FINISHED if self.answered else State.CANCELLED, now, later)

    def given_up(self, error: Exception) -> None:
        """Tell an observer of an error that ends the request for its caller, while this state goes on: nobody reads it."""
        observation, self._observation = self._observation, None
        if observation is not None:
            observation.failed(error)

    def check_unread(self) -> None:
        """Raise the error of a reader that begins now: those of `check_running`, and one more.

        Raises:
            StreamConsumedError: the end was already delivered.
        """
        self.check_running()
        if self._consumed:
            raise StreamConsumedError(self._consumed_words)

    def check_running(self) -> None:
        """Raise the error of a reader that goes on, if there is one.

        Raises:
            StreamClosedError: the caller closed the stream.
            RequestError: the stream failed; the same error again.
        """
        if self._error is not None:
            raise self._error
        if self._state is State.CANCELLED:
            raise StreamClosedError(self._client_closed_words if self._client_closed else self._closed_words)

    def consumed(self) -> ItemT:
        """Mark the end of the stream as delivered and return the signal for it."""
        self._consumed, self.outputs_only = True, False
        return self._nothing

    @property
    def progress(self) -> str:
        """How far it is, in a word."""
        if self._state is State.RUNNING:
            return "reading"
        return str(self._state.value)

    @property
    def finished(self) -> bool:
        """Whether the answer came to its end."""
        return self._state is State.FINISHED

    @property
    def failure(self) -> RequestError | None:
        """The error the stream ended with, or None."""
        return self._error

    def _give_back(self, later: Later | None) -> None:
        """Give back what the stream has taken, when it has ended; `later` as for `cancelled`."""

    def _close(self, state: State, now: float, later: Later | None = None) -> None:
        if not self.running:  # another thread was first
            return
        self._state = state
        self.running = False
        self._end = now
        if logger.isEnabledFor(INFO):
            if later is None:
                self._log()
            else:
                later(self._log)
        self._give_back(later)
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self)
        observation, self._observation = self._observation, None
        if observation is not None:
            observation.ended(self._outcome, self.said, dropped=later is not None)
