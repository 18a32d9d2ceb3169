"""As much of HTTP/2 as it takes to damage it: https://www.rfc-editor.org/rfc/rfc9113#section-4.1."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

__all__ = ["DATA", "HEADERS", "PREFACE", "Frame", "Splitter", "goaway"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends before its first frame."""
DATA = 0
HEADERS = 1
_GOAWAY = 7
_HEAD = 9


@dataclass(frozen=True)
class Frame:
    """One frame.

    Args:
        kind: its type.
        flags: its flags.
        stream: the stream it belongs to; 0 for the connection.
        payload: what it carries.
        length: the length that its head says, where that is not the true one.
    """

    kind: int
    flags: int = 0
    stream: int = 0
    payload: bytes = b""
    length: int | None = None

    def encode(self) -> bytes:
        """Return the frame as it goes over the wire."""
        length = len(self.payload) if self.length is None else self.length
        return (
            struct.pack(">I", length)[1:]
            + struct.pack(">BBI", self.kind, self.flags, self.stream)
            + self.payload
        )

    def cut(self, *, honest: bool) -> Frame:
        """Return the frame without the second half of its payload; an honest one says so in its head."""
        half = self.payload[: len(self.payload) // 2]
        return replace(self, payload=half, length=None if honest else len(self.payload))


class Splitter:
    """Cut a stream of bytes into frames, and the client's preface.

    Args:
        preface: whether it begins with the preface.
    """

    def __init__(self, *, preface: bool) -> None:
        self._preface = preface
        self._data = b""

    def feed(self, data: bytes) -> list[Frame | bytes]:
        """Take bytes and return what is complete."""
        self._data += data
        units: list[Frame | bytes] = []
        while (unit := self._next()) is not None:
            units.append(unit)
        return units

    def _next(self) -> Frame | bytes | None:
        if self._preface:
            if len(self._data) < len(PREFACE):
                return None
            self._preface = False
            self._data = self._data[len(PREFACE) :]
            return PREFACE
        if len(self._data) < _HEAD:
            return None
        length = int.from_bytes(self._data[:3], "big")
        if len(self._data) < _HEAD + length:
            return None
        kind, flags, stream = struct.unpack(">BBI", self._data[3:_HEAD])
        payload, self._data = self._data[_HEAD : _HEAD + length], self._data[_HEAD + length :]
        return Frame(kind, flags, stream, payload)


def goaway(last_stream: int, code: int = 0, debug: bytes = b"") -> bytes:
    """Return a GOAWAY frame: the peer takes no stream after ``last_stream`` on this connection."""
    return Frame(_GOAWAY, payload=struct.pack(">II", last_stream, code) + debug).encode()
