"""What has to be done for a cancelled call that nobody reads any more.

A call of a channel with ``SingleThreadedUnaryStream`` has a completion queue of its own, and gRPC frees both when the last
event has been read from it. ``cancel()`` alone reads none: each stream that was left before its end would cost 13 KB for
ever (measured with grpcio 1.85). Nor does ``cancel()`` do anything for a call that gRPC has given up itself because a
message could not be read: the server would go on generating. gRPC has no public way to do either.
"""

from __future__ import annotations

import sys
from typing import Any

import grpc

from nupic_client._grpc import housekeeping

__all__ = ["cancel_and_drain", "discard_events"]


def cancel_and_drain(call: Any) -> None:
    """Have a call cancelled and its last events read. Returns at once and takes no lock, for destructors too.

    Only one thread may read a call at a time: call it where no other one can.

    Args:
        call: of a single-threaded channel; any other is only cancelled.
    """
    state = getattr(call, "_state", None)
    if state is None or state.code is None or state.due:
        housekeeping.submit(_end, call)
    # Otherwise, which is the usual case, it was read to its end.


def _end(call: Any) -> None:
    """Cancel a call and read its last events, which cancelling makes arrive at once. Whatever this raises is dropped."""
    call.cancel()
    state, core, read = (getattr(call, name, None) for name in ("_state", "_call", "_consume_next_event"))
    if state is None or core is None or read is None:  # whatever another version of gRPC makes of this
        return
    core.cancel(grpc.StatusCode.CANCELLED.value[0], "the stream was left")
    while state.due and not sys.is_finalizing():
        read()


def discard_events(call: Any) -> None:
    """Make sure that no more events of a call are read: Ctrl-C came out of the wait for one.

    gRPC frees the call itself then, with the queue of its events, but goes on counting events that never come.
    """
    due = getattr(getattr(call, "_state", None), "due", None)
    if due:
        due.clear()
