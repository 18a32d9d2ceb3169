"""A model with ``text_input`` and ``text_output``: hand-written Python models, pytriton functions, NuPIC's kind.

Options are mapped by input name: an option is sent when the model declares an input of that name, as the data type it
declares. ``finish_reason`` and token counts are asked for where the model offers them by the names that the vLLM and
TensorRT-LLM backends use.
"""

from __future__ import annotations

from dataclasses import dataclass

from nupic_client.backends.plan import AnswerLayout, make_tensor
from nupic_client.backends.signature import InputTensor, ModelSignature, TensorValue
from nupic_client.errors import ConfigurationError
from nupic_client.sampling import SamplingParams

__all__ = ["PlainBackend"]

_PROMPT = "text_input"
_TEXT = "text_output"
_EXTRAS = ("finish_reason", "num_input_tokens", "num_output_tokens")


@dataclass(frozen=True, slots=True)
class PlainBackend:
    """Map options to inputs by their names; see the module's text."""

    name: str = "plain"

    def supports(self, option: str, signature: ModelSignature) -> bool:
        """Return whether the model declares an input with the option's name."""
        return option in signature.inputs

    def inputs(self, signature: ModelSignature, prompt: str, sampling: SamplingParams) -> list[InputTensor]:
        """Return the prompt, the options that the model declares, and the requests for what it offers besides.

        Raises:
            ConfigurationError: the model has no ``text_input``, or requires an input that nothing fills.
        """
        if _PROMPT not in signature.inputs or _TEXT not in signature.outputs:
            raise ConfigurationError(
                f"model {signature.name!r} does not take a text and give a text: it has the inputs"
                f" {list(signature.inputs)} and outputs {list(signature.outputs)}, expected {_PROMPT!r} and {_TEXT!r}"
            )
        values: dict[str, TensorValue | tuple[str, ...]] = {_PROMPT: prompt}
        values |= {
            option: value  # type: ignore[misc]  # SamplingParams holds numbers and strings only
            for option, value in sampling.given()
            if option in signature.inputs and (option != "stop" or _takes_stops(signature, sampling))
        }
        for extra in _EXTRAS:
            if _offers(signature, extra):
                values[f"return_{extra}"] = True
        return [make_tensor(signature.inputs[name], value, signature) for name, value in values.items()]

    def layout(self, signature: ModelSignature, *, cumulative: bool | None) -> AnswerLayout:
        """Return the layout: the text, and what `inputs` asked for besides."""
        finish_reason, input_tokens, output_tokens = (
            extra if _offers(signature, extra) else None for extra in _EXTRAS
        )
        return AnswerLayout(
            text=_TEXT,
            cumulative=cumulative,
            finish_reason=finish_reason,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
        )


def _offers(signature: ModelSignature, extra: str) -> bool:
    switch = signature.inputs.get(f"return_{extra}")
    return switch is not None and switch.datatype == "BOOL" and extra in signature.outputs


def _takes_stops(signature: ModelSignature, sampling: SamplingParams) -> bool:
    """Return whether the model's input has room for the stop strings; the client stops at them in any case."""
    try:
        make_tensor(signature.inputs["stop"], sampling.stop_strings, signature)
    except ConfigurationError:
        return False
    return True
