"""Parquet in and out; without pyarrow the error that names its extra."""

import datetime as dt
import json
import sys

import pytest
from backends.signatures import VLLM
from batch.files import chat, echo, number_in, plain
from inference.tensor_server import embedder

from nupic_client import ConfigurationError, batch
from nupic_client.testing import FakeTriton, fail, text_signature

RESULTS = ["output", "finish_reason", "input_tokens", "output_tokens", "time_to_first_token", "error"]


@pytest.fixture
def arrow():
    pytest.importorskip("pyarrow.parquet")
    return sys.modules["pyarrow"]


@pytest.fixture
def run(server, files):
    def run(source, output, **options):
        return batch.run(source, output, model="smollm2", url=server.url, **options)

    return run


def write(arrow, path, rows, **options):
    arrow.parquet.write_table(arrow.Table.from_pylist(rows), path, **options)
    return path


def read(arrow, path):
    return arrow.parquet.read_table(path).to_pylist()


def test_without_pyarrow_the_extra_is_named_before_anything_is_sent(run, files, server, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    files.write(plain(1))
    (files.folder / "in.parquet").write_bytes(b"")
    for source, output in (("in.parquet", "out.jsonl"), ("in.jsonl", "out.parquet")):
        with pytest.raises(ConfigurationError, match=r"pip install 'nupic-client\[parquet\]'"):
            run(files.folder / source, files.folder / output)
    assert not server.requests
    assert sorted(path.name for path in files.folder.iterdir()) == ["in.jsonl", "in.parquet"]


def test_a_table_becomes_a_table_with_its_own_types_in_its_own_order(run, files, arrow):
    when = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)
    rows = [
        {"id": f"r{n}", "prompt": f"prompt {n}", "when": when, "data": b"\xff", "n": n / 2}
        for n in range(1500)
    ]
    source = write(arrow, files.folder / "in.parquet", rows, row_group_size=400)
    output = files.folder / "out.parquet"
    assert run(source, output).done == 1500
    found = read(arrow, output)
    assert [list(row) for row in found[:1]] == [[*rows[0], *RESULTS]]
    assert [{name: row[name] for name in rows[0]} for row in found] == rows
    assert [row["output"] for row in found] == [f"answer to {n}" for n in range(1500)]
    assert all(row["error"] is None and row["output_tokens"] == 3 for row in found)
    assert sorted(path.name for path in files.folder.iterdir()) == ["in.parquet", "out.parquet"]


def test_a_table_of_conversations(run, files, arrow, server):
    rows = [{"messages": [{"role": "user", "content": f"say {n}"}]} for n in range(3)]
    output = files.folder / "out.parquet"
    run(write(arrow, files.folder / "in.parquet", rows), output)
    found = read(arrow, output)
    assert [row["messages"] for row in found] == [row["messages"] for row in rows]
    assert [row["output"] for row in found] == ["answer to 0", "answer to 1", "answer to 2"]
    assert all("<|im_start|>user\nsay" in request.prompt for request in server.requests)


def test_rows_without_a_prompt_are_errors(run, files, arrow):
    rows = [
        {"prompt": "1", "messages": None},
        {"prompt": None, "messages": None},
        {"prompt": None, "messages": [{"role": "user", "content": "3"}]},
    ]
    output = files.folder / "out.parquet"
    report = run(write(arrow, files.folder / "in.parquet", rows), output)
    assert (report.done, report.failed) == (2, 1)
    found = read(arrow, output)
    assert [row["output"] for row in found] == ["answer to 1", None, "answer to 3"]
    assert found[1]["error"]["code"] == "invalid_request"


def test_an_empty_table(run, files, arrow):
    table = arrow.schema([("prompt", arrow.string())]).empty_table()
    arrow.parquet.write_table(table, files.folder / "in.parquet")
    output = files.folder / "out.parquet"
    assert run(files.folder / "in.parquet", output).complete
    assert arrow.parquet.read_table(output).column_names == ["prompt", *RESULTS]


def test_a_table_becomes_lines(run, files, arrow):
    when = dt.date(2026, 1, 2)
    rows = [
        {"prompt": f"prompt {n}", "when": when, "data": b"\xff", "n": float("nan"), "tags": ["a"]}
        for n in range(3)
    ]
    run(write(arrow, files.folder / "in.parquet", rows), files.output)
    found = sorted(files.read(), key=lambda row: row["id"])
    assert [row["id"] for row in found] == [1, 2, 3]
    assert found[0] | {"time_to_first_token": 0} == {
        "id": 1, "prompt": "prompt 0", "when": "2026-01-02", "data": "/w==", "n": None, "tags": ["a"],
        "output": "answer to 0", "finish_reason": "stop", "input_tokens": 2, "output_tokens": 3,
        "time_to_first_token": 0, "error": None,
    }  # fmt: skip


