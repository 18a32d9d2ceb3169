"""Which backend a model belongs to, from what its server says about it."""

from __future__ import annotations

from nupic_client._suggest import did_you_mean, listed
from nupic_client.backends.dynamo import DynamoBackend
from nupic_client.backends.plain import PlainBackend
from nupic_client.backends.protocol import Backend
from nupic_client.backends.trtllm import TrtllmBackend
from nupic_client.backends.trtllm_engine import TrtllmEngineBackend
from nupic_client.backends.trtllm_llmapi import TrtllmLlmapiBackend
from nupic_client.backends.vllm import VllmBackend
from nupic_client.errors import ConfigurationError
from nupic_client.signature import ModelSignature

__all__ = ["BACKENDS", "backend_of", "detect"]

BACKENDS: tuple[Backend, ...] = (
    VllmBackend(),
    TrtllmEngineBackend(),
    TrtllmLlmapiBackend(),
    TrtllmBackend(),
    DynamoBackend(),
    PlainBackend(),
)
"""The backends that are detected, the most specific first."""


def detect(signature: ModelSignature) -> Backend:
    """Return the first of `BACKENDS` that a model's signature matches.

    Args:
        signature: of the model.

    Raises:
        ConfigurationError: none does; the message lists the model's tensors and the ways out.
    """
    for backend in BACKENDS:
        if backend.matches(signature):
            return backend
    inputs = ", ".join(f"{spec.name} {spec.datatype}" for spec in signature.inputs.values()) or "none"
    outputs = ", ".join(f"{spec.name} {spec.datatype}" for spec in signature.outputs.values()) or "none"
    names = listed(backend.name for backend in BACKENDS)
    raise ConfigurationError(
        f"it is not known how model {signature.name!r} takes and gives text (its inputs: {inputs};"
        f" its outputs: {outputs}): give backend=, {_suggestion(signature)}one of {names}, or an object of"
        " your own, see nupic_client.backends.TensorBackend"
    )


def backend_of(backend: Backend | str | None) -> Backend | None:
    """Return the backend that a caller names or gives; None leaves it to `detect`.

    Args:
        backend: a name such as ``"vllm"``, an object, or None.

    Raises:
        ConfigurationError: there is no backend of that name, or the object is no backend.
    """
    if isinstance(backend, str):
        for known in BACKENDS:
            if known.name == backend:
                return known
        names = [known.name for known in BACKENDS]
        raise ConfigurationError(
            f"there is no backend {backend!r}: {did_you_mean(backend, names)}the backends are {listed(names)}, or give an"
            " object of your own",
            parameter="backend",
        )
    if isinstance(backend, type) or not (backend is None or isinstance(backend, Backend)):
        raise ConfigurationError(
            "backend must be a name or an object with the methods of nupic_client.backends.Backend,"
            f" not {backend!r}",
            parameter="backend",
        )
    return backend


def _suggestion(signature: ModelSignature) -> str:
    """Suggest a backend for a model that has one text input and one text output under other names."""
    prompts = [
        spec.name for spec in signature.inputs.values() if spec.datatype == "BYTES" and not spec.optional
    ]
    texts = [spec.name for spec in signature.outputs.values() if spec.datatype == "BYTES"]
    if len(prompts) != 1 or len(texts) != 1:
        return ""
    return f"perhaps PlainBackend(prompt={prompts[0]!r}, text={texts[0]!r}), "
