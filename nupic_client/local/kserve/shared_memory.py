"""System shared memory that clients register, for a server of tests: inputs are read from it and outputs written to it.

A server for others has none (`NoMemory`): its clients could name memory of any process of its user.
"""

from __future__ import annotations

import mmap
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import encode_tensor, typed_elements
from nupic_client.local.engine import EngineError
from nupic_client.local.kserve.parameters import no_region, place_of
from nupic_client.local.kserve.status import StatusError, invalid
from nupic_client.shared_memory_places import BYTE_SIZE, OFFSET, REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["NoMemory", "SharedMemory"]

_FOLDER = Path("/dev/shm")  # noqa: S108 - the system's place for memory


@dataclass(frozen=True, slots=True)
class _Region:
    key: str
    offset: int
    byte_size: int
    memory: mmap.mmap


class NoMemory:
    """The registered memory of a server that has none."""

    def calls(self) -> Mapping[str, Callable[[Any, Any], Any]]:
        """Return the methods of the service that are about it."""
        return {}

    def filled(self, message: Any) -> Any:
        """Return a request with the contents of its inputs in registered memory; the others stay as they are."""
        return message

    def check(self, tensor: Any, region: str) -> None:  # noqa: ARG002 - its subclass looks at it
        """Refuse an input or output in a region that is not registered, or does not have the place.

        Raises:
            StatusError: with the real server's text.
        """
        raise no_region(region)

    def write(self, output: Any, content: bytes) -> None:
        """Write an output to its place.

        Raises:
            EngineError: the place is too small.
        """
        raise AssertionError(output, content)  # pragma: no cover - `check` has refused it


class SharedMemory(NoMemory):
    """The memory that the clients of one server have registered. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._regions: dict[str, _Region] = {}

    def calls(self) -> Mapping[str, Callable[[Any, Any], Any]]:
        """Return the methods for system shared memory."""
        return {
            "SystemSharedMemoryStatus": self._status,
            "SystemSharedMemoryRegister": self._register,
            "SystemSharedMemoryUnregister": self._unregister,
        }

    def _status(self, request: Any, _context: Any) -> Any:
        response = wire.pb.SystemSharedMemoryStatusResponse()
        with self._lock:
            regions = dict(self._regions)
        if request.name and request.name not in regions:
            raise StatusError("NOT_FOUND", f"Unable to find system shared memory region: '{request.name}'")
        for name in [request.name] if request.name else regions:
            told, region = response.regions[name], regions[name]
            told.name, told.key, told.offset, told.byte_size = (
                name,
                region.key,
                region.offset,
                region.byte_size,
            )
        return response

    def _register(self, request: Any, _context: Any) -> Any:
        with self._lock:
            if request.name in self._regions:
                raise StatusError(
                    "ALREADY_EXISTS", f"shared memory region '{request.name}' already in manager"
                )
            self._regions[request.name] = _opened(request)
        return wire.pb.SystemSharedMemoryRegisterResponse()

    def _unregister(self, request: Any, _context: Any) -> Any:
        with self._lock:
            if request.name:
                self._regions.pop(request.name, None)
            else:
                self._regions.clear()
        return wire.pb.SystemSharedMemoryUnregisterResponse()

    def filled(self, message: Any) -> Any:
        """Return a request with the contents of its inputs in registered memory."""
        if not any(REGION in item.parameters for item in message.inputs):
            return message
        filled = wire.pb.ModelInferRequest()
        filled.CopyFrom(message)
        filled.ClearField("raw_input_contents")
        sent = list(message.raw_input_contents)
        for item in filled.inputs:
            typed = item.HasField("contents")
            content = None if typed else self._content(item)
            if content is None and (REGION in item.parameters or (typed and sent)):
                return message  # it will be refused
            if typed:
                content = encode_tensor(item.datatype, list(typed_elements(item) or ()))
                item.ClearField("contents")
            elif content is None:
                content = sent.pop(0) if sent else b""
            filled.raw_input_contents.append(content)
            for name in (REGION, OFFSET, BYTE_SIZE):
                item.parameters.pop(name, None)
        filled.raw_input_contents.extend(sent)
        return filled

    def _content(self, tensor: Any) -> bytes | None:
        """Return what is at the place of an input; None where it has none, or a wrong one."""
        try:
            place = place_of(tensor)
            if place is None:
                return None
            self.check(tensor, place.region)
        except StatusError:
            return None
        with self._lock:
            region = self._regions.get(place.region)
        return None if region is None else region.memory[place.offset : place.offset + place.byte_size]

    def check(self, tensor: Any, region: str) -> None:
        """Refuse a region that is not registered, or does not have the place."""
        with self._lock:
            found = self._regions.get(region)
        place = place_of(tensor)
        if found is None or place is None:
            raise no_region(region)
        if not 0 <= place.offset < found.byte_size:
            raise invalid(f"Invalid offset for shared memory region: '{region}'")
        if place.byte_size < 0 or place.offset + place.byte_size > found.byte_size:
            raise invalid(f"Invalid offset + byte size for shared memory region: '{region}'")

    def write(self, output: Any, content: bytes) -> None:
        """Write an output to its place."""
        place = place_of(output)
        with self._lock:
            region = None if place is None else self._regions.get(place.region)
        if place is None or region is None:  # it was unregistered meanwhile
            return
        if len(content) > place.byte_size:
            raise EngineError(
                f"shared memory size specified with the request for output '{output.name}' ({place.byte_size} bytes)"
                f" should be at least {len(content)} bytes to hold the results"
            )
        region.memory[place.offset : place.offset + len(content)] = content


def _opened(request: Any) -> _Region:
    name = request.key.removeprefix("/")
    if not name or "/" in name or "\0" in name or name in {".", ".."}:
        raise StatusError("INTERNAL", f"Unable to open shared memory region: '{request.key}'")
    try:
        descriptor = os.open(_FOLDER / name, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        raise StatusError("INTERNAL", f"Unable to open shared memory region: '{request.key}'") from None
    try:
        if not request.byte_size or request.offset + request.byte_size > os.fstat(descriptor).st_size:
            raise StatusError("INTERNAL", f"Invalid shared memory region: '{request.key}'")
        memory = mmap.mmap(descriptor, request.byte_size, offset=request.offset)
    except (OSError, ValueError, OverflowError):
        raise invalid(f"failed to register shared memory region '{request.name}': invalid args") from None
    finally:
        os.close(descriptor)
    return _Region(request.key, request.offset, request.byte_size, memory)
