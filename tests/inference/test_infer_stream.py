"""`infer_stream`: results of any number and kind. How such streams are left, closed and timed, `tests/facade` tests."""

from __future__ import annotations

import asyncio
import inspect
import pickle

import grpc
import numpy as np
import pytest
from inference.tensor_server import RefusedError, TensorServer, echo, repeat, signature, streamed

from nupic_client import (
    ConfigurationError,
    DeadlineExceededError,
    IncompleteStreamError,
    InferenceClient,
    InferenceError,
    InferenceResult,
    ModelUnavailableError,
    OverloadedError,
    ProtocolError,
    RequestRejectedError,
    StreamClosedError,
    StreamConsumedError,
    Timeouts,
)
from nupic_client._core.kserve import wire
from nupic_client.timeouts import RetryPolicy

MODELS = (
    signature("repeat", {"x": ("INT32", (-1,))}, {"x": ("INT32", (1,))}, decoupled=True),
    signature("words", {"x": ("BYTES", (-1,))}, {"x": ("BYTES", (1,))}, decoupled=True),
    signature("once", {"x": ("FP32", (-1,))}),
    signature("two.streaming", {"x": ("INT32", (-1,))}, {"x": ("INT32", (1,))}, decoupled=True),
    signature("two", {"x": ("INT32", (-1,))}),
    signature("bare", {}, {}, decoupled=True),
)
QUICK = RetryPolicy(max_retries=2, initial_backoff=0.01, max_backoff=0.02)


@pytest.fixture
def server():
    with TensorServer(*MODELS) as server:
        yield server


@pytest.fixture
def client(server):
    with InferenceClient("repeat", server.url, timeout=10) as client:
        yield client


def by_results(client, *args, **options):
    return client.infer_stream(*args, **options).results()


def by_loop(client, *args, **options):
    return list(client.infer_stream(*args, **options))


def by_next(client, *args, **options):
    found = []
    with client.infer_stream(*args, **options) as stream:
        while (result := next(stream, None)) is not None:
            found.append(result)
    return found


def by_async_results(client, *args, **options):
    return asyncio.run(client.ainfer_stream(*args, **options).results())


def by_async_loop(client, *args, **options):
    async def read():
        async with client.ainfer_stream(*args, **options) as stream:
            return [result async for result in stream]

    return asyncio.run(read())


def by_async_next(client, *args, **options):
    async def read():
        stream = client.ainfer_stream(*args, **options)
        found = []
        while (result := await anext(stream, None)) is not None:
            found.append(result)
        return found

    return asyncio.run(read())


WAYS = [by_results, by_loop, by_next, by_async_results, by_async_loop, by_async_next]
WHOLE = [by_results, by_async_results]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def read(request):
    return request.param


@pytest.fixture(params=WHOLE, ids=lambda way: way.__name__)
def read_all(request):
    return request.param


def values(results):
    return [result["x"].tolist() for result in results]


# Results


@pytest.mark.parametrize("numbers", [[4, 2, 0, 1], [7], []])
def test_any_number_of_results(client, read, numbers):
    assert values(read(client, np.array(numbers, np.int32))) == [[number] for number in numbers]


def test_a_result_is_whole(client, read_all):
    (result,) = read_all(client, {"x": [5]}, request_id="mine")
    assert isinstance(result, InferenceResult)
    assert (result.model, result.version, result.request_id) == ("repeat", "1", "mine")
    assert result.parameters == {"triton_final_response": False}
    assert result["x"].dtype == np.int32
    assert pickle.loads(pickle.dumps(result))["x"].tolist() == [5]


def test_texts(server, read_all):
    def words(request):
        response = echo(request)
        yield streamed(response, final=True)

    server.stream = words
    with InferenceClient("words", server.url) as client:
        assert values(read_all(client, ["a", "ä€😀"])) == [["a", "ä€😀"]]
        assert values(read_all(client, ["a"], text="bytes")) == [[b"a"]]
    with InferenceClient("words", server.url, text="bytes") as client:
        assert values(read_all(client, ["a"])) == [[b"a"]]


def test_a_model_that_answers_once_gives_one_result(server, read):
    server.stream = lambda request: [streamed(echo(request), final=True)]
    with InferenceClient("once", server.url) as client:
        assert values(read(client, [1.5, 2.0])) == [[1.5, 2.0]]


