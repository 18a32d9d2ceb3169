"""The inputs that a request asks for besides its options: an adapter, a constraint, special tokens, and the caller's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nupic_client.backends.tensors import TensorBackend
from nupic_client.errors import ConfigurationError
from nupic_client.infer_input import InferInput

if TYPE_CHECKING:
    from collections.abc import Collection

    from nupic_client._core.generation.request import GenerationRequest
    from nupic_client.backends.protocol import Backend
    from nupic_client.options import BackendInputs
    from nupic_client.signature import ModelSignature

__all__ = ["cannot", "extra_inputs"]


def extra_inputs(
    request: GenerationRequest, backend: Backend, signature: ModelSignature, missing: Collection[str]
) -> list[BackendInputs]:
    """Return the inputs to put over those of the backend, in this order; the caller's own are the last.

    Args:
        request: the generation.
        backend: of the model.
        signature: of the model.
        missing: the options that the model has no input for, and that are left out.

    Raises:
        ConfigurationError: the model cannot do what is asked, or an input of the caller's would undo it.
    """
    options = request.options
    found: list[BackendInputs] = []
    if options.lora is not None and "lora" not in missing:
        if not isinstance(backend, TensorBackend):
            raise cannot(backend, "lora", "choose LoRA adapters")
        found.append(
            _not_replaced("lora", backend.lora_values(options.lora, signature), options.backend_inputs)
        )
    guide = _guide_inputs(request, backend, signature)
    if guide:
        found.append(_not_replaced("response_format", guide, options.backend_inputs))
    # Another kind of backend decides about the text itself.
    if request.keep_special_tokens and isinstance(backend, TensorBackend):
        asked = backend.special_token_inputs(signature)
        found.append(_not_replaced("the answer's format", asked, options.backend_inputs))
    found.append(options.backend_inputs)
    return found


def _guide_inputs(request: GenerationRequest, backend: Backend, signature: ModelSignature) -> BackendInputs:
    """Return the inputs that make the server give the answer its form; none where it is not asked to.

    Raises:
        ConfigurationError: the server cannot.
    """
    form = request.options.output_format
    if form is None or request.options.enforce == "validate":
        return {}
    inputs = None
    if isinstance(backend, TensorBackend):
        inputs = backend.guide_inputs(
            signature, form.guide.kind, form.guide.value, spelling=request.model.guided
        )
    if inputs is None:
        name = "tool_choice" if request.answer is not None and request.answer.must_call else "response_format"
        raise ConfigurationError(
            f"model {signature.name!r} (backend {backend.name!r}) has no input for {name}, so"
            " that the server cannot enforce it: leave it out",
            parameter=name,
            hint="or set enforce='validate' to have the client check the answer and ask again",
        )
    return inputs


def cannot(backend: Backend, parameter: str, what: str) -> ConfigurationError:
    """Return the error for a backend of the protocol's methods alone."""
    return ConfigurationError(
        f"backend {backend.name!r} must be a TensorBackend to {what}, not {type(backend).__name__}",
        parameter=parameter,
    )


def _not_replaced(why: str, asked: BackendInputs, given: BackendInputs) -> BackendInputs:
    """Check that the caller's own JSON text does not replace the JSON that a field was put into.

    Raises:
        ConfigurationError: it does.
    """
    for name, value in asked.items():
        own = given.get(name)
        own = own.data if isinstance(own, InferInput) else own
        if isinstance(value, Mapping) and own is not None and not isinstance(own, Mapping):
            raise ConfigurationError(
                f"backend_inputs: {name!r} must be a mapping, which is merged into what {why} needs, not"
                f" {type(own).__name__}, which would replace it",
                parameter="backend_inputs",
            )
    return asked
