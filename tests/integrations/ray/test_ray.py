"""`Generate` and `Embed` in Ray Data: every row has its answer or its error, whatever happens to rows and servers."""

from __future__ import annotations

import asyncio
import itertools
import json
import pickle
import re
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from needed import need

need("ray")

import grpc
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from inference.tensor_server import RefusedError, embedder

from nupic_client import ConfigurationError, RequestRejectedError
from nupic_client.integrations.ray import Embed, Generate
from nupic_client.testing import FakeTriton, abort, fail, sleep, text_signature

# What Ray warns of is its business.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.filterwarnings("default")]

MODEL = "gpt.streaming"
RESULTS = {
    "text": pa.string(),
    "finish_reason": pa.string(),
    "input_tokens": pa.int64(),
    "output_tokens": pa.int64(),
    "time_to_first_token": pa.float64(),
    "endpoint": pa.string(),
    "attempts": pa.int32(),
    "error": pa.string(),
}


def echo(request):
    return ["re: ", request.prompt]


def actors(ray, size=1):
    """Return where actors run: most of their time they wait, so they take little of a processor."""
    return {"compute": ray.data.ActorPoolStrategy(size=size), "num_cpus": 0.25}


def by_id(dataset):
    return sorted(dataset.take_all(), key=lambda row: row["id"])


def questions(count):
    return [{"id": number, "prompt": f"question {number}"} for number in range(count)]


def run(mapper, *batches):
    """Pass batches through a mapper at the same time, as an actor does; return their rows."""

    async def one(batch):
        (table,) = [table async for table in mapper(batch)]
        return table.to_pylist()

    async def all_batches():
        return await asyncio.gather(*map(one, batches))

    try:
        return asyncio.run(all_batches())
    finally:
        mapper.close()


def table(**columns):
    return pa.table(columns)


# --- in Ray


def test_two_thousand_prompts_over_two_servers_are_each_generated_once(ray):
    with FakeTriton(echo) as one, FakeTriton(echo) as other:
        dataset = ray.data.from_items(questions(2000), override_num_blocks=8).map_batches(
            Generate,
            fn_constructor_args=(MODEL, [one.url, other.url]),
            fn_constructor_kwargs={"max_tokens": 50},
            batch_size=64,
            **actors(ray, 2),
        )
        rows = by_id(dataset)
        asked = [[request.prompt for request in server.requests] for server in (one, other)]
    assert [row["text"] for row in rows] == [f"re: question {number}" for number in range(2000)]
    assert sorted(asked[0] + asked[1]) == sorted(f"question {number}" for number in range(2000))
    assert Counter(row["endpoint"] for row in rows) == {one.url: len(asked[0]), other.url: len(asked[1])}
    assert min(map(len, asked)) > 500
    assert {row["error"] for row in rows} == {None}
    assert {(row["finish_reason"], row["output_tokens"], row["attempts"]) for row in rows} == {("stop", 2, 1)}
    assert all(row["time_to_first_token"] > 0 for row in rows)


def test_a_server_that_dies_costs_at_most_the_answers_that_had_begun_and_those_can_be_had_again(ray):
    """With a list of servers what had not begun goes to the other one."""
    dying = FakeTriton(lambda request: ["re: ", sleep(0.02), request.prompt])

    def die():
        dying.wait_for_requests(200, timeout=200)
        dying.stop()

    with FakeTriton(echo) as other, dying:
        killer = threading.Thread(target=die)
        killer.start()
        urls = [dying.url, other.url]

        def generate(dataset):
            return dataset.map_batches(
                Generate,
                fn_constructor_args=(MODEL, urls),
                fn_constructor_kwargs={"concurrency": 16},
                batch_size=50,
                **actors(ray, 2),
            ).materialize()

        dataset = generate(ray.data.from_items(questions(1000), override_num_blocks=8))
        killer.join()
        rows = by_id(dataset)
        failed = [row for row in rows if row["error"]]
        assert [row["id"] for row in rows] == list(range(1000))
        assert all(row["text"] == f"re: question {row['id']}" for row in rows if not row["error"])
        assert len(failed) <= 2 * 16
        assert {row["endpoint"] for row in failed} <= {urls[0]}
        assert {row["text"] for row in failed} <= {None}
        assert len(other.requests) > 300
        again = by_id(generate(dataset.filter(lambda row: row["error"])))
    assert [row["id"] for row in again] == [row["id"] for row in failed]
    assert {row["error"] for row in again} <= {None}


