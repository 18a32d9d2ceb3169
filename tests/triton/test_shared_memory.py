"""Inputs and outputs in shared memory on the real server; the answers are those of the same request with its bytes."""

from __future__ import annotations

import asyncio
import gc
import secrets
import time
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as tritonclient
from core.replies import serialized_request
from tritonclient.utils import shared_memory as triton_memory

from nupic_client import (
    ConfigurationError,
    InferenceClient,
    InferInput,
    RequestRejectedError,
    ServerClient,
    SharedMemoryOutput,
    SharedMemoryTensor,
)
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.input_arrays import encode_array
from nupic_client._core.kserve.shared_memory import decode_with_places
from nupic_client.local.triton.process import TritonProcess
from nupic_client.signature import TensorSpec
from triton.raw import Raw

MODELS = Path(__file__).parent / "memory_models"
X = np.arange(1000, dtype=np.float32)


@pytest.fixture(scope="module")
def triton(needs_triton):
    with TritonProcess(MODELS) as process:
        yield process


@pytest.fixture
def server(triton):
    with ServerClient(triton.url) as client:
        yield client
        assert client.system_shared_memory() == {}


@pytest.fixture
def region(server):
    with server.shared_memory(1 << 16) as opened:
        yield opened


@pytest.fixture
def theirs(server):
    """Make a region of tritonclient's, with a name of its own. It is given back however the test ends.

    tritonclient raises where the server lets go of a region only a moment after an answer; ours waits.
    """
    made = {}

    def make(byte_size):
        name = f"theirs-{secrets.token_hex(4)}"
        made[name] = triton_memory.create_shared_memory_region(name, f"/nupic-{name}", byte_size)
        return name, f"/nupic-{name}", made[name]

    yield make
    for name, handle in made.items():
        try:
            server.unregister_system_shared_memory(name)
        finally:
            triton_memory.destroy_shared_memory_region(handle)


@pytest.fixture(params=["sync", "async"])
def infer(request, triton):
    with InferenceClient("identity", triton.url) as client:

        def call(inputs, **options):
            if request.param == "sync":
                return client.infer(inputs, **options)
            return asyncio.run(client.ainfer(inputs, **options))

        yield call


# --- inputs and outputs


def test_numbers_in(infer, region):
    assert np.array_equal(infer({"x": region.put(X)})["y"], X)


def test_numbers_out(infer, region):
    result = infer({"x": X}, outputs={"y": region.output(X.nbytes)})
    assert np.array_equal(result["y"], X)
    assert not result["y"].flags.writeable
    assert list(result) == ["y"]


def test_numbers_in_and_out_as_tritonclient_has_them(infer, region, triton, theirs):
    result = infer({"x": region.put(X)}, outputs={"y": region.output(X.nbytes + 100)})
    name, key, handle = theirs(2 * X.nbytes)
    with tritonclient.InferenceServerClient(triton.url) as peer:
        peer.register_system_shared_memory(name, key, 2 * X.nbytes)
        triton_memory.set_shared_memory_region(handle, [X])
        given = tritonclient.InferInput("x", [len(X)], "FP32")
        given.set_shared_memory(name, X.nbytes)
        wanted = tritonclient.InferRequestedOutput("y")
        wanted.set_shared_memory(name, X.nbytes, X.nbytes)
        output = peer.infer("identity", [given], outputs=[wanted]).get_output("y")
        array = triton_memory.get_contents_as_numpy(handle, np.float32, output.shape, X.nbytes)
        assert (result["y"].tolist(), list(result["y"].shape)) == (array.tolist(), list(output.shape))


@pytest.mark.parametrize("texts", [["a", "bcd", ""], ["ä"], []])
def test_texts_in_and_out(infer, region, texts):
    place = region.output(100)
    infer({"s": ["older", "texts", "that", "are", "longer"]}, outputs={"t": place})
    result = infer({"s": region.put(texts, datatype="BYTES")}, outputs={"t": place})
    assert result["t"].tolist() == texts


def test_some_in_shared_memory_and_some_not(infer, region):
    """The raw contents of a request belong to the inputs that are not in shared memory."""
    for inputs in (
        {"x": region.put(X), "s": ["a"]},
        {"s": ["a"], "x": region.put(X)},
        {"x": X, "s": region.put(["a"])},
    ):
        for outputs in (
            None,
            {"y": region.output(X.nbytes, 16384), "t": None},
            {"t": region.output(9, 16384), "y": None},
        ):
            result = infer(inputs, outputs=outputs)
            assert (result["t"].tolist(), result["y"].tolist()) == (["a"], X.tolist())


