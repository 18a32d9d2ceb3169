"""`embed`: texts in, one matrix out."""

from __future__ import annotations

import numpy as np
import pytest
from inference.tensor_server import TensorServer, signature

from nupic_client import ConfigurationError, InferenceClient, ProtocolError
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.arrays import as_array, content_of
from nupic_client._core.kserve.codec import decode_bytes_tensor

TEXT = {"text": ("BYTES", (1,))}
MODELS = (
    signature("batched", TEXT, {"v": ("FP32", (3,))}, max_batch_size=4),
    signature("single", TEXT, {"v": ("FP32", (3,))}),
    signature("free", {"text": ("BYTES", (-1,))}, {"v": ("FP32", (-1, 3))}),
    signature("half", TEXT, {"v": ("FP16", (3,)), "count": ("INT32", (1,))}, max_batch_size=4),
    signature("brain", TEXT, {"v": ("BF16", (-1,))}, max_batch_size=4),
    signature(
        "two", TEXT, {"v": ("FP32", (3,)), "w": ("FP32", (3,)), "n": ("INT32", (1,))}, max_batch_size=4
    ),
    signature("tokens", TEXT, {"v": ("FP32", (-1, 3))}, max_batch_size=4),
    signature("numbers", {"x": ("FP32", (3,))}, {"v": ("FP32", (3,))}),
    signature("pair", {"a": ("BYTES", (1,)), "b": ("BYTES", (1,))}, {"v": ("FP32", (3,))}),
    signature("many", {"a": ("BYTES", (2,))}, {"v": ("FP32", (3,))}),
    signature("classes", TEXT, {"n": ("INT32", (1,))}),
)


def answer(width=3, shape=None):
    def respond(request):
        texts = decode_bytes_tensor(request.raw_input_contents[0])
        name = request.outputs[0].name
        model = next(model for model in MODELS if model.name == request.model_name)
        vectors = np.array([[len(text)] * width for text in texts], np.float32)
        datatype = model.outputs[name].datatype
        if datatype == "FP16":
            vectors = vectors.astype(np.float16)
        response = wire.pb.ModelInferResponse(model_name=model.name)
        response.outputs.add(
            name=name, datatype=datatype, shape=shape(len(texts)) if shape else vectors.shape
        )
        response.raw_output_contents.append(bytes(content_of(datatype, as_array(name, datatype, vectors))))
        return response

    return respond


@pytest.fixture(scope="module")
def shared():
    with TensorServer(*MODELS) as server:
        yield server


@pytest.fixture
def server(shared):
    shared.answer = answer()
    shared.requests.clear()
    return shared


@pytest.fixture
def embed(server, flavour):
    def call(model, texts, **options):
        with InferenceClient(model, server.url) as client:
            return flavour(client).embed(texts, **options)

    return call


@pytest.mark.parametrize("model", ["batched", "single", "free", "half", "brain"])
@pytest.mark.parametrize("count", [1, 4, 11])
def test_each_text_has_its_row(embed, model, count):
    vectors = embed(model, ["ä" * n for n in range(count)])
    assert vectors.dtype == np.float32
    assert vectors.shape == (count, 3)
    assert vectors[:, 0].tolist() == [2 * n for n in range(count)]


def test_one_text_is_one_row(embed):
    assert embed("batched", "abc").tolist() == [[3, 3, 3]]


def test_any_iterable_of_texts_will_do(embed):
    assert embed("batched", (text for text in ("a", "bb")))[:, 0].tolist() == [1, 2]


@pytest.mark.parametrize(("model", "width"), [("batched", 3), ("brain", 0)])
def test_no_texts_are_no_rows(server, embed, model, width):
    assert embed(model, []).shape == (0, width)
    assert not server.requests


def test_batches_are_as_large_as_the_model_takes(server, embed):
    embed("batched", ["a"] * 10)
    assert sorted(request.inputs[0].shape[0] for request in server.requests) == [2, 4, 4]


def test_the_size_of_batches_can_be_chosen(server, embed):
    embed("batched", ["a"] * 5, batch_size=2, concurrency=1)
    assert [list(request.inputs[0].shape) for request in server.requests] == [[2, 1], [2, 1], [1, 1]]


def test_a_model_without_a_batch_dimension_gets_one_text_at_a_time(server, embed):
    embed("free", ["a", "b"])
    assert [list(request.inputs[0].shape) for request in server.requests] == [[1], [1]]


