"""Tracebacks that end where the caller's code called this package."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["without_frames"]

AnyError = TypeVar("AnyError", bound=BaseException)
_OURS = ("nupic_client", "grpc")


def without_frames(error: AnyError) -> AnyError:
    """Return an error without the frames so far, if it was raised by this package or gRPC: they say nothing to a caller.

    An error of the caller's own function, such as one that gets a token, keeps its frames.
    """
    for each in (error, error.__cause__):
        last = None if each is None else each.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        if each is not None and last is not None:
            module = str(last.tb_frame.f_globals.get("__name__", ""))
            if module.partition(".")[0] in _OURS:
                each.__traceback__ = None
    return error