def test_lines_of_both_forms_become_a_table(run, files, arrow):
    mixed = {"n": 1, "tags": ["a"], "talk": {"a": 1}}
    files.write(plain(1, **mixed), plain(2, n=2.5, talk="no object"), chat(3), b"{", plain(5, **mixed))
    output = files.folder / "out.parquet"
    report = run(files.input, output, ordered=True)
    assert (report.done, report.failed) == (4, 1)
    found = read(arrow, output)
    assert [row["output"] for row in found] == [
        "answer to 1",
        "answer to 2",
        "answer to 3",
        None,
        "answer to 5",
    ]
    # The ids are numbers and texts, and the talks objects and texts: they have JSON in common.
    assert [row["id"] for row in found] == ["1", "2", '"c3"', "4", "5"]
    assert [row["talk"] for row in found] == ['{"a": 1}', '"no object"', None, None, '{"a": 1}']
    assert [row["n"] for row in found] == [1.0, 2.5, None, None, 1.0]
    assert found[3]["error"]["code"] == "invalid_line"
    assert found[2]["output_tokens"] == 3


def vectors_of(number):
    return {"custom_id": f"e{number}", "body": {"input": "x" * number}}


def test_a_table_of_texts_becomes_a_table_of_vectors(files, arrow):
    rows = [{"id": f"r{n}", "input": "x" * n, "embedding": "an old one"} for n in range(1100)]
    rows[7]["input"] = "bad"
    rows[8]["input"] = None
    source, output = write(arrow, files.folder / "in.parquet", rows), files.folder / "out.parquet"
    with embedder() as server:
        report = batch.run(source, output, model="embed", url=server.url)
    assert (report.done, report.failed) == (1098, 2)
    table = arrow.parquet.read_table(output)
    assert table.column_names == ["id", "input", "embedding", "error"]
    assert table.schema.field("embedding").type == arrow.list_(arrow.float32())
    found = table.to_pylist()
    assert [row["embedding"] for row in found] == [
        None if n in (7, 8) else [float(n), 1.0] for n in range(1100)
    ]
    assert [found[n]["error"]["code"] for n in (7, 8)] == ["request_rejected", "invalid_request"]


@pytest.mark.parametrize(
    ("lines", "vectors", "kind"),
    [
        (
            [vectors_of(1), {"id": 2, "input": "xx"}, b"{"],
            [[1.0, 1.0], [2.0, 1.0], None],
            lambda arrow: arrow.list_(arrow.float32()),
        ),
        (
            [{**vectors_of(1), "body": {"input": "x", "encoding_format": "base64"}}, {"id": 2, "input": ["x", "xx"]}],
            [[[1.0, 1.0]], [[1.0, 1.0], [2.0, 1.0]]],
            lambda arrow: arrow.list_(arrow.list_(arrow.float32())),
        ),
        ([vectors_of(1), {"id": 2, "input": "bad"}], [[1.0, 1.0], None], lambda arrow: arrow.list_(arrow.float32())),
        ([{"id": 1, "input": "bad"}], [None], lambda arrow: arrow.list_(arrow.float32())),
    ],
)  # fmt: skip
def test_lines_become_a_table_of_vectors(files, arrow, lines, vectors, kind):
    files.write(*lines)
    output = files.folder / "out.parquet"
    with embedder() as server:
        batch.run(files.input, output, model="embed", url=server.url, ordered=True)
    table = arrow.parquet.read_table(output)
    assert table.schema.field("embedding").type == kind(arrow)
    assert table.column("embedding").to_pylist() == vectors


