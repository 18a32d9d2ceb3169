"""The part of `ServerClient` that registers shared memory."""

from __future__ import annotations

from nupic_client._connected import Connected
from nupic_client._core.calls.shared_memory_calls import SharedMemoryCalls
from nupic_client.server_info import CudaSharedMemory, SystemSharedMemory

__all__ = ["ServerMemory"]


class ServerMemory(Connected):
    """Registration of shared memory. Its subclass sets ``_memory``."""

    _memory: SharedMemoryCalls

    def register_system_shared_memory(self, name: str, key: str, byte_size: int, offset: int = 0) -> None:
        """Let requests name a region of system shared memory. Blocks; thread-safe.

        `shared_memory` also makes the memory, and unregisters it at its end.

        Args:
            name: for requests; no other region of the server may have it.
            key: the memory's name for the operating system, as for ``shm_open``: ``"/name"`` is ``/dev/shm/name``.
            byte_size: its size in bytes.
            offset: where it begins in that memory: a multiple of the size of a page, which is 4096 on most machines.

        Raises:
            ConfigurationError: an argument is wrong.
            RequestRejectedError: the server has a region of this name, or cannot use the memory: it must be on the
                server's machine.
            RequestError: the call failed.
        """
        self._transport.run(self._memory.register_system(name, key, byte_size, offset))

    async def aregister_system_shared_memory(
        self, name: str, key: str, byte_size: int, offset: int = 0
    ) -> None:
        """Register system shared memory. The async twin of `register_system_shared_memory`."""
        await self._async_transport.run(self._memory.register_system(name, key, byte_size, offset))

    def unregister_system_shared_memory(self, name: str = "") -> None:
        """Take a region of system shared memory away from requests. Blocks; thread-safe.

        Args:
            name: of the region; one that the server does not have is no error. Empty for all regions, also those of
                other clients.

        Raises:
            RequestError: the call failed.
        """
        self._transport.run(self._memory.unregister_system(name))

    async def aunregister_system_shared_memory(self, name: str = "") -> None:
        """Unregister system shared memory. The async twin of `unregister_system_shared_memory`."""
        await self._async_transport.run(self._memory.unregister_system(name))

    def system_shared_memory(self, name: str = "") -> dict[str, SystemSharedMemory]:
        """Return the regions of system shared memory that are registered, by name. Blocks; thread-safe.

        Args:
            name: of the only region to return; empty for all.

        Raises:
            RequestRejectedError: the server has no region of this name.
            RequestError: the call failed.
        """
        return self._transport.run(self._memory.system(name))

    async def asystem_shared_memory(self, name: str = "") -> dict[str, SystemSharedMemory]:
        """Return the regions of system shared memory. The async twin of `system_shared_memory`."""
        return await self._async_transport.run(self._memory.system(name))

    def register_cuda_shared_memory(
        self, name: str, raw_handle: bytes, byte_size: int, device_id: int = 0
    ) -> None:
        """Let requests name a region of a GPU's memory. Blocks; thread-safe.

        Args:
            name: for requests; no other region of the server may have it.
            raw_handle: the 64 bytes of its ``cudaIpcMemHandle_t``, as ``cudaIpcGetMemHandle`` gives them.
                (`tritonclient.utils.cuda_shared_memory.get_raw_handle` gives them as base64.)
            byte_size: its size in bytes.
            device_id: the number of the GPU.

        Raises:
            ConfigurationError: an argument is wrong.
            RequestRejectedError: the server has a region of this name, or cannot open the handle.
            RequestError: the call failed.
        """
        self._transport.run(self._memory.register_cuda(name, raw_handle, byte_size, device_id))

    async def aregister_cuda_shared_memory(
        self, name: str, raw_handle: bytes, byte_size: int, device_id: int = 0
    ) -> None:
        """Register memory of a GPU. The async twin of `register_cuda_shared_memory`."""
        await self._async_transport.run(self._memory.register_cuda(name, raw_handle, byte_size, device_id))

    def unregister_cuda_shared_memory(self, name: str = "") -> None:
        """Take a region of a GPU's memory away from requests. Blocks; thread-safe.

        Args:
            name: of the region; one that the server does not have is no error. Empty for all regions, also those of
                other clients.

        Raises:
            RequestError: the call failed.
        """
        self._transport.run(self._memory.unregister_cuda(name))

    async def aunregister_cuda_shared_memory(self, name: str = "") -> None:
        """Unregister memory of a GPU. The async twin of `unregister_cuda_shared_memory`."""
        await self._async_transport.run(self._memory.unregister_cuda(name))

    def cuda_shared_memory(self, name: str = "") -> dict[str, CudaSharedMemory]:
        """Return the regions of GPUs' memory that are registered, by name. Blocks; thread-safe.

        Args:
            name: of the only region to return; empty for all.

        Raises:
            RequestRejectedError: the server has no region of this name.
            RequestError: the call failed.
        """
        return self._transport.run(self._memory.cuda(name))

    async def acuda_shared_memory(self, name: str = "") -> dict[str, CudaSharedMemory]:
        """Return the regions of GPUs' memory. The async twin of `cuda_shared_memory`."""
        return await self._async_transport.run(self._memory.cuda(name))
