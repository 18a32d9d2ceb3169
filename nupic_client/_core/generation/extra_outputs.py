"""The outputs of a text model that the caller asks for besides the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nupic_client._core.kserve.codec import raw_contents

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nupic_client._core.kserve.arrays import Array

__all__ = ["ExtraOutputs"]


class ExtraOutputs:
    """Collect outputs from the responses of one request, as arrays.

    Args:
        names: their names.
    """

    __slots__ = ("_latest", "_names", "fresh")

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._latest: dict[str, Array] = {}
        self.fresh: Mapping[str, Array] = {}
        """Those of the last response."""

    @property
    def latest(self) -> Mapping[str, Array]:
        """Each output as the last response that had it."""
        return dict(self._latest)

    def take(self, answer: Any) -> None:
        """Take a ``ModelInferResponse``.

        Raises:
            ProtocolError: the contents of an output do not fit its data type and shape.
        """
        self.fresh = {
            output.name: _decoded(output, raw)
            for output, raw in zip(answer.outputs, raw_contents(answer), strict=False)
            if output.name in self._names
        }
        self._latest.update(self.fresh)


def _decoded(output: Any, raw: bytes | None) -> Array:
    from nupic_client._core.kserve.output_arrays import decode_output, texts_of  # noqa: PLC0415  # it imports numpy

    array = decode_output(output, raw, "bytes")
    # The caller of a generation cannot choose bytes, and an output besides the text must not end it.
    return texts_of(array, errors="surrogateescape") if output.datatype == "BYTES" else array
