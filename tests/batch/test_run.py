"""Whole runs against a server: both forms, bad lines, order, failures, several models."""

import asyncio
import threading

import pytest
from batch.files import beside, chat, echo, number_in, plain

from nupic_client import (
    ConfigurationError,
    ConnectionFailedError,
    ModelUnavailableError,
    StreamingClient,
    batch,
)
from nupic_client.local.engine import GUIDE_INPUTS
from nupic_client.testing import FakeTriton, abort, fail, text_signature


@pytest.fixture
def run(server, files):
    def run(source=None, **options):
        options = {"model": "smollm2", "url": server.url, **options}
        return batch.run(files.input if source is None else source, files.output, **options)

    return run


def by_id(rows):
    return {row.get("custom_id") or row["id"]: row for row in rows}


def test_both_forms_are_answered_each_in_its_own(run, files):
    files.write(plain(1, title="t"), chat(2), plain(3), {"custom_id": "c4", "body": {"prompt": "text 4"}})
    report = run()
    assert (report.done, report.failed, report.skipped, report.ended, report.complete) == (
        4,
        0,
        0,
        "complete",
        True,
    )
    assert report.input_tokens > 0
    assert report.output_tokens == 12
    rows = by_id(files.read())
    assert sorted(map(str, rows)) == ["1", "3", "c2", "c4"]
    assert (rows[1]["output"], rows[1]["title"], rows[1]["error"]) == ("answer to 1", "t", None)
    assert rows[1]["time_to_first_token"] > 0
    message = rows["c2"]["response"]["body"]["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "answer to 2"}
    assert rows["c4"]["response"]["body"]["choices"][0]["text"] == "answer to 4"
    assert not files.state.exists()


def test_bad_lines_stop_nothing(run, files, server):
    files.write(
        plain(1), b"{", b'{"prompt": "\xff"}', b"", b"   ", b"[]", "5", {}, chat(2, n=2), chat(3, max_tokens="many"),
        {"prompt": ""}, {"messages": []}, {"messages": [{"role": "user"}]}, chat(4, temperature=-1),
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, chat(5, seed=2**70), "\ufeff", plain(6),
        {"prompt": "\ud800"}, chat(7, stop=[5]), chat(8, top_p="x", model="gpt"),
    )  # fmt: skip
    report = run()
    rows = files.read()
    assert len(rows) == report.done + report.failed == 19
    good = {str(row["id"]) for row in rows if row["error"] is None}
    assert good == {"1", "6", "11"}
    assert len(server.requests) == 3
    for row in rows:
        if row["error"]:
            assert row["error"]["code"] in {"invalid_line", "invalid_request", "unsupported_parameter"}, row
            assert "item " not in row["error"]["message"]


def test_the_beginning_and_the_ends_of_lines_may_be_those_of_windows(run, files):
    files.input.write_bytes(b'\xef\xbb\xbf{"prompt": "1"}\r\n\r\n{"prompt": "3"}')
    run()
    assert sorted((row["id"], row["output"]) for row in files.read()) == [
        (1, "answer to 1"),
        (3, "answer to 3"),
    ]


@pytest.mark.parametrize("depth", [100, 200, 500, 900, 950, 975, 990, 5000])
def test_a_line_that_is_nested_deep_stops_nothing(run, files, depth):
    lists, objects = "[" * depth + "1" + "]" * depth, '{"a":' * depth + "1" + "}" * depth
    talk = '"messages": [{"role": "user", "content": "say 5"}]'
    texts = [f'{{"id": 1, "prompt": "1", "x": {inner}}}' for inner in (lists, objects)]
    for inner in (lists, objects):
        tools = f'"tools": [{{"type": "function", "function": {{"name": "f", "parameters": {inner}}}}}]'
        schema = f'{{"type": "json_schema", "json_schema": {{"name": "a", "schema": {inner}}}}}'
        bodies = [f'{tools}, "tool_choice": "required"', f'"response_format": {schema}', f'"stop": {inner}']
        texts += [f'{{"custom_id": "a", "body": {{{talk}, {body}}}}}' for body in bodies]
        texts.append(f'{{"custom_id": {inner}, "body": {{{talk}}}}}')
    files.write(*texts, plain(2))
    report = run()
    assert report.done + report.failed == len(texts) + 1
    assert report.done >= 5 if depth == 100 else report.done == 1
    assert report.ended == "complete"


def test_a_huge_line_is_fine(run, files):
    files.write(plain(1, filler="x" * 5_000_000), plain(2))
    assert run().done == 2
    assert by_id(files.read())[1]["filler"] == "x" * 5_000_000


def test_a_line_without_an_end_does_not_fill_the_memory(run, files, monkeypatch):
    monkeypatch.setattr("nupic_client.batch.reading.MAX_LINE_BYTES", 2**20)
    files.write(plain(1), plain(2, filler="x" * 2**21), plain(3), b"x" * (2**20 + 3))
    assert run().done == 2
    wrong = [row for row in files.read() if row["error"]]
    assert [row["id"] for row in wrong] == [2, 4]
    assert wrong[0]["error"]["message"] == "line 2 must be at most 1 MiB long"


def test_an_empty_input_gives_an_empty_output(run, files):
    files.write()
    assert run().ended == "complete"
    assert files.output.read_bytes() == b""


def test_options_are_defaults_under_those_of_a_line(run, files, server):
    files.write(plain(1), chat(2, max_tokens=7))
    run(max_tokens=5, temperature=0)
    sent = {number_in(request): request.inputs for request in server.requests}
    assert {number: (inputs["max_tokens"], inputs["temperature"]) for number, inputs in sent.items()} == {
        "1": (5, 0.0),
        "2": (7, 0.0),
    }


def test_conversations_are_rendered_and_prompts_are_not(run, files, server):
    files.write(plain(1), {"id": 2, "messages": [{"role": "user", "content": "say 2"}]})
    run(system="Be brief.")
    files.output.unlink()
    run(chat=True)
    files.output.unlink()
    run()
    prompts = [request.prompt for request in server.requests]
    assert sum("<|im_start|>user\nprompt 1<|im_end|>" in prompt for prompt in prompts) == 2
    assert sum(prompt == "prompt 1" for prompt in prompts) == 1
    assert sum("Be brief." in prompt for prompt in prompts) == 2


def test_equal_ids_and_equal_lines_are_lines_of_their_own(run, files):
    files.write(
        plain(1),
        plain(1),
        {"id": 1, "prompt": "another 2"},
        {**chat(3), "custom_id": "same"},
        {**chat(4), "custom_id": "same"},
    )
    assert run().done == 5
    assert len(files.read()) == 5


def test_a_line_may_name_another_model(run, files, server):
    files.write(
        plain(1),
        chat(2, model="gpt"),
        chat(3, model="smollm2"),
        chat(4, model="smollm2.streaming"),
        chat(5, model="no-such"),
    )
    report = run(formatter="chatml")
    assert (report.done, report.failed) == (4, 1)
    rows = by_id(files.read())
    assert rows["c2"]["response"]["body"]["model"] == "gpt.streaming"
    assert {rows[name]["response"]["body"]["model"] for name in ("c3", "c4")} == {"smollm2.streaming"}
    assert rows["c5"]["error"]["code"] == "model_unavailable"


def test_the_number_of_models_is_bounded(run, files):
    files.write(*(chat(number, model=f"model-{number}") for number in range(40)), plain(40))
    report = run()
    assert (report.done, report.failed) == (1, 40)
    codes = [row["error"]["code"] for row in files.read() if row["error"]]
    assert set(codes) == {"model_unavailable", "too_many_models"}


def test_a_model_that_is_not_there_fails_its_lines_alone(run, files):
    files.write(*(line for number in range(300) for line in (chat(number, model="no-such"), plain(number))))
    report = run(concurrency=4)
    assert (report.done, report.failed, report.ended) == (300, 300, "complete")


def test_a_model_that_is_not_there_ends_the_run_where_all_lines_name_it(run, files):
    files.write(*(chat(number, model="no-such") for number in range(1000)))
    with pytest.raises(
        ModelUnavailableError, match=r"the last 128 lines failed, the last of them so: .*no-such"
    ):
        run()


def test_the_model_of_the_run_need_not_be_there_where_no_line_needs_it(run, files):
    files.write(*(chat(number, model="gpt") for number in range(3)))
    assert run(model="no-such", formatter="chatml").done == 3


def test_a_client_of_the_callers_own_serves_its_model_alone_and_stays_open(run, files, server):
    files.write(
        plain(1), *(chat(n, model=name) for n, name in ((2, "gpt"), (3, "smollm2"), (4, "smollm2.streaming")))
    )
    with StreamingClient("smollm2", url=server.url) as client:
        report = run(client=client, url="nowhere:1")
        assert client.generate("still 9").text == "answer to 9"
    assert (report.done, report.failed) == (3, 1)
    assert by_id(files.read())["c2"]["error"]["code"] == "wrong_model"


def test_errors_go_to_their_own_file(run, files):
    files.write(plain(1), b"{", chat(3, n=2))
    report = run(errors_to=files.errors)
    assert (report.done, report.failed) == (1, 2)
    assert [row["id"] for row in files.read()] == [1]
    assert [row["id"] for row in files.read(files.errors)] == [2, "batch_req_3"]


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (fail("out of memory"), "model_error"),
        (abort("RESOURCE_EXHAUSTED", "full"), "overloaded"),
        (abort("UNAUTHENTICATED", "who?"), "authentication_failed"),
        (abort("INVALID_ARGUMENT", "no"), "request_rejected"),
        (abort("UNAVAILABLE", "gone"), "model_unavailable"),
    ],
)
def test_a_request_that_fails_is_its_lines_own_error(run, files, server, step, code):
    files.write(plain(1), plain(2), plain(3))
    server.reply = lambda request: [step] if number_in(request) == "2" else echo(request)
    report = run(max_retries=0)
    assert (report.done, report.failed) == (2, 1)
    assert by_id(files.read())[2]["error"]["code"] == code


