"""Stdin as a prompt that nobody named (U-A19), and a pipe that never says anything."""

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cli.processes import cli_program, run_cli

from nupic_client.cli import stdin
from nupic_client.errors import ConfigurationError
from nupic_client.local.engines.embedding import embedding_signature
from nupic_client.testing import FakeTriton

START = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"


def asked(server, place=-1):
    prompt = server.requests[place].prompt
    assert prompt.startswith(START)
    return prompt.removeprefix(START).partition("<|im_end|>")[0]


@pytest.mark.slow
def test_a_pipe_is_read_without_a_hyphen(server):
    ask = ["generate", "--quiet", "--url", server.url]
    assert run_cli(*ask, stdin=b"What is up?\r\n").returncode == 0
    assert run_cli(*ask, "Summarize:", stdin="Grüße,\nund mehr\n\n".encode()).returncode == 0
    assert run_cli(*ask, "Say", "-", "twice", stdin=b"hi").returncode == 0
    assert [asked(server, place) for place in range(3)] == [
        "What is up?",
        "Grüße,\nund mehr\n\nSummarize:",
        "Say hi twice",
    ]


@pytest.mark.slow
def test_no_input_is_no_prompt(server, tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    for nothing in (os.devnull, empty):
        with (
            Path(nothing).open("rb") as file,
            cli_program("generate", "--url", server.url, "Hi", stdin=file) as program,
        ):
            assert program.wait() == 0
            assert asked(server) == "Hi"
        with (
            Path(nothing).open("rb") as file,
            cli_program("generate", "--url", server.url, stdin=file) as program,
        ):
            assert program.wait() == 2
            assert program.stderr.text == (
                "nupic-client: error: a prompt must be given, as an argument or on stdin\n"
            )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="shells of POSIX")
def test_a_stdin_that_is_closed_is_none(server):
    def run(words):
        command = f"{sys.executable} -m nupic_client generate --quiet --url {server.url} {words} <&-"
        return subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)

    assert run("Hi").returncode == 0
    assert asked(server) == "Hi"
    without = run("")
    assert (without.returncode, without.stderr.count(b"\n")) == (2, 1)


@pytest.mark.slow
def test_a_pipe_that_is_open_and_says_nothing_is_not_waited_for(server):
    """As cron, CI and ssh leave it."""
    with cli_program("generate", "--url", server.url, "Hi", stdin=subprocess.PIPE) as program:
        assert program.wait() == 0
        assert program.stderr.text.startswith("nothing came on stdin for 3 s: going on without it. ")
    assert asked(server) == "Hi"


@pytest.fixture
def pipe(monkeypatch):
    """Make stdin a pipe; return its other end."""
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as file, os.fdopen(writing, "wb", buffering=0) as end:
        monkeypatch.setattr(sys, "stdin", file)
        yield end


def test_what_began_to_come_is_waited_for(pipe, monkeypatch):
    monkeypatch.setattr(stdin, "_PATIENCE_BESIDE_A_PROMPT", 30.0)
    chunks = iter([b"one ", b"two", b""])

    def read(_descriptor, _size):
        return next(chunks)

    monkeypatch.setattr(os, "read", read)
    assert stdin.prompt_text(["Count:"]) == "one two\n\nCount:"


def test_without_a_prompt_the_wait_is_longer_and_ends(pipe, monkeypatch, capsys):
    monkeypatch.setattr(stdin, "_PATIENCE_BESIDE_A_PROMPT", 0.05)
    monkeypatch.setattr(stdin, "_PATIENCE_FOR_A_PROMPT", 0.1)
    with pytest.raises(Exception, match=r"nothing came on stdin for .* Give - to wait longer"):
        stdin.prompt_text([])
    assert capsys.readouterr().err == "reading stdin …\n"
    pipe.write(b"x")  # the thread that reads ends with the test


def test_a_pipe_that_is_not_text_says_where(main, monkeypatch, capsys):
    reading, writing = os.pipe()
    os.write(writing, "héllo".encode("latin-1"))
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert main("generate", "Hi") == 2
    assert "stdin must be UTF-8 text, not with byte 0xe9 at position 1" in capsys.readouterr().err


def test_a_stdin_that_cannot_be_read_is_none(monkeypatch):
    class Broken(io.StringIO):
        def read(self, *_):
            raise OSError("no")

    monkeypatch.setattr(sys, "stdin", Broken())
    assert stdin.prompt_text(["Hi"]) == "Hi"


def test_the_prompt_command_reads_it_too(main, typed, capsys):
    typed(b"Hi\n")
    assert main("prompt", "--family", "zephyr", "--raw") == 0
    assert capsys.readouterr().out == "<|user|>\nHi</s>\n<|assistant|>\n"


def test_the_prompt_command_reads_a_pipe_as_generate_does(main, typed, capsys):
    typed(b"a\n+b\n")
    assert main("prompt", "--family", "zephyr", "--raw", "Summarize:") == 0
    assert capsys.readouterr().out == "<|user|>\na\n+b\n\nSummarize:</s>\n<|assistant|>\n"


@pytest.fixture
def embedder():
    def length(request):
        text = request.inputs["text_input"]
        return [{"embedding": [float(len(text)), 0.5]}]

    one_by_one = replace(embedding_signature("smollm2-embed", 2), max_batch_size=1)
    with FakeTriton(length, models=[one_by_one]) as server:
        yield server


@pytest.mark.slow
def test_embed_reads_the_lines_of_a_pipe_without_a_hyphen(embedder):
    finished = run_cli("embed", "--url", embedder.url, stdin=b"\xef\xbb\xbfone\r\nthree\nsix")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == "[3.0, 0.5]\n[5.0, 0.5]\n[3.0, 0.5]\n"


@pytest.mark.slow
def test_embed_with_a_text_leaves_stdin_to_the_loop_that_it_is_in(embedder):
    loop = f'while read -r line; do {sys.executable} -m nupic_client embed --url {embedder.url} "$line"; done'
    finished = subprocess.run(
        ["bash", "-c", loop], input=b"one\nthree\n", capture_output=True, timeout=60, check=False
    )
    assert finished.stdout == b"[3.0, 0.5]\n[5.0, 0.5]\n"


def test_embed_without_a_text(main, typed, capsys):
    typed(b"")
    assert main("embed") == 2
    assert capsys.readouterr().err == (
        "nupic-client: error: a text must be given, as an argument or on stdin\n"
    )
    typed(b"one\n\n")
    assert main("embed", "--url", "127.0.0.1:1") == 2
    assert "line 2 of stdin is empty" in capsys.readouterr().err


def test_lines_come_while_the_pipe_is_open_and_without_an_end(pipe):
    lines = stdin.unnamed_lines(missing="nothing")
    pipe.write("grün\r\nha".encode())
    assert next(lines) == "grün"
    pipe.write(b"lf\n\xff\n")
    assert next(lines) == "half"
    with pytest.raises(ConfigurationError, match=r"byte 0xff at position 0 \(line 3, byte 1\)"):
        next(lines)
