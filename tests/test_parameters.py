"""Parameters of requests, inputs and outputs: every type of the protocol, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from nupic_client import ConfigurationError, InferInput
from nupic_client._parameters import NO_PARAMETERS, check_parameters


def test_every_type_of_the_protocol_is_taken_as_pythons_own():
    given = {
        "bool": np.True_,
        "int": np.int64(-1),
        "uint": 2**64 - 1,
        "numpy": np.uint64(2**63),
        "double": np.float64(0.5),
        "float": np.float32(0.25),
        "string": "ä",
        "empty": "",
    }
    found = check_parameters(given)
    assert found == {
        "bool": True,
        "int": -1,
        "uint": 2**64 - 1,
        "numpy": 2**63,
        "double": 0.5,
        "float": 0.25,
        "string": "ä",
        "empty": "",
    }
    assert {type(value) for value in found.values()} == {bool, int, float, str}


def test_none_are_none():
    assert check_parameters(None) == NO_PARAMETERS == {}


@pytest.mark.parametrize("value", [None, b"x", 2**64, -(2**63) - 1, [1], 1j, "\ud800", np.array([1])])
def test_a_value_that_the_protocol_does_not_have_is_refused(value):
    with pytest.raises(
        ConfigurationError, match=r"^parameter 'a' must be a bool, a string, a float or an integer"
    ):
        check_parameters({"a": value})


@pytest.mark.parametrize("name", [1, None, "", "\ud800"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ConfigurationError, match=r"^parameters must have names, not"):
        check_parameters({name: 1})


@pytest.mark.parametrize("name", ["triton_x", "triton_enable_empty_final_response", "triton_"])
def test_a_name_that_the_server_keeps_for_itself_is_refused(name):
    with pytest.raises(
        ConfigurationError, match=r"^parameters must not have names that begin with 'triton_'"
    ):
        check_parameters({name: 1})
    assert check_parameters({"tritonish": 1}) == {"tritonish": 1}


@pytest.mark.parametrize("value", [1, "a", ["a"], [("a", 1)]])
def test_what_is_no_mapping_is_refused(value):
    with pytest.raises(ConfigurationError, match=r"^parameters must be a mapping of names to values, not"):
        check_parameters(value)


def test_an_input_checks_its_parameters():
    with pytest.raises(
        ConfigurationError, match=r"^the parameters of an InferInput must not have names that begin"
    ):
        InferInput([1], {"triton_x": 1})
    given = {"a": 1}
    made = InferInput([1], given)
    given["a"] = 2
    assert made.parameters == {"a": 1}
    assert InferInput([1], parameters=None).parameters == {}


def test_an_input_does_not_show_its_data():
    assert repr(InferInput("secret", {"a": 1})) == "InferInput(parameters={'a': 1})"
