"""Lines that become vectors, alone and among others."""

import base64
import json
import threading
from contextlib import ExitStack

import grpc
import numpy as np
import pytest
from batch.files import beside, chat, echo, plain
from inference.tensor_server import RefusedError, TensorServer, embedder, signature

from nupic_client import InferenceClient, StreamingClient, Timeouts, batch
from nupic_client.errors import ConfigurationError, ConnectionFailedError, ModelUnavailableError
from nupic_client.testing import FakeTriton, text_signature


@pytest.fixture
def vectors():
    with embedder() as server:
        yield server


@pytest.fixture
def run(vectors, files):
    def run(source=None, **options):
        options = {"model": "embed", "url": vectors.url, **options}
        return batch.run(files.input if source is None else source, files.output, **options)

    return run


def embed(number, text, **body):
    return {
        "custom_id": f"e{number}",
        "method": "POST",
        "url": "/v1/embeddings",
        "body": {"input": text, **body},
    }


def found(files, name):
    """Return the vectors of a line."""
    (row,) = (row for row in files.read() if row.get("custom_id", row["id"]) == name)
    assert row["error"] is None, row
    body = row["response"]["body"]
    assert [item["index"] for item in body["data"]] == list(range(len(body["data"])))
    return [item["embedding"] for item in body["data"]]


def errors(files):
    return {
        row.get("custom_id", row["id"]): (row["error"]["code"], row["error"]["message"])
        for row in files.read()
        if row["error"]
    }


def test_one_text_and_many(run, files, vectors):
    files.write(embed(1, "one"), embed(2, [f"{'x' * n}" for n in range(20)]), embed(3, "é", model="embed"))
    report = run()
    assert (report.done, report.failed, report.output_tokens, report.complete) == (3, 0, 0, True)
    assert found(files, "e1") == [[3.0, 1.0]]
    assert found(files, "e2") == [[float(n), 1.0] for n in range(20)]
    assert found(files, "e3") == [[2.0, 1.0]]
    assert {row["response"]["body"]["model"] for row in files.read()} == {"embed"}
    assert len({row["response"]["request_id"] for row in files.read()}) == 3
    assert vectors.count == 5  # 20 texts are three requests of 8


def test_the_encoding_of_vectors(run, files):
    files.write(embed(1, ["one"], encoding_format="base64"), embed(2, "one", encoding_format="float"))
    run()
    (text,) = found(files, "e1")
    assert np.frombuffer(base64.b64decode(text), "<f4").tolist() == found(files, "e2")[0] == [3.0, 1.0]


def test_the_dimensions_are_those_of_the_model(run, files):
    files.write(embed(1, "one", dimensions=2), embed(2, "one", dimensions=256))
    run()
    assert found(files, "e1") == [[3.0, 1.0]]
    message = "dimensions must be left out or 2, the length of the model's vectors, not 256"
    assert errors(files) == {"e2": ("invalid_request", message)}


def test_bad_lines_stop_nothing(run, files, vectors):
    wrong = [[], None, 5, {}, [1, 2], [[1]], ["a", None], [["a"]], True]
    lines = [embed(n, value) for n, value in enumerate(wrong, 1)]
    files.write(embed(0, "good"), *lines, embed(20, ["a", "bad"]), b"{", embed(22, ""))
    report = run()
    assert (report.done, report.failed) == (2, 11)
    told = errors(files)
    assert told.pop("e20")[0] == "request_rejected"
    assert told.pop("12")[0] == "invalid_line"
    assert {code for code, _ in told.values()} == {"invalid_request"}
    assert all("input must be a string or a list of strings" in message for _, message in told.values())


def test_a_text_that_is_no_unicode(run, files):
    files.write(b'{"custom_id": "e1", "body": {"input": "\\ud800"}}', embed(2, "two"))
    assert run().failed == 1
    code, message = errors(files)["e1"]
    assert code == "invalid_request"
    assert message.startswith("input 'text' must be BYTES, not a text that UTF-8 cannot encode")