def test_a_text_that_breaks_off_is_an_error_and_no_answer(run, files, server):
    files.write(plain(1))
    server.reply = ["half", fail("out of memory")]
    assert run().failed == 1
    assert files.read()[0]["output"] is None


def test_an_answer_has_the_form_that_its_line_asks_for(files):
    model = text_signature("smollm2.streaming", extra_inputs=GUIDE_INPUTS)
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}}}
    files.write(
        chat(1, response_format=form),
        chat(2, response_format={"type": "json_object"}),
        chat(3, response_format={"type": "text"}),
        chat(4, response_format={"type": "json_schema", "json_schema": {"schema": {"type": "no type"}}}),
    )
    with FakeTriton(["[1]"], models=[model]) as server:
        batch.run(files.input, files.output, model="smollm2", url=server.url)
    rows = by_id(files.read())
    contents = [rows[name]["response"]["body"]["choices"][0]["message"]["content"] for name in ("c1", "c3")]
    assert contents == ["[1]", "[1]"]
    assert [rows[name]["error"]["code"] for name in ("c2", "c4")] == ["invalid_output", "invalid_request"]
    assert "must be an object" in rows["c2"]["error"]["message"]


def test_the_output_is_in_order_on_wish_and_a_slow_line_holds_up_those_behind(run, files, server):
    arrived = threading.Barrier(5)

    def reply(request):
        if number_in(request) == "1":
            arrived.wait(60)
        elif int(number_in(request)) in range(5, 9):
            # Line 1 goes on only when those behind it are past it.
            arrived.wait(60)
        return echo(request)

    server.reply = reply
    files.write(*(plain(number) for number in range(1, 101)), b"{", chat(102, n=2))
    run(ordered=True, concurrency=5)
    ids = [row["id"] for row in files.read()]
    assert ids == [*range(1, 102), "batch_req_102"]