def test_a_bad_row_is_a_row_with_an_error_or_the_end_of_the_job(ray):
    items = [{"id": 0, "prompt": "first"}, {"id": 1, "prompt": None}, {"id": 2, "prompt": "last"}]
    with FakeTriton(echo) as server:

        def generate(**options):
            return ray.data.from_items(items).map_batches(
                Generate,
                fn_constructor_args=(MODEL, server.url),
                fn_constructor_kwargs=options,
                batch_size=3,
                **actors(ray),
            )

        rows = by_id(generate())
        assert [row["text"] for row in rows] == ["re: first", None, "re: last"]
        assert [row["error"] is None for row in rows] == [True, False, True]
        with pytest.raises(Exception, match="prompt must be a str or a list of messages, not NoneType"):
            generate(errors="raise").take_all()


def test_vectors(ray):
    with embedder() as server:
        rows = by_id(
            ray.data.from_items(
                [{"id": number, "text": "x" * number} for number in range(300)], override_num_blocks=4
            ).map_batches(
                Embed,
                fn_constructor_args=("embed", server.url),
                fn_constructor_kwargs={"batch_size": 8},
                batch_size=50,
                **actors(ray),
            )
        )
    assert [list(row["embedding"]) for row in rows] == [[number, 1.0] for number in range(300)]


