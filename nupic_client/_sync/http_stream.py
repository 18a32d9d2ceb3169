"""A text that is streamed over HTTP: what `TextStream` reads, as a call of gRPC is read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from nupic_client._core.kserve.rest_errors import error_from_http
from nupic_client._core.kserve.rest_streams import (
    EVENT_STREAM,
    FINAL_RESPONSE,
    EventReader,
    says_more_comes,
    stream_response,
)
from nupic_client._grpc import ending, housekeeping
from nupic_client._grpc.status import BrokenCallError
from nupic_client._sync.http_calls import Handle
from nupic_client._sync.http_connection import Body
from nupic_client.errors import ConfigurationError, ProtocolError, RequestError

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from nupic_client._core.kserve.rest import RestRequest
    from nupic_client._sync.http import HttpTransport
    from nupic_client._sync.http_connection import Connection

__all__ = ["HttpStreamCall"]

_LONGEST_EVENT = 64 * 2**20
_LONGEST_REASON = 2**16
_NOT_OFFERED = (
    "the server does not stream over HTTP (it has no generate_stream): use generate() for a model that answers at once, or"
    " StreamingClient with the server's gRPC port"
)


class HttpStreamCall:
    """A call that is read by blocking, by one thread; it has what `nupic_client._grpc.call.StreamCall` has.

    Args:
        transport: lends the connection.
        end: when the answer must be complete, by the monotonic clock.
    """

    call = None
    """It has nothing to say besides its answer."""
    channel = None

    def __init__(self, transport: HttpTransport, end: float | None) -> None:
        self._transport = transport
        self._end = end
        self._handle = Handle()
        self._connection: Connection | None = None
        self._response: HTTPResponse | None = None
        self._body: Body | None = None
        self._reader = EventReader(_LONGEST_EVENT)
        self._events: deque[bytes | None] = deque()
        """What has come and was not read; None is the regular end."""
        self._last = b""
        self._over = False
        self._failure: BaseException | None = None
        self._undrained = [True]  # popping is atomic: destructors of several threads may drain

    def send(self, make: Callable[[float | None], RestRequest], headers: Mapping[str, str]) -> None:
        """Send the request. Whatever fails is raised by the first `read`, as with gRPC.

        Args:
            make: makes the request; given when that must be over.
            headers: of the request.

        Raises:
            ConfigurationError: the request cannot be sent over HTTP.
        """
        try:
            request = make(self._end)
            self._connection = connection = self._transport.lend(self._handle)
            path = self._transport.endpoint.path + request.path
            connection.begin(request, path, headers, self._end)
        except ConfigurationError:  # nothing was sent
            raise
        except Exception as error:  # noqa: BLE001 - the first read raises it
            self._failure = error
        except BaseException:  # Ctrl-C
            self._close()
            raise

    def read(self) -> bytes:
        """Wait for the next response and return it, a serialized ``ModelStreamInferResponse``.

        Raises:
            StopIteration: the answer ended as it should.
            BrokenCallError: it did not.
        """
        try:
            return self._next()
        except StopIteration:
            raise
        except Exception as error:
            raise self._broken(error) from error

    def _next(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        while not self._events:
            if self._over:
                raise StopIteration
            self._wait()
        event = self._events.popleft()
        if event is not None:
            self._last = event
            return stream_response(event)
        if says_more_comes(self._last):
            raise StopIteration  # without the final mark
        return FINAL_RESPONSE

    def _wait(self) -> None:
        """Wait for more of the answer and take in the events that end in it."""
        body = self._body or self._open()
        piece = body.some()
        if piece:
            self._events.extend(self._reader.feed(piece))
            return
        self._events.extend(self._reader.end())
        # Without a length of any kind, an answer that was cut looks like one that ended: nothing says that it is complete.
        if body.delimited:
            self._events.append(None)
        self._end_answer()

    def _end_answer(self) -> None:
        response, connection = self._response, self._connection
        assert response is not None  # noqa: S101 - it was read
        assert connection is not None  # noqa: S101
        self._over = True
        if response.will_close:
            connection.close()
        response.close()
        self._give_back()

    def _open(self) -> Body:
        """Wait for the headers of the answer and return its body."""
        connection = self._connection
        assert connection is not None  # noqa: S101 - the request was sent on it
        self._response = response = connection.answer()
        self._body = body = Body(response)
        kind = response.headers.get_content_type()
        if kind == EVENT_STREAM or 200 <= response.status < 300:
            body.check()
        if kind == EVENT_STREAM:  # also with a status of failure: then the first event says why
            return body
        if 200 <= response.status < 300:
            raise ProtocolError(f"the server's answer must be of the type {EVENT_STREAM}, not {kind[:100]!r}")
        reason = body.beginning(_LONGEST_REASON)
        error = error_from_http(response.status, reason, response.headers, optional=True)
        raise error.with_facts(message=_NOT_OFFERED) if error.status == "UNIMPLEMENTED" else error

    def _broken(self, error: Exception) -> Exception:
        """Return what the reader of the stream takes for the end of a call that failed."""
        connection = self._connection
        failure: BaseException = error
        if connection is not None:
            failure = self._transport.failure(error, connection, self._end)
        self._over = True
        self._failure = error
        self._close()
        return BrokenCallError(failure) if isinstance(failure, RequestError) else error

    @property
    def is_drained(self) -> bool:
        """Whether the call has ended, or will be ended."""
        return not self._undrained

    def cancel(self) -> None:
        """End the call now, which wakes its reader."""
        self._handle.interrupt()

    def note_end(self) -> None:
        """Do nothing: the call knows its end."""

    def cancel_soon(self, patience: float = 0.0) -> None:
        """Get the call ended, which wakes its reader.

        Args:
            patience: seconds that it may take to end by itself first.
        """
        if patience:
            ending.let_end(None, self.cancel, patience)
        else:
            housekeeping.submit(self.cancel)

    def drain_once(self, patience: float = 0.0) -> None:
        """Get the call ended and its connection closed, once. No thread may read any more.

        Args:
            patience: seconds that it may take to end by itself first.
        """
        try:
            self._undrained.pop()
        except IndexError:
            return
        if self._over:
            return
        if patience:
            ending.let_end(None, self._leave, patience)
        else:
            housekeeping.submit(self._leave)

    def discard_events(self) -> None:
        """Do nothing: the connection is closed with the call."""

    def _leave(self) -> None:
        self.cancel()
        self._close()

    def _close(self) -> None:
        """Close the connection, however much of the answer is left."""
        if self._connection is not None:
            self._connection.close()
        if self._response is not None:
            self._response.close()
        self._give_back()

    def _give_back(self) -> None:
        """Give the connection back, once: it may be another call's then."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._transport.take_back(connection, self._handle)
