"""Caches everything in a request that depends only on options and signature; prompt and id are filled in per call."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from nupic_client._core.calls.outputs import check_output
from nupic_client._core.generation.asked_inputs import cannot, extra_inputs
from nupic_client._core.generation.backend_inputs import RequestTensor, check_filled, with_inputs
from nupic_client._core.generation.request import GenerationRequest, WireRequest
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import encode_tensor
from nupic_client.backends.detect import detect
from nupic_client.backends.protocol import make_tensor
from nupic_client.backends.tensors import TensorBackend
from nupic_client.errors import ConfigurationError
from nupic_client.sampling import OPTION_NAMES

if TYPE_CHECKING:
    from nupic_client._core.calls.options import CallOptions
    from nupic_client.backends.protocol import Backend
    from nupic_client.signature import InputTensor, ModelSignature, TensorValue

__all__ = ["RequestCache", "RequestTemplate"]


class RequestTemplate:
    """A request without prompt and id, for one signature and one set of options. Immutable.

    Args:
        request: the generation; its prompt and id do not matter.
        signature: of the model.

    Raises:
        ConfigurationError: the model cannot do what is asked.
    """

    __slots__ = (
        "_backend",
        "_extra",
        "_logprobs",
        "_options",
        "_prompt_names",
        "_rest",
        "_signature",
        "_text",
        "lasting",
        "output_names",
        "stops",
    )

    def __init__(self, request: GenerationRequest, signature: ModelSignature) -> None:
        self._options = options = request.options
        self._signature = signature
        self._backend = backend = request.backend or detect(signature)
        for name in options.outputs if signature.outputs else ():  # some servers list none
            check_output(signature, name)
        missing = _unsupported(options, backend, signature)
        self._logprobs = None if "logprobs" in missing else options.logprobs
        self._extra = extra_inputs(request, backend, signature, missing)
        self.lasting = not missing
        """Whether to keep it for further requests. One that warns is made anew for each request, so that each one warns."""
        self.stops = tuple(dict.fromkeys((*options.sampling.stop_strings, *request.model.stop)))
        """The strings that end the text."""
        output_names = backend.output_names(
            signature, cumulative=request.model.cumulative, stream=request.stream, logprobs=self._logprobs
        )
        if output_names.cumulative is None and request.model.text != "auto":
            output_names = replace(output_names, cumulative=False)  # a guess could lose text
        self.output_names = output_names
        """The outputs that hold the parts of the answer."""
        self._prompt_names: tuple[str, ...] = ()
        self._rest: Any = None
        self._text: Any = None
        if not request.images:
            self._fill_rest(request)

    def fits(self, request: GenerationRequest, signature: ModelSignature) -> bool:
        """Return whether the template is for these options and this signature."""
        return self._options is request.options and self._signature is signature

    def message(self, request: GenerationRequest) -> Any:
        """Return the request as a new ``ModelInferRequest``.

        Raises:
            ConfigurationError: the model cannot do what is asked; nothing was sent.
        """
        if self._rest is not None:
            values = self._backend.prompt_values(request.prompt, self._signature)  # type: ignore[attr-defined]
            if (*values,) == self._prompt_names:
                if self._text is not None:
                    return self._with_prompt(request, *values.values())
                message = self._build(request, self._tensors(values))
                message.MergeFrom(self._rest)
                return message
        return self._from_scratch(request)

    def _fill_rest(self, request: GenerationRequest) -> None:
        """Build the part that all requests share, if the backend separates the prompt from the other inputs."""
        backend, signature, options = self._backend, self._signature, self._options
        if not isinstance(backend, TensorBackend) or type(backend).inputs is not TensorBackend.inputs:
            return  # every input may depend on the prompt
        prompt = backend.prompt_values(request.prompt, signature)
        others = backend.other_values(
            signature, options.sampling, stream=request.stream, logprobs=self._logprobs
        )
        if not prompt.keys().isdisjoint((*others, *chain.from_iterable(self._extra))):
            return  # an input that carries the prompt and an option depends on both
        backend.check_signature(signature)
        tensors = self._with_extra(self._tensors({**others, **self._switches()}))
        check_filled([*self._tensors(prompt), *tensors], signature)
        self._prompt_names = (*prompt,)
        self._rest = self._build(None, tensors)
        if len(prompt) == 1:
            ((name, text),) = prompt.items()
            if isinstance(text, str) and signature.inputs[name].datatype == "BYTES":
                self._text = self._build(request, self._tensors({name: ""}))
                del self._text.raw_input_contents[:]
                self._text.MergeFrom(self._rest)

    def _with_prompt(self, request: GenerationRequest, text: TensorValue) -> Any:
        """Return the request for a prompt that is one text: the usual case, made in few steps."""
        try:
            content = encode_tensor("BYTES", (text,)) if type(text) is str else b""
        except ValueError:
            content = b""
        if not content:
            return self._from_scratch(request)  # it raises the error
        message = wire.pb.ModelInferRequest()
        message.CopyFrom(self._text)
        message.id = request.request_id
        message.raw_input_contents.insert(0, content)
        return message

    def _from_scratch(self, request: GenerationRequest) -> Any:
        """Return a request built from scratch."""
        made = self._backend.inputs(
            self._signature,
            request.prompt,
            self._options.sampling,
            stream=request.stream,
            logprobs=self._logprobs,
        )
        switches = self._tensors(self._switches())
        images = self._tensors(self._images(request)) if request.images else []
        tensors = self._with_extra([*made, *images, *switches])
        check_filled(tensors, self._signature)
        message = self._build(request, tensors)
        message.MergeFrom(self._build(None, []))
        return message

    def _images(self, request: GenerationRequest) -> Mapping[str, Sequence[TensorValue]]:
        """Return the input that carries the images.

        Raises:
            ConfigurationError: the model takes no such images, or the caller gives others.
        """
        backend = self._backend
        if not isinstance(backend, TensorBackend):
            raise cannot(backend, "content", "send images")
        values = backend.image_values(request.images, self._signature)
        twice = values.keys() & self._options.backend_inputs.keys()
        if twice:
            raise ConfigurationError(
                f"backend_inputs: {min(twice)!r} must not be given where messages have images: give all of them in messages",
                parameter="backend_inputs",
            )
        return values

    def _with_extra(self, tensors: Sequence[RequestTensor]) -> list[RequestTensor]:
        """Return the inputs with those put over them that the caller asks for, one way or another."""
        for extra in self._extra:
            tensors = with_inputs(tensors, self._signature, extra)
        return [*tensors]

    def _switches(self) -> Mapping[str, TensorValue]:
        """Return the inputs that ask for the outputs besides the text."""
        backend, options = self._backend, self._options
        if not options.outputs or not isinstance(backend, TensorBackend):
            return {}
        return backend.output_switches(options.outputs, self._signature, options.sampling)

    def _tensors(self, values: Mapping[str, TensorValue | Sequence[TensorValue]]) -> list[InputTensor]:
        signature = self._signature
        return [make_tensor(signature.inputs[name], value, signature) for name, value in values.items()]

    def _build(self, request: GenerationRequest | None, tensors: Sequence[RequestTensor]) -> Any:
        """Return a message with model, id and tensors; without a request, one with the part that all requests share."""
        try:
            if request is None:
                return wire.build_infer_request(
                    "", tensors, parameters={**self._options.parameters, wire.EMPTY_FINAL_PARAMETER: True}
                )
            return wire.build_infer_request(
                request.model.server_name,
                tensors,
                request_id=request.request_id,
                version=request.model.version,
            )
        except ValueError as error:  # a number too large for its data type, or invalid Unicode
            raise ConfigurationError(f"model {self._signature.name!r}: {error}") from None


_MOST_TEMPLATES = 16


class RequestCache:
    """The last request templates of one client, for each model and set of options, streaming or not. Thread-safe."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], RequestTemplate] = {}

    def wire_request(self, request: GenerationRequest, signature: ModelSignature) -> WireRequest:
        """Return a request for the wire, to a model with this signature.

        Raises:
            ConfigurationError: the model cannot do what is asked; nothing was sent.
        """
        model = request.model
        options = request.options
        key = (
            model.server_name,
            model.version,
            model.stop,
            model.text,
            request.stream,
            request.keep_special_tokens,
            not request.images,
            id(options),
        )
        template = self._kept.get(key)
        if template is None or not template.fits(request, signature):
            template = RequestTemplate(request, signature)
            if template.lasting:
                if len(self._kept) >= _MOST_TEMPLATES:
                    self._kept.clear()
                self._kept[key] = template
        return WireRequest(template.message(request), template.output_names, template.stops, options.outputs)


def _unsupported(options: CallOptions, backend: Backend, signature: ModelSignature) -> list[str]:
    """Return the options that the model has no input for; warn or raise, as the caller wants."""
    wanted = [name for name, _ in options.sampling.given() if name != "stop"]
    wanted += [] if options.logprobs is None else ["logprobs"]
    wanted += [] if options.lora is None else ["lora"]
    missing = [name for name in wanted if not backend.supports(name, signature)]
    if missing:
        has = [name for name in (*OPTION_NAMES, "logprobs") if backend.supports(name, signature)]
        message = (
            f"model {signature.name!r} has no input for {', '.join(missing)};"
            f" it takes {', '.join(has) or 'no options'} (and stop, which the client does itself)"
        )
        if options.unsupported == "error":
            raise ConfigurationError(
                f"{message}. Leave it out",
                parameter=missing[0] if len(missing) == 1 else "",
                hint="or set unsupported='warn' to go on without it",
            )
        warnings.warn(message, stacklevel=2)
    return missing
