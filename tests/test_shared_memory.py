"""Shared memory without a server: places, what fits, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from nupic_client import (
    ConfigurationError,
    RequestRejectedError,
    SharedMemoryOutput,
    SharedMemoryRegion,
    SharedMemoryTensor,
)
from nupic_client import _memory_file as memory_file
from nupic_client._memory_file import MemoryFile

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the memory is Linux's")

FOLDER = Path("/dev/shm")


class Server:
    """Notes what a region asks of its server.

    Args:
        error: what registering raises.
    """

    def __init__(self, error=None):
        self.error = error
        self.calls = []

    def register(self, name, key, byte_size):
        self.calls.append(("register", name, byte_size))
        assert (FOLDER / key[1:]).stat().st_size == byte_size
        if self.error is not None:
            raise self.error

    async def aregister(self, name, key, byte_size):
        self.register(name, key, byte_size)

    def forget(self, name, timeout=None):
        self.calls.append(("forget", name, timeout))

    async def aforget(self, name):
        self.forget(name)

    def wait_for(self, call):
        end = time.monotonic() + 10
        while call not in self.calls:
            assert time.monotonic() < end, self.calls
            time.sleep(0.01)


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def region(server):
    with SharedMemoryRegion(server, 1000, "a") as opened:
        yield opened


def files():
    return {path.name for path in FOLDER.iterdir() if path.name.startswith(f"nupic-memory-{os.getpid()}-")}


# --- life


def test_a_block_registers_and_unregisters(server):
    region = SharedMemoryRegion(server, 1000, "a")
    assert (region.closed, files(), server.calls) == (True, set(), [])
    with region as same:
        assert same is region
        assert files() == {region.key[1:]}
        assert (region.name, region.byte_size, region.closed) == ("a", 1000, False)
    assert files() == set()
    assert server.calls == [("register", "a", 1000), ("forget", "a", None)]
    region.close()
    assert len(server.calls) == 2
    with region:
        region.put([1])
    assert len(server.calls) == 4


def test_an_async_block(server):
    async def use():
        async with SharedMemoryRegion(server, 1000, "a") as region:
            assert files() == {region.key[1:]}
            await region.aopen()
        await region.aclose()

    asyncio.run(use())
    assert files() == set()
    assert server.calls == [("register", "a", 1000), ("forget", "a", None)]


def test_names_are_made_up(server):
    names = {SharedMemoryRegion(server, 10).name for _ in range(3)}
    assert len(names) == 3


def test_a_region_that_the_server_refuses_leaves_nothing():
    """It may be another one's that has the name: that is not unregistered."""
    server = Server(RequestRejectedError("there is one"))
    with pytest.raises(RequestRejectedError):
        SharedMemoryRegion(server, 10, "a").open()
    with pytest.raises(RequestRejectedError):
        asyncio.run(SharedMemoryRegion(server, 10, "a").aopen())
    assert files() == set()
    assert {call[0] for call in server.calls} == {"register"}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), TimeoutError()])
def test_a_region_whose_registration_is_not_known_is_unregistered(error):
    server = Server(error)
    with pytest.raises(type(error)):
        SharedMemoryRegion(server, 10, "a").open()
    assert files() == set()
    server.wait_for(("forget", "a", None))


def test_a_region_that_is_garbage_is_given_back(server):
    region = SharedMemoryRegion(server, 10, "a").open()
    del region
    gc.collect()
    assert files() == set()
    server.wait_for(("forget", "a", None))


def test_views_outlive_the_region(server):
    with SharedMemoryRegion(server, 1000, "a") as region:
        tensor = region.put(np.arange(3))
        view = region.array(tensor)
    del region
    gc.collect()
    assert view.tolist() == [0, 1, 2]


def test_a_region_can_be_registered_again(region, server):
    """After the server was started anew."""
    region.register()
    asyncio.run(region.aregister())
    assert server.calls == [("register", "a", 1000)] * 3


SCRIPT = """
    import os, sys, signal, threading
    sys.path.insert(0, {tests!r})
    from test_shared_memory import Server
    from nupic_client import SharedMemoryRegion

    class Telling(Server):
        def forget(self, name, timeout=None):
            print("forget", name, timeout, os.getpid() == parent, flush=True)

    parent = os.getpid()
    region = SharedMemoryRegion(Telling(), 1000, "a").open()
    print(region.key[1:], flush=True)
"""


