"""The figures of a generation and the progress of a download."""

import io
import json
import sys

import pytest

from nupic_client.cli.report import as_json, summary
from nupic_client.local.progress import ProgressLine
from nupic_client.results import FinishReason, Generation, Timing, Usage


def generation(*, reason=FinishReason.STOP, tokens=None, **timing):
    return Generation(
        text="Grüezi",
        finish_reason=reason,
        usage=Usage(output_tokens=tokens),
        timing=Timing(total=1.0, **timing),
        model="gpt.streaming",
        request_id="1",
    )


@pytest.mark.parametrize(
    ("line", "made"),
    [
        (
            "time to first token 0.12 s · 98.4 tokens/s · 57 tokens · stop",
            generation(
                tokens=57, time_to_first_token=0.12, tokens_per_second=98.4, chunks=40, chunks_per_second=60.0
            ),
        ),
        (
            "time to first token 0.12 s · 60.0 chunks/s · 40 chunks · stop",
            generation(time_to_first_token=0.12, chunks=40, chunks_per_second=60.0),
        ),
        (
            "time to first token 2.00 s · 1 chunk",
            generation(reason=None, time_to_first_token=2.0, chunks=1),
        ),
        (
            "time to first token 0.02 s · 5 tokens · stop",
            generation(tokens=5, time_to_first_token=0.02, chunks=5),
        ),
        ("0 tokens · length", generation(reason=FinishReason.LENGTH, tokens=0)),
    ],
)
def test_the_summary_never_counts_chunks_as_tokens(line, made):
    assert summary(made) == line


def test_json_keeps_letters_readable():
    line = as_json(generation())
    assert "Grüezi" in line
    assert json.loads(line)["finish_reason"] == "stop"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def download(progress):
    progress("download", 0, 92_871_040)
    progress("download", 46_435_520, 92_871_040)
    progress("extract", 98_362_432, 98_362_432)
    progress.end()
    progress.end()


def test_on_a_terminal_the_line_is_redrawn(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    download(ProgressLine())
    assert sys.stderr.getvalue() == (
        "\rdownloading the language model (93 MB, only this once)   0 %"
        "\rdownloading the language model (93 MB, only this once)  50 %\n"
        "\runpacking the language model (98 MB, only this once) 100 %\n"
    )


def test_in_a_log_each_phase_is_one_line(capsys):
    download(ProgressLine())
    assert capsys.readouterr().err == (
        "downloading the language model (93 MB, only this once)\n"
        "unpacking the language model (98 MB, only this once)\n"
    )
