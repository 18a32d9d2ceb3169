"""The magics ``%nupic`` and ``%%nupic``: which model to talk to, and a cell that is a prompt."""

from __future__ import annotations

import argparse
import difflib
import shlex
import traceback
from pathlib import Path
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class

import nupic_client
from nupic_client import Conversation, NupicError, StreamingClient, default_registry
from nupic_client.display import printable, printable_lines
from nupic_client.integrations.jupyter.showing import show

__all__ = ["NupicMagics", "load_ipython_extension", "unload_ipython_extension"]


class OneLineError(Exception):
    """An error of a magic: its cell fails, and shows this line and no traceback."""

    def _render_traceback_(self) -> list[str]:
        return [printable(str(self))]


class Stopped(KeyboardInterrupt):
    """The cell was interrupted; its traceback would be that of a wait."""

    def _render_traceback_(self) -> list[str]:
        return ["KeyboardInterrupt: the model was stopped"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        known = sorted(self._option_string_actions)
        words = [word.rstrip(",") for word in message.split() if word.startswith("-")]
        near = difflib.get_close_matches(words[0], known, n=1) if "unrecognized" in message and words else []
        question = f": did you mean {near[0]}?" if near else "; %nupic? shows the options"
        raise UsageError(f"{message}{question}")


def _parser() -> _Parser:
    parser = _Parser(prog="%nupic", add_help=False, allow_abbrev=False)
    parser.add_argument("model", nargs="?", help="the model to talk to from now on")
    parser.add_argument("url", nargs="?", help="its server; by default $NUPIC_URL, else localhost:8001")
    parser.add_argument("--formatter", help="the prompt format of the model, where its name does not tell")
    parser.add_argument("--system", help="the system prompt from now on")
    parser.add_argument("--reset", action="store_true", help="forget what was said")
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--stop", action="append")
    parser.add_argument("--timeout", type=float)
    parser.add_argument("--plain", action="store_true", help="show the text as it is, not as Markdown")
    parser.add_argument("--no-stats", action="store_true", help="show no figures")
    return parser


_OPTIONS = ("max_tokens", "temperature", "top_p", "seed", "stop", "timeout")
"""Those of the calls: in a cell for this answer, in ``%nupic`` for all that follow."""


@magics_class
class NupicMagics(Magics):  # type: ignore[misc, unused-ignore]
    """``%nupic MODEL [URL]`` chooses a model; a cell that begins with ``%%nupic`` is a message to it.

    A kernel has one conversation: each cell goes on with it. ``%nupic`` alone says with whom, ``%nupic --reset`` forgets
    what was said. The options of ``%nupic`` are for all cells that follow, those of ``%%nupic`` for one; ``--system`` stays.
    """

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._parser = _parser()
        self.conversation: Conversation | None = None
        """What was said so far; None before a model was chosen."""
        self._client: StreamingClient | None = None
        self._options: dict[str, Any] = {}

    @line_cell_magic  # type: ignore[misc, unused-ignore]
    def nupic(self, line: str, cell: str | None = None) -> None:
        """Choose a model, or send it a message; see ``%nupic?``.

        ::

          %nupic MODEL [URL] [--formatter FAMILY] [--system TEXT]
                 [--max-tokens N] [--temperature T] [--top-p P] [--seed N] [--stop TEXT] [--timeout SECONDS]
          %nupic --reset
          %nupic

          %%nupic [the same options] [--plain] [--no-stats]
          What is the capital of France?
        """
        try:
            if cell is None:
                self._choose(self._parsed(line))
            else:
                self._ask(self._parsed(line), cell)
        except NupicError as error:
            raise OneLineError(f"{type(error).__name__}: {' '.join(str(error).split())}") from None
        except KeyboardInterrupt:
            raise Stopped from None

    def close(self) -> None:
        """Close the connection and forget the conversation."""
        client, self._client, self.conversation = self._client, None, None
        if client is not None:
            client.close()

    def complete(self, _shell: Any, event: Any) -> list[str]:
        """Return what may stand after ``%nupic``: the options, and before them the names of models."""
        words = event.line.split()
        options = sorted(self._parser._option_string_actions)  # noqa: SLF001 - argparse has no other way
        given = [word for word in words[1:] if not word.startswith("-") and word != event.symbol]
        models = [] if given else sorted(default_registry())
        return [word for word in (*options, *models) if word.startswith(event.symbol)]

    def _parsed(self, line: str) -> argparse.Namespace:
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"{error}: {line.strip()}") from None
        return self._parser.parse_args(words)

    def _choose(self, given: argparse.Namespace) -> None:
        options = self._given(given)
        if given.model is not None:
            client = StreamingClient(given.model, given.url, formatter=given.formatter)
            if client.formatter is None:
                raise UsageError(
                    f"the prompt format of model {given.model!r} is not known: {client.model.suggestion}"
                    "give --formatter with a family such as chatml or zephyr"
                )
            conversation = Conversation(client.with_options(**options), system=given.system)
            self.close()
            self._client, self.conversation, self._options = client, conversation, options
        else:
            client, conversation = self._chosen()
            client.with_options(**options)  # which checks them
            self._options |= options
            self._change(conversation, given)
            if not options and given.system is None and not given.reset:
                said = len(conversation.messages)
                print(f"{client.model.name} at {client.url}, {said} messages")  # noqa: T201 - a magic talks

    def _ask(self, given: argparse.Namespace, cell: str) -> None:
        if given.model is not None:
            raise UsageError(f"{given.model!r} must be an option: the model is chosen by %nupic MODEL [URL]")
        _, conversation = self._chosen()
        self._change(conversation, given)
        stream = conversation.stream(cell.strip(), **{**self._options, **self._given(given)})
        show(stream, markdown=not given.plain, stats=not given.no_stats)

    def _change(self, conversation: Conversation, given: argparse.Namespace) -> None:
        if given.reset:
            conversation.clear()
        if given.system is not None:
            conversation.system = given.system

    def _given(self, given: argparse.Namespace) -> dict[str, Any]:
        return {name: getattr(given, name) for name in _OPTIONS if getattr(given, name) is not None}

    def _chosen(self) -> tuple[StreamingClient, Conversation]:
        if self._client is None or self.conversation is None:
            raise UsageError("no model yet: choose one with %nupic MODEL [URL]")
        return self._client, self.conversation