def test_columns_with_the_names_of_vectors_are_columns(run, files, arrow):
    files.write(plain(1, embedding="a text"), plain(2, embedding=[1.5]), plain(3, reasoning=5))
    output = files.folder / "out.parquet"
    run(files.input, output, ordered=True)
    found = read(arrow, output)
    assert [row["embedding"] for row in found] == ['"a text"', "[1.5]", None]
    assert [row["reasoning"] for row in found] == [None, None, 5]
    assert [row["output"] for row in found] == ["answer to 1", "answer to 2", "answer to 3"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_calls_and_reasoning_are_columns_of_a_table(files, arrow, suffix):
    tool = {"name": "now", "parameters": {"type": "object", "properties": {}}}
    rows = [{"messages": [{"role": "user", "content": f"say {n}"}]} for n in range(2)]
    source, output = files.folder / f"in.{suffix}", files.folder / "out.parquet"
    if suffix == "jsonl":
        files.write(*rows, {"custom_id": "c", "body": rows[0]}, path=source)
    else:
        write(arrow, source, rows)
    call = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
    with FakeTriton([f"<think>\nHm.\n</think>\n{call}"], models=[text_signature("gpt.streaming")]) as server:
        report = batch.run(source, output, model="gpt", url=server.url, formatter="qwen3", tools=[tool])
    assert not report.failed
    for row in read(arrow, output):
        assert [each["function"]["name"] for each in row["tool_calls"]] == ["now"]
        assert row["reasoning"].strip() == "Hm."


def test_log_probabilities_have_one_form_in_a_table(files, arrow):
    def reply(request):
        text = number_in(request)
        token = {
            "5": {"logprob": -0.5, "decoded_token": text},
            "6": {"logprob": -1.5, "decoded_token": f"x{text}"},
        }
        yield {"text_output": text, "finish_reason": "stop", "logprobs": json.dumps([token])}

    files.write(
        *({"custom_id": "a", "body": {"prompt": f"say {n}", "logprobs": 1}} for n in range(30)),
        chat(30, logprobs=True),
        chat(31),
    )
    output = files.folder / "out.parquet"
    with FakeTriton(reply, models=[VLLM]) as server:
        batch.run(files.input, output, model="vllm_model", url=server.url, formatter="qwen3", ordered=True)
    found = [row["logprobs"] for row in read(arrow, output)]
    assert found[31] is None
    for number, tokens in enumerate(found[:31]):
        (token,) = tokens
        assert (token["token"], token["logprob"]) == (str(number), -0.5)
        assert {each["token"]: each["logprob"] for each in token["top_logprobs"]} == {
            str(number): -0.5,
            f"x{number}": -1.5,
        }


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([{}, {}], ["{}", "{}"]),
        ([{"a": {}}], ['{"a": {}}']),
        ([[{}], None], ["[{}]", None]),
        ([{}, {"a": 1}], [{"a": None}, {"a": 1}]),
        ([[]], [[]]),
        ([2**64, 1], ["18446744073709551616", "1"]),
        (["\ud800x", "😀"], ["\ufffdx", "😀"]),
        ([{"\ud800": ["\udc00"]}], [{"\ufffd": ["\ufffd"]}]),
    ],
)
def test_what_a_table_can_hold(run, files, arrow, values, found):
    files.write(*(plain(number, value=value) for number, value in enumerate(values)))
    output = files.folder / "out.parquet"
    run(files.input, output, ordered=True)
    assert [row["value"] for row in read(arrow, output)] == found


def test_types_differ_between_the_groups_of_a_table(run, files, arrow):
    files.write(
        *(plain(n, value=n if n < 1050 else n + 0.5, late=None if n < 1050 else "x") for n in range(1100))
    )
    output = files.folder / "out.parquet"
    run(files.input, output)
    found = sorted(read(arrow, output), key=lambda row: row["id"])
    assert found[3]["value"] == 3.0
    assert (found[1090]["value"], found[1090]["late"]) == (1090.5, "x")


def test_a_table_is_gone_on_with(run, files, arrow, server):
    rows = [{"prompt": f"prompt {n}"} for n in range(50)]
    source, output = write(arrow, files.folder / "in.parquet", rows), files.folder / "out.parquet"
    report = run(source, output, limit=20)
    assert len(read(arrow, output)) == 20
    with pytest.raises(
        ConfigurationError, match=r"output must be a new file, and .*out.parquet' is there already"
    ):
        run(source, output)
    server.clear()
    server.reply = lambda request: [fail("no")] if number_in(request) == "30" else echo(request)
    report = run(source, output, resume=True)
    assert (report.done, report.failed, report.skipped) == (29, 1, 20)
    assert [row["output"] is None for row in read(arrow, output)] == [n == 30 for n in range(50)]
    server.reply = echo
    assert run(source, output, resume=True).complete
    assert [row["output"] for row in read(arrow, output)] == [f"answer to {n}" for n in range(50)]
    with pytest.raises(ConfigurationError, match=r"out\.parquet\.state.*, and there is none"):
        run(source, output, resume=True)
    assert run(source, output, overwrite=True).done == 50


def test_lines_that_failed_are_left_out_where_their_errors_have_a_file(run, files, arrow, server):
    rows = [{"prompt": f"prompt {n}"} for n in range(5)]
    source, output = write(arrow, files.folder / "in.parquet", rows), files.folder / "out.parquet"
    server.reply = lambda request: [fail("no")] if number_in(request) == "3" else echo(request)
    run(source, output, errors_to=files.errors)
    assert [row["prompt"] for row in read(arrow, output)] == ["prompt 0", "prompt 1", "prompt 2", "prompt 4"]
    assert len(files.read(files.errors)) == 1


def test_another_table_is_refused(run, files, arrow):
    rows = [{"prompt": f"prompt {n}"} for n in range(50)]
    source, output = write(arrow, files.folder / "in.parquet", rows), files.folder / "out.parquet"
    run(source, output, limit=20)
    write(arrow, source, [{"prompt": "another"}])
    with pytest.raises(ConfigurationError, match="the input has"):
        run(source, output, resume=True)


@pytest.mark.parametrize("content", [b"", b"PAR1", b'{"prompt": "x"}\n'])
def test_a_file_that_is_no_table(run, files, arrow, content):
    source = files.folder / "in.parquet"
    source.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"input must be a Parquet file, and .* is none"):
        run(source, files.output)


def test_a_table_without_prompts(run, files, arrow):
    source = write(arrow, files.folder / "in.parquet", [{"text": "x"}])
    with pytest.raises(ConfigurationError, match=r"input must have a column prompt .* and .* has \['text'\]"):
        run(source, files.output)
