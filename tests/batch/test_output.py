"""The files of answers: full disks, pipes without a reader, devices."""

import os
import signal
import sys
from pathlib import Path

import pytest
from batch.files import plain

from nupic_client import ConfigurationError, batch
from nupic_client.batch import BatchFileError
from nupic_client.batch.done import DoneLines
from nupic_client.batch.output import LineFile, LineStream, is_regular

if sys.platform != "win32":
    import resource

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")


def test_lines_are_appended(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"before\n")
    file = LineFile(path, "output")
    assert file.size == 7
    file.write(b"one\n")
    file.sync()
    file.close()
    assert path.read_bytes() == b"before\none\n"


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are POSIX's")
def test_a_line_that_does_not_fit_is_not_there_in_part(tmp_path):
    path = tmp_path / "out"
    file = LineFile(path, "output")
    file.write(b"one\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        with pytest.raises(BatchFileError, match=r"out' cannot be written: File too large"):
            file.write(b"x" * 200 + b"\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"one\n"
    file.close()


def test_a_device_is_no_regular_file(tmp_path):
    assert is_regular(tmp_path / "new")
    assert not is_regular(Path(os.devnull))
    assert not is_regular(tmp_path)


@needs_full
def test_a_device_that_is_full(server, files):
    files.write(*(plain(number) for number in range(10)))
    with pytest.raises(BatchFileError, match="'/dev/full' cannot be written: No space left on device"):
        batch.run(files.input, FULL, model="smollm2", url=server.url)
    assert not Path("/dev/full.state").exists()


def test_a_device_takes_lines(server, files):
    files.write(*(plain(number) for number in range(10)))
    assert batch.run(files.input, os.devnull, model="smollm2", url=server.url).complete


def test_a_device_is_not_gone_on_with(server, files):
    files.write(plain(1))
    with pytest.raises(ConfigurationError, match="resume must be with an output that is a file"):
        batch.run(files.input, os.devnull, model="smollm2", url=server.url, resume=True)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes with names are POSIX's")
def test_a_pipe_whose_reader_has_gone(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    stream = LineStream(path)
    stream.write(b"one\n")
    assert os.read(reader, 100) == b"one\n"
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        stream.write(b"two\n")
    stream.close()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everything")
def test_a_folder_that_takes_no_file(server, files):
    files.write(plain(1))
    folder = files.folder / "closed"
    folder.mkdir(mode=0o500)
    with pytest.raises(
        ConfigurationError, match=r"output must be a file that can be written, not .*: Permission denied"
    ):
        batch.run(files.input, folder / "out", model="smollm2", url=server.url)


def test_the_mode_of_a_file_stays_when_its_errors_are_dropped(tmp_path):
    path = tmp_path / "out"
    good = b'{"id": 1, "output": "x", "error": null}\n'
    path.write_bytes(good + b'{"id": 2, "output": null, "error": {"code": "a", "message": "b"}}\n' + good)
    path.chmod(0o600)
    file = LineFile(path, "output")
    done = DoneLines()
    assert file.resume(done, keep_errors=False) == 2
    file.write(good)
    file.close()
    assert path.read_bytes() == good * 3
    if sys.platform != "win32":
        assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
