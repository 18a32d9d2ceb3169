"""TensorRT-LLM's LLM-API model: a Python model that is set up by ``model.yaml``.

Each of its responses holds the whole text so far.
https://github.com/NVIDIA/TensorRT-LLM/tree/main/triton_backend/all_models/llmapi has its code.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from nupic_client.backends.special_tokens import RemovesSpecialTokens
from nupic_client.backends.trtllm import PERF_METRICS
from nupic_client.signature import ModelSignature

__all__ = ["TrtllmLlmapiBackend"]

_PREFIX = "sampling_param_"
_OPTIONS = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
)


class TrtllmLlmapiBackend(RemovesSpecialTokens):
    """Models of TensorRT-LLM's LLM-API. They stream only where the operator has made them decoupled.

    Args:
        keeps_special_tokens: whether the model's code was changed so that it leaves special tokens in the text.
    """

    name = "trtllm_llmapi"
    options: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {option: (f"{_PREFIX}{option}",) for option in _OPTIONS}
    )
    stream_input = "streaming"
    exclude_prompt_input = f"{_PREFIX}exclude_input_from_output"
    optional_outputs: ClassVar[Mapping[str, tuple[str, str]]] = MappingProxyType(
        {"finish_reason": ("return_finish_reason", "finish_reason")}
    )
    output_inputs: ClassVar[Mapping[str, str]] = MappingProxyType(
        dict.fromkeys(PERF_METRICS, f"{_PREFIX}return_perf_metrics")
    )
    lora_inputs: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"name": "lora_name", "id": "lora_id", "path": "lora_path", "source": "lora_ckpt_source"}
    )
    special_tokens_hint = "give skip_special_tokens=False to its SamplingParams in model.py"
    image_input = "image_url"
    cumulative: ClassVar[bool | None] = True
    needs_max_tokens = True  # the LLM-API's own default ends a text after 32 tokens
    streaming_hint = "set `decoupled: True` under `triton_config` in its model.yaml and load it again"

    def matches(self, signature: ModelSignature) -> bool:
        """Return whether the model takes text and options that are named as only here."""
        return super().matches(signature) and any(name.startswith(_PREFIX) for name in signature.inputs)
