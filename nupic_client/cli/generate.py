"""`nupic-client generate`: one prompt, one answer."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nupic_client
from nupic_client.cli.answer import AnswerOutput, answer_output, stream_answer
from nupic_client.cli.connection import connect, formatter_is_known, require_formatter
from nupic_client.cli.exit_codes import EPILOG, ExitCode
from nupic_client.cli.markdown import check_markdown
from nupic_client.cli.options import (
    add_generation_arguments,
    add_markdown_argument,
    add_reasoning_argument,
    shows_reasoning,
)
from nupic_client.cli.report import as_json, summary
from nupic_client.cli.stdin import prompt_text
from nupic_client.cli.terminal import TextOutput, json_text, say, shell_text
from nupic_client.cli.tools import (
    add_tool_arguments,
    call_lines,
    check_knows_tools,
    load_tools,
    runner,
    stream_tool_rounds,
)
from nupic_client.errors import ConfigurationError
from nupic_client.messages import ImagePart, Message, system, user

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nupic_client.options import GenerateOptions
    from nupic_client.results import Event, Generation
    from nupic_client.streaming import StreamingClient
    from nupic_client.tools import Tool

__all__ = ["add_command", "run"]


def add_command(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "generate",
        help="generate a text from a prompt",
        description="Generate a text and print it as it arrives: the text on stdout, everything else on stderr.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "prompt",
        nargs="*",
        type=shell_text,
        help="the prompt; - is stdin. What is piped in is read without -, too, and comes first",
    )
    add_generation_arguments(parser)
    add_markdown_argument(parser)
    parser.add_argument(
        "--raw",
        action="store_true",
        help="send the prompt unchanged, not as a user's message in the model's format",
    )
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        type=shell_text,
        metavar="PATH_OR_URL",
        help="an image that the model sees before the prompt; may be repeated",
    )
    parser.add_argument(
        "--json-schema",
        metavar="FILE",
        help="print JSON that fits the JSON Schema in this file, and nothing else; the server makes the model keep to it",
    )
    parser.add_argument(
        "--enforce",
        metavar="{server,validate}",
        help="who sees to --json-schema: the server, or only this program, which checks the answer and asks again "
        "if it does not fit (default: server)",
    )
    add_reasoning_argument(parser)
    add_tool_arguments(parser, may_show=True)
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object at the end: text, finish_reason, usage, timing, model, request_id …; "
        "with --tools also tool_calls, or as messages those that have run",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Generate a text, print it, and print the figures.

    Raises:
        NupicError: see `nupic_client.cli.exit_codes`.
    """
    _check_together(arguments)
    check_markdown(asked=arguments.markdown)
    form = _form(arguments)
    tools = load_tools(arguments)
    images = [ImagePart(image).loaded() for image in arguments.image]
    prompt = prompt_text(arguments.prompt, exact=arguments.raw)
    if not prompt.strip():
        raise ConfigurationError("the prompt must not be empty")
    output = answer_output(
        reasoning=shows_reasoning(arguments) and not arguments.json,
        markdown=arguments.markdown and not arguments.json and not form,
    )
    text = prompt.rstrip("\r\n")
    content = [*images, text] if images else text
    with connect(arguments, **form) as client:
        take = _ignore if arguments.json else output.take
        more: dict[str, Any] = {}
        try:
            if tools:
                generation, more["messages"] = _generate_with_tools(
                    content, tools, arguments, client, output, take
                )
            elif form:
                generation = _generate_value(
                    _asked(prompt, content, arguments, client), arguments, client, output
                )
            else:
                asked = _asked(prompt, content, arguments, client)
                generation = stream_answer(lambda: client.stream(asked), take)
        finally:
            output.end()
    if arguments.json:
        output.write(as_json(generation, **more) + "\n")
        return _code(generation)
    if generation.tool_calls:
        TextOutput().write(call_lines(generation))
    if not arguments.quiet:
        say(summary(generation))
    return _code(generation)


def _code(generation: Generation) -> ExitCode:
    return ExitCode.INTERRUPTED if generation.finish_reason == "cancelled" else ExitCode.OK


def _check_together(arguments: argparse.Namespace) -> None:
    if arguments.raw and (
        arguments.system is not None or arguments.formatter is not None or arguments.image or arguments.tools
    ):
        raise ConfigurationError(
            "--raw must not be given with --system, --formatter, --image or --tools: it sends the prompt unchanged"
        )
    if arguments.tools and arguments.json_schema is not None:
        raise ConfigurationError(
            "--json-schema must not be given with --tools: the server would keep the model from calling"
        )


def _ignore(event: Event) -> None:
    """Print no chunk: with --json the text is in the object at the end."""


def _generate_with_tools(
    content: Any,
    tools: Sequence[Tool],
    arguments: argparse.Namespace,
    client: StreamingClient,
    output: AnswerOutput,
    take: Callable[[Event], object],
) -> tuple[Generation, list[dict[str, Any]]]:
    """Generate an answer, with calls that are run or not; return it and the messages before it: calls and results."""
    require_formatter(arguments, client)
    check_knows_tools(client)
    conversation = nupic_client.Conversation(client, system=arguments.system)
    options: GenerateOptions = {"tools": tools}
    if arguments.tool_choice is not None:
        options["tool_choice"] = arguments.tool_choice
    run: Any = False
    if not arguments.no_run_tools:
        run = runner(tools, ask=not arguments.yes_tools, quiet=arguments.quiet, before=output.end)
    generation = stream_tool_rounds(conversation, content, options, run=run, output=output, take=take)
    between = conversation.messages[1:-1]
    return generation, [message.as_dict() for message in between]


def _generate_value(
    asked: str | list[Message],
    arguments: argparse.Namespace,
    client: StreamingClient,
    output: AnswerOutput,
) -> Generation:
    """Generate JSON and print it once it has been checked: stdout never has a part of it, or what does not fit."""
    generation = client.generate(asked)
    if not arguments.json:
        if generation.reasoning:
            output.think(generation.reasoning)
        output.write(json_text(generation.parsed))
    return generation


def _form(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the client for the form of the answer."""
    if arguments.json_schema is None:
        if arguments.enforce is not None:
            raise ConfigurationError("--enforce must be given with --json-schema, whose file it is about")
        return {}
    enforce = {} if arguments.enforce is None else {"enforce": arguments.enforce}
    return {"response_format": _schema(arguments.json_schema), **enforce}


def _schema(name: str) -> dict[str, Any]:
    try:
        schema = json.loads(Path(name).expanduser().read_bytes())
    except OSError as error:
        raise _refused(f"{name} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise _refused(f"{name} must be UTF-8 text") from None
    except ValueError as error:
        raise _refused(f"{name} must be JSON: {error}") from None
    except RecursionError:
        raise _refused(f"{name} must be a JSON Schema, not JSON that is nested so deep") from None
    if not isinstance(schema, dict):
        raise _refused(f"{name} must be a JSON Schema, a JSON object, not {json.dumps(schema)[:80]}")
    return schema


def _refused(message: str) -> ConfigurationError:
    return ConfigurationError(message, parameter="response_format")


def _asked(
    prompt: str, content: Any, arguments: argparse.Namespace, client: StreamingClient
) -> str | list[Message]:
    if arguments.raw:
        return prompt
    if arguments.system is None and isinstance(content, str):
        return [user(content)] if formatter_is_known(arguments, client) else prompt
    require_formatter(arguments, client)
    return [user(content)] if arguments.system is None else [system(arguments.system), user(content)]