def test_what_waits_for_its_turn_is_bounded(run, files, server):
    """The first line waits until as many lines as are held have come, and sees whether there are more."""
    full, more = threading.Event(), threading.Event()
    lock = threading.Lock()
    seen, found = set(), []

    def reply(request):
        if number_in(request) == "0":
            found.append((full.wait(60), more.wait(1)))
        else:
            with lock:
                seen.add(number_in(request))
                if len(seen) == 1023:
                    full.set()
                elif len(seen) > 1023:
                    more.set()
        return echo(request)

    server.reply = reply
    files.write(*(plain(number) for number in range(1500)))
    assert run(ordered=True, concurrency=8).done == 1500
    assert found == [(True, False)]
    assert [row["id"] for row in files.read()] == list(range(1500))


def test_as_many_as_were_asked_for_run_at_the_same_time(run, files, server):
    at_once, most, lock = 0, 0, threading.Lock()
    full = threading.Event()

    def reply(request):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
            if at_once == 4:
                full.set()
        full.wait(60)
        with lock:
            at_once -= 1
        return echo(request)

    server.reply = reply
    files.write(*(plain(number) for number in range(40)))
    run(concurrency=4)
    assert most == 4


def test_the_run_ends_after_too_many_failures(run, files, server):
    files.write(*([b"{"] * 3), *(plain(number) for number in range(1000)))
    server.reply = [fail("no")]
    report = run(max_failures=9, concurrency=2)
    assert (report.ended, report.complete) == ("failures", False)
    assert 10 <= report.failed <= 14
    assert files.state.exists()


