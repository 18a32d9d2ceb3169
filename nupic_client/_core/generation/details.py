"""The details of an answer besides its text: finish reason, token counts and log probabilities."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nupic_client.results import FinishReason, TokenLogprob, Usage

if TYPE_CHECKING:
    from nupic_client._core.kserve.scalar_outputs import ScalarOutputs
    from nupic_client.backends.protocol import OutputNames

__all__ = ["AnswerDetails"]

_BROKEN = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""The errors of reading JSON that is not in vLLM's form."""
_REASONS = {reason.value: reason for reason in FinishReason}


class AnswerDetails:
    """Collect finish reason, token counts and log probabilities from the responses of one request.

    Args:
        output_names: names of the outputs that hold them.
    """

    __slots__ = ("_fresh", "_output_names", "_usage", "finish_reason", "logprobs")

    def __init__(self, output_names: OutputNames) -> None:
        self._output_names = output_names
        self._usage: list[int | None] = [None, None]
        self._fresh = 0
        self.finish_reason: FinishReason | None = None
        """Why the text ended; None until a response says so."""
        self.logprobs: list[TokenLogprob] = []
        """The log probabilities so far."""

    @property
    def usage(self) -> Usage:
        """The token counts so far."""
        input_tokens, output_tokens = self._usage
        return Usage(input_tokens=input_tokens, output_tokens=output_tokens)

    def read(self, outputs: ScalarOutputs) -> int | None:
        """Read the details of a response.

        Args:
            outputs: of the response.

        Returns:
            The number of tokens in this response; None if it also has a finish reason or log probabilities, so that
            the fast path must not learn it.

        Raises:
            ProtocolError: an output has another data type, or cannot be decoded.
        """
        output_names = self._output_names
        counted = 0
        plain = not output_names.logprobs
        if output_names.finish_reason:
            reason = outputs.text(output_names.finish_reason)
            if reason and reason != b"None":
                plain = False
                self.finish_reason = _REASONS.get(reason.decode(errors="replace").lower(), FinishReason.OTHER)
        if output_names.input_tokens and self._usage[0] is None:  # every response repeats it
            self._usage[0] = outputs.count(output_names.input_tokens)
        if output_names.output_tokens:
            count = outputs.count(output_names.output_tokens)
            if count is not None:
                counted = count
                self.count(count)
        if output_names.logprobs:
            self.logprobs += self._new_logprobs(outputs, output_names.logprobs)
        return counted if plain else None

    def count(self, tokens: int) -> None:
        """Add to the number of output tokens: every response counts its own."""
        self._usage[1] = (self._usage[1] or 0) + tokens

    def take_logprobs(self) -> tuple[TokenLogprob, ...]:
        """Return the log probabilities that came since the last call."""
        fresh, self._fresh = self.logprobs[self._fresh :], len(self.logprobs)
        return tuple(fresh)

    def _new_logprobs(self, outputs: ScalarOutputs, name: str) -> list[TokenLogprob]:
        if outputs.datatype(name) == "BYTES":
            try:
                return _from_json(outputs.text(name))
            except _BROKEN as error:
                # Some of these errors repeat all of the data.
                found = f"{type(error).__name__}: {str(error)[:200]}"
                raise outputs.error(f"output {name!r}: {found}") from None
        values = outputs.numbers(name)
        # TensorRT-LLM's engine repeats the values of all tokens so far, its newer one sends only the new ones.
        known = tuple(item.logprob for item in self.logprobs)
        new = values[len(known) :] if len(values) >= len(known) and values[: len(known)] == known else values
        return [TokenLogprob(logprob=float(value)) for value in new]


def _from_json(data: bytes | None) -> list[TokenLogprob]:
    """Read vLLM's JSON: null, or for each token ``{token_id: {"logprob", "rank", "decoded_token"}, ...}``.

    The chosen token comes first, then the most likely ones.
    """
    return [_from_position(position) for position in json.loads(data or b"null") or () if position]


def _from_position(position: dict[str, dict[str, Any]]) -> TokenLogprob:
    chosen, *others = (
        TokenLogprob(
            logprob=float(facts["logprob"]),
            token=facts.get("decoded_token"),
            token_id=int(token_id),
            rank=facts.get("rank"),
        )
        for token_id, facts in position.items()
    )
    top_logprobs = sorted((chosen, *others), key=lambda item: -item.logprob)
    return TokenLogprob(
        logprob=chosen.logprob,
        token=chosen.token,
        token_id=chosen.token_id,
        rank=chosen.rank,
        top_logprobs=tuple(top_logprobs),
    )
