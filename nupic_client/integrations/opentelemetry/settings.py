"""Where prompts and answers go, as OpenTelemetry's variables of the environment say: nowhere, unless they are asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from nupic_client import ConfigurationError

__all__ = ["Capture", "Content", "capture_of"]

Capture: TypeAlias = Literal["NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"]
"""Where prompts and answers are written."""
_MODES = ("NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT")
_CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_EMIT = "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT"
_logger = logging.getLogger("nupic_client")


@dataclass(frozen=True, slots=True)
class Content:
    """What is written of prompts and answers.

    Args:
        span: whether the span has them.
        event: whether the event has them.
        emits: whether there is an event for each request, with or without them.
    """

    span: bool = False
    event: bool = False
    emits: bool = False

    @property
    def any(self) -> bool:
        """Whether they are written at all."""
        return self.span or self.event


def capture_of(given: bool | Capture | None, environ: Mapping[str, str]) -> Content:  # noqa: FBT001 - the user's own argument
    """Return what to write.

    Args:
        given: the argument of ``instrument``; None leaves it to the environment.
        environ: the environment.

    Raises:
        ConfigurationError: the argument is none of the possible ones. A wrong variable is logged, and counts as none.
    """
    wanted = _variable(_CAPTURE, environ, _MODES) or "NO_CONTENT"
    if isinstance(given, bool):
        mode = ("SPAN_ONLY" if wanted == "NO_CONTENT" else wanted) if given else "NO_CONTENT"
    elif given is None:
        mode = wanted
    elif given in _MODES:
        mode = given
    else:
        raise ConfigurationError(
            f"capture_content must be True, False, None or one of {', '.join(_MODES)}, not {given!r}",
            parameter="capture_content",
        )
    event = mode in ("EVENT_ONLY", "SPAN_AND_EVENT")
    emits = _variable(_EMIT, environ, ("TRUE", "FALSE"))
    emitted = event if emits is None else emits == "TRUE"
    return Content(span=mode in ("SPAN_ONLY", "SPAN_AND_EVENT"), event=event and emitted, emits=emitted)


def _variable(name: str, environ: Mapping[str, str], values: tuple[str, ...]) -> str | None:
    value = environ.get(name, "").strip().upper()
    if not value or value in values:
        return value or None
    _logger.warning("$%s must be one of %s, not %r: it counts as not set", name, ", ".join(values), value)
    return None