def test_a_result_without_outputs_is_one(client, server, read):
    """It is an empty mapping, and still no end."""

    def progress(request):
        for percent in (10, 90):
            message = streamed(request_id=request.id)
            message.infer_response.parameters["percent"].int64_param = percent
            yield message
        yield from repeat(request)

    server.stream = progress
    results = read(client, [1])
    assert [result.parameters.get("percent") for result in results] == [10, 90, None]
    assert [len(result) for result in results] == [0, 0, 1]


def test_a_request_says_what_was_asked_for(client, server, read_all):
    read_all(client, [1], outputs=["x"], parameters={"priority": 3}, metadata={"x-tenant": "blue"})
    (request,) = server.requests
    assert [output.name for output in request.outputs] == ["x"]
    assert request.parameters["priority"].int64_param == 3
    assert request.parameters[wire.EMPTY_FINAL_PARAMETER].bool_param


def test_bare_responses(client, server, read):
    """As MLServer streams them."""

    def bare(request):
        for message in repeat(request):
            message.infer_response.ClearField("parameters")
            message.infer_response.id = "its own"
            if message.infer_response.outputs:
                yield message.infer_response.SerializeToString()

    server.stream = bare
    assert values(read(client, [3, 4])) == [[3], [4]]


def test_the_model_of_that_name_is_asked(server, read_all):
    with InferenceClient("two.streaming", server.url) as client:
        client.infer([1])
        read_all(client, [1])
        client.infer([1])
    assert [request.model_name for request in server.requests] == ["two", "two.streaming", "two"]


def test_one_request_is_one_call_after_the_first(client, server):
    for _ in range(3):
        by_results(client, [1])
        by_async_results(client, [1])
    assert (server.configs, server.count) == (1, 6)


def test_the_rest_of_a_stream(client):
    stream = client.infer_stream([1, 2, 3])
    assert next(stream)["x"].tolist() == [1]
    assert values(stream.results()) == [[2], [3]]
    with pytest.raises(StreamConsumedError, match="given out as they came"):
        stream.results()


# Refusals


@pytest.mark.parametrize(
    ("inputs", "options", "match"),
    [
        ({"y": [1]}, {}, "no input 'y'"),
        ([1.5], {}, "'x'"),
        ([1], {"outputs": ["z"]}, "no output 'z'"),
        ([1], {"parameters": {"triton_x": 1}}, "triton_"),
        ([1], {"timeout": -1}, "timeout must be"),
        ([1], {"max_retries": -1}, "max_retries must be"),
    ],
)
def test_what_does_not_fit_is_not_sent(client, server, read_all, inputs, options, match):
    with pytest.raises(ConfigurationError, match=match):
        read_all(client, inputs, **options)
    assert server.count == 0


def test_an_option_that_does_not_exist(client, read_all):
    with pytest.raises(TypeError, match="max_token"):
        read_all(client, [1], max_tokens=3)


def test_infer_says_where_decoupled_models_go(client, read_all):
    with pytest.raises(ConfigurationError, match=r"use infer_stream\(\)"):
        client.infer([1])


# Failures


def failing(error, after=1):
    def stream(request):
        for number, message in enumerate(repeat(request)):
            if number == after:
                yield streamed(error=error, final=True, request_id=request.id)
                return
            yield message

    return stream


def test_an_error_has_its_facts_and_what_came_before(client, server, read_all):
    server.stream = failing("out of numbers", after=2)
    with pytest.raises(InferenceError, match="the model failed: out of numbers") as caught:
        read_all(client, [1, 2, 3], request_id="mine")
    error = caught.value
    assert (error.model, error.target, error.request_id) == ("repeat", server.url, "mine")
    assert values(error.partial_results) == [[1], [2]]
    assert values(pickle.loads(pickle.dumps(error)).partial_results) == [[1], [2]]


def test_the_same_error_comes_again(client, server):
    server.stream = failing("out of numbers")
    stream = client.infer_stream([1, 2])
    next(stream)
    for _ in range(2):
        with pytest.raises(InferenceError, match="out of numbers"):
            next(stream)


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_it_is_sent_again_before_the_first_response(client, server, read_all, attempts):
    left = [None] * (attempts - 1)

    def stream(request):
        if left:
            left.pop()
            yield streamed(error="Exceeds maximum queue size", final=None, request_id=request.id)
        else:
            yield from repeat(request)

    server.stream = stream
    assert values(read_all(client, [1], max_retries=QUICK)) == [[1]]
    assert server.count == attempts


def test_it_is_not_sent_again_after_a_response(client, server, read_all):
    server.stream = failing("Exceeds maximum queue size")
    with pytest.raises(OverloadedError) as caught:
        read_all(client, [1, 2], max_retries=QUICK)
    assert (server.count, len(caught.value.attempts), caught.value.retryable) == (1, 1, False)


