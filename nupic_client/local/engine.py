"""The interface between the server and a model: the engine protocol, its requests and its chunks."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from nupic_client._public import publish
from nupic_client.signature import ModelSignature, TensorSpec, TensorValue

__all__ = [
    "GUIDE",
    "GUIDE_INPUTS",
    "GUIDE_TYPE",
    "Chunk",
    "Engine",
    "EngineError",
    "EngineRequest",
    "FinalPlacement",
    "InvalidRequestError",
    "ServedModel",
    "StreamAbort",
    "StreamEnd",
    "text_signature",
]

FinalPlacement: TypeAlias = Literal["separate", "with_last"]
"""The place of the final mark: a separate response, if the client asks for one, or the last content."""


class EngineError(Exception):
    """The model failed; the client gets the message as the model's own."""

    code = "INTERNAL"
    """The name of the gRPC status of a unary call."""


class InvalidRequestError(EngineError):
    """The request is wrong in a way that only the model knows."""

    code = "INVALID_ARGUMENT"


class StreamAbort(Exception):  # noqa: N818 - a control, not a fault
    """An engine raises this to end the whole RPC with a gRPC status."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details


class StreamEnd(Exception):  # noqa: N818 - a control, not a fault
    """An engine raises this to end the whole RPC with status OK, whatever is still missing."""


def readable(value: Any) -> Any:
    """Return a BYTES element as ``str``, or as it is where it is not UTF-8; all else as it is."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """A decoded request.

    Args:
        model: the model's name.
        version: the requested version; empty for the server's choice.
        request_id: the client's id; may be empty.
        prompt: the text input; empty if there is none or it is not UTF-8.
        inputs: all inputs by name: a value for one element, else a list. BYTES elements are ``str``, or ``bytes``
            if they are not UTF-8.
        parameters: the request parameters.
        metadata: the metadata of the RPC.
        method: ``"ModelInfer"`` or ``"ModelStreamInfer"``.
        outputs: the requested outputs; empty for all.
        input_parameters: the parameters of each input that has some.
        output_parameters: the parameters of each requested output that has some.
        final: the place of the model's final mark.
    """

    model: str
    version: str = ""
    request_id: str = ""
    prompt: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    metadata: Mapping[str, str | bytes] = field(default_factory=dict)
    method: str = "ModelStreamInfer"
    outputs: tuple[str, ...] = ()
    input_parameters: Mapping[str, Mapping[str, bool | int | float | str]] = field(default_factory=dict)
    output_parameters: Mapping[str, Mapping[str, bool | int | float | str]] = field(default_factory=dict)
    final: FinalPlacement = "separate"


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of an answer, which becomes one response.

    Args:
        text: the text as UTF-8, possibly cut inside a character; None for a chunk of details only, which are sent if
            the request asked for them.
        finish_reason: ``"stop"`` or ``"length"`` on the last chunk, else None.
        input_tokens: number of tokens in the prompt, if the engine knows it.
        output_tokens: number of tokens in this chunk.
        final: whether the response has the final mark; nothing may follow.
        outputs: other outputs by name, sent in their order; may include the text output.
        raw: a complete ``ModelStreamInferResponse``, or bytes to send as one, in place of everything else.
    """

    text: bytes | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int = 0
    final: bool = False
    outputs: Mapping[str, TensorValue | Sequence[TensorValue]] = field(default_factory=dict)
    raw: Any = None


class Engine(Protocol):
    """A model. Called from many threads at once."""

    def generate(self, request: EngineRequest, cancelled: threading.Event) -> Iterator[Chunk]:
        """Yield the answer chunk by chunk.

        Args:
            request: the client's request.
            cancelled: set when the client is gone; the engine then returns within 50 ms. The iterator may also be
                closed.

        Yields:
            The chunks, as soon as they are generated.

        Raises:
            EngineError: the model failed.
            StreamAbort: end the RPC with a status.
            StreamEnd: end the RPC with status OK.
        """
        ...


