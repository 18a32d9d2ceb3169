"""Ensembles on the real server: decoupled, classes, shared memory, parameters, sequences; the values are tritonclient's."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tritonclient.grpc as tritonclient

from nupic_client import (
    Classification,
    ConfigurationError,
    HttpInferenceClient,
    InferenceClient,
    InferenceError,
    ServerClient,
)
from nupic_client._datatypes import config_name
from triton.peer import array_facts, tritonclient_answer, tritonclient_stream
from triton.server import TritonServer

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
TIMEOUT = 20
TIMES = 4
STEPS = (
    HERE / "numbers" / "repeat_int32",
    HERE / "numbers" / "square_int32",
    HERE / "numbers" / "accumulate",
    HERE / "numbers" / "accumulate_stream",
    HERE / "memory_models" / "identity",
)
GIVE_BACK = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "x").as_numpy()) for request in requests]

    def answer(self, x):
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", x)])
"""
DOUBLE = GIVE_BACK.replace('"y", x', '"y", x * 2')
TOLD = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request.parameters()) for request in requests]

    def answer(self, text):
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", np.array([text.encode()], object))])
"""
LABELS = ["cat", "dog: small", "a:b:c", ""]
Tensors = dict[str, tuple[str, tuple[int, ...]]]


def tensors_text(field: str, tensors: Tensors, more: str = "") -> str:
    return "".join(
        f'{field} {{ name: "{name}" data_type: {config_name(datatype)} dims: [ {", ".join(map(str, dims))} ] {more} }}\n'
        for name, (datatype, dims) in tensors.items()
    )


def model_text(name: str, inputs: Tensors, outputs: Tensors, size: int, more: str = "") -> str:
    return (
        f'name: "{name}"\nbackend: "python"\nmax_batch_size: {size}\ninstance_group [ {{ count: 1 kind: KIND_CPU }} ]\n'
        + tensors_text("input", inputs)
        + tensors_text("output", outputs, more)
    )


def ensemble_text(
    name: str,
    inputs: Tensors,
    outputs: Tensors,
    steps: list[tuple[str, dict[str, str], dict[str, str]]],
    *,
    size: int = 0,
    more: str = "",
    more_in: str = "",
) -> str:
    """Return a configuration; a step is a model, and its inputs and outputs with the names of the ensemble's tensors."""
    text = f'name: "{name}"\nplatform: "ensemble"\nmax_batch_size: {size}\n'
    text += tensors_text("input", inputs, more_in) + tensors_text("output", outputs, more)
    text += "ensemble_scheduling {\n"
    for model, given, made in steps:
        maps = "".join(
            f'{field} {{ key: "{key}" value: "{value}" }} '
            for field, names in (("input_map", given), ("output_map", made))
            for key, value in names.items()
        )
        text += f'  step {{ model_name: "{model}" model_version: -1 {maps} }}\n'
    return text + "}\n"


REPEAT_INPUTS: Tensors = {"IN": ("INT32", (-1,)), "DELAY": ("UINT32", (-1,)), "WAIT": ("UINT32", (1,))}
SAME_NAMES = {name: name for name in REPEAT_INPUTS}
X: Tensors = {"x": ("FP32", (4,))}
PROBS: Tensors = {"probs": ("FP32", (4,))}
IDENTITY = {"x": ("FP32", (-1,)), "s": ("BYTES", (-1,))}, {"y": ("FP32", (-1,)), "t": ("BYTES", (-1,))}
LABELLED = 'label_filename: "labels.txt"'

