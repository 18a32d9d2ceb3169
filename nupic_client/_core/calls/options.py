"""The options of one call: the client's defaults with those of the call put over them, validated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from nupic_client._core.calls.metadata import metadata_over
from nupic_client._core.calls.outputs import output_names
from nupic_client._numbers import as_bool, check_integer
from nupic_client._parameters import NO_PARAMETERS, Parameters, check_parameters
from nupic_client._suggest import called_here, did_you_mean
from nupic_client._text import check_text
from nupic_client._tool_choice import AUTO, ToolChoice, read_tool_choice
from nupic_client.errors import ConfigurationError
from nupic_client.lora import Lora, LoraLike
from nupic_client.options import BackendInputs, GenerateOptions
from nupic_client.response_format import Enforcement
from nupic_client.sampling import OPTION_NAMES, SamplingParams
from nupic_client.signature import ModelSignature
from nupic_client.timeouts import DEFAULT_MAX_OUTPUT_BYTES, RetryPolicy, Timeouts
from nupic_client.tools import Tool, to_tools

if TYPE_CHECKING:
    from nupic_client._core.calls.flows import Metadata
    from nupic_client._core.calls.placement import Affinity
    from nupic_client._output_format import OutputFormat

__all__ = ["CallOptions", "check_option_names", "check_request_id", "too_long"]

_OPTION_NAMES = GenerateOptions.__annotations__.keys()


def check_option_names(options: Iterable[str], known: Iterable[str]) -> None:
    """Check that all options exist.

    Raises:
        TypeError: one does not; the message says what to write.
    """
    known = [*known]
    for name in options:
        if name not in known:
            advice = called_here(name, known) or (
                f"{did_you_mean(name, known)}the options are {', '.join(sorted(known))}"
            )
            raise TypeError(f"there is no option {name!r}: {advice}")


def too_long(limit: int | None) -> str:
    """Return the sentence about a text that is longer than ``max_output_bytes``."""
    return f"the text is longer than max_output_bytes allows ({limit} bytes): give a larger number, or None for no limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """The options of one call, validated. Immutable."""

    sampling: SamplingParams = field(default_factory=SamplingParams)
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    max_output_bytes: int | None = DEFAULT_MAX_OUTPUT_BYTES
    request_id: str | None = None
    metadata: Metadata = field(default=(), repr=False)  # it may be secret
    parameters: Parameters = field(default_factory=lambda: NO_PARAMETERS)
    outputs: tuple[str, ...] = ()
    session: Affinity = None
    logprobs: int | None = None
    lora: Lora | None = None
    output_format: OutputFormat | None = None
    enforce: Enforcement = "server"
    output_retries: int = 2
    backend_inputs: BackendInputs = field(default_factory=dict, repr=False)
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = AUTO
    reasoning: Literal["separate", "include"] | None = None
    template_variables: Mapping[str, Any] = field(default_factory=dict)
    continue_final_message: bool = False
    signature: ModelSignature | None = None
    unsupported: Literal["error", "warn"] = "error"

    def override(self, options: GenerateOptions) -> CallOptions:
        """Return these options with the given ones put over them.

        Raises:
            TypeError: an option does not exist; the message names the nearest one.
            ConfigurationError: a value is wrong.
        """
        if not options:
            return self
        check_option_names(options, _OPTION_NAMES)
        changes: dict[str, Any] = {}
        sampling = {name: options[name] for name in OPTION_NAMES if name in options}  # type: ignore[literal-required]
        if sampling:
            changes["sampling"] = replace(self.sampling, **sampling)
        for name, (attribute, read) in _READERS.items():
            if name in options:
                changes[attribute] = read(options[name])  # type: ignore[literal-required]
        if "timeout" in options:
            changes["timeouts"] = self.timeouts.override(options["timeout"])
        if "template_variables" in options:
            changes["template_variables"] = _variables_over(
                self.template_variables, options["template_variables"]
            )
        if "metadata" in options:
            changes["metadata"] = metadata_over(self.metadata, options["metadata"])
        made = replace(self, **changes)
        if "output_format" in changes or "enforce" in changes:
            _check_enforced(made)
        return made


def check_request_id(value: str | None) -> str | None:
    """Return the id of a request; None for one that is to be made up.

    Raises:
        ConfigurationError: it is not one.
    """
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigurationError(
            f"request_id must be a non-empty string, not {value!r}", parameter="request_id"
        )
    check_text("request_id", value or "", parameter="request_id")
    return value


def _session(value: Affinity) -> Affinity:
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigurationError(f"session must be a non-empty string, not {value!r}", parameter="session")
    return value


def _max_output_bytes(value: int | None) -> int | None:
    if value is None:
        return None
    return check_integer("max_output_bytes", value, "a positive number of bytes or None for no limit", low=1)


MOST_LOGPROBS = 100
"""The largest number of top log probabilities at each place; a larger one is a mistake."""


def _logprobs(value: bool | int | None) -> int | None:  # noqa: FBT001 - the option's own type
    switch = as_bool(value)
    if value is None or switch is not None:
        return 0 if switch else None
    allowed = f"True, False or an integer from 0 to {MOST_LOGPROBS}"
    return check_integer("logprobs", value, allowed, low=0, high=MOST_LOGPROBS)


def _lora(value: LoraLike | None) -> Lora | None:
    return None if value is None else Lora.of(value)


def _signature(value: ModelSignature | None) -> ModelSignature | None:
    if value is not None and not isinstance(value, ModelSignature):
        raise ConfigurationError(
            f"signature must be a ModelSignature, not {type(value).__name__}", parameter="signature"
        )
    return value


def _backend_inputs(value: BackendInputs | None) -> BackendInputs:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            f"backend_inputs must be a mapping of names to values, not {type(value).__name__}",
            parameter="backend_inputs",
        )
    return dict(value)


_SET_BY_US = {
    "messages": "give them as the prompt",
    "system": "give a system message",
    "tools": "give them as tools=",
    "add_generation_prompt": "the client sets it",
    "continue_final_message": "give it as continue_final_message=",
    "allow_control_tokens": "send client.formatter(messages, allow_control_tokens=True) where you trust its author",
}


def _variables_over(base: Mapping[str, Any], value: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ConfigurationError(
            f"template_variables must be a mapping of names to values, not {value!r:.80}",
            parameter="template_variables",
        )
    reserved = next((name for name in _SET_BY_US if name in value), None)
    if reserved is not None:
        raise ConfigurationError(
            f"template_variables must not have {reserved!r}: {_SET_BY_US[reserved]}",
            parameter="template_variables",
        )
    return {**base, **value}


def _continue_final_message(value: bool | None) -> bool:  # noqa: FBT001 - the option's own type
    switch = as_bool(value)
    if value is not None and switch is None:
        raise ConfigurationError(
            f"continue_final_message must be True or False, not {value!r}", parameter="continue_final_message"
        )
    return bool(switch)


def _reasoning(value: str | None) -> str | None:
    if value not in ("separate", "include", None):
        raise ConfigurationError(
            f"reasoning must be 'separate' or 'include', not {value!r}", parameter="reasoning"
        )
    return value


def _unsupported(value: str) -> str:
    if value not in ("error", "warn"):
        raise ConfigurationError(
            f"unsupported must be 'error' or 'warn', not {value!r}", parameter="unsupported"
        )
    return value


def _response_format(value: object) -> OutputFormat | None:
    if value is None:
        return None
    from nupic_client._output_format import read_format  # noqa: PLC0415 - most programs ask for no form

    return read_format(value)


def _check_enforced(options: CallOptions) -> None:
    form = options.output_format
    if form is not None and form.guide.kind == "grammar" and options.enforce == "validate":
        raise ConfigurationError(
            "enforce must be 'server' for a Grammar, which the client cannot check, not 'validate': give a Regex or a JSON"
            " Schema where the server cannot enforce it",
            parameter="enforce",
        )


def _enforce(value: object) -> object:
    if value not in ("server", "validate"):
        raise ConfigurationError(
            f"enforce must be 'server' or 'validate', not {value!r}", parameter="enforce"
        )
    return value


MOST_OUTPUT_RETRIES = 10


def _output_retries(value: int) -> int:
    allowed = f"an integer from 0 to {MOST_OUTPUT_RETRIES}"
    return check_integer("output_retries", value, allowed, low=0, high=MOST_OUTPUT_RETRIES)


_READERS: Mapping[str, tuple[str, Callable[[Any], object]]] = {
    "max_retries": ("retry", RetryPolicy.of),
    "max_output_bytes": ("max_output_bytes", _max_output_bytes),
    "request_id": ("request_id", check_request_id),
    "backend_inputs": ("backend_inputs", _backend_inputs),
    "continue_final_message": ("continue_final_message", _continue_final_message),
    "logprobs": ("logprobs", _logprobs),
    "lora": ("lora", _lora),
    "outputs": ("outputs", output_names),
    "response_format": ("output_format", _response_format),
    "enforce": ("enforce", _enforce),
    "output_retries": ("output_retries", _output_retries),
    "parameters": ("parameters", check_parameters),
    "reasoning": ("reasoning", _reasoning),
    "session": ("session", _session),
    "signature": ("signature", _signature),
    "tool_choice": ("tool_choice", read_tool_choice),
    "tools": ("tools", to_tools),
    "unsupported": ("unsupported", _unsupported),
}
"""For each option the attribute of `CallOptions` that holds it, and the function that validates it."""
