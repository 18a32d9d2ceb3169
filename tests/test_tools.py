from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import decimal
import enum
import functools
import json
import pickle
import typing
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict, Union

import jsonschema
import pydantic
import pytest
import typing_extensions
from hypothesis import given
from hypothesis import strategies as st

from nupic_client import Tool, ToolCall, to_tools
from nupic_client.errors import ConfigurationError


def weather(city: str, unit: Literal["C", "F"] = "C", days: int = 1) -> str:
    """Tell the weather of a city.

    It knows today and the days after it.

    Args:
        city: the city,
            such as "Paris, France"
        unit (str): of the temperature
        days (int, optional): how many days

    Returns:
        A text.
    """
    return f"{city}: 21 {unit}, {days}"


def test_a_typed_function_with_a_docstring_becomes_a_tool():
    assert Tool.of(weather).as_dict() == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tell the weather of a city.\n\nIt knows today and the days after it.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": 'the city, such as "Paris, France"'},
                    "unit": {
                        "type": "string",
                        "enum": ["C", "F"],
                        "description": "of the temperature",
                        "default": "C",
                    },
                    "days": {"type": "integer", "description": "how many days", "default": 1},
                },
                "required": ["city"],
            },
        },
    }


def test_a_function_without_parameters_and_text():
    def now(): ...

    assert Tool.of(now).as_dict()["function"] == {
        "name": "now",
        "parameters": {"type": "object", "properties": {}},
    }


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    S = 1
    L = 3


@dataclass
class Place:
    """Somewhere."""

    name: str
    near: list[Place] = field(default_factory=list)
    height: float | None = None


class Box(TypedDict):
    colour: Colour
    size: typing_extensions.NotRequired[Size]


class Point(pydantic.BaseModel):
    """A point."""

    x: int
    y: int = pydantic.Field(default=0, ge=0)


class Line(pydantic.BaseModel):
    points: list[Point]


UserId = NewType("UserId", int)
T = typing.TypeVar("T", bound=str)
PLACE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "near": {"type": "array", "items": {"$ref": "#/$defs/Place"}},
        "height": {"anyOf": [{"type": "number"}, {"type": "null"}]},
    },
    "required": ["name"],
}
POINT = {
    "type": "object",
    "description": "A point.",
    "title": "Point",
    "properties": {
        "x": {"type": "integer", "title": "X"},
        "y": {"type": "integer", "title": "Y", "default": 0, "minimum": 0},
    },
    "required": ["x"],
}