def run(code, sent=None):
    source = textwrap.dedent(SCRIPT).format(tests=str(Path(__file__).parent)) + textwrap.dedent(code)
    # Python 3.12 and newer warn of every fork beside a thread.
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", source],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    name = process.stdout.readline().strip()
    if sent is not None:
        process.send_signal(sent)
    with process:
        return name, process.stdout.read(), process.stderr.read()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "sent"),
    [
        ("pass", None),
        ("sys.exit(3)", None),
        ("raise KeyError('x')", None),
        ("signal.pause()", signal.SIGINT),
        ("region.cycle = region", None),
    ],
)
def test_the_end_of_a_process_gives_the_memory_back(code, sent):
    name, out, err = run(code, sent)
    assert out == "forget a 1.0 True\n"
    assert "resource_tracker" not in err
    assert "Exception ignored" not in err
    assert not (FOLDER / name).exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "end", ["os._exit(0)", "sys.exit(0)", "region.close(); sys.exit(0)", "del region; os._exit(0)"]
)
def test_a_forked_child_leaves_it_alone(end):
    name, out, err = run(
        f"""
        child = os.fork()
        if not child:
            region.put([1, 2])
            {end}
        os.waitpid(child, 0)
        print(os.path.exists("/dev/shm" + region.key), region._opened().file.memory[0], flush=True)
        """
    )
    assert out == "True 1\nforget a 1.0 True\n"
    assert not err
    assert not (FOLDER / name).exists()


@pytest.mark.slow
def test_the_memory_of_a_killed_process_goes_with_the_next_region(region):
    name, _, _ = run("signal.pause()", signal.SIGKILL)
    assert (FOLDER / name).exists()
    MemoryFile(10).unlink()
    assert not (FOLDER / name).exists()
    assert (FOLDER / region.key[1:]).exists(), "its owner lives"


# --- places


@pytest.mark.parametrize(
    ("value", "datatype", "expected"),
    [
        (np.array([1.5, 2], np.float32), None, ("FP32", (2,), 8)),
        (np.arange(6).reshape(2, 3)[:, ::2], None, ("INT64", (2, 2), 32)),
        (np.arange(6, dtype=">i4"), None, ("INT32", (6,), 24)),
        ([1, 2], None, ("INT64", (2,), 16)),
        ([1, 2], "INT8", ("INT8", (2,), 2)),
        ([0.5], "FP16", ("FP16", (1,), 2)),
        (7, "INT32", ("INT32", (), 4)),
        (True, None, ("BOOL", (), 1)),
        (["a", "bcd"], None, ("BYTES", (2,), 12)),
        ("ä", None, ("BYTES", (), 6)),
        (np.array([[b"a"], [b""]], object), None, ("BYTES", (2, 1), 9)),
        (np.float32([1, 2, 3]), "BF16", ("BF16", (3,), 6)),
        (np.zeros((0, 3), np.float32), None, ("FP32", (0, 3), 0)),
        ([], "BYTES", ("BYTES", (0,), 0)),
    ],
)
def test_what_can_be_put(region, value, datatype, expected):
    tensor = region.put(value, datatype=datatype)
    assert (tensor.datatype, tensor.shape, tensor.byte_size) == expected
    assert tensor.region == "a"
    if datatype is None and tensor.datatype != "BYTES":
        assert region.array(tensor).tolist() == np.asarray(value).tolist()


def test_what_cannot_be_put(region):
    for value, datatype, words in [
        ([1.5], "INT32", "must be INT32"),
        (np.zeros(2), "FP32", "astype"),
        ([object()], None, "str or bytes"),
        ([1], "NOPE", "cannot send"),
        (region, "FP32", r"region.put\(array\)"),
    ]:
        with pytest.raises(ConfigurationError, match=words):
            region.put(value, datatype=datatype)
    assert region.free == 1000


def test_places_follow_one_another(region):
    first = region.put(np.zeros(3, np.uint8))
    second = region.put(np.zeros(65, np.uint8))
    third = region.output(10)
    assert (first.offset, second.offset, third.offset, region.free) == (0, 64, 192, 1000 - 256)
    again = region.put(np.ones(3, np.uint8), offset=first.offset)
    assert (again, region.free) == (first, 1000 - 256)
    region.clear()
    assert (region.free, region.output(1000).offset) == (1000, 0)


