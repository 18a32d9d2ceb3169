"""A generation as the caller asks for it: options merged and validated, then turned into a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

from nupic_client._core.calls import flows
from nupic_client._core.generation.backend_inputs import BackendInputs
from nupic_client._core.generation.request_cache import RequestCache
from nupic_client._core.generation.session import GenerationSession
from nupic_client._core.generation.wire_request import WireRequest
from nupic_client._core.kserve import wire
from nupic_client._frozen import reduce_frozen
from nupic_client._suggest import did_you_mean
from nupic_client.backends.detect import detect
from nupic_client.config import check_metadata
from nupic_client.errors import ConfigurationError, DeadlineExceededError, ModelUnavailableError, RequestError
from nupic_client.sampling import OPTION_NAMES, SamplingParams
from nupic_client.signature import ModelSignature
from nupic_client.timeouts import DEFAULT_MAX_OUTPUT_BYTES, RetryPolicy, Timeouts

if TYPE_CHECKING:
    from nupic_client._core.calls.auth import Bearer
    from nupic_client.backends.protocol import Backend
    from nupic_client.model_spec import ModelSpec

T = TypeVar("T")

__all__ = ["CallOptions", "GenerateOptions", "GenerationRequest", "start_generation", "start_with"]


class GenerateOptions(TypedDict, total=False):
    """The keyword options that every generation takes, on the client as defaults or on a call.

    An option set on a call replaces the client's; ``None`` goes back to the server's default.
    """

    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    stop: str | Sequence[str] | None
    seed: int | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    timeout: float | Timeouts | None
    """Seconds for the whole call, or all its deadlines as `Timeouts`."""
    max_retries: int | RetryPolicy | None
    """How often a request is sent again that failed before anything of its answer had arrived; default 2, 0 for never."""
    max_output_bytes: int | None
    """A text that is longer, in bytes of UTF-8, is a `ProtocolError` with the text so far, and is cancelled; default
    64 MiB, ``None`` for no limit. It protects your memory from a server that does not stop."""
    request_id: str | None
    """Sent with the request and shown in errors; made up when it is not given."""
    metadata: Mapping[str, str | bytes] | None
    """gRPC metadata (HTTP/2 headers), besides the client's."""
    logprobs: bool | int | None
    """Tell how likely each token was; a number asks for that many of the likeliest tokens at each place besides."""
    backend_inputs: BackendInputs | None
    """Further inputs of the model by name, sent as the data type and shape that the model declares.

    A mapping is sent as JSON, merged into what the backend sends itself: vLLM's ``{"sampling_parameters": {...}}``."""
    signature: ModelSignature | None
    """What the model takes and gives; where it is given, the server is not asked before the first request."""
    unsupported: Literal["error", "warn"]
    """What to do with an option that the model has no input for; ``stop`` always works."""


