"""TensorRT-LLM with its own pre- and postprocessing: the ``ensemble`` and ``tensorrt_llm_bls`` models.

https://github.com/NVIDIA/TensorRT-LLM/tree/main/triton_backend/all_models/inflight_batcher_llm has their
configurations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from nupic_client.backends.special_tokens import RemovesSpecialTokens
from nupic_client.backends.tensors import COUNTS, TensorBackend
from nupic_client.errors import ConfigurationError
from nupic_client.sampling import SamplingParams
from nupic_client.signature import ModelSignature, TensorValue

__all__ = ["PERF_METRICS", "TrtllmBackend", "TrtllmTensors"]

PERF_METRICS = (
    *("arrival_time_ns", "first_scheduled_time_ns", "first_token_time_ns", "last_token_time_ns"),
    *("kv_cache_alloc_new_blocks", "kv_cache_reused_blocks", "kv_cache_alloc_total_blocks"),
    *("kv_cache_reused_block", "kv_cache_missed_block", "kv_cache_hit_rate"),  # names of the LLM-API
    *("acceptance_rate", "total_accepted_draft_tokens", "total_draft_tokens"),
)
"""The outputs that TensorRT-LLM measures where one input asks for them."""


class TrtllmTensors(TensorBackend):
    """What the engine and the models around it share: log probabilities, and inputs that ask for further outputs."""

    exclude_prompt_input = "exclude_input_in_output"
    optional_outputs: ClassVar[Mapping[str, tuple[str, str]]] = MappingProxyType(
        {**COUNTS, "logprobs": ("return_log_probs", "output_log_probs")}
    )
    output_inputs: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            **dict.fromkeys(("cum_log_probs", "output_log_probs"), "return_log_probs"),
            **dict.fromkeys(PERF_METRICS, "return_perf_metrics"),
        }
    )
    lora_inputs: ClassVar[Mapping[str, str]] = MappingProxyType({"id": "lora_task_id"})
    cumulative: ClassVar[bool | None] = False
    needs_max_tokens = True

    def option_values(
        self, signature: ModelSignature, sampling: SamplingParams, *, logprobs: int | None
    ) -> Mapping[str, TensorValue | Sequence[TensorValue]]:
        """Return the options by the model's names.

        Raises:
            ConfigurationError: log probabilities are asked for in a way that the engine does not support.
        """
        _check_logprobs(signature, sampling, logprobs)
        return super().option_values(signature, sampling, logprobs=logprobs)

    def output_switches(
        self, outputs: Sequence[str], signature: ModelSignature, sampling: SamplingParams
    ) -> Mapping[str, TensorValue]:
        """Return the inputs that ask for these outputs.

        Raises:
            ConfigurationError: log probabilities are asked for in a way that the engine does not support.
        """
        switches = super().output_switches(outputs, signature, sampling)
        _check_logprobs(signature, sampling, 0 if "return_log_probs" in switches else None)
        return switches


class TrtllmBackend(TrtllmTensors, RemovesSpecialTokens):
    """The ensemble and the BLS model of TensorRT-LLM.

    Args:
        keeps_special_tokens: whether the model ``postprocessing`` was set up to leave special tokens in the text.
    """

    name = "trtllm"
    options: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            "max_tokens": ("max_tokens",),
            "temperature": ("temperature",),
            "top_p": ("top_p",),
            "top_k": ("top_k",),
            "stop": ("stop_words",),
            "seed": ("seed", "random_seed"),
            "repetition_penalty": ("repetition_penalty",),
            "presence_penalty": ("presence_penalty",),
            "frequency_penalty": ("frequency_penalty",),
        }
    )
    stream_input = "stream"
    special_tokens_hint = "set skip_special_tokens to false in the config.pbtxt of its model 'postprocessing'"
    streaming_hint = "deploy tensorrt_llm, and tensorrt_llm_bls where it is used, with `decoupled_mode:true`"

    def matches(self, signature: ModelSignature) -> bool:
        """Return whether the model takes text, ``max_tokens`` and lists of words, as only these do."""
        inputs = signature.inputs
        return super().matches(signature) and "max_tokens" in inputs and not inputs.keys().isdisjoint(_WORDS)

    def is_cumulative(self, signature: ModelSignature) -> bool | None:
        """Return whether the BLS model was deployed to decode all tokens so far with every response."""
        return signature.parameters.get("accumulate_tokens", "").strip().lower() in _TRUE


_WORDS = ("stop_words", "bad_words")
_TRUE = frozenset({"true", "yes", "1", "t", "y"})


def _check_logprobs(signature: ModelSignature, sampling: SamplingParams, logprobs: int | None) -> None:
    """Check that the engine can report these log probabilities: it would refuse or ignore the request.

    Raises:
        ConfigurationError: it cannot; the message says what to do.
    """
    if logprobs is None:
        return
    if logprobs:
        raise ConfigurationError(
            f"model {signature.name!r} reports the log probability of the chosen token only: use logprobs=True"
        )
    if sampling.top_k is None and sampling.top_p is None:
        raise ConfigurationError(
            f"model {signature.name!r} computes log probabilities only where top_k or top_p is given:"
            " give one of them, for example top_k=1 for the most likely token"
        )
