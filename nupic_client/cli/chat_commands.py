"""The commands of a chat: their names, their help, and the words that complete a line."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

from nupic_client._suggest import did_you_mean, listed
from nupic_client.display import printable
from nupic_client.errors import ConfigurationError
from nupic_client.sampling import OPTION_NAMES, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "ALIASES",
    "COMMANDS",
    "HELP",
    "SWITCHES",
    "completions",
    "option_value",
    "read_switch",
    "setting_name",
]

COMMANDS = (
    "/help", "/system", "/model", "/set", "/retry", "/undo", "/clear", "/save", "/load", "/multi", "/edit", "/stats",
    "/exit",
)  # fmt: skip
ALIASES = {"/?": "/help", "/bye": "/exit", "/quit": "/exit", "/reset": "/clear", "/multiline": "/multi"}
"""Other names, which users of other programs know."""
SWITCHES = {
    "reasoning": ("show", "hide"),
    "markdown": ("on", "off"),
    "stats": ("on", "off"),
}
"""Settings of the chat itself, with their values."""
HELP = '''\
/system TEXT       set the system prompt; without a text, show it
/model NAME        go on with another model; without a name, list them
/set OPTION VALUE  set an option, as temperature 0.2; default takes it back;
                   without both, show what is set
/retry             ask the last message again
/undo              forget the last message and its answer
/clear             forget the conversation, but not the system prompt
/save FILE         write the conversation to a file
/load FILE         go on with the conversation in a file
/multi             a message of several lines, up to a line /end
/edit              write a message in $VISUAL or $EDITOR
/stats             show the figures of the last answer and of this chat
/help              show this
/exit              leave, as Ctrl-D does
"""                begins and ends a message of several lines; a pasted
                   block is one message by itself
Ctrl-C stops an answer; the part that was shown stays in the conversation.'''


def completions(line: str, models: Callable[[], Iterable[str]]) -> list[str]:
    """Return what the last word of a line may become.

    Args:
        line: what stands before the cursor.
        models: returns the names of the server's models.
    """
    if not line.startswith("/") or "\n" in line:
        return []
    command, *words = line.split(" ")
    if not words:
        return [name for name in COMMANDS if name.startswith(command)]
    known: Iterable[str] = ()
    word = words[-1]
    if command in {"/save", "/load"} and len(words) == 1:
        return _files(word)
    if command == "/model" and len(words) == 1:
        known = models()
    elif command == "/set" and len(words) == 1:
        known = sorted([*OPTION_NAMES, *SWITCHES])
    elif command == "/set" and len(words) == 2:
        known = SWITCHES.get(words[0], ("default",))
    # Names of models are the server's: readline and a terminal may take a control character in one for a command.
    return [name for name in known if name.startswith(word) and name == printable(name)]


def setting_name(text: str) -> str:
    """Return the name of a setting, as it is written in an option or in Python.

    Raises:
        ConfigurationError: there is no such setting.
    """
    name = text.lstrip("-").replace("-", "_")
    known = sorted([*OPTION_NAMES, *SWITCHES])
    if name not in known:
        raise ConfigurationError(
            f"there is no setting {text!r}: {did_you_mean(name, known)}the settings are {listed(known)}"
        )
    return name


def option_value(name: str, text: str) -> object:
    """Return the value of a sampling option.

    Raises:
        ConfigurationError: it is none.
    """
    if name == "stop":
        value: object = text.replace("\\n", "\n").replace("\\t", "\t")
    else:
        value = _number(text)
    try:
        SamplingParams(**{name: value})  # type: ignore[arg-type]  # it checks the type, too
    except ConfigurationError as error:
        raise ConfigurationError(error.message) from None
    return value


def read_switch(name: str, text: str) -> bool:
    """Return whether a setting of the chat is switched on.

    Raises:
        ConfigurationError: the value is none of it.
    """
    on, off = SWITCHES[name]
    if text not in {on, off}:
        raise ConfigurationError(f"{name} must be {on} or {off}, not {text!r:.80}")
    return text == on


def _number(text: str) -> object:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _files(word: str) -> list[str]:
    pattern = glob.escape(os.path.expanduser(word))  # noqa: PTH111 - Path would drop a slash at the end
    home = str(Path("~").expanduser())
    found = sorted(glob.glob(f"{pattern}*"))[:100]  # noqa: PTH207 - the same
    shown = [f"~{name.removeprefix(home)}" if word.startswith("~") else name for name in found]
    return [
        f"{name}{os.sep}" if Path(real).is_dir() else name for name, real in zip(shown, found, strict=True)
    ]