def test_plain_lines(run, files):
    files.write(
        {"id": 1, "input": "one", "shelf": "a"}, {"input": ["one", "three"]}, {"id": 3, "input": "bad"}
    )
    report = run()
    assert (report.done, report.failed) == (2, 1)
    rows = sorted(files.read(), key=lambda row: row["id"])
    assert rows[0] == {"id": 1, "input": "one", "shelf": "a", "embedding": [3.0, 1.0], "error": None}
    assert rows[1] == {
        "id": 2,
        "input": ["one", "three"],
        "embedding": [[3.0, 1.0], [5.0, 1.0]],
        "error": None,
    }
    assert (rows[2]["embedding"], rows[2]["error"]["code"]) == (None, "request_rejected")


@pytest.fixture
def both(files):
    """A server of texts and one of vectors, and clients for both."""
    with ExitStack() as stack:
        texts = stack.enter_context(FakeTriton(echo, models=[text_signature("smollm2.streaming")]))
        vectors = stack.enter_context(embedder())
        client = stack.enter_context(StreamingClient("smollm2", texts.url))
        embedding_client = stack.enter_context(InferenceClient("embed", vectors.url))

        def run(**options):
            options = {"client": client, "embedding_client": embedding_client, **options}
            return batch.run(files.input, files.output, model="smollm2", **options)

        yield run


def test_a_file_of_both(both, files):
    files.write(chat(1), embed(2, "one"), plain(3), {"id": 4, "input": "one"}, embed(5, "one", model="embed"))
    report = both(ordered=True)
    assert (report.done, report.failed) == (5, 0)
    names = [row.get("custom_id", row["id"]) for row in files.read()]
    assert names == ["c1", "e2", 3, 4, "e5"]
    assert found(files, "e2") == [[3.0, 1.0]]


def test_a_client_of_the_callers_own_needs_another_for_vectors(both, files):
    files.write(chat(1), embed(2, "one"), embed(3, "one", model="other"))
    report = both(embedding_client=None)
    assert (report.done, report.failed) == (1, 2)
    assert errors(files)["e2"] == ("wrong_model", "vectors must have a client, too: give embedding_client=")
    report = both(overwrite=True)
    assert errors(files) == {
        "e3": ("wrong_model", "model must be 'embed', which the client is for, not 'other'")
    }


def test_the_model_of_the_prompts_makes_no_vectors(server, files):
    files.write(embed(1, "one"), plain(2), *(embed(n, "one", model="no-such") for n in range(3, 6)))
    report = batch.run(files.input, files.output, model="smollm2", url=server.url)
    assert (report.done, report.failed) == (1, 4)
    told = errors(files)
    assert told["e1"][0] == "invalid_request"
    assert told["e3"][0] == "model_unavailable"


def test_a_model_that_is_not_there_is_told_at_once(run, files):
    files.write(embed(1, "one"))
    with pytest.raises(ModelUnavailableError, match="no-such"):
        run(model="no-such")
    assert files.read() == []


def test_a_server_that_does_not_listen_is_told(run, files):
    files.write(embed(1, "one"))
    with pytest.raises(ConnectionFailedError):
        run(url="127.0.0.1:1", max_retries=0)


def test_what_is_done_is_not_sent_again(run, files, vectors):
    lines = [embed(n, "x" * n) if n % 2 else {"id": n, "input": "x" * n} for n in range(40)]
    files.write(*lines)
    assert run(limit=25).done == 25
    files.output.write_bytes(files.output.read_bytes()[:-5])
    before = vectors.count
    report = run(resume=True)
    assert (report.done, report.skipped) == (16, 24)
    assert vectors.count == before + 16
    assert len(files.read()) == 40
    with pytest.raises(ConfigurationError, match="there already"):
        run()


def test_another_model_of_vectors_is_refused(both, files, vectors):
    files.write(*(embed(n, "one") for n in range(3)))
    both(limit=1)
    with InferenceClient("other", vectors.url) as client:
        message = "now embedding_model is 'other', and was 'embed'"
        with pytest.raises(ConfigurationError, match=message):
            both(resume=True, embedding_client=client)
    assert both(resume=True).done == 2


def test_no_more_than_were_asked_for_run_at_the_same_time(run, files, vectors):
    vectors.gate.clear()

    def open_when_full():
        vectors.wait_for(lambda server: server.running >= 3)
        with vectors.changed:
            vectors.changed.wait_for(lambda: vectors.running > 3, 0.5)  # one more would come at once
        vectors.gate.set()

    thread = threading.Thread(target=open_when_full)
    thread.start()
    files.write(*(embed(n, ["x"] * 20) for n in range(10)))
    assert run(concurrency=3).done == 10
    thread.join()
    assert vectors.most_running == 3


