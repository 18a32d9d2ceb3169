"""Parameters on the real server: what its models see, classes as tritonclient reads them, and outputs beside a text."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tritonclient.grpc as tritonclient

from nupic_client import (
    Classification,
    ConfigurationError,
    HttpInferenceClient,
    InferenceClient,
    InferInput,
    OverloadedError,
    RequestRejectedError,
    StreamingClient,
    TensorSpec,
)
from nupic_client.local import text_signature
from nupic_client.local.triton.config import config_text
from nupic_client.signature import ModelSignature
from triton.server import TritonServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LABELS = ["cat", "dog: small", "a:b:c", ""]
ROWS = np.array([[0.1, 0.7, 0.2, -1.0], [5.0, np.inf, -2.5, 1e-9]], np.float32)
SAME = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
        return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("probs", x)])
"""
TOLD = """
import json
import time

import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.decoupled = json.loads(args["model_config"])["model_transaction_policy"]["decoupled"]

    def execute(self, requests):
        if not self.decoupled:
            return [self.answer(request, request.parameters()) for request in requests]
        for request in requests:
            sender = request.get_response_sender()
            if b"[slow]" in pb_utils.get_input_tensor_by_name(request, "text_input").as_numpy():
                time.sleep(1)
            told = request.parameters()
            for part in (told[:5], told[5:]):
                sender.send(self.answer(request, part))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def answer(self, request, text):
        tensors = [
            pb_utils.Tensor("text_output", np.array([text.encode()], object)),
            pb_utils.Tensor("score", np.array([len(text)], np.float32)),
        ]
        return pb_utils.InferenceResponse(output_tensors=tensors)
"""
STORY = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.told = {}

    def execute(self, requests):
        for request in requests:
            text = pb_utils.get_input_tensor_by_name(request, "text_input").as_numpy().ravel()[0]
            key, flags = request.correlation_id(), request.flags()
            before = b"" if flags & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START else self.told[key]
            self.told[key] = before + text
            if flags & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END:
                text = self.told.pop(key)
            output = pb_utils.Tensor("text_output", np.array([text], object))
            sender = request.get_response_sender()
            sender.send(pb_utils.InferenceResponse([output]), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
SEQUENCE = """
sequence_batching { max_sequence_idle_microseconds: 60000000 oldest { max_candidate_sequences: 4 } }
"""
QUEUE = """
dynamic_batching {
  priority_levels: 2
  default_priority_level: 2
  default_queue_policy { timeout_action: REJECT allow_timeout_override: true default_timeout_microseconds: 60000000 }
}
"""


def classifier(name: str, *, max_batch_size: int) -> ModelSignature:
    return ModelSignature(
        name,
        inputs={"x": TensorSpec("x", "FP32", (4,))},
        outputs={"probs": TensorSpec("probs", "FP32", (4,))},
        max_batch_size=max_batch_size,
    )


@pytest.fixture(scope="module")
def server(needs_triton: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("models")
    before = [TensorSpec("score", "FP32", (1,))]
    for model, code in (
        (classifier("classes", max_batch_size=8), SAME),
        (classifier("classes-of-one", max_batch_size=0), SAME),
        (classifier("nameless", max_batch_size=8), SAME),
        (text_signature("told", decoupled=False, options=[], outputs_before=before), TOLD),
        (text_signature("told.streaming", options=[], outputs_before=before), TOLD),
        (text_signature("queued.streaming", options=[], outputs_before=before), TOLD),
        (text_signature("story.streaming", options=[]), STORY),
    ):
        write(folder / model.name, model, code)
    with TritonServer(folder, http_port=0) as running:
        yield running


def write(folder: Path, model: ModelSignature, code: str) -> None:
    version = folder / "1"
    version.mkdir(parents=True)
    config = config_text(model)
    if model.name.startswith("classes"):
        config = config.replace(
            'output { name: "probs"', 'output { label_filename: "labels.txt" name: "probs"'
        )
        assert "labels.txt" in config
        (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    config += {"queued.streaming": QUEUE, "story.streaming": SEQUENCE}.get(model.name, "")
    (folder / "config.pbtxt").write_text(config)
    (version / "model.py").write_text(code)


# --- classes


def by_tritonclient(server: TritonServer, model: str, rows: Any, count: int) -> list[Any]:
    given = tritonclient.InferInput("x", rows.shape, "FP32")
    given.set_data_from_numpy(rows)
    asked = tritonclient.InferRequestedOutput("probs", class_count=count)
    with tritonclient.InferenceServerClient(server.url) as client:
        return client.infer(model, [given], outputs=[asked]).as_numpy("probs").tolist()


def spelled(classes: Any) -> Any:
    """Return classes as the server writes them."""
    if isinstance(classes, list):
        return [spelled(each) for each in classes]
    end = "" if classes.label is None else f":{classes.label}"
    return f"{classes.value:f}:{classes.index}{end}".encode()


@pytest.mark.parametrize("count", [1, 3, 9])
@pytest.mark.parametrize("model", ["classes", "classes-of-one", "nameless"])
@pytest.mark.parametrize("protocol", ["grpc", "async", "http"])
def test_classes_are_those_that_tritonclient_gets(server, model, count, protocol):
    rows = ROWS[0] if model == "classes-of-one" else ROWS
    if protocol == "http":
        with HttpInferenceClient(model, server.http_url) as client:
            result = client.infer(rows, outputs={"probs": count})
    else:
        with InferenceClient(model, server.url) as client:
            if protocol == "async":
                result = asyncio.run(client.ainfer(rows, outputs={"probs": count}))
            else:
                result = client.infer(rows, outputs={"probs": count})
    theirs = by_tritonclient(server, model, rows, count)
    assert spelled(result.classes("probs")) == theirs
    assert [text.encode() for text in result["probs"].ravel()] == np.array(theirs).ravel().tolist()


def test_classes_have_their_labels_whatever_is_in_them(server):
    with InferenceClient("classes", server.url) as client:
        first, second = client.infer(ROWS, outputs={"probs": 2}).classes("probs")
        (bare,) = client.infer(ROWS[:1], outputs={"probs": None}).output_parameters
    assert first == [Classification(0.7, 1, "dog: small"), Classification(0.2, 2, "a:b:c")]
    assert second == [Classification(np.inf, 1, "dog: small"), Classification(5.0, 0, "cat")]
    assert bare == "probs"


def test_classes_of_a_map_belong_to_their_input(server):
    with InferenceClient("classes", server.url) as client:
        for size in (None, 4):
            results = list(client.map([ROWS[:1], ROWS[1:]], outputs={"probs": 1}, batch_size=size))
            assert [result.classes("probs")[0][0].label for result in results] == ["dog: small", "dog: small"]


def test_classes_of_numbers_that_were_not_asked_for_are_refused(server):
    with InferenceClient("classes", server.url) as client:
        result = client.infer(ROWS)
    with pytest.raises(ConfigurationError, match=r"ask for them with outputs=\{'probs': 3\}"):
        result.classes("probs")


def test_the_server_ignores_parameters_of_inputs_that_it_does_not_know(server):
    with InferenceClient("classes", server.url) as client:
        result = client.infer(InferInput(ROWS, {"content_type": "np", "n": 1}))
    assert result["probs"].tolist() == ROWS.tolist()
    assert result.output_parameters == {"probs": {}}


# --- parameters of requests

GIVEN = {"who": "me", "loud": True, "count": -3, "share": 0.5}


def test_a_model_sees_the_parameters_of_a_stream(server):
    with StreamingClient("told.streaming", server.url) as client:
        assert json.loads(client.generate("Hi", parameters=GIVEN).text) == GIVEN
        assert json.loads(asyncio.run(client.agenerate("Hi", parameters=GIVEN)).text) == GIVEN
        assert client.generate("Hi").text in {"", "{}"}


def test_a_model_that_answers_at_once_sees_them_too(server):
    with InferenceClient("told", server.url) as client:
        assert json.loads(client.generate("Hi", parameters=GIVEN).text) == GIVEN
        found = client.infer({"text_input": ["Hi"]}, parameters=GIVEN)["text_output"][0]
        assert json.loads(found) == GIVEN


def test_the_servers_own_parameters_are_not_the_models(server):
    with StreamingClient("told.streaming", server.url) as client:
        found = json.loads(
            client.generate("Hi", parameters={"priority": 1, "timeout": 60_000_000, "a": 1}).text
        )
    assert found == {"a": 1}


def test_a_stream_waits_in_the_queue_no_longer_than_it_says(server):
    with StreamingClient("queued.streaming", server.url, max_retries=0) as client:
        slow = client.stream("[slow]")
        time.sleep(0.2)
        with pytest.raises(OverloadedError, match="waited in its queue"):
            client.generate("Hi", parameters={"timeout": 100_000})
        slow.result()
        assert json.loads(client.generate("Hi", parameters={"timeout": 30_000_000, "a": 1}).text) == {"a": 1}


def test_a_stream_with_priority_goes_before_others(server):
    ended = []

    def generate(name, priority):
        client.generate("[slow]", parameters={"priority": priority})
        ended.append(name)

    with StreamingClient("queued.streaming", server.url) as client, ThreadPoolExecutor(3) as pool:
        for name, priority in (("first", 2), ("second", 2), ("urgent", 1)):
            pool.submit(generate, name, priority)
            time.sleep(0.2)
    assert ended == ["first", "urgent", "second"]


@pytest.mark.parametrize(
    "wrong", [{"timeout": 0.5}, {"priority": -1}, {"sequence_start": "yes"}, {"big": 2**63}], ids=str
)
def test_what_the_server_refuses_is_the_same_error_on_a_stream_and_at_once(server, wrong):
    with (
        StreamingClient("told.streaming", server.url) as streaming,
        InferenceClient("told", server.url) as once,
    ):
        with pytest.raises(RequestRejectedError, match="invalid value") as streamed:
            streaming.generate("Hi", parameters=wrong)
        with pytest.raises(RequestRejectedError, match="invalid value") as answered:
            once.generate("Hi", parameters=wrong)
    assert streamed.value.message == answered.value.message


@pytest.mark.parametrize("key", [7, 2**63 - 1, "story-1"], ids=str)
def test_a_text_model_with_a_memory_is_told_which_sequence_it_is(server, key):
    """P-M4."""
    with StreamingClient("story.streaming", server.url, timeout=20) as client:
        other = {"sequence_id": 99, "sequence_start": True}
        client.generate("x", parameters=other)
        client.generate("a", parameters={"sequence_id": key, "sequence_start": True})
        asyncio.run(client.agenerate("b", parameters={"sequence_id": key}))
        whole = client.generate("c", parameters={"sequence_id": key, "sequence_end": True})
        assert whole.text == "abc"
        assert client.generate("y", parameters={"sequence_id": 99, "sequence_end": True}).text == "xy"
        with pytest.raises(RequestRejectedError, match="must specify a non-zero or non-empty correlation ID"):
            client.generate("d")


# --- outputs beside the text


def test_outputs_beside_the_text(server):
    with StreamingClient("told.streaming", server.url) as client:
        *deltas, finished = client.stream("Hi", parameters={"a": 1}, outputs=["score"]).events()
    assert [(delta.text, delta.outputs["score"].tolist()) for delta in deltas] == [
        (finished.generation.text[:5], [5.0]),
        (finished.generation.text[5:], [len(finished.generation.text) - 5.0]),
    ]
    assert json.loads(finished.generation.text) == {"a": 1}
    assert finished.generation.outputs["score"].tolist() == [len(finished.generation.text) - 5.0]
    with InferenceClient("told", server.url) as other:
        generation = other.generate("Hi", parameters={"a": 1}, outputs=["score"])
    assert generation.outputs["score"].tolist() == [len(generation.text)]
