"""Every data type, shape and choice of optional inputs on the real server, with the values of tritonclient.

A request that is like an earlier one is written and read in a shorter way, so each is sent several times.
"""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from nupic_client import (
    HttpInferenceClient,
    InferenceClient,
    ModelSignature,
    RequestRejectedError,
    TensorSpec,
)
from nupic_client._datatypes import DATATYPES
from nupic_client.local.triton.config import config_text
from triton.peer import array_facts, tritonclient_answer, tritonclient_stream
from triton.server import TritonServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMES = 4
"""The first request is checked, the answer of the second is remembered, the third and fourth are read by it."""
TIMEOUT = 20
NUMBERS = [it for it in DATATYPES if it not in {"BYTES", "BF16"}]
GIVE_BACK = """
import json

import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.names = [it["name"] for it in config["input"]]
        self.decoupled = config["model_transaction_policy"]["decoupled"]

    def execute(self, requests):
        responses = [pb_utils.InferenceResponse(self.outputs(request)) for request in requests]
        if not self.decoupled:
            return responses
        for request, response in zip(requests, responses):
            sender = request.get_response_sender()
            for flags in (0, 0, 0, pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL):
                sender.send(response, flags=flags)

    def outputs(self, request):
        outputs = []
        for name in self.names:
            given = pb_utils.get_input_tensor_by_name(request, name)
            output = name.replace("in_", "out_")
            if given is None:
                continue
            if name == "in_BF16":  # numpy has no such type
                outputs.append(pb_utils.Tensor.from_dlpack(output, given.to_dlpack()))
            else:
                outputs.append(pb_utils.Tensor(output, given.as_numpy()))
        return outputs
"""
VECTOR = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            texts = pb_utils.get_input_tensor_by_name(request, "text").as_numpy().ravel()
            rows = np.array([[len(text), text[0] if text else -1] for text in texts], np.float32)
            responses.append(
                pb_utils.InferenceResponse(
                    [
                        pb_utils.Tensor("FP16", rows.astype(np.float16)),
                        pb_utils.Tensor("FP32", rows),
                        pb_utils.Tensor("FP64", rows.astype(np.float64)),
                    ]
                )
            )
        return responses
