"""Numbers that callers give: Python's and numpy's alike, and neither bools nor texts."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from nupic_client import (
    ConfigurationError,
    Conversation,
    InferenceClient,
    ModelSpec,
    RetryPolicy,
    SamplingParams,
    StreamingClient,
    Timeouts,
)
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.inference.bulk import BulkSettings
from nupic_client._numbers import as_bool, as_integer, as_number
from nupic_client.local import LocalServer, ServerLimits
from nupic_client.testing import FakeTriton, sleep

WHOLE = [5, np.int64(5), np.int8(5), np.uint64(5), np.array(5)]
REAL = [*WHOLE, 5.0, np.float16(5), np.float32(5), np.float64(5), Fraction(5), Decimal(5)]
NO_NUMBERS = [
    True,
    np.bool_(True),
    "5",
    b"5",
    None,
    [5],
    np.array([5]),
    5j,
    np.complex64(5),
    float("nan"),
    object(),
]


@pytest.mark.parametrize("value", WHOLE)
def test_whole_numbers(value):
    """P-F18."""
    assert (as_integer(value), type(as_integer(value))) == (5, int)


@pytest.mark.parametrize("value", REAL)
def test_numbers(value):
    """P-F18."""
    assert (as_number(value), type(as_number(value))) == (5.0, float)


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_number(value):
    assert as_integer(value) is as_number(value) is None


@pytest.mark.parametrize("value", [5.0, np.float32(5), Fraction(5)])
def test_a_number_with_a_point_is_no_whole_one(value):
    assert as_integer(value) is None


def test_truth_values():
    assert (as_bool(True), as_bool(np.bool_(False)), as_bool(1), as_bool("true")) == (True, False, None, None)


def numbers_of(value):
    """Return a whole number after each way into the library, by the name of the argument."""
    call = CallOptions().override(
        {
            "max_tokens": value,
            "seed": value,
            "max_retries": value,
            "max_output_bytes": value,
            "logprobs": value,
        }
    )
    settings = BulkSettings(concurrency=value, batch_size=value)
    limits = ServerLimits(max_running=value, max_waiting=value, max_tokens=value)
    return {
        "max_tokens": call.sampling.max_tokens,
        "seed": call.sampling.seed,
        "max_retries": call.retry.max_retries,
        "RetryPolicy.max_retries": RetryPolicy(max_retries=value).max_retries,
        "max_output_bytes": call.max_output_bytes,
        "logprobs": call.logprobs,
        "concurrency": settings.concurrency,
        "batch_size": settings.batch_size,
        "context_length": ModelSpec(name="m", context_length=value).context_length,
        "max_running": limits.max_running,
        "max_waiting": limits.max_waiting,
        "limits.max_tokens": limits.max_tokens,
    }


def seconds_of(value):
    """Return a number of seconds after each way into the library, by the name of the argument."""
    call = CallOptions().override({"timeout": value, "temperature": value})
    retry = RetryPolicy(initial_backoff=value, max_backoff=value)
    every = Timeouts(total=value, first_token=value, between_tokens=value, connect=value)
    return {
        "timeout": call.timeouts.total,
        "temperature": call.sampling.temperature,
        "total": every.total,
        "first_token": every.first_token,
        "between_tokens": every.between_tokens,
        "connect": every.connect,
        "initial_backoff": retry.initial_backoff,
        "max_backoff": retry.max_backoff,
        "read_timeout": ServerLimits(read_timeout=value).read_timeout,
    }


@pytest.mark.parametrize("value", WHOLE)
def test_whole_numbers_are_taken_everywhere(value):
    """P-F18."""
    for name, found in numbers_of(value).items():
        assert (found, type(found)) == (5, int), name


@pytest.mark.parametrize("value", REAL)
def test_seconds_are_taken_everywhere(value):
    """P-F18."""
    for name, found in seconds_of(value).items():
        assert (found, type(found)) == (5.0, float), name


@pytest.mark.parametrize("value", [True, np.bool_(True), "5", 5.0, np.float32(5), [5]])
@pytest.mark.parametrize("name", ["max_tokens", "max_retries", "max_output_bytes"])
def test_what_is_no_whole_number_is_refused_by_name(name, value):
    with pytest.raises(ConfigurationError, match=f"{name} must be ") as caught:
        CallOptions().override({name: value})
    assert caught.value.parameter == name


@pytest.mark.parametrize(
    "value", [True, np.bool_(True), "5", [5], np.array([5.0]), float("nan"), float("inf"), 0, -1]
)
def test_what_is_no_number_of_seconds_is_refused_by_name(value):
    for make in (
        lambda: CallOptions().override({"timeout": value}),
        lambda: Timeouts(first_token=value),
        lambda: RetryPolicy(max_backoff=value),
    ):
        with pytest.raises(ConfigurationError, match="must be a positive number of seconds"):
            make()


@pytest.mark.parametrize(("value", "found"), [(np.bool_(True), 0), (np.bool_(False), None), (np.int64(3), 3)])
def test_logprobs_are_a_switch_or_a_number(value, found):
    """P-F18."""
    assert CallOptions().override({"logprobs": value}).logprobs == found


def test_numbers_of_numpy_reach_the_server():
    """P-F18."""
    with FakeTriton(["a", sleep(np.float32(0.001)), "b"], port=np.int64(0)) as server:
        with StreamingClient("gpt.streaming", url=server.url, timeout=np.float32(20)) as client:
            client.wait_until_ready(np.float32(10))
            answer = client.generate(
                "Hi",
                max_tokens=np.int64(2),
                max_retries=np.int8(1),
                backend_inputs={"max_tokens": np.int64(1)},
            )
            assert answer.text == "a"
            assert len(server.wait_for_requests(np.int64(1), timeout=np.float32(5))) == 1
            Conversation(client, context_length=np.int64(100), reserve=np.int64(10))
        with InferenceClient("gpt", url=server.url) as client:
            assert len([*client.map([["Hi"]], concurrency=np.int64(3), timeout=np.float32(20))]) == 1


def test_the_embedded_server_takes_them_too():
    """P-F18."""
    LocalServer(port=np.int64(0), threads=np.int64(1), context=np.int32(2048))
    with pytest.raises(ConfigurationError, match="threads must be >= 1, not True"):
        LocalServer(threads=True)


def test_sampling_keeps_its_own_words():
    with pytest.raises(ConfigurationError, match="temperature must be a number >= 0, not True"):
        SamplingParams(temperature=True)
