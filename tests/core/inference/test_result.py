"""The outputs of one request: a mapping of arrays with facts, the only output, and rows of a batch."""

from __future__ import annotations

import numpy as np
import pytest

from nupic_client._core.inference.result import Classification, InferenceResult
from nupic_client.errors import ConfigurationError

X = np.arange(6, dtype=np.float32).reshape(3, 2)
Y = np.array(["a", "b", "c"], dtype=object)


def result(**arrays):
    return InferenceResult(arrays, model="m", version="2", request_id="r1", parameters={"a": 1})


def test_results_are_equal_where_their_outputs_are():
    """A mapping that compares arrays by == raises."""
    found = result(x=X, y=Y)
    assert found == result(x=X.copy(), y=Y.copy()) == {"x": X, "y": Y}
    assert found != result(x=X)
    assert found != result(x=X.astype("f8"), y=Y)
    assert found != result(x=X + 1, y=Y)
    assert found != result(x=X[:1], y=Y)
    assert found != "x"
    assert found != {"x": [1], "y": Y}
    assert found in [result(), found]
    with pytest.raises(TypeError, match="unhashable"):
        hash(found)


def test_it_is_a_mapping_in_the_order_of_the_server():
    found = result(y=Y, x=X)
    assert list(found) == ["y", "x"]
    assert len(found) == 2
    assert found["x"] is X
    assert "z" not in found
    with pytest.raises(KeyError):
        found["z"]


def test_it_has_the_facts_of_the_response():
    found = result(x=X)
    assert (found.model, found.version, found.request_id, found.parameters) == ("m", "2", "r1", {"a": 1})
    bare = InferenceResult({}, model="m")
    assert (bare.version, bare.request_id, dict(bare.parameters)) == ("", "", {})


def test_it_does_not_change_with_the_mapping_it_came_from():
    arrays = {"x": X}
    found = InferenceResult(arrays, model="m")
    arrays["y"] = Y
    assert list(found) == ["x"]


def test_the_only_output_can_be_had_without_its_name():
    assert result(x=X).only is X


@pytest.mark.parametrize(("arrays", "words"), [({"x": X, "y": Y}, "'x', 'y'"), ({}, "none")])
def test_another_number_of_outputs_is_an_error_with_their_names(arrays, words):
    with pytest.raises(ConfigurationError, match="'m'") as caught:
        _ = result(**arrays).only
    assert words in str(caught.value)
    with pytest.raises(ConfigurationError):
        np.asarray(result(**arrays))


def test_the_rows_of_a_batch_are_views_with_the_same_facts():
    rows = result(x=X, y=Y).rows(1, 2)
    assert rows["x"].tolist() == [[2, 3]]
    assert rows["y"].tolist() == ["b"]
    assert np.shares_memory(rows["x"], X)
    assert (rows.model, rows.version, rows.request_id, rows.parameters) == ("m", "2", "r1", {"a": 1})


def test_it_stands_for_its_only_array():
    assert np.asarray(result(x=X)) is X
    assert np.asarray(result(x=X), np.float32) is X
    assert np.asarray(result(x=X), np.float64).dtype == np.float64
    assert result(x=X).__array__(np.float64).dtype == np.float64


def test_a_copy_is_one():
    copied = np.array(result(x=X))
    assert not np.shares_memory(copied, X)
    assert copied.tolist() == X.tolist()
    assert not np.shares_memory(result(x=X).__array__(copy=True), X)
    assert result(x=X).__array__(copy=False) is X


def test_the_repr_has_types_and_shapes_and_no_content():
    assert repr(result(x=X, y=Y)) == "InferenceResult(model='m', x: float32 (3, 2), y: object (3,))"


# Parameters of outputs, and classes


def test_the_parameters_of_outputs_stay_with_rows():
    found = InferenceResult(
        {"a": np.zeros((2, 1)), "b": np.zeros((2, 1))},
        model="m",
        output_parameters={"a": {"content_type": "np"}},
    )
    for each in (found, found.rows(0, 1)):
        assert each.output_parameters == {"a": {"content_type": "np"}, "b": {}}
        assert each.output_parameters["b"] == {}
    assert InferenceResult({"a": np.zeros(1)}, model="m").output_parameters == {"a": {}}


def classified(elements, shape):
    array = np.empty(len(elements), object)
    array[:] = elements
    return InferenceResult({"p": array.reshape(shape), "x": np.zeros(1, np.float32)}, model="m")


def test_classes_are_read_row_by_row():
    found = classified(["0.900000:1:cat", "0.100000:0", "7:3:a:b", "-inf:2"], (2, 2))
    assert found.classes("p") == [
        [Classification(0.9, 1, "cat"), Classification(0.1, 0)],
        [Classification(7.0, 3, "a:b"), Classification(-np.inf, 2)],
    ]
    assert found.rows(0, 1).classes("p") == [found.classes("p")[0]]


def test_classes_of_a_model_without_a_batch_are_one_list():
    assert classified([b"0.5:1:\xc3\xa4"], (1,)).classes("p") == [Classification(0.5, 1, "ä")]


@pytest.mark.parametrize("elements", [["no"], ["1:x"], ["a:1"], [b"\xff:1"], [1.5]])
def test_texts_that_are_no_classes_are_refused(elements):
    with pytest.raises(ConfigurationError, match=r"output 'p' .* must hold classes, not object"):
        classified(elements, (1,)).classes("p")


def test_classes_that_were_not_asked_for_are_refused():
    with pytest.raises(
        ConfigurationError, match=r"must hold classes, not float32 .*: ask for them with outputs=\{'x': 3\}"
    ):
        classified(["1:1"], (1,)).classes("x")
    with pytest.raises(ConfigurationError, match="has no output 'q'"):
        classified(["1:1"], (1,)).classes("q")
