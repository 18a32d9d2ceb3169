"""Benchmarks of a server whose durations are known."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading

import pytest
from inference.rest_server import RestServer

from nupic_client import (
    ConfigurationError,
    ConnectionFailedError,
    InferenceClient,
    InferenceError,
    StreamingClient,
    bench,
    user,
)
from nupic_client.local.engine import text_signature
from nupic_client.options import GenerateOptions
from nupic_client.testing import EndpointGroup, FakeTriton, abort, fail, silence, sleep

FIRST, NEXT = 0.08, 0.03
PACED = (sleep(FIRST), "one", sleep(NEXT), " two", sleep(NEXT), " three")


@pytest.fixture
def server():
    models = [text_signature("gpt.streaming", options=["max_tokens"]), text_signature("gpt", decoupled=False)]
    with FakeTriton(PACED, models=models) as running:
        yield running


def measured(server, **settings):
    return bench.run(
        "gpt.streaming", server.url, **{"request_count": 6, "synthetic_input_tokens_mean": 5, **settings}
    )


def test_the_durations_are_at_least_those_of_the_server(server):
    report = measured(server, concurrency=3)
    assert (report.request_count, report.error_count, report.ended) == (6, 0, "complete")
    assert (report.model, report.url, report.load, report.level) == (
        "gpt.streaming",
        server.url,
        "concurrency",
        3,
    )
    assert report.time_to_first_token.min >= FIRST
    assert report.time_to_second_token.avg > 0
    assert report.inter_token_latency.avg > 0
    assert report.request_latency.min >= FIRST + 2 * NEXT
    assert report.metrics["output_sequence_length"].avg == 3
    assert report.request_throughput == pytest.approx(6 / report.benchmark_duration)
    assert report.output_token_throughput == pytest.approx(18 / report.benchmark_duration)
    assert report.benchmark_duration >= 2 * (FIRST + 2 * NEXT)  # two after the other on each of three
    assert report.cpu >= 0
    assert report.loop_delay.count


def test_a_slow_server_is_measured_as_slow(server):
    assert measured(server).time_to_first_token.min >= FIRST
    server.reply = (sleep(0.5), "one")
    assert measured(server).time_to_first_token.min >= 0.5


def test_the_warmup_does_not_count(server):
    server.reply = lambda request: ("one",) * (9 if len(server.requests) <= 2 else 1)
    report = measured(server, warmup_request_count=2)
    assert len(server.requests) == 8
    assert report.metrics["output_sequence_length"].max == 1


def test_no_more_run_at_the_same_time_than_asked_for(server):
    running, most, lock = [0], [0], threading.Lock()

    def counted(request):
        def steps():
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            yield "one"
            yield sleep(0.05)
            with lock:
                running[0] -= 1

        return steps()

    server.reply = counted
    measured(server, concurrency=3, request_count=12)
    assert most[0] == 3


def test_a_rate_is_kept_whatever_the_server_does(server):
    def when_all_are_there(request):
        server.wait_for_requests(10, timeout=60)
        return ("one",)

    server.reply = when_all_are_there
    report = measured(server, request_rate=50, request_count=10, warmup_request_count=0)
    assert (report.load, report.request_count) == ("request_rate", 10)
    assert report.send_delay.count == 10
    assert report.request_latency.max >= 9 / 50


def test_durations_of_a_rate_count_from_the_planned_time(server):
    """The wait for a place is no less a wait than that for the server."""
    server.reply = (sleep(0.2), "one")
    report = measured(server, request_rate=1000, request_count=4, max_outstanding=1)
    assert report.request_latency.max >= 0.8 - 0.01
    assert report.send_delay.max >= 0.6 - 0.01


def test_random_pauses_are_those_of_the_seed(server):
    server.reply = ("one",)
    report = measured(server, request_rate=200, request_distribution="poisson", request_count=20)
    assert report.request_count == 20
    assert report.input_config["request_distribution"] == "poisson"


def test_an_interval_ends_it_and_what_runs_is_waited_for(server):
    server.reply = (sleep(0.3), "one")
    report = measured(server, request_count=None, measurement_interval=0.2, concurrency=2)
    assert (report.request_count, report.cut_off, report.ended) == (2, 0, "complete")


def test_a_whole_answer_has_one_duration(server):
    report = bench.run("gpt", server.url, streaming=False, request_count=3, prompts=["Hi"])
    assert report.time_to_first_token is None
    assert report.inter_token_latency is None
    assert report.request_latency.min >= FIRST + 2 * NEXT
    assert "time_to_first_token" not in report.to_dict()
    assert report.input_config["streaming"] is False


def test_a_streaming_client_can_be_timed_as_a_whole(server):
    with StreamingClient("gpt.streaming", server.url) as client:
        report = bench.run("gpt.streaming", client=client, streaming=False, request_count=2)
    assert report.time_to_first_token is None
    assert report.request_count == 2


def test_options_and_lengths_reach_the_server(server):
    measured(server, output_tokens_mean=7, request_count=2, max_tokens=99)
    assert {request.inputs["max_tokens"] for request in server.requests} == {7}


def test_messages_are_rendered(server):
    with StreamingClient("gpt.streaming", server.url, formatter="chatml") as client:
        bench.run("gpt.streaming", client=client, prompts=[[user("Hi")]], request_count=1)
        bench.run("gpt.streaming", client=client, prompts=["Hi"], chat=True, request_count=1)
    assert {request.prompt.count("<|im_start|>user\nHi") for request in server.requests} == {1}


def test_failures_are_counted_and_the_others_measured(server):
    def every_third(request):
        return (fail("out of memory"),) if not len(server.requests) % 3 else ("one",)

    server.reply = every_third
    report = measured(server, request_count=9)
    assert (report.request_count, report.error_count) == (6, 3)
    (error,) = report.errors
    assert (error.kind, error.count) == ("InferenceError", 3)
    assert "out of memory" in error.message
    assert report.request_latency.count == 6
    # Sent once each: a request that is sent again is another load.
    assert len(server.requests) == 10


def test_a_request_is_sent_once_unless_asked_for(server):
    server.reply = (abort("UNAVAILABLE", "not now"),)
    report = measured(server, warmup_request_count=0, request_count=2)
    assert (report.error_count, len(server.requests)) == (2, 2)
    server.clear()
    measured(server, warmup_request_count=0, request_count=1, max_retries=1)
    assert len(server.requests) == 2


def test_a_benchmark_in_which_all_fail_has_a_report(server):
    server.reply = (fail("no"),)
    report = measured(server, warmup_request_count=0, request_count=4, request_rate=100)
    assert (report.request_count, report.error_count) == (0, 4)
    assert (report.request_throughput, report.output_token_throughput) == (0.0, None)
    assert report.metrics == {}
    assert report.to_dict()["error_count"] == {"unit": "count", "avg": 4.0}


def test_a_warmup_in_which_all_fail_ends_it(server):
    server.reply = (fail("no"),)
    with pytest.raises(InferenceError, match="no"):
        measured(server, warmup_request_count=3)
    assert len(server.requests) == 3


def test_a_server_that_is_not_there(server):
    server.stop()
    with pytest.raises(ConnectionFailedError):
        measured(server, timeout=20)


@pytest.mark.parametrize("rate", [None, 20])
def test_a_request_that_is_wrong_ends_it(server, rate):
    with pytest.raises(ConfigurationError, match="logprobs"):
        measured(server, warmup_request_count=0, request_rate=rate, logprobs=True)


def test_it_can_be_stopped_and_what_was_measured_is_reported(server):
    server.reply = lambda request: ("one",) if int(request.prompt) < 5 else (silence(),)
    job = bench.BenchJob(
        "gpt.streaming",
        server.url,
        settings=bench.BenchSettings(
            concurrency=2, measurement_interval=600, warmup_request_count=0, prompts=map(str, range(100))
        ),
    )
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(job.run()))
    thread.start()
    server.wait_for_requests(7, timeout=60)
    assert job.running
    job.stop()
    thread.join(60)
    (report,) = outcome
    assert (report.ended, report.request_count, report.cut_off) == ("stopped", 5, 2)
    assert any("2 requests were on their way" in note for note in report.notes)
    assert not job.running
    server.wait_for_cancellation(2, timeout=60)


def test_a_benchmark_that_was_stopped_before_sends_nothing(server):
    job = bench.BenchJob("gpt.streaming", server.url)
    job.stop()
    report = job.run()
    assert (report.ended, report.request_count) == ("stopped", 0)
    assert not server.requests


def test_the_progress_is_told(server):
    told = []

    def tell(progress):
        told.append(progress)
        if progress.done and len(told) > 1:
            job.stop()

    settings = bench.BenchSettings(measurement_interval=600, progress=tell)
    job = bench.BenchJob("gpt.streaming", server.url, settings=settings)
    report = job.run()
    assert told[-1].phase == "measuring"
    assert 0 < told[-1].fraction < 1
    assert told[-1].running == 1
    assert 0 < told[-1].done <= report.request_count
    assert told[-1].time_to_first_token >= FIRST
    assert told[-1].requests_per_second > 0


def test_it_runs_in_a_loop_that_runs(server):
    async def measure():
        return await bench.arun("gpt.streaming", server.url, request_count=3)

    assert asyncio.run(measure()).request_count == 3


def test_it_runs_where_a_loop_runs_already(server):
    """As in a notebook."""

    async def cell():
        return measured(server)

    assert asyncio.run(cell()).request_count == 6

    async def failing():
        return measured(server, logprobs=True)

    with pytest.raises(ConfigurationError):
        asyncio.run(failing())


def test_it_runs_without_uvloop(server):
    program = (
        "import sys; sys.modules['uvloop'] = None\n"
        "from nupic_client import bench\n"
        f"print(bench.run('gpt.streaming', {server.url!r}, request_count=2).request_count)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "2\n", done.stderr


def test_several_servers_share_the_load():
    with EndpointGroup(2, reply=("one",)) as group:
        report = bench.run("gpt.streaming", ",".join(group.urls), concurrency=4, request_count=20)
        assert report.request_count == 20
        assert all(server.requests for server in group.servers)


# --- over HTTP


@pytest.fixture
def rest():
    with RestServer(text_signature("gpt.streaming")) as running:
        running.events = lambda asked: [
            {"model_name": "gpt.streaming", "model_version": "1", "text_output": word}
            for word in ("a", "b", "c")
        ]
        yield running


def test_http_is_measured(rest):
    report = bench.run("gpt.streaming", rest.url, concurrency=3, request_count=9, prompts=["Hi"])
    assert report.request_count == 9
    assert report.metrics["output_sequence_length"].avg == 3
    assert report.time_to_first_token.count == 9
    assert report.output_tokens_from == "chunks"
    assert "the server does not count the tokens of answers: each chunk of text is one" in report.notes
    assert "the server does not count the tokens of prompts: each word is one" in report.notes


def test_whole_answers_over_http(rest):
    report = bench.run(
        "gpt.streaming",
        rest.url,
        request_count=2,
        request_rate=50,
        streaming=False,
        output_tokens_mean=3,
    )
    assert report.request_count == 2
    assert report.time_to_first_token is None


@pytest.mark.parametrize("streaming", [True, False])
def test_a_stop_ends_what_runs_over_http(streaming):
    go_on = threading.Event()
    signature = text_signature("gpt.streaming", decoupled=streaming)

    def held(asked):
        yield {"model_name": "gpt.streaming", "model_version": "1", "text_output": "a"}
        yield go_on

    def answer(request):
        go_on.wait(60)

    with RestServer(signature, answer=answer) as rest:
        rest.events = held
        settings = bench.BenchSettings(streaming=streaming, measurement_interval=600, warmup_request_count=0)
        job = bench.BenchJob("gpt.streaming", rest.url, settings=settings)
        outcome = []
        thread = threading.Thread(target=lambda: outcome.append(job.run()))
        thread.start()
        rest.wait_until(lambda: rest.prompts or rest.requests)
        job.stop()
        thread.join(60)
        go_on.set()
    assert (outcome[0].ended, outcome[0].cut_off) == ("stopped", 1)


def test_the_arguments_for_type_checkers_are_those_of_run():
    named = [
        name for name in inspect.signature(bench.run).parameters if name not in {"model", "url", "options"}
    ]
    options = set(GenerateOptions.__annotations__)
    assert [name for name in bench.BenchArguments.__annotations__ if name not in options] == named
    assert set(bench.BenchSettings.__slots__) | {"client", "formatter"} == set(named)


def test_an_inference_client_answers_at_once(server):
    with InferenceClient("gpt", server.url) as client:
        report = bench.run("gpt", client=client, request_count=2)
    assert report.time_to_first_token is None
    assert report.request_latency.count == 2
