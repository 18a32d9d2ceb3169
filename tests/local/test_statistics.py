"""Statistics, health and refusals of the servers in this process; tests/triton compares them with the real server."""

from __future__ import annotations

import threading
import time

import grpc
import pytest
from local.raw_client import RawClient, health, is_final, request

from nupic_client import InferenceClient, ServerClient, StreamingClient
from nupic_client._core.kserve import wire
from nupic_client.errors import InferenceError
from nupic_client.local import ServerLimits
from nupic_client.local.engine import ServedModel
from nupic_client.local.kserve.classification import classify
from nupic_client.local.kserve.handler import InferenceHandler
from nupic_client.local.kserve.repository import Repository
from nupic_client.signature import ModelSignature, TensorSpec
from nupic_client.testing import FakeTriton, ScriptedEngine, fail, sleep, text_signature

ROWS = ModelSignature(
    "rows",
    {"x": TensorSpec("x", "FP32")},
    {"y": TensorSpec("y", "FP32")},
    max_batch_size=8,
    backend="python",
)


def echo(seen):
    values = seen.inputs["x"]
    return [{"y": values if isinstance(values, list) else [values]}]


def test_durations_are_those_of_the_answers():
    """I-F12"""
    with FakeTriton([sleep(0.05), "a", sleep(0.05), "b"]) as server, ServerClient(server.url) as client:
        for _ in range(2):
            assert StreamingClient("gpt.streaming", server.url).generate("hi").text == "ab"
        (found,) = client.statistics("gpt.streaming")
    assert (found.success.count, found.inference_count, found.execution_count) == (2, 2, 2)
    assert found.compute_infer.mean is not None
    assert 0.1 <= found.compute_infer.mean <= (found.success.mean or 0) < 1.0
    parts = (found.queue, found.compute_input, found.compute_infer, found.compute_output)
    assert all(part.count == 2 and part.total > 0 for part in parts)
    assert sum(part.total for part in parts) <= found.success.total


def test_a_client_that_reads_slowly_is_not_the_models_time():
    """I-F12"""
    with FakeTriton(["a"] * 20) as server, RawClient(server.url) as client:
        call = client.stream(request())
        for _ in call:
            time.sleep(0.02)
        (item,) = client.unary("ModelStatistics", name="gpt.streaming").model_stats
    assert item.inference_stats.compute_infer.ns < 0.2e9


def test_the_queue_is_counted():
    """I-F12: with one place at the model, the second request waits for the first."""
    limits = ServerLimits(max_running=1)
    with FakeTriton([sleep(0.1), "a"], limits=limits) as server, RawClient(server.url) as client:
        calls = [client.stream(request()) for _ in range(2)]
        for call in calls:
            list(call)
        (item,) = client.unary("ModelStatistics", name="gpt.streaming").model_stats
    assert item.inference_stats.queue.count == 2
    assert item.inference_stats.queue.ns >= 0.08e9
    assert abs(item.last_inference / 1000 - time.time()) < 30


def test_elements_of_batches_are_inferences():
    """I-F12: five batches of four are twenty inferences in five executions."""
    with FakeTriton(echo, models=[ROWS]) as server, ServerClient(server.url) as client:
        rows = InferenceClient("rows", server.url)
        for _ in range(5):
            rows.infer({"x": [[1.0], [2.0], [3.0], [4.0]]})
        rows.infer({"x": [[1.0]]})
        (found,) = client.statistics("rows")
        with RawClient(server.url) as raw:
            (item,) = raw.unary("ModelStatistics", name="rows").model_stats
    assert (found.inference_count, found.execution_count) == (21, 6)
    assert [(part.batch_size, part.compute_infer.count) for part in item.batch_stats] == [(1, 1), (4, 5)]


@pytest.mark.parametrize("reply", [["a"], [fail("no")]], ids=["an answer", "a failure"])
def test_the_answer_counts_before_it_is_sent(reply):
    """I-F12: whoever has the final mark finds the request counted."""
    repository = Repository([ServedModel("gpt", text_signature("gpt"), ScriptedEngine(reply))])
    answers = InferenceHandler(repository, lambda _request: None).stream(
        request(model="gpt"), {}, threading.Event()
    )
    for answer in answers:
        counted = repository.counter("gpt").message("gpt", "1").inference_stats.success.count
        assert counted == is_final(answer)


