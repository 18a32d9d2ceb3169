"""The raw ``tensorrt_llm`` engine: token ids in, token ids out. It needs a tokenizer on this side.

https://github.com/NVIDIA/TensorRT-LLM/tree/main/triton_backend/all_models/inflight_batcher_llm/tensorrt_llm
has its configuration.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from nupic_client.backends.protocol import OutputNames
from nupic_client.backends.trtllm import TrtllmTensors
from nupic_client.errors import ConfigurationError
from nupic_client.signature import ModelSignature, TensorValue

__all__ = ["Tokenizer", "TrtllmEngineBackend"]


class Tokenizer(Protocol):
    """What the engine needs of a tokenizer: those of ``transformers`` and ``tokenizers`` have it.

    Where it has an ``eos_token_id`` (and a ``pad_token_id``) too, the engine ends the text at it.
    """

    def encode(self, text: str, /) -> Any:
        """Return the token ids of a text: a list, or an object with the list as ``ids``."""
        ...

    def decode(self, ids: list[int], /) -> str:
        """Return the text of token ids."""
        ...


class TrtllmEngineBackend(TrtllmTensors):
    """The engine without the models that turn text into token ids and back.

    Args:
        tokenizer: the model's tokenizer. Without one every request is refused with an explanation.
    """

    name = "trtllm_engine"
    prompt = "input_ids"
    text = "output_ids"
    options: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            "max_tokens": ("request_output_len",),
            "temperature": ("temperature",),
            "top_p": ("runtime_top_p",),
            "top_k": ("runtime_top_k",),
            "seed": ("seed", "random_seed"),
            "repetition_penalty": ("repetition_penalty",),
            "presence_penalty": ("presence_penalty",),
            "frequency_penalty": ("frequency_penalty",),
        }
    )
    stream_input = "streaming"
    streaming_hint = "deploy it with `decoupled_mode:true`"

    def __init__(self, tokenizer: Tokenizer | None = None) -> None:
        self._tokenizer = tokenizer
        self._keywords = _decode_keywords(tokenizer)

    def matches(self, signature: ModelSignature) -> bool:
        """Return whether the model takes token ids."""
        return {"input_ids", "request_output_len"} <= signature.inputs.keys()

    def prompt_values(
        self, prompt: str, signature: ModelSignature
    ) -> Mapping[str, TensorValue | Sequence[TensorValue]]:
        """Return the token ids of the prompt, their number, and the token that ends a text.

        Raises:
            ConfigurationError: there is no tokenizer, or the prompt has no tokens.
        """
        tokenizer = self._tokenizer
        if tokenizer is None:
            raise ConfigurationError(
                f"model {signature.name!r} is a raw TensorRT-LLM engine, which takes and gives token ids, not"
                " text: use the model in front of it (usually 'ensemble' or 'tensorrt_llm_bls'), or give the"
                " engine's tokenizer: backend=TrtllmEngineBackend(tokenizer)"
            )
        encoded = tokenizer.encode(prompt)
        ids = [int(token) for token in getattr(encoded, "ids", encoded)]
        if not ids:
            raise ConfigurationError(
                "the tokenizer made no tokens of the prompt: the engine needs at least one"
            )
        end_id = getattr(tokenizer, "eos_token_id", None)
        pad_id = getattr(tokenizer, "pad_token_id", None)
        values: dict[str, TensorValue | Sequence[TensorValue] | None] = {
            "input_ids": ids,
            "input_lengths": len(ids),
            "end_id": end_id,
            "pad_id": end_id if pad_id is None else pad_id,
        }
        return {
            name: value for name, value in values.items() if value is not None and name in signature.inputs
        }

    def output_names(
        self,
        signature: ModelSignature,
        *,
        cumulative: bool | None,
        stream: bool = True,
        logprobs: int | None = None,
    ) -> OutputNames:
        """Return the names of the outputs, with the tokenizer that makes text of the token ids."""
        output_names = super().output_names(
            signature, cumulative=cumulative, stream=stream, logprobs=logprobs
        )
        return replace(output_names, detokenize=self._text_of)

    def _text_of(self, ids: Sequence[int]) -> str:
        tokenizer = self._tokenizer
        assert tokenizer is not None, "inputs() needs it too"  # noqa: S101 - a promise to the type checker
        # The engine sends the token that ends a text as well, and tokenizers write it into the text.
        silent = {getattr(tokenizer, "eos_token_id", None), getattr(tokenizer, "pad_token_id", None)}
        tokens = [token for token in ids if token not in silent]
        if self._keywords:
            try:
                return tokenizer.decode(tokens, **self._keywords)
            except (TypeError, ValueError):
                pass  # what it passes its keywords on to does not take this one
        return tokenizer.decode(tokens)


def _decode_keywords(tokenizer: Tokenizer | None) -> dict[str, bool]:
    """Return the keywords with which a tokenizer decodes token ids to their own text, as servers that stream do.

    Those of ``transformers`` may be set up to remove spaces before punctuation afterwards, which changes the text before
    a token.
    """
    try:
        parameters = {} if tokenizer is None else inspect.signature(tokenizer.decode).parameters
    except (TypeError, ValueError):  # of an extension module that does not say
        parameters = {}
    kinds = {parameter.kind for parameter in parameters.values()}
    takes = "clean_up_tokenization_spaces" in parameters or inspect.Parameter.VAR_KEYWORD in kinds
    return {"clean_up_tokenization_spaces": False} if takes else {}
