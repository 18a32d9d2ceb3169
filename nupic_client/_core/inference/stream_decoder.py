"""Decode the answer of one streamed request: from serialized responses to results and the end of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.stream_responses import StreamResponses
from nupic_client.backends.dynamo import is_of_dynamo
from nupic_client.errors import ProtocolError

if TYPE_CHECKING:
    from nupic_client._core.inference.codec import InferenceCodec
    from nupic_client._core.inference.result import InferenceResult

__all__ = ["ResultDecoder"]


class ResultDecoder:
    """Decode the responses of one request: call `feed` with each, and `end` when the stream ends.

    Args:
        codec: of the request.
        request_id: the id it was sent with.
    """

    __slots__ = ("_answers", "_codec", "_request_id", "_responses", "finished")

    stopped_early = False

    def __init__(self, codec: InferenceCodec, request_id: str) -> None:
        self._codec = codec
        self._request_id = request_id
        self._responses = StreamResponses(request_id, marks_end=not is_of_dynamo(codec.signature))
        self._answers = not codec.signature.decoupled
        """Whether the next response is the answer of a model that answers once, which may have no outputs."""
        self.finished = False
        """Whether the final response has come."""

    @property
    def complete(self) -> bool:
        """Whether the server has said its last word: the final mark or an error. Only the call may still go on."""
        return self._responses.complete

    def feed(self, response: bytes) -> InferenceResult | None:
        """Take the next response and return its result; None for a final response that says nothing else.

        Args:
            response: a serialized ``ModelStreamInferResponse``.

        Raises:
            RequestError: the response is an error or breaks the protocol.
        """
        answer, final = self._responses.read(response)
        self._responses.check_id(answer)
        if self.finished:
            raise ProtocolError("the server sent another response after the one marked as final")
        self.finished = final
        if final and not self._answers and _is_empty(answer):
            return None
        self._answers = False
        return self._codec.decode(answer, self._request_id)

    def end(self) -> None:
        """Take the end of the stream (status OK).

        Raises:
            IncompleteStreamError: no response was marked as final.
        """
        if not self.finished:
            self._responses.check_end()
            self.finished = True


def _is_empty(answer: Any) -> bool:
    return not answer.outputs and all(name == wire.FINAL_PARAMETER for name in answer.parameters)
