"""`nupic-client bench`: figures, files, codes, a terminal."""

import csv
import dataclasses
import json
import signal
import sys

import pytest
from bench.test_report import FIGURES, REPORT
from cli.processes import CLI, Terminal, cli_program
from inference.rest_server import RestServer

from nupic_client.bench import BenchProgress
from nupic_client.cli.bench_report import bench_progress_text, figures, sweep_table
from nupic_client.local.engine import text_signature
from nupic_client.testing import FakeTriton, fail, silence

posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals and signals are POSIX's")


@pytest.fixture
def bench(main, server, capsys):
    """Run the command; return the code and what was printed."""

    def run(*options):
        code = main("bench", "--url", server.url, "--synthetic-input-tokens-mean", "5", *options)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_the_figures_are_a_table(bench):
    code, out, err = bench("--request-count", "3", "--goodput", "request_latency:60000")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["statistic", "avg", "min", "max", "p99", "p95", "p90", "p75", "p50"]
    titles = [line.split("  ")[0] for line in lines]
    assert titles[1:5] == [
        "Time to first token (ms)",
        "Time to second token (ms)",
        "Request latency (ms)",
        "Inter token latency (ms)",
    ]
    assert {"Request count", "Request goodput (requests/sec)", "Error count"} <= {*titles}
    assert next(line for line in lines if line.startswith("Request count")).split()[2] == "3"


def test_json_is_a_line_for_each_load(bench):
    code, out, _ = bench("--request-count", "2", "--concurrency", "1,2", "--json")
    first, second = map(json.loads, out.splitlines())
    assert code == 0
    assert (first["input_config"]["concurrency"], second["input_config"]["concurrency"]) == (1, 2)
    assert first["request_count"] == {"unit": "count", "avg": 2.0}
    assert second["time_to_first_token"]["unit"] == "ms"


def test_several_loads_have_a_table_at_the_end_and_files_of_their_own(bench, tmp_path):
    export = tmp_path / "bench.json"
    code, out, _ = bench(
        "--request-count", "2", "--request-rate", "50,100.5", "--profile-export-file", str(export)
    )
    assert code == 0
    assert out.splitlines()[0] == "request rate 50"
    assert out.splitlines()[-3].startswith("load   requests/s")
    assert [line.split()[0] for line in out.splitlines()[-2:]] == ["50", "100.5"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "bench-request_rate50.json",
        "bench-request_rate50.csv",
        "bench-request_rate100.5.json",
        "bench-request_rate100.5.csv",
    }


def test_one_load_has_the_file_that_was_asked_for(bench, tmp_path):
    export = tmp_path / "bench.json"
    assert bench("--request-count", "2", "--profile-export-file", str(export))[0] == 0
    assert json.loads(export.read_text())["request_count"]["avg"] == 2.0
    assert next(csv.reader(export.with_suffix(".csv").read_text().splitlines()))[0] == "Metric"


