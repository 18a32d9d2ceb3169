"""`InferenceSequence`: requests to a stateful model that share one state."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from typing_extensions import Self, Unpack

from nupic_client._async.driver import AsyncDriver
from nupic_client._async.infer_stream import AsyncInferenceStream
from nupic_client._core.calls.auth import Bearer
from nupic_client._core.calls.models import ModelDirectory
from nupic_client._core.calls.observation import Observation, observed
from nupic_client._core.calls.watch import Watch
from nupic_client._core.inference.request import InferenceRequest
from nupic_client._core.inference.result import InferenceResult
from nupic_client._core.inference.sequence import (
    SequenceState,
    checked_sequence_id,
    infer_in_sequence,
    open_in_sequence,
)
from nupic_client._core.inference.session import InferenceSession
from nupic_client._option_signatures import named_options
from nupic_client._public import publish
from nupic_client._request_id import new_sequence_id
from nupic_client._single_inference import Inputs
from nupic_client._sync.driver import StreamDriver
from nupic_client._sync.infer_stream import InferenceStream
from nupic_client.options import InferOptions, InferStreamOptions

if TYPE_CHECKING:
    from nupic_client._core.calls.flows import Flow

__all__ = ["InferenceSequence"]

_HURRY = 5.0
"""Seconds for the last request of a block that an exception leaves."""


class _MakeRequest(Protocol):
    """Makes the request of a call of a sequence."""

    def __call__(self, options: Any, *, streamed: bool = False) -> InferenceRequest: ...


@named_options
class InferenceSequence:
    """The requests of one sequence: a stateful model answers them in order, with one state for all of them.

    Made by `InferenceClient.sequence`. The first request starts the sequence on the server, the one with ``end=True`` ends
    it. There is one request at a time; any thread or task may send the next one.

    A request of a sequence is sent once: one that fails is not sent again by itself (other than with a new token), as the
    model may have applied it. After a failure the sequence goes on as the server left it. Where the very first request
    failed, the next one starts the sequence anew.

    The end of the block sends ``end_with``, if it was given and the sequence has not ended; a stream that is still being
    read is closed before. After an exception that request has at most 5 seconds, and its own error is dropped in favour of
    the exception. A generator or coroutine that is closed inside of the block sends nothing.

    Example:
        .. code-block:: python

            with client.sequence(end_with=[0]) as sequence:
                for number in [3, 4, 5]:
                    print(sequence.infer([number]).only)
    """

    def __init__(
        self,
        make_request: _MakeRequest,
        models: ModelDirectory,
        transport: StreamDriver,
        async_transport: AsyncDriver,
        bearer: Bearer | None,
        watch: Callable[..., Watch | None],
        *,
        sequence_id: int | str | None = None,
        end_with: Inputs | None = None,
    ) -> None:
        chosen = new_sequence_id() if sequence_id is None else checked_sequence_id(sequence_id)
        self._make_request = make_request
        self._models = models
        self._transport = transport
        self._async_transport = async_transport
        self._bearer = bearer
        self._watch = watch
        self._state = SequenceState(chosen)
        self._end_with = end_with
        # A weak reference, so that dropping a stream cancels it like every other one.
        self._stream: weakref.ref[InferenceStream | AsyncInferenceStream] | None = None

    @property
    def sequence_id(self) -> int | str:
        """The id that its requests are sent with."""
        return self._state.sequence_id

    @property
    def ended(self) -> bool:
        """Whether the last request was answered."""
        return self._state.ended

    def infer(self, inputs: Inputs, end: bool = False, **options: Unpack[InferOptions]) -> InferenceResult:  # noqa: FBT001, FBT002 - reads well where it is named
        """Send the next request and return its outputs. Blocks.

        Args:
            inputs: as for `InferenceClient.infer`.
            end: whether it is the last request.
            **options: as for `InferenceClient.infer`; ``parameters`` without those of the sequence.

        Returns:
            As `InferenceClient.infer`.

        Raises:
            StreamStateError: the sequence has ended, or another request of it is running.
            ConfigurationError: as for `InferenceClient.infer`; the sequence is unchanged.
            RequestError: the request failed; it was not sent again.
            TypeError: an option does not exist.
        """
        with closing(self._infer(inputs, options, end=end)) as flow:
            return self._transport.run(flow)

    async def ainfer(  # the async twin has the same parameters
        self,
        inputs: Inputs,
        end: bool = False,  # noqa: FBT001, FBT002
        **options: Unpack[InferOptions],
    ) -> InferenceResult:
        """Send the next request and return its outputs; the async twin of `infer`.

        Args:
            inputs: as for `infer`.
            end: as for `infer`.
            **options: as for `infer`.

        Returns:
            As `infer`.

        Raises:
            StreamStateError: as for `infer`.
            ConfigurationError: as for `infer`.
            RequestError: as for `infer`.
            TypeError: an option does not exist.
        """
        with closing(self._infer(inputs, options, end=end)) as flow:
            return await self._async_transport.run(flow)

    def infer_stream(
        self,
        inputs: Inputs,
        end: bool = False,  # noqa: FBT001, FBT002
        **options: Unpack[InferStreamOptions],
    ) -> InferenceStream:
        """Send the next request and return its results as a stream, for decoupled models.

        Its end, or its close, is the end of the request: then the next one may follow.

        Args:
            inputs: as for `InferenceClient.infer_stream`.
            end: whether it is the last request.
            **options: as for `InferenceClient.infer_stream`; ``parameters`` without those of the sequence.

        Returns:
            As `InferenceClient.infer_stream`.

        Raises:
            StreamStateError: the sequence has ended, or another request of it is running.
            ConfigurationError: as for `InferenceClient.infer_stream`; the sequence is unchanged.
            RequestError: the model's signature could not be asked for.
            TypeError: an option does not exist.
        """
        _, opening = self._open(inputs, options, end=end)
        stream = InferenceStream(self._transport, self._transport.run(opening))
        self._stream = weakref.ref(stream)
        return stream

    def ainfer_stream(
        self,
        inputs: Inputs,
        end: bool = False,  # noqa: FBT001, FBT002
        **options: Unpack[InferStreamOptions],
    ) -> AsyncInferenceStream:
        """Return the results of the next request as an async stream; the async twin of `infer_stream`. Does not block.

        ``async with`` or the first read sends the request: only then the turn is taken.

        Args:
            inputs: as for `infer_stream`.
            end: as for `infer_stream`.
            **options: as for `infer_stream`.

        Returns:
            As `InferenceClient.ainfer_stream`.

        Raises:
            ConfigurationError: an option is wrong.
            TypeError: an option does not exist.
        """
        request, opening = self._open(inputs, options, end=end)
        stream = AsyncInferenceStream(self._async_transport, opening, request.options.request_id or "")
        self._stream = weakref.ref(stream)
        return stream

    def __enter__(self) -> Self:
        """Return the sequence; the end of the block sends ``end_with``, if the sequence has not ended."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._leave(kind):
            try:
                self.infer_stream(self._end_with, end=True, **_limits(error)).results()
            except Exception:
                if error is None:
                    raise

    async def __aenter__(self) -> Self:
        """Return the sequence; the end of the block sends ``end_with``, if the sequence has not ended."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._leave(kind):
            try:
                await self.ainfer_stream(self._end_with, end=True, **_limits(error)).results()
            except Exception:
                if error is None:
                    raise

    def __repr__(self) -> str:
        return f"InferenceSequence({self.sequence_id!r}{', ended' if self.ended else ''})"

    def _infer(self, inputs: Inputs, options: InferOptions, *, end: bool) -> Flow[InferenceResult]:
        request = self._make_request(options)
        self._state.check(request)

        def make(observation: Observation | None) -> Flow[InferenceResult]:
            return infer_in_sequence(
                request, inputs, self._models, self._state, end=end, observation=observation
            )

        watch = self._watch("infer")
        return make(None) if watch is None else observed(watch, make, **request.facts())

    def _open(
        self, inputs: Inputs, options: InferStreamOptions, *, end: bool
    ) -> tuple[InferenceRequest, Flow[InferenceSession]]:
        request = self._make_request(options, streamed=True)
        self._state.check(request)
        opening = open_in_sequence(
            request,
            inputs,
            self._models,
            self._state,
            end=end,
            bearer=self._bearer,
            watch=self._watch("infer_stream", streaming=True),
        )
        return request, opening

    def _leave(self, kind: type[BaseException] | None) -> bool:
        """Close the stream that is still being read, and return whether the last request is to be sent."""
        stream = None if self._stream is None else self._stream()
        if stream is not None:
            stream.cancel()
        if self._end_with is None or kind is GeneratorExit:
            return False
        return self._state.sent and not self._state.ended


def _limits(error: BaseException | None) -> InferStreamOptions:
    return {} if error is None else {"timeout": _HURRY}


publish(__name__)