_OPTION_TYPES = frozenset(GenerateOptions.__annotations__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """The options of one call, validated. Immutable."""

    sampling: SamplingParams = field(default_factory=SamplingParams)
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    max_output_bytes: int | None = DEFAULT_MAX_OUTPUT_BYTES
    request_id: str | None = None
    metadata: Mapping[str, str | bytes] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    logprobs: int | None = None
    backend_inputs: BackendInputs = field(default_factory=lambda: MappingProxyType({}), repr=False)
    signature: ModelSignature | None = None
    unsupported: Literal["error", "warn"] = "error"
    __reduce__ = reduce_frozen

    def override(self, options: GenerateOptions) -> CallOptions:
        """Return these options with the given ones put over them.

        Raises:
            TypeError: an option does not exist; the message names the nearest one.
            ConfigurationError: a value is wrong.
        """
        if not options:
            return self
        unknown = next((name for name in options if name not in _OPTION_TYPES), None)
        if unknown is not None:
            raise TypeError(_unknown_option(unknown))
        changes: dict[str, Any] = {}
        sampling = {name: options[name] for name in OPTION_NAMES if name in options}  # type: ignore[literal-required]
        if sampling:
            changes["sampling"] = replace(self.sampling, **sampling)
        for name, (attribute, read) in _READERS.items():
            if name in options:
                changes[attribute] = read(options[name])  # type: ignore[literal-required]
        if "timeout" in options:
            changes["timeouts"] = self.timeouts.override(options["timeout"])
        if "metadata" in options:
            given = check_metadata(options["metadata"] or {})
            changes["metadata"] = MappingProxyType({**self.metadata, **given})
        return replace(self, **changes)


def _unknown_option(name: str) -> str:
    near = did_you_mean(name, _OPTION_TYPES)
    return f"there is no option {name!r}: {near}the options are {', '.join(sorted(_OPTION_TYPES))}"


def _request_id(value: str | None) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigurationError(f"request_id must be a non-empty string, not {value!r}")
    return value


def _max_output_bytes(value: int | None) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ConfigurationError(
            f"max_output_bytes must be a positive number of bytes or None for no limit, not {value!r}"
        )
    return value


MOST_LOGPROBS = 100
"""More of the likeliest tokens than this are a mistake."""


def _logprobs(value: bool | int | None) -> int | None:  # noqa: FBT001 - the option's own type
    if value is None or isinstance(value, bool):
        return 0 if value else None
    if not isinstance(value, int) or not 0 <= value <= MOST_LOGPROBS:
        raise ConfigurationError(
            f"logprobs must be True, False or an integer from 0 to {MOST_LOGPROBS}, not {value!r}"
        )
    return value


def _signature(value: ModelSignature | None) -> ModelSignature | None:
    if value is not None and not isinstance(value, ModelSignature):
        raise ConfigurationError(f"signature must be a ModelSignature, not {type(value).__name__}")
    return value


def _backend_inputs(value: BackendInputs | None) -> BackendInputs:
    value = value or {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            f"backend_inputs must be a mapping of names to values, not {type(value).__name__}"
        )
    return MappingProxyType(dict(value))


def _unsupported(value: str) -> str:
    if value not in {"error", "warn"}:
        raise ConfigurationError(f"unsupported must be 'error' or 'warn', not {value!r}")
    return value


_READERS: Mapping[str, tuple[str, Callable[[Any], object]]] = MappingProxyType(
    {
        "max_retries": ("retry", RetryPolicy.of),
        "max_output_bytes": ("max_output_bytes", _max_output_bytes),
        "request_id": ("request_id", _request_id),
        "backend_inputs": ("backend_inputs", _backend_inputs),
        "logprobs": ("logprobs", _logprobs),
        "signature": ("signature", _signature),
        "unsupported": ("unsupported", _unsupported),
    }
)
"""How an option becomes an attribute of `CallOptions`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """A generation that was validated but not yet matched with the model's signature.

    Args:
        model: what to call and how.
        prompt: the text that is sent.
        options: of this call.
        request_id: of this call.
        target: the server, for error texts.
        backend: how the model spells requests; None lets its signature decide.
        stream: whether the answer should come in chunks.
        bearer: adds the token to the metadata.
        request_cache: of the client; what is decided for this generation is remembered there for the next.
    """

    model: ModelSpec
    prompt: str = field(repr=False)
    options: CallOptions
    request_id: str
    target: str
    backend: Backend | None = None
    stream: bool = True
    bearer: Bearer | None = None
    request_cache: RequestCache = field(default_factory=RequestCache, repr=False, compare=False)

    def prepare(self, signature: ModelSignature) -> WireRequest:
        """Make the request for a model with this signature.

        Raises:
            ConfigurationError: the model cannot do what is asked; nothing was sent.
        """
        options = self.options
        timeouts = options.timeouts
        template = self.request_cache.of(self, signature)
        return WireRequest(
            message=template.message(self),
            output_names=template.output_names,
            stops=template.stops,
            model=self.model.server_name,
            target=self.target,
            request_id=self.request_id,
            timeout=timeouts.total,
            first_token=timeouts.first_token,
            between_tokens=timeouts.between_tokens,
            retry=options.retry,
            max_output_bytes=options.max_output_bytes,
            metadata=tuple(options.metadata.items()),
            prompt=self.prompt,
            bearer=self.bearer,
        )


def start_generation(
    request: GenerationRequest, signatures: MutableMapping[str, ModelSignature], start: float | None = None
) -> flows.Flow[GenerationSession]:
    """Find the model's signature (asked for once, then remembered) and make the session.

    Args:
        request: what is wanted.
        signatures: those known so far, by the server's model name; completed in place.
        start: clock reading when the call began; None takes it now.

    Returns:
        The session; its clock starts before the signature is asked for.

    Raises:
        ConfigurationError: the model cannot stream, or cannot do what is asked.
        RequestError: the server could not be asked.
    """
    began: float = (yield flows.ReadClock()) if start is None else start
    name = request.model.server_name
    signature = request.options.signature or signatures.get(name)
    if signature is None:
        signature = yield from _asked(request, _describe(request))
        yield from _check_streaming(request, signature)
        signatures[name] = signature
    elif not signature.decoupled:
        yield from _check_streaming(request, signature)
    return start_with(request, signature, signatures, began)


def start_with(
    request: GenerationRequest,
    signature: ModelSignature,
    signatures: MutableMapping[str, ModelSignature],
    start: float,
) -> GenerationSession:
    """Make the session for a model whose signature is known. Arguments and errors as of `start_generation`."""
    session = GenerationSession(request.prepare(signature), start)
    # What the server refuses now it may have accepted before it loaded another version: ask again the next time.
    session.on_signature_changed = partial(signatures.pop, request.model.server_name, None)
    return session


def _describe(request: GenerationRequest) -> flows.Flow[ModelSignature]:
    return flows.describe_model(
        request.model.server_name,
        request.model.version,
        timeout=request.options.timeouts.total,
        metadata=tuple(request.options.metadata.items()),
    )


def _check_streaming(request: GenerationRequest, signature: ModelSignature) -> flows.Flow[None]:
    """Refuse to stream from a model that cannot, with what to do instead: a second question, but only then.

    Raises:
        ConfigurationError: the model cannot stream, or it is not known how it takes and gives text.
    """
    backend = request.backend or detect(signature)
    streaming_hint = (
        None if signature.decoupled or not request.stream else backend.refuse_streaming(signature)
    )
    if streaming_hint is None:
        return
    name = request.model.server_name
    twin = f"{name}.streaming"
    ready = yield from _asked(request, _is_ready(request, twin))
    hint = f"use {twin!r}, which this server has" if ready else streaming_hint
    raise ConfigurationError(f"model {name!r} does not stream (it is not decoupled): {hint}")


def _is_ready(request: GenerationRequest, name: str) -> flows.Flow[bool]:
    question = wire.pb.ModelReadyRequest(name=name)
    metadata = tuple(request.options.metadata.items())
    response = yield flows.Invoke("ModelReady", question, request.options.timeouts.total, metadata)
    return bool(response.ready)


def _asked(request: GenerationRequest, question: flows.Flow[T]) -> flows.Flow[T]:
    """Run a flow and complete its errors by the facts of this generation."""
    try:
        return (yield from question)
    except RequestError as error:
        error.model = error.model or request.model.server_name
        error.request_id = error.request_id or request.request_id
        if isinstance(error, DeadlineExceededError):
            error.limit = request.options.timeouts.total
        missing = isinstance(error, ModelUnavailableError) and error.status == "NOT_FOUND"
        if missing and not error.retryable and request.model.hint:
            error.message = f"{error.message}; {request.model.hint}"
        raise
