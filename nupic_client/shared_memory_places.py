"""Places in shared memory that requests read their inputs from and write their outputs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nupic_client._datatypes import DATATYPES
from nupic_client._numbers import check_integer
from nupic_client._public import publish
from nupic_client._suggest import did_you_mean, listed
from nupic_client._text import check_text
from nupic_client.errors import ConfigurationError

__all__ = ["SharedMemoryOutput", "SharedMemoryTensor"]

REGION, BYTE_SIZE, OFFSET = "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"
"""The parameters of an input or output that say where in shared memory it is; the last one may be left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedMemoryTensor:
    """A tensor in a region of shared memory, in place of the array of an input. Immutable.

    `SharedMemoryRegion.put` makes one. One made by hand names what another process has put into its own region, or memory
    of a GPU; the region must be registered with the server.

    Args:
        region: the name of the region.
        byte_size: the size of the tensor's contents in bytes.
        datatype: its data type in the protocol, such as ``"FP32"``.
        shape: its shape.
        offset: where it begins in the region, in bytes.

    Raises:
        ConfigurationError: a value is wrong.

    Example:
        >>> SharedMemoryTensor(region="camera", byte_size=8, datatype="FP32", shape=(2,)).parameters
        {'shared_memory_region': 'camera', 'shared_memory_byte_size': 8}
    """

    region: str
    byte_size: int
    datatype: str
    shape: Sequence[int]
    offset: int = 0

    def __post_init__(self) -> None:
        _check_place(self, least=0)
        if self.datatype not in DATATYPES:
            raise ConfigurationError(
                f"datatype must be one of the protocol, not {self.datatype!r}:"
                f" {did_you_mean(self.datatype, DATATYPES)}they are {listed(DATATYPES)}",
                parameter="datatype",
            )
        if isinstance(self.shape, (str, bytes)):
            raise ConfigurationError(f"shape must be a list of sizes, not {self.shape!r}", parameter="shape")
        shape = tuple(
            check_integer("shape", size, "sizes >= 0", low=0, high=2**63 - 1) for size in self.shape
        )
        object.__setattr__(self, "shape", shape)

    @property
    def parameters(self) -> Mapping[str, int | str]:
        """The parameters of the protocol that say where it is."""
        return _parameters(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedMemoryOutput:
    """A place in a region of shared memory that an output is written to. Immutable.

    `SharedMemoryRegion.output` makes one. One made by hand is in a region of another process, or in the memory of a GPU:
    then the result has no array of the output, but its place in `InferenceResult.places`.

    Args:
        region: the name of the region.
        byte_size: the size of the place in bytes; the output may be smaller.
        offset: where it begins in the region, in bytes.

    Raises:
        ConfigurationError: a value is wrong.
    """

    region: str
    byte_size: int
    offset: int = 0
    memory: Any = field(default=None, repr=False, compare=False)
    """The region as this process has it, or None."""

    def __post_init__(self) -> None:
        _check_place(self, least=1)

    @property
    def parameters(self) -> Mapping[str, int | str]:
        """The parameters of the protocol that say where it is."""
        return _parameters(self)


def _check_place(place: SharedMemoryTensor | SharedMemoryOutput, *, least: int) -> None:
    check_text("region", place.region, parameter="region")
    if not place.region:
        raise ConfigurationError("region must be the name of a region, not empty", parameter="region")
    object.__setattr__(place, "byte_size", check_byte_size(place.byte_size, least=least))
    object.__setattr__(place, "offset", check_offset(place.offset))


def check_byte_size(value: object, *, least: int = 1) -> int:
    """Return the size of memory as an integer.

    Raises:
        ConfigurationError: it is none, or less than the least.
    """
    return check_integer("byte_size", value, f"a number of bytes >= {least}", low=least, high=2**63 - 1)


def check_offset(value: object) -> int:
    """Return where a place in memory begins as an integer.

    Raises:
        ConfigurationError: it is none.
    """
    return check_integer("offset", value, "a number of bytes >= 0", low=0, high=2**63 - 1)


def _parameters(place: SharedMemoryTensor | SharedMemoryOutput) -> dict[str, int | str]:
    parameters: dict[str, int | str] = {REGION: place.region, BYTE_SIZE: place.byte_size}
    if place.offset:
        parameters[OFFSET] = place.offset
    return parameters


publish(__name__)
