"""Texts to one matrix: which input and output they take, how they are batched, and where each row belongs."""

from __future__ import annotations

import numpy as np
import pytest
from core.replies import array_signature, ask, inference_request
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.calls.flows import ReadClock
from nupic_client._core.calls.models import ModelDirectory
from nupic_client._core.inference.embedding import EmbeddingBatcher, check_texts, prepare_embedding
from nupic_client._core.inference.inputs import encode_inputs
from nupic_client._core.inference.result import InferenceResult
from nupic_client._core.kserve.wire import RequestedOutput
from nupic_client.errors import ConfigurationError, ConnectionFailedError, ProtocolError
from nupic_client.registry import ModelSpec

TEXT = {"text": ("BYTES", (1,))}
VECTOR = {"v": ("FP32", (3,))}
BATCHED = array_signature(TEXT, VECTOR, max_batch_size=4)
SINGLE = array_signature(TEXT, VECTOR)
TWO = array_signature(
    TEXT, {"v": ("FP32", (3,)), "w": ("FP16", (3,)), "n": ("INT32", (1,))}, max_batch_size=4
)


def batcher(texts, model=BATCHED, **choices):
    return EmbeddingBatcher(inference_request(single=False), model, tuple(texts), **choices)


def result(array, name="v"):
    return InferenceResult({name: np.asarray(array)}, model="model", request_id="r1")


def vectors(count, start=0, width=3):
    """Make a vector for each of so many texts, of the number of the text."""
    return np.repeat(np.arange(start, start + count, dtype=np.float32)[:, None], width, axis=1)


# Texts


@pytest.mark.parametrize(
    ("given_texts", "taken"),
    [
        ("abc", ("abc",)),
        ("", ("",)),
        (["a", "b"], ("a", "b")),
        ([], ()),
        (iter(["a"]), ("a",)),
        (("a",), ("a",)),
    ],
)
def test_one_text_or_any_number_of_them(given_texts, taken):
    assert check_texts(given_texts) == taken


@pytest.mark.parametrize(
    ("texts", "words"), [(3, "texts"), (None, "texts"), (["a", 3], "texts[1]"), ([b"a"], "texts[0]")]
)
def test_what_is_no_text_is_an_error_that_says_which(texts, words):
    with pytest.raises(ConfigurationError) as caught:
        check_texts(texts)
    assert words in str(caught.value)


# The requests


def test_only_the_vectors_are_asked_for():
    assert batcher(["a"]).request.outputs == (RequestedOutput("v"),)
    assert batcher(["a"], TWO, output="w").request.outputs == (RequestedOutput("w"),)
    assert batcher(["a"]).signature is BATCHED


def test_batches_are_as_large_as_the_model_takes():
    found = [inputs["text"] for inputs in batcher("abcdefghij").inputs()]
    assert found == [[*"abcd"], [*"efgh"], [*"ij"]]


def test_batches_may_be_smaller():
    assert [inputs["text"] for inputs in batcher("abc", batch_size=2).inputs()] == [["a", "b"], ["c"]]


@pytest.mark.parametrize("shape", [(), (1,), (-1,), (1, 1)])
def test_a_model_without_a_batch_gets_one_text_at_a_time(shape):
    model = array_signature({"text": ("BYTES", shape)}, VECTOR)
    found = [np.array(inputs["text"], object) for inputs in batcher(["a", "b"], model).inputs()]
    assert [array.shape for array in found] == [(1,) * len(shape)] * 2
    assert [array.item() for array in found] == ["a", "b"]


@pytest.mark.parametrize("model", [BATCHED, SINGLE, array_signature({"text": ("BYTES", (-1, 1))}, VECTOR)])
def test_the_inputs_are_what_the_model_takes(model):
    assert [encode_inputs(model, inputs).rows for inputs in batcher(["a"], model).inputs()] in ([1], [None])


def test_no_texts_take_no_request():
    assert list(batcher([]).inputs()) == []


@pytest.mark.parametrize("size", [0, 5, -1, True, 1.0, "2"])
def test_a_batch_size_that_the_model_does_not_take_is_an_error(size):
    with pytest.raises(ConfigurationError, match="batch_size"):
        batcher(["a"], batch_size=size)


def test_without_a_batch_dimension_the_batch_is_one():
    assert batcher(["a"], SINGLE, batch_size=1)
    with pytest.raises(ConfigurationError, match="batch_size"):
        batcher(["a"], SINGLE, batch_size=2)


# The model


def test_an_optional_input_does_no_harm():
    model = array_signature({"text": ("BYTES", (1,)), "k": ("INT32", (1,))}, VECTOR, optional=("k",))
    assert [list(inputs) for inputs in batcher(["a"], model).inputs()] == [["text"]]
    both = array_signature({"text": ("BYTES", (1,)), "k": ("INT32", (1,))}, VECTOR, optional=("k", "text"))
    assert [list(inputs) for inputs in batcher(["a"], both).inputs()] == [["text"]]


@pytest.mark.parametrize(
    "inputs",
    [
        {"x": ("FP32", (3,))},
        {"a": ("BYTES", (1,)), "b": ("BYTES", (1,))},
        {"a": ("BYTES", (1,)), "b": ("INT32", (1,))},
        {"a": ("BYTES", (2,))},
        {},
    ],
)
def test_a_model_that_does_not_take_one_text_is_an_error_with_its_name(inputs):
    with pytest.raises(ConfigurationError, match="infer") as caught:
        batcher(["a"], array_signature(inputs, VECTOR))
    assert all(repr(name) in str(caught.value) for name in inputs)


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "BF16"])
def test_vectors_are_of_any_floating_point_type(datatype):
    model = array_signature(TEXT, {"n": ("INT64", (1,)), "v": (datatype, (3,))})
    assert batcher(["a"], model).request.outputs == (RequestedOutput("v"),)