"""


def all_kinds(name: str, *, dims: tuple[int, ...], **facts: Any) -> ModelSignature:
    """Return a model with an optional input and an output of each data type."""
    return ModelSignature(
        name,
        inputs={f"in_{it}": TensorSpec(f"in_{it}", it, dims, optional=True) for it in DATATYPES},
        outputs={f"out_{it}": TensorSpec(f"out_{it}", it, dims) for it in DATATYPES},
        **facts,
    )


MODELS = (
    (all_kinds("kinds", dims=(-1, -1)), GIVE_BACK),
    (all_kinds("rows", dims=(-1,), max_batch_size=64), GIVE_BACK),
    (all_kinds("repeated", dims=(-1, -1), decoupled=True), GIVE_BACK),
    (all_kinds("scalars", dims=(1,), max_batch_size=8), GIVE_BACK),
    (
        ModelSignature(
            "vectors",
            inputs={"text": TensorSpec("text", "BYTES", (1,))},
            outputs={it: TensorSpec(it, it, (2,)) for it in ("FP16", "FP32", "FP64")},
            max_batch_size=8,
        ),
        VECTOR,
    ),
)


@pytest.fixture(scope="module")
def server(needs_triton: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("models")
    for model, code in MODELS:
        write(folder / model.name, model, code)
    with TritonServer(folder, http_port=0) as running:
        yield running


def write(folder: Path, model: ModelSignature, code: str) -> None:
    (folder / "1").mkdir(parents=True)
    config = config_text(model)
    if model.name == "scalars":  # the only dimension of such a model is the batch
        config = config.replace("dims: [ 1 ]", "dims: [ 1 ] reshape: { shape: [ ] }")
    (folder / "config.pbtxt").write_text(config)
    (folder / "1" / "model.py").write_text(code)


Inputs = dict[str, "np.ndarray[Any, Any]"]


def array_of(datatype: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray[Any, Any]:
    """Return numbers with the limits of their data type among them; of BF16 those that it has exactly."""
    count = int(np.prod(shape))
    if datatype == "BYTES":
        texts = [b"", b"a", b"\xff\x00", "\u00e4\u20ac".encode(), b"x" * (200 + seed)]
        array = np.empty(count, dtype=object)
        array[:] = list(itertools.islice(itertools.cycle(texts[seed % 5 :] + texts), count))
        return array.reshape(shape)
    if datatype == "BOOL":
        return np.resize(np.array([True, False, False], bool), shape) ^ bool(seed % 2)
    if DATATYPES[datatype].is_float:
        values = np.array([0.5, -0.0, np.inf, -1.5, 2.0**-14, -np.inf, seed], np.float32)
        return np.resize(values, shape).astype(DATATYPES[datatype].numpy_name or "float32")
    limits = np.iinfo(datatype.lower())
    values = np.array([limits.min, limits.max, 0, 1, seed], datatype.lower())
    return np.resize(values, shape)


def by_infer(server: TritonServer, model: str, inputs: list[Any], **options: Any) -> list[Any]:
    with InferenceClient(model, server.url, timeout=TIMEOUT, text="bytes") as client:
        return [client.infer(each, **options) for each in inputs]


def by_ainfer(server: TritonServer, model: str, inputs: list[Any], **options: Any) -> list[Any]:
    async def main() -> list[Any]:
        async with InferenceClient(model, server.url, timeout=TIMEOUT, text="bytes") as client:
            return [await client.ainfer(each, **options) for each in inputs]

    return asyncio.run(main())


def by_map(server: TritonServer, model: str, inputs: list[Any], **options: Any) -> list[Any]:
    with InferenceClient(model, server.url, timeout=TIMEOUT, text="bytes") as client:
        return list(client.map(inputs, concurrency=2, **options))


def by_amap(server: TritonServer, model: str, inputs: list[Any], **options: Any) -> list[Any]:
    async def main() -> list[Any]:
        async with InferenceClient(model, server.url, timeout=TIMEOUT, text="bytes") as client:
            return [result async for result in client.amap(inputs, concurrency=2, **options)]

    return asyncio.run(main())


def by_stream(server: TritonServer, model: str, inputs: list[Any], **options: Any) -> list[Any]:
    with InferenceClient(model, server.url, timeout=TIMEOUT, text="bytes") as client:
        return [result for each in inputs for result in client.infer_stream(each, **options)]


def by_http(server: TritonServer, model: str, inputs: list[Any], **options: Any) -> list[Any]:
    with HttpInferenceClient(model, server.http_url, timeout=TIMEOUT, text="bytes") as client:
        return [client.infer(each, **options) for each in inputs]


def by_http_map(server: TritonServer, model: str, inputs: list[Any], **options: Any) -> list[Any]:
    with HttpInferenceClient(model, server.http_url, timeout=TIMEOUT, text="bytes") as client:
        return list(client.map(inputs, concurrency=2, **options))


WAYS = (by_infer, by_ainfer, by_map, by_amap, by_stream, by_http, by_http_map)
Send = "Callable[..., list[Any]]"


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def send(request: pytest.FixtureRequest) -> Any:
    return request.param


def same_as_tritonclient(
    server: TritonServer, model: str, send: Any, requests: list[Inputs], **options: Any
) -> None:
    """Send each request several times, as they come and mixed; compare all answers with tritonclient's."""
    names = options.get("outputs")
    expected = [tritonclient_answer(server.url, model, each, names) for each in requests]
    for places in (
        [place for place in range(len(requests)) for _ in range(TIMES)],
        list(range(len(requests))) * TIMES,
    ):
        results = send(server, model, [requests[place] for place in places], **options)
        assert [array_facts(result) for result in results] == [expected[place] for place in places]


# --- data types and shapes


