"""The protocol's message classes, in a pool of their own.

Protobuf has one pool of descriptors for the whole process, and each name has one meaning in it. MLServer, KServe's SDK and
every program with Triton's protos compiled by itself put their own copies of KServe v2 there, under the same names. If ours
were there too, then whichever is imported second would fail: ``duplicate symbol 'inference.ServerLiveRequest'``.

The descriptors are tritonclient's. They are read from its generated modules, which are not executed: that would register
them. Nor is the package imported: its ``__init__`` takes five times as long as all of ours.
"""

from __future__ import annotations

import importlib.util
from importlib.machinery import PathFinder
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.internal import enum_type_wrapper

__all__ = ["load_messages"]


def load_messages() -> SimpleNamespace:
    """Return the classes of the service's messages, and as ``model__config__pb2`` those of a model's configuration.

    Raises:
        ImportError: tritonclient is missing, or its generated modules look unlike those that are known.
    """
    package = importlib.util.find_spec("tritonclient")
    if (
        package is None or not package.submodule_search_locations
    ):  # pragma: no cover - it is a core dependency
        raise ImportError(
            "nupic_client needs the package tritonclient[grpc]: pip install 'tritonclient[grpc]'"
        )
    folder = str(Path(package.submodule_search_locations[0]) / "grpc")
    pool = descriptor_pool.DescriptorPool()
    config = SimpleNamespace(**_classes(pool, _descriptor("model_config_pb2", folder)))
    return SimpleNamespace(**_classes(pool, _descriptor("service_pb2", folder)), model__config__pb2=config)


def _descriptor(name: str, folder: str) -> bytes:
    """Return the serialized ``FileDescriptorProto`` that is a constant of a generated module."""
    spec = PathFinder.find_spec(name, [folder])
    code: Any = getattr(spec and spec.loader, "get_code", lambda _name: None)(name)
    constants = [value for value in getattr(code, "co_consts", ()) if isinstance(value, bytes)]
    if not constants:
        raise ImportError(f"tritonclient's module {name} is missing in {folder}, or it has no descriptor")
    return max(constants, key=len)


def _classes(pool: Any, descriptor: bytes) -> dict[str, Any]:
    """Return the classes of a file by name, and the file itself as ``DESCRIPTOR``: what its generated module has."""
    file = pool.AddSerializedFile(descriptor)
    messages = {name: _class(message) for name, message in file.message_types_by_name.items()}
    enums = {name: enum_type_wrapper.EnumTypeWrapper(enum) for name, enum in file.enum_types_by_name.items()}
    return {**messages, **enums, "DESCRIPTOR": file}


def _class(descriptor: Any) -> Any:
    """Return the class of a message, which has those of the messages nested in it."""
    made = message_factory.GetMessageClass(descriptor)
    for nested in descriptor.nested_types:
        if not hasattr(made, nested.name):  # protobuf's pure Python does not look for them itself
            setattr(made, nested.name, _class(nested))
    return made
