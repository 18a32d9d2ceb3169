"""`nupic-client completion`: the script that completes this program's words in a shell."""

from __future__ import annotations

import argparse
import re
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from nupic_client.cli.exit_codes import ExitCode
from nupic_client.cli.terminal import TextOutput
from nupic_client.cli.usage import commands_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["SHELLS", "add_command", "script"]

_EPILOG = """\
examples:
  bash        echo 'eval "$(nupic-client completion bash)"' >> ~/.bashrc
  zsh         echo 'eval "$(nupic-client completion zsh)"' >> ~/.zshrc     (after compinit)
  fish        nupic-client completion fish > ~/.config/fish/completions/nupic-client.fish
  powershell  Add-Content $PROFILE 'nupic-client completion powershell | Out-String | Invoke-Expression'
"""
_PLACES = frozenset({"FILE", "INPUT", "OUTPUT", "PATH_OR_URL"})
"""How a value is called that is the name of a file."""


class _Option(NamedTuple):
    names: tuple[str, ...]
    value: str
    """``none``, ``file``, ``words`` or ``any``."""
    words: tuple[str, ...]
    help: str


class _Command(NamedTuple):
    name: str
    help: str
    options: tuple[_Option, ...]
    takes_files: bool
    words: tuple[str, ...]
    """What its argument may be."""


