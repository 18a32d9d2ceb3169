"""The base of most backends: each option is an input, and a backend declares the names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from nupic_client.backends.guides import trtllm_guide
from nupic_client.backends.images import as_url, check_images
from nupic_client.backends.protocol import DEFAULT_MAX_TOKENS, OutputNames, make_tensor
from nupic_client.errors import ConfigurationError
from nupic_client.lora import Lora
from nupic_client.options import BackendInputs
from nupic_client.parts import ImagePart
from nupic_client.sampling import SamplingParams
from nupic_client.signature import InputTensor, ModelSignature, TensorSpec, TensorValue

__all__ = ["COUNTS", "OPTIONAL_OUTPUTS", "TensorBackend", "check_lora"]

COUNTS: Mapping[str, tuple[str, str]] = {
    "input_tokens": ("return_num_input_tokens", "num_input_tokens"),
    "output_tokens": ("return_num_output_tokens", "num_output_tokens"),
}
"""Token counts of vLLM and TensorRT-LLM: the input that asks for a count, the output that holds it."""
OPTIONAL_OUTPUTS: Mapping[str, tuple[str, str]] = {
    "finish_reason": ("return_finish_reason", "finish_reason"),
    **COUNTS,
}
"""Finish reason and token counts of vLLM."""


class TensorBackend:
    """A backend that is declared by the names of its tensors. One object serves any number of clients.

    Declare what differs from the defaults, and override a method where names are not enough. Only what a
    model declares in its own configuration is sent, as the data type and shape it declares.

    Example:
        >>> class AcmeBackend(TensorBackend):
        ...     name = "acme"
        ...     prompt = "PROMPT"
        ...     text = "COMPLETION"
        ...     stream_input = "STREAM"
        ...     options = {"max_tokens": ("OUTPUT_LEN",), "temperature": ("TEMPERATURE",)}
        >>> AcmeBackend().name
        'acme'
    """

    name: ClassVar[str] = "custom"
    """The backend's name, for error texts."""
    prompt: str = "text_input"
    """The BYTES input that takes the prompt."""
    text: str = "text_output"
    """The BYTES output that gives the text."""
    options: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    """The input of each option; where releases differ, all its names, and the first that a model declares
    counts."""
    stream_input: ClassVar[str] = ""
    """The BOOL input that asks for an answer in chunks; empty where there is none."""
    exclude_prompt_input: ClassVar[str] = ""
    """The BOOL input that asks to leave the prompt out of the text; empty where there is none."""
    optional_outputs: ClassVar[Mapping[str, tuple[str, str]]] = MappingProxyType({})
    """For a field of `OutputNames` besides the text, the BOOL input that asks for it (empty where it comes unasked) and the
    output that holds it. ``logprobs`` is asked for only on demand, the others wherever a model offers them."""
    output_inputs: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """For an output that ``outputs=`` may name, the BOOL input that asks the model for it; others have one that is called
    ``return_`` and their own name, or need none."""
    cumulative: ClassVar[bool | None] = None
    """Whether a streamed response holds the whole text so far; None where that is not known, see `OutputNames`."""
    marks_end: ClassVar[bool] = True
    """Whether the last response of an answer is marked as the final one, see `OutputNames`."""
    lora_inputs: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """For each fact of a `Lora` that the model takes, the input for it. All that a model declares are needed, except that of
    ``source``."""
    image_input: ClassVar[str] = ""
    """The BYTES input for the images of a prompt, one element for each; empty where there is none."""
    needs_max_tokens: ClassVar[bool] = False
    """Whether to send `DEFAULT_MAX_TOKENS` where the caller gives no ``max_tokens``."""
    streaming_hint: ClassVar[str] = "deploy it with `model_transaction_policy { decoupled: true }`"
    """How to make a model stream that is not decoupled, for the error text."""

    def matches(self, signature: ModelSignature) -> bool:
        """Return whether the model has the input for the prompt and the output for the text."""
        return _has(signature, self.prompt, self.text)

    def streams(self, signature: ModelSignature) -> bool:
        """Return whether the model answers in chunks: the decoupled ones do."""
        return signature.decoupled

    def refuse_streaming(self, signature: ModelSignature) -> str | None:
        """Return `streaming_hint` if the model does not stream: asked for it all the same, models fail or worse."""
        return None if self.streams(signature) else self.streaming_hint

    def supports(self, option: str, signature: ModelSignature) -> bool:
        """Return whether the model declares an input for the option, or offers log probabilities or LoRA adapters."""
        if option == "logprobs":
            return self._offers("logprobs", signature)
        if option == "lora":
            return any(
                name in signature.inputs for fact, name in self.lora_inputs.items() if fact != "source"
            )
        return self._input_of(option, signature) is not None

    def inputs(
        self,
        signature: ModelSignature,
        prompt: str,
        sampling: SamplingParams,
        *,
        stream: bool = True,
        logprobs: int | None = None,
    ) -> list[InputTensor]:
        """Return the inputs of a request: prompt, switches, options, and the requests for optional outputs.

        Raises:
            ConfigurationError: the model has no such prompt or text tensor, or a value does not fit its
                input.
        """
        self.check_signature(signature)
        values = {
            **self.prompt_values(prompt, signature),
            **self.other_values(signature, sampling, stream=stream, logprobs=logprobs),
        }
        return [make_tensor(signature.inputs[name], value, signature) for name, value in values.items()]

    def check_signature(self, signature: ModelSignature) -> None:
        """Raise ConfigurationError where the model has no such prompt or text tensor."""
        if not _has(signature, self.prompt, self.text):
            raise ConfigurationError(
                f"model {signature.name!r} must have the input {self.prompt!r} and the output {self.text!r} for backend"
                f" {self.name!r}, not the inputs {list(signature.inputs)} and the outputs {list(signature.outputs)}:"
                " give another backend="
            )

    def other_values(
        self, signature: ModelSignature, sampling: SamplingParams, *, stream: bool, logprobs: int | None
    ) -> dict[str, TensorValue | Sequence[TensorValue]]:
        """Return the inputs besides the prompt's, by the model's names; the same for every prompt."""
        values: dict[str, TensorValue | Sequence[TensorValue]] = {}
        if _is_switch(self.stream_input, signature):
            # Never ask a model that is not decoupled for a stream: that has taken whole servers down.
            values[self.stream_input] = stream and self.streams(signature)
        if _is_switch(self.exclude_prompt_input, signature):
            values[self.exclude_prompt_input] = True
        values.update(self.option_values(signature, sampling, logprobs=logprobs))
        values.update((switch, True) for switch, _ in self._asked(signature, logprobs).values() if switch)
        return values

    def output_switches(
        self,
        outputs: Sequence[str],
        signature: ModelSignature,
        sampling: SamplingParams,  # noqa: ARG002 - for subclasses
    ) -> Mapping[str, TensorValue]:
        """Return the inputs that ask the model for these outputs; a model that has none for an output sends it anyway.

        Raises:
            ConfigurationError: the model cannot give one of them.
        """
        switches = (self.output_inputs.get(output, f"return_{output}") for output in outputs)
        return {name: True for name in switches if _is_switch(name, signature)}

    def lora_values(self, lora: Lora, signature: ModelSignature) -> BackendInputs:
        """Return the inputs that choose a LoRA adapter, for a model that `supports` it.

        A mapping is merged into the JSON that is sent as the input.

        Raises:
            ConfigurationError: the adapter lacks a fact that the model needs.
        """
        wanted = {fact: name for fact, name in self.lora_inputs.items() if name in signature.inputs}
        check_lora(lora, [fact for fact in wanted if fact != "source"], signature)
        found = {name: getattr(lora, fact) for fact, name in wanted.items()}
        return {name: value for name, value in found.items() if value is not None}

    def image_values(
        self, images: Sequence[ImagePart], signature: ModelSignature
    ) -> Mapping[str, Sequence[str]]:
        """Return the input that carries images.

        Args:
            images: with their bytes, or with a url.
            signature: of the model.

        Raises:
            ConfigurationError: the model has no input for images, or cannot read one of them.
        """
        if not self.image_input or self.image_input not in signature.inputs:
            raise ConfigurationError(
                f"model {signature.name!r} must have an input for images to be sent {len(images)} of them, but it takes"
                " text only: leave them out, or choose a model that sees",
                parameter="content",
            )
        check_images(images, signature)
        return {self.image_input: [self.image_text(image) for image in images]}

    def image_text(self, image: ImagePart) -> str:
        """Return an image as its element of the input: its url, or a data URI."""
        return as_url(image)

    def special_token_inputs(self, signature: ModelSignature) -> BackendInputs:  # noqa: ARG002 - for subclasses
        """Return the inputs that ask the model to leave special tokens in the text; none if that is the model's own matter.

        They are asked for where they mark parts of the answer, as calls of tools.

        Raises:
            ConfigurationError: it is known that the model removes them.
        """
        return {}

    def guide_inputs(
        self,
        signature: ModelSignature,
        kind: str,
        value: Any,
        *,
        spelling: str | None = None,  # noqa: ARG002 - for subclasses
    ) -> Mapping[str, Any] | None:
        """Return the inputs that make the server constrain the text; those of TensorRT-LLM where the model has them.

        Args:
            signature: of the model.
            kind: ``json_schema``, ``json`` (an object of any kind), ``regex``, ``choice`` or ``grammar``.
            value: the schema (also for ``json``), the pattern, the texts to choose from, or the grammar.
            spelling: see ``ModelSpec.guided``.

        Returns:
            The inputs by name as `GenerateOptions` takes ``backend_inputs``; None where the server cannot do it.
        """
        return trtllm_guide(kind, value, signature)

    def prompt_values(
        self,
        prompt: str,
        signature: ModelSignature,  # noqa: ARG002 - for subclasses
    ) -> Mapping[str, TensorValue | Sequence[TensorValue]]:
        """Return the inputs that carry the prompt."""
        return {self.prompt: prompt}

    def option_values(
        self,
        signature: ModelSignature,
        sampling: SamplingParams,
        *,
        logprobs: int | None,  # noqa: ARG002 - for subclasses
    ) -> Mapping[str, TensorValue | Sequence[TensorValue]]:
        """Return the inputs that carry the options, by the model's names."""
        given = dict(sampling.given())
        if self.needs_max_tokens:
            given.setdefault("max_tokens", DEFAULT_MAX_TOKENS)
        found = {option: self._input_of(option, signature) for option in given}
        values: dict[str, Any] = {
            name: given[option]
            for option, name in found.items()
            if name is not None
            and (option != "stop" or _takes_stops(signature.inputs[name], sampling.stop_strings, signature))
        }
        return values

    def output_names(
        self,
        signature: ModelSignature,
        *,
        cumulative: bool | None,
        stream: bool = True,
        logprobs: int | None = None,
    ) -> OutputNames:
        """Return the names of the outputs: the text, and the optional outputs that `inputs` asked for."""
        wanted = {part: output for part, (_, output) in self._asked(signature, logprobs).items()}
        streams = stream and self.streams(signature)
        if cumulative is None:
            cumulative = self.is_cumulative(signature) if streams else False
        return OutputNames(
            text=self.text,
            cumulative=cumulative,
            echo=self.may_echo(signature, stream=streams),
            marks_end=self.marks_end,
            **wanted,  # type: ignore[arg-type]  # the keys are fields that hold the name of an output
        )

    def is_cumulative(self, signature: ModelSignature) -> bool | None:  # noqa: ARG002 - for subclasses
        """Return whether each streamed response of this model holds the whole text so far."""
        return self.cumulative

    def may_echo(self, signature: ModelSignature, *, stream: bool) -> bool:
        """Return whether the text may begin with the prompt: whole answers do where no input prevents it."""
        return not stream and not _is_switch(self.exclude_prompt_input, signature)

    def _input_of(self, option: str, signature: ModelSignature) -> str | None:
        return next((name for name in self.options.get(option, ()) if name in signature.inputs), None)

    def _asked(self, signature: ModelSignature, logprobs: int | None) -> dict[str, tuple[str, str]]:
        """Return the switch and the output of each optional output that is asked for."""
        return {
            part: names
            for part, names in self.optional_outputs.items()
            if self._offers(part, signature) and (part != "logprobs" or logprobs is not None)
        }

    def _offers(self, part: str, signature: ModelSignature) -> bool:
        if part not in self.optional_outputs:
            return False
        switch, output = self.optional_outputs[part]
        return (not switch or _is_switch(switch, signature)) and output in signature.outputs


def check_lora(lora: Lora, facts: Sequence[str], signature: ModelSignature) -> None:
    """Check that an adapter has all facts that a model needs.

    Raises:
        ConfigurationError: it lacks one.
    """
    if all(getattr(lora, fact) is not None for fact in facts):
        return
    needed = (
        f"{', '.join(facts[:-1])} and {facts[-1]}" if len(facts) > 1 else f"the {facts[0]} of the adapter"
    )
    example = ", ".join(f"{fact}=…" for fact in facts)
    raise ConfigurationError(
        f"lora must have {needed} for model {signature.name!r}, not {lora!r}: give Lora({example})",
        parameter="lora",
    )


def _has(signature: ModelSignature, prompt: str, text: str) -> bool:
    return prompt in signature.inputs and text in signature.outputs


def _is_switch(name: str, signature: ModelSignature) -> bool:
    """Return whether the model has a BOOL input of this name."""
    return name in signature.inputs and signature.inputs[name].datatype == "BOOL"


def _takes_stops(spec: TensorSpec, strings: Sequence[str], signature: ModelSignature) -> bool:
    """Return whether the input has room for the stop strings; the client stops at them in any case."""
    try:
        make_tensor(spec, strings, signature)
    except ConfigurationError:
        return False
    return True
