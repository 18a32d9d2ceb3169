"""Python's types as JSON Schemas, and values of JSON as values of those types."""

import datetime as dt
import decimal
import enum
import json
import typing
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NewType, Optional

import jsonschema
import pydantic
import pytest
import typing_extensions
from ids import without_address
from typing_extensions import NotRequired, Required, TypedDict

from nupic_client._json_types import Definitions, schema_of
from nupic_client._json_validation import Validator
from nupic_client._typed_values import read_json
from nupic_client.errors import ConfigurationError


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Point:
    x: int
    y: float = 0.0
    color: Color = Color.RED
    tags: list[str] = field(default_factory=list)
    hidden: int = field(default=7, init=False)


@dataclass
class Tree:
    value: int
    children: list["Tree"] = field(default_factory=list)
    named: dict[str, list["Tree"]] | None = None


@dataclass(frozen=True)
class Positive:
    n: int

    def __post_init__(self):
        if self.n <= 0:
            raise ValueError("n must be above 0")


class Movie(TypedDict, total=False):
    title: Required[str]
    year: int


class Late(TypedDict):
    title: "str"
    year: "NotRequired[int]"


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=1)
    born: dt.date
    friends: list["Person"] = []


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid")

    when: dt.datetime
    colors: set[Color]


T = typing.TypeVar("T")


@dataclass
class Box(typing.Generic[T]):
    it: T


UserId = NewType("UserId", int)


def whole(kind):
    definitions = Definitions("response_format", closed=True)
    return definitions.added_to(schema_of(kind, definitions, "response_format"))


CASES = [
    (str, "a", "a"),
    (int, 3, 3),
    (int, 3.0, 3),
    (float, 3, 3.0),
    (bool, True, True),
    (None, None, None),
    (Any, {"a": [1]}, {"a": [1]}),
    (UserId, 5, 5),
    (list[int], [1, 2], [1, 2]),
    (list, [1, "a"], [1, "a"]),
    (set[int], [1, 1, 2], {1, 2}),
    (frozenset[str], ["a"], frozenset("a")),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (dict, {"a": 1}, {"a": 1}),
    (int | None, None, None),
    (Optional[Point], {"x": 1}, Point(1)),  # noqa: UP045
    (str | int, 3, 3),
    (Literal["a", 1] | None, 1, 1),
    (Color, "green", Color.GREEN),
    (Level, 2, Level.HIGH),
    (dt.date, "2024-02-29", dt.date(2024, 2, 29)),
    (dt.datetime, "2024-02-29T12:00:00.5Z", dt.datetime(2024, 2, 29, 12, 0, 0, 500_000, dt.timezone.utc)),
    (dt.time, "12:30:00", dt.time(12, 30)),
    (uuid.UUID, "123e4567-e89b-12d3-a456-426614174000", uuid.UUID("123e4567-e89b-12d3-a456-426614174000")),
    (decimal.Decimal, 1.25, decimal.Decimal("1.25")),
    (Annotated[int, "a number"], 3, 3),
    (Point, {"x": 1, "y": 2, "color": "green", "tags": ["a"]}, Point(1, 2.0, Color.GREEN, ["a"])),
    (list[Point], [{"x": 1}], [Point(1)]),
    (Tree, {"value": 1, "children": [{"value": 2}]}, Tree(1, [Tree(2)])),
    (Tree, {"value": 1, "named": {"a": [{"value": 2}]}}, Tree(1, named={"a": [Tree(2)]})),
    (Movie, {"title": "M"}, {"title": "M"}),
    (Late, {"title": "M"}, {"title": "M"}),
    (
        Person,
        {"name": "A", "born": "2000-01-01", "friends": [{"name": "B", "born": "2001-01-01"}]},
        Person(name="A", born=dt.date(2000, 1, 1), friends=[Person(name="B", born=dt.date(2001, 1, 1))]),
    ),
    (
        dict[str, Person],
        {"a": {"name": "A", "born": "2000-01-01"}},
        {"a": Person(name="A", born=dt.date(2000, 1, 1))},
    ),
    (
        Strict,
        {"when": "2024-02-29T12:00:00", "colors": ["red"]},
        Strict(when=dt.datetime(2024, 2, 29, 12), colors={Color.RED}),  # noqa: DTZ001
    ),
    (
        list[Person | Point],
        [{"x": 1}, {"name": "A", "born": "2000-01-01"}],
        [Point(1), Person(name="A", born=dt.date(2000, 1, 1))],
    ),
]


