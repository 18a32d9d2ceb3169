"""Tools that a model may call, and its calls."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from nupic_client._json_values import as_json
from nupic_client._public import publish
from nupic_client._text import check_text
from nupic_client.errors import ConfigurationError

__all__ = ["Tool", "ToolCall", "ToolLike", "to_tools"]

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _no_parameters() -> dict[str, Any]:
    return {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that a model may call: its name, what it is for, and the JSON Schema of its arguments.

    Args:
        name: 1 to 64 letters, digits, ``_``, ``.`` and ``-``.
        description: what it is for, in words for the model.
        parameters: the JSON Schema of the arguments, which are a JSON object; none by default.
        function: what runs it, if it is to be run by this library.

    Raises:
        ConfigurationError: a value is wrong.

    Example:
        >>> Tool("now", "Tell the time.").as_dict()["function"]["name"]
        'now'
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=_no_parameters)
    function: Callable[..., Any] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise _refused(
                f"the name of a tool must be 1 to 64 letters, digits, '_', '.' and '-', not {self.name!r}"
            )
        if not isinstance(self.description, str):
            raise _refused(
                f"the description of tool {self.name!r} must be a string, not {type(self.description).__name__}"
            )
        check_text(f"the description of tool {self.name!r}", self.description, parameter="tools")
        if self.function is not None and not callable(self.function):
            raise _refused(
                f"the function of tool {self.name!r} must be callable, not {type(self.function).__name__}"
            )
        object.__setattr__(self, "parameters", _schema(self.name, self.parameters))

    def __hash__(self) -> int:
        return hash((self.name, self.description))

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Tool:
        '''Make a tool of a Python function: its name, its docstring, and the types of its parameters.

        The first part of the docstring is the description; its ``Args:`` (or ``:param x:``) describe the parameters, and
        so does ``Annotated[str, "a city"]``. Parameters without a default are required. Types may be what JSON has
        (``str``, ``int``, ``float``, ``bool``, ``None``, ``list``, ``dict``), unions of them, ``Literal``, enumerations,
        dates and times, dataclasses, ``TypedDict`` and pydantic models.

        Args:
            function: a function, also an async one, a bound method, a ``functools.partial`` (what it sets is no parameter
                of the tool), or a pydantic model.

        Raises:
            ConfigurationError: it is not callable, its name is no name of a tool, or a type has no form in JSON.

        Example:
            >>> def weather(city: str, days: int = 1) -> str:
            ...     """Tell the weather.
            ...
            ...     Args:
            ...         city: a city, such as "Paris, France"
            ...         days: how many days
            ...     """
            >>> Tool.of(weather).parameters["properties"]["city"]
            {'type': 'string', 'description': 'a city, such as "Paris, France"'}
        '''
        if not callable(function):
            raise _refused(f"a tool must be made of a function, not of {type(function).__name__}")
        from nupic_client._tool_functions import described  # noqa: PLC0415 - needed only here

        name, description, parameters = described(function)
        return cls(name, description, parameters, function)

    def as_dict(self) -> dict[str, Any]:
        """Return the tool in OpenAI's and Hugging Face's form; an empty description is left out."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                **({"description": self.description} if self.description else {}),
                "parameters": json.loads(json.dumps(self.parameters)),
            },
        }

    def run(self, arguments: str | Mapping[str, Any]) -> Any:
        """Call the function with arguments as a model gives them, read as the types of its parameters.

        Args:
            arguments: a JSON object, or its text, as `ToolCall.arguments` is.

        Returns:
            What the function returns; of an async function its coroutine, which you await.

        Raises:
            ValueError: the arguments are no JSON object, or do not fit the function's parameters.
            ConfigurationError: the tool has no function.
        """
        if self.function is None:
            raise _refused(f"tool {self.name!r} has no function: make it with Tool.of, or give function=")
        from nupic_client._tool_functions import call_with  # noqa: PLC0415 - needed only here

        given = parse_arguments(arguments) if isinstance(arguments, str) else dict(arguments)
        return call_with(self.function, given)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's call of a tool. As an event of a stream it says that the call is complete.

    Args:
        id: names the call, for the message with its result; empty where a conversation has no ids.
        name: the tool's.
        arguments: the arguments as the model wrote them, which should be the JSON text of an object.

    Raises:
        ConfigurationError: a value is not a string.

    Example:
        >>> ToolCall("call_1", "weather", '{"city": "Paris"}').parsed
        {'city': 'Paris'}
    """

    id: str
    name: str
    arguments: str

    def __post_init__(self) -> None:
        for attribute in ("id", "name", "arguments"):
            value = getattr(self, attribute)
            if not isinstance(value, str):
                raise ConfigurationError(
                    f"{attribute} of a tool call must be a string, not {type(value).__name__}",
                    parameter=attribute,
                )

    @property
    def parsed(self) -> dict[str, Any]:
        """The arguments as an object; no text at all is read as none.

        Raises:
            ValueError: they are not the JSON text of an object.
        """
        return parse_arguments(self.arguments)

    def as_dict(self) -> dict[str, Any]:
        """Return the call in OpenAI's form, in which the arguments are a text."""
        return {
            **({"id": self.id} if self.id else {}),
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


ToolLike: TypeAlias = Tool | Callable[..., Any] | Mapping[str, Any]
"""A tool, a typed Python function, or a mapping: OpenAI's ``{"type": "function", "function": {…}}`` or the inner part."""


def to_tools(tools: Iterable[ToolLike] | None) -> tuple[Tool, ...]:
    """Turn tools, functions, and mappings as OpenAI's SDK takes them, into tools.

    Args:
        tools: the tools; None for none.

    Raises:
        ConfigurationError: an item is none of them, its name or its schema is wrong, or two have the same name. Items are
            counted from 0.

    Example:
        >>> to_tools([{"type": "function", "function": {"name": "now"}}])[0].name
        'now'
    """
    if tools is None:
        return ()
    if isinstance(tools, (str, bytes, Mapping, Tool)) or not isinstance(tools, Iterable) or callable(tools):
        raise _refused(
            f"tools must be a list of tools, functions or mappings, not {type(tools).__name__}: put it into a list"
        )
    found: dict[str, Tool] = {}
    for index, item in enumerate(tools):
        try:
            tool = _to_tool(item)
        except ConfigurationError as error:
            raise _refused(f"tool {index}: {error.message}") from error.__cause__
        if tool.name in found:
            raise _refused(f"tools must have different names, not {tool.name!r} twice")
        found[tool.name] = tool
    return tuple(found.values())


def parse_arguments(text: str) -> dict[str, Any]:
    """Return the arguments of a call; raise ValueError for what is not the JSON text of an object."""
    if not text.strip():
        return {}
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("the arguments must be a JSON object, not one that is nested so deep") from None
    except ValueError as error:
        raise ValueError(f"the arguments must be a JSON object: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"the arguments must be a JSON object, not {type(value).__name__}")  # noqa: TRY004 - its text
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _to_tool(item: object) -> Tool:
    if isinstance(item, Tool):
        return item
    if isinstance(item, Mapping):
        return _of_mapping(item)
    dump = getattr(item, "model_dump", None)  # pydantic's objects
    if callable(dump) and not isinstance(item, type):
        return _of_mapping(dump(exclude_none=True))
    if callable(item):
        return Tool.of(item)
    raise _refused(
        f"it must be a Tool, a function, or a mapping with 'name' and 'parameters', not {type(item).__name__}"
    )


_KEYS = ("name", "description", "parameters")


def _of_mapping(item: Mapping[str, Any]) -> Tool:
    kind = item.get("type", "function")
    if kind != "function":
        raise _refused(f"its type must be 'function', not {kind!r}")
    inner = item.get("function", item)
    if not isinstance(inner, Mapping):
        raise _refused(f"'function' must be a mapping, not {type(inner).__name__}")
    if "name" not in inner:
        raise _refused(
            f"it must have a 'name', and may have a 'description' and 'parameters', not {sorted(map(str, inner))}"
        )
    # "strict" and what else there is say nothing to a model.
    return Tool(**{key: inner[key] for key in _KEYS if inner.get(key) is not None})


def _schema(name: str, given: object) -> dict[str, Any]:
    """Return a copy of a JSON Schema, which no caller can change any more."""
    if not isinstance(given, Mapping):
        raise _refused(
            f"parameters of tool {name!r} must be a JSON Schema as a mapping, not {type(given).__name__}"
        )
    try:
        schema: dict[str, Any] = as_json(given)
    except ValueError as error:
        raise _refused(f"parameters of tool {name!r} must be what JSON can hold: {error}") from None
    kind = schema.get("type", "object")
    if kind != "object":
        raise _refused(f"parameters of tool {name!r} must be a schema of type 'object', not {kind!r}")
    return schema or _no_parameters()


def _refused(message: str) -> ConfigurationError:
    return ConfigurationError(message, parameter="tools")


publish(__name__)
