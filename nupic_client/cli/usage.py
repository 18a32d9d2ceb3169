"""The parser of the command line: what is wrong with it is one line, with the name that was meant."""

from __future__ import annotations

import argparse
import itertools
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from nupic_client._suggest import did_you_mean, listed
from nupic_client.cli.exit_codes import ExitCode
from nupic_client.cli.terminal import TextOutput, complain, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Parser", "commands_of"]


class Parser(argparse.ArgumentParser):
    """A parser with errors of one line, and one that says so when its help cannot be written."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._given: list[str] = []
        self.register("type", int, _whole_number)
        self.register("type", float, _number)

    def parse_known_args(  # type: ignore[override]  # as the base class has it, without its overloads
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse arguments, of which none may be left over for a command."""
        self._given = list(sys.argv[1:] if args is None else args)
        found, rest = super().parse_known_args(args, namespace)
        if rest and not commands_of(self):
            if not self._took(rest, found):
                self.error(f"unexpected argument {rest[0]!r}: a text with blanks must be between quotes")
            rest = []
        return found, rest

    def _took(self, rest: list[str], found: Any) -> bool:
        """Take further words of an argument that takes several: argparse leaves those that options stand between."""
        many = [action for action in self._actions if action.nargs == "*" and not action.option_strings]
        if not many or set(rest) & set(self._given_options()):
            return False
        words = [word for word in rest if word != "--"]
        getattr(found, many[0].dest).extend(self._get_value(many[0], word) for word in words)
        return True

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, and end with the code for that."""
        unknown = next((word for word in self._given_options() if not self.knows(word)), None)
        if unknown is not None:
            message = f"there is no option {_named(unknown)}{self._near_options(unknown)}"
            if any(
                parser.knows(unknown) for parser in commands_of(self).values() if isinstance(parser, Parser)
            ):
                message = f"{_named(unknown)} must stand after the command"
        for pattern, words in _BETTER_WORDS.items():
            message = re.sub(pattern, words, message)
        complain(f"{printable(message)} ({self.prog} --help explains)")
        self.exit(int(ExitCode.USAGE))

    def knows(self, word: str) -> bool:
        """Return whether a word is an option of this parser, perhaps with its value."""
        known = self._option_string_actions
        return word in known or _named(word) in known or (word[1] != "-" and word[:2] in known)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is none of the choices, with the near ones."""
        choices = action.choices
        if choices is None or value in choices:
            return
        known = [str(choice) for choice in choices]
        near = did_you_mean(value, known)
        if isinstance(choices, dict):
            elsewhere = _ELSEWHERE.get(value)
            near = f"did you mean {elsewhere!r}? " if elsewhere else near
            self.error(f"there is no command {value!r}: {near}the commands are {', '.join(known)}")
        raise argparse.ArgumentError(
            action, f"must be one of {listed(known)}, not {value!r}: {near}".rstrip(": ")
        )

    def _print_message(self, message: str, file: Any = None) -> None:
        if message and file is sys.stdout is not None:
            TextOutput().write(message)
        else:
            super()._print_message(message, file)

    def _given_options(self) -> list[str]:
        """Return what argparse takes for options: before ``--``, no numbers, and no texts with a blank."""
        if commands_of(self):  # what follows the command is the command's
            return [*itertools.takewhile(lambda word: word.startswith("-"), self._given)]
        end = self._given.index("--") if "--" in self._given else len(self._given)
        return [word for word in self._given[:end] if re.fullmatch(r"-(?!\d|\.\d)\S+", word)]

    def _near_options(self, word: str) -> str:
        known = [option for option in self._option_string_actions if option.startswith("--")]
        name = _named(word)
        if len(name) == 2:
            near = [option for option in known if option[2] == name[1]]
            return f": did you mean {' or '.join(near)}?" if near else ""
        suggestion = (
            did_you_mean(name if name.startswith("--") else f"-{name}", known).replace("'", "").rstrip()
        )
        return f": {suggestion}" if suggestion else ""


_ELSEWHERE = {
    "help": "--help",
    "version": "--version",
    "list": "models",
    "ls": "models",
    "run": "chat",
    "ask": "generate",
    "complete": "generate",
    "ping": "health",
    "status": "health",
    "embeddings": "embed",
    "completions": "completion",
}
"""Commands of other programs for language models, and what they are called here."""
_BETTER_WORDS = {
    r"^argument (?:-\w/)?(--[\w-]+): expected one argument$": r"\1 must have a value",
    r"^argument (?:-\w/)?(--[\w-]+): not allowed with argument (?:-\w/)?(.+)$": r"\1 must not be given with \2",
    r"^argument (?:-\w/)?(--[\w-]+): (?=must )": r"\1 ",
    r"-\w/(?=--)": "",
    r"^argument (\w+): (?=must )": r"\1 ",
    r"^argument (?:-\w/)?": "",
}
"""The beginnings of argparse's texts, and those of the rest of this program."""


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the commands of a program by their names; empty for a parser without any."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to its options
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    return {}


def _named(word: str) -> str:
    return word.partition("=")[0]


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r:.80}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r:.80}") from None