@pytest.mark.parametrize(("kind", "value", "read"), CASES, ids=lambda each: str(each)[:40])
def test_a_value_that_fits_the_schema_is_read_as_the_type(kind, value, read):
    schema = whole(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert Validator(schema).violations(value) == ()
    made = read_json(kind, value, "the value")
    assert made == read
    assert type(made) is type(read)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(
            (kind, {"no": object})
            for kind in (str, int, float, bool, None, list[int], Color, dt.date, uuid.UUID)
        ),
        (int, True),
        (int, 1.5),
        (bool, 1),
        (str, None),
        (tuple[int, str], [1]),
        (tuple[int, str], [1, "a", 2]),
        (Literal[1], True),
        (Literal["a"], "b"),
        (Level, 3),
        (Point, {}),
        (Point, {"x": 1, "z": 1}),
        (Point, {"x": 1, "hidden": 1}),
        (Point, {"x": "1"}),
        (Movie, {"year": 2000}),
        (Late, {"year": 2000}),
        (Person, {"name": "", "born": "2000-01-01"}),
        (Person, {"name": "A", "born": "2000-13-01"}),
        (Strict, {"when": "2024-02-29T12:00:00", "colors": ["blue"]}),
        (int | None, "a"),
        (dt.date, "2023-02-29"),
        (dict[str, int], {"a": "b"}),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_by_the_schema_and_by_reading(kind, value):
    if value != {"no": object}:
        assert Validator(whole(kind)).violations(value)
    with pytest.raises(ValueError):
        read_json(kind, value, "the value")


def test_a_class_may_refuse_what_fits_the_schema():
    assert not Validator(whole(Positive)).violations({"n": 0})
    with pytest.raises(ValueError, match="above 0"):
        read_json(Positive, {"n": 0}, "the value")


def test_a_class_that_is_named_once_needs_no_definition():
    assert whole(Point) == {
        "type": "object",
        "properties": {
            "x": {"type": "integer"},
            "y": {"type": "number"},
            "color": {"type": "string", "enum": ["red", "green"]},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["x"],
        "additionalProperties": False,
    }
    assert "$ref" in whole(Tree)


def test_two_classes_of_one_name_are_two():
    def local():
        @dataclass
        class Point:
            z: int

        return Point

    schema = whole(tuple[Point, local()])
    assert sorted(schema["$defs"]) == ["Point", "Point2"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (bytes, "not bytes"),
        (object(), "must have a type that JSON can hold"),
        (dict[int, str], "the keys of a JSON object are strings"),
        (Literal[b"a"], "not bytes"),
        (complex, "not complex"),
        (typing.Callable[[], int], "must have a type"),
        (list[bytes], "not bytes"),
        (Box[int], "Box\\[int\\]"),
    ],
    ids=without_address,
)
def test_what_has_no_form_in_json_is_refused(kind, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        whole(kind)
    assert caught.value.parameter == "response_format"


def test_names_that_do_not_exist_are_said():
    @dataclass
    class Broken:
        it: "Nope"  # noqa: F821

    with pytest.raises(ConfigurationError, match="Nope"):
        whole(Broken)


def test_what_pydantic_has_no_schema_for_is_said():
    class Odd(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        it: type(lambda: None)

    with pytest.raises(ConfigurationError, match="pydantic has no JSON Schema for Odd"):
        whole(Odd)


def test_aliases_of_types_are_what_they_stand_for():
    numbers = typing_extensions.TypeAliasType("numbers", list[int])
    assert whole(numbers) == whole(list[int])
    assert read_json(numbers, [1], "it") == [1]


def test_pydantics_constraints_count():
    kind = Annotated[int, pydantic.Field(ge=3, le=4, description="a size")]
    schema = whole(kind)
    assert json.loads(json.dumps(schema))["minimum"] == 3
    assert schema["description"] == "a size"
