"""The state of one inference with any number of responses: what `StreamSession` knows, and the results."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from nupic_client._core.calls.session import StreamSession
from nupic_client._core.calls.stream_state import State
from nupic_client._core.inference.result import InferenceResult
from nupic_client._core.inference.stream_decoder import ResultDecoder
from nupic_client.errors import RequestError
from nupic_client.logs import log_outcome
from nupic_client.observe import RequestOutcome
from nupic_client.results import Timing

if TYPE_CHECKING:
    from typing import Any

    from nupic_client._core.calls.auth import Bearer
    from nupic_client._core.calls.observation import Observation
    from nupic_client._core.inference.codec import InferenceCodec
    from nupic_client._core.inference.request import InferenceRequest

__all__ = ["InferenceSession", "Item", "OnEnd"]

Item: TypeAlias = tuple[InferenceResult, ...]
"""One result, or none. The result alone would not do: one without outputs is false."""


class InferenceSession(StreamSession[Item]):
    """The state of one inference.

    Args:
        request: the inference.
        codec: of the request, for its model.
        message: the serialized ``ModelInferRequest``.
        start: clock reading when it is sent, in seconds.
        bearer: adds the token to the metadata.
        on_end: called once with the session when the answer has ended, however it ended; must not raise.
        on_signature_changed: called when a refusal suggests that the model's signature has changed; must not raise.
        observation: told of the request; None without an observer.
    """

    __slots__ = ("_codec", "_count", "_first", "_message")

    _decoder: ResultDecoder
    _nothing = ()
    _content = "results"
    _consumed_words = "this stream was already read to its end; its results were given out as they came"
    _closed_words = (
        "this stream was closed before its end, which cancelled the request (leaving a for loop closes it too: use"
        " next(stream) to read single results)"
    )
    _client_closed_words = (
        "the client was closed before the end of this stream, which cancelled the request: keep it open until the stream"
        " was read"
    )

    def __init__(
        self,
        request: InferenceRequest,
        codec: InferenceCodec,
        message: bytes,
        start: float,
        *,
        bearer: Bearer | None = None,
        on_end: OnEnd | None = None,
        on_signature_changed: Callable[[], object] | None = None,
        observation: Observation | None = None,
    ) -> None:
        super().__init__(
            request.options,
            model=codec.signature.name,
            target=request.target,
            request_id=request.options.request_id or "",
            bearer=bearer,
            start=start,
            on_end=on_end,
            on_signature_changed=on_signature_changed,
            observation=observation,
        )
        self._codec = codec
        self._message = message
        self._decoder = self._new_decoder()
        self._count = 0
        self._first: float | None = None

    @property
    def message(self) -> bytes:
        """The serialized ``ModelInferRequest`` to send."""
        return self._message

    @property
    def items(self) -> int:
        """How many results have come."""
        return self._count

    def receive(self, response: Any, now: float) -> Item:
        """Take a serialized ``ModelStreamInferResponse`` and return its result, or none.

        Raises:
            RequestError: the response is an error or breaks the protocol.
        """
        try:
            result = self._decoder.feed(response)
        except RequestError as error:
            raise self._refused(error, now) from None
        if not self.deadlines.responded:
            self._responded()
        if result is None:
            return ()
        result.endpoint = self.target
        if not self._count:
            self._first = now
        self._count += 1
        if self.first_due:
            self._tell_first(now)
        return (result,)

    @property
    def first_response(self) -> float | None:
        """Clock reading of the first result, or None."""
        return self._first

    def ended(self, now: float) -> Item:
        """Take the regular end of the stream.

        Raises:
            IncompleteStreamError: the answer is not complete.
        """
        try:
            self._decoder.end()
        except RequestError as error:
            raise self._cut(error, now) from None
        self._close(State.FINISHED, now)
        return ()

    def _new_decoder(self) -> ResultDecoder:
        return ResultDecoder(self._codec, self.request_id)

    def _amount(self) -> str:
        return f"{self._count} result{'' if self._count == 1 else 's'}" if self._count else ""

    def _log(self) -> None:
        log_outcome(
            self.model,
            self.request_id,
            self._error or self._state.value,
            total=self._end - self._start,
            first_token=None if self._first is None else self._first - self._start,
            attempts=self.attempt,
        )

    def _outcome(self) -> RequestOutcome:
        timing = Timing(
            total=self._end - self._start,
            time_to_first_token=None if self._first is None else self._first - self._start,
            chunks=self._count,
        )
        return RequestOutcome(**self._how_it_ended(), timing=timing, streamed=True)


OnEnd: TypeAlias = Callable[[InferenceSession], None]
