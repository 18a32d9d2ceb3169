"""Tools: functions named on the command line, which run when the user allows it."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nupic_client._suggest import did_you_mean
from nupic_client._tool_choice import read_tool_choice
from nupic_client.cli.answer import stream_answer
from nupic_client.cli.question import can_ask, confirm
from nupic_client.cli.terminal import json_text, printable, say, shell_text
from nupic_client.errors import ConfigurationError
from nupic_client.tools import Tool, to_tools

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from nupic_client import Conversation, StreamingClient
    from nupic_client.cli.answer import AnswerOutput
    from nupic_client.options import GenerateOptions
    from nupic_client.results import Event, Generation
    from nupic_client.tools import ToolCall

__all__ = [
    "add_tool_arguments",
    "call_lines",
    "check_knows_tools",
    "load_tools",
    "runner",
    "stream_tool_rounds",
]

_ROUNDS = 8
"""How often calls of tools are run for a message; then the model must answer."""

_LONGEST_NOTE = 500


def add_tool_arguments(parser: argparse.ArgumentParser, *, may_show: bool = False) -> None:
    """Add the options of tools.

    Args:
        parser: the parser of the command.
        may_show: let calls be printed in place of run.
    """
    group = parser.add_argument_group("tools")
    group.add_argument(
        "--tools",
        action="append",
        metavar="MODULE:FUNCTION,…",
        help="Python functions that the model may call, of modules that are installed or in this folder; "
        "may be repeated. You are asked before one runs",
    )
    group.add_argument(
        "--tool-choice",
        type=shell_text,
        metavar="CHOICE",
        help="auto, none, required, or the name of the tool that the model must call (default: auto)",
    )
    run = group.add_mutually_exclusive_group() if may_show else group
    run.add_argument(
        "--yes-tools",
        action="store_true",
        help="run what the model calls without asking: only for functions that may run with any arguments",
    )
    if may_show:
        run.add_argument(
            "--no-run-tools",
            action="store_true",
            help="run nothing: print each call after the text, as a JSON object on a line",
        )


def load_tools(arguments: argparse.Namespace) -> tuple[Tool, ...]:
    """Import the functions that the options name.

    Raises:
        ConfigurationError: one cannot be imported or is no tool, or nobody can be asked before one runs.
    """
    if arguments.tools is None:
        for option in ("yes_tools", "no_run_tools", "tool_choice"):
            if getattr(arguments, option, None):
                name = f"--{option.replace('_', '-')}"
                raise ConfigurationError(f"{name} must be given with --tools, which names the functions")
        return ()
    runs = not getattr(arguments, "no_run_tools", False)
    names = [name.strip() for given in arguments.tools for name in given.split(",")]
    if runs and not arguments.yes_tools and not can_ask():
        show = " or --no-run-tools to see the calls" if hasattr(arguments, "no_run_tools") else ""
        raise _refused(
            "tools must be used at a terminal, where you are asked before one runs: give --yes-tools to run them"
            f" without asking{',' if show else ''}{show}"
        )
    with _current_folder():
        found = [_load(name) for name in names]
    tools = to_tools(found)
    for tool in tools if runs else ():
        _check_runs(tool)
    read_tool_choice(arguments.tool_choice).offered(tools)
    return tools


def check_knows_tools(client: StreamingClient) -> None:
    """Check that the model's calls can be read.

    Raises:
        ConfigurationError: they cannot.
    """
    formatter = client.formatter
    if formatter is not None and (formatter.answer is None or not formatter.answer.has_tool_calls):
        raise _refused(
            f"tools cannot be used with {formatter.family}: it is not known how its models write calls. Give --formatter"
            " and a family with tools, such as qwen2.5, if the model is one of it"
        )


def stream_tool_rounds(
    conversation: Conversation,
    content: Any,
    options: GenerateOptions,
    *,
    run: Callable[[ToolCall], Any] | bool,
    output: AnswerOutput,
    take: Callable[[Event], object],
) -> Generation:
    """Send a message with tools, run what the model calls, and return the last answer.

    Args:
        conversation: gets the message, the calls, their results and the answer.
        content: of the message.
        options: of the requests, with the tools.
        run: runs a call; False for none.
        output: gets its line ended after each answer.
        take: called with each event of the answers.

    Raises:
        NupicError: a request is wrong or failed.
        KeyboardInterrupt: Ctrl-C, where nothing is left to go on with.
    """
    names = {tool.name for tool in options.get("tools") or () if isinstance(tool, Tool)}
    rounds = conversation.stream_rounds(content, run_tools=run, max_tool_rounds=_ROUNDS, **options)
    with contextlib.closing(rounds):
        for stream in rounds:
            answer = stream_answer(lambda stream=stream: stream, take)  # type: ignore[misc]
            if answer.finish_reason == "cancelled" and (answer.tool_calls or not answer.text):
                # A call without a result, or a message without an answer, cannot be gone on with.
                raise KeyboardInterrupt
            output.end()
            for call in answer.tool_calls:
                if call.name not in names:
                    told = ", and the model is told" if run else ""
                    say(printable(f"{call.name}: Error: there is no such tool{told}"))
    return answer


def call_lines(generation: Generation) -> str:
    """Return the calls of an answer as JSON objects, each on a line; arguments that are no object are a text."""
    return "".join(f"{json_text(_call(call))}\n" for call in generation.tool_calls)


def _call(call: ToolCall) -> dict[str, Any]:
    try:
        return {"name": call.name, "arguments": call.parsed}
    except (ValueError, RecursionError):
        return {"name": call.name, "arguments": call.arguments}


def runner(
    tools: Sequence[Tool], *, ask: bool, quiet: bool, before: Callable[[], object]
) -> Callable[[ToolCall], Any]:
    """Return what runs a call of the model.

    Args:
        tools: those that there are.
        ask: ask the user before each.
        quiet: do not tell of those that run without a question.
        before: called before anything is told of a call.
    """
    functions = {tool.name: tool for tool in tools}

    def run(call: ToolCall) -> Any:
        before()
        shown = _shown(call)
        if shown is not None:  # what cannot run needs no permission: the model is told why
            if ask and not confirm(f"The model calls {shown}", "Run it? [y/N] "):
                raise PermissionError("the user did not allow this call, and it was not run")
            if not ask and not quiet:
                say(f"running {shown}")
        try:
            # Stdout is for answers only.
            with contextlib.redirect_stdout(sys.stderr):
                return functions[call.name].run(call.arguments)
        except Exception as error:
            say(printable(f"{call.name}: Error: {type(error).__name__}: {error}")[:_LONGEST_NOTE])
            raise

    return run


def _shown(call: ToolCall) -> str | None:
    """Return the name and the arguments, complete and as the function gets them; None for those that are no object."""
    try:
        arguments = json.dumps(call.parsed, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return printable(f"{call.name} {arguments}")


def _load(name: str) -> Any:
    module_name, colon, path = name.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module_name.split("."), *path.split(".")]):
        raise _refused(f"tools must be like module:function, not {name!r}")
    found = _import(module_name)
    for attribute in path.split("."):
        if not hasattr(found, attribute):
            near = did_you_mean(attribute, [known for known in dir(found) if not known.startswith("_")])
            raise _refused(f"there is no {path!r} in module {module_name!r}: {near}give a function of it")
        found = getattr(found, attribute)
    return found


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _refused(f"module {name!r} cannot be imported: it needs {error.name!r}") from error
        raise _refused(
            f"there is no module {error.name!r}: give one that is installed, or in {str(Path.cwd())!r}"
        ) from None
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        raise _refused(f"module {name!r} cannot be imported: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _current_folder() -> Iterator[None]:
    """Let modules be found in this folder, first; afterwards last, so that a file there takes no library's place."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)
        sys.path.append(folder)


def _check_runs(tool: Tool) -> None:
    if tool.function is None:
        raise _refused(f"tool {tool.name!r} must have a function, which runs it")
    if inspect.iscoroutinefunction(tool.function):
        raise _refused(f"tool {tool.name!r} must be a plain function, not an async one")


def _refused(message: str) -> ConfigurationError:
    return ConfigurationError(message, parameter="tools")
