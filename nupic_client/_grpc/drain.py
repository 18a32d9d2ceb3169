"""Read the last events of a cancelled call that nobody reads any more.

A call of a channel with ``SingleThreadedUnaryStream`` has a completion queue of its own, and gRPC frees both when the last
event has been read from it. ``cancel()`` alone reads none: each stream that was left before its end would cost 13 KB for
ever (measured with grpcio 1.85). Nor does ``cancel()`` do anything for a call that gRPC has given up itself because a
message could not be read: the server would go on generating. gRPC has no public way to do either.
"""

from __future__ import annotations

import sys
from typing import Any

import grpc

__all__ = ["discard_events", "drain", "is_grpc_call", "is_over"]


def is_grpc_call(call: Any) -> bool:
    """Return whether it is gRPC's own call, or passes for it: one that can be cancelled and drained."""
    state, _, _ = _internals(call)
    return state is not None


def is_over(call: Any) -> bool:
    """Return whether all events of a call were read; False where gRPC does not tell."""
    state, _, _ = _internals(call)
    return state is not None and state.code is not None and not state.due


def drain(call: Any) -> None:
    """Read the last events of a call that was cancelled, which makes them arrive at once. One thread at a time may read."""
    state, core, read_event = _internals(call)
    if state is None:
        return
    core.cancel(grpc.StatusCode.CANCELLED.value[0], "the stream was left")
    while state.due and not sys.is_finalizing():
        read_event()


def discard_events(call: Any) -> None:
    """Make sure that no more events of a call are read: Ctrl-C came out of the wait for one.

    gRPC frees the call itself then, with the queue of its events, but goes on counting events that never come.
    """
    state, _, _ = _internals(call)
    if state is not None:
        state.due.clear()


def _internals(call: Any) -> tuple[Any, Any, Any]:
    """Return the state of a call, the call of gRPC's core and the method that reads an event.

    All of them are private to grpcio. Where one is missing nothing can be done, and all are None: the call is of another
    version of gRPC, of a channel that reads by itself, or an interceptor's own.
    """
    state = getattr(call, "_state", None)
    internals = state, getattr(call, "_call", None), getattr(call, "_consume_next_event", None)
    if None in internals or not (hasattr(state, "code") and hasattr(state, "due")):
        return None, None, None
    return internals
