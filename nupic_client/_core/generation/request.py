"""One text generation: the caller's request, and the request for the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nupic_client._core.calls.auth import Bearer
    from nupic_client._core.calls.options import CallOptions
    from nupic_client._core.calls.watch import Watch
    from nupic_client._core.generation.answer_plan import AnswerPlan
    from nupic_client.backends.protocol import Backend, OutputNames
    from nupic_client.messages import Message
    from nupic_client.model_spec import ModelSpec
    from nupic_client.parts import ImagePart

__all__ = ["GenerationRequest", "WireRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """A generation that was validated but not yet matched with the model's signature.

    Args:
        model: the model to call; its server name may still be a short one.
        prompt: the text that is sent.
        options: of this call.
        request_id: of this call.
        target: the server, for error texts.
        backend: the adapter for the model; None chooses one by the model's signature.
        stream: whether the answer should come in chunks.
        bearer: adds the token to the metadata.
        chat: whether the prompt was a conversation.
        answer: how the answer is read in parts; None where all of it is text.
        images: of the prompt, in the order of their places in it; each has its bytes or a url.
        keep_special_tokens: whether special tokens must stay in the text, because they mark parts of the answer.
        watch: tells an observer of the request; None without one.
        messages: the conversation, where an observer wants to know what was said; else empty.
    """

    model: ModelSpec
    prompt: str = field(repr=False)
    options: CallOptions
    request_id: str
    target: str
    backend: Backend | None = None
    stream: bool = True
    bearer: Bearer | None = None
    chat: bool = False
    answer: AnswerPlan | None = field(default=None, repr=False)
    images: tuple[ImagePart, ...] = field(default=(), repr=False)
    keep_special_tokens: bool = False
    watch: Watch | None = field(default=None, repr=False, compare=False)
    messages: tuple[Message, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request that is ready to be sent.

    Args:
        message: the ``ModelInferRequest``.
        output_names: the outputs that hold the parts of the answer.
        stops: strings that end the text.
        extra_outputs: the outputs besides the text that the caller asks for.
    """

    message: Any = field(repr=False)  # it contains the prompt
    output_names: OutputNames
    stops: tuple[str, ...] = ()
    extra_outputs: tuple[str, ...] = ()