CONFIGS: dict[str, tuple[str, str]] = {
    "classes": (model_text("classes", X, {"y": X["x"]}, 8, LABELLED), GIVE_BACK),
    "double": (model_text("double", {"x": ("INT32", (1,))}, {"y": ("INT32", (1,))}, 4), DOUBLE),
    "told": (model_text("told", {"x": ("FP32", (-1,))}, {"y": ("BYTES", (1,))}, 0), TOLD),
    "repeat_square": (
        ensemble_text(
            "repeat_square",
            REPEAT_INPUTS,
            {"OUT": ("INT32", (1,))},
            [
                ("repeat_int32", SAME_NAMES, {"OUT": "repeated"}),
                ("square_int32", {"IN": "repeated"}, {"OUT": "OUT"}),
            ],
        ),
        "",
    ),
    "nested": (
        ensemble_text(
            "nested",
            REPEAT_INPUTS,
            {"FOUND": ("INT32", (1,))},
            [("repeat_square", SAME_NAMES, {"OUT": "FOUND"})],
        ),
        "",
    ),
    "inner-labels": (
        ensemble_text("inner-labels", X, PROBS, [("classes", {"x": "x"}, {"y": "probs"})], size=8),
        "",
    ),
    "own-labels": (
        ensemble_text(
            "own-labels", X, PROBS, [("classes", {"x": "x"}, {"y": "probs"})], size=8, more=LABELLED
        ),
        "",
    ),
    "twice": (
        ensemble_text(
            "twice",
            *IDENTITY,
            [
                ("identity", {"x": "x", "s": "s"}, {"y": "x1", "t": "s1"}),
                ("identity", {"x": "x1", "s": "s1"}, {"y": "y", "t": "t"}),
            ],
        ),
        "",
    ),
    "maybe": (
        ensemble_text(
            "maybe",
            *IDENTITY,
            [("identity", {"x": "x", "s": "s"}, {"y": "y", "t": "t"})],
            more_in="optional: true",
        ),
        "",
    ),
    "telling": (
        ensemble_text(
            "telling",
            {"x": ("FP32", (-1,))},
            {"first": ("BYTES", (1,)), "second": ("BYTES", (1,))},
            [("told", {"x": "x"}, {"y": "first"}), ("told", {"x": "x"}, {"y": "second"})],
        ),
        "",
    ),
    "double-sum": (
        ensemble_text(
            "double-sum",
            {"x": ("INT32", (1,))},
            {"y": ("INT32", (1,))},
            [("accumulate", {"INPUT": "x"}, {"OUTPUT": "sum"}), ("double", {"x": "sum"}, {"y": "y"})],
            size=4,
        ),
        "",
    ),
    "sums": (
        ensemble_text(
            "sums",
            {"x": ("INT32", (1,))},
            {"y": ("INT32", (1,))},
            [("accumulate_stream", {"INPUT": "x"}, {"OUTPUT": "sum"}), ("double", {"x": "sum"}, {"y": "y"})],
            size=4,
        ),
        "",
    ),
}


