"""An observer is told of each request for arrays: single, many, embeddings, streams, sequences; over gRPC and HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import sys
import threading

import numpy as np
import pytest
from inference.rest_server import RestServer
from inference.tensor_server import TensorServer, repeat, signature
from observe.recorder import Recorder, wait_until

from nupic_client import (
    ConfigurationError,
    ConnectionFailedError,
    HttpInferenceClient,
    InferenceClient,
    ModelUnavailableError,
    RetryPolicy,
)
from nupic_client._core.calls.bulk import Job
from nupic_client._core.calls.flows import Attempts
from nupic_client._core.calls.observation import Observation
from nupic_client._core.kserve import wire
from nupic_client.testing import FakeTriton

ARRAY = np.ones(3, np.float32)
PLAIN = signature("m", {"x": ("FP32", (-1,))})
MANY = signature("many", {"x": ("FP32", (1,))}, decoupled=True)
SBERT = signature("sbert", {"text": ("BYTES", (1,))}, {"vector": ("FP32", (2,))}, max_batch_size=4)
QUICK = RetryPolicy(max_retries=2, initial_backoff=0.01)


@pytest.fixture
def server():
    with TensorServer(PLAIN, MANY, stream=repeat) as server:
        yield server


@pytest.fixture
def client(server, seen):
    with InferenceClient("m", server.url, observer=seen, max_retries=QUICK) as client:
        yield client


def infer(client, inputs=ARRAY, **options):
    return client.infer(inputs, **options)


def ainfer(client, inputs=ARRAY, **options):
    return asyncio.run(client.ainfer(inputs, **options))


def one_of_a_sequence(client, inputs=ARRAY, **options):
    return client.sequence().infer(inputs, **options)


def aone_of_a_sequence(client, inputs=ARRAY, **options):
    return asyncio.run(client.sequence().ainfer(inputs, **options))


SINGLE = pytest.mark.parametrize("ask", [infer, ainfer, one_of_a_sequence, aone_of_a_sequence])


@SINGLE
def test_a_request_is_told_of(client, server, seen, ask):
    for _ in range(2):  # with the question for the model, and without
        result = ask(client)
        info, outcome = seen.only()
        assert seen.names == ["start", "end"]
        assert (info.operation, info.model, info.target) == ("infer", "m", server.url)
        assert info.request_id == result.request_id
        assert (info.sampling, info.chat, info.streaming) == (None, False, False)
        assert (outcome.model, outcome.error, outcome.cancelled) == ("m", None, False)
        assert outcome.finish_reason is outcome.output_bytes is None
        assert [attempt.status for attempt in outcome.attempts] == ["OK"]
        assert outcome.endpoint == server.url
        assert outcome.timing.total > 0
        seen.calls.clear()


@SINGLE
def test_the_callers_id_is_the_id(client, seen, ask):
    ask(client, request_id="mine")
    assert seen.only()[0].request_id == "mine"


@SINGLE
def test_what_does_not_fit_the_model_is_told_of(client, seen, ask):
    with pytest.raises(ConfigurationError):
        ask(client, {"y": ARRAY})
    assert isinstance(seen.only()[1].error, ConfigurationError)


@SINGLE
def test_a_wrong_option_is_not_told_of(client, seen, ask):
    with pytest.raises(ConfigurationError):
        ask(client, request_id=3)
    assert seen.calls == []


@SINGLE
def test_a_missing_model_is_told_of(server, seen, ask):
    with InferenceClient("nobody", server.url, observer=seen) as client, pytest.raises(ModelUnavailableError):
        ask(client)
    info, outcome = seen.only()
    assert info.model == "nobody"
    assert isinstance(outcome.error, ModelUnavailableError)


@SINGLE
def test_a_server_that_is_away_is_told_of(seen, ask):
    with InferenceClient("m", "127.0.0.1:1", observer=seen, max_retries=QUICK) as client:
        with pytest.raises(ConnectionFailedError):
            ask(client)
    assert seen.names == ["start", "retry", "retry", "end"]
    assert seen.only()[1].attempts


@pytest.mark.parametrize("ask", [infer, ainfer])
def test_a_token_that_is_fetched_anew_is_another_attempt(seen, ask):
    tokens = ["old", "new"]
    with FakeTriton(bearer_tokens={"old"}) as server:
        with InferenceClient("gpt", server.url, observer=seen, bearer_token=lambda: tokens.pop(0)) as client:
            ask(client, {"text_input": ["hi"]})
            seen.calls.clear()
            server.bearer_tokens = {"new"}
            ask(client, {"text_input": ["hi"]})
    ((error, pause, attempt),) = [facts for name, _, facts in seen.calls if name == "retry"]
    assert (error.status, pause, attempt) == ("UNAUTHENTICATED", 0.0, 1)
    assert [each.status for each in seen.only()[1].attempts] == ["UNAUTHENTICATED", "OK"]


def over_http(server_url, seen):
    return HttpInferenceClient("m", server_url, observer=seen)


def test_over_http(seen):
    with RestServer(PLAIN) as server, over_http(server.url, seen) as client:
        client.infer(ARRAY)
        with client.map([ARRAY] * 5, concurrency=2) as results:
            assert len(list(results)) == 5
        with pytest.raises(ConfigurationError):
            client.infer({"y": ARRAY})
    seen.check_pairs(7)
    assert [info.operation for info in seen.infos] == ["infer", *["map"] * 5, "infer"]


def read_map(client, inputs, **options):
    return list(client.map(inputs, **options))


def read_amap(client, inputs, **options):
    async def read():
        return [result async for result in client.amap(inputs, **options)]

    return asyncio.run(read())


BOTH = pytest.mark.parametrize("read", [read_map, read_amap])


@BOTH
def test_each_request_of_a_map_is_told_of(client, seen, read):
    results = read(client, [ARRAY] * 50, concurrency=8)
    seen.check_pairs(50)
    assert {info.operation for info in seen.infos} == {"map"}
    assert {result.request_id for result in results} == {info.request_id for info in seen.infos}
    assert all([attempt.status for attempt in outcome.attempts] == ["OK"] for outcome in seen.outcomes)


@BOTH
def test_the_failures_of_a_map_are_told_of(client, seen, read):
    results = read(client, [ARRAY, {"y": ARRAY}, ARRAY], errors="return")
    seen.check_pairs(3)
    assert isinstance(results[1], ConfigurationError)
    assert sorted(type(outcome.error).__name__ for outcome in seen.outcomes) == [
        "ConfigurationError",
        "NoneType",
        "NoneType",
    ]


@BOTH
def test_the_question_before_a_map_is_told_of_if_it_fails(seen, read):
    with InferenceClient("m", "127.0.0.1:1", observer=seen, max_retries=0) as client:
        with pytest.raises(ConnectionFailedError):
            read(client, [ARRAY] * 3)
    info, outcome = seen.only()
    assert (info.operation, type(outcome.error)) == ("map", ConnectionFailedError)


@BOTH
def test_a_batch_is_one_request(seen, read):
    batched = signature("b", {"x": ("FP32", (2,))}, max_batch_size=4)
    with TensorServer(batched) as server, InferenceClient("b", server.url, observer=seen) as client:
        assert len(read(client, [np.ones((1, 2), np.float32)] * 8, batch_size=4)) == 8
    seen.check_pairs(2)


def embed(client, texts, **options):
    return client.embed(texts, **options)


def aembed(client, texts, **options):
    return asyncio.run(client.aembed(texts, **options))


def vectors(request):
    count = request.inputs[0].shape[0]
    response = wire.pb.ModelInferResponse(model_name=request.model_name, model_version="1", id=request.id)
    response.outputs.add(name="vector", datatype="FP32", shape=[count, 2])
    response.raw_output_contents.append(np.ones((count, 2), np.float32).tobytes())
    return response


@pytest.mark.parametrize("embed", [embed, aembed])
def test_each_request_for_embeddings_is_told_of(seen, embed):
    with TensorServer(SBERT, answer=vectors) as server:
        with InferenceClient("sbert", server.url, observer=seen) as client:
            assert embed(client, ["text"] * 10).shape == (10, 2)
        seen.check_pairs(3)
        assert {info.operation for info in seen.infos} == {"embed"}
        with InferenceClient("nobody", server.url, observer=seen) as client:
            with pytest.raises(ModelUnavailableError):
                embed(client, ["text"])
    seen.check_pairs(4)
    assert isinstance(seen.outcomes[-1].error, ModelUnavailableError)


# --- leaving


@pytest.mark.parametrize("way", ["with", "break", "close", "drop", "error"])
def test_leaving_a_map_ends_its_requests(client, server, seen, way):
    client.infer(ARRAY)
    server.gate.clear()
    server.held = lambda request: request.raw_input_contents[0] != ARRAY.tobytes()
    inputs = [ARRAY, *[ARRAY * 2] * 20]
    results = client.map(inputs, concurrency=4)
    if way == "with":
        with results:
            next(results)
    elif way == "break":
        for _ in results:
            break
    elif way == "close":
        next(results)
        results.close()
    elif way == "error":
        with contextlib.suppress(ZeroDivisionError), results:
            next(results)
            raise ZeroDivisionError
    else:
        next(results)
        del results
        gc.collect()
    wait_until(lambda: seen.names.count("end") == seen.names.count("start"))
    seen.check_pairs(len(seen.infos))
    cancelled = [outcome for outcome in seen.outcomes if outcome.cancelled]
    assert len(cancelled) == len(seen.infos) - 2
    assert all(outcome.error is None for outcome in seen.outcomes)
    if way == "drop":
        assert seen.threads[-1] != threading.get_ident()


@pytest.mark.parametrize("way", ["with", "break", "cancel", "drop"])
def test_leaving_an_async_map_ends_its_requests(client, server, seen, way):
    server.gate.clear()
    server.held = lambda request: request.raw_input_contents[0] != ARRAY.tobytes()

    async def run():
        results = client.amap([ARRAY, *[ARRAY * 2] * 20], concurrency=4)
        if way == "with":
            async with results:
                await anext(results)
        elif way == "break":
            async for _ in results:
                break
        elif way == "cancel":
            await anext(results)
            task = asyncio.create_task(anext_of(results))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await anext(results)
            del results
            gc.collect()

    asyncio.run(run())
    wait_until(lambda: seen.names.count("end") == seen.names.count("start"))
    seen.check_pairs(len(seen.infos))
    assert len([outcome for outcome in seen.outcomes if outcome.cancelled]) == len(seen.infos) - 1


async def anext_of(results):
    return await anext(results)


# --- streams


def test_a_stream_of_results(server, seen):
    with InferenceClient("many", server.url, observer=seen) as client:
        assert len(client.infer_stream(np.ones(1, np.float32)).results()) == 1
        info, outcome = seen.only()
        assert (info.operation, info.streaming, outcome.streamed) == ("infer_stream", True, True)
        assert (outcome.timing.chunks, outcome.output_bytes) == (1, None)
        assert seen.names == ["start", "first", "end"]
        assert seen.calls[1][2] == (outcome.timing.time_to_first_token,)

        async def read():
            return [result async for result in client.ainfer_stream(np.ones(1, np.float32))]

        asyncio.run(read())
        client.sequence().infer_stream(np.ones(1, np.float32)).results()
        with pytest.raises(ConfigurationError):
            client.infer_stream({"y": ARRAY})
    seen.check_pairs(4)


def kept(kind):
    return [each for each in gc.get_objects() if type(each) is kind]


@SINGLE
def test_nothing_of_a_request_waits_for_the_garbage_collector(client, seen, ask):
    ask(client)
    gc.collect()
    before = len(kept(Attempts)), len(kept(Observation))
    gc.disable()
    try:
        ask(client)
        seen.calls.clear()
        assert (len(kept(Attempts)), len(kept(Observation))) == before
    finally:
        gc.enable()


@pytest.mark.parametrize("way", ["close", "drop"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_nothing_of_a_map_that_is_left_waits_for_the_garbage_collector(server, is_async, way, seen, client):
    """It ends parts of a cycle in any order: "generator already executing" was said of a request."""
    if is_async and sys.version_info < (3, 11):
        pytest.skip(
            "there asyncio.run closes the loop before gRPC has told the calls, which then keep their callbacks"
        )
    server.gate.clear()
    server.held = lambda request: request.raw_input_contents[0] != ARRAY.tobytes()
    inputs = [ARRAY, *[ARRAY * 2] * 20]

    async def read():
        results = client.amap(inputs, concurrency=4)
        await anext(results)
        if way == "close":
            await results.aclose()

    gc.collect()
    before = len(kept(Job))
    gc.disable()
    try:
        if is_async:
            asyncio.run(read())
        else:
            results = client.map(inputs, concurrency=4)
            next(results)
            if way == "close":
                results.close()
            del results
        assert seen.names.count("start") > 1
        wait_until(lambda: len(kept(Job)) <= before)
    finally:
        gc.enable()


# --- the context of the caller

TENANT = contextvars.ContextVar("TENANT", default="nobody")


class Contexts(Recorder):
    """Keeps the context variable at each beginning."""

    def __init__(self):
        super().__init__()
        self.tenants = []

    def on_start(self, info):
        self.tenants.append(TENANT.get())
        TENANT.set("changed by the observer")
        return super().on_start(info)


def test_a_map_has_the_context_of_its_call(server):
    seen = Contexts()
    with InferenceClient("m", server.url, observer=seen) as client:
        token = TENANT.set("caller")
        results = client.map([ARRAY] * 5)
        TENANT.reset(token)
        thread = threading.Thread(target=lambda: list(results))
        thread.start()
        thread.join()
    assert seen.tenants == ["caller"] * 5
    assert TENANT.get() == "nobody"


def test_an_async_map_has_the_context_of_its_call(server):
    seen = Contexts()

    async def run(client):
        TENANT.set("caller")
        results = client.amap([ARRAY] * 5)
        stream = client.ainfer_stream(ARRAY)
        TENANT.set("reader")
        assert len([result async for result in results]) == 5
        assert len([result async for result in stream]) == 3
        assert TENANT.get() == "reader"

    with InferenceClient("m", server.url, observer=seen) as client:
        asyncio.run(run(client))
    assert seen.tenants == ["caller"] * 6
