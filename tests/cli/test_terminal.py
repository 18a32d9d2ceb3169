"""Terminals get no control characters from strangers (P-F12), and streams of any encoding get text (P-F13)."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli.processes import CLI, Terminal, environment, run_cli

from nupic_client.cli.stdin import read_lines, read_text
from nupic_client.cli.terminal import json_text, printable, shell_text, shown_on
from nupic_client.testing import FakeTriton, fail, text_signature

posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals and shells of POSIX")
slow = pytest.mark.slow

CONTROLS = [
    *[chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"],
    *"\u061c\u180e\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2064\u2066\u2067\u2068\u2069\ufeff",
    "\ufff9",
    "\U000e0041",
]
ATTACKS = {
    "clipboard": "\x1b]52;c;SGVsbG8=\x07",
    "title": "\x1b]0;title\x07",
    "clear": "\x1b[2J",
    "reset": "\x1bc",
    "hidden": "\x1b[8msecret\x1b[0m",
    "overwriting": "rm -rf\r# fine",
    "backspace": "rm\b\bls",
    "c1": "\x9b2J\x9d0;title\x9c",
    "bidi": "\u202egnp.exe\u2066",
    "tags": "\U000e0069\U000e0067",
}
HARMLESS = "naïve 中 🙂 👨\u200d👩\u200d👧 می\u200cخواهم ½ \u00a0\u00ad\ttab\nline"


class Screen(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("character", CONTROLS)
def test_each_control_is_a_picture_on_a_terminal_and_itself_in_a_pipe(character):
    shown = shown_on(Screen(), f"a{character}b")
    assert character not in shown
    assert shown[0] + shown[-1] == "ab"
    assert shown_on(io.StringIO(), f"a{character}b") == f"a{character}b"
    assert character not in printable(f"a{character}b")


def test_ordinary_text_is_shown_as_it_is():
    assert shown_on(Screen(), HARMLESS) == HARMLESS


def test_json_on_a_terminal_escapes_and_stays_json(monkeypatch):
    value = {"text": "".join([*CONTROLS, HARMLESS])}
    monkeypatch.setattr(sys, "stdout", Screen())
    text = json_text(value)
    assert json.loads(text) == value
    assert not any(character in text for character in CONTROLS)
    assert "中" in text


@pytest.fixture
def hostile():
    with FakeTriton(models=[text_signature("smollm2.streaming")]) as server:
        yield server


def screen(*arguments, **changes):
    with Terminal([*CLI, *arguments], **changes) as terminal:
        terminal.wait()
        return terminal.screen.text


def assert_harmless(shown):
    assert not [character for character in shown if character in CONTROLS]
    assert "Traceback" not in shown


@slow
@posix
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_answer_cannot_control_the_terminal(hostile, attack):
    """P-F12: also where a chunk ends inside of a sequence; a pipe gets the text as it is."""
    text = f"before {ATTACKS[attack]} after"
    hostile.reply = list(text)
    shown = screen("generate", "--url", hostile.url, "Hi")
    assert_harmless(shown)
    assert "before " in shown
    assert " after" in shown
    assert_harmless(screen("generate", "--json", "--url", hostile.url, "Hi"))
    assert run_cli("generate", "--url", hostile.url, "Hi", binary=True).stdout == f"{text}\n".encode()


@slow
@posix
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_servers_error_cannot_control_the_terminal(hostile, attack):
    hostile.reply = ["Once", fail(f"no {ATTACKS[attack]} more")]
    shown = screen("generate", "--url", hostile.url, "Hi")
    assert_harmless(shown)
    assert "nupic-client: error: " in shown


@slow
@posix
def test_a_conversation_of_a_file_cannot_control_the_terminal(tmp_path):
    file = tmp_path / "talk.json"
    everything = "".join(ATTACKS.values())
    file.write_text(
        json.dumps([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": everything}])
    )
    for more in ([], ["--raw"]):
        shown = screen("prompt", "--family", "chatml", "--messages", str(file), *more, NO_COLOR="1")
        assert_harmless(shown)
        assert "clipboard" not in shown
        assert "]52;c;" in shown


ENCODINGS = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "cp932": {"PYTHONIOENCODING": "cp932"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "ascii": {"PYTHONIOENCODING": "ascii:strict"},
    "utf-16": {"PYTHONIOENCODING": "utf-16"},
    "POSIX": {"PYTHONIOENCODING": "", "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
}
FOREIGN = "naïve 中 🙂"


@pytest.fixture(params=ENCODINGS)
def stdio(request):
    if request.param == "POSIX" and sys.platform == "win32":
        pytest.skip("a locale of POSIX")
    return ENCODINGS[request.param]


@slow
def test_json_loses_nothing_in_any_encoding(server, stdio):
    """P-F13."""
    server.reply = [FOREIGN]
    finished = run_cli("generate", "--url", server.url, "--json", "Hi", binary=True, **stdio)
    assert finished.returncode == 0
    encoding = "utf-16" if stdio["PYTHONIOENCODING"] == "utf-16" else "ascii"
    assert json.loads(finished.stdout.decode(encoding))["text"] == FOREIGN


@slow
def test_no_encoding_is_a_traceback(server, stdio):
    """P-F13."""
    server.reply = [FOREIGN]
    for command in (["generate", "--url", server.url], ["prompt", "--family", "zephyr"]):
        finished = run_cli(*command, FOREIGN, binary=True, **stdio)
        assert finished.returncode == 0
        assert b"Traceback" not in finished.stderr
        assert finished.stdout
    assert FOREIGN in server.requests[0].prompt  # the argument, whatever the locale


@slow
@pytest.mark.parametrize("text", [FOREIGN, "a\r\nb\rc\u2028d", "\ufeffx"])
def test_the_documented_pipe_is_utf_8(server, stdio, text):
    """P-F13: ``prompt --raw | generate --raw -`` sends what `prompt` wrote, byte by byte."""
    written = run_cli("prompt", "--raw", "--family", "deepseek", text, binary=True, **stdio).stdout
    run_cli("generate", "--raw", "--url", server.url, "-", stdin=written, binary=True, **stdio)
    assert server.requests[0].prompt == f"<｜begin▁of▁sentence｜><｜User｜>{text}<｜Assistant｜>"


@slow
def test_stdin_is_utf_8_for_every_command(server, stdio):
    for command in (["generate"], ["chat"]):
        assert (
            run_cli(
                *command,
                "--url",
                server.url,
                *(["-"] if command == ["generate"] else []),
                stdin=f"\ufeff{FOREIGN}\r\n".encode(),
                binary=True,
                **stdio,
            ).returncode
            == 0
        )
        assert f"user\n{FOREIGN}<|im_end|>" in server.requests[-1].prompt


@slow
@pytest.mark.parametrize(
    ("data", "place"),
    [
        ("na\xefve\n".encode("latin-1"), "byte 0xef at position 2 (line 1, byte 3)"),
        ("one\r\ntwo\nna\xefve\n".encode("latin-1"), "byte 0xef at position 11 (line 3, byte 3)"),
        ("Hi\n".encode("utf-16"), "byte 0xff at position 0 (line 1, byte 1)"),
        ("日本".encode("cp932"), "byte 0x93 at position 0"),
        ("naï".encode()[:-1], "byte 0xc3 at position 2"),
    ],
)
def test_a_stdin_that_is_not_utf_8_says_where(main, typed, capsys, data, place):
    """P-F11."""
    typed(data)
    assert main("generate", "-") == 2
    assert f"stdin must be UTF-8 text, not with {place}" in capsys.readouterr().err


def test_ends_of_lines_are_kept_only_where_the_text_must_stay(typed):
    typed(b"a\r\nb\rc\n")
    assert read_text() == "a\nb\nc\n"
    typed(b"a\r\nb\rc\n")
    assert read_text(exact=True) == "a\r\nb\rc\n"


def test_an_argument_of_another_locale_is_utf_8():
    assert shell_text("plain") == "plain"
    assert shell_text("caf\udcc3\udca9") == "café"
    assert shell_text("na\udcefve") == "na\udcefve"


@slow
@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("generate --url {url} Hi >/dev/full", 1, "stdout cannot be written: No space left on device"),
        ("generate --json --url {url} Hi >/dev/full", 1, "stdout cannot be written"),
        ("chat --url {url} >/dev/full", 1, "stdout cannot be written"),
        ("models --url {url} >/dev/full", 1, "stdout cannot be written"),
        ("health --url {url} >/dev/full", 1, "stdout cannot be written"),
        ("prompt Hi >/dev/full", 1, "stdout cannot be written"),
        ("prompt --raw Hi >/dev/full", 1, "stdout cannot be written"),
        ("--help >/dev/full", 1, "stdout cannot be written"),
        ("--version >/dev/full", 1, "stdout cannot be written"),
        ("generate --url {url} Hi >&-", 1, "stdout must be open, not closed"),
        ("generate --url {url} - <&-", 2, "stdin must be open, not closed"),
        ("chat --url {url} <&-", 2, "stdin must be open, not closed"),
        ("generate --url {url} Hi 2>/dev/full", 0, ""),
        ("generate --url {url} Hi 2>&-", 0, ""),
        ("generate --url {url} Hi >&- 2>&-", 1, ""),
        ("generate --url {url} Hi | true", 0, None),
        ("prompt --raw Hi | true", 0, None),
        ("models --url {url} | true", 0, None),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_stream_that_takes_nothing_is_one_sentence_and_a_code(server, line, code, words, unbuffered):
    """P-F13, also with a stream that fails at once rather than at its flush."""
    script = f"{' '.join(CLI)} {line.format(url=server.url)}; exit ${{PIPESTATUS[0]}}"
    pipe = None if "<&-" in line else b"Hi\n"
    finished = subprocess.run(
        ["bash", "-c", script],
        input=pipe,
        capture_output=True,
        env=environment(PYTHONUNBUFFERED=unbuffered),
        check=False,
        timeout=60,
    )
    error = finished.stderr.decode()
    assert finished.returncode == code, error
    assert "Traceback" not in error
    assert "Exception ignored" not in error
    if words:
        assert words in error
        assert error.count("nupic-client: error: ") == 1


def test_a_typed_line_that_is_not_text_is_left_out(monkeypatch):
    """P-F11: what `input` makes of it depends on the locale and on readline."""
    typed = iter(
        [UnicodeDecodeError("utf-8", b"na\xefve", 2, 3, "invalid"), KeyboardInterrupt(), "Hi", EOFError()]
    )

    def ask(_prompt=""):
        item = next(typed)
        if isinstance(item, BaseException):
            raise item
        return item

    monkeypatch.setattr(sys, "stdin", Screen())
    monkeypatch.setattr("builtins.input", ask)
    lost = []
    assert list(read_lines(lost.append)) == ["Hi"]
    assert [error.message for error in lost] == [
        "the line must be utf-8 text, as the terminal's locale says: invalid"
    ]
