"""The observers that write spans, metrics and events."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import metrics, propagate, trace
from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from nupic_client import ContentObserver, RequestContent, RequestInfo, RequestOutcome, TracingObserver
from nupic_client.integrations.opentelemetry.attributes import (
    add_server,
    at_end,
    at_start,
    description_of,
    operation_of,
    provider_of,
    request_of,
)
from nupic_client.integrations.opentelemetry.content import as_json, content_attributes
from nupic_client.integrations.opentelemetry.metrics import Instruments
from nupic_client.integrations.opentelemetry.names import OURS, Names
from nupic_client.integrations.opentelemetry.settings import Content
from nupic_client.observe import Operation

__all__ = ["ContentTelemetry", "Telemetry"]

_MARK = "nupic_client.request"
"""In the context of a request that has its span: another instrumentation of the same client starts none."""
_SUPPRESSED = (
    "suppress_instrumentation",
    "opentelemetry.genai.client.inference.context",
    "opentelemetry.genai.client.embedding.context",
)
"""Keys of a context in which others have the span of this request: by hand, or as the conventions' own library marks it."""


class _Running:
    """A request with its span.

    Args:
        span: of the request.
        attributes: those that it began with.
        embeds: whether it is one for embeddings.
    """

    __slots__ = ("attributes", "content", "embeds", "span")

    def __init__(self, span: Span, attributes: dict[str, Any], *, embeds: bool) -> None:
        self.span = span
        self.attributes = attributes
        self.embeds = embeds
        self.content: RequestContent | None = None
        """What was said, where that is to be written."""


