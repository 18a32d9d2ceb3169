"""A request that is refused: its status and the real server's text."""

from __future__ import annotations

__all__ = ["StatusError", "invalid"]


class StatusError(Exception):
    """A request that ends with a status and the real server's text.

    Args:
        code: the name of the gRPC status of a unary call.
        message: the real server's text.
        reached_model: whether the response names the model and carries the final mark.
    """

    def __init__(self, code: str, message: str, *, reached_model: bool = False) -> None:
        super().__init__(code, message, reached_model)
        self.code = code
        self.message = message
        self.reached_model = reached_model


def invalid(text: str) -> StatusError:
    """Return the refusal of an invalid request."""
    return StatusError("INVALID_ARGUMENT", text)
