"""What the questions to a server share: their timeout and metadata, and calls made of texts."""

from __future__ import annotations

from typing import Any

from nupic_client._core.calls.flows import Invoke, Metadata
from nupic_client._core.kserve import wire
from nupic_client._text import check_text

__all__ = ["Queries"]


class Queries:
    """Questions to one server.

    Args:
        timeout: seconds for each call, or None for no limit.
        metadata: sent with each call.
    """

    def __init__(self, timeout: float | None, metadata: Metadata) -> None:
        self._timeout = timeout
        self._metadata = metadata

    def _invoke(self, method: str, **fields: str) -> Invoke:
        """Return the call of a method whose request consists of texts.

        Raises:
            ConfigurationError: a field is no text that can be sent.
        """
        for field, text in fields.items():
            parameter = "model" if field == "name" and method.startswith("Model") else field
            check_text(parameter, text, parameter=parameter)
        return self._send(method, wire.METHODS[method][0](**fields))

    def _send(self, method: str, request: Any) -> Invoke:
        return Invoke(method, request, self._timeout, self._metadata)
