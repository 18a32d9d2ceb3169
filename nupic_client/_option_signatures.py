"""Signatures with each option by name, in place of ``**options``: for ``help()`` and for the shells that complete names.

Type checkers read ``Unpack[GenerateOptions]``, which `inspect.signature` does not open.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from nupic_client.options import GenerateOptions, InferOptions, InferStreamOptions

__all__ = ["MISSING", "ORIGINALS", "named_options"]

ClassT = TypeVar("ClassT", bound=type)

MISSING: Any = type("Missing", (), {"__repr__": lambda _self: "..."})()
"""Stands for an argument that was not given."""
ORIGINALS: dict[Callable[..., Any], inspect.Signature] = {}
"""The functions with another signature, and their own: for the documentation, which has a page for the options."""

_UNPACKED = re.compile(r"Unpack\[(\w+)\]")


def _parameters(options: Any) -> list[inspect.Parameter]:
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=MISSING,
            annotation=getattr(annotation, "__forward_arg__", annotation),
        )
        for name, annotation in options.__annotations__.items()
    ]


_OPTIONS = {kind.__name__: _parameters(kind) for kind in (GenerateOptions, InferOptions, InferStreamOptions)}


def named_options(kind: ClassT) -> ClassT:
    """Give the methods of a class that take options a signature that names them.

    ``generate(messages=…)`` is what many try first, and it should hear of its mistake instead of the missing prompt. So a
    prompt may be missing when a method is called, which then checks the options before it asks for the prompt.
    """
    for function in list(vars(kind).values()):
        options = _options_of(function)
        if options is None:
            continue
        signature = ORIGINALS[function] = inspect.signature(function)
        function.__signature__ = signature.replace(parameters=[*_named(signature, options)])
        first = [name for name, it in signature.parameters.items() if it.default is it.empty][:-1]
        if (
            first == ["self", "prompt"]
            and signature.parameters["prompt"].kind is not inspect.Parameter.POSITIONAL_ONLY
        ):
            function.__defaults__ = (MISSING, *(function.__defaults__ or ()))
    return kind


def _options_of(function: object) -> list[inspect.Parameter] | None:
    found = _UNPACKED.fullmatch(str(getattr(function, "__annotations__", {}).get("options", "")))
    return None if found is None or not inspect.isfunction(function) else _OPTIONS[found[1]]


def _named(signature: inspect.Signature, options: list[inspect.Parameter]) -> Iterator[inspect.Parameter]:
    for parameter in signature.parameters.values():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            yield parameter
        else:
            yield from (option for option in options if option.name not in signature.parameters)