def add_command(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "completion",
        help="print the script that completes words in a shell",
        description="Print the script that completes this program's commands, options and files in a shell.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=list(SHELLS), help=", ".join(SHELLS))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print the script of a shell."""
    from nupic_client.cli.program import parser  # noqa: PLC0415 - it imports this module

    TextOutput().write(script(arguments.shell, parser()))
    return ExitCode.OK


def script(shell: str, program: argparse.ArgumentParser) -> str:
    """Return the script that completes a program's words.

    Args:
        shell: one of `SHELLS`.
        program: the parser with its commands.
    """
    helps = {action.dest: action.help or "" for action in _choices(program)}
    commands = [
        _Command(name, helps.get(name, ""), tuple(_options(parser)), *_argument(parser))
        for name, parser in commands_of(program).items()
    ]
    return SHELLS[shell](program.prog, commands, tuple(_options(program)))


def _choices(program: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in program._actions:  # noqa: SLF001 - argparse has no public way to its options
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            yield from action._choices_actions  # noqa: SLF001


def _options(parser: argparse.ArgumentParser) -> Iterator[_Option]:
    for action in parser._actions:  # noqa: SLF001 - as above
        if not action.option_strings:
            continue
        metavar = action.metavar if isinstance(action.metavar, str) else ""
        words = tuple(map(str, action.choices or ())) or tuple(
            re.findall(r"[\w-]+", metavar) if "{" in metavar else ()
        )
        kind = "none" if action.nargs == 0 else "words" if words else "file" if metavar in _PLACES else "any"
        first = re.split(r"[;(]|\. ", (action.help or "") % {"default": action.default, "prog": parser.prog})[
            0
        ].strip()
        yield _Option(tuple(action.option_strings), kind, words, first)


def _argument(parser: argparse.ArgumentParser) -> tuple[bool, tuple[str, ...]]:
    """Return whether a command takes files, and the words that it takes otherwise."""
    positional = [action for action in parser._actions if not action.option_strings]  # noqa: SLF001 - as above
    words = tuple(str(word) for action in positional for word in action.choices or ())
    return any(action.metavar in _PLACES for action in positional), words


def _bash(program: str, commands: list[_Command], options: tuple[_Option, ...]) -> str:
    function = _identifier(program)
    cases = []
    for command in commands:
        options_of = f'-W "{" ".join(name for option in command.options for name in option.names)}"'
        after = "".join(
            f"                {'|'.join(option.names)}) {_bash_value(option)}; return ;;\n"
            for option in command.options
            if option.value != "none"
        )
        argument = _bash_words("-f" if command.takes_files else f'-W "{" ".join(command.words)}"')
        cases.append(
            f"        {command.name})\n"
            f'            case "$prev" in\n{after}            esac\n'
            f'            if [[ "$cur" == -* ]]; then {_bash_words(options_of)}'
            f"; else {argument}; fi ;;\n"
        )
    words = " ".join(
        [*(command.name for command in commands), *(name for option in options for name in option.names)]
    )
    return (
        f"{function}() {{\n"
        '    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}"\n'
        "    COMPREPLY=()\n"
        "    if ((COMP_CWORD == 1)); then\n"
        f'        COMPREPLY=($(compgen -W "{words}" -- "$cur")); return\n'
        "    fi\n"
        '    case "${COMP_WORDS[1]}" in\n'
        f"{''.join(cases)}"
        "    esac\n"
        "}\n"
        f"complete -o filenames -F {function} {program}\n"
    )


def _bash_value(option: _Option) -> str:
    return _bash_words("-f" if option.value == "file" else f'-W "{" ".join(option.words)}"')


def _bash_words(source: str) -> str:
    one_a_line = "local IFS=$'\\n'; " if source == "-f" else ""  # names may have blanks
    return f'{one_a_line}COMPREPLY=($(compgen {source} -- "$cur"))'


def _zsh(program: str, commands: list[_Command], options: tuple[_Option, ...]) -> str:
    function = _identifier(program)
    cases = "".join(
        f"        {command.name}) _arguments -S {' '.join(map(_zsh_option, command.options))}"
        f" {shlex.quote(_zsh_argument(command))} ;;\n"
        for command in commands
    )
    names = " ".join(shlex.quote(f"{command.name}:{command.help}") for command in commands)
    own = " ".join(shlex.quote(name) for option in options for name in option.names)
    return (
        f"#compdef {program}\n"
        f"{function}() {{\n"
        f"    local -a commands; commands=({names})\n"
        "    if ((CURRENT == 2)); then\n"
        f"        if [[ $PREFIX == -* ]]; then compadd -- {own}; else _describe command commands; fi\n"
        "        return\n"
        "    fi\n"
        "    local command=$words[2]\n"
        "    shift words; ((CURRENT--))\n"
        f'    case "$command" in\n{cases}    esac\n'
        "}\n"
        f"compdef {function} {program}\n"
    )


def _zsh_argument(command: _Command) -> str:
    return "*:file:_files" if command.takes_files else f"*:value:({' '.join(command.words)})"


def _zsh_option(option: _Option) -> str:
    meaning = re.sub(r"([\[\]:\\])", r"\\\1", option.help)
    value = {
        "none": "",
        "file": ":file:_files",
        "any": ":value: ",
        "words": f":value:({' '.join(option.words)})",
    }
    return " ".join(shlex.quote(f"*{name}[{meaning}]{value[option.value]}") for name in option.names)


def _fish(program: str, commands: list[_Command], options: tuple[_Option, ...]) -> str:
    lines = [f"complete -c {program} -f"]
    lines += [_fish_option(program, "__fish_use_subcommand", option) for option in options]
    for command in commands:
        lines.append(
            f"complete -c {program} -n __fish_use_subcommand -a {command.name} -d {shlex.quote(command.help)}"
        )
        here = f"'__fish_seen_subcommand_from {command.name}'"
        lines += [_fish_option(program, here, option) for option in command.options]
        if command.takes_files:
            lines.append(f"complete -c {program} -n {here} -F")
        if command.words:
            lines.append(f"complete -c {program} -n {here} -a {shlex.quote(' '.join(command.words))}")
    return "\n".join(lines) + "\n"


def _fish_option(program: str, condition: str, option: _Option) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    values = {
        "none": "",
        "file": " -r -F",
        "any": " -x",
        "words": f" -x -a {shlex.quote(' '.join(option.words))}",
    }
    meaning = "'" + option.help.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return f"complete -c {program} -n {condition} {names}{values[option.value]} -d {meaning}"


def _powershell(program: str, commands: list[_Command], options: tuple[_Option, ...]) -> str:
    """Return the script for PowerShell; where it finds no words, PowerShell completes files by itself."""
    first = {command.name: command.help for command in commands}
    first |= {name: option.help for option in options for name in option.names}
    names = {
        command.name: _powershell_words(
            {name: option.help for option in command.options for name in option.names}
        )
        for command in commands
    }
    values = {
        f"{command.name} {name}": _powershell_words(dict.fromkeys(option.words, option.help))
        for command in commands
        for option in command.options
        for name in option.names
        if option.value == "words"
    }
    words = {
        command.name: _powershell_words(dict.fromkeys(command.words, command.help))
        for command in commands
        if command.words
    }
    return f"""\
Register-ArgumentCompleter -Native -CommandName {program} -ScriptBlock {{
    param($word, $line, $cursor)
    $commands = {_powershell_words(first)}
    $options = {_powershell_table(names)}
    $values = {_powershell_table(values)}
    $arguments = {_powershell_table(words)}
    $before = @($line.CommandElements | Where-Object {{ $_.Extent.EndOffset -lt $cursor }} | ForEach-Object {{ "$_" }})
    $found = $null
    if ($before.Count -lt 2) {{ $found = $commands }}
    elseif ($word.StartsWith('-')) {{ $found = $options[$before[1]] }}
    elseif ($values.ContainsKey("$($before[1]) $($before[-1])")) {{ $found = $values["$($before[1]) $($before[-1])"] }}
    else {{ $found = $arguments[$before[1]] }}
    if ($null -eq $found) {{ return }}
    foreach ($name in $found.Keys) {{
        if ($name.StartsWith($word)) {{
            [System.Management.Automation.CompletionResult]::new($name, $name, 'ParameterValue', $found[$name])
        }}
    }}
}}
"""


def _powershell_table(entries: dict[str, str]) -> str:
    lines = "".join(f"\n        {_powershell_text(name)} = {value}" for name, value in entries.items())
    return f"@{{{lines}\n    }}"


def _powershell_words(words: dict[str, str]) -> str:
    """Return words with their meanings, which must not be empty."""
    entries = (
        f"{_powershell_text(word)} = {_powershell_text(meaning or word)}" for word, meaning in words.items()
    )
    return f"[ordered]@{{{'; '.join(entries)}}}"


def _powershell_text(text: str) -> str:
    # In ASCII: Windows PowerShell reads a program's output in the encoding of its console.
    plain = text.replace("…", "...").encode("ascii", "replace").decode().replace("'", "''")
    return f"'{plain}'"


def _identifier(program: str) -> str:
    return "_" + re.sub(r"\W", "_", program)


SHELLS: dict[str, Callable[[str, list[_Command], tuple[_Option, ...]], str]] = {
    "bash": _bash,
    "zsh": _zsh,
    "fish": _fish,
    "powershell": _powershell,
}
"""The shells whose words can be completed."""
