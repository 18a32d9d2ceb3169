"""Without an SDK a request costs a few calls of functions, and a token nothing; counted, not timed."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from pathlib import Path

import pytest
from needed import need

need("opentelemetry")

import nupic_client
from nupic_client import InferenceClient, StreamingClient
from nupic_client.integrations.opentelemetry import instrument
from nupic_client.testing import FakeTriton

PACKAGE = str(Path(nupic_client.__file__).parent)
FEW, MANY = 8, 800


@pytest.fixture
def server():
    with FakeTriton(lambda request: ["a"] * int(request.inputs["max_tokens"])) as server:
        yield server


def calls_of(function):
    """Count what this thread calls: functions of the package, and those that they call."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        caller = frame if event == "c_call" else frame.f_back
        if (
            event in {"call", "c_call"}
            and caller is not None
            and caller.f_code.co_filename.startswith(PACKAGE)
        ):
            count += 1

    gc.disable()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def cost(client, other, tokens):
    """Return the median of how many calls a generation of an instrumented client makes more than that of another."""
    for each in (client, other):
        each.generate("hi", max_tokens=tokens)
    differences = [
        calls_of(lambda: client.generate("hi", max_tokens=tokens))
        - calls_of(lambda: other.generate("hi", max_tokens=tokens))
        for _ in range(9)
    ]
    return sorted(differences)[4]


def test_without_an_sdk_a_request_costs_a_few_calls_and_a_token_none(server):
    with InferenceClient("gpt", server.url) as client, InferenceClient("gpt", server.url) as other:
        with instrument(client):
            few = cost(client, other, FEW)
    assert 0 < few < 25  # counted: 14


def test_a_token_costs_nothing(server, memory):
    with (
        StreamingClient("gpt.streaming", server.url) as client,
        StreamingClient("gpt.streaming", server.url) as other,
    ):
        with instrument(client):
            assert abs(cost(client, other, MANY) - cost(client, other, FEW)) < MANY / 4
        with memory.instrument(client, every_chunk=False):
            assert abs(cost(client, other, MANY) - cost(client, other, FEW)) < MANY / 4


def test_nothing_is_kept(server):
    with InferenceClient("gpt", server.url) as client, instrument(client):
        for _ in range(50):
            client.generate("hi", max_tokens=FEW)
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.take_snapshot()
            for _ in range(200):
                client._watch("generate")
            gc.collect()
            after = tracemalloc.take_snapshot()
        finally:
            tracemalloc.stop()
    kept = [
        each
        for each in after.compare_to(before, "filename")
        if "opentelemetry" in each.traceback[0].filename and each.count_diff > 20
    ]
    assert kept == []
