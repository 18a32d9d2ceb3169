"""What awaits on behalf of flows, whatever carries the calls."""

from __future__ import annotations

import abc
import asyncio
import inspect
import random
import time
from typing import TYPE_CHECKING, Any, TypeVar

from nupic_client._core.calls import flows
from nupic_client._core.calls.auth import Bearer, authorized, signed_call
from nupic_client._traceback import without_frames
from nupic_client.errors import ConfigurationError, DeadlineExceededError, NupicError, RequestError

if TYPE_CHECKING:
    from nupic_client._core.calls.session import StreamSession
    from nupic_client._grpc.call import AsyncStreamCall

__all__ = ["AsyncDriver"]

T = TypeVar("T")


class AsyncDriver(abc.ABC):
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

    async def run(self, flow: flows.Flow[T]) -> T:
        """Perform the commands of a flow and return its result."""
        flow = self.authorized(flow)
        try:
            command = next(flow)
            while True:
                try:
                    if type(command) is flows.ReadClock:  # the most common, and not worth a coroutine
                        reply = time.monotonic()
                    elif (
                        type(command) is flows.Invoke
                        and command.metadata.__class__ is tuple
                        and command.attempts is not None
                    ):
                        reply = await self._invoke(command)
                    else:
                        reply = await self.perform(command)
                except BaseException as error:  # noqa: BLE001 - a flow raises again what it does not handle
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
        return flow if self._bearer is None else authorized(flow, self._bearer)

    def explain(self, error: RequestError) -> RequestError:
        """Return the error of a call, with what is known about the way to the server."""
        return error

    async def perform(self, command: flows.Command) -> Any:
        """Perform a command of a flow and return the reply."""
        if isinstance(command, flows.Invoke):
            if command.metadata.__class__ is not tuple:  # a function makes it
                return await self.run(signed_call(command))
            return await (self._ask(command) if command.attempts is None else self._invoke(command))
        if isinstance(command, flows.ReadClock):
            return time.monotonic()
        if isinstance(command, flows.Sleep):
            return await asyncio.sleep(command.seconds)
        if isinstance(command, flows.DrawJitter):
            return random.random()  # noqa: S311 - spreads retries, hides nothing
        if isinstance(command, flows.FetchMetadata):
            found = command.source()
            return await found if inspect.isawaitable(found) else found
        # A plain function may block, for example while it fetches a token.
        token = await asyncio.to_thread(command.source)
        return await token if inspect.isawaitable(token) else token

    async def _ask(self, command: flows.Invoke) -> Any:
        """Make a call that notes no attempts; its error tells of one nonetheless."""
        start = time.monotonic()
        try:
            return await self._invoke(command)
        except RequestError as error:
            raise flows.tried_once(error, time.monotonic() - start) from error.__cause__

    async def _invoke(self, command: flows.Invoke) -> Any:
        return await self.finish(self.begin_at_once(command) or await self.begin(command))

    def begin_at_once(self, command: flows.Invoke) -> Any:  # noqa: ARG002 - of those that can
        """Start a unary call and return it, for `finish`; None where that may take long, and only `begin` can.

        Raises:
            ConfigurationError: the client is closed.
        """
        return None

    @abc.abstractmethod
    async def stream(self, session: StreamSession[Any]) -> AsyncStreamCall:
        """Start a ``ModelStreamInfer`` call and return it."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connection without waiting, from any thread."""

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Close the connection, which ends its calls. Idempotent."""

    @abc.abstractmethod
    async def begin(self, command: flows.Invoke) -> Any:
        """Start a unary call and return it, for `finish`.

        Raises:
            ConfigurationError: the client is closed.
        """

    @abc.abstractmethod
    async def finish(self, call: Any) -> Any:
        """Wait for a call that `begin` started and return its response.

        Raises:
            RequestError: the call failed.
        """
