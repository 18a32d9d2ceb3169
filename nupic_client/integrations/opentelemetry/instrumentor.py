"""`NupicInstrumentor`: for ``opentelemetry-instrument``, which finds it by its entry point."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from nupic_client.integrations.opentelemetry import Instrumentation, instrument

try:
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
except ImportError as error:
    raise ImportError(
        "NupicInstrumentor needs the package opentelemetry-instrumentation: pip install opentelemetry-distro"
    ) from error

__all__ = ["NupicInstrumentor"]


class NupicInstrumentor(BaseInstrumentor):
    """The instrumentation of all clients in the way of OpenTelemetry's own packages.

    ``opentelemetry-instrument python app.py`` uses it without a change of the program.

    Example:
        .. code-block:: python

            from nupic_client.integrations.opentelemetry.instrumentor import NupicInstrumentor

            NupicInstrumentor().instrument()
            ...
            NupicInstrumentor().uninstrument()
    """

    _made: Instrumentation | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the packages that are instrumented: this one, which is there."""
        return ("nupic-client",)

    def _instrument(self, **options: Any) -> None:
        known = (
            "tracer_provider",
            "meter_provider",
            "logger_provider",
            "capture_content",
            "provider",
            "every_chunk",
        )
        self._made = instrument(**{name: options[name] for name in known if name in options})

    def _uninstrument(self, **_options: Any) -> None:
        if self._made is not None:
            self._made.uninstrument()
            self._made = None
