"""One input of a request together with its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nupic_client._parameters import check_parameters
from nupic_client._public import publish

__all__ = ["InferInput"]


@dataclass(frozen=True, slots=True, eq=False)
class InferInput:
    """An input with parameters of its own, in place of the bare array. Immutable.

    Args:
        data: the array, as it would be given without parameters.
        parameters: names to values, such as MLServer's ``content_type``.

    Raises:
        ConfigurationError: the protocol has no such parameter.

    Example:
        >>> InferInput(["a text"], {"content_type": "str"}).parameters
        {'content_type': 'str'}
    """

    data: Any = field(repr=False)  # it may be large, or secret
    parameters: Mapping[str, bool | int | float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked = check_parameters(self.parameters, subject="the parameters of an InferInput")
        object.__setattr__(self, "parameters", checked)


publish(__name__)
