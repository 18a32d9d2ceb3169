"""The keyword options of calls, as type checkers and ``help()`` see them. `CallOptions` in the core checks their values."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from nupic_client._parameters import Parameters
from nupic_client._public import publish
from nupic_client.config import MetadataLike
from nupic_client.lora import LoraLike
from nupic_client.response_format import Enforcement, ResponseFormat
from nupic_client.shared_memory_places import SharedMemoryOutput
from nupic_client.signature import ModelSignature
from nupic_client.timeouts import RetryPolicy, Timeouts
from nupic_client.tools import Tool, ToolLike

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:
    from typing_extensions import TypedDict  # the only one that pydantic takes

__all__ = ["BackendInputs", "GenerateOptions", "InferOptions", "InferStreamOptions", "TextAs"]

BackendInputs: TypeAlias = Mapping[str, Any]
"""Inputs by name: an element, a list of elements, nested lists, an array, or a mapping that is sent as JSON."""
TextAs: TypeAlias = Literal["str", "bytes"]
"""The Python type of the elements of BYTES outputs."""


class GenerateOptions(TypedDict, total=False):
    """The keyword options that every generation takes, on the client as defaults or on a call.

    An option set on a call replaces the client's; ``None`` goes back to the server's default.

    Sampling: ``max_tokens``, ``temperature``, ``top_p``, ``top_k``, ``min_p``, ``stop``, ``seed``, ``repetition_penalty``,
    ``presence_penalty``, ``frequency_penalty``.

    The call: ``timeout``, ``max_retries``, ``max_output_bytes``, ``request_id``, ``metadata``, ``session``.

    The answer: ``response_format``, ``enforce``, ``output_retries``, ``tools``, ``tool_choice``, ``reasoning``,
    ``template_variables``, ``continue_final_message``.

    The model: ``lora``, ``logprobs``, ``outputs``, ``parameters``, ``backend_inputs``, ``signature``, ``unsupported``.
    """

    max_tokens: int | None
    """Generate at most this many tokens, >= 1."""
    temperature: float | None
    """Randomness, >= 0; 0 always takes the most likely token."""
    top_p: float | None
    """Nucleus sampling, 0 < top_p <= 1."""
    top_k: int | None
    """Sample from the k most likely tokens, >= 0; 0 switches it off."""
    min_p: float | None
    """Drop tokens that are less likely than this share of the most likely one, 0 to 1."""
    stop: str | Sequence[str] | None
    """A string, or up to 64 of them, that end the text; they are not part of it."""
    seed: int | None
    """The start of the random numbers, 0 to 2**64 - 1; the same seed and prompt give the same text, if the server can."""
    repetition_penalty: float | None
    """Makes tokens less likely that came before, also in the prompt, > 0; 1 switches it off."""
    presence_penalty: float | None
    """Makes tokens less likely that came in the answer, -2 to 2; 0 switches it off."""
    frequency_penalty: float | None
    """The same, the more often they came, -2 to 2; 0 switches it off."""
    timeout: float | Timeouts | None
    """Seconds for the whole call, or all its deadlines as `Timeouts`."""
    max_retries: int | RetryPolicy | None
    """How often a request is sent again that failed before anything of its answer had arrived; default 2, 0 for never."""
    max_output_bytes: int | None
    """A text that is longer, in bytes of UTF-8, is a `ProtocolError` with the text so far, and is cancelled; default
    64 MiB, ``None`` for no limit. It protects your memory from a server that does not stop."""
    request_id: str | None
    """Sent with the request and shown in errors; made up when it is not given."""
    metadata: MetadataLike | None
    """gRPC metadata (HTTP/2 headers), besides the client's; or a function that returns it, called for each call to the
    server, also when a request is sent again."""
    session: str | None
    """Where the client has several servers and ``balancing="sticky"``, requests of one session go to the same server."""
    parameters: Parameters | None
    """Request parameters of the protocol, such as ``priority``, or the model's own. Triton reads a ``timeout`` here as the
    microseconds that the request may wait in its queue; the ``timeout`` above is this client's."""
    outputs: Sequence[str] | None
    """The names of outputs besides the text, which `TextDelta.outputs` and `Generation.outputs` then have as arrays."""
    logprobs: bool | int | None
    """Tell how likely each token was; a number asks for that many of the likeliest tokens at each place besides."""
    lora: LoraLike | None
    """The LoRA adapter to use, of those that the server has. For vLLM it is a name, for TensorRT-LLM a number
    (``lora_task_id``), for its LLM-API a `Lora` with what that needs."""
    response_format: ResponseFormat
    """The form that the answer must have, as a Python type, a JSON Schema, ``"json"``, `Regex`, `Choice` or `Grammar`. Its
    value is ``Generation.parsed``; an answer of another form is an `OutputError`."""
    enforce: Enforcement
    """Who sees to ``response_format``. ``"server"``, the default: the server, while it generates. ``"validate"``: only this
    client, afterwards, for servers that cannot."""
    output_retries: int
    """How often ``generate`` and ``parse`` ask again with ``enforce="validate"`` when the answer has another form; default
    2."""
    backend_inputs: BackendInputs | None
    """Further inputs of the model by name, sent as the data type and shape that it declares. ``infer`` takes the same.

    A mapping is sent as JSON, merged into what the backend sends itself: vLLM's ``{"sampling_parameters": {...}}``."""
    tools: Iterable[ToolLike] | None
    """The tools that the model may call, as typed Python functions, `Tool` values, or OpenAI's mappings. The calls are in
    ``Generation.tool_calls``; nothing runs them but ``Conversation.generate(run_tools=True)``."""
    tool_choice: str | Tool | Mapping[str, Any] | None
    """Whether the model calls a tool. ``"auto"`` leaves it to the model, ``"none"`` offers it none, ``"required"`` or the
    name of a tool makes it call one, which the server enforces."""
    reasoning: Literal["separate", "include"] | None
    """Where reasoning goes, apart from the text into ``Generation.reasoning``, or with its marks into the text. It is
    looked for where the models of the family usually reason; ``"separate"`` looks for it in any other family, too."""
    template_variables: Mapping[str, Any] | None
    """Variables for the model's chat template, such as ``{"enable_thinking": False}``. Those of a call are put over the
    client's; ``None`` takes them all away. Of messages only: a text is sent as it is."""
    continue_final_message: bool | None
    """Let the model go on with the last message, an assistant's (a prefill). The prompt ends with its content, and the
    answer is what comes after it."""
    signature: ModelSignature | None
    """What the model takes and gives; where it is given, the server is not asked before the first request."""
    unsupported: Literal["error", "warn"]
    """What to do with an option that the model has no input for; ``stop`` always works."""


