"""Which tools a request offers, and whether the model must call one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from nupic_client._json_validation import Validator
from nupic_client._output_format import Guide, OutputFormat, read_format
from nupic_client._suggest import did_you_mean, listed
from nupic_client.errors import ConfigurationError
from nupic_client.tools import Tool, ToolCall

__all__ = ["AUTO", "ToolChoice", "call_violations", "forced_format", "form_or_call", "read_tool_choice"]

_WORDS = ("auto", "none", "required")


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """What the model may do with the tools.

    Args:
        kind: ``auto`` leaves it to the model, ``none`` offers it no tools, ``required`` makes it call one.
        name: the only tool that it may call, with ``required``; empty for any.
    """

    kind: Literal["auto", "none", "required"] = "auto"
    name: str = ""

    @property
    def forces(self) -> bool:
        """Whether the model must call a tool."""
        return self.kind == "required"

    def offered(self, tools: Sequence[Tool]) -> tuple[Tool, ...]:
        """Return the tools that the prompt tells the model of.

        Raises:
            ConfigurationError: there is no tool to be called, or not the one.
        """
        if self.kind == "none":
            return ()
        if self.forces and not tools:
            raise _refused(
                "tool_choice must be given with tools, of which the model is to call one: give tools="
            )
        names = [tool.name for tool in tools]
        if self.name and self.name not in names:
            raise _refused(
                f"tool_choice {self.name!r} must be the name of a tool: {did_you_mean(self.name, names)}the tools are"
                f" {listed(names)}"
            )
        return tuple(tools)

    def allowed(self, tools: Sequence[Tool]) -> tuple[Tool, ...]:
        """Return the tools that the model may call."""
        return tuple(tool for tool in tools if not self.name or tool.name == self.name)


AUTO = ToolChoice()


def read_tool_choice(value: Any) -> ToolChoice:
    """Read ``tool_choice=``: a word, the name of a tool, or OpenAI's mapping.

    Raises:
        ConfigurationError: it is none of them.
    """
    if value is None:
        return AUTO
    if isinstance(value, ToolChoice):
        return value
    if isinstance(value, Tool):
        return ToolChoice("required", value.name)
    if isinstance(value, Mapping):
        inner = value.get("function", value)
        name = inner.get("name") if isinstance(inner, Mapping) else None
        if value.get("type", "function") == "function" and isinstance(name, str) and name:
            return ToolChoice("required", name)
    elif isinstance(value, str) and value:
        return ToolChoice(value) if value in _WORDS else ToolChoice("required", value)  # type: ignore[arg-type]
    raise _refused(f"tool_choice must be {listed(_WORDS)}, or the name of a tool, not {value!r:.80}")


def forced_format(tools: Sequence[Tool]) -> OutputFormat:
    """Return the form of an answer that is one call of one of these tools: ``{"name": …, "arguments": …}``.

    Raises:
        ConfigurationError: the schema of a tool has what cannot be enforced.
    """
    definitions: dict[str, Any] = {}
    calls = [_call_schema(tool, definitions) for tool in tools]
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    if definitions:
        schema = {**schema, "$defs": definitions}
    form = read_format(schema)
    assert form is not None  # noqa: S101 - for type checkers
    return form


def form_or_call(tools: Sequence[Tool], form: OutputFormat) -> OutputFormat:
    """Return a form of answers in JSON with a guide that allows one call of these tools, too.

    Raises:
        ConfigurationError: the schema of a tool has what cannot be enforced.
    """
    definitions: dict[str, Any] = {}
    calls = [_call_schema(tool, definitions) for tool in tools]
    name = "answer"
    while name in definitions:
        name += "_"
    schema: dict[str, Any] = {"anyOf": [*calls, _placed(form.guide.value, name, definitions)]}
    if definitions:
        schema["$defs"] = definitions
    return replace(form, guide=Guide("json_schema", Validator(schema, "tools").schema))


def _placed(schema: Any, name: str, definitions: dict[str, Any]) -> Any:
    """Return a schema for a place in another one: by itself, or a reference to a definition if it has references."""
    moved = _with_references(schema, f"#/$defs/{name}")
    if moved == schema:
        return schema
    definitions[name] = moved  # a reference counts from the root of the schema, which is another one now
    return {"$ref": f"#/$defs/{name}"}


def _call_schema(tool: Tool, definitions: dict[str, Any]) -> dict[str, Any]:
    arguments = _placed(_closed(tool.parameters), tool.name, definitions)
    return {
        "type": "object",
        "properties": {"name": {"const": tool.name}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _closed(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema of arguments that allows those which it names, and no others, unless it says so itself.

    A small model that may write anything does so.
    """
    says = schema.keys() & {"additionalProperties", "patternProperties", "unevaluatedProperties"}
    combines = schema.keys() & {"$ref", "allOf", "anyOf", "oneOf"}
    if "properties" not in schema or says or combines:
        return schema
    return {**schema, "additionalProperties": False}


def _with_references(schema: Any, root: str) -> Any:
    if isinstance(schema, Mapping):
        return {
            key: root + value[1:]
            if key == "$ref" and isinstance(value, str) and value.startswith("#")
            else _with_references(value, root)
            for key, value in schema.items()
        }
    return [_with_references(item, root) for item in schema] if isinstance(schema, list) else schema


def call_violations(calls: Sequence[ToolCall], tools: Sequence[Tool]) -> tuple[str, ...]:
    """Return what is wrong with the calls of an answer that must have one.

    Args:
        calls: of the answer.
        tools: those that may be called.
    """
    if not calls:
        return (f"the answer must be a call of {listed([tool.name for tool in tools])}, and has no call",)
    known = {tool.name: tool for tool in tools}
    found: list[str] = []
    for call in calls:
        tool = known.get(call.name)
        if tool is None:
            found.append(f"{call.name!r:.80} is called, which is not {listed(known)}")
            continue
        try:
            arguments = call.parsed
        except ValueError as error:
            found.append(f"{call.name}: {error}")
        else:
            validator = Validator(tool.parameters, "tools")
            found += [f"{call.name}: {violation}" for violation in validator.violations(arguments)]
    return tuple(found)


def _refused(message: str) -> ConfigurationError:
    return ConfigurationError(message, parameter="tool_choice")