def test_a_server_that_does_not_tell_the_size_of_batches_can_be_told_it(server, flavour, monkeypatch):
    """The metadata of a model, which is all that other servers have, do not say which dimension is the batch."""
    monkeypatch.setattr(server, "with_config", False)
    known = signature("free", TEXT, {"v": ("FP32", (3,))}, max_batch_size=4)
    with InferenceClient("free", server.url, signature=known) as client:
        vectors = flavour(client).embed(["a", "bc"] * 3, concurrency=1)
    assert vectors.tolist() == [[1.0] * 3, [2.0] * 3] * 3
    assert [list(request.inputs[0].shape) for request in server.requests] == [[4, 1], [2, 1]]


def test_a_batch_size_says_that_the_first_dimension_of_metadata_is_the_batch(server, flavour, monkeypatch):
    """I-M2."""
    monkeypatch.setattr(server, "with_config", False)
    with InferenceClient("batched", server.url) as client:
        vectors = flavour(client).embed(["a", "bc", "def"], batch_size=2, concurrency=1)
        assert vectors.tolist() == [[1.0] * 3, [2.0] * 3, [3.0] * 3]
        assert [list(request.inputs[0].shape) for request in server.requests] == [[2, 1], [1, 1]]
        many = [["a"], ["bc"], ["def"]]
        results = list(flavour(client).map(many, batch_size=3, concurrency=1, outputs=["v"]))
    assert [result["v"].tolist() for result in results] == [[[1.0] * 3], [[2.0] * 3], [[3.0] * 3]]
    assert list(server.requests[-1].inputs[0].shape) == [3, 1]


def test_only_the_vectors_are_asked_for(server, embed):
    embed("two", ["a"], output="w")
    assert [item.name for item in server.requests[0].outputs] == ["w"]


def test_dimensions_of_one_do_no_harm(server, embed):
    server.answer = answer(shape=lambda count: (count, 1, 3))
    assert embed("tokens", ["a", "b"]).shape == (2, 3)


def test_vectors_of_tokens_are_refused(server, embed):
    server.answer = answer(width=6, shape=lambda count: (count, 2, 3))
    with pytest.raises(ProtocolError, match=r"one vector for each of 2 texts, not the shape \[2, 2, 3\]"):
        embed("tokens", ["a", "b"])


def test_vectors_of_different_lengths_are_refused(server, embed):
    def respond(request):
        return answer(width=len(decode_bytes_tensor(request.raw_input_contents[0])[0]))(request)

    server.answer = respond
    with pytest.raises(ProtocolError, match="must have vectors of 1 numbers as before, not of 2"):
        embed("single", ["a", "bb"], concurrency=1)


@pytest.mark.parametrize(
    ("model", "texts", "options", "message"),
    [
        ("batched", 3, {}, "texts must be a str or a list of str, not int"),
        ("batched", ["a", 3], {}, r"texts\[1\] must be a str, not int"),
        ("batched", ["a"], {"batch_size": 5}, "batch_size must be from 1 to 4, .* not 5"),
        ("batched", ["a"], {"batch_size": True}, "batch_size must be from 1 to 4"),
        ("batched", ["a"], {"output": "x"}, "no output 'x': the outputs are 'v'"),
        ("batched", ["a"], {"outputs": ["v"]}, "choose the output with the vectors as output="),
        ("batched", ["a"], {"request_id": "v"}, "request_id must be left out here"),
        ("two", ["a"], {"output": "n"}, "output 'n' must be one of FP16.* not INT32"),
        (
            "two",
            ["a"],
            {},
            "'two' must have one output of floating-point numbers for embed, not .*: choose one with output=",
        ),
        (
            "classes",
            ["a"],
            {},
            "'classes' must have one output of floating-point numbers for embed, not .*: use infer",
        ),
        ("numbers", ["a"], {}, "'numbers' must have one BYTES input for embed, not 'x' FP32: use infer"),
        ("pair", ["a"], {}, "'pair' must have one BYTES input for embed, not 'a' BYTES, 'b' BYTES"),
        ("many", ["a"], {}, r"input 'a' must hold one text for embed, not the shape \[2\]"),
    ],
)
def test_what_cannot_be_embedded_is_said(server, embed, model, texts, options, message):
    with pytest.raises(ConfigurationError, match=message):
        embed(model, texts, **options)
    assert not server.requests


@pytest.mark.parametrize("texts", [["a"], ["a", "bc"]])
def test_vectors_without_numbers_break_the_protocol(server, embed, texts):
    """I-F13."""
    server.answer = answer(width=0)
    with pytest.raises(ProtocolError, match="must have one vector for each of"):
        embed("brain", texts)