class InferOptions(TypedDict, total=False):
    """The keyword options of a request that is answered at once."""

    outputs: Sequence[str] | Mapping[str, int | Parameters | SharedMemoryOutput | None] | None
    """The outputs to return, by name; all if it is not given.

    A mapping says what is asked of each: a number of classes (then `InferenceResult.classes` has them), parameters of that
    output, a place in shared memory to write it to (`SharedMemoryRegion.output`), or ``None`` for nothing special."""
    parameters: Parameters | None
    """Request parameters of the protocol, such as ``priority``, or the model's own. Triton reads a ``timeout`` here as the
    microseconds that the request may wait in its queue; the ``timeout`` below is this client's."""
    text: TextAs
    """Whether the elements of BYTES outputs become ``"str"`` or ``"bytes"``."""
    timeout: float | None
    """Seconds for the whole call."""
    request_id: str | None
    """Sent with the request and shown in errors; made up when it is not given."""
    metadata: MetadataLike | None
    """gRPC metadata (HTTP/2 headers), besides the client's; or a function that returns it, called for each call to the
    server, also when a request is sent again."""
    session: str | None
    """Where the client has several servers and ``balancing="sticky"``, requests of one session go to the same server."""
    max_output_bytes: int | None
    """Texts (BYTES outputs) of more bytes together are an error; ``None`` for no limit. Default 64 MiB."""


class InferStreamOptions(TypedDict, total=False):
    """The keyword options of a request that is answered with any number of responses."""

    outputs: Sequence[str] | Mapping[str, int | Parameters | SharedMemoryOutput | None] | None
    """The outputs to return, by name, as for `InferOptions`; all if it is not given. Into a place in shared memory each
    response writes anew."""
    parameters: Parameters | None
    """Request parameters of the protocol, such as ``priority``, or the model's own."""
    text: TextAs
    """Whether the elements of BYTES outputs become ``"str"`` or ``"bytes"``."""
    timeout: float | Timeouts | None
    """Seconds for the whole stream, or all its deadlines as `Timeouts`: ``first_token`` limits the wait for the first
    response, ``between_tokens`` the one from a response to the next."""
    max_retries: int | RetryPolicy | None
    """How often a request is sent again that failed before its first response; default 2, 0 for never."""
    request_id: str | None
    """Sent with the request and shown in errors; made up when it is not given."""
    metadata: MetadataLike | None
    """gRPC metadata (HTTP/2 headers), besides the client's; or a function that returns it, called for each call to the
    server, also when a request is sent again."""
    session: str | None
    """Where the client has several servers and ``balancing="sticky"``, requests of one session go to the same server."""
    max_output_bytes: int | None
    """Texts (BYTES outputs) of more bytes in one response are an error; ``None`` for no limit. Default 64 MiB."""


publish(__name__)
