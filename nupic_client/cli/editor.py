"""Typed input: a line with the keys of an editor, or a pasted block as one text.

prompt_toolkit does it where it is installed. Otherwise GNU readline does, which knows where a paste ends; with libedit
(macOS) and on Windows each pasted line is a line.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol

from nupic_client._terminal import is_terminal
from nupic_client.cli.stdin import typed_text, whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from nupic_client.cli.history import ChatHistory

__all__ = ["Editor", "editor"]


class Editor(Protocol):
    """What asks the user for a line."""

    def ask(self, prompt: str) -> str:
        """Return what was typed or pasted.

        Raises:
            EOFError: the user leaves.
            KeyboardInterrupt: the user drops the line.
            ConfigurationError: it is not text.
        """
        ...

    def remember(self, text: str) -> None:
        """Let the user find a message again."""
        ...


def editor(history: ChatHistory, complete: Callable[[str], list[str]]) -> Editor:
    """Return the best editor that is here.

    Args:
        history: the messages of earlier chats.
        complete: returns the possible last words of a line that begins so.
    """
    if is_terminal(sys.stdout) and not _is_dumb():
        with contextlib.suppress(ImportError):
            return _ToolkitEditor(history, complete)
    with contextlib.suppress(ImportError):
        return _ReadlineEditor(history, complete)
    return _PlainEditor(history)


class _PlainEditor:
    """The line of the terminal itself."""

    def __init__(self, history: ChatHistory) -> None:
        self._history = history

    def ask(self, prompt: str) -> str:
        return typed_text(prompt)

    def remember(self, text: str) -> None:
        self._history.add(text)


class _ReadlineEditor(_PlainEditor):
    """Python's readline, which edits the line of ``input``."""

    def __init__(self, history: ChatHistory, complete: Callable[[str], list[str]]) -> None:
        import readline  # noqa: PLC0415 - Windows has no such module

        super().__init__(history)
        self._readline = readline
        self._complete = complete
        self._found: list[str] = []
        readline.set_auto_history(False)  # what is typed at a question is no message
        for entry in history.entries:
            readline.add_history(entry)
        readline.set_completer_delims(" \t\n")
        readline.set_completer(self._candidate)
        if _is_libedit(readline):
            readline.parse_and_bind("bind ^I rl_complete")
        else:
            readline.parse_and_bind("tab: complete")
            # Python switches it off, for its own prompt. A dumb terminal would show it.
            on = "off" if _is_dumb() else "on"
            readline.parse_and_bind(f"set enable-bracketed-paste {on}")

    def remember(self, text: str) -> None:
        self._history.add(text)
        self._readline.add_history(text)

    def _candidate(self, _word: str, index: int) -> str | None:
        if index == 0:
            line = self._readline.get_line_buffer()[: self._readline.get_endidx()]
            found = self._complete(line)
            single = len(found) == 1 and not found[0].endswith(os.sep)
            self._found = [f"{found[0]} "] if single else found
        return self._found[index] if index < len(self._found) else None


class _ToolkitEditor:
    """prompt_toolkit: completions in a menu, and Alt-Enter for a new line."""

    def __init__(self, history: ChatHistory, complete: Callable[[str], list[str]]) -> None:
        from prompt_toolkit import PromptSession  # noqa: PLC0415 - of the extra chat
        from prompt_toolkit.completion import Completer, Completion  # noqa: PLC0415
        from prompt_toolkit.filters import Condition  # noqa: PLC0415
        from prompt_toolkit.history import InMemoryHistory  # noqa: PLC0415
        from prompt_toolkit.key_binding import KeyBindings  # noqa: PLC0415

        class Words(Completer):
            def get_completions(self, document: Any, complete_event: Any) -> Any:  # noqa: ARG002 - as it is called
                line = document.text_before_cursor
                start = -len(line.rpartition(" ")[2])
                return (Completion(word, start) for word in complete(line))

        class Messages(InMemoryHistory):
            def append_string(self, string: str) -> None:
                """Leave it to `remember`: a part of a message is none."""

        self._add = InMemoryHistory.append_string
        keys = KeyBindings()

        @keys.add("escape", "enter")
        def _(event: Any) -> None:
            event.current_buffer.insert_text("\n")

        self._history = history
        self._messages = Messages(history.entries)
        self._session: Any = PromptSession(
            history=self._messages,
            completer=Words(),
            complete_while_typing=Condition(lambda: self._session.default_buffer.text.startswith("/")),
            key_bindings=keys,
            prompt_continuation="... ",
            reserve_space_for_menu=4,
        )

    def ask(self, prompt: str) -> str:
        return whole(self._session.prompt(prompt))

    def remember(self, text: str) -> None:
        self._history.add(text)
        self._add(self._messages, text)


def _is_dumb() -> bool:
    return sys.platform != "win32" and os.environ.get("TERM", "dumb") in {"", "dumb"}


def _is_libedit(readline: ModuleType) -> bool:
    backend = getattr(readline, "backend", None)  # since Python 3.13
    return backend == "editline" if backend else "libedit" in (readline.__doc__ or "")