def test_prompts_from_a_file(bench, server, tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"}\n')
    options = ("--input-file", str(path), "--output-tokens-mean", "4", "--warmup-request-count", "0")
    assert bench("--request-count", "3", *options)[0] == 0
    assert [request.prompt for request in server.requests] == ["one", "two", "one"]
    assert {request.inputs["max_tokens"] for request in server.requests} == {4}


def test_chat_and_system_make_messages(bench, server):
    assert bench("--request-count", "1", "--chat", "--system", "Be brief.")[0] == 0
    assert server.requests[0].prompt.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")


def test_extra_inputs_reach_the_model(main, capsys):
    model = text_signature("gpt.streaming", options=["max_tokens", "temperature"])
    with FakeTriton(models=[model]) as server:
        options = (
            "--extra-inputs",
            "temperature:0.5",
            "--extra-inputs",
            "max_tokens:3",
            "--request-count",
            "1",
        )
        code = main("bench", "--url", server.url, "--model", "gpt.streaming", *options)
    assert code == 0, capsys.readouterr().err
    assert server.requests[0].inputs["temperature"] == 0.5
    assert server.requests[0].inputs["max_tokens"] == 3


def test_whole_answers(main, capsys):
    with FakeTriton(models=[text_signature("gpt", decoupled=False)]) as server:
        options = ("--no-streaming", "--request-count", "2", "--temperature", "0.5", "--json")
        code = main("bench", "--url", server.url, "--model", "gpt", *options)
    assert code == 0
    exported = json.loads(capsys.readouterr().out)
    assert "time_to_first_token" not in exported
    assert exported["request_latency"]["unit"] == "ms"


def test_http(main, capsys):
    with RestServer(text_signature("gpt.streaming")) as server:
        server.events = lambda asked: [
            {"model_name": "gpt.streaming", "model_version": "1", "text_output": word} for word in ("a", "b")
        ]
        code = main("bench", "--url", server.url, "--model", "gpt.streaming", "--request-count", "2")
    out = capsys.readouterr().out
    assert code == 0
    assert "note: the server does not count the tokens of answers: each chunk of text is one" in out


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--concurrency", "0"), "--concurrency must be a whole number >= 1, not 0"),
        (("--concurrency", "2", "--request-rate", "3"), "--concurrency must not be given with request_rate"),
        (
            ("--input-file", "gone.txt"),
            "--input-file 'gone.txt' must be a file that can be read: No such file",
        ),
        (("--goodput", "speed:3"), "--goodput must be of inter_token_latency"),
        (
            ("--profile-export-file", "gone/bench.json"),
            "--profile-export-file must be a file in a folder that exists",
        ),
        (("--plot", "bench.txt"), "--plot must be a file that ends in .svg, .png, .pdf"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(bench, server, options, text):
    code, out, err = bench(*options)
    assert (code, out) == (2, "")
    assert text in err
    assert not server.requests


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--concurrency", "many"), "must be a whole number, or several with commas, not 'many'"),
        (("--request-rate", "1,x"), "must be a number, or several with commas, not '1,x'"),
        (("--measurement-interval", "soon"), "must be milliseconds, or seconds as 30s, not 'soon'"),
        (("--goodput", "request_latency"), "must be METRIC:VALUE, not 'request_latency'"),
        (("--extra-inputs", "a=b"), "must be NAME:VALUE, not 'a=b'"),
    ],
)
def test_options_of_the_wrong_form(main, capsys, options, text):
    with pytest.raises(SystemExit) as ended:
        main("bench", *options)
    assert ended.value.code == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(("given", "seconds"), [("300", 0.3), ("300ms", 0.3), ("0.5s", 0.5)])
def test_the_interval_is_milliseconds_or_has_a_unit(bench, given, seconds):
    code, out, _ = bench("--measurement-interval", given, "--json")
    assert code == 0
    assert json.loads(out)["input_config"]["measurement_interval"] == pytest.approx(seconds)


def test_when_all_fail_the_code_says_so(bench, server):
    server.reply = (fail("out of memory"),)
    code, out, err = bench("--request-count", "2", "--warmup-request-count", "0")
    assert code == 1
    assert "2 × InferenceError: " in out
    assert "out of memory" in out
    assert err == "nupic-client: error: all requests failed\n"


def test_when_some_fail_they_are_shown(bench, server):
    server.reply = lambda request: (fail("no"),) if len(server.requests) == 2 else ("one",)
    code, out, _ = bench("--request-count", "3")
    assert code == 0
    assert "1 × InferenceError: " in out


def test_a_warmup_that_fails_is_an_error_of_its_own(bench, server):
    server.reply = (fail("out of memory"),)
    code, out, err = bench("--request-count", "2")
    assert (code, out) == (1, "")
    assert "out of memory" in err


def test_when_all_run_out_of_time(bench, server):
    server.reply = (silence(),)
    code, _, _ = bench("--request-count", "1", "--warmup-request-count", "0", "--timeout", "0.2")
    assert code == 4


