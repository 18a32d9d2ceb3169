"""Downloads of the embedded server: shown unasked, never for nothing, and ended cleanly (U-A15, U-A16, U-A17)."""

import logging
import sys
import threading

import pytest

from nupic_client import LocalModelError
from nupic_client.local import LocalServer, embedded
from nupic_client.local.progress import ProgressLine, ProgressLog, default_progress


class Terminal:
    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


@pytest.fixture
def downloads(monkeypatch):
    """Let the weights be fetched, in two steps, and then fail."""

    def locate(*, progress):
        progress("download", 0, 92_871_040)
        progress("download", 46_435_520, 92_871_040)
        raise LocalModelError("no network")

    monkeypatch.setattr(embedded, "locate_weights", locate)


LINE = "downloading the language model (93 MB, only this once)"


def test_a_terminal_shows_a_line_and_it_ends(downloads, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with pytest.raises(LocalModelError, match="no network"):
        LocalServer().start()
    assert screen.text == f"\r{LINE}   0 %\r{LINE}  50 %\n"


def test_elsewhere_it_is_a_line_of_the_log(downloads, caplog, capsys):
    caplog.set_level(logging.INFO, "nupic_client.local")
    with pytest.raises(LocalModelError, match="no network"):
        LocalServer().start()
    assert [record.message for record in caplog.records if record.levelno == logging.INFO] == [LINE]
    assert capsys.readouterr().err == ""


def test_the_callers_own_progress_is_the_only_one(downloads, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "nupic_client.local")
    monkeypatch.setattr(sys, "stderr", Terminal())
    seen = []
    with pytest.raises(LocalModelError, match="no network"):
        LocalServer(progress=lambda *step: seen.append(step)).start()
    assert [step[0] for step in seen] == ["download", "download"]
    assert (sys.stderr.text, [record for record in caplog.records if record.levelno == logging.INFO]) == (
        "",
        [],
    )


def test_nothing_is_fetched_for_an_engine_that_is_not_there(monkeypatch):
    fetched = []
    monkeypatch.setattr(embedded, "locate_weights", lambda **_: fetched.append(1))
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(LocalModelError) as raised:
        LocalServer().start()
    assert "pip install 'nupic-client[local]', or in a clone of the repository pip install '.[local]'" in str(
        raised.value
    )
    assert not fetched


def test_nothing_is_drawn_after_the_end(monkeypatch):
    """Ctrl-C ends the line while another thread still fetches."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    line = ProgressLine()
    line("extract", 1, 4)
    line.end()
    thread = threading.Thread(target=line, args=("extract", 2, 4))
    thread.start()
    thread.join()
    line.end()
    assert screen.text.endswith(" 25 %\n")


@pytest.mark.parametrize("stream", [None, "closed"])
def test_without_a_stderr_it_is_the_log(monkeypatch, stream, tmp_path):
    if stream:
        stream = (tmp_path / "log").open("w")
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = default_progress()
    assert isinstance(progress, ProgressLog)
    progress("install", 0, 1)
    progress.end()
    ProgressLine()("install", 0, 1)
