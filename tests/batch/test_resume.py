"""Runs that go on where another one ended: nothing twice, nothing mixed."""

import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from batch.files import chat, echo, number_in, plain

from nupic_client import ConfigurationError, batch
from nupic_client.testing import FakeTriton, fail, text_signature


@pytest.fixture
def run(server, files):
    def run(**options):
        options = {"model": "smollm2", "url": server.url, "resume": True, **options}
        return batch.run(files.input, files.output, **options)

    return run


def numbers(rows):
    return sorted(
        int(re.findall(r"\d+", str(row["id"] if "output" in row else row["custom_id"]))[-1]) for row in rows
    )


def mixed(count):
    return [chat(number) if number % 3 else plain(number) for number in range(count)]


def test_with_nothing_to_go_on_with_a_run_begins(run, files):
    files.write(*mixed(10))
    assert (run().done, numbers(files.read())) == (10, list(range(10)))


def test_an_output_that_is_there_is_refused(run, files):
    files.write(*mixed(10))
    run()
    before = files.output.read_bytes()
    with pytest.raises(ConfigurationError) as caught:
        run(resume=False)
    assert re.fullmatch(
        r"output must be a new file, and '.*out.jsonl' is there already, give resume=True to go on with it or"
        r" overwrite=True to start anew",
        str(caught.value),
    )
    assert files.output.read_bytes() == before
    assert run(resume=False, overwrite=True).done == 10


def test_an_empty_output_is_a_new_one(run, files):
    files.write(plain(1))
    files.output.touch()
    assert run(resume=False).done == 1


def test_what_is_done_is_not_sent_again(run, files, server):
    files.write(*mixed(100))
    assert run(limit=60).done == 60
    server.clear()
    report = run()
    assert (report.done, report.skipped) == (40, 60)
    assert len(server.requests) == 40
    assert numbers(files.read()) == list(range(100))


def test_a_finished_run_that_keeps_its_state_has_nothing_to_do(run, files, server):
    files.write(*mixed(10))
    run(keep_state=True)
    server.clear()
    report = run(keep_state=True)
    assert (report.done, report.skipped, report.complete) == (0, 10, True)
    assert not server.requests
    assert files.state.exists()


def test_without_its_state_an_output_is_not_gone_on_with(run, files):
    files.write(*mixed(10))
    run()
    with pytest.raises(
        ConfigurationError, match=r"resume needs the file .*out\.jsonl\.state.*, and there is none"
    ):
        run()


@pytest.mark.parametrize(
    ("cut", "again"),
    [
        (lambda data: data[:-1], 1),
        (lambda data: data[:-20], 1),
        (lambda data: data + b'{"id": 3, "pro', 0),
        (lambda data: data + b"\0" * 4096, 0),
        (lambda data: data[: data.index(b"\n") + 3], 9),
        (lambda data: data[:3], 10),
        (lambda data: b"", 10),
    ],
)
def test_a_torn_line_is_cut_and_sent_again(run, files, cut, again):
    files.write(*mixed(10))
    run(keep_state=True)
    files.output.write_bytes(cut(files.output.read_bytes()))
    assert run().done == again
    assert numbers(files.read()) == list(range(10))


def test_a_line_that_is_none_of_a_batch_is_refused(run, files):
    files.write(*mixed(3))
    run(keep_state=True)
    content = files.output.read_bytes() + b"my notes\n"
    files.output.write_bytes(content)
    with pytest.raises(
        ConfigurationError, match=r"output must be the file of a batch, and line 4 of .* is none of its"
    ):
        run()
    assert files.output.read_bytes() == content


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"temperature": 0.5}, "now temperature is 0.5, and was not given"),
        ({"max_tokens": 6}, "now max_tokens is 6, and was 5"),
        ({"max_tokens": None}, "now max_tokens is not given, and was 5"),
        ({"model": "gpt"}, "model is 'gpt', and was 'smollm2.streaming'"),
        ({"system": "Be brief."}, "now system is 'Be brief.', and was not given"),
        ({"chat": True}, "now chat is True, and was False"),
        ({"formatter": "zephyr"}, "now the prompt format is another one"),
        ({"backend_inputs": {"x": 1}}, "now backend_inputs is {'x': 1}, and was not given"),
    ],
)
def test_other_options_are_refused(run, files, options, difference):
    files.write(*mixed(10))
    run(limit=4, max_tokens=5)
    before = files.output.read_bytes()
    with pytest.raises(ConfigurationError) as caught:
        run(**{"max_tokens": 5, **options})
    assert difference in str(caught.value)
    assert str(caught.value).startswith("resume must be with what the run began with on 2")
    assert str(caught.value).endswith("go back to that, or give overwrite=True to start anew")
    assert files.output.read_bytes() == before


