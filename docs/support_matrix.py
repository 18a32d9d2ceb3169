"""The support matrix: which tensor carries which feature, as the backends themselves declare it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client.backends import BACKENDS, TensorBackend, VllmBackend
from nupic_client.backends.special_tokens import RemovesSpecialTokens
from nupic_client.sampling import OPTION_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

_NONE = "-"
_TEXT = {False: "new text", True: "the whole text so far", None: "new text, unless declared"}


def support_matrix(backends: Sequence[object] = BACKENDS) -> dict[str, dict[str, str]]:
    """Return feature -> backend -> the tensor that carries it, ``"client"`` or ``"-"``.

    Args:
        backends: those to compare; they are `TensorBackend` objects.
    """
    columns = {backend.name: _features(backend) for backend in backends if isinstance(backend, TensorBackend)}
    features = next(iter(columns.values()), {})
    return {feature: {name: column[feature] for name, column in columns.items()} for feature in features}


def support_table(backends: Sequence[object] = BACKENDS) -> str:
    """Return the support matrix as a Markdown table."""
    matrix = support_matrix(backends)
    names = list(next(iter(matrix.values()), {}))
    lines = [["", *(f"`{name}`" for name in names)], ["---"] * (len(names) + 1)]
    lines += [[feature, *row.values()] for feature, row in matrix.items()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _features(backend: TensorBackend) -> dict[str, str]:
    options = {f"`{option}`": _tensors(backend.options.get(option, ())) for option in OPTION_NAMES}
    if options["`stop`"] == _NONE:
        options["`stop`"] = "client"
    optional_outputs = {
        feature: _tensors(backend.optional_outputs.get(part, ())[1:])
        for feature, part in (
            ("finish reason", "finish_reason"),
            ("input tokens", "input_tokens"),
            ("output tokens", "output_tokens"),
            ("`logprobs`", "logprobs"),
        )
    }
    return {
        "prompt": _tensors((backend.prompt,)),
        "text": _tensors((backend.text,)),
        "a streamed response holds": _TEXT[backend.cumulative],
        "asks for a stream": _tensors((backend.stream_input,)),
        "leaves the prompt out": _tensors((backend.exclude_prompt_input,)),
        **options,
        "`max_tokens` is always sent": "yes" if backend.needs_max_tokens else "no",
        **optional_outputs,
        "images": _tensors((backend.image_input,)),
        "`lora`": _adapter(backend),
        "keeps special tokens": _special_tokens(backend),
    }


def _adapter(backend: TensorBackend) -> str:
    if isinstance(backend, VllmBackend):
        return "`sampling_parameters`"
    return (
        " and ".join(f"`{name}`" for fact, name in backend.lora_inputs.items() if fact != "source") or _NONE
    )


def _special_tokens(backend: TensorBackend) -> str:
    if isinstance(backend, VllmBackend):
        return "`sampling_parameters`"
    return "if set up to" if isinstance(backend, RemovesSpecialTokens) else "model's own"


def _tensors(names: Sequence[str]) -> str:
    return " or ".join(f"`{name}`" for name in names if name) or _NONE
