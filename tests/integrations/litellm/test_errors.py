"""Errors have LiteLLM's classes and status codes, wrong parameters are refused, and who leaves a stream cancels it."""

from __future__ import annotations

import asyncio
import gc

import pytest
from needed import need

need("litellm")

import httpx
from integrations.litellm.ways import MODEL, WAYS, ask

from nupic_client import OverloadedError
from nupic_client.integrations.litellm.errors import translated
from nupic_client.integrations.litellm.parameters import read_parameters
from nupic_client.testing import FakeTriton, abort, fail, silence, text_signature

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default", "ignore:Item:UserWarning")]

MESSAGES = [{"role": "user", "content": "Hello"}]
GUIDED = [text_signature("gpt.streaming", guided=True)]


def failure(litellm, way, url, **call):
    """Return the error of a call, and the text that LiteLLM or we have kept of its answer."""
    with pytest.raises(Exception) as caught:
        ask(litellm, way, url, **{"max_retries": 0, **call})
    error = caught.value
    if isinstance(error, litellm.exceptions.MidStreamFallbackError):
        return error.original_exception, error.generated_content
    return error, getattr(error, "partial_text", "")


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.mark.parametrize(
    ("reply", "kind", "status"),
    [
        ([abort("RESOURCE_EXHAUSTED", "busy")], "RateLimitError", 429),
        ([abort("UNAUTHENTICATED", "who?")], "AuthenticationError", 401),
        ([abort("PERMISSION_DENIED", "no")], "PermissionDeniedError", 403),
        ([abort("UNAVAILABLE", "gone")], "ServiceUnavailableError", 503),
        ([fail("This model's maximum context length is 10 tokens")], "ContextWindowExceededError", 400),
        ([abort("INVALID_ARGUMENT", "unexpected shape")], "BadRequestError", 400),
        ([fail("engine exploded")], "InternalServerError", 500),
    ],
    ids=["overloaded", "token", "permission", "unavailable", "context", "rejected", "failed"],
)
def test_the_class_and_the_status(litellm, way, reply, kind, status):
    with FakeTriton(reply) as server:
        error, _ = failure(litellm, way, server.url)
    assert type(error).__name__ == kind
    assert error.status_code == status
    assert error.llm_provider == "nupic"


def test_a_model_that_is_not_there(litellm, server, way):
    error, _ = failure(litellm, way, server.url, model="nupic/other.streaming")
    assert type(error).__name__ == "NotFoundError"


def test_a_server_that_is_not_there(litellm, way):
    error, _ = failure(litellm, way, "127.0.0.1:1")
    assert (type(error).__name__, error.status_code) == ("ServiceUnavailableError", 503)


@pytest.mark.parametrize(
    "reply", [["Once ", "upon", fail("boom")], ["Once ", "upon", abort("UNAVAILABLE", "x")]]
)
def test_the_text_so_far(litellm, way, reply):
    with FakeTriton(reply) as server:
        _, text = failure(litellm, way, server.url)
    assert text == "Once upon"


@pytest.mark.parametrize("deadline", ["total", "first_token", "between_tokens"])
def test_three_deadlines(litellm, way, deadline):
    limits = {
        "total": {"timeout": 0.3},
        "first_token": {"first_token_timeout": 0.3},
        "between_tokens": {"between_tokens_timeout": 0.3},
    }
    with FakeTriton([silence()] if deadline == "first_token" else ["Once", silence()]) as server:
        error, text = failure(litellm, way, server.url, **limits[deadline])
        server.wait_for_cancellation()
    assert (type(error).__name__, error.status_code) == ("Timeout", 408)
    assert text == ("" if deadline == "first_token" else "Once")
    assert "0.3 s" in str(error)


def test_an_answer_of_another_form(litellm, way):
    form = {"type": "json_object"}
    with FakeTriton(["no", " JSON"], models=GUIDED) as server:
        error, text = failure(litellm, way, server.url, response_format=form)
    assert type(error).__name__ == "APIResponseValidationError"
    assert text == "no JSON"


def test_the_pause_that_a_server_asks_for(litellm):
    with pytest.raises(litellm.RateLimitError) as caught, translated("gpt", "nupic"):
        raise OverloadedError("busy", retry_after=2.5)
    assert caught.value.response.headers["retry-after"] == "2.5"


# --- parameters


@pytest.mark.parametrize(
    "wrong", [{"foo": 1}, {"logit_bias": {"1": 2}}, {"n": 2}, {"parallel_tool_calls": False}]
)
def test_a_parameter_that_is_not_known_is_refused_or_dropped(litellm, server, way, wrong):
    (name,) = wrong
    error, _ = failure(litellm, way, server.url, **wrong)
    assert type(error).__name__ == "UnsupportedParamsError"
    assert name in str(error)
    assert server.requests == ()
    assert ask(litellm, way, server.url, drop_params=True, **wrong).choices
    litellm.drop_params = True
    assert ask(litellm, way, server.url, **wrong).choices


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1},
        {"between_tokens_timeout": 0},
        {"formatter": "nonsense"},
        {"top_k": "x"},
        {"balancing": ["sticky"]},
        {"tls": {"certificate": "x"}},
        {"tls": "x"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_wrong_value_is_a_bad_request(litellm, server, way, wrong):
    error, _ = failure(litellm, way, server.url, **wrong)
    assert (type(error).__name__, error.status_code) == ("BadRequestError", 400)


def test_parameters_of_a_client(litellm):
    given = {"tls": {"target_name": "gpt.example.com"}, "balancing": "sticky", "session": "me", "user": "me"}
    asked = read_parameters(
        given,
        model="gpt",
        provider="nupic",
        litellm_params=None,
        timeout=httpx.Timeout(5, read=7),
        api_key="secret",
    )
    assert asked.client["tls"].target_name == "gpt.example.com"
    assert asked.client["balancing"] == "sticky"
    assert asked.client["bearer_token"] == "secret"
    assert asked.options["session"] == "me"
    assert asked.options["timeout"].total == 7


# --- who leaves


@pytest.mark.parametrize("leave", ["close", "drop"])
def test_leaving_a_stream_cancels_it_on_the_server(litellm, leave):
    with FakeTriton(["one", silence()]) as server:
        stream = litellm.completion(
            model=MODEL, api_base=server.url, formatter="qwen3", messages=MESSAGES, stream=True
        )
        assert next(stream).choices[0].delta.content == "one"
        if leave == "close":
            stream.close()
        del stream
        gc.collect()
        server.wait_for_cancellation(timeout=30)


@pytest.mark.parametrize("leave", ["close", "drop", "cancel"])
def test_leaving_an_async_stream_cancels_it_on_the_server(litellm, leave):
    async def read(server):
        stream = await litellm.acompletion(
            model=MODEL, api_base=server.url, formatter="qwen3", messages=MESSAGES, stream=True
        )
        assert (await anext(stream)).choices[0].delta.content == "one"
        if leave == "cancel":
            task = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if leave == "close":
            await stream.aclose()
        del stream
        gc.collect()
        await asyncio.to_thread(server.wait_for_cancellation, timeout=30)

    with FakeTriton(["one", silence()]) as server:
        asyncio.run(read(server))


def test_cancelling_a_call_cancels_it_on_the_server(litellm):
    async def run(server):
        task = asyncio.ensure_future(
            litellm.acompletion(model=MODEL, api_base=server.url, formatter="qwen3", messages=MESSAGES)
        )
        await asyncio.to_thread(server.wait_for_requests, timeout=30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_for_cancellation, timeout=30)

    with FakeTriton(["one", silence()]) as server:
        asyncio.run(run(server))
