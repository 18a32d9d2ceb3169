"""`instrument`: give a client, or all clients, the observer that writes spans and metrics."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any

from opentelemetry import _logs, metrics, trace
from typing_extensions import Self

from nupic_client import HttpInferenceClient, InferenceClient, StreamingClient, __version__, observe_all
from nupic_client.integrations.opentelemetry.names import SCOPE, names_of
from nupic_client.integrations.opentelemetry.observer import ContentTelemetry, Telemetry
from nupic_client.integrations.opentelemetry.settings import Capture, capture_of

__all__ = ["Instrumentation", "instrument"]


class Instrumentation:
    """What `instrument` has done, to be undone. Also a context manager. Thread-safe.

    Args:
        telemetry: the observer.
        stop: takes it away.
    """

    def __init__(self, telemetry: Telemetry, stop: Callable[[], None]) -> None:
        self._telemetry = telemetry
        self._stop = stop

    def uninstrument(self) -> None:
        """Write nothing of later requests; the spans of those that run end with them. Idempotent."""
        self._telemetry.active = False  # also in the clients that `with_options` has made meanwhile
        self._stop()

    def __enter__(self) -> Self:
        """Return this; the end of the block is `uninstrument`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.uninstrument()


def instrument(
    client: StreamingClient | InferenceClient | HttpInferenceClient | None = None,
    *,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    logger_provider: Any = None,
    capture_content: bool | Capture | None = None,
    provider: str | None = None,
    every_chunk: bool = True,
) -> Instrumentation:
    """Write a span and metrics of each generation and each embedding, and put the server's spans into the same trace.

    Whoever is instrumented twice has one span for each request nonetheless.

    Args:
        client: the client; None for all clients of this process, also those that exist already, that `Conversation` uses
            and that `ClientFactory` makes.
        tracer_provider: of the SDK; None for the global one, which may be set later.
        meter_provider: the same for metrics.
        logger_provider: the same for events.
        capture_content: write prompts and answers: True, or where (``"SPAN_ONLY"``, ``"EVENT_ONLY"``, ``"SPAN_AND_EVENT"``);
            False never. None does what ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` says, by default nothing.
        provider: the value of ``gen_ai.provider.name``. Default: ``nupic`` for models whose names begin so, else ``triton``.
        every_chunk: record the time between two chunks of text, too, when a stream ends.

    Returns:
        What undoes it: ``uninstrument()``, or the end of a ``with`` block.

    Raises:
        ConfigurationError: ``capture_content`` is wrong.

    Example:
        .. code-block:: python

            from nupic_client.integrations.opentelemetry import instrument

            instrument()
    """
    names = names_of(os.environ)
    content = capture_of(capture_content, os.environ)
    kind = ContentTelemetry if content.any else Telemetry
    telemetry = kind(
        trace.get_tracer(SCOPE, __version__, tracer_provider, names.schema),
        metrics.get_meter(SCOPE, __version__, meter_provider, names.schema),
        _logs.get_logger(SCOPE, __version__, logger_provider, names.schema),
        names=names,
        content=content,
        provider=provider,
        every_chunk=every_chunk,
        has_sdk=any(each is not None for each in (tracer_provider, meter_provider, logger_provider)),
    )
    return Instrumentation(
        telemetry, observe_all(telemetry) if client is None else client.add_observer(telemetry)
    )
