"""An array that numpy reads over DLPack only."""

from __future__ import annotations


class OnlyDLPack:
    """An array of a library that knows DLPack only."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()
