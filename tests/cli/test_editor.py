"""The editors of a chat's lines where there is no terminal of POSIX: Windows, macOS's libedit; and `/edit`."""

import stat
import sys
import types

import pytest

from nupic_client import ConfigurationError
from nupic_client.cli import chat
from nupic_client.cli import editor as editors
from nupic_client.cli.history import ChatHistory


@pytest.fixture
def history(tmp_path):
    return ChatHistory(tmp_path / "history")


def words(line):
    return [word for word in ("/set", "/save", "/a-folder/") if word.startswith(line)]


def test_without_any_library_the_terminals_own_line_is_taken(history, monkeypatch):
    for name in ("prompt_toolkit", "readline"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("builtins.input", lambda _prompt="": "Hi")
    editor = editors.editor(history, words)
    assert editor.ask(">>> ") == "Hi"
    editor.remember("Hi")
    assert history.entries == ["Hi"]


class Readline(types.ModuleType):
    """What Python's module has, with what was asked of it."""

    def __init__(self, doc):
        super().__init__("readline", doc)
        self.bound, self.history, self.line = [], [], ""
        self.parse_and_bind, self.add_history = self.bound.append, self.history.append
        self.set_auto_history = self.set_completer_delims = lambda _: None
        self.get_line_buffer, self.get_endidx = lambda: self.line, lambda: len(self.line)

    def set_completer(self, completer):
        self.completer = completer

    def candidates(self, line):
        self.line = line
        found = []
        while (word := self.completer("", len(found))) is not None:
            found.append(word)
        return found


@pytest.mark.parametrize(
    ("doc", "term", "bound"),
    [
        ("libedit readline", "xterm", ["bind ^I rl_complete"]),
        ("GNU readline", "xterm", ["tab: complete", "set enable-bracketed-paste on"]),
        ("GNU readline", "dumb", ["tab: complete", "set enable-bracketed-paste off"]),
    ],
)
def test_each_readline_is_set_up_as_it_must_be(history, monkeypatch, doc, term, bound):
    module = Readline(doc)
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    monkeypatch.setitem(sys.modules, "readline", module)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "platform", "linux")
    history.add("earlier")
    editor = editors.editor(history, words)
    editor.remember("Hi")
    assert (module.bound, module.history) == (bound, ["earlier", "Hi"])
    assert module.candidates("/s") == ["/set", "/save"]
    assert module.candidates("/se") == ["/set "]
    assert module.candidates("/a") == ["/a-folder/"]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Make a program the user's editor."""

    def program(script):
        path = tmp_path / "my editor"
        path.write_text(f"#!{sys.executable}\nimport sys\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("VISUAL", f"'{path}'")

    return program


@pytest.mark.skipif(sys.platform == "win32", reason="a script as a program")
def test_edit_takes_what_the_editor_wrote(program, monkeypatch):
    program("text = open(sys.argv[1]).read(); open(sys.argv[1], 'w').write(text.upper())")
    assert chat._edited("a\nb") == "A\nB"
    program("sys.exit(3)")
    with pytest.raises(ConfigurationError, match="ended with code 3"):
        chat._edited("a")
    monkeypatch.setenv("VISUAL", "no-such-editor-here")
    with pytest.raises(ConfigurationError, match="/edit cannot start 'no-such-editor-here': No such file"):
        chat._edited("a")
