"""The requests of one sequence: the flags of each, and that there is one at a time. Nothing here waits.

A model with a sequence batcher keeps a state for each sequence. All its requests carry the same ``sequence_id``, the first
one also ``sequence_start``, the last one ``sequence_end``. A request that is sent twice may be applied twice, so none is
sent again by itself: a connection that failed does not say whether the request had arrived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from nupic_client._core.calls.flows import READ_CLOCK, Flow
from nupic_client._core.calls.placement import Pin
from nupic_client._core.inference.stream_opening import open_inference_stream
from nupic_client._numbers import check_integer
from nupic_client._suggest import listed
from nupic_client._text import check_text
from nupic_client.errors import ConfigurationError, RequestRejectedError, StreamStateError
from nupic_client.timeouts import NO_RETRIES

if TYPE_CHECKING:
    from nupic_client._arrays import ArrayLike
    from nupic_client._core.calls.auth import Bearer
    from nupic_client._core.calls.models import ModelDirectory
    from nupic_client._core.calls.observation import Observation
    from nupic_client._core.calls.watch import Watch
    from nupic_client._core.inference.request import InferenceRequest
    from nupic_client._core.inference.result import InferenceResult
    from nupic_client._core.inference.session import InferenceSession

__all__ = ["SequenceState", "checked_sequence_id", "infer_in_sequence", "open_in_sequence"]

_ID, _START, _END = "sequence_id", "sequence_start", "sequence_end"


def checked_sequence_id(value: object) -> int | str:
    """Return the id of a sequence after checking it.

    Raises:
        ConfigurationError: it is neither a positive integer of 64 bits nor a text.
    """
    allowed = "an integer from 1 to 2**64 - 1 or a non-empty text"
    if isinstance(value, str) and value:
        check_text("sequence_id", value, parameter="sequence_id")
        return value
    return check_integer("sequence_id", value, allowed, low=1, high=2**64 - 1)


class SequenceState:
    """How far a sequence is. Thread-safe.

    Args:
        sequence_id: of its requests.
    """

    __slots__ = ("_turns", "ended", "pin", "sent", "sequence_id", "started")

    def __init__(self, sequence_id: int | str) -> None:
        self.sequence_id = sequence_id
        self.sent = False
        """Whether the server may have got a request."""
        self.started = False
        """Whether the server has answered a request."""
        self.ended = False
        """Whether the server has answered the last request."""
        self.pin = Pin()
        """All its requests go to the server that holds its state."""
        self._turns = [self]  # who pops it may send: no lock, because destructors give it back

    def check(self, request: InferenceRequest) -> None:
        """Check that the caller's parameters leave those of the sequence alone.

        Raises:
            ConfigurationError: they do not.
        """
        taken = [name for name in (_ID, _START, _END) if name in request.parameters]
        if taken:
            raise ConfigurationError(
                f"parameters must not have {listed(taken)}: the sequence sends them itself",
                parameter="parameters",
            )

    def take_turn(self, *, end: bool) -> Turn:
        """Begin a request.

        Args:
            end: whether it is the last one.

        Raises:
            StreamStateError: another one is running, or was the last one.
        """
        try:
            self._turns.pop()
        except IndexError:
            raise StreamStateError(
                "a sequence must have one request at a time: wait for the result of the one that is running, or read its"
                " stream to the end or close it"
            ) from None
        if self.ended:
            self._turns.append(self)
            raise StreamStateError("this sequence has ended: make another one with client.sequence()")
        return Turn(self, end=end)

    def give_back(self) -> None:
        """Let the next request begin. For destructors too."""
        self._turns.append(self)


class Turn:
    """One request of a sequence.

    Args:
        state: of the sequence.
        end: whether it is the last request.
    """

    __slots__ = ("_end", "_over", "_state")

    def __init__(self, state: SequenceState, *, end: bool) -> None:
        self._state = state
        self._end = end
        self._over = False

    def with_flags(self, request: InferenceRequest) -> InferenceRequest:
        """Return a request with the parameters of the sequence."""
        state = self._state
        flags: dict[str, bool | int | str] = {_ID: _on_the_wire(state.sequence_id)}
        if not state.started:
            flags[_START] = True
        if self._end:
            flags[_END] = True
        options = replace(request.options, session=state.pin)
        return replace(request, options=options, parameters={**request.parameters, **flags})

    def sent(self) -> None:
        """Note that the request goes out now."""
        self._state.sent = True

    def done(self, *, answered: bool) -> None:
        """End the request. For destructors too.

        Args:
            answered: whether the server has answered it.
        """
        if self._over:
            return
        self._over = True
        if answered:
            self._state.started = True
            self._state.ended = self._end
        elif not self._state.started:
            self._state.pin.address = ""  # the next request starts the sequence anew, on any server
        self._state.give_back()


def _on_the_wire(sequence_id: int | str) -> int | str:
    """Return an id as it is sent: Triton 2.51 takes only signed integers, and reads their bits as an unsigned one."""
    if isinstance(sequence_id, int) and sequence_id >= 2**63:
        return sequence_id - 2**64
    return sequence_id


def infer_in_sequence(
    request: InferenceRequest,
    inputs: Mapping[str, ArrayLike] | ArrayLike,
    models: ModelDirectory,
    state: SequenceState,
    *,
    end: bool,
    observation: Observation | None = None,
) -> Flow[InferenceResult]:
    """Send one request of a sequence, once, and return its result; the deadline covers the question for the signature too.

    Args:
        request: the request without its inputs.
        inputs: of the caller.
        models: the client's knowledge of the server's models; extended here.
        state: of the sequence.
        end: whether it is the last request.
        observation: told of the request; None without an observer.

    Raises:
        StreamStateError: the sequence has ended, or another request of it is running.
        ConfigurationError: the inputs do not fit the model; they were not sent.
        RequestError: the request failed.
    """
    start: float = yield READ_CLOCK
    turn = state.take_turn(end=end)
    answered = False
    try:
        # The question may be asked again, the request may not.
        signature = models.known_unary(request.model, request.options)
        asked = signature is None
        if signature is None:
            signature = yield from request.find_model(models, observation)
        request = turn.with_flags(replace(request, options=replace(request.options, retry=NO_RETRIES)))
        codec = request.codec(signature)
        request_id = (
            (observation and observation.request_id) or request.options.request_id or request.new_id()
        )
        message = codec.write(inputs, request_id)
        turn.sent()
        result = yield from request.send(
            codec, message, request_id, start, asked=asked, observation=observation
        )
        answered = True
    except RequestRejectedError:
        models.forget(request.model.server_name)
        raise
    finally:
        turn.done(answered=answered)
    return result


def open_in_sequence(
    request: InferenceRequest,
    inputs: Mapping[str, ArrayLike] | ArrayLike,
    models: ModelDirectory,
    state: SequenceState,
    *,
    end: bool,
    bearer: Bearer | None = None,
    watch: Watch | None = None,
) -> Flow[InferenceSession]:
    """Make the session of one streamed request of a sequence, which is sent once. The turn ends with the session.

    Args:
        request: the request without its inputs.
        inputs: of the caller.
        models: the client's knowledge of the server's models; extended here.
        state: of the sequence.
        end: whether it is the last request.
        bearer: adds the token to the metadata.
        watch: tells an observer of the request; None without one.

    Raises:
        StreamStateError: as for `infer_in_sequence`.
        ConfigurationError: as for `infer_in_sequence`.
        RequestError: the server does not have the model, or could not be asked.
    """
    turn = state.take_turn(end=end)

    def finish(session: InferenceSession) -> None:
        turn.done(answered=session.finished or session.items > 0)

    try:
        session = yield from open_inference_stream(
            turn.with_flags(request), inputs, models, bearer=bearer, on_end=finish, once=True, watch=watch
        )
    except BaseException:
        turn.done(answered=False)
        raise
    turn.sent()
    return session
