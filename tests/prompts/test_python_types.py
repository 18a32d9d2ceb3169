"""JSON Schemas as Python types, as Hermes's and Cohere's templates show them."""

import pytest

from nupic_client.prompts import formatter_for
from nupic_client.prompts.python_types import python_type


@pytest.mark.parametrize(
    ("schema", "hermes", "cohere"),
    [
        ({"type": "string"}, "str", "str"),
        ({"type": "number"}, "float", "float"),
        ({"type": "array", "items": {"type": "string"}}, "list[Union[]]", "List[Union[]]"),
        ({"type": "object"}, "dict", "Dict[str, Union[]]"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "dict[str, int]", "Dict[str, int]"),
        ({"type": ["string", "null"]}, "Union[str,None]", "Union[str,None]"),
        ({"type": "null"}, "None", "None"),
        ({"type": "binary"}, "Any", "Any"),
        ({"type": {}}, "Any", "Any"),
        ({"enum": [1]}, "Union[]", "Union[]"),
        (True, "Union[]", "Union[]"),
    ],
)
def test_types(schema, hermes, cohere):
    assert python_type(schema, "list[{}]", "dict[str, {}]", "dict") == hermes
    assert python_type(schema, "List[{}]", "Dict[str, {}]") == cohere


@pytest.mark.parametrize("family", ["chatml", "command-r"])
@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object"},
        {"type": "object", "properties": {"anything": True, "nothing": {}}, "required": True},
        {"type": "object", "properties": []},
    ],
)
def test_odd_schemas_are_written_all_the_same(family, parameters):
    assert "now(" in formatter_for(family)("x", tools=[{"name": "now", "parameters": parameters}])