@pytest.mark.parametrize("datatype", DATATYPES)
def test_each_data_type(server: TritonServer, send: Any, datatype: str) -> None:
    shapes = [(1, 1), (3, 2), (2, 3), (7, 5), (300, 9)]
    requests = [{f"in_{datatype}": array_of(datatype, shape, 3)} for shape in shapes]
    same_as_tritonclient(server, "kinds", send, requests)
    (result,) = send(server, "kinds", requests[:1])
    assert result.only.tolist() == requests[0][f"in_{datatype}"].tolist()


@pytest.mark.parametrize("datatype", DATATYPES)
def test_contents_of_the_same_size_differ(server: TritonServer, send: Any, datatype: str) -> None:
    requests = [{f"in_{datatype}": array_of(datatype, (3, 2), seed)} for seed in (1, 2, 6, 7)]
    same_as_tritonclient(server, "kinds", send, requests)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_tensors_without_elements(server: TritonServer, send: Any, datatype: str) -> None:
    requests = [{f"in_{datatype}": array_of(datatype, shape)} for shape in [(0, 3), (2, 0), (0, 0), (1, 1)]]
    same_as_tritonclient(server, "kinds", send, requests)


def test_all_data_types_in_one_request(server: TritonServer, send: Any) -> None:
    requests = [
        {f"in_{it}": array_of(it, (number, place % 3), place) for place, it in enumerate(DATATYPES)}
        for number in (1, 2, 5)
    ]
    same_as_tritonclient(server, "kinds", send, requests)


def test_all_numbers_in_one_request(server: TritonServer, send: Any) -> None:
    """Answers with texts or BF16 among them are read in the long way always."""
    requests = [
        {f"in_{it}": array_of(it, (rows, 1 + place % 3), place) for place, it in enumerate(kinds)}
        for rows in (1, 3, 6)
        for kinds in (NUMBERS, NUMBERS[::-1], NUMBERS[::2])
    ]
    same_as_tritonclient(server, "kinds", send, requests)
    outputs = ["out_UINT8", "out_FP64", "out_INT16"]
    same_as_tritonclient(server, "kinds", send, requests[:2], outputs=outputs, parameters={"a": 1, "b": "c"})


