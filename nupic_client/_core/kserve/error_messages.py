"""Server messages to typed errors: the same for texts inside a stream, for the details of a failed call and over HTTP.

Triton reports errors inside a stream as a text with gRPC status OK; the same text is the detail of the status when the
call is unary. What each text means stands in `error_rules`. A status that a model chose itself is lost in a stream: there
its error is always a failure of the model.
"""

from __future__ import annotations

from typing import Any

from nupic_client._core.kserve.context_length import figures
from nupic_client._core.kserve.error_rules import RULES
from nupic_client._core.kserve.server_words import core_of, without_exception
from nupic_client.errors import ContextLengthError, InferenceError, RequestError

__all__ = ["error_from_message", "stream_error"]


def error_from_message(message: str) -> RequestError | None:
    """Return the typed error for a server's message, or None where no rule matches.

    Args:
        message: the text as it came, with whatever ensembles, other models and Python put around it.

    Returns:
        The error with ``status``, ``retryable`` and ``server_message`` set.
    """
    core = core_of(message)
    words = without_exception(core)
    for rule in RULES:
        if rule.pattern.search(words):
            facts: dict[str, Any] = {}
            if issubclass(rule.error, ContextLengthError):
                facts["limit"], facts["requested"] = figures(words)
            advice = "" if rule.advice is None else f"{rule.advice(words)}; the server said: "
            return rule.error(
                f"{rule.sentence}: {advice}{core}",
                status=rule.status,
                retryable=rule.retryable,
                server_message=message,
                **facts,
            )
    return None


def stream_error(message: str) -> RequestError:
    """Return the error for an ``error_message`` inside a stream: that of a rule, else a failure of the model."""
    return error_from_message(message) or InferenceError(
        f"the model failed: {core_of(message) or 'without saying why'}",
        status="INTERNAL",
        server_message=message,
    )
