"""Registration of shared memory with a server, as flows."""

from __future__ import annotations

from nupic_client._core.calls.flows import Flow, with_deadline
from nupic_client._core.calls.queries import Queries
from nupic_client._core.kserve import wire
from nupic_client._numbers import check_integer
from nupic_client._text import check_text
from nupic_client.errors import ConfigurationError
from nupic_client.server_info import CudaSharedMemory, SystemSharedMemory
from nupic_client.shared_memory_places import check_byte_size, check_offset
from nupic_client.timeouts import RetryPolicy

__all__ = ["SharedMemoryCalls", "check_region_name"]

_WHILE_IN_USE = RetryPolicy(max_retries=8, initial_backoff=0.02, max_backoff=1.0)
"""Triton lets go of a region a moment after the answer to the last request that used it: up to three seconds."""


class SharedMemoryCalls(Queries):
    """Registration of shared memory with one server."""

    def within(self, timeout: float) -> SharedMemoryCalls:
        """Return the same calls with another timeout."""
        return SharedMemoryCalls(timeout, self._metadata)

    def register_system(self, name: str, key: str, byte_size: int, offset: int) -> Flow[None]:
        """Register memory that the operating system knows by a key."""
        check_region_name(name)
        check_text("key", key, parameter="key")
        if not key:
            raise ConfigurationError(
                "key must not be empty: it is the memory's name for the system", parameter="key"
            )
        request = wire.pb.SystemSharedMemoryRegisterRequest(
            name=name, key=key, offset=check_offset(offset), byte_size=check_byte_size(byte_size)
        )
        yield self._send("SystemSharedMemoryRegister", request)

    def unregister_system(self, name: str) -> Flow[None]:
        """Unregister a region; without a name, all. One that is in use is tried again for a moment."""
        return self._unregister("SystemSharedMemoryUnregister", name)

    def system(self, name: str) -> Flow[dict[str, SystemSharedMemory]]:
        """Ask for a region; without a name, for all."""
        response = yield self._invoke("SystemSharedMemoryStatus", name=name)
        return {
            key: SystemSharedMemory(name=it.name, key=it.key, offset=it.offset, byte_size=it.byte_size)
            for key, it in sorted(response.regions.items())
        }

    def register_cuda(self, name: str, raw_handle: bytes, byte_size: int, device_id: int) -> Flow[None]:
        """Register memory of a GPU by its handle."""
        check_region_name(name)
        if not isinstance(raw_handle, (bytes, bytearray, memoryview)) or not len(raw_handle):
            given = "empty" if isinstance(raw_handle, (bytes, bytearray, memoryview)) else repr(raw_handle)
            raise ConfigurationError(
                f"raw_handle must be the bytes of a cudaIpcMemHandle_t, not {given}", parameter="raw_handle"
            )
        device = check_integer("device_id", device_id, "the number of a GPU", low=0, high=2**63 - 1)
        request = wire.pb.CudaSharedMemoryRegisterRequest(
            name=name, raw_handle=bytes(raw_handle), device_id=device, byte_size=check_byte_size(byte_size)
        )
        yield self._send("CudaSharedMemoryRegister", request)

    def unregister_cuda(self, name: str) -> Flow[None]:
        """Unregister a region; without a name, all. One that is in use is tried again for a moment."""
        return self._unregister("CudaSharedMemoryUnregister", name)

    def cuda(self, name: str) -> Flow[dict[str, CudaSharedMemory]]:
        """Ask for a region; without a name, for all."""
        response = yield self._invoke("CudaSharedMemoryStatus", name=name)
        return {
            key: CudaSharedMemory(name=it.name, device_id=it.device_id, byte_size=it.byte_size)
            for key, it in sorted(response.regions.items())
        }

    def _unregister(self, method: str, name: str) -> Flow[None]:
        return with_deadline(self._once(method, name), self._timeout, _WHILE_IN_USE)

    def _once(self, method: str, name: str) -> Flow[None]:
        yield self._invoke(method, name=name)


def check_region_name(name: str) -> None:
    """Refuse what is no name of a region.

    Raises:
        ConfigurationError: it is empty, or cannot be sent.
    """
    check_text("name", name, parameter="name")
    if not name:
        raise ConfigurationError("name must not be empty: requests name the region by it", parameter="name")
