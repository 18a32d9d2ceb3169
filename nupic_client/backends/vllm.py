"""The vLLM backend of Triton: sampling options go as one JSON object, the text comes as deltas.

https://github.com/triton-inference-server/vllm_backend: its ``src/utils/request.py`` reads these inputs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from nupic_client.backends.images import as_base64
from nupic_client.backends.protocol import DEFAULT_MAX_TOKENS
from nupic_client.backends.tensors import OPTIONAL_OUTPUTS, TensorBackend, check_lora
from nupic_client.errors import ConfigurationError
from nupic_client.lora import Lora
from nupic_client.options import BackendInputs
from nupic_client.parts import ImagePart
from nupic_client.sampling import OPTION_NAMES, SamplingParams
from nupic_client.signature import ModelSignature, TensorValue

__all__ = ["VllmBackend", "as_vllm_reads"]

_SAMPLING = "sampling_parameters"
_JSON_TEXTS = ("structured_outputs", "guided_decoding")
"""Fields of the JSON that hold JSON themselves, as a text."""


class VllmBackend(TensorBackend):
    """Models of Triton's ``vllm`` backend.

    Further fields of vLLM's ``SamplingParams`` can be added to the JSON with
    ``backend_inputs={"sampling_parameters": {"min_tokens": 5}}``.
    """

    name = "vllm"
    options: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        dict.fromkeys(OPTION_NAMES, (_SAMPLING,))
    )
    stream_input = "stream"
    exclude_prompt_input = "exclude_input_in_output"
    optional_outputs: ClassVar[Mapping[str, tuple[str, str]]] = MappingProxyType(
        {**OPTIONAL_OUTPUTS, "logprobs": ("return_logprobs", "logprobs")}
    )
    image_input = "image"
    cumulative: ClassVar[bool | None] = False
    needs_max_tokens = True  # vLLM's own default ends a text after 16 tokens

    def matches(self, signature: ModelSignature) -> bool:
        """Return whether it is Triton's vLLM backend, or a model that takes its inputs."""
        return super().matches(signature) and (signature.backend == "vllm" or _SAMPLING in signature.inputs)

    def option_values(
        self, signature: ModelSignature, sampling: SamplingParams, *, logprobs: int | None
    ) -> Mapping[str, TensorValue | Sequence[TensorValue]]:
        """Return the given options as one JSON object, which always has ``max_tokens``."""
        if _SAMPLING not in signature.inputs:
            return {}
        fields: dict[str, Any] = {"max_tokens": DEFAULT_MAX_TOKENS, **dict(sampling.given())}
        if fields.get("top_k") == 0:
            fields["top_k"] = -1  # older releases of vLLM refuse 0
        if logprobs is not None:
            fields["logprobs"] = max(logprobs, 1)
        return {_SAMPLING: json.dumps(fields)}

    def supports(self, option: str, signature: ModelSignature) -> bool:
        """Return whether the option can be sent; the name of a LoRA adapter is a field of the JSON too."""
        return _SAMPLING in signature.inputs if option == "lora" else super().supports(option, signature)

    def lora_values(self, lora: Lora, signature: ModelSignature) -> BackendInputs:
        """Return the field with the adapter's name.

        Raises:
            ConfigurationError: it has none.
        """
        check_lora(lora, ["name"], signature)
        return {_SAMPLING: {"lora_name": lora.name}}

    def image_text(self, image: ImagePart) -> str:
        """Return the file of an image in base64.

        Raises:
            ConfigurationError: there is a url only, which vLLM's backend does not fetch.
        """
        return as_base64(image)

    def special_token_inputs(self, signature: ModelSignature) -> BackendInputs:
        """Return the fields that leave special tokens in the text, and put no spaces between them.

        Raises:
            ConfigurationError: the model has no input for it.
        """
        if _SAMPLING not in signature.inputs:
            raise ConfigurationError(
                f"model {signature.name!r} must have the input {_SAMPLING!r}, which leaves special tokens in the text: this"
                " family's tool calls or reasoning are marked by them"
            )
        return {_SAMPLING: {"skip_special_tokens": False, "spaces_between_special_tokens": False}}

    def guide_inputs(
        self, signature: ModelSignature, kind: str, value: Any, *, spelling: str | None = None
    ) -> Mapping[str, Any] | None:
        """Return the field of the JSON object that constrains the text."""
        if _SAMPLING not in signature.inputs:
            return None
        guide = {_GUIDES.get(kind, kind): True if kind == "json" else value}
        return {_SAMPLING: {spelling or "structured_outputs": guide}}


_GUIDES = {"json_schema": "json", "json": "json_object"}


def as_vllm_reads(name: str, fields: Mapping[str, object]) -> Mapping[str, object]:
    """Return sampling parameters with the fields as JSON texts that vLLM wants so; those of another input as they are.

    Example:
        >>> as_vllm_reads("sampling_parameters", {"structured_outputs": {"choice": ["yes", "no"]}})
        {'structured_outputs': '{"choice": ["yes", "no"]}'}
    """
    if name != _SAMPLING:
        return fields
    return {
        field: json.dumps(value) if field in _JSON_TEXTS and isinstance(value, Mapping) else value
        for field, value in fields.items()
    }