def test_a_job_that_failed_goes_on_from_its_checkpoint(ray, tmp_path):
    """The rows of the blocks that were written are not generated again."""
    source, answers, done = tmp_path / "source", tmp_path / "answers", tmp_path / "done"
    source.mkdir()
    for part in range(4):
        rows = [{"id": 10 * part + number, "prompt": f"{10 * part + number}"} for number in range(10)]
        (source / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    context = ray.data.DataContext.get_current()
    context.checkpoint_config = ray.data.checkpoint.CheckpointConfig(
        id_column="id", checkpoint_path=str(done), delete_checkpoint_on_success=False
    )

    def saved():
        """Return the files of the checkpoint whose rows are safe."""
        return [file for file in done.glob("**/*.parquet") if ".pending" not in file.name]

    asked = itertools.count()

    def answer(request):
        if next(asked) >= 20:  # two of the four blocks; the next one comes when something is safe, and breaks
            limit = time.monotonic() + 100
            while not saved() and time.monotonic() < limit:
                time.sleep(0.05)
            yield fail("out of memory")
        yield f"re: {request.prompt}"

    def job(server):
        dataset = ray.data.read_json(str(source), override_num_blocks=4).map_batches(
            Generate,
            fn_constructor_args=(MODEL, server.url),
            fn_constructor_kwargs={"errors": "raise", "max_retries": 0},
            batch_size=None,
            **actors(ray),
        )
        dataset.write_parquet(str(answers))

    try:
        with FakeTriton(answer) as server:
            with pytest.raises(Exception, match="out of memory"):
                job(server)
        safe = {row for file in saved() for row in pq.read_table(file).column("id").to_pylist()}
        assert safe
        with FakeTriton(echo) as server:
            job(server)
            again = [int(request.prompt) for request in server.requests]
        assert len(again) == len({*again}) >= 20
        assert not safe & {*again}
    finally:
        context.checkpoint_config = None
    rows = sorted(pq.read_table(answers).to_pylist(), key=lambda row: row["id"])
    assert [(row["id"], row["text"]) for row in rows] == [(number, f"re: {number}") for number in range(40)]


def test_the_page_runs(ray, tmp_path, monkeypatch):
    """Its code as it is printed, with folders of this machine and a server of the test."""
    page = (Path(__file__).parents[3] / "docs" / "integrations" / "ray.md").read_text(encoding="utf-8")
    code = re.findall(r"^```py\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(code) == 4
    (tmp_path / "prompts").mkdir()
    rows = [{"id": number, "question": f"{number}", "prompt": f"{number}"} for number in range(20)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "prompts" / "rows.parquet")
    names: dict[str, Any] = {}
    with FakeTriton(echo, models=[text_signature("smollm2.streaming")]) as server, embedder() as vectors:
        for block in code:
            urls = {
                "10.0.0.1:8001": vectors.url if "Embed" in block else server.url,
                "10.0.0.2:8001": server.url,
            }
            for written, ours in {"s3://bucket": str(tmp_path), "smollm2-embed": "embed", **urls}.items():
                block = block.replace(written, ours)
            block = block.replace("size=4", "size=1")
            if "read_json" in block:
                block = block.replace(f"{tmp_path}/prompts/", f"{tmp_path}/lines/")
                block = block.replace(f"{tmp_path}/answers/", f"{tmp_path}/more/")
                (tmp_path / "lines").mkdir()
                lines = "".join(json.dumps(row) + "\n" for row in rows)
                (tmp_path / "lines" / "rows.jsonl").write_text(lines)
            try:
                exec(block, names)
            finally:
                ray.data.DataContext.get_current().checkpoint_config = None
        assert len(names["vectors"].take_all()) == 20
        assert names["again"].take_all() == []
    for folder in ("answers", "more"):
        texts = pq.read_table(tmp_path / folder).column("text").to_pylist()
        assert sorted(texts) == sorted(f"re: {number}" for number in range(20))


# --- as an actor calls them


@pytest.mark.parametrize(
    "make",
    [
        lambda prompts: table(id=[0, 1], prompt=prompts),
        lambda prompts: {"id": np.arange(2), "prompt": np.array(prompts, object)},
        lambda prompts: pd.DataFrame({"id": [0, 1], "prompt": prompts}),
    ],
    ids=["pyarrow", "numpy", "pandas"],
)
def test_a_batch_may_have_any_format(make):
    with FakeTriton(echo) as server:
        (rows,) = run(Generate(MODEL, server.url), make(["a", "b"]))
    assert [(row["id"], row["text"]) for row in rows] == [(0, "re: a"), (1, "re: b")]


@pytest.mark.parametrize("reply", [echo, [abort("INVALID_ARGUMENT", "no")]], ids=["answers", "errors"])
def test_the_types_of_the_columns_do_not_depend_on_the_rows(reply):
    """Files of a dataset whose types differ cannot be read as one."""

    with FakeTriton(reply) as server:
        mapper = Generate(MODEL, server.url)
        batch = asyncio.run(anext(mapper(table(prompt=["a"], error=[3]))))
        mapper.close()
    assert {field.name: field.type for field in batch.schema} == {"prompt": pa.string(), **RESULTS}


def test_empty_batches():
    with FakeTriton(echo) as server:
        assert run(Generate(MODEL, server.url), table(prompt=pa.array([], pa.string()))) == [[]]
    with embedder() as server:
        assert run(Embed("embed", server.url), table(text=pa.array([], pa.string()))) == [[]]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, "prompt must be a str or a list of messages, not NoneType"),
        (float("nan"), "not float"),
        (3, "not int"),
        ([], "messages must have at least one message"),
        ("lone \ud800", "lone surrogate"),
    ],
)
def test_the_error_of_a_row_has_its_class_and_its_text(value, error):
    prompts = np.empty(3, object)
    prompts[:] = ["good", value, "also good"]
    with FakeTriton(echo) as server:
        (rows,) = run(Generate(MODEL, server.url), {"prompt": prompts})
    assert [row["text"] for row in rows] == ["re: good", None, "re: also good"]
    assert rows[1]["error"].startswith("ConfigurationError: ")
    assert error in rows[1]["error"]
    assert "item" not in rows[1]["error"]  # its place in a batch is nobody's business