def test_what_does_not_change_an_answer_may_change(run, files, server):
    files.write(*mixed(10))
    run(limit=4, timeout=50, metadata={"x-secret": "abc"})
    assert "abc" not in files.state.read_text()
    assert run(timeout=60, concurrency=2, ordered=True, max_retries=1, url=f"grpc://{server.url}").done == 6


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda data: data + b"\n", "the input has 1062 bytes, and had 1061 bytes"),
        (lambda data: data[:-2] + b" }", "the input has another content"),
        (lambda data: data.replace(b"prompt 3", b"prompt 4"), "the input has another content"),
    ],
)
def test_another_input_is_refused(run, files, change, difference):
    files.write(*mixed(10))
    files.input.write_bytes(files.input.read_bytes()[:-1])
    run(limit=4)
    files.input.write_bytes(change(files.input.read_bytes()))
    with pytest.raises(ConfigurationError) as caught:
        run()
    assert re.sub(r"\d+ bytes", "N bytes", difference) in re.sub(r"\d+ bytes", "N bytes", str(caught.value))


def test_a_copy_of_the_input_is_the_same(run, files):
    files.write(*mixed(10))
    run(limit=4)
    data = files.input.read_bytes()
    files.input.unlink()
    files.input.write_bytes(data)
    os.utime(files.input, (1, 1))
    assert run().done == 6


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 1}', b"\xff", b"null"])
def test_a_state_that_is_broken_is_told(run, files, content):
    files.write(*mixed(10))
    run(limit=4)
    files.state.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"resume needs the file .* and it cannot be read"):
        run()


def test_a_state_of_another_release_is_told(run, files):
    files.write(*mixed(10))
    run(limit=4)
    files.state.write_text(json.dumps({**json.loads(files.state.read_text()), "version": 2}))
    with pytest.raises(ConfigurationError, match="resume needs a state of version 1, not 2, in"):
        run()


def test_the_state_says_what_it_is_of(run, files):
    files.write(*mixed(10))
    run(limit=4, max_tokens=5)
    state = json.loads(files.state.read_text())
    assert state["version"] == 1
    assert state["counts"] == {"done": 4, "failed": 0}
    assert state["fingerprint"]["model"] == "smollm2.streaming"
    assert state["fingerprint"]["options"]["max_tokens"] == 5
    assert state["fingerprint"]["input"]["bytes"] == files.input.stat().st_size
    started = state["started"]
    run(limit=4, max_tokens=5)
    state = json.loads(files.state.read_text())
    assert (state["started"], state["counts"]["done"]) == (started, 8)


def failing(server, *which):
    server.reply = lambda request: [fail("no")] if int(number_in(request)) in which else echo(request)


def test_lines_that_failed_are_sent_again_and_their_errors_go(run, files, server):
    files.write(*mixed(20), b"{")
    failing(server, 3, 4, 5)
    report = run()
    assert (report.done, report.failed, report.complete) == (17, 4, False)
    assert files.state.exists()
    server.clear()
    failing(server, 5)
    report = run()
    assert (report.done, report.failed, report.skipped) == (2, 2, 17)
    assert len(server.requests) == 3
    rows = files.read()
    assert len(rows) == 21
    assert sum(row["error"] is not None for row in rows) == 2
    assert sorted(path.name for path in files.folder.iterdir()) == [
        "in.jsonl",
        "out.jsonl",
        "out.jsonl.state",
    ]


def test_errors_that_are_kept_are_done(run, files, server):
    files.write(*mixed(20))
    failing(server, 3, 4)
    run(limit=10, keep_errors=True)
    server.clear()
    report = run(keep_errors=True)
    assert (report.done, report.skipped) == (10, 10)
    assert len(server.requests) == 10
    assert len(files.read()) == 20
    assert not files.state.exists()


def test_a_file_of_errors_begins_anew_with_the_lines_it_names(run, files, server):
    files.write(*mixed(20), b"{")
    failing(server, 3, 4)
    run(errors_to=files.errors)
    assert len(files.read(files.errors)) == 3
    failing(server)
    report = run(errors_to=files.errors)
    assert (report.done, report.failed) == (2, 1)
    assert [row["id"] for row in files.read(files.errors)] == [21]
    assert numbers(files.read()) == list(range(20))


