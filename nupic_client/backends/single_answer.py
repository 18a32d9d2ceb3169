"""A generation is one text: inputs that ask for several at once are refused before they are sent.

The answers of a request with several sequences or beams come mixed into one stream: vLLM sends one to n elements in each
response, in no stable order, and TensorRT-LLM a response for each sequence in turn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nupic_client.errors import ConfigurationError

__all__ = ["SEND_SEVERAL", "check_single_answer"]

SEND_SEVERAL = "to get several, send the prompt several times"

_COUNTS = frozenset({"n", "best_of", "beam_width", "beam_width_array", "num_beams", "num_return_sequences"})
"""How vLLM, TensorRT-LLM and their models call the number of answers or beams, without the prefixes below."""
_PREFIXES = ("sampling_param_", "sampling_params_", "runtime_")
_SAMPLING = "sampling_param"
"""In the names of inputs that take all options as JSON."""
_LOGITS = frozenset({"return_context_logits", "return_generation_logits"})


def check_single_answer(name: str, value: object) -> None:
    """Check that an input of a request does not ask for more than one text.

    Args:
        name: of the input.
        value: a number, text or array, or a mapping of options that is sent as JSON.

    Raises:
        ConfigurationError: it does.
    """
    # Only there: the text of another input may be JSON of any meaning.
    options = _options(value) if _SAMPLING in name else None
    if options is not None:
        for option, number in options.items():
            _check(f"{name!r}: {option!r}", str(option), number)
    else:
        _check(repr(name), name, value)


def _check(shown: str, name: str, value: object) -> None:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    if name in _LOGITS and _greatest(value) >= 1:
        raise ConfigurationError(
            f"backend_inputs: {shown} must be false: ask for the logits themselves,"
            f" outputs=[{name.removeprefix('return_')!r}]",
            parameter="backend_inputs",
        )
    if name in _COUNTS and _greatest(value) > 1:
        raise ConfigurationError(
            f"backend_inputs: {shown} must be 1, not {_greatest(value):g}: a generation is one text, and several answers or"
            f" beams would come mixed into one; {SEND_SEVERAL}",
            parameter="backend_inputs",
        )


def _options(value: object) -> Mapping[Any, object] | None:
    """Return the options in a value that is a mapping, or the JSON text of one."""
    while not isinstance(value, Mapping):
        value = _plain(value)
        if isinstance(value, (list, tuple)) and len(value) == 1:
            value = value[0]
            continue
        if isinstance(value, (bytes, bytearray, memoryview)):
            value = bytes(value).decode(errors="replace")
        if not isinstance(value, str) or not value.lstrip().startswith("{"):
            return None
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None  # it is for the model to say what is wrong with it
    return value


def _greatest(value: object) -> float:
    """Return the greatest number in a value; 0 where there is none."""
    value = _plain(value)
    if isinstance(value, (list, tuple)):
        return max(map(_greatest, value), default=0.0)
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = bytes(value).decode(errors="replace")
    if isinstance(value, str) and value.strip().lower() == "true":
        return 1.0
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _plain(value: object) -> object:
    """Return an array or number of numpy as Python's own lists and numbers."""
    return value.tolist() if hasattr(value, "tolist") and not isinstance(value, memoryview) else value
