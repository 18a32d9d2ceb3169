"""The part of `ServerClient` that registers shared memory."""

from __future__ import annotations

import copy

from nupic_client._connected import Connected
from nupic_client._core.calls.shared_memory_calls import SharedMemoryCalls
from nupic_client.errors import ConfigurationError, NupicError
from nupic_client.logs import logger
from nupic_client.server_info import CudaSharedMemory, SystemSharedMemory
from nupic_client.shared_memory import SharedMemoryRegion

__all__ = ["ServerMemory"]


class ServerMemory(Connected):
    """Registration of shared memory. Its subclass sets ``_memory``."""

    _memory: SharedMemoryCalls

    def shared_memory(self, byte_size: int, name: str | None = None) -> SharedMemoryRegion:
        """Return a region of new shared memory, for a ``with`` or ``async with`` block. Nothing happens before that.

        The block makes the memory and registers it; its end unregisters it and gives the memory back. See
        `SharedMemoryRegion`.

        Args:
            byte_size: its size in bytes.
            name: for requests; made up when it is not given.

        Raises:
            ConfigurationError: an argument is wrong, or the client has several servers.

        Example:
            .. code-block:: python

                with server.shared_memory(1 << 20) as region:
                    tensor = region.put(["a text", "another one"])
        """
        if self._config.server.is_several:
            raise ConfigurationError(
                f"url must be that of one server for shared memory, not of several ({self._config.server}): the others would"
                " not know the region",
                parameter="url",
            )
        return SharedMemoryRegion(_Registrar(self), byte_size, name)

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
        """Register system shared memory.

        The async twin of `register_system_shared_memory`, with the same arguments and errors.
        """
        await self._async_transport.run(self._memory.register_system(name, key, byte_size, offset))

    def unregister_system_shared_memory(self, name: str = "") -> None:
        """Take a region of system shared memory away from requests. Blocks; thread-safe.

        Args:
            name: of the region; one that the server does not have is no error. Empty for all regions, also those of
                other clients.

        Raises:
            RequestRejectedError: a request has used it for three seconds.
            RequestError: the call failed.
        """
        self._transport.run(self._memory.unregister_system(name))

    async def aunregister_system_shared_memory(self, name: str = "") -> None:
        """Unregister system shared memory.

        The async twin of `unregister_system_shared_memory`, with the same arguments and errors.
        """
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
        """Return the regions of system shared memory.

        The async twin of `system_shared_memory`, with the same arguments and errors.
        """
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
        """Register memory of a GPU.

        The async twin of `register_cuda_shared_memory`, with the same arguments and errors.
        """
        await self._async_transport.run(self._memory.register_cuda(name, raw_handle, byte_size, device_id))

    def unregister_cuda_shared_memory(self, name: str = "") -> None:
        """Take a region of a GPU's memory away from requests. Blocks; thread-safe.

        Args:
            name: of the region; one that the server does not have is no error. Empty for all regions, also those of
                other clients.

        Raises:
            RequestRejectedError: a request has used it for three seconds.
            RequestError: the call failed.
        """
        self._transport.run(self._memory.unregister_cuda(name))

    async def aunregister_cuda_shared_memory(self, name: str = "") -> None:
        """Unregister memory of a GPU.

        The async twin of `unregister_cuda_shared_memory`, with the same arguments and errors.
        """
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
        """Return the regions of GPUs' memory.

        The async twin of `cuda_shared_memory`, with the same arguments and errors.
        """
        return await self._async_transport.run(self._memory.cuda(name))


class _Registrar:
    """The calls of a region; they outlive the client that made it, which may be closed meanwhile."""

    def __init__(self, server: ServerMemory) -> None:
        self._server = server

    def register(self, name: str, key: str, byte_size: int) -> None:
        """Register a region."""
        self._server.register_system_shared_memory(name, key, byte_size)

    async def aregister(self, name: str, key: str, byte_size: int) -> None:
        """Register a region. The async twin of `register`."""
        await self._server.aregister_system_shared_memory(name, key, byte_size)

    def forget(self, name: str, timeout: float | None = None) -> None:
        """Unregister a region whose memory is gone already; an error is logged."""
        transport, calls = self._server._transport, self._server._memory  # noqa: SLF001 - a part of that class
        client = copy.copy(self._server) if transport.closed else self._server
        try:
            flow = (calls if timeout is None else calls.within(timeout)).unregister_system(name)
            client._transport.run(flow)  # noqa: SLF001 - a part of that class
        except NupicError as error:
            _log_failure(name, error)
        finally:
            if client is not self._server:
                client.close()

    async def aforget(self, name: str) -> None:
        """Unregister a region. The async twin of `forget`."""
        closed = self._server._async_transport.closed  # noqa: SLF001 - a part of that class
        client = copy.copy(self._server) if closed else self._server
        try:
            await client.aunregister_system_shared_memory(name)
        except NupicError as error:
            _log_failure(name, error)
        finally:
            if client is not self._server:
                await client.aclose()


def _log_failure(name: str, error: NupicError) -> None:
    logger.warning("shared memory region %s may still be registered: %s", name, error)
