"""The rounds of one message whose tool calls are run: what is asked next, and what the model is told of a result."""

from __future__ import annotations

import asyncio
import inspect
import json
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from nupic_client._numbers import check_integer
from nupic_client._suggest import did_you_mean, listed
from nupic_client.errors import ConfigurationError
from nupic_client.logs import logger
from nupic_client.messages import Message
from nupic_client.tools import Tool, ToolCall

if TYPE_CHECKING:
    from nupic_client._core.calls.options import CallOptions
    from nupic_client.options import GenerateOptions
    from nupic_client.results import Generation

__all__ = ["Exchange", "RunTools", "ToolLoop", "arun_call", "exchanged", "run_call"]

RunTools: TypeAlias = bool | Callable[[ToolCall], Any]
"""Whether the functions that a model calls are run; a function runs each call in the place of the tool's own."""

RoundsT = TypeVar("RoundsT")

_LONGEST_ERROR = 2000


class ToolLoop:
    """The rounds of one message.

    Args:
        call: the options of the message with the client's put under them.
        options: those of the message alone.
        max_rounds: how often calls are run; then the model is asked without tools.
        can_await: whether async functions can be run.
        run: what runs a call; True for the function of the tool.
        neutral: makes a text harmless that is to be shown to the model, and that others may have written.

    Raises:
        ConfigurationError: there are no tools, or one cannot be run.
    """

    def __init__(
        self,
        call: CallOptions,
        options: GenerateOptions,
        max_rounds: int,
        *,
        can_await: bool,
        run: RunTools = True,
        neutral: Callable[[str], str] = str,
    ) -> None:
        self._neutral = neutral
        self._left = check_integer("max_tool_rounds", max_rounds, "a number of rounds >= 1", low=1)
        if not call.tools:
            raise ConfigurationError(
                "run_tools must be given with tools that can be run: give tools=", parameter="run_tools"
            )
        self._runs = run is not False
        self._run = _checked_runner(run, can_await=can_await)
        if self._runs and self._run is None:
            for tool in call.tools:
                _check_runs(tool, can_await=can_await)
        self._tools = {tool.name: tool for tool in call.tools}
        self.options = options
        """Those of the next request."""

    def goes_on(self, generation: Generation) -> bool:
        """Return whether calls are to be run, and prepare the options of the request with their results."""
        cut = generation.finish_reason == "cancelled"  # its calls may not be all
        if not generation.tool_calls or not self._left or not self._runs or cut:
            return False
        self._left -= 1
        # A call that was forced is made now: the answer must come some time.
        choice = "auto" if self._left else "none"
        self.options = {**self.options, "tool_choice": choice}
        return True

    def tool(self, call: ToolCall) -> Tool | None:
        """Return the tool that is called; None if there is none of its name."""
        return self._tools.get(call.name)

    def is_async(self, tool: Tool) -> bool:
        """Return whether a call of the tool is run by a coroutine function."""
        return inspect.iscoroutinefunction(self._run or tool.function)

    def run(self, tool: Tool, call: ToolCall) -> Any:
        """Run a call."""
        return tool.run(call.arguments) if self._run is None else self._run(call)

    def unknown(self, call: ToolCall) -> Message:
        """Return what the model is told that calls a tool which is not there."""
        near = did_you_mean(call.name, self._tools)
        return self._message(
            call, f"Error: there is no tool {call.name!r}: {near}the tools are {listed(self._tools)}"
        )

    def result(self, call: ToolCall, value: Any) -> Message:
        """Return what the model is told of a result."""
        return self._message(call, value if isinstance(value, str) else _as_json(value))

    def failure(self, call: ToolCall, error: Exception) -> Message:
        """Return what the model is told of an error of a tool. Its kind is logged: its words may be secret."""
        logger.warning("tool %s failed: %s", call.name, type(error).__name__)
        return self._message(call, f"Error: {type(error).__name__}: {error}"[:_LONGEST_ERROR])

    def _message(self, call: ToolCall, content: str) -> Message:
        # A page that a tool has fetched may have anything in it: control tokens, and halves of characters.
        content = self._neutral(content.encode("utf-8", "replace").decode())
        return Message("tool", content, tool_call_id=call.id or None, name=call.name)


class Exchange:
    """A message, the rounds of its answer and what a conversation had before."""

    def __init__(self) -> None:
        self.before: list[Message] = []
        self.dropped = False
        self._rounds: Callable[[], object] = lambda: None

    def of(self, rounds: RoundsT) -> RoundsT:
        """Set and return the generator of the rounds."""
        self._rounds = weakref.ref(rounds)
        return rounds

    @property
    def is_left(self) -> bool:
        """Whether nobody can take the next round. Python closes an async generator that is dropped some time later."""
        return self._rounds() is None


def run_call(loop: ToolLoop, call: ToolCall) -> Message:
    """Run a plain function that the model calls, and return what the model is told."""
    tool = loop.tool(call)
    if tool is None:
        return loop.unknown(call)
    try:
        return loop.result(call, loop.run(tool, call))
    except Exception as error:  # noqa: BLE001 - whatever it is, the model may know better
        return loop.failure(call, error)


async def arun_call(loop: ToolLoop, call: ToolCall) -> Message:
    """Run a function that the model calls, a plain one in a thread, and return what the model is told."""
    tool = loop.tool(call)
    if tool is None:
        return loop.unknown(call)
    try:
        value = loop.run(tool, call) if loop.is_async(tool) else await asyncio.to_thread(loop.run, tool, call)
        return loop.result(call, await value if inspect.isawaitable(value) else value)
    except Exception as error:  # noqa: BLE001 - whatever it is, the model may know better
        return loop.failure(call, error)


def exchanged(answer: Message, results: Sequence[Message], most: int | None) -> list[Message]:
    """Return an answer with calls and their results, in order, as messages that a family can write.

    Args:
        answer: the message with the calls.
        results: those of its calls, in their order.
        most: how many calls a message of the family may have; None for any number.
    """
    calls = answer.tool_calls
    if most is None or len(calls) <= most:
        return [answer, *results]
    messages = []
    for start in range(0, len(calls), most):
        some = slice(start, start + most)
        one = replace(answer, tool_calls=calls[some])
        messages += [one if not start else replace(one, content="", reasoning=None), *results[some]]
    return messages


def _checked_runner(run: RunTools, *, can_await: bool) -> Callable[[ToolCall], Any] | None:
    if isinstance(run, bool):
        return None
    if not callable(run):
        raise ConfigurationError(
            f"run_tools must be True, False or a function that runs a call, not {run!r}",
            parameter="run_tools",
        )
    if not can_await and inspect.iscoroutinefunction(run):
        raise ConfigurationError(
            "run_tools must be a plain function here, not an async one: use the async method",
            parameter="run_tools",
        )
    return run


def _check_runs(tool: Tool, *, can_await: bool) -> None:
    if tool.function is None:
        raise ConfigurationError(
            f"tool {tool.name!r} must have a function to be run: make it with Tool.of, or give function=",
            parameter="tools",
        )
    if not can_await and inspect.iscoroutinefunction(tool.function):
        raise ConfigurationError(
            f"tool {tool.name!r} must be a plain function here, not an async one: use agenerate",
            parameter="tools",
        )


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """Return what JSON can hold in place of an object: pydantic's fields, those of a dataclass, else its words."""
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return dump(mode="json")
    fields = getattr(value, "__dataclass_fields__", None)
    if fields is not None and not isinstance(value, type):
        return {name: getattr(value, name) for name in fields}
    if isinstance(value, Mapping):
        return dict(value)
    return [*value] if isinstance(value, (set, frozenset)) else str(value)
