"""The benchmarks run and write what the documentation includes. How fast anything is, they do not say here."""

from __future__ import annotations

import asyncio
import importlib
import json
import math
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nupic_client import StreamingClient

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SMALL_WINDOWS = {"grpc.http2.lookahead_bytes": 20_000, "grpc.http2.bdp_probe": 0}
"""Bytes of a stream that the server may send ahead: by default 4 MB, which few answers have."""


@pytest.fixture(scope="module")
def benchmarks():
    """What imports a module of the benchmarks, as in the folder they are run in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        patch.chdir(ROOT)
        yield lambda name: importlib.import_module(f"benchmarks.{name}")


def numbers_of(cells):
    return [cell for cell in cells if isinstance(cell, (int, float))]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", ["blast", "decode", "start", "many", "map", "leak"])
def test_a_part_writes_tables_figures_and_goals(part, tmp_path):
    command = [sys.executable, "-m", "benchmarks", part, "--repeats", "1", "--scale", "0.01"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

    record = json.loads((tmp_path / f"{part}.json").read_text(encoding="utf-8"))
    assert record["machine"]["cores"]
    assert record["machine"]["packages"]["grpcio"]
    assert record["settings"] == {"repeats": 1, "scale": 0.01}
    assert record["tables"]
    for table in record["tables"]:
        assert table["rows"]
        assert {len(row) for row in table["rows"]} == {len(table["columns"])}
        strange = [
            (row[0], number)
            for row in table["rows"]
            for number in numbers_of(row)
            if not (math.isfinite(number) and number >= 0)
        ]
        assert strange == []
        shares = [index for index, name in enumerate(table["columns"]) if name.startswith("of ")]
        assert all(row[index] > 0 for row in table["rows"] for index in shares)
        assert table["title"] in (tmp_path / f"{part}.md").read_text(encoding="utf-8")
    assert f"{record['machine']['cores']} cores" in (tmp_path / f"{part}.md").read_text(encoding="utf-8")
    goals = (tmp_path / "goals.md").read_text(encoding="utf-8")
    assert record["goals"]
    assert all(goal["text"] in goals for goal in record["goals"])


def test_a_part_that_does_not_exist_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "warp", "--out", str(tmp_path / "out")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "the parts are start, decode" in done.stderr
    assert not (tmp_path / "out").exists()


def goal(text, value):
    return {"text": text, "value": value, "most": 1.0, "least": None, "met": value <= 1.0}


def record_of(*goals):
    facts = {"day": "2026-01-02", "processor": "abacus", "cores": 2, "system": "Linux", "python": "3.11.7"}
    table = {"title": "Figures", "columns": ["way", "ms"], "rows": [["ours", 1.5]], "note": ""}
    return {
        "machine": facts | {"packages": {"grpcio": "1.85.1", "uvloop": None}},
        "settings": {"repeats": 3},
        "tables": [table],
        "goals": list(goals),
    }


def test_a_part_that_is_measured_alone_replaces_its_own_goals_only(benchmarks, tmp_path):
    report = benchmarks("report")
    report.write({"infer": record_of(goal("upload", 0.5)), "start": record_of(goal("import", 0.5))}, tmp_path)
    report.write({"start": record_of(goal("import", 1.5), goal("first token", 1.0))}, tmp_path)
    assert (tmp_path / "goals.md").read_text(encoding="utf-8").splitlines()[4:] == [
        "| import | 1.50 | at most 1 | **missed** | start |",
        "| first token | 1.00 | at most 1 | met | start |",
        "| upload | 0.50 | at most 1 | met | infer |",
    ]
    assert (
        (tmp_path / "infer.md")
        .read_text(encoding="utf-8")
        .endswith(
            "| ours | 1.50 |\n\nMeasured on 2026-01-02: abacus, 2 cores, Linux, Python 3.11.7, grpcio 1.85.1; repeats: 3.\n"
        )
    )


@pytest.fixture
def run_main(benchmarks, tmp_path, monkeypatch):
    """What runs the program without measuring anything; `out` and `docs` are the folders that it writes to."""
    program, runner = benchmarks("__main__"), benchmarks("runner")
    outcome = runner.Outcome([runner.Table("Figures", ("way", "ms"), [("ours", 1.5)])])
    for part in ("start", "blast"):
        monkeypatch.setattr(benchmarks(f"parts.{part}"), "run", lambda settings: outcome)
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(program, "RESULTS", tmp_path / "out")
    monkeypatch.setattr(program, "DOCS", tmp_path / "docs")
    return program.main


@pytest.mark.parametrize("update", [True, False])
def test_the_docs_get_tables_when_they_are_to_and_never_figures(run_main, tmp_path, update):
    assert run_main(["start"] + ["--update-docs"] * update) == 0
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"start.json", "start.md", "goals.md"}
    written = {file.name for file in (tmp_path / "docs").iterdir()}
    assert written == ({"start.md", "goals.md"} if update else set())


def test_the_docs_never_get_tables_without_their_plots(run_main, benchmarks, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmarks("plots").importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        run_main(["blast", "--update-docs"])
    assert "matplotlib" in capsys.readouterr().err
    assert list((tmp_path / "docs").iterdir()) == []


def test_the_figures_stay_out_of_the_repository(benchmarks):
    results = benchmarks("__main__").RESULTS.relative_to(ROOT).as_posix()
    assert f"{results}/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert list((ROOT / "docs" / "explanation").rglob("*.json")) == []


def test_ways_whose_package_is_missing_are_left_out(benchmarks, monkeypatch):
    ways = benchmarks("ways")
    monkeypatch.setitem(ways.NEEDS, "bare grpcio", "a_package_that_nobody_has")
    assert "bare grpcio" not in ways.available()
    assert {"nupic_client", "tritonclient", "bare grpc.aio"} <= set(ways.available())


@pytest.fixture(scope="module")
def blast(benchmarks):
    """The blast server: its url, its model and the text of so many tokens."""
    words = benchmarks("blast_server").WORDS

    def text(tokens):
        return "".join((words * (tokens // len(words) + 1))[:tokens])

    with benchmarks("runner").server_process("benchmarks.blast_server") as url:
        yield url, benchmarks("blast_server").MODEL, text


def test_the_blast_server_keeps_to_flow_control_with_threads(blast):
    url, model, text = blast
    answers = []
    with StreamingClient(model, url, max_tokens=3000, channel_options=SMALL_WINDOWS) as client:
        threads = [
            threading.Thread(target=lambda: answers.append(client.generate("x").text)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert answers == [text(3000)] * 8


def test_the_blast_server_keeps_to_flow_control_with_tasks(blast):
    url, model, text = blast

    async def main():
        async with StreamingClient(model, url, max_tokens=3000, channel_options=SMALL_WINDOWS) as client:
            return await asyncio.gather(*(client.agenerate("x") for _ in range(8)))

    assert [generation.text for generation in asyncio.run(main())] == [text(3000)] * 8


def test_the_blast_server_goes_on_when_one_of_its_streams_is_left(blast):
    url, model, text = blast
    with StreamingClient(model, url, max_tokens=20_000, channel_options=SMALL_WINDOWS) as client:
        with client.stream("x") as left:
            next(left)
            other = client.stream("x", max_tokens=500)
            next(other)
        assert other.result().text == text(500)
        assert client.generate("x", max_tokens=50).text == text(50)


def test_the_blast_server_holds_answers_until_all_are_open(blast):
    url, model, text = blast
    with (
        StreamingClient(model, url, max_tokens=5, backend_inputs={"hold": 3}) as client,
        StreamingClient(model, url, max_tokens=5000) as other,
    ):
        assert client.generate("the one that opens the connection").text == text(5)
        streams = [client.stream("x") for _ in range(2)]
        assert [next(stream) for stream in streams] == [text(1)] * 2
        results = []
        readers = [
            threading.Thread(target=lambda stream=stream: results.append(stream.result().text))
            for stream in streams
        ]
        for reader in readers:
            reader.start()
        assert other.generate("not held").text == text(5000)
        assert results == []  # what is held did not come in all that time
        assert client.generate("the third").text == text(5)
        for reader in readers:
            reader.join(60)
    assert results == [text(5)] * 2