def test_counts_of_many_threads_add_up():
    """I-F12"""
    with FakeTriton(["a"]) as server:
        client = StreamingClient("gpt.streaming", server.url)
        threads = [
            threading.Thread(target=lambda: [client.generate("hi") for _ in range(10)]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with ServerClient(server.url) as calls:
            (found,) = calls.statistics("gpt.streaming")
    assert (found.success.count, found.inference_count) == (80, 80)


def test_an_ensemble_has_its_scheduling():
    """I-F12: perf_analyzer crashes where it is missing."""
    ensemble = ModelSignature("e", ROWS.inputs, ROWS.outputs, platform="ensemble")
    with FakeTriton(models=[ensemble, text_signature("gpt")]) as server, RawClient(server.url) as client:
        assert client.unary("ModelConfig", name="e").config.HasField("ensemble_scheduling")
        assert not client.unary("ModelConfig", name="gpt").config.HasField("ensemble_scheduling")
        assert client.unary("ModelMetadata", name="e").platform == "ensemble"


# --- health


@pytest.mark.parametrize("service", [b"", b"gpt", b"nope"])
def test_health_follows_the_server(service):
    """I-F18, P-F16: SERVING is 1, NOT_SERVING is 2."""
    with FakeTriton() as server:
        assert health(server.url, service) == b"\x08\x01"
        server.ready = False
        assert health(server.url, service) == b"\x08\x02"
        server.exiting = True
        with pytest.raises(grpc.RpcError) as caught:
            health(server.url, service)
        assert (caught.value.code().name, caught.value.details()) == ("UNAVAILABLE", "Server exiting")


def test_health_needs_the_token_too():
    """I-F18"""
    with FakeTriton(bearer_tokens={"secret"}) as server:
        with pytest.raises(grpc.RpcError) as caught:
            health(server.url)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert health(server.url, metadata=[("authorization", "Bearer secret")]) == b"\x08\x01"


# --- classification


def test_a_classification_has_the_labels_of_its_model():
    """I-F14"""
    model = ServedModel("rows", ROWS, ScriptedEngine(echo), labels={"y": ["only"]})
    with FakeTriton(models=[model]) as server, RawClient(server.url) as client:
        message = wire.build_infer_request("rows", [], outputs=["y"])
        message.inputs.add(name="x", datatype="FP32", shape=[2, 1]).contents.fp32_contents.extend([1.5, 2.0])
        message.outputs[0].parameters["classification"].int64_param = 1
        answer = client.unary("ModelInfer", message)
        config = client.unary("ModelConfig", name="rows").config
    assert list(answer.outputs[0].shape) == [2, 1]
    assert answer.raw_output_contents[0] == b"\x0f\0\0\x001.500000:0:only\x0f\0\0\x002.000000:0:only"
    assert config.output[0].label_filename == "y_labels.txt"


def test_a_text_is_not_classified():
    """I-F14: Triton 2.51 crashes at this, so these are not its words."""
    with FakeTriton(["a"]) as server, RawClient(server.url) as client:
        message = request(model="gpt", outputs=["text_output"])
        message.outputs[0].parameters["classification"].int64_param = 1
        with pytest.raises(grpc.RpcError, match="unsupported type 'BYTES'"):
            client.unary("ModelInfer", message)


def test_classes_of_nothing():
    """I-F14"""
    assert classify("FP32", [], 3) == (0, [])
    assert classify("FP32", [[], []], 3) == (0, [])
    assert classify("INT64", [[2**62 + 1, 2**62 + 2]], 1) == (1, [f"{2**62 + 2}:1"])


# --- shapes


@pytest.mark.parametrize(("batch_dimension", "shape"), [(True, [1, 1]), (False, [1])])
def test_an_output_without_its_batch_dimension(batch_dimension, shape):
    """I-N2: TensorRT-LLM's postprocessing answers [1], although its model has a batch size."""
    signature = ModelSignature(
        "ensemble",
        {"text_input": TensorSpec("text_input", "BYTES")},
        {"text_output": TensorSpec("text_output", "BYTES", (-1,))},
        decoupled=True,
        max_batch_size=4,
        backend="python",
    )
    server = FakeTriton(["a", "b"], models=[signature], batch_dimension=batch_dimension)
    with server, RawClient(server.url) as client:
        message = wire.build_infer_request("ensemble", [])
        message.inputs.add(name="text_input", datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(
            b"hi"
        )
        answers = list(client.stream(message))
        text = StreamingClient("ensemble", server.url).generate("hi").text
    assert [list(answer.infer_response.outputs[0].shape) for answer in answers] == [shape, shape]
    assert text == "ab"


# --- failures as a status


def test_a_client_may_want_the_status_of_a_failure():
    """I-M10"""
    with FakeTriton(["a", fail("no")]) as server, RawClient(server.url) as client:
        call = client.stream(request(), metadata=[("triton_grpc_error", "true")])
        assert next(call).infer_response.outputs
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        assert (caught.value.code().name, caught.value.details()) == ("INTERNAL", "no")
        client = StreamingClient("gpt.streaming", server.url)
        with pytest.raises(InferenceError, match="no") as error:
            client.generate("hi", metadata={"triton_grpc_error": "true"})
        assert error.value.partial_text == "a"


# --- loading


def test_our_client_sees_that_a_model_is_unloaded():
    """I-F16"""
    with FakeTriton(explicit=True) as server, ServerClient(server.url) as client:
        client.unload("gpt")
        assert not client.is_model_ready("gpt")
        (found,) = [model for model in client.models() if model.name == "gpt"]
        assert (found.state, found.reason) == ("UNAVAILABLE", "unloaded")
        client.load("gpt", config='{"max_batch_size": 4}')
        assert client.signature("gpt").max_batch_size == 4
        assert client.signature("gpt").inputs == text_signature("gpt").inputs
        client.unload("gpt")
        client.load("gpt")
        assert client.signature("gpt") == text_signature("gpt", decoupled=False)
