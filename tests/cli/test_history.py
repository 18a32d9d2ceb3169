"""What is kept of a chat for the next one: for its user alone, bounded, and without secrets."""

import json
import os
import select
import stat
import sys
from pathlib import Path

import pytest

from nupic_client.cli import history
from nupic_client.cli.history import VARIABLE, ChatHistory

posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")


def kept(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_messages_are_there_in_the_next_chat(tmp_path):
    path = tmp_path / "state" / "chat-history"
    first = ChatHistory(path)
    assert first.entries == []
    for text in ("Hi", "two\nlines", "naïve 中", "naïve 中", "", "  "):
        first.add(text)
    assert ChatHistory(path).entries == ["Hi", "two\nlines", "naïve 中"] == first.entries


@posix
def test_only_the_user_can_read_it(tmp_path):
    path = tmp_path / "state" / "chat-history"
    ChatHistory(path).add("Hi")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    ChatHistory(path).add("again")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text",
    [
        " begins with a blank",
        "my key is sk-proj-abcdefghijklmnop1234",
        "use hf_abcdefghijklmnopqrstuv",
        "nvapi-0123456789abcdefghij",
        "ghp_0123456789abcdefghijABCDEF",
        "AKIAIOSFODNN7EXAMPLE12 is in the log",
        "Authorization: Bearer abcdefghijklmno",
        "the password is hunter2",
        'why does {"api_key": "x"} fail?',
        "-----BEGIN RSA PRIVATE KEY-----\nMII",
        "postgres://me:hunter2@db/app",
        "this has the-token-of-this-run in it",
        "x" * 100_000,
    ],
)
def test_secrets_are_not_kept(tmp_path, text):
    path = tmp_path / "chat-history"
    assert not ChatHistory(path, ["the-token-of-this-run", ""]).add(text)
    assert not path.exists()


@pytest.mark.parametrize(
    "text", ["What is a token?", "How do I choose a password?", "/set temperature 0.2", "https://a.b/c"]
)
def test_talk_about_secrets_is_kept(tmp_path, text):
    assert ChatHistory(tmp_path / "chat-history").add(text)


def test_it_does_not_grow_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "_MOST_BYTES", 2000)
    path = tmp_path / "chat-history"
    many = ChatHistory(path)
    for number in range(500):
        many.add(f"message {number}")
    assert path.stat().st_size > 2000
    entries = ChatHistory(path).entries
    assert entries[-1] == "message 499"
    assert path.stat().st_size <= 1000
    assert kept(path) == entries == ChatHistory(path).entries


def test_what_others_wrote_into_it_is_left_out(tmp_path):
    path = tmp_path / "chat-history"
    path.write_bytes(b'"Hi"\nnonsense\n5\n\xff\n"Hello"\n')
    assert ChatHistory(path).entries == ["Hi", "Hello"]


def test_a_place_that_cannot_be_written_is_no_reason_to_stop(tmp_path):
    (tmp_path / "file").touch()
    nowhere = ChatHistory(tmp_path / "file" / "chat-history")
    assert nowhere.add("Hi")
    assert nowhere.entries == ["Hi"]


@posix
def test_a_device_or_a_pipe_is_no_history(tmp_path):
    leader, terminal = os.openpty()
    try:
        device = Path(os.ttyname(terminal))
        mode = device.stat().st_mode
        assert ChatHistory(device).add("Hi")
        assert device.stat().st_mode == mode
        assert select.select([leader], [], [], 0)[0] == []
    finally:
        os.close(leader)
        os.close(terminal)
    os.mkfifo(tmp_path / "pipe")
    assert ChatHistory(tmp_path / "pipe").entries == []
    assert ChatHistory(tmp_path / ("x" * 5000)).entries == []


def test_where_it_is_and_how_it_is_switched_off(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    ChatHistory.of_user(kept=True).add("Hi")
    assert kept(tmp_path / "mine") == ["Hi"]
    assert ChatHistory.of_user(kept=False).entries == []
    monkeypatch.setenv(VARIABLE, "off")
    assert ChatHistory.of_user(kept=True).entries == []
    monkeypatch.delenv(VARIABLE)
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    ChatHistory.of_user(kept=True).add("there")
    (path,) = tmp_path.rglob("nupic_client/chat-history")
    assert kept(path) == ["there"]