class Telemetry(TracingObserver):
    """Writes a span and the metrics of each generation and each embedding, and the headers that make one trace of them.

    Args:
        tracer: starts the spans.
        meter: makes the instruments.
        logger: writes the events.
        names: of everything.
        content: what is written of prompts and answers.
        provider: the name of what serves the models; None finds it out by the model's name.
        every_chunk: whether the time between two chunks is recorded.
        has_sdk: whether somebody takes what is written; else that is looked for.
    """

    def __init__(
        self,
        tracer: Tracer,
        meter: Meter,
        logger: Logger,
        *,
        names: Names,
        content: Content,
        provider: str | None,
        every_chunk: bool,
        has_sdk: bool,
    ) -> None:
        self._tracer = tracer
        self._logger = logger
        self._names = names
        self._content = content
        self._provider = provider
        self._has_sdk = has_sdk
        self._inference = Instruments(meter, names, names.inference, every_chunk=every_chunk)
        self._embeddings = Instruments(meter, names, names.embeddings, every_chunk=every_chunk)
        self.active = True
        """Whether new requests are told of."""

    def wants(self, operation: Operation) -> bool:
        """Tell whether there is anything to do: without an SDK and a trace there is not."""
        if not self.active or contexts.get_value(_SUPPRESSED[0]):
            return False
        if operation not in ("infer", "infer_stream") and (self._has_sdk or self._found_sdk()):
            return True
        return bool(trace.get_current_span().get_span_context().is_valid)

    def _found_sdk(self) -> bool:
        """Look for an SDK; once it is there it stays."""
        for get, name in _PROVIDERS:
            if get.__globals__.get(name, get) is not None and _takes(type(get())):
                self._has_sdk = True
        return self._has_sdk

    def metadata(self, names: Collection[str]) -> Mapping[str, str]:
        """Return the headers of the current trace, unless the user gives some of them."""
        headers: dict[str, str] = {}
        propagate.inject(headers, setter=_SETTER)
        return {} if any(name in names for name in headers) else headers

    def on_start(self, info: RequestInfo) -> _Running | None:
        """Start the span, and make it the current one of the request's own context, which nothing else runs in."""
        operation = operation_of(info)
        if operation is None or contexts.get_value(_MARK) == info.request_id:
            return None
        if any(contexts.get_value(key) for key in _SUPPRESSED):
            return None
        attributes = at_start(self._names, info, operation, self._provider or provider_of(info.model))
        span = self._tracer.start_span(
            f"{operation} {info.model}", kind=SpanKind.CLIENT, attributes=attributes
        )
        if span.is_recording():
            span.set_attributes(request_of(self._names, info))
        current = contexts.set_value(_MARK, info.request_id, trace.set_span_in_context(span))
        # The context is a copy that ends with the request: nothing is to be detached.
        contexts.attach(current)
        return _Running(span, attributes, embeds=operation == "embeddings")

    def on_retry(self, info: RequestInfo, error: Exception, pause: float, attempt: int) -> None:
        """Note an attempt that failed as an event of the span."""
        running = info.context
        if running is None or not running.span.is_recording():
            return
        found: dict[str, Any] = {
            OURS.attempt: attempt,
            OURS.delay: pause,
            self._names.error: type(error).__name__,
        }
        add_server(self._names, found, getattr(error, "target", ""))
        running.span.add_event(OURS.retry, found)

    def on_end(self, info: RequestInfo, outcome: RequestOutcome) -> None:
        """End the span, and record the metrics and the event."""
        running = info.context
        if running is None:
            return
        names, span = self._names, running.span
        ended = at_end(names, info, outcome)
        if self._provider is None and outcome.model:
            ended[names.provider] = provider_of(outcome.model)
        self._end(running, outcome, ended)
        context = trace.set_span_in_context(span)
        self._record(running, outcome, ended, context)
        if self._content.emits and not running.embeds:
            self._emit(running, {**running.attributes, **request_of(names, info), **ended}, outcome, context)

    def _end(self, running: _Running, outcome: RequestOutcome, ended: dict[str, Any]) -> None:
        span, error = running.span, outcome.error
        if span.is_recording():
            said = self._said(running, outcome) if self._content.span else {}
            span.set_attributes({**ended, **as_json(said)})
            if error is not None:
                span.set_status(StatusCode.ERROR, description_of(error, with_content=self._content.span))
        span.end()

    def _record(
        self, running: _Running, outcome: RequestOutcome, ended: dict[str, Any], context: Any
    ) -> None:
        names = self._names
        kept = (names.provider, names.response_model, names.address, names.port, names.error)
        attributes = running.attributes | {name: ended[name] for name in kept if name in ended}
        (self._embeddings if running.embeds else self._inference).record(outcome, attributes, context)

    def _emit(
        self, running: _Running, attributes: dict[str, Any], outcome: RequestOutcome, context: Any
    ) -> None:
        if self._content.event:
            attributes.update(self._said(running, outcome))
        record = LogRecord(
            timestamp=time.time_ns(),
            context=context,
            severity_number=SeverityNumber.INFO,
            event_name=self._names.details,
            attributes=attributes,
        )
        self._logger.emit(record)

    def _said(self, running: _Running, outcome: RequestOutcome) -> dict[str, Any]:
        if running.content is None:  # of embeddings
            return {}
        reason = None if outcome.finish_reason is None else str(outcome.finish_reason)
        return content_attributes(self._names, running.content, reason)


class ContentTelemetry(Telemetry, ContentObserver):
    """The same with prompts and answers."""

    def on_content(self, info: RequestInfo, content: RequestContent) -> None:
        """Keep what was said for the end, which comes at once."""
        if info.context is not None:
            info.context.content = content


_PROVIDERS: tuple[tuple[Any, str], ...] = (
    (trace.get_tracer_provider, "_TRACER_PROVIDER"),
    (metrics.get_meter_provider, "_METER_PROVIDER"),
)
"""What returns the global providers, and the names of their private variables, which are None until one is set.

They spare a program without an SDK the search in the environment, each time: two thirds of a microsecond for each. Where
they do not exist the functions are called.
"""


def _takes(provider: type) -> bool:
    """Tell whether a provider takes what is written; those of the API do not."""
    return not provider.__module__.startswith(("opentelemetry.trace", "opentelemetry.metrics"))


class _Headers(propagate.textmap.Setter[dict[str, str]]):
    """Writes headers as gRPC takes them; what it would refuse is left out: a trace is no reason to fail a request."""

    def set(self, carrier: dict[str, str], key: str, value: str) -> None:
        """Write a header."""
        if value.isascii() and value.isprintable():
            carrier[key.lower()] = value


_SETTER = _Headers()
