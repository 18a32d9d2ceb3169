"""Which lines earlier runs have answered, in a few bytes each."""

from __future__ import annotations

import bisect
from array import array

__all__ = ["DoneLines"]


class DoneLines:
    """The lines that are not sent again: a bit for the number of one, eight bytes and a bit for the hash of one.

    Add all, then take: a hash that was added twice is taken twice.
    """

    def __init__(self) -> None:
        self._numbers = bytearray()
        self._hashes = array("Q")
        self._taken = bytearray()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """The memory that the lines take."""
        return len(self._numbers) + len(self._taken) + len(self._hashes) * self._hashes.itemsize

    def add(self, key: int | str) -> None:
        """Add a line by its `Row.key`."""
        self._count += 1
        if isinstance(key, str):
            self._hashes.append(int(key, 16))
            return
        place, bit = divmod(key, 8)
        if place >= len(self._numbers):
            self._numbers.extend(bytes(max(place + 1 - len(self._numbers), len(self._numbers) // 8)))
        self._numbers[place] |= 1 << bit

    def end(self) -> None:
        """Sort what was added."""
        if self._hashes:
            import numpy as np  # noqa: PLC0415 - only a resumed run needs it

            np.frombuffer(self._hashes, dtype=np.uint64).sort()
        self._taken = bytearray(len(self._hashes) // 8 + 1)

    def take(self, key: int | str) -> bool:
        """Return whether a line was added and not taken yet, and take it."""
        return self._take_hash(int(key, 16)) if isinstance(key, str) else self._take_number(key)

    def _take_number(self, number: int) -> bool:
        place, bit = divmod(number, 8)
        if place >= len(self._numbers) or not self._numbers[place] >> bit & 1:
            return False
        self._numbers[place] &= ~(1 << bit)
        return True

    def _take_hash(self, value: int) -> bool:
        index = bisect.bisect_left(self._hashes, value)
        while index < len(self._hashes) and self._hashes[index] == value:
            place, bit = divmod(index, 8)
            if not self._taken[place] >> bit & 1:
                self._taken[place] |= 1 << bit
                return True
            index += 1
        return False
