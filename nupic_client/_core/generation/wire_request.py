"""A request that is ready to be sent, with all that is to be known about its answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nupic_client.timeouts import NO_RETRIES, RetryPolicy

if TYPE_CHECKING:
    from nupic_client._core.calls.auth import Bearer
    from nupic_client.backends.protocol import OutputNames

__all__ = ["WireRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """A request that is ready to be sent.

    Args:
        message: the ``ModelInferRequest``.
        output_names: where the parts of the answer stand.
        stops: strings that end the text.
        model: the server's name of the model.
        target: the server, for error texts.
        request_id: sent with the request and echoed by the server.
        timeout: seconds for the whole call, or None.
        metadata: sent with the call.
        prompt: removed from the text where the output_names says that the text may begin with it.
        first_token: seconds until the first response, or None.
        between_tokens: seconds from one response to the next, or None.
        retry: how often it is sent again.
        bearer: adds the token to the metadata.
        max_output_bytes: a longer text is an error; None for no limit.
    """

    message: Any = field(repr=False)  # it has the prompt
    output_names: OutputNames
    stops: tuple[str, ...]
    model: str
    target: str
    request_id: str
    timeout: float | None
    metadata: tuple[tuple[str, str | bytes], ...] = field(repr=False)  # it may be secret
    prompt: str = field(default="", repr=False)
    first_token: float | None = None
    between_tokens: float | None = None
    retry: RetryPolicy = NO_RETRIES
    bearer: Bearer | None = None
    max_output_bytes: int | None = None
