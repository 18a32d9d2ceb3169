"""NVIDIA Dynamo's KServe frontend, ``python -m dynamo.frontend --kserve-grpc-server``: text in, text out, no options.

https://github.com/ai-dynamo/dynamo: ``lib/llm/src/grpc/service`` has its code. It differs from Triton:

1. A model says nothing of its transactions (`ModelSignature.decoupled` is false), yet it streams.
2. No response is marked as the final one: the end of the call with status OK ends an answer.
3. Outputs come as typed contents, requests may be raw.
4. There are no inputs for options: the worker's own defaults hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from nupic_client.backends.special_tokens import RemovesSpecialTokens
from nupic_client.signature import ModelSignature

__all__ = ["DynamoBackend", "is_of_dynamo"]

_PLATFORM = "dynamo"


def is_of_dynamo(signature: ModelSignature) -> bool:
    """Return whether Dynamo says that the model is its own, whatever its tensors are."""
    return _PLATFORM in (signature.platform, signature.backend)


class DynamoBackend(RemovesSpecialTokens):
    """Models that Dynamo's workers serve as text completions: of vLLM, SGLang and TensorRT-LLM.

    Args:
        keeps_special_tokens: whether the workers were set up to leave special tokens in the text.
    """

    name = "dynamo"
    stream_input = "streaming"
    optional_outputs: ClassVar[Mapping[str, tuple[str, str]]] = MappingProxyType(
        {"finish_reason": ("", "finish_reason")}
    )
    special_tokens_hint = "set its workers up to keep them, which a request cannot"
    cumulative: ClassVar[bool | None] = False
    marks_end: ClassVar[bool] = False

    def matches(self, signature: ModelSignature) -> bool:
        """Return whether Dynamo says that the model is its own."""
        return super().matches(signature) and is_of_dynamo(signature)

    def streams(self, signature: ModelSignature) -> bool:  # noqa: ARG002 - every model of Dynamo does
        """Return True: Dynamo says of no model that it is decoupled."""
        return True

    def may_echo(self, signature: ModelSignature, *, stream: bool) -> bool:  # noqa: ARG002 - of the base
        """Return False: Dynamo never repeats the prompt."""
        return False