@pytest.mark.parametrize("model", ["kinds", "rows"])
def test_what_repeats_is_neither_checked_nor_parsed_again(
    server: TritonServer, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Triton answers is as the short way expects it."""
    shape = (2, 3) if model == "kinds" else (2, 1)
    for names in [*([it] for it in NUMBERS), NUMBERS]:
        inputs = {f"in_{it}": array_of(it, shape, 1) for it in names}
        with InferenceClient(model, server.url, timeout=TIMEOUT) as client:
            expected = array_facts(client.infer(inputs))
            for _ in range(TIMES):
                client.infer(inputs)
            with monkeypatch.context() as patch:
                patch.setattr("nupic_client._core.inference.codec.encode_inputs", None)
                patch.setattr("nupic_client._core.kserve.wire.parse_infer_response", None)
                assert array_facts(client.infer(inputs)) == expected


@pytest.mark.parametrize("datatype", DATATYPES)
def test_rows_of_a_batch(server: TritonServer, send: Any, datatype: str) -> None:
    requests = [
        {f"in_{datatype}": array_of(datatype, shape)} for shape in [(1, 1), (64, 3), (2, 0), (5, 200)]
    ]
    same_as_tritonclient(server, "rows", send, requests)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_inputs_whose_only_dimension_is_the_batch(server: TritonServer, send: Any, datatype: str) -> None:
    requests = [{f"in_{datatype}": array_of(datatype, (rows, 1))} for rows in (1, 8, 3)]
    same_as_tritonclient(server, "scalars", send, requests)
    one = array_of(datatype, (1, 1), 2)
    for short in (one[0, 0], one[0]):
        for result in send(server, "scalars", [{f"in_{datatype}": np.asarray(short, one.dtype)}] * TIMES):
            assert result.only.ravel().tolist() == one.ravel().tolist()


def test_large_tensors(server: TritonServer, send: Any) -> None:
    requests = [
        {"in_FP16": array_of("FP16", (1000, 300)), "in_UINT8": array_of("UINT8", (7, 3))},
        {"in_UINT8": array_of("UINT8", (1 << 10, 1 << 10)), "in_BYTES": array_of("BYTES", (3000, 1))},
        {"in_BF16": array_of("BF16", (1000, 300)), "in_FP64": array_of("FP64", (100, 300))},
    ]
    same_as_tritonclient(server, "kinds", send, requests)


def test_arrays_whose_elements_do_not_follow_one_another(server: TritonServer, send: Any) -> None:
    table = array_of("INT32", (6, 4), 5)
    for array in (table[::2], table.T, table[:, ::-1], np.asfortranarray(table)):
        same_as_tritonclient(server, "kinds", send, [{"in_INT32": array}])


def test_texts_as_str(server: TritonServer) -> None:
    """Lists of texts, which numpy does not know, are written in a shorter way of their own."""
    requests = [["", "a"], ["\u00e4", "b" * 300], ["", ""]]
    with InferenceClient("rows", server.url, timeout=TIMEOUT) as client:
        for texts in [*requests * TIMES]:
            assert client.infer({"in_BYTES": [texts]})["out_BYTES"].tolist() == [texts]
            assert client.infer({"in_BYTES": texts})["out_BYTES"].tolist() == [texts]
    with InferenceClient("scalars", server.url, timeout=TIMEOUT) as client:
        for texts in [*requests * TIMES]:
            assert client.infer({"in_BYTES": texts})["out_BYTES"].tolist() == [[text] for text in texts]
            assert client.infer({"in_BYTES": texts[0]})["out_BYTES"].tolist() == [[texts[0]]]


# --- which inputs and outputs

SOME = {
    "in_INT32": array_of("INT32", (2, 3)),
    "in_BYTES": array_of("BYTES", (2, 3)),
    "in_BOOL": array_of("BOOL", (2, 3)),
}


@pytest.mark.parametrize("model", ["kinds", "rows"])
def test_some_of_the_optional_inputs(server: TritonServer, send: Any, model: str) -> None:
    requests = [
        {name: SOME[name] for name in names}
        for size in (1, 2, 3)
        for names in itertools.permutations(SOME, size)
    ]
    same_as_tritonclient(server, model, send, requests)


def test_no_input_at_all(server: TritonServer, send: Any) -> None:
    same_as_tritonclient(server, "kinds", send, [{}, SOME, {}])
    assert [len(result) for result in send(server, "kinds", [{}] * TIMES)] == [0] * TIMES


@pytest.mark.parametrize("model", ["rows", "scalars"])
def test_a_batch_without_inputs_is_refused(server: TritonServer, send: Any, model: str) -> None:
    """Triton does not know its rows."""
    with pytest.raises(InferenceServerException, match="request has 0 inputs"):
        tritonclient_answer(server.url, model, {})
    with pytest.raises(
        RequestRejectedError, match="does not fit the model: out of bounds index 0: request has 0 inputs"
    ) as caught:
        send(server, model, [{}])
    assert caught.value.status == "INVALID_ARGUMENT"


def test_a_batch_without_rows_is_refused(server: TritonServer, send: Any) -> None:
    empty = {"in_FP32": np.ones((0, 3), np.float32)}
    with pytest.raises(InferenceServerException, match="input byte size mismatch"):
        tritonclient_answer(server.url, "rows", empty)
    with pytest.raises(RequestRejectedError, match="input byte size mismatch"):
        send(server, "rows", [empty])


def test_outputs_that_are_asked_for(server: TritonServer, send: Any) -> None:
    for outputs in (["out_BOOL"], ["out_BYTES", "out_INT32"], ["out_INT32", "out_BYTES"]):
        same_as_tritonclient(server, "kinds", send, [SOME], outputs=outputs)
        for result in send(server, "kinds", [SOME] * TIMES, outputs=outputs):
            assert sorted(result) == sorted(outputs)


def test_parameters_beside_them(server: TritonServer, send: Any) -> None:
    parameters = {"a": 1, "b": "text", "c": True, "d": 0.5}
    same_as_tritonclient(server, "kinds", send, [SOME, {}], parameters=parameters)


def test_responses_of_a_decoupled_model(server: TritonServer) -> None:
    requests: list[Inputs] = [{}, SOME, *({f"in_{it}": array_of(it, (2, 3))} for it in DATATYPES)]
    for inputs in requests:
        results = by_stream(server, "repeated", [inputs])
        expected = tritonclient_stream(server.url, "repeated", inputs)
        assert [array_facts(result) for result in results if inputs] == expected
        # A last response without outputs looks like the end that the server adds where the model marks no response.
        assert len(results) == (4 if inputs else 3)


# --- many


@pytest.mark.parametrize("way", [by_map, by_amap, by_http_map], ids=lambda way: way.__name__)
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_maps_of_batches(server: TritonServer, way: Any, batch_size: int) -> None:
    requests = [
        {f"in_{it}": array_of(it, (rows, width), rows) for it in kinds}
        for kinds in (["FP16", "BYTES"], ["BOOL", "UINT8", "BF16"], ["INT64"], ["BYTES"])
        for width in (2, 0)
        for rows in (1, 1, 2, 3, 1, 1)
    ]
    expected = [tritonclient_answer(server.url, "rows", each) for each in requests]
    results = way(server, "rows", requests, batch_size=batch_size)
    assert [array_facts(result) for result in results] == expected


@pytest.mark.parametrize("way", [by_map, by_amap, by_http_map], ids=lambda way: way.__name__)
def test_a_batch_without_rows_does_not_harm_its_neighbours(server: TritonServer, way: Any) -> None:
    rows = [2, 0, 1, 3, 0, 1]
    requests = [{"in_FP32": np.ones((count, 3), np.float32)} for count in rows]
    results = way(server, "rows", requests, batch_size=8, errors="return")
    assert [
        None if isinstance(result, RequestRejectedError) else len(result["out_FP32"]) for result in results
    ] == [count or None for count in rows]


def test_more_shapes_than_are_remembered(server: TritonServer) -> None:
    requests = [{"in_UINT16": array_of("UINT16", (1 + place % 7, place), place)} for place in range(300)]
    for way in (by_infer, by_amap):
        for result, each in zip(way(server, "kinds", requests * 2), requests * 2, strict=True):
            assert np.array_equal(result["out_UINT16"], each["in_UINT16"])


def test_threads_that_share_a_client(server: TritonServer) -> None:
    requests = [{f"in_{it}": array_of(it, (3, 2), seed)} for it in DATATYPES for seed in (1, 2)]
    expected = [tritonclient_answer(server.url, "kinds", each) for each in requests]
    with InferenceClient("kinds", server.url, timeout=TIMEOUT, text="bytes") as client:

        def answers(start: int) -> bool:
            places = [(start + step) % len(requests) for step in range(3 * len(requests))]
            return all(array_facts(client.infer(requests[place])) == expected[place] for place in places)

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(answers, range(8))) == [True] * 8


@pytest.mark.parametrize("batch_size", [1, 3, 8, None])
def test_embeddings_of_each_type(server: TritonServer, batch_size: int | None) -> None:
    texts = ["", "a", "\u00e4", "b" * 1000] * 7
    given = np.array([text.encode() for text in texts], object).reshape(-1, 1)
    for output in ("FP16", "FP32", "FP64"):
        chunks = [given[start : start + 8] for start in range(0, len(texts), 8)]
        answers = [
            tritonclient_answer(server.url, "vectors", {"text": chunk}, [output])[output][2]
            for chunk in chunks
        ]
        expected = [row for answer in answers for row in answer]
        with InferenceClient("vectors", server.url, timeout=TIMEOUT) as client:
            for _ in range(2):
                found = client.embed(texts, output=output, batch_size=batch_size)
                assert (found.dtype, found.tolist()) == (np.float32, expected)
            found = asyncio.run(client.aembed(texts, output=output, batch_size=batch_size))
            assert found.tolist() == expected
        with HttpInferenceClient("vectors", server.http_url, timeout=TIMEOUT) as other:
            assert other.embed(texts, output=output, batch_size=batch_size).tolist() == expected
