"""Backends: the tensors of a text-generation request and its answer for each kind of model on Triton.

`detect` chooses by the model's own signature; a client takes ``backend=`` instead: a name, or an object,
usually of a small class that derives from `TensorBackend`.
"""

from __future__ import annotations

from nupic_client._public import publish
from nupic_client.backends.detect import BACKENDS, backend_of, detect
from nupic_client.backends.dynamo import DynamoBackend
from nupic_client.backends.plain import PlainBackend
from nupic_client.backends.protocol import DEFAULT_MAX_TOKENS, Backend, OutputNames, make_tensor
from nupic_client.backends.tensors import TensorBackend
from nupic_client.backends.trtllm import TrtllmBackend
from nupic_client.backends.trtllm_engine import Tokenizer, TrtllmEngineBackend
from nupic_client.backends.trtllm_llmapi import TrtllmLlmapiBackend
from nupic_client.backends.vllm import VllmBackend
from nupic_client.signature import InputTensor, ModelSignature, TensorSpec, TensorValue

__all__ = [
    "BACKENDS",
    "DEFAULT_MAX_TOKENS",
    "Backend",
    "DynamoBackend",
    "InputTensor",
    "ModelSignature",
    "OutputNames",
    "PlainBackend",
    "TensorBackend",
    "TensorSpec",
    "TensorValue",
    "Tokenizer",
    "TrtllmBackend",
    "TrtllmEngineBackend",
    "TrtllmLlmapiBackend",
    "VllmBackend",
    "backend_of",
    "detect",
    "make_tensor",
]


publish(__name__)
