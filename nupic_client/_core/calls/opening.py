"""The questions to the server before a stream: waiting for their answers is waiting for its first response."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from nupic_client._core.calls.flows import completing, with_deadline
from nupic_client.errors import DeadlineExceededError, RequestError
from nupic_client.logs import log_outcome

if TYPE_CHECKING:
    from nupic_client._core.calls.flows import Flow
    from nupic_client._core.calls.observation import Observation
    from nupic_client._core.calls.options import CallOptions
    from nupic_client.timeouts import Timeouts

__all__ = ["ask_first"]

T = TypeVar("T")


def ask_first(
    flow: Flow[T],
    options: CallOptions,
    *,
    model: str,
    target: str,
    request_id: str,
    observation: Observation | None = None,
) -> Flow[T]:
    """Run the questions before a stream, within the deadline for its first response; the outcome of a failure is logged.

    Args:
        flow: the questions.
        options: of the call.
        model: the server's name of the model.
        target: the server, for error texts.
        request_id: of the stream.
        observation: told of retries; None without an observer.

    Raises:
        RequestError: a question failed.
    """
    flow = completing(flow, model=model, target=target, request_id=request_id)
    try:
        return (yield from with_deadline(flow, _limit(options.timeouts), options.retry, observation))
    except RequestError as error:
        failure = _late(error, options.timeouts) if isinstance(error, DeadlineExceededError) else error
        log_outcome(model, request_id, failure, attempts=len(failure.attempts))
        raise failure from error.__cause__


def _limit(timeouts: Timeouts) -> float | None:
    if timeouts.first_token is None:
        return timeouts.total
    first_token = timeouts.first_token + (timeouts.connect or 0.0)  # the connection may have to be made first
    return first_token if timeouts.total is None else min(first_token, timeouts.total)


def _late(error: DeadlineExceededError, timeouts: Timeouts) -> DeadlineExceededError:
    """Return the error of a question that was not answered in time, with the timeout that set its limit."""
    if error.limit is None:
        return error
    total = error.limit == timeouts.total
    names = "timeout" if total else "first_token and connect timeouts"
    return error.with_facts(
        deadline="total" if total else "first_token",
        message=f"the server did not say within {error.limit:g} s what the model takes and gives ({names})",
    )
