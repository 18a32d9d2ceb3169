"""Plots: with matplotlib where it is (nox -s perf), and without."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from bench.test_report import REPORT

from nupic_client import ConfigurationError
from nupic_client.bench import plot

SAMPLES = {name: [0.1, 0.3, 0.2] for name in REPORT.metrics}


@pytest.mark.parametrize("levels", [(1,), (1, 2, 4)])
@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_plot_is_drawn(tmp_path, levels, suffix):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"bench.{suffix}"
    plot([dataclasses.replace(REPORT, level=level, samples=SAMPLES) for level in levels], path)
    drawn = path.read_bytes()
    assert drawn.startswith(b"<?xml" if suffix == "svg" else b"\x89PNG")
    assert len(drawn) > 10_000


def test_a_plot_of_whole_answers_and_of_nothing_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    only = {"request_latency": REPORT.metrics["request_latency"]}
    report = dataclasses.replace(REPORT, metrics=only, samples={"request_latency": [0.1]})
    plot([report, dataclasses.replace(report, metrics={}, samples={})], tmp_path / "bench.svg")
    assert (tmp_path / "bench.svg").exists()


def test_a_plot_that_cannot_be_written_says_so(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(ConfigurationError, match="plot must be a file that can be written"):
        plot([REPORT], tmp_path / "gone" / "bench.svg")


def test_a_plot_must_be_a_picture():
    with pytest.raises(
        ConfigurationError, match=r"plot must be a file that ends in .svg, .png, .pdf, not 'bench.txt'"
    ):
        plot([REPORT], "bench.txt")


def test_without_matplotlib_the_extra_is_named():
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from nupic_client import bench, ConfigurationError\n"
        "try: bench.check_plot('a.svg')\n"
        "except ConfigurationError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'nupic-client[bench]'" in done.stdout
