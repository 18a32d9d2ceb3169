"""The logger ``nupic_client``: one line for the outcome of each request, without prompts and answers.

Silent unless the application configures logging, or ``$NUPIC_LOG`` is ``info`` or ``debug``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from nupic_client.errors import ConfigurationError, RequestError

__all__ = ["log_outcome", "log_retry", "log_sending", "logger", "switch_on"]

logger: logging.Logger = logging.getLogger("nupic_client")
logger.addHandler(logging.NullHandler())

# One object, because a logger adds the same handler only once, from any thread.
_STDERR = logging.StreamHandler()
_STDERR.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
_LEVELS = {"info": logging.INFO, "debug": logging.DEBUG}


def switch_on(environ: Mapping[str, str]) -> None:
    """Write log lines to stderr if ``$NUPIC_LOG`` is set. Idempotent.

    Raises:
        ConfigurationError: its value is neither ``info`` nor ``debug``.
    """
    wanted = environ.get("NUPIC_LOG", "").strip().lower()
    if not wanted:
        return
    if wanted not in _LEVELS:
        raise ConfigurationError(f"$NUPIC_LOG must be info or debug, not {wanted!r}")
    logger.setLevel(_LEVELS[wanted])
    logger.addHandler(_STDERR)


def log_sending(model: str, request_id: str, target: str, attempt: int = 1) -> None:
    """Log at DEBUG that a request is sent."""
    logger.debug("model=%s request=%s sending to=%s attempt=%d", model, request_id, target, attempt)


def log_retry(what: str, error: RequestError, pause: float) -> None:
    """Log at DEBUG that a request is sent again after a pause."""
    logger.debug("%s failed with %s, sent again in %.3fs", what, _kind(error), pause)


def log_outcome(
    model: str,
    request_id: str,
    outcome: str | RequestError,
    *,
    total: float | None = None,
    first_token: float | None = None,
    tokens: int | None = None,
    attempts: int | None = None,
) -> None:
    """Log the outcome of a request at INFO.

    Args:
        model: the server's name of the model.
        request_id: the id of the request; empty if it had none yet.
        outcome: a word, or the error, of which only the class is logged, because a server's text may repeat the prompt.
        total: its duration in seconds.
        first_token: seconds until the first chunk of text.
        tokens: number of output tokens that the server reports.
        attempts: number of times that the request was sent.
    """
    logger.info(
        "model=%s request=%s outcome=%s total=%s ttft=%s tokens=%s attempts=%s",
        model,
        request_id or "-",
        outcome if isinstance(outcome, str) else _kind(outcome),
        _seconds(total),
        _seconds(first_token),
        "-" if tokens is None else tokens,
        "-" if attempts is None else attempts,
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}s"


def _kind(error: RequestError) -> str:
    return f"{type(error).__name__}({error.status})" if error.status else type(error).__name__