def test_a_file_of_errors_that_is_kept_is_gone_on_with(run, files, server):
    files.write(*mixed(20))
    failing(server, 3, 4, 15)
    run(limit=10, errors_to=files.errors, keep_errors=True)
    report = run(errors_to=files.errors, keep_errors=True)
    assert (report.done, report.failed, report.skipped) == (9, 1, 10)
    assert len(files.read(files.errors)) == 3


def test_a_file_of_errors_that_is_there_is_refused(run, files):
    files.write(*mixed(3))
    files.errors.write_text("mine\n")
    with pytest.raises(ConfigurationError, match=r"errors_to must be a new file, and .* is there already"):
        run(resume=False, errors_to=files.errors)
    assert files.errors.read_text() == "mine\n"


def test_equal_lines_are_counted(run, files):
    files.write(*[plain(1)] * 5, plain(2))
    run(limit=3)
    report = run()
    assert (report.done, report.skipped) == (3, 3)
    assert Counter(numbers(files.read())) == {1: 5, 2: 1}


def test_a_pipe_is_gone_on_with_by_its_lines(files, server):
    def go(**options):
        objects = (plain(number) for number in range(10))
        return batch.run(objects, files.output, model="smollm2", url=server.url, resume=True, **options)

    assert go(limit=4).done == 4
    assert (go().done, numbers(files.read())) == (6, list(range(10)))


@pytest.mark.skipif(sys.platform == "win32", reason="locks of files are POSIX's")
def test_two_runs_do_not_write_one_file(run, files, server):
    files.write(*mixed(3))
    go_on = threading.Event()

    def reply(request):
        go_on.wait(60)
        return echo(request)

    server.reply = reply
    first = threading.Thread(target=run)
    first.start()
    server.wait_for_requests(3, timeout=60)
    assert json.loads(files.state.read_text())["counts"] == {"done": 0, "failed": 0}
    with pytest.raises(
        ConfigurationError, match="output must be written by one run at a time, and another one"
    ):
        run()
    go_on.set()
    first.join()
    assert numbers(files.read()) == [0, 1, 2]


def test_ordered_output_stays_in_order_over_its_runs(run, files):
    files.write(*(plain(number) for number in range(100)))
    run(ordered=True, limit=37)
    run(ordered=True)
    assert [row["id"] for row in files.read()] == list(range(100))


# --- killed


_PROGRAM = """
import sys
from nupic_client import batch
source, output, url, *flags = sys.argv[1:]
batch.run(source, output, model="smollm2", url=url, resume=True, concurrency=16, ordered="ordered" in flags, max_retries=0)
"""


def killed(files, url, lines, *flags):
    """Run in another process, and kill it when the output has this many lines more."""
    before = _lines(files)
    command = [sys.executable, "-c", _PROGRAM, str(files.input), str(files.output), url, *flags]
    with subprocess.Popen(command, env={**os.environ, "GRPC_VERBOSITY": "NONE"}) as process:
        while process.poll() is None and _lines(files) < before + lines:
            time.sleep(0.002)
        process.kill()
    return process.returncode


def _lines(files):
    return files.output.read_bytes().count(b"\n") if files.output.exists() else 0


def check_kills(files, count, kills, *flags):
    """Kill a run again and again at random places; each line is there once, and little was sent twice."""
    files.write(*mixed(count))
    requests = Counter()
    lock = threading.Lock()

    def reply(request):
        with lock:
            requests[int(number_in(request))] += 1
        return echo(request)

    chance = random.Random(count)
    with FakeTriton(reply, models=[text_signature("smollm2.streaming")]) as server:
        for _ in range(kills):
            killed(files, server.url, chance.randrange(1, count // kills), *flags)
            server.clear()
        assert killed(files, server.url, count * 2, *flags) == 0
    assert numbers(files.read()) == list(range(count))
    assert sorted(requests) == list(range(count))
    assert not files.state.exists()
    return sum(requests.values()) - count


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_a_run_that_is_killed_goes_on(files):
    assert check_kills(files, 1000, 3) <= 3 * 2 * 16


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_a_run_in_order_that_is_killed_goes_on(files):
    check_kills(files, 600, 3, "ordered")
    places = [next(iter(numbers([row]))) for row in files.read()]
    assert places == list(range(600))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_a_run_of_20000_lines_that_is_killed_ten_times_has_each_once(files):
    assert check_kills(files, 20_000, 10) <= 10 * 2 * 16
