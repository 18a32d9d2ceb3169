"""OpenTelemetry: spans and metrics of generations and embeddings, by the conventions for generative AI.

It needs the extra ``opentelemetry``, which is ``opentelemetry-api`` alone: ``pip install 'nupic-client[opentelemetry]'``.
"""

from __future__ import annotations

try:
    from nupic_client.integrations.opentelemetry.instrumentation import Instrumentation, instrument
except ImportError as error:
    if not (error.name or "").startswith("opentelemetry"):
        raise
    raise ImportError(
        "nupic_client.integrations.opentelemetry needs the package opentelemetry-api: pip install"
        " 'nupic-client[opentelemetry]'"
    ) from error

__all__ = ["Instrumentation", "instrument"]
