"""What blocks on behalf of flows, whatever carries the calls."""

from __future__ import annotations

import abc
import random
import time
from typing import TYPE_CHECKING, Any, TypeVar

from nupic_client._core.calls import flows
from nupic_client._core.calls.auth import Bearer, authorized, signed_call
from nupic_client._sync.calls import Calls, FutureCalls
from nupic_client._traceback import without_frames
from nupic_client.errors import ConfigurationError, DeadlineExceededError, NupicError, RequestError

if TYPE_CHECKING:
    from nupic_client._core.calls.session import StreamSession
    from nupic_client._grpc.call import StreamCall

__all__ = ["Driver", "StreamDriver"]

T = TypeVar("T")


class Driver(abc.ABC):
    """Perform the commands of flows; the classes that extend it make the calls.

    Args:
        bearer: adds the token to each call.
    """

    closed = False
    """Whether the client was closed."""

    def __init__(self, bearer: Bearer | None = None) -> None:
        self._bearer = bearer

    def check_open(self) -> None:
        """Raise ConfigurationError if the client was closed."""
        if self.closed:
            raise ConfigurationError("this client is closed: make a new one")

    def run(self, flow: flows.Flow[T]) -> T:
        """Perform the commands of a flow and return its result."""
        flow = self.authorized(flow)
        try:
            command = next(flow)
            while True:
                try:
                    reply = self.perform(command)
                except BaseException as error:  # noqa: BLE001 - the flow raises it again if it is not its own
                    command = flow.throw(error)
                else:
                    command = flow.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except NupicError as error:
            known = self.explain(error) if isinstance(error, DeadlineExceededError) else error
            raise without_frames(known) from error.__cause__

    def authorized(self, flow: flows.Flow[T]) -> flows.Flow[T]:
        """Return a flow that sends this client's token with its calls."""
        return authorized(flow, self._bearer)

    def explain(self, error: RequestError) -> RequestError:
        """Return the error of a call, with what is known about the way to the server."""
        return error

    def perform(self, command: flows.Command) -> Any:
        """Do what a flow wants and return the reply."""
        if isinstance(command, flows.Invoke):
            if command.metadata.__class__ is not tuple:  # a function makes it
                return self.run(signed_call(command))
            return self._ask(command) if command.attempts is None else self._invoke(command)
        if isinstance(command, flows.Sleep):
            return time.sleep(command.seconds)
        if isinstance(command, flows.ReadClock):
            return time.monotonic()
        if isinstance(command, flows.DrawJitter):
            return random.random()  # noqa: S311 - spreads retries, hides nothing
        return command.source()

    def _ask(self, command: flows.Invoke) -> Any:
        """Make a call that notes no attempts; its error tells of one nonetheless."""
        start = time.monotonic()
        try:
            return self._invoke(command)
        except RequestError as error:
            raise flows.tried_once(error, time.monotonic() - start) from error.__cause__

    def calls(self) -> Calls:
        """Return room for many unary calls at the same time, for one reader."""
        return FutureCalls(self)

    def answers(self) -> Calls:
        """Return room for many streams at the same time, for one reader."""
        raise NotImplementedError

    def begin(self, command: flows.Invoke) -> Any:
        """Start a unary call and return it: a future, for `finish`."""
        raise NotImplementedError

    def finish(self, call: Any) -> Any:
        """Wait for a call that `begin` started and return its response."""
        raise NotImplementedError

    @abc.abstractmethod
    def _invoke(self, command: flows.Invoke) -> Any:
        """Make a call and return its response."""


class StreamDriver(Driver):
    """Starts streams of gRPC besides."""

    @abc.abstractmethod
    def stream(self, session: StreamSession[Any]) -> StreamCall:
        """Start a ``ModelStreamInfer`` call and return it."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connection, which ends its calls; does not wait for them. Idempotent."""
