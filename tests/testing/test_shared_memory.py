"""Shared memory of `FakeTriton`: requests read and write it as on the real server (`tests/triton/test_shared_memory.py`)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import grpc
import numpy as np
import pytest

from nupic_client import (
    ConfigurationError,
    InferenceClient,
    ModelSignature,
    RequestRejectedError,
    ServerClient,
    SharedMemoryOutput,
    SharedMemoryTensor,
    SystemSharedMemory,
    TensorSpec,
)
from nupic_client._core.kserve import wire
from nupic_client.testing import FakeTriton

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the memory is Linux's")
X = np.arange(10, dtype=np.float32)
IDENTITY = ModelSignature(
    "identity",
    {"x": TensorSpec("x", "FP32", (-1,)), "s": TensorSpec("s", "BYTES", (-1,), optional=True)},
    {"y": TensorSpec("y", "FP32", (-1,)), "t": TensorSpec("t", "BYTES", (-1,))},
)


def echo(request):
    names = {"x": "y", "s": "t"}
    return [{names[name]: value for name, value in request.inputs.items()}]


@pytest.fixture
def fake():
    with FakeTriton(echo, models=[IDENTITY]) as server:
        yield server


@pytest.fixture
def server(fake):
    with ServerClient(fake.url) as client:
        yield client


@pytest.fixture
def client(fake):
    with InferenceClient("identity", fake.url) as client:
        yield client


@pytest.fixture
def region(server):
    with server.shared_memory(4096, "a") as opened:
        yield opened


def test_it_is_an_extension(server):
    assert "system_shared_memory" in server.metadata().extensions


def test_registration(server, region):
    found = SystemSharedMemory(name="a", key=region.key, offset=0, byte_size=4096)
    assert server.system_shared_memory() == server.system_shared_memory("a") == {"a": found}
    for args, words in [
        (("a", region.key, 10), "registered already"),
        (("b", "/nope", 10), "Unable to open"),
        (("b", "../etc/passwd", 10), "Unable to open"),
        (("b", region.key, 5000), "Invalid shared memory region"),
        (("b", region.key, 10, 8), "cannot use this memory"),
    ]:
        with pytest.raises(RequestRejectedError, match=words):
            server.register_system_shared_memory(*args)
    with pytest.raises(RequestRejectedError, match="no such region"):
        server.system_shared_memory("b")
    server.unregister_system_shared_memory("b")
    server.unregister_system_shared_memory()
    assert server.system_shared_memory() == {}


def test_inputs_and_outputs(client, region):
    place, text = region.output(40), region.output(20)
    for inputs in (
        {"x": region.put(X), "s": ["a", "b"]},
        {"s": ["a", "b"], "x": region.put(X)},
        {"x": X, "s": region.put(["a", "b"])},
        {"x": region.put(X), "s": region.put(["a", "b"])},
    ):
        for outputs in ({"y": place, "t": None}, {"y": None, "t": text}, {"y": place, "t": text}, None):
            result = client.infer(inputs, outputs=outputs)
            assert np.array_equal(result["y"], X)
            assert result["t"].tolist() == ["a", "b"]
    assert np.array_equal(asyncio.run(client.ainfer({"x": result["y"]}, outputs={"y": place}))["y"], X)


def test_typed_contents_beside_shared_memory(fake, region):
    """Some clients send the contents of the other inputs so."""
    tensor = region.put(X)
    request = wire.pb.ModelInferRequest(model_name="identity")
    request.inputs.add(name="s", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"a")
    wire.set_parameters(request.inputs.add(name="x", datatype="FP32", shape=[10]), tensor.parameters)
    with grpc.insecure_channel(fake.url) as channel:
        call = channel.unary_unary(
            wire.method_path("ModelInfer"), response_deserializer=wire.pb.ModelInferResponse.FromString
        )
        response = call(request.SerializeToString(), timeout=10)
    assert [output.name for output in response.outputs] == ["t", "y"]


def test_what_does_not_fit(client, region):
    tensor = region.put(X)

    def other(**changes):
        fields = {name: getattr(tensor, name) for name in SharedMemoryTensor.__slots__}
        return SharedMemoryTensor(**{**fields, **changes})

    for inputs, outputs, words, status in [
        ({"x": other(region="nope")}, None, "no such region", "NOT_FOUND"),
        ({"x": other(offset=5000)}, None, "Invalid offset for", "INVALID_ARGUMENT"),
        ({"x": other(offset=4090)}, None, r"Invalid offset \+ byte size", "INVALID_ARGUMENT"),
        ({"x": other(byte_size=8)}, None, "byte size mismatch", "INVALID_ARGUMENT"),
        ({"x": tensor}, {"y": SharedMemoryOutput(region="nope", byte_size=8)}, "no such region", "NOT_FOUND"),
        ({"x": tensor}, {"y": region.output(8, 0)}, "should be at least 40 bytes", "INTERNAL"),
    ]:
        with pytest.raises(RequestRejectedError, match=words) as caught:
            client.infer(inputs, outputs=outputs)
        assert caught.value.status == status


def test_one_of_several_servers_would_not_know_the_region():
    with (
        ServerClient(["localhost:1", "localhost:2"]) as several,
        pytest.raises(ConfigurationError, match="one server for shared memory, not of several"),
    ):
        several.shared_memory(10)


PROGRAM = """
import asyncio, os, signal, sys
from nupic_client import ServerClient

server = ServerClient({url!r})
region = server.shared_memory(100, "left")
"""
ENDS = {
    "sync": "region.open(); region.put([1])",
    "in an error": "region.open(); raise KeyError('x')",
    "by Ctrl-C": "region.open(); os.kill(os.getpid(), signal.SIGINT)",
    "async": "asyncio.run(region.aopen())",
    "after its client": "region.open(); server.close()",
    "after a fork": "region.open()\nif not os.fork(): sys.exit(0)\nos.wait()\nassert server.system_shared_memory()",
}


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_process_unregisters_what_it_has_left_open(fake, server, end):
    code = PROGRAM.format(url=fake.url) + ENDS[end]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert server.system_shared_memory() == {}, done.stderr
    assert "SystemSharedMemoryRegister" in fake.calls
    assert "Exception ignored" not in done.stderr
    assert "may still be registered" not in done.stderr


@pytest.mark.slow
def test_the_end_of_a_process_does_not_wait_for_a_server_that_is_gone():
    with FakeTriton(echo, models=[IDENTITY]) as fake:
        code = PROGRAM.format(url=fake.url) + "region.open(); print(1, flush=True); sys.stdin.read()"
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "1\n"
    began = time.monotonic()
    with process:
        process.stdin.close()
        assert process.wait(30) == 0
    assert time.monotonic() - began < 10