def load_ipython_extension(shell: Any) -> None:
    """Add the magics to a shell: ``%load_ext nupic_client.integrations.jupyter`` calls this.

    From then on an error of this package is shown with the lines of the notebook that led to it, and none of the package.
    """
    magics = NupicMagics(shell)
    shell.register_magics(magics)
    shell.set_hook("complete_command", magics.complete, re_key=r"%%?nupic")
    if not shell.custom_exceptions:
        shell.set_custom_exc((NupicError,), _show_error)


def unload_ipython_extension(shell: Any) -> None:
    """Close the connection of the magics: ``%unload_ext`` calls this."""
    magics = shell.magics_manager.registry.get(NupicMagics.__name__)
    if magics is not None:
        magics.close()
    if shell.custom_exceptions == (NupicError,):
        shell.set_custom_exc((), None)


def _show_error(
    shell: Any, kind: type[NupicError], error: NupicError, trace: Any, *_others: Any, **_: Any
) -> Any:
    ours = str(Path(nupic_client.__file__).parent)
    frames = traceback.extract_tb(trace)
    cells = [frame for frame in frames[1:] if not frame.filename.startswith(ours)]  # the first is the shell's
    lines = [f"line {frame.lineno}, in {frame.name}: {frame.line}" for frame in cells]
    shown = [*lines, f"{kind.__name__}: {printable_lines(str(error))}"]
    shell._showtraceback(kind, error, shown)  # noqa: SLF001 - what IPython's documentation of set_custom_exc does
    return shown
