"""Inputs that come bit by bit."""

import asyncio
import os
import sys
import threading
import time

import pytest
from batch.files import plain

from nupic_client import batch
from nupic_client.batch.lines import Prompting
from nupic_client.batch.reading import FileSource, PipeSource

needs_pipes = pytest.mark.skipif(sys.platform == "win32", reason="pipes with names are POSIX's")


def read_all(source):
    async def rows():
        found = []
        while some := await source.read():
            found += some
        return found

    return asyncio.run(rows())


@pytest.fixture
def pipe(tmp_path):
    """Make a pipe with a name; return a function that writes pieces to it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write(*pieces):
        def work():
            with path.open("wb", buffering=0) as file:
                for piece in pieces:
                    file.write(piece)

        threading.Thread(target=work, daemon=True).start()
        return path

    return write


@needs_pipes
@pytest.mark.parametrize(
    "pieces",
    [
        (b'{"prompt": "a"}\n{"prompt": "b"}\n', b'{"prompt": "c"}\n'),
        (b'{"prom', b'pt": "a"}', b'\n{"prompt": "b"}\n{"prompt": "c', b'"}'),
        (b"\xef\xbb", b'\xbf{"prompt": "a"}\r', b'\n\n{"prompt": "b"}\r\n  \n{"prompt": "c"}'),
        tuple(bytes([byte]) for byte in b'{"prompt": "a"}\n{"prompt": "b"}\n{"prompt": "c"}'),
    ],
)
def test_lines_of_a_pipe_in_any_pieces(pipe, pieces):
    rows = read_all(PipeSource(pipe(*pieces), Prompting()))
    assert [row.prompt for row in rows] == ["a", "b", "c"]


@needs_pipes
def test_an_empty_pipe(pipe):
    assert read_all(PipeSource(pipe(), Prompting())) == []


@needs_pipes
def test_a_line_of_a_pipe_that_is_too_long(pipe, monkeypatch):
    monkeypatch.setattr("nupic_client.batch.reading.MAX_LINE_BYTES", 100_000)
    long = b"x" * 300_000
    source = PipeSource(pipe(b'{"prompt": "a"}\n', long, b"\n", b'{"prompt": "b"}\n', long), Prompting())
    rows = read_all(source)
    assert [(row.number, row.prompt, row.error is None) for row in rows] == [
        (1, "a", True),
        (2, "", False),
        (3, "b", True),
        (4, "", False),
    ]


@needs_pipes
def test_a_slow_writer_holds_up_no_answer(server, files, tmp_path):
    """The second line is written when the answer to the first one is there."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write():
        with path.open("wb", buffering=0) as file:
            file.write(b'{"prompt": "1"}\n')
            while not files.output.exists() or b"\n" not in files.output.read_bytes():
                time.sleep(0.01)
            file.write(b'{"prompt": "2"}\n')

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    assert batch.run(path, files.output, model="smollm2", url=server.url).done == 2
    thread.join()


def test_the_fraction_of_a_file(files):
    files.write(*(plain(number) for number in range(200)))
    source = FileSource(files.input, Prompting())
    assert source.fraction == 0.0
    fractions = []

    async def read():
        while await source.read():
            fractions.append(source.fraction)

    asyncio.run(read())
    source.close()
    assert fractions == sorted(fractions)
    assert 0.2 < fractions[0] < 0.5
    assert fractions[-1] == 1.0


def test_a_file_of_blank_lines(files):
    files.input.write_bytes(b"\n" * 2_000_000 + b'{"prompt": "x"}')
    source = FileSource(files.input, Prompting())
    assert [row.number for row in read_all(source)] == [2_000_001]
    source.close()


def test_little_is_read_at_once(files):
    files.write(*(plain(number, filler="x" * 100_000) for number in range(20)))
    source = FileSource(files.input, Prompting())
    assert len(asyncio.run(source.read())) == 3
    source.close()
