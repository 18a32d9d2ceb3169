"""The responses of one stream, taken out of what carries them. What they hold is decoded elsewhere.

Laws, observed on Triton 2.51.0:

1. The last response carries ``triton_final_response``: it is either the last content or an empty response after it.
2. An error is a text in ``error_message`` with gRPC status OK. It ends the answer; early errors carry no final mark.
3. A stream that ends without either was cut short, even if it ends with status OK.

MLServer, by its source, streams bare responses without Triton's message around them, marks none and says errors by the
status of the call. NVIDIA Dynamo wraps its responses and marks none either. A stream of such a server is complete when it
ends with status OK.
"""

from __future__ import annotations

from typing import Any

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.error_messages import stream_error
from nupic_client.errors import IncompleteStreamError, ProtocolError

__all__ = ["StreamResponses"]


class StreamResponses:
    """Read the responses of one request.

    Args:
        request_id: a response with another id is an error, one without an id is accepted; empty accepts any id.
        marks_end: whether the server marks the final response, as Triton does.
    """

    __slots__ = ("_marks_end", "_request_id", "bare", "complete")

    def __init__(self, request_id: str, *, marks_end: bool = True) -> None:
        self._request_id = request_id
        self._marks_end = marks_end
        self.bare = False
        """Whether the server streams bare responses, without Triton's message around them."""
        self.complete = False
        """Whether the server has said its last word: the final mark or an error. Only the call may still go on."""

    def read(self, data: bytes) -> tuple[Any, bool]:
        """Return the ``ModelInferResponse`` in a response, and whether it is marked as the final one.

        Args:
            data: a serialized ``ModelStreamInferResponse``, or a bare response.

        Raises:
            RequestError: the response is an error or breaks the protocol.
        """
        try:
            message = wire.parse_stream_response(data, self._request_id)
        except ProtocolError as error:
            return self._read_bare(data, error)
        answer = message.infer_response
        if message.error_message:
            self.complete = True  # an error is the last word
            return self._read_bare(data, stream_error(message.error_message).with_facts(request_id=answer.id))
        return self._seen(answer)

    def check_id(self, answer: Any) -> None:
        """Raise ProtocolError for an answer to another request."""
        if answer.id != self._request_id and answer.id and self._request_id and not self.bare:
            raise ProtocolError(
                f"the server sent an answer to another request, {answer.id!r}", request_id=self._request_id
            )

    def check_end(self) -> None:
        """Check that a stream may end (status OK) without a final mark, as those of servers that set none do.

        Raises:
            IncompleteStreamError: it may not.
        """
        if self._marks_end and not self.bare:
            raise IncompleteStreamError(
                "the server ended the stream before the answer was complete: no response was marked as final"
            )

    def _read_bare(self, data: bytes, error: Exception) -> tuple[Any, bool]:
        """Read a response of a server that wraps none; raise the error for one that is no such response."""
        answer = wire.parse_bare_response(data)
        if answer is None:
            raise error
        self.bare, self.complete = True, False
        return self._seen(answer)

    def _seen(self, answer: Any) -> tuple[Any, bool]:
        parameters = answer.parameters
        final = wire.FINAL_PARAMETER in parameters and parameters[wire.FINAL_PARAMETER].bool_param
        self.complete = self.complete or final
        return answer, final