def test_an_output_is_the_next_input(infer, region):
    first = infer({"x": X}, outputs={"y": region.output(X.nbytes)})
    assert np.array_equal(infer({"x": first.places["y"]})["y"], X)


def test_the_next_request_overwrites_the_place(infer, region):
    place = region.output(X.nbytes)
    first = infer({"x": X}, outputs={"y": place})["y"]
    kept = first.copy()
    infer({"x": X + 1}, outputs={"y": place})
    assert np.array_equal(first, X + 1)
    assert np.array_equal(kept, X)


def test_a_place_is_used_again(infer, region):
    tensor = region.put(X)
    for value in (1, 2):
        region.array(tensor)[:] = value
        assert infer({"x": tensor})["y"].tolist() == [value] * len(X)
    again = region.put(X + 5, offset=tensor.offset)
    assert again == tensor
    assert np.array_equal(infer({"x": tensor})["y"], X + 5)


def test_an_empty_tensor(infer, region):
    result = infer({"s": ["a"], "x": X[:0]}, outputs={"y": region.output(10), "t": None})
    assert result["y"].shape == (0,)


def test_parameters_of_the_input_are_sent_too(infer, region):
    assert np.array_equal(infer({"x": InferInput(region.put(X), {"mine": 1})})["y"], X)


def test_many_at_a_time(region, triton):
    """In places of their own."""
    tensors = [region.put(np.full(10, number, np.float32)) for number in range(50)]
    with InferenceClient("identity", triton.url) as client:
        assert [result["y"][0] for result in client.map({"x": it} for it in tensors)] == list(range(50))

        async def amap():
            return [result["y"][0] async for result in client.amap({"x": it} for it in tensors)]

        assert asyncio.run(amap()) == list(range(50))
        with pytest.raises(ConfigurationError, match="every request would write to the same place"):
            list(client.map(({"x": it} for it in tensors), outputs={"y": region.output(100)}))


def test_a_stream_reads_and_writes_shared_memory(region, triton):
    """By messages: each response overwrites the place of the one before it."""
    tensor, place = region.put(X[:8]), region.output(32)
    encoded = encode_array(TensorSpec("x", "FP32", (-1,)), tensor, batched=False)
    asked = wire.RequestedOutput("y", place.parameters, place)
    message = serialized_request("repeat", [encoded], outputs=[asked])
    calls = Raw(triton.url)
    answer = calls.stream(wire.pb.ModelInferRequest.FromString(message))
    calls.close()
    assert len(answer.messages) == 3
    for response in answer.messages:
        arrays, _ = decode_with_places(response.infer_response, "str", {"y": place})
        assert arrays["y"].tolist() == (X[:8] + 2).tolist()


# --- errors


def test_places_that_do_not_fit(infer, region, server):
    tensor = region.put(X)

    def other(**changes):
        fields = {name: getattr(tensor, name) for name in SharedMemoryTensor.__slots__}
        return SharedMemoryTensor(**{**fields, **changes})

    for inputs, outputs, words, status in [
        ({"x": other(region="nope")}, None, "no such region", "NOT_FOUND"),
        ({"x": other(offset=1 << 20)}, None, "place in shared memory does not fit", "INVALID_ARGUMENT"),
        ({"x": other(offset=(1 << 16) - 8)}, None, "place in shared memory does not fit", "INVALID_ARGUMENT"),
        ({"x": other(byte_size=8)}, None, "byte size mismatch", "INVALID_ARGUMENT"),
        ({"x": tensor}, {"y": SharedMemoryOutput(region="nope", byte_size=8)}, "no such region", "NOT_FOUND"),
        (
            {"x": tensor},
            {"y": region.output(8, 0)},
            r"does not fit: .*should be at least 4000 bytes",
            "INTERNAL",
        ),
    ]:
        with pytest.raises(RequestRejectedError, match=words) as caught:
            infer(inputs, outputs=outputs)
        assert (caught.value.status, caught.value.retryable) == (status, False)


def test_what_is_refused_before_anything_is_sent(infer, region):
    for inputs, outputs, words in [
        ({"x": region.put(X.astype(np.int32))}, None, "must be FP32, not INT32 in shared memory"),
        ({"x": region}, None, r"region.put\(array\)"),
        ({"x": X}, {"y": region}, "a place in shared memory or None"),
    ]:
        with pytest.raises(ConfigurationError, match=words):
            infer(inputs, outputs=outputs)


