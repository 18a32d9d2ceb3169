"""What must not creep back into the path of a token: counted, not timed, so that a busy machine changes nothing.

Each bound has its reason and a little air for other Python versions; what was counted on CPython 3.11 stands beside it.
The benchmarks (`python -m benchmarks`) tell what it means in microseconds.
"""

import asyncio
import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from inference.tensor_server import TensorServer, signature

import nupic_client
from nupic_client import InferenceClient, StreamingClient
from nupic_client.testing import FakeTriton

PACKAGE = str(Path(nupic_client.__file__).parent)
WORDS = [" the", " sky", " is", " blue", " because", " air", " scatters", " light"]
FEW, MANY = 200, 1000


def answer(request):
    return WORDS * (int(request.inputs["max_tokens"]) // len(WORDS))


@pytest.fixture(scope="module")
def server():
    with FakeTriton(answer) as server:
        yield server


@pytest.fixture
def client(server):
    with StreamingClient("gpt.streaming", url=server.url) as client:
        yield client


class Calls:
    """Counts what this thread calls inside the package: its own functions, and C functions called from them."""

    def __init__(self):
        self.count = 0
        self.names = {}

    def note(self, frame, event, argument):
        if event not in {"call", "c_call"} or not frame.f_code.co_filename.startswith(PACKAGE):
            return
        self.count += 1
        name = argument.__qualname__ if event == "c_call" else frame.f_code.co_name
        self.names[name] = self.names.get(name, 0) + 1


def calls_of(read):
    calls = Calls()
    sys.setprofile(calls.note)
    try:
        read()
    finally:
        sys.setprofile(None)
    return calls


def per_token(read):
    """Return the calls for each further token, and their names: what a request costs once cancels out."""
    read(FEW)  # signatures and code that is loaded late
    few, many = calls_of(lambda: read(FEW)), calls_of(lambda: read(MANY))
    names = {name: (count - few.names.get(name, 0)) / (MANY - FEW) for name, count in many.names.items()}
    return (many.count - few.count) / (MANY - FEW), {name: n for name, n in names.items() if n > 0.01}


def read_sync(client, tokens, **options):
    assert sum(1 for _ in client.stream("Hello", max_tokens=tokens, **options)) == tokens


async def read_async(client, tokens):
    count = 0
    async for _ in client.astream("Hello", max_tokens=tokens):
        count += 1
    assert count == tokens


# The same on CPython 3.10 to 3.13. Seven of them are our functions: the loop, the read, the session, the decoder.
# Parsing adds about 15, numpy more.
SYNC_CALLS = 19


def test_a_token_of_a_sync_stream_costs_a_handful_of_calls(client):
    count, names = per_token(lambda tokens: read_sync(client, tokens))
    assert count <= SYNC_CALLS, names


# One scan for stop strings more, and what it calls.
STOP_CALLS = 23


def test_stop_strings_add_one_scan(client):
    count, names = per_token(lambda tokens: read_sync(client, tokens, stop=["<end>", "</s>"]))
    assert count <= STOP_CALLS, names


# A coroutine counts again each time it goes on after a wait: so many at most.
ASYNC_CALLS = 28  # counted: 22 to 26


def test_a_token_of_an_async_stream_costs_a_handful_of_calls(client):
    def read(tokens):
        asyncio.run(read_async(client, tokens))

    count, names = per_token(read)
    assert count <= ASYNC_CALLS, names


# Each response of `infer_stream` is parsed, and its outputs become arrays.
RESULT_CALLS = 66  # counted: 62, a third of them for the text


def test_a_result_of_a_stream_costs_no_more_than_its_decoding(server):
    def read(results):
        inputs = {"text_input": ["Hello"], "max_tokens": [results]}
        with InferenceClient("gpt.streaming", url=server.url) as client:
            assert sum(1 for _ in client.infer_stream(inputs)) == results

    count, names = per_token(read)
    assert count <= RESULT_CALLS, names


def test_most_responses_are_not_parsed(client):
    read_sync(client, FEW)  # code that is loaded late
    parsed = calls_of(lambda: read_sync(client, MANY)).names["ModelStreamInferResponse.FromString"]
    # Each length of a piece three times: the first one, which may be the only one, the second to learn it, and once to try
    # what was learned. Then the last piece, which says why the text ends, and the final response.
    assert parsed <= 3 * len({len(word) for word in WORDS}) + 2


def test_requests_with_the_same_options_are_decided_once(server):
    def generate():
        with StreamingClient("gpt.streaming", url=server.url, backend="plain", max_tokens=8) as client:
            for _ in range(5):
                client.generate("Hello")

    assert calls_of(generate).names["option_values"] == 1


def kept_blocks(client, tokens):
    stream = client.stream("Hello", max_tokens=tokens)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in stream:
        pass
    gc.collect()
    return sys.getallocatedblocks() - before


@pytest.mark.slow
def test_a_stream_keeps_one_object_a_token(client):
    kept_blocks(client, MANY)
    # Its text; the time of its arrival is eight bytes in an array.
    assert kept_blocks(client, 4 * MANY) - kept_blocks(client, MANY) <= 1.1 * 3 * MANY


def test_streaming_uses_no_numpy(server):
    code = f"""
import sys
from nupic_client import StreamingClient
client = StreamingClient("gpt.streaming", url={server.url!r})
assert client.generate("Hello", max_tokens=16).text
print([name for name in ("numpy", "tritonclient.grpc", "pandas") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


THREADS = """
import sys, threading
from nupic_client import StreamingClient

client = StreamingClient("gpt.streaming", url=sys.argv[1])
before = threading.active_count()
streams = [client.stream("Hello", max_tokens=8) for _ in range(40)]
assert all(len(list(stream)) == 8 for stream in streams)
print(threading.active_count() - before)
"""


def test_a_stream_has_no_thread(server):
    # In a process of its own, because the server's threads are not the client's.
    done = subprocess.run(
        [sys.executable, "-c", THREADS, server.url], capture_output=True, text=True, check=True
    )
    # One for all streams of the process, which ends what is left and looks after deadlines.
    assert int(done.stdout) <= 1


def test_a_generation_is_one_call(server):
    with StreamingClient("gpt.streaming", url=server.url) as client:
        seen = len(server.calls)
        for _ in range(3):
            client.generate("Hello", max_tokens=8)
            asyncio.run(client.agenerate("Hello", max_tokens=8))
        # The model's signature is asked for once; everything after that is the generation itself.
        assert list(server.calls[seen:]) == ["ModelConfig", *["ModelStreamInfer"] * 6]


# Arrays. What repeats an earlier request costs a copy of its head and the bytes; the answer is not parsed.
ARRAY = np.ones(8, np.float32)


def one_by_one(client, number):
    for _ in range(number):
        client.infer({"x": ARRAY})


def all_at_once(client, number):
    assert sum(1 for _ in client.map([{"x": ARRAY}] * number)) == number


async def aone_by_one(client, number):
    for _ in range(number):
        await client.ainfer({"x": ARRAY})


async def aall_at_once(client, number):
    assert len([result async for result in client.amap([{"x": ARRAY}] * number)]) == number


# Counted on CPython 3.11: 67, 106, 69, and 92 to 105, which depends on how many end together. Before, with all checks and
# all parsing each time: 182, 207, 189 and 224.
@pytest.mark.parametrize(
    ("send", "most"), [(one_by_one, 72), (all_at_once, 125), (aone_by_one, 76), (aall_at_once, 112)]
)
def test_a_request_like_the_last_one_costs_few_calls(send, most):
    specs = {"x": ("FP32", (-1,))}
    with TensorServer(signature("m", specs)) as server, InferenceClient("m", server.url) as client:
        server.keep_requests = False

        def run(number):
            asyncio.run(send(client, number)) if send in {aone_by_one, aall_at_once} else send(client, number)

        run(20)
        few, many = calls_of(lambda: run(FEW)), calls_of(lambda: run(MANY))
        names = {name: (count - few.names.get(name, 0)) / (MANY - FEW) for name, count in many.names.items()}
    assert (many.count - few.count) / (MANY - FEW) <= most, names
