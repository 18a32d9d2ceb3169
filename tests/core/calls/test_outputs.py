"""The outputs that a caller asks for: lists of names, mappings to what is asked of each, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
from core.replies import array_signature

from nupic_client._core.calls.outputs import check_output, output_names, requested_outputs
from nupic_client._core.kserve.wire import RequestedOutput
from nupic_client.errors import ConfigurationError
from nupic_client.shared_memory_places import SharedMemoryOutput

MODEL = array_signature({"x": ("INT32", (-1,))}, {"scores": ("FP32", (-1,)), "text": ("BYTES", (-1,))})


def test_a_list_of_names_asks_nothing_special():
    assert requested_outputs(["a", "b"]) == (RequestedOutput("a"), RequestedOutput("b"))
    assert output_names(iter(["a", "b"])) == ("a", "b")
    assert requested_outputs(None) == output_names(None) == output_names([]) == ()


def test_a_mapping_says_what_is_asked_of_each():
    assert requested_outputs({"a": 3, "b": np.int64(2), "c": None, "d": {"content_type": "np"}}) == (
        RequestedOutput("a", {"classification": 3}),
        RequestedOutput("b", {"classification": 2}),
        RequestedOutput("c"),
        RequestedOutput("d", {"content_type": "np"}),
    )


@pytest.mark.parametrize("classes", [0, -1, True, 2.5, "3", 2**63, [1]])
def test_a_wrong_number_of_classes_is_refused(classes):
    wanted = "outputs['p'] must be a number of classes, a mapping of parameters, a place in shared memory or None, not"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(wanted)}"):
        requested_outputs({"p": classes})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({1: None}, "outputs must be a list of names, not the int 1"),
        (
            {"p": {"triton_a": 1}},
            "the parameters of output 'p' must not have names that begin with 'triton_'",
        ),
        ({"p": {"a": None}}, "parameter 'a' must be a bool"),
        ("p", "outputs must be a list of names, not the str 'p': put it into a list"),
        (["p", 1], "outputs must be a list of names, not the int 1"),
        (5, "outputs must be a list of names, not the int 5"),
    ],
)
def test_wrong_outputs_are_refused(given, message):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}") as caught:
        requested_outputs(given)
    assert caught.value.parameter == "outputs"


def test_where_names_are_wanted_a_mapping_is_refused():
    with pytest.raises(ConfigurationError, match=r"^outputs must be a list of names, not the dict"):
        output_names({"a": 1})


def test_an_output_that_the_model_does_not_have_is_refused_with_the_nearest():
    check_output(MODEL, "scores")
    with pytest.raises(ConfigurationError, match=r"has no output 'score': did you mean 'scores'"):
        check_output(MODEL, "score")


def test_a_place_in_shared_memory():
    place = SharedMemoryOutput(region="a", byte_size=8, offset=4)
    (output,) = requested_outputs({"p": place})
    assert (output.name, output.place) == ("p", place)
    assert output.parameters == {
        "shared_memory_region": "a",
        "shared_memory_byte_size": 8,
        "shared_memory_offset": 4,
    }