def test_the_error_of_a_request_has_the_server_and_the_attempts():
    def reply(request):
        return [fail("out of memory")] if request.prompt == "b" else echo(request)

    with FakeTriton(reply) as server:
        (rows,) = run(Generate(MODEL, server.url, max_retries=0, output="answer"), table(prompt=["a", "b"]))
    assert [row["answer"] for row in rows] == ["re: a", None]
    assert "out of memory" in rows[1]["error"]
    assert rows[1]["error"].startswith("InferenceError: ")
    assert (rows[1]["endpoint"], rows[1]["attempts"]) == (server.url, 1)


def test_conversations():
    chat = [
        [{"role": "user", "content": "Hi", "name": None}],
        [{"role": "system", "content": "Be", "name": None}, {"role": "user", "content": "Ho", "name": None}],
        None,
        [{"role": "user", "content": None, "name": None}],
    ]
    texts = table(chat=["a text is no conversation"])
    with FakeTriton(echo) as server:
        mapper = Generate(MODEL, server.url, messages="chat", formatter="chatml")
        rows, others = run(mapper, table(chat=chat), texts)
        sent = [request.prompt for request in server.requests]
    assert set(sent) == {
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>system\nBe<|im_end|>\n<|im_start|>user\nHo<|im_end|>\n<|im_start|>assistant\n",
    }
    assert [row["error"] is None for row in rows] == [True, True, False, False]
    assert "message 0 must be" in others[0]["error"]


def test_options_of_rows():
    columns = {"max_tokens": "limit", "temperature": "heat"}
    batch = table(prompt=["a", "b", "c"], limit=[1, None, -1], heat=[0.5, None, None])
    with FakeTriton(echo) as server:
        (rows,) = run(Generate(MODEL, server.url, option_columns=columns, max_tokens=2), batch)
        sent = {request.prompt: request.inputs for request in server.requests}
    assert [row["text"] for row in rows] == ["re: ", "re: b", None]
    assert rows[0]["finish_reason"] == "length"
    assert "max_tokens must be an integer >= 1" in rows[2]["error"]
    assert sent["a"]["temperature"] == 0.5
    assert sent.keys() == {"a", "b"}


def test_the_batches_of_an_actor_share_its_places():
    lock, running, most = threading.Lock(), 0, 0
    full = threading.Event()

    def reply(_request):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == 6:
                full.set()
        full.wait(60)
        time.sleep(0.2)  # for those that should not come
        with lock:  # before the answer: the client sends the next one only when it has this one
            running -= 1
        yield "one"

    batches = [table(prompt=[f"{batch} {row}" for row in range(4)]) for batch in range(8)]
    with FakeTriton(reply) as server:
        answers = run(Generate(MODEL, server.url, concurrency=6), *batches)
    assert full.is_set()
    assert most == 6
    assert [[row["text"] for row in rows] for rows in answers] == [["one"] * 4] * 8


def test_a_batch_that_fails_gives_its_places_back():
    def reply(request):
        return [fail("no")] if request.prompt == "bad" else echo(request)

    with FakeTriton(reply) as server:
        mapper = Generate(MODEL, server.url, concurrency=2, errors="raise", max_retries=0)

        async def batches() -> list[Any]:
            for _ in range(3):
                with pytest.raises(Exception, match="no"):
                    [each async for each in mapper(table(prompt=["bad", "a", "b", "c"]))]
            return [each async for each in mapper(table(prompt=["a", "b", "c"]))]

        (answer,) = asyncio.run(asyncio.wait_for(batches(), 60))
        mapper.close()
    assert answer.column("error").null_count == 3