# --- regions


def test_several_regions_at_once(infer, server):
    with server.shared_memory(8000) as one, server.shared_memory(8000, "two") as two:
        result = infer({"x": one.put(X)}, outputs={"y": two.output(X.nbytes)})
        assert np.array_equal(result["y"], X)
        assert set(server.system_shared_memory()) == {one.name, "two"}
        with pytest.raises(RequestRejectedError, match="registered already"), server.shared_memory(10, "two"):
            pass
        assert np.array_equal(infer({"x": one.put(X, 0)}, outputs={"y": two.output(X.nbytes, 0)})["y"], X)


def test_a_region_of_another_process(infer, server, theirs):
    """It is only named here: with tritonclient's or any other means."""
    name, key, handle = theirs(8192)
    server.register_system_shared_memory(name, key, 8192)
    triton_memory.set_shared_memory_region(handle, [X])
    tensor = SharedMemoryTensor(region=name, byte_size=X.nbytes, datatype="FP32", shape=X.shape)
    assert np.array_equal(infer({"x": tensor})["y"], X)
    place = SharedMemoryOutput(region=name, byte_size=4096, offset=4096)
    result = infer({"x": tensor}, outputs={"y": place})
    assert result.places["y"] == SharedMemoryTensor(
        region=name, byte_size=X.nbytes, datatype="FP32", shape=X.shape, offset=4096
    )
    assert list(result) == []
    with pytest.raises(KeyError, match="places"):
        _ = result["y"]
    assert np.array_equal(triton_memory.get_contents_as_numpy(handle, np.float32, [1000], 4096), X)


def test_a_region_outlives_its_client(triton, server):
    with ServerClient(triton.url) as other:
        region = other.shared_memory(100).open()
    region.put([1])
    assert set(server.system_shared_memory()) == {region.name}
    region.close()


def test_an_async_region(triton, server):
    async def use():
        async with ServerClient(triton.url) as other, InferenceClient("identity", triton.url) as client:
            async with other.shared_memory(8000) as region:
                result = await client.ainfer({"x": region.put(X)}, outputs={"y": region.output(4000, 0)})
                assert np.array_equal(result["y"], X)
                assert set(await other.asystem_shared_memory()) == {region.name}
            assert await other.asystem_shared_memory() == {}
            return await other.shared_memory(100).aopen()

    left = asyncio.run(use())
    assert set(server.system_shared_memory()) == {left.name}
    left.close()


def test_a_region_that_is_garbage_is_unregistered(server):
    region = server.shared_memory(100).open()
    assert server.system_shared_memory()
    del region
    gc.collect()
    end = time.monotonic() + 20
    while server.system_shared_memory():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_server_that_was_started_again(needs_triton, caplog):
    with TritonProcess(MODELS) as first:
        port = int(first.url.rpartition(":")[2])
        with ServerClient(first.url) as server, InferenceClient("identity", first.url) as client:
            with server.shared_memory(8000) as region, server.shared_memory(8000) as other:
                tensor = region.put(X)
                assert np.array_equal(client.infer({"x": tensor})["y"], X)
                first.kill()
                with TritonProcess(MODELS, port=port):
                    server.wait_until_ready()
                    with pytest.raises(
                        RequestRejectedError, match="a server that was started again has none"
                    ):
                        client.infer({"x": tensor})
                    region.register()
                    assert np.array_equal(client.infer({"x": tensor})["y"], X)
                    other.close()
            assert region.closed, "without a server"
    assert "may still be registered" in caplog.text


@pytest.mark.skipif(not hasattr(InferenceClient, "infer_stream"), reason="there are no streams of results")
def test_streams_of_results(region, triton):
    """What is read late shows the last response: there is one place for all."""
    tensor, place = region.put(X[:8]), region.output(32)
    with InferenceClient("repeat", triton.url) as client:
        with client.infer_stream({"x": tensor}) as stream:
            assert [result["y"][0] for result in stream] == [0, 1, 2]
        with client.infer_stream({"x": tensor}, outputs={"y": place}) as stream:
            results = list(stream)
        assert [result["y"].tolist() for result in results] == [(X[:8] + 2).tolist()] * 3
        assert {result.places["y"].offset for result in results} == {place.offset}

        async def read():
            async with client.ainfer_stream({"x": tensor}, outputs={"y": place}) as stream:
                return [result["y"].shape async for result in stream]

        assert asyncio.run(read()) == [(8,)] * 3
