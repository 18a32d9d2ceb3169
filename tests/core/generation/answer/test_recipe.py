"""Where name, arguments and id of a call are: what a transform says."""

from __future__ import annotations

import pytest

from nupic_client._core.generation.answer.recipe import Source, recipe_of
from nupic_client.prompts import AnswerField


def recipe(transform, **values):
    return recipe_of(
        AnswerField(
            name="tool_calls", open_pattern="<(?P<who>a)>", content="json", transform=transform, **values
        )
    )


def test_a_whole_function():
    made = recipe({"type": "function", "function": "{content}"})
    assert made.name == Source((("name",), ("function", "name")))
    assert made.arguments.paths[:2] == (("arguments",), ("parameters",))
    assert made.in_content


def test_paths_groups_and_constants():
    made = recipe({"function": {"name": "{who}", "arguments": "{content}"}})
    assert made.name.outside({"who": "f"}) == "f"
    assert not made.in_content
    assert recipe(
        {"function": {"name": "{content.fn.name}", "arguments": "{content.fn.args}"}}
    ).arguments.paths == (("fn", "args"),)
    assert recipe({"function": {"name": "fixed", "arguments": "{content}"}}).name.outside({}) == "fixed"


def test_each():
    made = recipe(
        {"id": "{tool_call_id}", "function": {"name": "{tool_name}", "arguments": "{p.q}"}},
        transform_each=True,
    )
    assert (made.name.paths, made.arguments.paths, made.id.paths) == (
        (("tool_name",),),
        (("p", "q"),),
        (("tool_call_id",),),
    )


@pytest.mark.parametrize("transform", [["{content}"], {"function": ["{content}"]}, "{content}"])
def test_what_is_no_function_is_read_as_usual(transform):
    assert ("name",) in recipe(transform).name.paths


def test_unknown_placeholders_are_nothing():
    assert recipe({"function": {"name": "{nobody}", "arguments": 5}}).name == Source()