def test_a_server_that_is_not_there(main, free_port, capsys):
    options = ("bench", "--url", f"localhost:{free_port}", "--request-count", "1")
    assert main(*options) == 3
    assert main(*options, "--warmup-request-count", "0") == 3
    assert "all requests failed" in capsys.readouterr().err


@pytest.mark.slow
@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_what_was_measured(server, number):
    server.reply = lambda request: ("one", " two") if len(server.requests) <= 4 else (silence(),)
    options = ("--url", server.url, "--measurement-interval", "600s", "--warmup-request-count", "0")
    with cli_program("bench", *options) as program:
        server.wait_for_requests(5, timeout=60)
        program.process.send_signal(number)
        assert program.wait() == 130
        assert "Request count" in program.stdout.text
        assert "note: 1 request was on its way when it was stopped: it is in no figure" in program.stdout.text
        assert program.stderr.text == ""
    server.wait_for_cancellation(timeout=60)


@pytest.mark.slow
@posix
def test_a_terminal_shows_the_progress_and_ctrl_c_the_figures(server, tmp_path):
    command = [*CLI, "bench", "--url", server.url, "--concurrency", "2,4", "--measurement-interval", "600s"]
    export = tmp_path / "bench.json"
    with Terminal([*command, "--profile-export-file", str(export)]) as terminal:
        terminal.screen.wait_for("concurrency 2 · 0 % · ")
        terminal.screen.wait_for(" requests/s · ")
        terminal.type("\x03")
        assert terminal.wait() == 130
        text = terminal.screen.text
    assert "Time to first token (ms)" in text
    assert "Traceback" not in text
    assert "concurrency 4 ·" not in text  # it ends the other loads as well
    assert [path.name for path in tmp_path.glob("*.json")] == ["bench-concurrency2.json"]


PROGRESS = BenchProgress(
    phase="measuring",
    seconds=3.0,
    done=1234,
    failed=0,
    running=8,
    fraction=0.25,
    requests_per_second=None,
    tokens_per_second=None,
    time_to_first_token=None,
)


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, "25 % · 1,234 done · 8 running"),
        ({"phase": "warmup"}, "warm-up · 25 % · 1,234 done · 8 running"),
        ({"failed": 2}, "25 % · 1,234 done · 8 running · 2 failed"),
        (
            {"requests_per_second": 3.14, "tokens_per_second": 99.5, "time_to_first_token": 0.0523},
            "25 % · 1,234 done · 8 running · 3.1 requests/s · 100 tokens/s · first token 52 ms",
        ),
    ],
)
def test_the_progress_is_a_line(facts, text):
    assert bench_progress_text(dataclasses.replace(PROGRESS, **facts)) == text


def test_what_was_not_measured_has_no_row():
    report = dataclasses.replace(REPORT, metrics={"request_latency": FIGURES}, output_token_throughput=None)
    assert "first token" not in figures(report)
    assert "Request latency (ms)" in figures(report)
    row = sweep_table([report]).splitlines()[1].split()
    assert row[:8] == ["4", "2.00", "-", "-", "-", "-", "-", "200.00"]


def test_a_narrow_terminal_gets_the_statistics_that_have_a_place():
    whole = figures(REPORT)
    widest = max(map(len, whole.splitlines()))
    assert figures(REPORT, widest) == whole
    narrow = figures(REPORT, widest - 1).splitlines()
    assert narrow[0].split()[:5] == ["statistic", "avg", "min", "max", "p99"]
    assert "p75" not in narrow[0]
    assert "not shown on so narrow a terminal: p75; --json has them" in narrow
    narrowest = figures(REPORT, 1).splitlines()
    assert narrowest[0].split() == ["statistic", "avg", "p50"]
    assert "not shown on so narrow a terminal: min, max, p99, p95, p90, p75; --json has them" in narrowest