def test_retries_end(client, server, read_all):
    server.stream = failing("Exceeds maximum queue size", after=0)
    with pytest.raises(OverloadedError) as caught:
        read_all(client, [1], max_retries=QUICK)
    assert (server.count, len(caught.value.attempts)) == (3, 3)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda answer: setattr(answer, "id", "another"), "another request, 'another'"),
        (lambda answer: answer.raw_output_contents.__setitem__(0, b"abc"), "output 'x' cannot be decoded"),
        (lambda answer: setattr(answer.outputs[0], "name", "y"), "did not send the output 'x'"),
    ],
)
def test_an_answer_that_breaks_the_protocol_is_an_error_and_cancelled(
    client, server, read_all, change, match
):
    def stream(request):
        message = next(iter(repeat(request)))
        yield message
        change(message.infer_response)
        yield message
        yield 20

    server.stream = stream
    with pytest.raises(ProtocolError, match=match) as caught:
        read_all(client, [1], outputs=["x"])
    assert len(caught.value.partial_results) == 1
    server.wait_for(lambda it: it.cancelled == 1)


def test_texts_are_limited(server, read_all):
    server.stream = lambda request: [streamed(echo(request))] * 3 + [streamed(final=True)]
    with InferenceClient("words", server.url) as client:
        assert len(read_all(client, ["12345678"], max_output_bytes=12)) == 3
        with pytest.raises(ProtocolError, match="max_output_bytes"):
            read_all(client, ["123456789"], max_output_bytes=12)


def test_a_stream_without_its_final_mark_is_incomplete(client, server, read_all):
    server.stream = lambda request: list(repeat(request))[:-1]
    with pytest.raises(IncompleteStreamError) as caught:
        read_all(client, [1, 2])
    assert values(caught.value.partial_results) == [[1], [2]]


def test_a_status_in_the_middle(client, server, read_all):
    def stream(request):
        yield next(iter(repeat(request)))
        raise RefusedError(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    server.stream = stream
    with pytest.raises(Exception, match="the connection broke after 1 result: Socket closed"):
        read_all(client, [1, 2])


def test_a_model_that_is_not_there(server, read_all):
    with InferenceClient("nope", server.url) as client, pytest.raises(ModelUnavailableError, match="'nope'"):
        read_all(client, [1])


def test_a_refusal_asks_for_the_signature_again(client, server, read_all):
    read_all(client, [1])
    server.stream = failing("unexpected inference input 'x' for model 'repeat'", after=0)
    with pytest.raises(RequestRejectedError):
        read_all(client, [1])
    server.stream = repeat
    read_all(client, [1])
    assert server.configs == 2


# Deadlines


def silent(after):
    def stream(request):
        yield from list(repeat(request))[:after]
        yield 20

    return stream


@pytest.mark.parametrize(
    ("timeout", "after", "deadline", "words"),
    [
        (0.3, 1, "total", "within the timeout of 0.3 s: 1 result had come after"),
        (
            Timeouts(first_token=0.2),
            0,
            "first_token",
            "no response came within 0.2 s .*: no results had come",
        ),
        (Timeouts(between_tokens=0.2), 2, "between_tokens", "fell silent.*: 2 results had come"),
    ],
)
def test_a_silent_server(client, server, read_all, timeout, after, deadline, words):
    server.stream = silent(after)
    with pytest.raises(DeadlineExceededError, match=words) as caught:
        read_all(client, [1, 2, 3], timeout=timeout)
    assert (caught.value.deadline, caught.value.chunks) == (deadline, after)
    assert len(caught.value.partial_results) == after
    server.wait_for(lambda it: it.cancelled == 1)


# The rest of the life of a stream


def test_leaving_cancels_it(client, server):
    server.stream = silent(2)
    for result in client.infer_stream([1, 2, 3]):
        assert result["x"].tolist() == [1]
        break
    server.wait_for(lambda it: it.cancelled == 1)
    stream = client.infer_stream([1, 2, 3])
    stream.close()
    with pytest.raises(StreamClosedError, match="which cancelled the request"):
        stream.results()


def test_a_stream_can_be_neither_pickled_nor_copied_by_accident(client):
    with client.infer_stream([1]) as stream, pytest.raises(TypeError):
        pickle.dumps(stream)


def test_only_reading_the_async_stream_sends_it(client, server):
    async def main():
        stream = client.ainfer_stream([1])
        assert not inspect.isawaitable(stream)
        stream.cancel()
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert server.count == 0
