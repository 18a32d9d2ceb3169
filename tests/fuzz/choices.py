"""Bytes as a sequence of choices, so that one input drives a structured scenario."""

from __future__ import annotations


class Choices:
    """Reads choices from the front of the input; an input that is used up chooses 0 everywhere."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def more(self) -> bool:
        return self._at < len(self._data)

    def bytes(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def rest(self) -> bytes:
        return self.bytes(len(self._data))

    def number(self, size: int = 1) -> int:
        return int.from_bytes(self.bytes(size), "little")

    def below(self, bound: int) -> int:
        return self.number(1 if bound <= 256 else 4) % bound

    def flag(self) -> bool:
        return bool(self.number() & 1)

    def pick(self, items):
        return items[self.below(len(items))]

    def block(self) -> bytes:
        """Bytes of a chosen length, as a message in a frame."""
        return self.bytes(self.number(2))

    def text(self, size: int = 1) -> str:
        """Any text, lone surrogates included."""
        return self.bytes(self.number(size)).decode(errors="surrogateescape")

    def words(self) -> str:
        """Text that can be encoded as UTF-8."""
        return self.bytes(self.number()).decode(errors="replace")

    def cuts(self, data: bytes, most: int = 12) -> list[bytes]:
        """Split data at chosen places; chunks may be empty."""
        places = sorted(self.number(2) % (len(data) + 1) for _ in range(self.below(most)))
        return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