def test_a_job_is_stopped_at_once(files, vectors):
    """What runs is cancelled, and nothing of it is in the output."""
    vectors.gate.clear()
    files.write(*(embed(n, "one") for n in range(50)))
    settings = batch.BatchSettings(concurrency=4)
    job = batch.BatchJob(files.input, files.output, model="embed", url=vectors.url, settings=settings)

    def stop():
        vectors.wait_for(lambda server: server.running == 4)
        job.stop()
        job.stop()

    with beside(stop):
        report = job.run()
    assert (report.ended, report.done) == ("stopped", 0)
    assert files.read() == []
    vectors.gate.set()
    assert batch.run(files.input, files.output, model="embed", url=vectors.url, resume=True).done == 50


def test_a_job_that_is_stopped_waits_for_what_runs(files, vectors):
    vectors.gate.clear()
    files.write(*(embed(n, "one") for n in range(50)))
    settings = batch.BatchSettings(concurrency=4)
    job = batch.BatchJob(files.input, files.output, model="embed", url=vectors.url, settings=settings)

    def stop():
        vectors.wait_for(lambda server: server.running == 4)
        job.stop()
        vectors.gate.set()

    with beside(stop):
        report = job.run()
    assert (report.ended, report.done) == ("stopped", 4)


def test_a_server_that_has_gone_ends_the_run(run, files, vectors):
    respond = vectors.answer

    def answer(request):
        if vectors.count > 20:
            raise RefusedError(grpc.StatusCode.UNAVAILABLE, "gone")
        return respond(request)

    vectors.answer = answer
    files.write(*(embed(n, "one") for n in range(1000)))
    with pytest.raises(ModelUnavailableError, match="the last 128 lines failed, the last of them so"):
        run(max_retries=0)
    assert 100 <= len(files.read()) < 1000
    vectors.answer = respond
    assert run(resume=True).complete


@pytest.mark.slow
def test_a_server_that_is_started_again_costs_no_line(files, free_port):
    """A request for vectors has no beginning that could have come: it is sent again as a whole."""
    died = threading.Event()
    seen = []

    def reply(request):
        seen.append(request.request_id)
        if len(seen) == 50:
            died.set()
        return [{"v": [float(len(request.inputs["text"])), 1.0]}]

    model = signature("embed", {"text": ("BYTES", (1,))}, {"v": ("FP32", (2,))})
    files.write(*(embed(n, "x" * n) for n in range(300)))
    with FakeTriton(reply, models=[model], port=free_port) as server:

        def start_again():
            died.wait(60)
            server.stop()
            server.start()

        with beside(start_again):
            report = batch.run(files.input, files.output, model="embed", url=server.url, concurrency=4)
    assert (report.done, report.ended) == (300, "complete")


def test_the_options_of_calls_are_those_of_vectors_too(run, files):
    files.write(embed(1, "one"))
    timeout = Timeouts(total=60, first_token=30)
    assert run(timeout=timeout, max_retries=3, max_tokens=5, temperature=0, metadata={"x-a": "b"}).done == 1
    assert run(timeout=60, overwrite=True).done == 1


def test_a_vector_that_json_cannot_hold_is_an_error(files):
    model = signature("embed", {"text": ("BYTES", (1,))}, {"v": ("FP32", (1,))}, max_batch_size=8)
    inner = embedder()

    def answer(request):
        response = inner.answer(request)
        response.outputs[0].shape[:] = [1, 1]
        response.raw_output_contents[0] = np.array([[np.nan]], np.float32).tobytes()
        return response

    files.write(embed(1, "one"), embed(2, "one", encoding_format="base64"), {"id": 3, "input": "one"})
    with TensorServer(model, answer=answer) as server:
        report = batch.run(files.input, files.output, model="embed", url=server.url)
    assert (report.done, report.failed) == (1, 2)
    assert {code for code, _ in errors(files).values()} == {"invalid_output"}


def test_a_huge_line(run, files):
    files.write(embed(1, ["x" * 1000] * 3000))
    assert run().done == 1
    assert found(files, "e1") == [[1000.0, 1.0]] * 3000


def test_unknown_keys_are_ignored(run, files):
    files.write(json.dumps(embed(1, "one", user="me", unheard_of=5)))
    assert run().done == 1