@pytest.mark.parametrize("outputs", [{"n": ("INT32", (1,))}, {}, {"v": ("FP32", (3,)), "w": ("FP64", (3,))}])
def test_a_model_that_does_not_give_one_vector_is_an_error_with_its_name(outputs):
    with pytest.raises(ConfigurationError, match="'model'"):
        batcher(["a"], array_signature(TEXT, outputs))


@pytest.mark.parametrize("name", ["n", "nope"])
def test_an_output_that_is_no_vector_cannot_be_chosen(name):
    with pytest.raises(ConfigurationError, match=f"'{name}'"):
        batcher(["a"], TWO, output=name)


# The matrix


def test_each_text_has_its_row_in_whatever_order_results_come():
    full = batcher("abcdefghij")
    for index in (2, 0, 1):
        full.add(index, result(vectors(min(4, 10 - index * 4), index * 4)))
    matrix = full.matrix()
    assert (matrix.dtype, matrix.shape) == (np.float32, (10, 3))
    assert matrix[:, 0].tolist() == list(range(10))


@given(st.integers(0, 20), st.integers(1, 4), st.integers(1, 5), st.randoms(use_true_random=False))
def test_any_number_of_texts_in_any_batches_in_any_order(count, size, width, random):
    full = batcher(["a"] * count, batch_size=size)
    sizes = [len(inputs["text"]) for inputs in full.inputs()]
    order = list(range(len(sizes)))
    random.shuffle(order)
    for index in order:
        full.add(index, result(vectors(sizes[index], index * size, width)))
    matrix = full.matrix()
    assert matrix.shape == (count, width if count else 3)
    assert matrix[:, 0].tolist() == list(range(count))


@pytest.mark.parametrize(
    ("outputs", "width"), [({"v": ("FP32", (7,))}, 7), ({"v": ("FP32", (-1,))}, 0), ({"v": ("FP32", ())}, 0)]
)
def test_no_texts_are_no_rows_as_wide_as_the_model_declares(outputs, width):
    assert batcher([], array_signature(TEXT, outputs)).matrix().shape == (0, width)


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 3), (1, 2, 3), (2, 1, 1, 3)])
def test_dimensions_of_one_do_no_harm(shape):
    full = batcher(["a", "b"])
    full.add(0, result(vectors(2).reshape(shape)))
    assert full.matrix().tolist() == vectors(2).tolist()


@pytest.mark.parametrize(("array", "row"), [(np.float32([1, 2, 3]), [1, 2, 3]), (np.float32(5), [5])])
def test_one_text_may_have_one_vector_or_one_number(array, row):
    full = batcher(["a"], SINGLE)
    full.add(0, result(array))
    assert full.matrix().tolist() == [row]


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_vectors_of_another_precision_become_float32(dtype):
    full = batcher(["a"])
    full.add(0, result(vectors(1).astype(dtype)))
    assert full.matrix().dtype == np.float32


@pytest.mark.parametrize("shape", [(2, 2, 3), (3, 3), (1, 3), (6,), (0, 3)])
def test_another_number_of_vectors_breaks_the_protocol(shape):
    with pytest.raises(ProtocolError, match="'v'") as caught:
        batcher(["a", "b"]).add(0, result(np.zeros(shape, np.float32)))
    assert (caught.value.model, caught.value.request_id) == ("model", "r1")


def test_the_last_batch_has_as_many_vectors_as_texts():
    full = batcher("abcde")
    with pytest.raises(ProtocolError):
        full.add(1, result(vectors(4)))
    full.add(1, result(vectors(1)))


def test_vectors_of_different_lengths_break_the_protocol():
    full = batcher("abcdefgh")
    full.add(1, result(vectors(4, width=3)))
    with pytest.raises(ProtocolError, match="'v'") as caught:
        full.add(0, result(vectors(4, width=2)))
    assert (caught.value.model, caught.value.request_id) == ("model", "r1")


# The plan


def test_the_model_is_found_first():
    models = ModelDirectory()
    models.remember(ModelSpec(name="model"), TWO)
    flow = prepare_embedding(inference_request(single=False), ["a"], models, output="w", batch_size=2)
    commands, found = ask(flow)
    assert commands == []
    assert (found.signature, found.request.outputs) == (TWO, (RequestedOutput("w"),))


def test_the_question_for_the_model_has_the_deadline_and_the_retries_of_the_call():
    """It had none: a server that took the connection and said nothing held the first `embed` for ever."""
    request = inference_request(single=False, timeout=3.0)
    flow = prepare_embedding(request, ["a"], ModelDirectory())
    fault = ConnectionFailedError("no", retryable=True)
    with pytest.raises(ConnectionFailedError) as caught:
        ask(flow, fault, 0.5, None, fault, 0.5, None, fault)
    assert len(caught.value.attempts) == 3
    flow = prepare_embedding(request, ["a"], ModelDirectory())
    assert isinstance(next(flow), ReadClock)
    assert isinstance(flow.send(1.0), ReadClock)
    assert flow.send(1.0).timeout == 3.0
