"""The types of arrays in signatures. numpy itself is imported when an array is touched: its import takes 0.1 s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

__all__ = ["Array", "ArrayLike", "Vectors"]

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    """A numpy array of any data type."""
    Vectors: TypeAlias = NDArray[np.float32]
    """A numpy array of float32."""
else:
    Array = Vectors = Any

ArrayLike: TypeAlias = Any
"""A numpy array, an object that numpy converts to one (such as a torch tensor on the CPU), or plain Python values."""