_OPTIONS = (
    TensorSpec("max_tokens", "INT32", optional=True),
    TensorSpec("temperature", "FP32", optional=True),
    TensorSpec("top_p", "FP32", optional=True),
    TensorSpec("top_k", "INT32", optional=True),
    TensorSpec("min_p", "FP32", optional=True),
    TensorSpec("seed", "UINT64", optional=True),
    TensorSpec("repetition_penalty", "FP32", optional=True),
    TensorSpec("presence_penalty", "FP32", optional=True),
    TensorSpec("frequency_penalty", "FP32", optional=True),
    TensorSpec("stop", "BYTES", (-1,), optional=True),
    TensorSpec("return_finish_reason", "BOOL", optional=True),
    TensorSpec("return_num_input_tokens", "BOOL", optional=True),
    TensorSpec("return_num_output_tokens", "BOOL", optional=True),
)
GUIDE_TYPE, GUIDE = "guided_decoding_guide_type", "guided_decoding_guide"
GUIDE_INPUTS = (
    TensorSpec(GUIDE_TYPE, "BYTES", optional=True),
    TensorSpec(GUIDE, "BYTES", optional=True),
)
"""The inputs that constrain the form of a text, with the names of TensorRT-LLM."""
_FACTS = (
    TensorSpec("finish_reason", "BYTES"),
    TensorSpec("num_input_tokens", "UINT32"),
    TensorSpec("num_output_tokens", "UINT32"),
)


def text_signature(
    name: str,
    *,
    decoupled: bool = True,
    options: Sequence[str] | None = None,
    max_batch_size: int = 0,
    extra_inputs: Sequence[TensorSpec] = (),
    outputs_before: Sequence[TensorSpec] = (),
) -> ModelSignature:
    """Return the signature of a text model: ``text_input`` in, ``text_output`` out.

    Args:
        name: the model's name.
        decoupled: whether the model streams.
        options: the optional inputs to declare, e.g. ``["max_tokens"]``; None declares all sampling options and the
            inputs ``return_*`` with their outputs.
        max_batch_size: above 0 every shape begins with a batch dimension, so that a text is ``[1, 1]``.
        extra_inputs: further inputs.
        outputs_before: outputs before ``text_output``.

    Returns:
        The signature, for a `ServedModel`.

    Raises:
        ValueError: an unknown option.

    Example:
        >>> list(text_signature("plain", options=["max_tokens"]).inputs)
        ['text_input', 'max_tokens']
    """
    known = {option.name for option in _OPTIONS}
    wanted = known if options is None else set(options)
    if wanted - known:
        raise ValueError(f"there is no option {min(wanted - known)!r}; there are {sorted(known)}")
    inputs = [
        TensorSpec("text_input", "BYTES"),
        *(item for item in _OPTIONS if item.name in wanted),
        *extra_inputs,
    ]
    facts = [item for item in _FACTS if f"return_{item.name}" in wanted]
    outputs = [*outputs_before, TensorSpec("text_output", "BYTES"), *facts]
    return ModelSignature(
        name=name,
        inputs={item.name: item for item in inputs},
        outputs={item.name: item for item in outputs},
        decoupled=decoupled,
        max_batch_size=max_batch_size,
        backend="python",
    )


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model of the server.

    Args:
        name: the name in requests.
        signature: the inputs and outputs, e.g. from `text_signature`.
        engine: runs the requests.
        final: the place of the final mark of a streamed answer.
        versions: the versions; the last one is the default.
        labels: the names of the classes of an output, by output: for clients that ask for a classification.
        batch_dimension: whether the outputs of a model with a batch size have a batch dimension. TensorRT-LLM's
            postprocessing leaves it out.
    """

    name: str
    signature: ModelSignature
    engine: Engine
    final: FinalPlacement = "separate"
    versions: tuple[str, ...] = ("1",)
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    batch_dimension: bool = True

    @property
    def text_input(self) -> str:
        """Name of the input with the prompt; empty if there is none."""
        return _text_tensor(self.signature.inputs, "text_input")

    @property
    def text_output(self) -> str:
        """Name of the output with the text; empty if there is none."""
        return _text_tensor(self.signature.outputs, "text_output")


def _text_tensor(specs: Mapping[str, TensorSpec], usual: str) -> str:
    if usual in specs:
        return usual
    return next((name for name, item in specs.items() if item.datatype == "BYTES" and not item.optional), "")


publish(__name__)