@pytest.mark.parametrize("most", [0, 3])
def test_the_run_ends_after_one_failure_more_than_are_allowed(run, files, most):
    files.write(*([b"{"] * 50))
    report = run(max_failures=most)
    assert (report.failed, report.ended) == (most + 1, "failures")
    assert len(files.read()) == most + 1


def test_no_failure_is_too_many_where_none_is_allowed(run, files):
    files.write(plain(1), plain(2))
    assert run(max_failures=0).complete


def test_a_server_that_has_gone_ends_the_run(run, files, server):
    files.write(*(plain(number) for number in range(3000)))
    seen = 0

    def reply(request):
        nonlocal seen
        seen += 1
        return echo(request) if seen < 50 else [abort("UNAVAILABLE", "gone")]

    server.reply = reply
    with pytest.raises(
        ModelUnavailableError, match="the last 128 lines failed, the last of them so: the server says"
    ):
        run(max_retries=0)
    assert 100 <= len(files.read()) < 1000
    assert files.state.exists()


@pytest.mark.slow
def test_a_server_that_is_started_again_costs_no_line(files, free_port):
    """But what had begun to come when it died."""
    died = threading.Event()
    seen = []

    def reply(request):
        seen.append(number_in(request))
        if len(seen) == 50:
            died.set()
        return echo(request)

    files.write(*(plain(number) for number in range(300)))
    with FakeTriton(reply, models=[text_signature("smollm2.streaming")], port=free_port) as server:

        def start_again():
            died.wait(60)
            server.stop()
            server.start()

        with beside(start_again):
            report = batch.run(files.input, files.output, model="smollm2", url=server.url, concurrency=4)
    assert report.ended == "complete"
    assert report.failed <= 4
    assert report.done + report.failed == 300


def test_single_failures_do_not_end_the_run(run, files, server):
    files.write(*(plain(number) for number in range(600)))
    server.reply = lambda request: (
        [abort("UNAVAILABLE", "gone")] if int(number_in(request)) % 3 == 0 else echo(request)
    )
    assert run(max_retries=0).failed == 200


def test_a_model_that_is_not_there_is_told_at_once(run, files):
    files.write(plain(1))
    with pytest.raises(Exception, match="no-such"):
        run(model="no-such")
    assert files.read() == []


def test_the_limit_is_of_what_is_sent(run, files):
    files.write(*(plain(number) for number in range(30)))
    report = run(limit=10)
    assert (report.done, report.ended) == (10, "limit")
    report = run(limit=15, resume=True)
    assert (report.done, report.skipped, report.ended) == (15, 10, "limit")
    report = run(limit=5, resume=True)
    assert (report.done, report.skipped, report.ended) == (5, 25, "complete")
    assert sorted(row["id"] for row in files.read()) == list(range(30))


def test_a_job_is_stopped_by_another_thread(files, server):
    go_on = threading.Event()

    def reply(request):
        if int(number_in(request)) >= 10:
            go_on.wait(60)
        return echo(request)

    server.reply = reply
    files.write(*(plain(number) for number in range(100)))
    settings = batch.BatchSettings(concurrency=4)
    job = batch.BatchJob(files.input, files.output, model="smollm2", url=server.url, settings=settings)

    def stop():
        server.wait_for_requests(14, timeout=60)
        job.stop()
        go_on.set()

    with beside(stop):
        report = job.run()
    assert (report.ended, report.complete) == ("stopped", False)
    assert report.done == len(files.read()) == 14


def test_a_job_that_is_stopped_before_it_runs_sends_nothing(files, server):
    files.write(plain(1))
    job = batch.BatchJob(files.input, files.output, model="smollm2", url=server.url)
    job.stop()
    assert job.run().ended == "stopped"
    assert not server.requests
    assert files.state.exists()


