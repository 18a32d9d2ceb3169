"""An SDK of OpenTelemetry that keeps everything in memory, and two ways to ask a client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from observe.recorder import wait_until
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from nupic_client.integrations.opentelemetry import instrument

__all__ = ["Memory", "agenerate", "amap", "generate", "map_"]


class Memory:
    """Keeps spans, metrics and events."""

    def __init__(self, **options: Any) -> None:
        self._spans = InMemorySpanExporter()
        self.tracer_provider = TracerProvider(**options)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self._reader])
        self._events = InMemoryLogRecordExporter()
        self.logger_provider = LoggerProvider()
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._events))
        self.tracer = self.tracer_provider.get_tracer("application")

    @property
    def providers(self) -> dict[str, Any]:
        """The arguments of `instrument`."""
        names = ("tracer_provider", "meter_provider", "logger_provider")
        return {name: getattr(self, name) for name in names}

    def instrument(self, client: Any = None, **options: Any) -> Any:
        return instrument(client, **self.providers, **options)

    @property
    def all(self) -> list[ReadableSpan]:
        """All spans that have ended."""
        return [*self._spans.get_finished_spans()]

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those of requests."""
        return [span for span in self.all if span.kind is SpanKind.CLIENT]

    def span(self) -> ReadableSpan:
        """Return the one span of a request; it may end a moment later."""
        wait_until(lambda: self.spans)
        (span,) = self.spans
        return span

    @property
    def attributes(self) -> dict[str, Any]:
        """Those of the one span."""
        return dict(self.span().attributes or {})

    @property
    def events(self) -> list[Any]:
        """The events (log records)."""
        return [each.log_record for each in self._events.get_finished_logs()]

    def points(self) -> dict[str, list[Any]]:
        """Return the data points of the metrics, by name."""
        data = self._reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def forget(self) -> None:
        self._spans.clear()

    @contextmanager
    def user(self) -> Iterator[Any]:
        """A span of the application."""
        with self.tracer.start_as_current_span("application") as span:
            yield span


def generate(client: Any, prompt: Any = "hi", **options: Any) -> Any:
    return client.generate(prompt, **options)


def agenerate(client: Any, prompt: Any = "hi", **options: Any) -> Any:
    return asyncio.run(client.agenerate(prompt, **options))


def map_(client: Any, prompt: Any = "hi", **options: Any) -> Any:
    (result,) = client.map([prompt], **options)
    return result


def amap(client: Any, prompt: Any = "hi", **options: Any) -> Any:
    async def main() -> Any:
        (result,) = [each async for each in client.amap([prompt], **options)]
        return result

    return asyncio.run(main())
