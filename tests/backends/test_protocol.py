from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client.backends.protocol import make_tensor
from nupic_client.errors import ConfigurationError
from nupic_client.signature import ModelSignature, TensorSpec


def tensor(datatype, value, shape=(1,), max_batch_size=0):
    spec = TensorSpec("x", datatype, shape)
    signature = ModelSignature("llm", {"x": spec}, {}, max_batch_size=max_batch_size)
    return make_tensor(spec, value, signature)


@pytest.mark.parametrize(
    ("shape", "max_batch_size", "expected"),
    [
        ((1,), 0, (1,)),
        ((1,), 8, (1, 1)),
        ((1, 1), 0, (1, 1)),
        ((-1,), 0, (1,)),
        ((-1,), 8, (1, 1)),
        ((-1, 1), 0, (1, 1)),
        ((), 0, ()),
        ((), 8, (1,)),
    ],
)
def test_one_element_takes_the_declared_shape(shape, max_batch_size, expected):
    assert tensor("INT32", 5, shape, max_batch_size).shape == expected


@pytest.mark.parametrize(
    ("shape", "max_batch_size", "expected"),
    [
        ((-1,), 0, (4,)),
        ((-1,), 8, (1, 4)),
        ((-1, 2), 0, (2, 2)),
        ((2, -1), 0, (2, 2)),
        ((-1, -1), 0, (1, 4)),
        ((4,), 0, (4,)),
    ],
)
def test_the_innermost_free_dimension_takes_the_elements(shape, max_batch_size, expected):
    assert tensor("INT32", [1, 2, 3, 4], shape, max_batch_size).shape == expected


@pytest.mark.parametrize("shape", [(1,), (3,), (-1, 3), ()])
def test_elements_that_do_not_fill_the_shape_are_an_error(shape):
    with pytest.raises(ConfigurationError, match="4 elements do not fit"):
        tensor("INT32", [1, 2, 3, 4], shape)


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("BYTES", "text"),
        ("BYTES", b"bytes"),
        ("BOOL", True),
        ("INT32", 5),
        ("UINT64", 2**64 - 1),
        ("FP32", 0.5),
        ("FP32", 1),
        ("FP64", 0.5),
    ],
)
def test_a_value_of_the_inputs_kind_is_kept_as_it_is(datatype, value):
    made = tensor(datatype, value)
    assert (made.datatype, made.values) == (datatype, (value,))


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("BYTES", 5),
        ("BYTES", None),
        ("BOOL", 1),
        ("BOOL", "true"),
        ("INT32", 0.5),
        ("INT32", True),
        ("INT32", "5"),
        ("FP32", True),
        ("FP32", "0.5"),
        ("FP32", [0.5]),
    ],
)
def test_a_value_of_another_kind_is_an_error_that_names_the_input(datatype, value):
    with pytest.raises(ConfigurationError, match=f"'x' must be {datatype}"):
        tensor(datatype, [value], (-1,))


@pytest.mark.parametrize("datatype", ["BF16", "TYPE_99", ""])
def test_a_data_type_that_cannot_be_sent_is_an_error(datatype):
    with pytest.raises(ConfigurationError, match="cannot be sent"):
        tensor(datatype, 1)


@given(
    st.lists(st.integers(-1, 4), max_size=3).map(tuple),
    st.lists(st.integers(0, 9), max_size=12),
    st.integers(0, 1),
)
def test_the_shape_that_is_made_holds_all_elements_or_it_is_an_error(shape, values, max_batch_size):
    try:
        made = tensor("INT32", values, shape, max_batch_size)
    except ConfigurationError:
        return
    size = 1
    for dimension in made.shape:
        assert dimension >= 0
        size *= dimension
    assert size == len(values)


def test_a_text_for_another_kind_of_input_is_not_shown():
    with pytest.raises(ConfigurationError, match="must be INT32, not str") as caught:
        tensor("INT32", "my secret prompt")
    assert "secret" not in str(caught.value)