def test_a_job_that_is_stopped_at_its_end_is_complete(files, server):
    files.write(plain(1))
    job = None

    def reply(request):
        job.stop()
        return echo(request)

    server.reply = reply
    job = batch.BatchJob(files.input, files.output, model="smollm2", url=server.url)
    assert job.run().complete


def test_an_iterable_of_objects_is_an_input(run, files):
    assert run(plain(number) for number in range(3)).done == 3
    assert sorted(row["id"] for row in files.read()) == [0, 1, 2]


def test_the_progress_is_told(run, files):
    told = []
    files.write(*(plain(number) for number in range(50)), b"{")
    run(progress=told.append)
    last = told[-1]
    assert (last.done, last.failed, last.skipped, last.running, last.fraction) == (50, 1, 0, 0, 1.0)
    assert last.time_to_first_token > 0
    assert last.seconds > 0


def test_an_error_of_the_callers_progress_is_raised(run, files):
    files.write(plain(1))

    def broken(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(progress=broken)


def test_a_run_inside_an_event_loop(run, files):
    files.write(plain(1))

    async def cell():
        return run()

    assert asyncio.run(cell()).done == 1


def test_a_run_in_a_thread(run, files):
    files.write(plain(1))
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(files.read()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency must be a whole number >= 1, not 0"),
        ({"concurrency": 1.5}, "concurrency must be a whole number >= 1, not 1.5"),
        ({"limit": 0}, "limit must be a whole number >= 1, not 0"),
        ({"limit": True}, "limit must be a whole number >= 1, not True"),
        ({"max_failures": -1}, "max_failures must be a whole number >= 0, not -1"),
        ({"resume": True, "overwrite": True}, "resume must not be given with overwrite: choose one"),
        ({"progress": 5}, "progress must be a function, not 5"),
        ({"system": 5}, "system must be a string, not 5"),
        ({"temperature": -1}, "temperature must be a number >= 0, not -1"),
        ({"request_id": "x"}, "request_id must be left out here"),
    ],
)
def test_a_wrong_argument_is_told_before_anything_is_written(run, files, options, message):
    files.write(plain(1))
    with pytest.raises(ConfigurationError) as caught:
        run(**options)
    assert str(caught.value).startswith(message)
    assert not files.output.exists()


def test_an_option_that_does_not_exist(run, files):
    files.write(plain(1))
    with pytest.raises(TypeError, match="temprature"):
        run(temprature=1)
    assert not files.output.exists()


@pytest.mark.parametrize("source", [5, b"x", {"prompt": "x"}, None])
def test_an_input_that_is_none(server, files, source):
    with pytest.raises(
        ConfigurationError, match="input must be the name of a file or an iterable of mappings, not"
    ):
        batch.run(source, files.output, model="smollm2", url=server.url)


def test_files_that_cannot_be(run, files, server):
    with pytest.raises(
        ConfigurationError, match=r"input must be a file that can be read, not .*: there is none"
    ):
        run()
    files.write(plain(1))
    with pytest.raises(
        ConfigurationError, match=r"input must be a file that can be read, not .*: it is a folder"
    ):
        run(files.folder)
    for output in (files.folder, files.folder / "no" / "out.jsonl"):
        with pytest.raises(ConfigurationError, match="output must be a file that can be written, not"):
            batch.run(files.input, output, model="smollm2", url=server.url)


def test_a_file_is_used_for_one_thing_only(run, files, server):
    files.write(plain(1))
    with pytest.raises(ConfigurationError, match="output must be another file than input, not"):
        batch.run(files.input, files.input, model="smollm2", url=server.url, overwrite=True)
    with pytest.raises(ConfigurationError, match="errors_to must be another file than output, not"):
        run(errors_to=files.output)
    link = files.folder / "link.jsonl"
    link.hardlink_to(files.input)
    with pytest.raises(
        ConfigurationError, match=r"output must be another file than input, and .* by another name"
    ):
        batch.run(files.input, link, model="smollm2", url=server.url, overwrite=True)
    assert files.read(files.input) == [plain(1)]


def test_ten_servers_of_nothing(files):
    """A server that does not listen is told, and the output stays empty."""
    files.write(plain(1))
    with FakeTriton(models=[text_signature("smollm2.streaming")]) as server:
        url = server.url
    with pytest.raises(ConnectionFailedError):
        batch.run(files.input, files.output, model="smollm2", url=url, max_retries=0)
    assert files.output.read_bytes() == b""
