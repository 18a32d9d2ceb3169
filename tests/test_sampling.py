from __future__ import annotations

import contextlib
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client.errors import ConfigurationError
from nupic_client.sampling import MAX_STOP_STRINGS, OPTION_NAMES, SamplingParams

NUMBERS = {
    "temperature": ([0, 0.0, 1, 2.5, 100], [-0.1, float("nan"), float("inf")]),
    "top_p": ([0.01, 1, 1.0], [0, -1, 1.01, float("nan")]),
    "min_p": ([0, 0.5, 1], [-0.1, 1.1]),
    "repetition_penalty": ([0.1, 1, 2.0], [0, -1, float("inf")]),
    "presence_penalty": ([-2, 0, 2], [-2.1, 2.1]),
    "frequency_penalty": ([-2, 0, 2], [-2.1, 2.1]),
}
INTEGERS = {
    "max_tokens": ([1, 2**31 - 1], [0, -1, 2**31]),
    "top_k": ([0, 1, 2**31 - 1], [-1, 2**31]),
    "seed": ([0, 2**64 - 1], [-1, 2**64]),
}


def cases(table, which):
    return [(name, value) for name, values in table.items() for value in values[which]]


@pytest.mark.parametrize(("name", "value"), cases(NUMBERS, 0))
def test_a_number_in_its_range_becomes_a_float(name, value):
    found = getattr(SamplingParams(**{name: value}), name)
    assert (type(found), found) == (float, value)


@pytest.mark.parametrize(("name", "value"), cases(INTEGERS, 0))
def test_an_integer_in_its_range_is_kept(name, value):
    assert getattr(SamplingParams(**{name: value}), name) == value


@pytest.mark.parametrize(("name", "value"), cases(NUMBERS, 1) + cases(INTEGERS, 1))
def test_a_value_out_of_its_range_is_an_error_that_names_the_option(name, value):
    with pytest.raises(ConfigurationError, match=f"{name} must be"):
        SamplingParams(**{name: value})


@pytest.mark.parametrize("value", [True, "0.5", None.__class__, [], 1j])
@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_number_is_an_error(name, value):
    with pytest.raises(ConfigurationError, match=f"{name} must be"):
        SamplingParams(**{name: value})


@pytest.mark.parametrize("value", [True, 1.0, "1", [], Decimal(1)])
@pytest.mark.parametrize("name", INTEGERS)
def test_what_is_no_integer_is_an_error(name, value):
    with pytest.raises(ConfigurationError, match=f"{name} must be an integer"):
        SamplingParams(**{name: value})


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), Decimal("0.5"), Fraction(1, 2)])
def test_numbers_of_other_libraries_are_numbers(value):
    found = SamplingParams(temperature=value).temperature
    assert (type(found), found) == (float, 0.5)


def test_integers_of_other_libraries_are_integers():
    found = SamplingParams(max_tokens=np.int64(5)).max_tokens
    assert (type(found), found) == (int, 5)


# Stop strings


def test_one_stop_string_is_a_list_of_one():
    assert SamplingParams(stop="END").stop_strings == ("END",)


def test_stop_strings_keep_their_order_and_are_there_once():
    assert SamplingParams(stop=["b", "a", "b"]).stop_strings == ("b", "a")


@pytest.mark.parametrize("stop", [None, [], ()])
def test_without_stop_strings_there_are_none(stop):
    assert SamplingParams(stop=stop).stop_strings == ()


@pytest.mark.parametrize("stop", ["", [""], ["a", ""], ["a", 5], [b"a"], b"END"])
def test_a_stop_string_is_a_non_empty_string(stop):
    with pytest.raises(ConfigurationError, match="stop must be a non-empty string"):
        SamplingParams(stop=stop)


def test_too_many_stop_strings_are_a_mistake():
    SamplingParams(stop=[str(number) for number in range(MAX_STOP_STRINGS)])
    with pytest.raises(ConfigurationError, match="at most 64 strings, not 65"):
        SamplingParams(stop=[str(number) for number in range(MAX_STOP_STRINGS + 1)])


# Values


def test_given_yields_only_what_is_set_in_the_documented_order():
    params = SamplingParams(stop="x", temperature=0, max_tokens=5)
    assert list(params.given()) == [("max_tokens", 5), ("temperature", 0.0), ("stop", ("x",))]


def test_parameters_are_immutable_and_hashable_and_can_be_pickled():
    params = SamplingParams(temperature=0.5, stop=["a"])
    with pytest.raises(AttributeError):
        params.temperature = 1
    assert hash(params) == hash(SamplingParams(temperature=0.5, stop=["a"]))
    assert pickle.loads(pickle.dumps(params)) == params


@given(
    st.sampled_from(OPTION_NAMES),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.lists(st.text())
    | st.just(10**400),
)
def test_any_value_is_taken_or_a_configuration_error(name, value):
    with contextlib.suppress(ConfigurationError):
        SamplingParams(**{name: value})
