"""Check the parameters of a request, of its inputs and of its outputs as the real server does, with the same texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nupic_client._core.calls.outputs import CLASSIFICATION
from nupic_client._core.kserve import wire
from nupic_client.local.kserve.status import StatusError, invalid
from nupic_client.shared_memory_places import BYTE_SIZE, OFFSET, REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Place",
    "check_output_parameters",
    "check_parameters",
    "no_region",
    "place_of",
    "uses_shared_memory",
]

_FLAG = ("bool_param",)
_KINDS: Mapping[str, tuple[str, ...]] = {
    wire.EMPTY_FINAL_PARAMETER: _FLAG,
    "sequence_id": ("int64_param", "string_param"),
    "sequence_start": _FLAG,
    "sequence_end": _FLAG,
    "priority": ("int64_param", "uint64_param"),
    "timeout": ("int64_param",),
}
"""The fields in which the protocol's own parameters may come."""
_OTHERS = ("int64_param", "bool_param", "double_param", "string_param")
"""The fields in which any other parameter may come."""


def check_parameters(message: Any) -> None:
    """Check the parameters of a ModelInferRequest.

    Raises:
        StatusError: one is reserved, or has no value or one of a wrong type.
    """
    for name, value in message.parameters.items():
        if name.startswith("triton_") and name not in _KINDS:
            raise invalid(
                "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following "
                f"keys starting with 'triton_' are allowed: {wire.EMPTY_FINAL_PARAMETER}"
            )
        kind = value.WhichOneof("parameter_choice")
        if kind not in _KINDS.get(name, _OTHERS):
            # The real server does not name double_param, although it takes it.
            expected = (
                " or ".join(_KINDS[name]) if name in _KINDS else "int64_param, bool_param, or string_param"
            )
            raise invalid(f"invalid value type for '{name}' parameter, expected {expected}.")
        if name == "priority" and kind == "int64_param" and value.int64_param < 0:
            raise invalid("invalid value for 'priority', expected value >= 0.")


def uses_shared_memory(tensor: Any) -> str:
    """Return the region of shared memory that an input or output names; empty if it names none.

    Raises:
        StatusError: the parameters about shared memory are not complete or of a wrong type.
    """
    given = tensor.parameters
    subject = f"parameter for tensor '{tensor.name}'"
    if REGION not in given:
        for name in (OFFSET, BYTE_SIZE):
            if name in given:
                raise invalid(f"'{name}' can not be specified without '{REGION}' {subject}")
        return ""
    _check_kind(given, REGION, "string_param", subject)
    if OFFSET in given:
        _check_kind(given, OFFSET, "int64_param", subject)
    if BYTE_SIZE not in given:
        raise invalid(f"'{BYTE_SIZE}' must be specified along with '{REGION}' {subject}")
    _check_kind(given, BYTE_SIZE, "int64_param", subject)
    region: str = given[REGION].string_param
    return region


@dataclass(frozen=True, slots=True)
class Place:
    """Where in shared memory an input or output is."""

    region: str
    byte_size: int
    offset: int


def place_of(tensor: Any) -> Place | None:
    """Return where in shared memory an input or output is; None for one that is not.

    Raises:
        StatusError: as `uses_shared_memory`.
    """
    region, given = uses_shared_memory(tensor), tensor.parameters
    if not region:
        return None
    return Place(region, given[BYTE_SIZE].int64_param, given[OFFSET].int64_param if OFFSET in given else 0)


def _check_kind(given: Any, name: str, kind: str, subject: str) -> None:
    if given[name].WhichOneof("parameter_choice") != kind:
        raise invalid(f"invalid value type for '{name}' {subject}, expected {kind}.")


def no_region(name: str) -> StatusError:
    """Return the refusal of a region of shared memory that is not registered."""
    return StatusError("NOT_FOUND", f"Unable to find shared memory region: '{name}'")


def check_output_parameters(message: Any, check_place: Callable[[Any, str], None]) -> dict[str, int]:
    """Check the parameters of the requested outputs.

    Args:
        message: the ModelInferRequest.
        check_place: refuses an output in a region of shared memory that cannot be used.

    Returns:
        The number of classes of each output that is wanted as a classification.

    Raises:
        StatusError: they are wrong.
    """
    classes = {}
    for output in message.outputs:
        region = uses_shared_memory(output)
        if CLASSIFICATION in output.parameters:
            if region:
                raise invalid(f"output can't set both '{REGION}' and '{CLASSIFICATION}'")
            classes[output.name] = _class_count(output.parameters[CLASSIFICATION])
        if region:
            check_place(output, region)
    return classes


def _class_count(value: Any) -> int:
    if value.WhichOneof("parameter_choice") != "int64_param":
        raise invalid(f"invalid value type for '{CLASSIFICATION}' parameter, expected int64_param")
    if value.int64_param <= 0:
        raise invalid(f"invalid value for '{CLASSIFICATION}' parameter, expected >= 0")
    count: int = value.int64_param
    return count
