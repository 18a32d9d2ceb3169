"""P-F2: the messages are in a pool of their own, so that other copies of the protocol can be in the process too."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from nupic_client._core.kserve import messages, wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CODE = """\
from google.protobuf import descriptor_pool as _descriptor_pool
from google.protobuf.internal import builder as _builder
{imports}
DESCRIPTOR = _descriptor_pool.Default().AddSerializedFile({data!r})
_builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())
_builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, {name!r}, globals())
"""
"""What ``protoc`` makes of a file."""

USE_OURS = """
from nupic_client import InferenceClient, StreamingClient
from nupic_client.testing import FakeTriton
import nupic_client.http_inference, nupic_client.local
with FakeTriton(["one", " two"]) as server, StreamingClient("gpt.streaming", url=server.url) as client:
    assert client.generate("hi", max_tokens=5).text == "one two"
    with client.stream("hi") as stream:
        assert [*stream] == ["one", " two"]
"""
USE_THEIRS = """
assert {module}.ModelInferRequest(id="x").SerializeToString() == b"\\x1a\\x01x"
"""


def proto(name: str) -> descriptor_pb2.FileDescriptorProto:
    """Return a file of the protocol, to be changed."""
    file = wire.pb.DESCRIPTOR if name == "grpc_service.proto" else wire.pb.model__config__pb2.DESCRIPTOR
    copy = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(copy)
    return copy


def compiled(folder: Path, name: str = "service", suffix: str = "", *, other_release: bool = False) -> str:
    """Write a compiled copy of the protocol, as users make them, and return the module's name.

    Args:
        folder: where.
        name: of the file, without its suffix.
        suffix: put behind the names of both files.
        other_release: whether a field and a message are missing, and another one is there.
    """
    config, service = proto("model_config.proto"), proto("grpc_service.proto")
    config.name = f"model_config{suffix}.proto"
    service.name, service.dependency[:] = f"{name}{suffix}.proto", [config.name]
    if other_release:
        del config.message_type[-1].field[-1]
        metadata = next(item for item in service.message_type if item.name == "ServerMetadataResponse")
        del metadata.field[-1]
        service.message_type.add(name="OfAnotherRelease")
    for file, imports in ((config, ""), (service, f"import model_config{suffix}_pb2")):
        module = file.name.replace(".proto", "_pb2")
        text = CODE.format(imports=imports, data=file.SerializeToString(), name=module)
        (folder / f"{module}.py").write_text(text, encoding="utf-8")
    return f"{name}{suffix}_pb2"


def run(program: str, folder: Path, backend: str = "upb") -> None:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
        "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": backend,
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


COPIES: dict[str, Callable[[Path], tuple[str, str]]] = {
    "tritonclient": lambda _: ("from tritonclient.grpc import service_pb2", "service_pb2"),
    "the same release": lambda folder: (f"import {compiled(folder, 'grpc_service')}", "grpc_service_pb2"),
    "another file name": lambda folder: (f"import {compiled(folder, suffix='_v2')}", "service_v2_pb2"),
    "another release": lambda folder: (
        f"import {compiled(folder, 'grpc_service', other_release=True)}",
        "grpc_service_pb2",
    ),
    "both": lambda folder: (
        f"import {compiled(folder, 'open_inference', '_x', other_release=True)}",
        "open_inference_x_pb2",
    ),
}
"""Import and name of another copy of the protocol."""


@pytest.mark.slow  # a process for each
@pytest.mark.parametrize("backend", ["upb", "python"])
@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("copy", COPIES)
def test_another_copy_can_be_there_too(tmp_path: Path, backend: str, order: str, copy: str):
    imports, module = COPIES[copy](tmp_path)
    theirs = f"{imports}\n{USE_THEIRS.format(module=module)}"
    run(theirs + USE_OURS if order == "before" else USE_OURS + theirs, tmp_path, backend)


def test_nothing_is_put_into_the_common_pool(tmp_path: Path):
    run(
        f"{USE_OURS}"
        "from google.protobuf import descriptor_pool, symbol_database\n"
        "pool = descriptor_pool.Default()\n"
        "for find in (pool.FindFileByName, pool.FindFileContainingSymbol):\n"
        "    for name in ('grpc_service.proto', 'model_config.proto', 'inference.ModelInferRequest'):\n"
        "        try: found = find(name)\n"
        "        except KeyError: continue\n"
        "        raise AssertionError(found.name)\n",
        tmp_path,
    )


def test_their_bytes_are_ours():
    theirs = descriptor_pool.DescriptorPool()
    for file in (wire.pb.model__config__pb2.DESCRIPTOR, wire.pb.DESCRIPTOR):
        assert theirs.AddSerializedFile(file.serialized_pb).serialized_pb == file.serialized_pb
    assert wire.pb.ModelInferRequest.DESCRIPTOR is not theirs.FindMessageTypeByName(
        "inference.ModelInferRequest"
    )


def test_nested_messages_are_attributes_of_the_outer_ones():
    tensor = wire.pb.ModelInferRequest.InferInputTensor(name="x")
    assert wire.pb.ModelInferRequest(inputs=[tensor]).inputs[0].name == "x"


PYTHON_ONLY = """
import asyncio
import numpy as np
from nupic_client import InferenceClient, ProtocolError, ServerClient, StreamingClient
from nupic_client.testing import FakeTriton, raw
from google.protobuf.internal import api_implementation
assert api_implementation.Type() == "python"
with FakeTriton(["one", " two"]) as server:
    with ServerClient(url=server.url) as whole:
        assert [model.name for model in whole.models()] == ["gpt", "gpt.streaming"]
    with StreamingClient("gpt.streaming", url=server.url) as client:
        assert [client.generate("hi", max_tokens=n, stop="x").text for n in (7, 8, 9)] == ["one two"] * 3
        assert asyncio.run(client.agenerate("hi")).text == "one two"
        server.reply = [raw(b"\\x12\\x05\\x1a\\x03\\xff\\xfe\\xfd")]
        for call in (lambda: client.generate("hi"), lambda: asyncio.run(client.agenerate("hi"))):
            try: call()
            except ProtocolError as error: assert "cannot be read" in str(error)
            else: raise AssertionError
    server.reply = ["one"]
    with InferenceClient("gpt", url=server.url) as client:
        assert client.infer({"text_input": np.array(["hi"], object)})["text_output"].ravel()[0] in ("one", b"one")
"""


def test_protobuf_in_pure_python_does_too(tmp_path: Path):
    """Where ids are not UTF-8 as well: it raises another error for them."""
    run(PYTHON_ONLY, tmp_path, "python")


@pytest.mark.parametrize("code", ["x = 1", "import nothing_like_this"])
def test_a_module_without_a_descriptor_is_told(tmp_path: Path, code: str):
    """It is looked at and not executed."""
    (tmp_path / "service_pb2.py").write_text(code, encoding="utf-8")
    with pytest.raises(ImportError, match=r"service_pb2 is missing in .* or it has no descriptor"):
        messages._descriptor("service_pb2", str(tmp_path))
    with pytest.raises(ImportError, match="other_pb2 is missing"):
        messages._descriptor("other_pb2", str(tmp_path))