def parameters_of(annotation):
    def tool(it):
        return it

    tool.__annotations__ = {"it": annotation}
    return Tool.of(tool)


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (object, {}),
        (decimal.Decimal, {"type": "number"}),
        (dt.datetime, {"type": "string", "format": "date-time"}),
        (dt.date, {"type": "string", "format": "date"}),
        (dt.time, {"type": "string", "format": "time"}),
        (uuid.UUID, {"type": "string", "format": "uuid"}),
        (Path, {"type": "string"}),
        (list, {"type": "array", "items": {}}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (typing.List[int], {"type": "array", "items": {"type": "integer"}}),  # noqa: UP006
        (Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (Iterable[str], {"type": "array", "items": {"type": "string"}}),
        (set[int], {"type": "array", "items": {"type": "integer"}}),
        (tuple, {"type": "array", "items": {}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (
            tuple[int, str],
            {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (dict, {"type": "object"}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Mapping[str, Any], {"type": "object", "additionalProperties": True}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),  # noqa: UP007
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1, None], {"enum": ["a", 1, None]}),  # noqa: PYI061
        (Literal[Colour.RED], {"type": "string", "enum": ["red"]}),
        (Colour, {"type": "string", "enum": ["red", "blue"]}),
        (Size, {"type": "integer", "enum": [1, 3]}),
        (Annotated[str, "a city"], {"type": "string", "description": "a city"}),
        (Annotated[Annotated[str, "inner"], 5], {"type": "string", "description": "inner"}),
        (Annotated[int, typing_extensions.Doc("a number")], {"type": "integer", "description": "a number"}),
        (
            Annotated[int, pydantic.Field(ge=1, le=5, description="stars")],
            {"type": "integer", "minimum": 1, "maximum": 5, "description": "stars"},
        ),
        (UserId, {"type": "integer"}),
        (T, {"type": "string"}),
        (Place, {"$ref": "#/$defs/Place"}),
        (Box, {"$ref": "#/$defs/Box"}),
        (Point, {key: value for key, value in POINT.items() if key != "title"}),
        ("int | None", {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    ],
)
def test_the_schema_of_a_type(annotation, schema):
    tool = parameters_of(annotation)
    assert tool.parameters["properties"]["it"] == schema
    jsonschema.Draft202012Validator.check_schema(tool.parameters)


def test_classes_are_defined_once_and_may_contain_themselves():
    def go(a: Place, b: list[Place], c: Line, d: Box): ...

    schema = Tool.of(go).parameters
    assert schema["$defs"]["Place"] == PLACE
    assert schema["$defs"]["Box"] == {
        "type": "object",
        "properties": {
            "colour": {"type": "string", "enum": ["red", "blue"]},
            "size": {"type": "integer", "enum": [1, 3]},
        },
        "required": ["colour"],
    }
    assert schema["properties"]["c"]["properties"]["points"]["items"] == {"$ref": "#/$defs/Point"}
    assert schema["$defs"]["Point"] == POINT


def test_two_classes_of_one_name():
    def make(kind):
        @dataclass
        class Place:
            it: kind

        return Place

    class Outer(pydantic.BaseModel):
        class Place(pydantic.BaseModel):
            other: str

        place: Place

    def go(a, b, c): ...

    go.__annotations__ = {"a": make(int), "b": make(str), "c": Outer}
    with pytest.raises(ConfigurationError, match="'kind' is not defined"):
        Tool.of(go)  # what is not there at run time

    go.__annotations__ = {"a": Place, "b": Outer, "c": int}
    schema = Tool.of(go).parameters
    assert schema["$defs"]["Place"] == PLACE
    assert schema["properties"]["b"]["properties"]["place"] == {"$ref": "#/$defs/Place2"}
    assert schema["$defs"]["Place2"]["required"] == ["other"]


@pytest.mark.parametrize(
    "annotation", [bytes, complex, type, dict[int, str], typing.Callable, Literal[b"x"], Tool]
)
def test_a_type_without_a_form_in_json(annotation):
    if annotation is Tool:
        annotation = type("Custom", (), {})
    with pytest.raises(
        ConfigurationError, match="parameter 'it' of tool 'tool' must have a type that JSON can hold"
    ):
        parameters_of(annotation)


def test_types_that_only_type_checkers_see():
    def go(it: Nowhere): ...  # noqa: F821

    with pytest.raises(ConfigurationError, match="types of tool 'go' cannot be read: name 'Nowhere'"):
        Tool.of(go)


def test_what_is_bound_is_no_parameter():
    class Shop:
        def sell(self, item: str, key: str, *, count: int = 1) -> tuple[str, str, int]:
            """Sell an item."""
            return item, key, count

        @classmethod
        def open(cls, hour: int) -> int:
            return hour

        @staticmethod
        def close(hour: int) -> int:
            return hour

    sell = Tool.of(functools.partial(Shop().sell, key="secret"))
    assert (sell.name, sell.description) == ("sell", "Sell an item.")
    assert "secret" not in json.dumps(sell.as_dict())
    assert list(sell.parameters["properties"]) == ["item", "count"]
    assert sell.run('{"item": "tea"}') == ("tea", "secret", 1)
    assert list(Tool.of(Shop.open).parameters["properties"]) == ["hour"]
    assert list(Tool.of(Shop.close).parameters["properties"]) == ["hour"]
    assert Tool.of(functools.partial(weather, "Paris")).run({"days": 3}) == "Paris: 21 C, 3"
    with pytest.raises(ConfigurationError, match="'sell' must be a bound method"):
        Tool.of(Shop.sell)


def test_a_function_that_is_wrapped():
    def logged(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    assert Tool.of(logged(weather)).parameters == Tool.of(weather).parameters


def test_an_async_function():
    async def wait(seconds: float) -> str:
        """Wait."""
        return f"{seconds}"

    assert asyncio.run(Tool.of(wait).run('{"seconds": 1}')) == "1.0"


def test_an_object_that_can_be_called():
    class Search:
        """Search the web."""

        def __call__(self, query: str) -> str:
            return query

    tool = Tool.of(Search())
    assert (tool.name, tool.description) == ("Search", "Search the web.")
    assert tool.run({"query": "x"}) == "x"


def test_a_pydantic_model_and_a_dataclass_are_tools():
    tool = Tool.of(Point)
    assert (tool.name, tool.description) == ("Point", "A point.")
    assert tool.parameters["required"] == ["x"]
    assert tool.run('{"x": 1}') == Point(x=1)
    assert Tool.of(Place).parameters["required"] == ["name"]
    assert Tool.of(Place).run({"name": "a", "near": [{"name": "b"}]}) == Place("a", [Place("b")])


def test_more_arguments_than_are_named():
    def go(first: int, /, second: int = 2, *rest: int, third: int = 3, **more: str):
        return first, second, rest, third, more

    tool = Tool.of(go)
    assert list(tool.parameters["properties"]) == ["first", "second", "third"]
    assert tool.parameters["additionalProperties"] == {"type": "string"}
    assert tool.run({"first": 1, "third": 5, "x": "y"}) == (1, 2, (), 5, {"x": "y"})
    with pytest.raises(ValueError, match="x must be a string, not 5"):
        tool.run({"first": 1, "x": 5})


@pytest.mark.parametrize("default", [object(), float("nan"), b"x", {1, 2}])
def test_a_default_that_json_cannot_hold_is_left_out(default):
    def go(it=default): ...

    assert Tool.of(go).parameters == {"type": "object", "properties": {"it": {}}}


@pytest.mark.parametrize(
    ("default", "written"),
    [(Colour.RED, "red"), (None, None), ((1, 2), [1, 2]), (dt.date(2026, 1, 2), "2026-01-02")],
)
def test_a_default_is_written_as_json_has_it(default, written):
    def go(it=default): ...

    assert Tool.of(go).parameters["properties"]["it"]["default"] == written


def sphinx(city: str, days: int = 1):
    """Tell the weather.

    :param city: the city,
        anywhere
    :param int days: how many
    :returns: a text
    """


def numpy(city: str, days: int = 1):
    """Tell the weather.

    Parameters
    ----------
    city : str
        the city,
        anywhere
    days : int, optional
        how many

    Returns
    -------
    str
        a text
    """


def google(city: str, days: int = 1):
    """Tell the weather.

    Arguments:
        city: the city,
            anywhere
        days: how many
    Raises:
        ValueError: city: no
    """


@pytest.mark.parametrize("function", [sphinx, numpy, google])
def test_the_styles_of_docstrings(function):
    tool = Tool.of(function)
    assert tool.description == "Tell the weather."
    assert tool.parameters["properties"]["city"]["description"] == "the city, anywhere"
    assert tool.parameters["properties"]["days"]["description"] == "how many"


def test_a_plain_docstring_is_the_description_as_it_is():
    def go(it: int):
        """Go: there are
        two lines.

        Note that args: are words here.
        """

    assert Tool.of(go).description == "Go: there are\ntwo lines.\n\nNote that args: are words here."


def test_an_annotation_describes_before_the_docstring_does():
    def go(it: Annotated[int, "from the type"]):
        """Go.

        Args:
            it: from the text
        """

    assert Tool.of(go).parameters["properties"]["it"]["description"] == "from the type"


@pytest.mark.parametrize("function", [lambda x: x, 5, None, "weather"])
def test_what_makes_no_tool(function):
    with pytest.raises(ConfigurationError):
        Tool.of(function)


# Running


@pytest.mark.parametrize(
    ("annotation", "given_value", "value"),
    [
        (Colour, "red", Colour.RED),
        (Size, 3, Size.L),
        (Literal[Colour.RED], "red", Colour.RED),
        (Optional[Colour], None, None),  # noqa: UP045
        (Colour | None, "blue", Colour.BLUE),
        (int | str, "5", "5"),
        (float | int, 5, 5),
        (float, 5, 5.0),
        (int, 5.0, 5),
        (decimal.Decimal, 0.1, decimal.Decimal("0.1")),
        (dt.date, "2026-01-02", dt.date(2026, 1, 2)),
        (dt.datetime, "2026-01-02T03:04:05Z", dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)),
        (dt.time, "03:04", dt.time(3, 4)),
        (uuid.UUID, "00000000-0000-0000-0000-000000000001", uuid.UUID(int=1)),
        (Path, "a/b", Path("a/b")),
        (list[Colour], ["red"], [Colour.RED]),
        (set[int], [1, 1], {1}),
        (frozenset[int], [1], frozenset({1})),
        (tuple[int, Colour], [1, "red"], (1, Colour.RED)),
        (tuple[int, ...], [1, 2], (1, 2)),
        (dict[str, Colour], {"a": "red"}, {"a": Colour.RED}),
        (Place, {"name": "a", "near": [{"name": "b"}]}, Place("a", [Place("b")])),
        (Box, {"colour": "red", "size": 1}, {"colour": Colour.RED, "size": Size.S}),
        (Point, {"x": 1}, Point(x=1)),
        (list[Point], [{"x": 1}], [Point(x=1)]),
        (Annotated[int, pydantic.Field(ge=1)], 1, 1),
        (UserId, 7, 7),
        (Any, {"x": [1]}, {"x": [1]}),
        (bool, True, True),
    ],
)
def test_arguments_are_read_as_the_types_of_the_parameters(annotation, given_value, value):
    read = parameters_of(annotation).run(json.dumps({"it": given_value}))
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("annotation", "given_value", "words"),
    [
        (int, "5", "it must be an integer, not '5'"),
        (int, 5.5, "it must be an integer, not 5.5"),
        (int, True, "it must be an integer, not True"),
        (bool, 1, "it must be true or false, not 1"),
        (str, None, "it must be a string, not None"),
        (None, 1, "it must be null, not 1"),
        (Colour, "green", r"it must be one of \['red', 'blue'\], not 'green'"),
        (Literal["a"], "b", r"it must be one of \['a'\], not 'b'"),
        (Literal[1], True, "it must be one of"),
        (list[int], {"a": 1}, "it must be a list"),
        (list[int], [1, "x"], r"it\[1\] must be an integer"),
        (dict[str, int], {"a": "x"}, r"it\.a must be an integer"),
        (tuple[int, int], [1], "it must have 2 items, not 1"),
        (int | None, "x", "it must be an integer, not 'x'; or it must be null"),
        (Place, {"name": 5}, r"it\.name must be a string"),
        (Place, {"near": []}, "missing 1 required positional argument: 'name'"),
        (Place, {"name": "a", "x": 1}, "not 'x'"),
        (Box, {"size": 1}, "it must have 'colour'"),
        (Point, {"x": "a"}, "validation error"),
        (Annotated[int, pydantic.Field(ge=1)], 0, "greater than or equal to 1"),
        (dt.date, "yesterday", "it: Invalid isoformat"),
        (uuid.UUID, "x", "it: badly formed"),
        (float, 10**400, "it: int too large"),
    ],
)
def test_arguments_that_do_not_fit_are_a_value_error_for_the_model(annotation, given_value, words):
    with pytest.raises(ValueError, match=words):
        parameters_of(annotation).run({"it": given_value})


def test_arguments_that_are_missing_or_unknown():
    tool = Tool.of(weather)
    with pytest.raises(ValueError, match="the argument 'city' of weather is missing"):
        tool.run("{}")
    with pytest.raises(ValueError, match="weather has no argument 'town': it has 'city', 'unit', 'days'"):
        tool.run('{"city": "Paris", "town": "x"}')
    with pytest.raises(ConfigurationError, match="'now' has no function"):
        Tool("now").run("{}")


# Values


@pytest.mark.parametrize("name", ["a", "A-b.c_9", "x" * 64])
def test_names_of_tools(name):
    assert Tool(name).name == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "é", "a\n", None, 5, "f()"])
def test_wrong_names_of_tools(name):
    with pytest.raises(ConfigurationError, match="the name of a tool must be 1 to 64 letters") as caught:
        Tool(name)
    assert caught.value.parameter == "tools"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"description": 5}, "description of tool 'f' must be a string"),
        ({"description": "\ud800"}, "lone surrogate"),
        ({"parameters": []}, "must be a JSON Schema as a mapping, not list"),
        ({"parameters": {"type": "array"}}, "schema of type 'object', not 'array'"),
        ({"parameters": {"x": object()}}, "must be what JSON can hold"),
        ({"parameters": {"x": float("inf")}}, "must be what JSON can hold"),
        ({"function": 5}, "must be callable, not int"),
    ],
)
def test_wrong_values_of_a_tool(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        Tool("f", **arguments)


def test_a_tool_is_a_value():
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    tool = Tool("f", "d", schema, function=weather)
    schema["properties"]["x"]["type"] = "integer"
    tool.as_dict()["function"]["parameters"]["properties"].clear()
    assert tool == Tool("f", "d", {"type": "object", "properties": {"x": {"type": "string"}}})
    assert len({tool, Tool("f", "d", tool.parameters)}) == 1
    assert pickle.loads(pickle.dumps(tool)) == tool
    assert "weather" not in repr(tool)
    with pytest.raises(AttributeError):
        tool.name = "g"


OPENAI = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}, "strict": True}}


