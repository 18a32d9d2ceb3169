"""What a request was sent with, where the server refuses it without a word about that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nupic_client._core.kserve.codec import decode_bytes_tensor
from nupic_client._core.kserve.error_rules import VLLM_REFUSAL
from nupic_client._suggest import listed

if TYPE_CHECKING:
    from typing import Any

    from nupic_client.errors import RequestError

__all__ = ["with_sent_parameters"]

_INPUT = "sampling_parameters"


def with_sent_parameters(error: RequestError, message: Any) -> RequestError:
    """Return vLLM's refusal of some sampling parameter with the names of those that were sent; other errors as they are.

    Args:
        error: what the request ended with.
        message: the ``ModelInferRequest``.
    """
    if not error.message.startswith(VLLM_REFUSAL):
        return error
    names = _sent(message)
    if not names:
        return error
    said = error.message.removeprefix(VLLM_REFUSAL)
    if "structured_outputs" in names:
        said += (
            "; a vLLM backend from before 25.11 calls structured_outputs guided_decoding: make the client with a"
            " ModelSpec(guided='guided_decoding')"
        )
    return error.with_facts(message=f"{VLLM_REFUSAL}, it was sent {listed(names)}{said}")


def _sent(message: Any) -> list[str]:
    for tensor, raw in zip(message.inputs, message.raw_input_contents, strict=False):
        if tensor.name == _INPUT:
            try:
                return sorted(json.loads(decode_bytes_tensor(raw)[0]))
            except (ValueError, IndexError, TypeError):  # the caller's own text
                return []
    return []
