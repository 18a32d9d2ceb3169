"""`SharedMemoryRegion`: shared memory that this process owns, registered with a server."""

from __future__ import annotations

import asyncio
import os
import threading
from types import TracebackType
from typing import Any, NoReturn

from typing_extensions import Self

from nupic_client._arrays import Array, ArrayLike
from nupic_client._core.calls.shared_memory_calls import check_region_name
from nupic_client._open_memory import OpenMemory, Registrar
from nupic_client._public import publish
from nupic_client.errors import ConfigurationError, RequestRejectedError
from nupic_client.shared_memory_places import (
    SharedMemoryOutput,
    SharedMemoryTensor,
    check_byte_size,
    check_offset,
)

__all__ = ["SharedMemoryOutput", "SharedMemoryRegion", "SharedMemoryTensor"]

_ALIGNMENT = 64
"""Places begin at multiples of this: a cache line, and more than any data type needs."""


class SharedMemoryRegion:
    """Shared memory that this process owns, and that requests to one server can name. `ServerClient.shared_memory` makes it.

    It is there inside of a ``with`` or ``async with`` block, or from `open` (`aopen`) until `close` (`aclose`). Then the
    server is told to forget it, and the memory is gone when nothing views it any more. That happens also when the region is
    collected as garbage and when the process ends, unless that is killed; what a killed process has left is removed
    when the next region is made on this machine.

    Server and client must be on the same Linux machine and share ``/dev/shm``; in containers that is ``--ipc``. All methods
    are thread-safe; it is up to the caller that two requests do not use the same place at the same time. A forked child has
    the memory too, but only the process that has opened a region closes it.

    Example:
        .. code-block:: python

            with server.shared_memory(1 << 20) as region:
                place = region.output(4096)
                result = client.infer({"x": region.put(array)}, outputs={"y": place})
                result["y"].sum()
    """

    def __init__(self, server: Registrar, byte_size: int, name: str | None = None) -> None:
        self._server = server
        self._byte_size = check_byte_size(byte_size)
        self._name = f"nupic-{os.getpid()}-{os.urandom(8).hex()}" if name is None else name
        check_region_name(self._name)
        self._lock = threading.Lock()
        self._next = 0
        self._open: OpenMemory | None = None

    # --- life

    def open(self) -> Self:
        """Make the memory and register it with the server. Blocks; idempotent.

        Raises:
            ConfigurationError: this machine has not so much memory to share.
            RequestRejectedError: the server has another region of this name, or cannot use the memory, as when it is on
                another machine.
            RequestError: the call failed.
        """
        if self._begin():
            try:
                self.register()
            except BaseException as error:  # Ctrl-C included
                self._end(registered=not isinstance(error, RequestRejectedError))
                raise
        return self

    async def aopen(self) -> Self:
        """Make the memory and register it with the server. The async twin of `open`, with the same errors."""
        if await asyncio.to_thread(self._begin):
            try:
                await self.aregister()
            except BaseException as error:  # a cancelled task included
                self._end(registered=not isinstance(error, RequestRejectedError))
                raise
        return self

    def register(self) -> None:
        """Register the memory again, after the server was started anew. Blocks. `open` has done it the first time.

        Raises:
            ConfigurationError: the region is not open.
            RequestError: as for `open`.
        """
        self._server.register(self._name, self._opened().file.key, self._byte_size)

    async def aregister(self) -> None:
        """Register the memory again. The async twin of `register`, with the same errors."""
        key = self._opened().file.key
        await self._server.aregister(self._name, key, self._byte_size)

    def close(self) -> None:
        """Unregister the memory and give it back. Blocks for the call to the server; idempotent.

        Arrays of results that view it stay as they are. A server that does not answer is logged as a warning.
        """
        if self._end(registered=False):
            self._server.forget(self._name)

    async def aclose(self) -> None:
        """Unregister the memory and give it back. The async twin of `close`."""
        if self._end(registered=False):
            await self._server.aforget(self._name)

    def __enter__(self) -> Self:
        """Open the region; the end of the block closes it."""
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        """Open the region; the end of the block closes it."""
        return await self.aopen()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- facts

    @property
    def name(self) -> str:
        """Its name in requests."""
        return self._name

    @property
    def key(self) -> str:
        """Its name for the operating system and for other processes; ``"/name"`` is ``/dev/shm/name``."""
        return self._opened().file.key

    @property
    def byte_size(self) -> int:
        """Its size in bytes."""
        return self._byte_size

    @property
    def free(self) -> int:
        """The bytes behind the last place."""
        return max(self._byte_size - _aligned(self._next), 0)

    @property
    def closed(self) -> bool:
        """Whether it is not open."""
        return self._open is None

    # --- places

    def put(
        self, value: ArrayLike, offset: int | None = None, *, datatype: str | None = None
    ) -> SharedMemoryTensor:
        """Copy an array into the region and return its place, which requests take in place of the array.

        Args:
            value: an array, or what ``infer`` takes for an input: a list of texts (BYTES), numbers.
            offset: where to put it, in bytes: over what is there. Default: behind the last place.
            datatype: the data type of the protocol that the model takes, such as ``"INT32"``. Default: the one of the
                array; Python's own numbers are ``"INT64"`` and ``"FP64"``.

        Raises:
            ConfigurationError: it does not fit, or is no array of this data type; the region is not open.
        """
        import numpy as np  # noqa: PLC0415 - see `nupic_client._arrays`

        from nupic_client._core.kserve import arrays  # noqa: PLC0415 - it imports numpy

        memory = self._opened().file.memory
        datatype = datatype or arrays.own_datatype("value", value)
        array = arrays.as_array("value", datatype, value)
        content: Any = arrays.content_of("BYTES", array) if datatype == "BYTES" else None
        size = array.nbytes if content is None else len(content)
        start = self._place(size, offset)
        if content is not None:
            memory[start : start + size] = content
        elif size:
            np.frombuffer(memory, array.dtype, array.size, start).reshape(array.shape)[...] = array
        return SharedMemoryTensor(
            region=self._name, byte_size=size, datatype=datatype, shape=array.shape, offset=start
        )

    def output(self, byte_size: int, offset: int | None = None) -> SharedMemoryOutput:
        """Return a place for an output: ``infer(…, outputs={"y": place})`` has the server write it there.

        ``result["y"]`` then is a read-only view of the place, with the shape that the server reports. The next request with
        the same place overwrites it: copy what is to stay. So does each response of a stream, even while the one before is
        unread.

        Args:
            byte_size: the size of the place in bytes; the output may be smaller. A text of BYTES takes four bytes more
                than its UTF-8.
            offset: where it begins, in bytes. Default: behind the last place.

        Raises:
            ConfigurationError: it does not fit; the region is not open.
        """
        memory = self._opened().file.memory
        size = check_byte_size(byte_size)
        return SharedMemoryOutput(
            region=self._name, byte_size=size, offset=self._place(size, offset), memory=memory
        )

    def array(self, tensor: SharedMemoryTensor) -> Array:
        """Return a view of a tensor of numbers in this region that can be written to: the next request sees the changes.

        Args:
            tensor: of `put`.

        Raises:
            ConfigurationError: it is in another region, or not of numbers; the region is not open.
        """
        import numpy as np  # noqa: PLC0415 - see `nupic_client._arrays`

        from nupic_client._core.kserve.arrays import as_array  # noqa: PLC0415 - it imports numpy

        memory = self._opened().file.memory
        if tensor.region != self._name or tensor.offset + tensor.byte_size > self._byte_size:
            raise ConfigurationError(
                f"tensor must be in the region {self._name!r}, not in {tensor.region!r}", parameter="tensor"
            )
        dtype = as_array("tensor", tensor.datatype, []).dtype
        if dtype.kind == "O":
            raise ConfigurationError(
                "tensor must be of numbers, not of texts: put them again", parameter="tensor"
            )
        count = tensor.byte_size // dtype.itemsize
        return np.frombuffer(memory, dtype, count, tensor.offset).reshape(tuple(tensor.shape))

    def clear(self) -> None:
        """Forget all places: the next one begins at 0. Nothing is erased."""
        with self._lock:
            self._next = 0

    def _place(self, size: int, offset: int | None) -> int:
        """Return where a place of this size begins; without an offset, behind all others."""
        with self._lock:
            chosen = offset is not None
            start = check_offset(offset) if chosen else _aligned(self._next)
            if start + size > self._byte_size:
                left = max(self._byte_size - start, 0)
                where = f"from offset {start} on" if chosen else "behind the last place"
                raise ConfigurationError(
                    f"a place of {size} bytes must fit into the region, which has {left} bytes {where} (of"
                    f" {self._byte_size}): use a place again with offset=, all of them after clear(), or a larger region"
                )
            if not chosen:
                self._next = start + size
            return start

    # --- what Python asks

    def _opened(self) -> OpenMemory:
        if self._open is None:
            raise ConfigurationError(
                f"the region {self._name!r} must be open, as inside of `with server.shared_memory(…) as region`"
            )
        return self._open

    def _begin(self) -> bool:
        """Make the memory; return whether it was not there."""
        with self._lock:
            if self._open is not None:
                return False
            self._open = OpenMemory(self, self._server, self._name, self._byte_size)
            self._next = 0
            return True

    def _end(self, *, registered: bool) -> bool:
        """Give the memory back; return whether it was there, and is this process's to unregister."""
        with self._lock:
            opened, self._open = self._open, None
        return opened is not None and opened.end(registered=registered)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:  # noqa: FBT001 - numpy's
        raise TypeError(
            "a region is no array: give region.put(array), or region.output(byte_size) for an output"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a region belongs to its process: give others its name, and the tensors that are in it"
        )

    def __repr__(self) -> str:
        return f"SharedMemoryRegion({self._name!r}, byte_size={self._byte_size}{', closed' if self.closed else ''})"


def _aligned(position: int) -> int:
    return -(-position // _ALIGNMENT) * _ALIGNMENT


publish(__name__)