def test_a_text_that_cannot_be_embedded_costs_no_other_one_its_vector():
    texts = np.array(["a", "bad", None, "dddd", "eeeee"], object)
    with embedder() as server:
        (rows,) = run(Embed("embed", server.url, batch_size=4), {"text": texts})
        assert [row["embedding"] for row in rows] == [[1, 1], None, None, [4, 1], [5, 1]]
        assert [row["error"] is None for row in rows] == [True, False, False, True, True]
        assert "bad is not a word" in rows[1]["error"]
        assert rows[2]["error"] == "ConfigurationError: texts[0] must be a str, not NoneType"
        with pytest.raises(ConfigurationError, match="must be a str, not NoneType"):
            run(Embed("embed", server.url, errors="raise"), table(text=["a", None]))
        with pytest.raises(RequestRejectedError, match="bad is not a word"):
            run(Embed("embed", server.url, errors="raise"), table(text=["a", "bad"]))


def test_a_server_that_is_away_is_not_asked_for_each_text_again():
    async def twice(mapper, server):
        (before,) = [each async for each in mapper(table(text=["a"]))]
        server.answer = unavailable
        (after,) = [each async for each in mapper(table(text=["a"] * 8))]
        mapper.close()
        return before.to_pylist(), after.to_pylist()

    def unavailable(_request):
        raise RefusedError(grpc.StatusCode.UNAVAILABLE, "gone")

    with embedder() as server:
        before, after = asyncio.run(twice(Embed("embed", server.url, max_retries=0), server))
        assert len(server.requests) == 2
    assert before[0]["embedding"] == [1, 1]
    assert [row["embedding"] for row in after] == [None] * 8
    assert all("gone" in row["error"] for row in after)


def test_what_is_wrong_with_all_rows_fails_the_job():
    batch = table(prompt=["a"])
    with FakeTriton(echo) as server:
        with pytest.raises(ConfigurationError, match="must have the column 'question', not only prompt"):
            run(Generate(MODEL, server.url, prompt="question"), batch)
        with pytest.raises(TypeError, match="max_tokns"):
            run(Generate(MODEL, server.url, max_tokns=5), batch)
        with pytest.raises(Exception, match="nope"):
            run(Generate("nope", server.url), batch)
    with embedder() as server:
        with pytest.raises(Exception, match="nope"):
            run(Embed("nope", server.url), table(text=["a"]))
        with pytest.raises(ConfigurationError, match="other"):
            run(Embed("embed", server.url, model_output="other"), table(text=["a"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"errors": "ignore"}, "errors must be"),
        ({"concurrency": 0}, "concurrency must be an integer >= 1, not 0"),
        ({"concurrency": True}, "concurrency must be"),
        ({"prompt": "a", "messages": "b"}, "must not both be given"),
        ({"prompt": "text"}, "'text' must not be both"),
        ({"option_columns": {"seed": "error"}}, "'error' must not be both"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        Generate(MODEL, **arguments)


def test_wrong_arguments_of_embeddings():
    with pytest.raises(ConfigurationError, match="batch_size must be an integer >= 1, not 0"):
        Embed("embed", batch_size=0)


def test_a_mapper_can_be_pickled_before_and_after_its_use():
    with FakeTriton(echo) as server:
        mapper = Generate(MODEL, server.url)
        for _ in range(2):
            copy = pickle.loads(pickle.dumps(mapper))
            assert run(copy, table(prompt=["a"]))[0][0]["text"] == "re: a"
            asyncio.run(anext(mapper(table(prompt=["a"]))))
        mapper.close()
        mapper.close()


def test_nothing_is_sent_before_the_first_batch():
    with FakeTriton(echo) as server:
        mapper = Generate(MODEL, server.url)
        mapper.close()
        assert server.calls == ()