@pytest.fixture(scope="module")
def server(needs_triton: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("models")
    for model in STEPS:
        shutil.copytree(model, folder / model.name)
    for name, (config, code) in CONFIGS.items():
        version = folder / name / "1"
        version.mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(config)
        if code:
            (version / "model.py").write_text(code)
        if LABELLED in config:
            (folder / name / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    with TritonServer(folder, http_port=0) as running:
        yield running


def by_infer(server: TritonServer, model: str, inputs: Any, **options: Any) -> Any:
    with InferenceClient(model, server.url, timeout=TIMEOUT) as client:
        return [client.infer(inputs, **options) for _ in range(TIMES)][-1]


def by_ainfer(server: TritonServer, model: str, inputs: Any, **options: Any) -> Any:
    async def main() -> Any:
        async with InferenceClient(model, server.url, timeout=TIMEOUT) as client:
            return [await client.ainfer(inputs, **options) for _ in range(TIMES)][-1]

    return asyncio.run(main())


def by_stream(server: TritonServer, model: str, inputs: Any, **options: Any) -> Any:
    with InferenceClient(model, server.url, timeout=TIMEOUT) as client:
        (result,) = client.infer_stream(inputs, **options)
        return result


def by_http(server: TritonServer, model: str, inputs: Any, **options: Any) -> Any:
    with HttpInferenceClient(model, server.http_url, timeout=TIMEOUT) as client:
        return [client.infer(inputs, **options) for _ in range(TIMES)][-1]


@pytest.fixture(params=[by_infer, by_ainfer, by_stream, by_http], ids=lambda way: way.__name__)
def send(request: pytest.FixtureRequest) -> Any:
    return request.param


# --- decoupled


def repeated(*values: int) -> dict[str, Any]:
    return {
        "IN": np.array(values, np.int32),
        "DELAY": np.full(len(values), 2, np.uint32),
        "WAIT": np.array([1], np.uint32),
    }


@pytest.mark.parametrize(("model", "output"), [("repeat_square", "OUT"), ("nested", "FOUND")])
@pytest.mark.parametrize("values", [(4, 2, 0, 1), (3,), (0,), (0, 0, 5), ()], ids=str)
def test_decoupled_steps(server: TritonServer, model: str, output: str, values: tuple[int, ...]) -> None:
    """NVIDIA's example of a decoupled ensemble: each value as often as it says."""
    inputs = repeated(*values)
    with InferenceClient(model, server.url, timeout=TIMEOUT) as client:
        found = client.infer_stream(inputs).results()
        again = asyncio.run(client.ainfer_stream(inputs, outputs=[output]).results())
    assert [result[output].tolist() for result in found] == [
        [value] for value in values for _ in range(value)
    ]
    expected = tritonclient_stream(server.url, model, inputs)
    for results in (found, again):
        assert list(map(array_facts, results)) == expected


def test_an_ensemble_of_decoupled_steps_is_decoupled(server: TritonServer) -> None:
    for model in ("repeat_square", "nested"):
        with InferenceClient(model, server.url, timeout=TIMEOUT) as client:
            with pytest.raises(ConfigurationError, match="infer_stream"):
                client.infer(repeated(1))


def test_a_step_that_fails_in_the_middle(server: TritonServer) -> None:
    with InferenceClient("repeat_square", server.url, timeout=TIMEOUT) as client:
        with pytest.raises(InferenceError, match="cannot repeat -1"):
            client.infer_stream(repeated(1, -1, 2)).results()
        assert len(client.infer_stream(repeated(2)).results()) == 2


def test_leaving_is_at_once_though_the_server_runs_the_steps_to_their_end(server: TritonServer) -> None:
    """Triton 2.51 does not pass a cancellation on to the steps of an ensemble that run already."""
    count = 60
    inputs = {**repeated(), "IN": np.ones(count, np.int32), "DELAY": np.full(count, 10, np.uint32)}
    with ServerClient(server.url) as service:
        before = squares(service)
        with InferenceClient("repeat_square", server.url, timeout=TIMEOUT) as client:
            with client.infer_stream(inputs) as stream:
                assert next(stream)["OUT"].tolist() == [1]
            assert squares(service) < before + count
            assert len(client.infer_stream(repeated(2)).results()) == 2
        end = time.monotonic() + TIMEOUT
        while squares(service) < before + count + 1:
            assert time.monotonic() < end
            time.sleep(0.02)


def squares(service: ServerClient) -> int:
    """Return how often the second step has run."""
    return service.statistics("square_int32")[0].success.count


# --- classes

ROWS = np.array([[0.1, 0.7, 0.2, -1.0], [5.0, np.inf, -2.5, 1e-9]], np.float32)


@pytest.mark.parametrize("model", ["inner-labels", "own-labels"])
@pytest.mark.parametrize("count", [1, 3, 9])
def test_classes_have_the_labels(server: TritonServer, send: Any, model: str, count: int) -> None:
    result = send(server, model, ROWS, outputs={"probs": count})
    given = tritonclient.InferInput("x", ROWS.shape, "FP32")
    given.set_data_from_numpy(ROWS)
    with tritonclient.InferenceServerClient(server.url) as client:
        asked = [tritonclient.InferRequestedOutput("probs", class_count=count)]
        theirs = client.infer(model, [given], outputs=asked).as_numpy("probs")
    assert np.char.encode(result["probs"].astype(str)).tolist() == theirs.tolist()
    assert result.classes("probs")[0][0] == Classification(0.7, 1, "dog: small")
    assert [len(classes) for classes in result.classes("probs")] == [min(count, 4)] * 2


# --- shared memory


def test_inputs_and_outputs_in_shared_memory(server: TritonServer, send: Any) -> None:
    x, texts = np.arange(500, dtype=np.float32), ["a", "", "\u00e4"]
    given = {"x": x, "s": np.array([text.encode() for text in texts], object)}
    theirs = tritonclient_answer(server.url, "twice", given)
    with ServerClient(server.url) as service, service.shared_memory(1 << 14) as region:
        places = {"x": region.put(x), "s": region.put(texts, datatype="BYTES")}
        y, t = region.output(x.nbytes), region.output(100)
        for inputs in ({"x": x, "s": texts}, {**places}, {"x": places["x"], "s": texts}):
            for outputs in (None, {"y": y, "t": t}, {"t": t, "y": None}, {"y": y}):
                result = send(server, "twice", inputs, outputs=outputs)
                assert result["y"].tolist() == theirs["y"][2]
                if outputs is None or "t" in outputs:
                    assert [text.encode() for text in result["t"]] == theirs["t"][2]
                assert set(result.places) == {
                    name for name, place in (outputs or {}).items() if place is not None
                }


def test_places_of_a_decoupled_ensemble(server: TritonServer) -> None:
    with ServerClient(server.url) as service, service.shared_memory(1 << 12) as region:
        place = region.output(4)
        with InferenceClient("repeat_square", server.url, timeout=TIMEOUT) as client:
            inputs = {**repeated(3), "IN": region.put(np.array([3], np.int32))}
            results = client.infer_stream(inputs, outputs={"OUT": place}).results()
    assert [result.places["OUT"].offset for result in results] == [place.offset] * 3


# --- parameters and optional inputs

GIVEN = {"who": "me", "loud": True, "count": -3}


def test_the_steps_see_the_parameters(server: TritonServer, send: Any) -> None:
    x = np.zeros(2, np.float32)
    theirs = tritonclient_answer(server.url, "telling", {"x": x}, parameters=GIVEN)
    result = send(server, "telling", {"x": x}, parameters=GIVEN)
    for name in ("first", "second"):
        assert json.loads(result[name][0]) == json.loads(theirs[name][2][0]) == GIVEN


def test_inputs_of_an_ensemble_may_be_optional(server: TritonServer, send: Any) -> None:
    both = {"x": np.arange(3, dtype=np.float32), "s": np.array([b"a", b""], object)}
    result = send(server, "maybe", both)
    assert array_facts({"y": result["y"]}) == {"y": tritonclient_answer(server.url, "maybe", both)["y"]}
    assert result["t"].tolist() == ["a", ""]


# --- sequences

VALUES = [3, 4, 5, 6]


def test_a_sequence_through_an_ensemble(server: TritonServer) -> None:
    theirs = [
        tritonclient_answer(
            server.url,
            "double-sum",
            {"x": np.array([[value]], np.int32)},
            sequence_id=9001,
            sequence_start=value == 3,
            sequence_end=value == 6,
        )["y"][2]
        for value in VALUES
    ]
    with InferenceClient("double-sum", server.url, timeout=TIMEOUT) as client:
        for key in (None, 7, "a text"):
            with client.sequence(key) as sequence:
                found = [sequence.infer([value], end=value == 6)["y"].tolist() for value in VALUES]
            assert found == theirs == [[[6]], [[14]], [[24]], [[36]]]

        async def sums() -> list[Any]:
            async with client.sequence(end_with=[0]) as sequence:
                return [(await sequence.ainfer([value]))["y"].tolist() for value in VALUES]

        assert asyncio.run(sums()) == theirs


def test_a_sequence_of_streams_through_an_ensemble(server: TritonServer) -> None:
    with InferenceClient("sums", server.url, timeout=TIMEOUT) as client:
        with client.sequence(end_with=[0]) as sequence:
            found = [
                sorted(int(result["y"][0, 0]) for result in sequence.infer_stream([value]))
                for value in VALUES
            ]
    assert found == [[6], [6, 14], [6, 14, 24], [6, 14, 24, 36]]