def test_what_does_not_fit(region):
    region.put(np.zeros(900, np.uint8))
    for call in (lambda: region.put(np.zeros(41, np.uint8)), lambda: region.output(41)):
        with pytest.raises(
            ConfigurationError, match=r"41 bytes must fit.*has 40 bytes behind the last place \(of 1000\)"
        ):
            call()
    assert region.put(np.zeros(40, np.uint8)).offset == 960
    for call in (lambda: region.put(["abc"], 995), lambda: region.output(7, 995)):
        with pytest.raises(ConfigurationError, match=r"7 bytes must fit.*has 5 bytes from offset 995 on"):
            call()
    with pytest.raises(ConfigurationError, match="has 0 bytes from offset 5000 on"):
        region.output(7, 5000)


@pytest.mark.parametrize("offset", [-1, 1.5, "0"])
def test_a_wrong_offset(region, offset):
    with pytest.raises(ConfigurationError, match=r"^offset must be"):
        region.output(7, offset)


@pytest.mark.parametrize("byte_size", [0, -1, 1.5, "1"])
def test_a_wrong_size(region, server, byte_size):
    with pytest.raises(ConfigurationError, match=r"^byte_size must be"):
        region.output(byte_size)
    with pytest.raises(ConfigurationError, match=r"^byte_size must be"):
        SharedMemoryRegion(server, byte_size)


@pytest.mark.parametrize("name", ["", 5, "a\ud800"])
def test_a_wrong_name(server, name):
    with pytest.raises(ConfigurationError, match=r"^name must"):
        SharedMemoryRegion(server, 10, name)


@pytest.mark.parametrize("byte_size", [1 << 46, 1 << 62])
def test_more_memory_than_there_is(server, byte_size):
    """Without the check the process would be killed when it writes there."""
    with pytest.raises(ConfigurationError, match=r"as much as /dev/shm has left \(\d+ bytes\).*--shm-size"):
        SharedMemoryRegion(server, byte_size).open()
    assert files() == set()


def test_other_systems(server, monkeypatch):
    monkeypatch.setattr(memory_file.sys, "platform", "darwin")
    with pytest.raises(ConfigurationError, match="on the server's machine, which Linux runs, not darwin"):
        SharedMemoryRegion(server, 10).open()


def test_a_region_that_is_not_open(server):
    region = SharedMemoryRegion(server, 10)
    for call in (lambda: region.put([1]), lambda: region.output(1), lambda: region.key, region.register):
        with pytest.raises(ConfigurationError, match="must be open"):
            call()
    assert repr(region).endswith("byte_size=10, closed)")


def test_a_view_to_write_to(region):
    tensor = region.put(np.zeros((2, 2), np.float32))
    region.array(tensor)[1] = 7
    assert region.array(tensor).tolist() == [[0, 0], [7, 7]]
    with pytest.raises(ConfigurationError, match="in the region 'a', not in 'b'"):
        region.array(SharedMemoryTensor(region="b", byte_size=4, datatype="FP32", shape=[1]))
    with pytest.raises(ConfigurationError, match="of numbers"):
        region.array(region.put(["a"]))


def test_a_region_stays_in_its_process(region):
    with pytest.raises(TypeError, match="belongs to its process"):
        pickle.dumps(region)
    with pytest.raises(TypeError, match="belongs to its process"):
        copy.copy(region)


# --- places in memory of others


def test_a_place_by_hand():
    tensor = SharedMemoryTensor(region="a", byte_size=8, datatype="FP32", shape=[2])
    assert tensor.shape == (2,)
    assert pickle.loads(pickle.dumps(tensor)) == tensor
    assert tensor.parameters == {"shared_memory_region": "a", "shared_memory_byte_size": 8}
    output = SharedMemoryOutput(region="a", byte_size=8, offset=2)
    assert output.parameters["shared_memory_offset"] == 2


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"region": ""}, "region"),
        ({"region": 5}, "region"),
        ({"byte_size": -1}, "byte_size"),
        ({"offset": -1}, "offset"),
        ({"datatype": "FP33"}, "datatype"),
        ({"shape": "12"}, "shape"),
        ({"shape": [-1]}, "shape"),
    ],
)
def test_a_wrong_place(change, parameter):
    with pytest.raises(ConfigurationError, match=f"^{parameter} must be") as caught:
        SharedMemoryTensor(**{"region": "a", "byte_size": 8, "datatype": "FP32", "shape": [2], **change})
    assert caught.value.parameter == parameter