class Params(pydantic.BaseModel):
    name: str
    description: str | None = None


@pytest.mark.parametrize(
    ("item", "tool"),
    [
        (OPENAI, Tool("f", "d")),
        ({"name": "f"}, Tool("f")),
        ({"name": "f", "description": None, "parameters": None}, Tool("f")),
        ({"type": "function", "name": "f", "parameters": {}}, Tool("f")),  # OpenAI's Responses
        (Params(name="f"), Tool("f")),
        (Tool("f"), Tool("f")),
        (weather, Tool.of(weather)),
    ],
)
def test_what_can_become_a_tool(item, tool):
    assert to_tools([item]) == (tool,)


def test_no_tools():
    assert to_tools(None) == to_tools([]) == to_tools(iter(())) == ()


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ("f", "tools must be a list of tools, functions or mappings, not str"),
        (OPENAI, "not dict: put it into a list"),
        (Tool("f"), "not Tool: put it into a list"),
        (weather, "not function: put it into a list"),
        (5, "not int"),
        ([weather, weather], "different names, not 'weather' twice"),
        ([weather, 5], "tool 1: it must be a Tool, a function, or a mapping"),
        ([{"type": "web_search"}], "tool 0: its type must be 'function', not 'web_search'"),
        ([{"type": "function"}], "tool 0: it must have a 'name'"),
        ([{"function": 5}], "tool 0: 'function' must be a mapping, not int"),
        ([{"name": "a b"}], "tool 0: the name of a tool must be"),
    ],
)
def test_what_are_no_tools(tools, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        to_tools(tools)
    assert caught.value.parameter == "tools"


def test_a_call_is_a_value():
    call = ToolCall("c1", "f", '{"x": 1}')
    assert call.parsed == {"x": 1}
    assert call.as_dict() == {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": '{"x": 1}'},
    }
    assert pickle.loads(pickle.dumps(call)) == call
    assert hash(call) == hash(ToolCall("c1", "f", '{"x": 1}'))
    assert ToolCall("", "f", "").parsed == {}
    assert "id" not in ToolCall("", "f", "").as_dict()
    with pytest.raises(ConfigurationError, match="arguments of a tool call must be a string, not dict"):
        ToolCall("c1", "f", {})


@given(st.text())
def test_arguments_are_an_object_or_a_value_error(text):
    """What a model writes raises nothing else."""
    with contextlib.suppress(ValueError):
        assert isinstance(ToolCall("", "f", text).parsed, dict)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "[]", "5", "null", "{", '{"a": NaN}', '{"a": Infinity}']
)
def test_arguments_that_are_no_object(text):
    with pytest.raises(ValueError, match="the arguments must be a JSON object"):
        ToolCall("", "f", text).parsed  # noqa: B018


@pytest.mark.parametrize("levels", [150, 600, 100_000])
def test_parameters_that_are_nested_too_deep_are_refused_before_anything_runs_out_of_stack(levels):
    schema: dict[str, object] = {}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(ConfigurationError, match="nested more than 200 deep"):
        Tool("f", parameters=schema)


def test_parameters_that_have_themselves_inside_are_refused():
    schema: dict[str, object] = {"type": "object"}
    schema["properties"] = {"a": schema}
    with pytest.raises(ConfigurationError, match="or has itself inside"):
        Tool("f", parameters=schema)
