"""`HttpInferenceClient` against a server of KServe v2 over HTTP, with Triton's extensions and without them."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import pickle
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import numpy as np
import pytest
from inference.rest_server import RefusedError, RestServer
from inference.tensor_server import echo, signature
from local.certificates import OTHER_AUTHORITY, ROOTS, pair

from nupic_client import (
    TLS,
    AuthenticationError,
    ClientFactory,
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ProtocolError,
    RequestRejectedError,
    RetryPolicy,
)
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.output_arrays import decode_outputs
from nupic_client._datatypes import DATATYPES as TABLE
from nupic_client._sync.http_connection import Connection
from nupic_client.errors import RequestError, TransportError
from nupic_client.registry import ModelRegistry, ModelSpec

FAST = RetryPolicy(max_retries=2, initial_backoff=0.01)
SECRET = "s3cr3t-t0k3n"
SBERT = signature("sbert", {"text_input": ("BYTES", (1,))}, {"embedding": ("FP32", (2,))}, max_batch_size=4)
ECHO = signature("echo", {"x": ("BYTES", (-1,))})
BRAIN = signature("brain", {"x": ("BF16", (-1,))})
DATATYPES = [*TABLE]
EVERY = [signature(datatype, {"x": (datatype, (-1, -1))}) for datatype in DATATYPES]


def embed_or_echo(request):
    if request.model_name != "sbert":
        return echo(request)
    texts = decode_outputs(Inputs(request), "str")["text_input"]
    response = wire.pb.ModelInferResponse(model_name="sbert", model_version="1", id=request.id)
    response.outputs.add(name="embedding", datatype="FP32", shape=(len(texts), 2))
    response.raw_output_contents.append(
        np.array([[len(text)] * 2 for text in texts.ravel()], np.float32).tobytes()
    )
    return response


class Inputs:
    def __init__(self, request):
        self.outputs, self.raw_output_contents = request.inputs, request.raw_input_contents


@pytest.fixture(params=[True, False], ids=["triton", "plain"])
def server(request):
    with RestServer(SBERT, ECHO, BRAIN, *EVERY, answer=embed_or_echo, extensions=request.param) as running:
        yield running


@pytest.fixture
def triton():
    with RestServer(SBERT, ECHO, BRAIN, answer=embed_or_echo) as running:
        yield running


def client(model="sbert", url="localhost:8000", **options):
    return ClientFactory.get_client(model, url, "http", **options)


def sent(server):
    """Return what the requests for inference have named as their parameters."""
    return [dict(request.parameters) for request in server.requests]


# --- requests and answers


def test_infer_and_embed(triton):
    with client(url=triton.url) as it:
        result = it.infer(["ab", "c"], request_id="me")
        assert result.only.tolist() == [[2, 2], [1, 1]]
        assert result.endpoint == triton.url.removeprefix("http://")
        twin = pickle.loads(pickle.dumps(result))
        assert (twin, twin.trailing_metadata) == (result, result.trailing_metadata)
        assert it.embed(["a" * n for n in range(10)], concurrency=1)[:, 0].tolist() == list(range(10))
        assert repr(it) == f"HttpInferenceClient('sbert', url='{triton.url.removeprefix('http://')}')"
    assert triton.connections == 1
    assert triton.requests[0].id == "me"
    assert [output.name for output in triton.requests[1].outputs] == ["embedding"]
    assert len({request.id for request in triton.requests[1:]}) == 3
    it.close()
    with pytest.raises(ConfigurationError, match="this client is closed"):
        it.infer(["ab"])


def test_infer_and_embed_without_extensions():
    """Servers that do not stream and have no model configuration, such as MLServer, describe the batch as a dimension."""
    plain = signature("sbert", {"text_input": ("BYTES", (-1, 1))}, {"embedding": ("FP32", (-1, 2))})
    with RestServer(plain, answer=embed_or_echo, extensions=False) as server, client(url=server.url) as it:
        assert it.infer(np.array([["ab"], ["c"]])).only.tolist() == [[2, 2], [1, 1]]
        assert server.paths == [
            "/v2/models/sbert/config",
            "/v2/models/sbert",
            "/v2",
            "/v2/models/sbert/infer",
        ]


def values(datatype):
    if datatype == "BYTES":
        return np.array([["ä", "b\n"], ["", "d\0"]], dtype=object)
    if datatype == "BF16":
        return np.array([[1.5, -2.0], [0.0, 3e38]], np.float32)
    dtype = {"BOOL": "?", "FP16": "f2", "FP32": "f4", "FP64": "f8"}.get(datatype) or datatype.lower()
    if datatype.startswith(("INT", "UINT")):
        info = np.iinfo(dtype)
        return np.array([[info.min, 1], [2, info.max]], dtype)
    return np.array([[0, 1], [0.5, 1.5]]).astype(dtype)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_data_type_goes_there_and_comes_back(server, datatype):
    array = values(datatype)
    found = client(datatype, server.url).infer({"x": array})
    assert found.only.shape == (2, 2)
    assert found.only.tolist() == [
        [pytest.approx(value, rel=0.01) if datatype == "BF16" else value for value in row]
        for row in array.tolist()
    ]
    assert found.only.dtype == array.dtype
    assert (found.model, found.version) == (datatype, "1")


@pytest.mark.parametrize("datatype", ["FP32", "BYTES", "BF16"])
def test_empty_arrays(server, datatype):
    dtype = object if datatype == "BYTES" else np.float32
    assert client(datatype, server.url).infer(np.zeros((0, 3), dtype)).only.shape == (0, 3)


def test_numbers_are_read_without_a_copy(triton):
    triton.models.signatures["FP32"] = EVERY[DATATYPES.index("FP32")]
    array = np.arange(3_000_000, dtype=np.float32).reshape(3, -1)
    found = client("FP32", triton.url).infer(array).only
    assert np.array_equal(found, array)
    assert not found.flags.writeable
    assert found.flags.aligned
    assert isinstance(found.base.base if found.base.base is not None else found.base, bytes)


def test_texts_are_str_or_bytes_by_choice(server):
    assert client("echo", server.url).infer(["ä"]).only.tolist() == ["ä"]
    assert client("echo", server.url, text="bytes").infer(["ä"]).only.tolist() == ["ä".encode()]
    assert client("echo", server.url).infer(["ä"], text="bytes").only.tolist() == ["ä".encode()]


def test_bytes_that_are_no_text(triton):
    with pytest.raises(ProtocolError, match="text='bytes'"):
        client("echo", triton.url).infer([b"\xff"])
    assert client("echo", triton.url, text="bytes").infer([b"\xff"]).only.tolist() == [b"\xff"]


def test_json_cannot_hold_everything():
    with RestServer(ECHO, EVERY[DATATYPES.index("FP32")], extensions=False) as server:
        with pytest.raises(ConfigurationError, match=r"'x' has bytes that are not UTF-8.*gRPC port"):
            client("echo", server.url).infer([b"\xff"])
        with pytest.raises(ConfigurationError, match=r"'x' has infinity or NaN.*gRPC port"):
            client("FP32", server.url).infer(np.float32([[np.nan]]))
        assert server.requests == []


def test_bfloat16_is_given_as_float32(server):
    array = client("brain", server.url).infer(np.float32([1.5])).only
    assert (array.dtype, array.tolist()) == (np.float32, [1.5])


def test_parameters_go_along_and_come_back(triton):
    def answer(request):
        response = echo(request)
        assert response.parameters["binary_data_output"].bool_param
        return response

    triton.answer = answer
    given = {"priority": 1, "share": 0.5, "who": "me", "loud": True}
    client("echo", triton.url).infer(["a"], parameters=given)
    (parameters,) = sent(triton)
    assert {name: wire.parameter_value(parameters[name]) for name in given} == given
    with pytest.raises(ConfigurationError, match=r"parameter 'priority' must be .* an integer from"):
        client("echo", triton.url).infer(["a"], parameters={"priority": 2**70})


def test_parameters_are_numbers_that_json_has(server):
    with pytest.raises(ConfigurationError, match=r"parameters must be numbers .*NaN"):
        client("echo", server.url).infer(["a"], parameters={"share": float("nan")})
    assert server.requests == []


def test_a_version_is_part_of_the_path(triton):
    registry = ModelRegistry([ModelSpec(name="mine", server_name="echo", version="7")])
    client("mine", triton.url, registry=registry).infer(["a"])
    assert triton.paths == [
        "/v2/models/echo/versions/7/config",
        "/v2",
        "/v2/models/echo/versions/7/infer",
    ]


def test_a_model_name_is_quoted(triton):
    triton.models.signatures["a b/ä"] = signature("a b/ä", {"x": ("BYTES", (-1,))})
    assert client("a b/ä", triton.url).infer(["a"]).only.tolist() == ["a"]
    assert triton.paths[0] == "/v2/models/a%20b%2F%C3%A4/config"


def test_outputs_are_chosen_and_must_come(triton):
    two = signature("two", {"x": ("BYTES", (-1,))}, {"x": ("BYTES", (-1,)), "y": ("BYTES", (-1,))})
    triton.models.signatures["two"] = two
    it = client("two", triton.url)
    assert list(it.infer(["a"], outputs=["x"])) == ["x"]
    with pytest.raises(ProtocolError, match="did not send the output 'y'"):
        it.infer(["a"], outputs=["y"])
    with pytest.raises(ConfigurationError, match="no output 'z'"):
        it.infer(["a"], outputs=["z"])


def test_the_twin_that_answers_at_once_is_meant(triton):
    triton.models.signatures["gpt"] = signature("gpt", {"x": ("BYTES", (-1,))})
    assert client("gpt.streaming", triton.url).infer(["a"]).model == "gpt"
    assert triton.paths[0] == "/v2/models/gpt/config"
    triton.models.signatures["llm"] = signature("llm", {"x": ("BYTES", (-1,))}, decoupled=True)
    with pytest.raises(ConfigurationError, match="must answer at once, not stream"):
        client("llm", triton.url).infer(["a"])


def test_options_that_do_not_belong_to_many_requests(triton):
    it = client(url=triton.url)
    for option in ({"outputs": ["embedding"]}, {"request_id": "a"}):
        with pytest.raises(ConfigurationError, match=r"must not be given|must be left out here"):
            it.embed(["a"], **option)
    with pytest.raises(TypeError, match="no option 'outputz'"):
        it.infer(["a"], outputz=["embedding"])
    assert triton.requests == []


def test_long_texts_are_an_error(server):
    it = client("echo", server.url)
    with pytest.raises(ProtocolError, match="max_output_bytes"):
        it.infer(["a" * 100], max_output_bytes=100)
    assert it.infer(["a" * 100], max_output_bytes=104).only.tolist() == ["a" * 100]


def test_an_answer_to_another_request_is_an_error(triton):
    def answer(request):
        request.id = "other"
        return echo(request)

    triton.answer = answer
    with pytest.raises(ProtocolError, match="another request, 'other'"):
        client("echo", triton.url).infer(["a"])


def test_inputs_are_checked_first(triton):
    it = client(url=triton.url)
    with pytest.raises(ConfigurationError, match="must have a batch size of at most 4"):
        it.infer(["a"] * 5)
    assert triton.requests == []


# --- urls and headers


@pytest.mark.parametrize("path", ["", "/", "/base", "/base/", "/base/v2", "/v2/"])
def test_the_url_may_have_a_scheme_and_a_path(path):
    base = path.rstrip("/").removesuffix("v2").rstrip("/")
    with RestServer(ECHO, path=base) as server:
        port = server.server.server_port
        it = client("echo", f"http://localhost:{port}{path}")
        it.infer("a")
        assert it.url == f"localhost:{port}{base}"
        assert server.headers[0]["host"] == f"localhost:{port}"
        client("echo", f"127.0.0.1:{port}{path}").infer("a")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (None, "localhost:8000"),
        ("localhost", "localhost:8000"),
        ("https://host:443/base/", "host:443/base"),
        ("https://host", "host:443"),
        ("HTTP://host", "host:80"),
        ("[::1]:1", "[::1]:1"),
    ],
)
def test_ports_and_paths_have_defaults(url, shown):
    assert client(url=url).url == shown


@pytest.mark.parametrize(
    "url",
    [
        "grpc://host:8001",
        "ftp://host:1",
        "://host",
        "host:99999",
        "host:0",
        "a b:1",
        "host:1?x",
        "h\u00f6st:1",
        "",
    ],
)
def test_other_urls_are_refused(url):
    with pytest.raises(ConfigurationError, match="url must be host:port"):
        client(url=url)


def test_credentials_in_a_url_are_refused_and_not_shown():
    with pytest.raises(ConfigurationError, match="bearer_token=") as caught:
        client(url=f"http://me:{SECRET}@host:8000")
    assert SECRET not in str(caught.value)
    with pytest.raises(ConfigurationError, match="url must be a string"):
        client(url=["host:1"])


def test_metadata_goes_as_headers(triton):
    it = client("echo", triton.url, metadata={"x-tenant": "blue"})
    it.infer(["a"], metadata={"x-shade": "dark", "x-raw-bin": b"\xff\r\n"})
    for headers in triton.headers:
        assert (headers["x-tenant"], headers["x-shade"], headers["x-raw-bin"]) == ("blue", "dark", "/w0K")
        assert headers["user-agent"].startswith("nupic-client/")


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"content-length": "5"}, "belongs to HTTP itself"),
        ({"host": "other"}, "belongs to HTTP itself"),
        ({"inference-header-content-length": "5"}, "belongs to HTTP itself"),
        ({"X-Tenant": "blue"}, "lowercase"),
        ({"x-tenant": "a\r\nb: c"}, "printable"),
        ({"x tenant": "a"}, "lowercase"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused(triton, metadata, words):
    with pytest.raises(ConfigurationError, match=words):
        client("echo", triton.url, metadata=metadata)
    with pytest.raises(ConfigurationError, match=words):
        client("echo", triton.url).infer(["a"], metadata=metadata)
    assert triton.paths == []


def test_proxies_of_the_environment_are_not_used(triton, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert client("echo", triton.url).infer(["a"]).only.tolist() == ["a"]


# --- failures


SHAPE = "[request id: a] unexpected shape for input 'x'"
UNKNOWN = "Request for unknown model: 'm' is not found"
DECOUPLED = "doesn't support models with decoupled transaction policy"
ELSEWHERE = {"Location": "https://else.where/\x1b"}


@pytest.mark.parametrize(
    ("refusal", "error", "status", "words"),
    [
        (RefusedError(400, "what is this"), RequestRejectedError, "INVALID_ARGUMENT", "does not fit the model: what"),
        (RefusedError(400, SHAPE), RequestRejectedError, "INVALID_ARGUMENT", "shape"),
        (RefusedError(404, UNKNOWN), ModelUnavailableError, "NOT_FOUND", "no such model"),
        (RefusedError(404, "Model m not found"), ModelUnavailableError, "NOT_FOUND", "not have it: Model m"),
        (RefusedError(403, "not you"), AuthenticationError, "PERMISSION_DENIED", "do not allow it: not you"),
        (RefusedError(405, ""), RequestRejectedError, "UNIMPLEMENTED", r"405 \(Method Not Allowed\)"),
        (RefusedError(408, ""), ConnectionFailedError, "UNAVAILABLE", "408"),
        (RefusedError(413, "<html>"), RequestRejectedError, "INVALID_ARGUMENT", "too large .* 413"),
        (RefusedError(418, "no coffee"), RequestRejectedError, "FAILED_PRECONDITION", "refused: no coffee"),
        (RefusedError(422, '{"detail": [{"loc": 1}]}'), RequestRejectedError, "INVALID_ARGUMENT", "loc"),
        (RefusedError(500, "oh no"), InferenceError, "INTERNAL", "the server failed: oh no"),
        (RefusedError(501, DECOUPLED), RequestRejectedError, "UNIMPLEMENTED", "streams"),
        (RefusedError(502, "<html>Bad"), ConnectionFailedError, "UNAVAILABLE", r"gateway .*answered 502 \(Bad Gateway\)"),
        (RefusedError(503, ""), ConnectionFailedError, "UNAVAILABLE", "gateway .*answered 503"),
        (RefusedError(503, "full"), ModelUnavailableError, "UNAVAILABLE", "says that it is unavailable: full"),
        (RefusedError(504, "<html>"), ConnectionFailedError, "UNAVAILABLE", "gateway .*answered 504"),
        (RefusedError(599, ""), InferenceError, "UNKNOWN", "599"),
        (RefusedError(429, "too many"), OverloadedError, "RESOURCE_EXHAUSTED", "no capacity for this now: too many"),
        (RefusedError(301, "", ELSEWHERE), RequestRejectedError, "FAILED_PRECONDITION", r"to 'https://else.where/\\x1b'"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, RefusedError) else "",
)  # fmt: skip
def test_failures_are_typed(triton, refusal, error, status, words):
    def answer(request):
        raise refusal

    triton.answer = answer
    it = client("echo", triton.url, max_retries=FAST)
    with pytest.raises(error, match=words) as caught:
        it.infer(["a"], request_id="me")
    failure = caught.value
    assert (failure.model, failure.target, failure.request_id, failure.status) == (
        "echo",
        it.url,
        "me",
        status,
    )
    assert failure.retryable is (refusal.status in {408, 429, 502, 503, 504})
    assert len(failure.attempts) == (3 if failure.retryable else 1)
    assert len(triton.requests) == len(failure.attempts)
    assert triton.connections == 1
    assert (error, failure.__cause__) == (type(failure), None)


def test_an_unknown_model_is_typed(server):
    with pytest.raises(ModelUnavailableError) as caught:
        client("nope", server.url).infer("a")
    assert (caught.value.model, caught.value.status) == ("nope", "NOT_FOUND")


@pytest.mark.parametrize("wanted", ["0", "Sat, 01 Jan 2000 00:00:07 GMT"])
def test_a_server_says_when_to_try_again(triton, wanted):
    headers = {"Retry-After": wanted, "Date": "Sat, 01 Jan 2000 00:00:05 GMT"}
    failures = [RefusedError(429, "later", headers)]

    def answer(request):
        if failures and wanted == "0":
            raise failures.pop()
        if failures:
            raise failures[0]
        return echo(request)

    triton.answer = answer
    it = client("echo", triton.url, timeout=1)
    if wanted == "0":
        it.infer(["a"])
        return
    with pytest.raises(OverloadedError) as caught:
        it.infer(["a"])
    assert (caught.value.retry_after, len(caught.value.attempts)) == (2.0, 1)


def test_a_failure_that_passes_is_not_seen(triton):
    failures = [RefusedError(503, ""), RefusedError(502, "<html>")]

    def answer(request):
        if failures:
            raise failures.pop()
        return echo(request)

    triton.answer = answer
    assert client("echo", triton.url, max_retries=FAST).infer(["a"]).only.tolist() == ["a"]
    assert len(triton.requests) == 3


def test_a_call_has_a_deadline(triton):
    gate = threading.Event()

    def answer(request):
        gate.wait(5)
        return echo(request)

    triton.answer = answer
    with client("echo", triton.url) as it:
        start = time.monotonic()
        with pytest.raises(DeadlineExceededError, match="no complete answer in time") as caught:
            it.infer(["a"], timeout=0.2)
        assert 0.2 <= time.monotonic() - start < 2
        assert (caught.value.limit, caught.value.status) == (0.2, "DEADLINE_EXCEEDED")
        gate.set()
        triton.answer = echo
        assert it.infer(["b"], timeout=None).only.tolist() == ["b"]


def test_a_rejected_request_makes_the_client_ask_anew(triton):
    it = client("echo", triton.url)
    it.infer(["a"])

    def answer(request):
        raise RefusedError(400, "unexpected inference input 'x' for model 'echo'")

    triton.answer = answer
    with pytest.raises(RequestRejectedError):
        it.infer(["a"])
    triton.answer = echo
    it.infer(["a"])
    assert triton.paths.count("/v2/models/echo/config") == 2


# --- connections


def test_a_connection_that_was_closed_meanwhile_is_replaced(triton):
    it = client("echo", triton.url, max_retries=0)
    triton.close_after_answer = True
    for text in "abc":
        assert it.infer([text]).only.tolist() == [text]
        time.sleep(0.02)
    assert triton.connections >= 5
    assert len(triton.requests) == 3


def test_a_connection_that_is_closed_when_it_is_used_is_replaced(triton, monkeypatch):
    monkeypatch.setattr(Connection, "_is_stale", lambda self: False)
    it = client("echo", triton.url, max_retries=0)
    it.infer(["a"])
    triton.close_after_answer = True
    it.infer(["a"])
    time.sleep(0.05)
    triton.close_after_answer = False
    assert it.infer(["b"]).only.tolist() == ["b"]
    assert len(triton.requests) == 3


def test_threads_have_connections_of_their_own(triton):
    barrier = threading.Barrier(4)

    def answer(request):
        barrier.wait(5)
        return echo(request)

    it = client("echo", triton.url)
    it.infer(["a"])
    triton.answer = answer
    found = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(it.infer([str(n)]).only[0])) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list("0123")
    assert triton.connections == 4
    triton.answer = echo
    it.infer(["again"])
    assert triton.connections == 4


def test_closing_ends_what_is_running(triton):
    started, gate = threading.Event(), threading.Event()

    def answer(request):
        started.set()
        gate.wait(5)
        return echo(request)

    triton.answer = answer
    it = client("echo", triton.url)
    threading.Thread(target=lambda: (started.wait(5), it.close())).start()
    with pytest.raises(TransportError, match="the client was closed before the answer came") as caught:
        it.infer(["a"])
    assert caught.value.status == "CANCELLED"
    gate.set()


def test_a_dropped_client_leaves_no_sockets(triton, recwarn):
    gc.collect()
    recwarn.clear()
    it = client("echo", triton.url)
    it.infer(["a"])
    it.itself = it
    del it
    gc.collect()
    assert [item for item in recwarn if issubclass(item.category, ResourceWarning)] == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own(triton):
    it = client("echo", triton.url)
    it.infer(["a"])
    made = triton.connections
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put(it.infer(["child"]).only.tolist()))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    assert queue.get() == ["child"]
    assert it.infer(["parent"]).only.tolist() == ["parent"]
    assert triton.connections == made + 1


def test_ready(triton):
    it = client("sbert", triton.url)
    assert it.model.server_name == "sbert"
    it.wait_until_ready(1)
    assert triton.paths == ["/v2/health/ready", "/v2/models/sbert/ready"]
    with pytest.raises(DeadlineExceededError, match="no model 'nope' that is ready"):
        client("nope", triton.url).wait_until_ready(0.1)
    triton.ready = False
    with pytest.raises(DeadlineExceededError, match="the server says it is not ready"):
        it.wait_until_ready(0.1)
    with pytest.raises(DeadlineExceededError, match="cannot reach the server"):
        client("sbert", "127.0.0.1:9").wait_until_ready(0.1)
    triton.tokens = set()
    with pytest.raises(AuthenticationError):
        it.wait_until_ready(1)


def test_nobody_listens():
    it = client("echo", "127.0.0.1:9", max_retries=FAST)
    with pytest.raises(ConnectionFailedError, match="cannot reach the server: Connection refused") as caught:
        it.infer(["a"])
    failure = caught.value
    assert (failure.retryable, len(failure.attempts), failure.model, failure.target) == (
        True,
        3,
        "echo",
        "127.0.0.1:9",
    )


@pytest.mark.parametrize("host", ["no.such.host.invalid", "x" * 64 + ".invalid"])
def test_a_name_that_nobody_knows(host):
    with pytest.raises(ConnectionFailedError, match="cannot reach the server"):
        client("echo", f"{host}:1", max_retries=0).infer(["a"])


# --- TLS


def tls_server(chain, authority=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(chain["certificate_chain"] + chain["private_key"])
        file.flush()
        context.load_cert_chain(file.name)
    if authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authority.decode())
    return RestServer(ECHO, context=context)


def test_tls(tmp_path):
    roots = tmp_path / "roots.pem"
    roots.write_bytes(ROOTS)
    with tls_server(pair()) as server:
        for given in (ROOTS, roots, str(roots)):
            it = client("echo", server.url, tls=TLS(root_certificates=given), bearer_token=SECRET)
            assert it.infer(["a" * 100_000]).only.tolist() == ["a" * 100_000]
        assert pickle.loads(pickle.dumps(it)).infer(["a"]).only.tolist() == ["a"]
    with tls_server(pair("gpt.example")) as server:
        tls = TLS(root_certificates=ROOTS, target_name="gpt.example")
        assert client("echo", server.url, tls=tls).infer(["a"]).only.tolist() == ["a"]


@pytest.mark.parametrize("as_files", [False, True])
def test_mutual_tls(tmp_path, as_files):
    own = pair("me")
    if as_files:
        for name, content in own.items():
            (tmp_path / name).write_bytes(content)
        own = {name: tmp_path / name for name in own}
    with tls_server(pair(), authority=ROOTS) as server:
        it = client("echo", server.url, tls=TLS(root_certificates=ROOTS, **own))
        assert it.infer(["a"]).only.tolist() == ["a"]
        with pytest.raises(ConnectionFailedError) as caught:
            client("echo", server.url, tls=TLS(root_certificates=ROOTS), max_retries=0).infer(["a"])
        assert "client certificate" in str(caught.value)


def test_a_key_does_not_stay_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with tls_server(pair(), authority=ROOTS) as server:
        client("echo", server.url, tls=TLS(root_certificates=ROOTS, **pair("me"))).infer(["a"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "tls", "words"),
    [
        (("127.0.0.1",), None, "self-signed|authority that is not trusted here: give"),
        (
            ("127.0.0.1",),
            TLS(root_certificates=OTHER_AUTHORITY.cert_pem.bytes()),
            "TLS\\(root_certificates=…\\)",
        ),
        (("gpt.example",), TLS(root_certificates=ROOTS), "for another name: use the name"),
    ],
)
def test_a_certificate_that_is_not_right_says_what_to_do(names, tls, words):
    with tls_server(pair(*names)) as server:
        with pytest.raises(ConnectionFailedError, match=words) as caught:
            client("echo", server.url, tls=tls).infer(["a"])
        assert (caught.value.retryable, len(caught.value.attempts)) == (False, 1)


def test_the_wrong_scheme(triton):
    with pytest.raises(ConnectionFailedError, match="does not speak TLS on this port: use http://") as caught:
        client("echo", triton.url.replace("http:", "https:")).infer(["a"])
    assert not caught.value.retryable
    with tls_server(pair()) as server:
        with pytest.raises(RequestError, match="https://"):
            client("echo", server.url.replace("https:", "http:"), max_retries=0).infer(["a"])


@pytest.mark.parametrize(
    "tls",
    [
        TLS(root_certificates=b"nonsense"),
        TLS(root_certificates=b"\xff"),
        TLS(certificate_chain=b"nonsense", private_key=b"nonsense"),
        TLS(certificate_chain=pair()["certificate_chain"], private_key=pair()["private_key"]),
    ],
)
def test_certificates_that_cannot_be_used(tls):
    with pytest.raises(ConfigurationError, match="certificates that were given for TLS do not work"):
        client("echo", "https://127.0.0.1:9", tls=tls).infer(["a"])


def test_certificates_that_are_not_there():
    tls = TLS(certificate_chain="no/such", private_key="no/such")
    with pytest.raises(ConfigurationError, match=r"tls.certificate_chain: cannot read 'no/such'"):
        client("echo", "https://127.0.0.1:9", tls=tls).infer(["a"])
    with pytest.raises(ConfigurationError, match="use https://localhost:8000"):
        client("echo", tls=TLS(root_certificates=ROOTS))


# --- tokens

SIGNED = {"authorization": f"Bearer {SECRET}"}


def authorizations(server):
    return [headers.get("authorization") for headers in server.headers]


@pytest.mark.parametrize("token", [SECRET, lambda: SECRET], ids=["text", "function"])
def test_a_token_goes_with_every_request(token, triton):
    triton.tokens = {SECRET}
    client(url=triton.url, bearer_token=token).infer("a", metadata={"x-tenant": "blue"})
    assert authorizations(triton) == [f"Bearer {SECRET}"] * 3
    assert {headers["x-tenant"] for headers in triton.headers} == {"blue"}


def test_without_a_token_there_is_no_header(triton):
    client(url=triton.url).infer("a")
    assert authorizations(triton) == [None] * 3


def test_an_authorization_of_ones_own_is_left_alone(triton):
    client(url=triton.url, bearer_token="other").infer("a", metadata=SIGNED)
    assert authorizations(triton) == [f"Bearer {SECRET}"] * 3


def test_a_function_is_asked_again_when_its_token_is_refused(triton):
    tokens = iter(["f1rst", SECRET])
    it = client(url=triton.url, bearer_token=lambda: next(tokens))
    triton.tokens = {"f1rst"}
    it.infer("a")
    triton.tokens = {SECRET}
    it.infer("a")
    assert [value[-4:] for value in authorizations(triton)] == ["1rst"] * 4 + [SECRET[-4:]]


@pytest.mark.parametrize("token", [SECRET, lambda: SECRET], ids=["text", "function"])
def test_a_refused_token_is_an_error_that_does_not_show_it(token, triton):
    triton.tokens = set()
    with pytest.raises(AuthenticationError, match="wants valid credentials: who is …") as caught:
        client(url=triton.url, bearer_token=token).infer("a")
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert SECRET not in shown
    assert (caught.value.status, caught.value.server_message) == ("UNAUTHENTICATED", "who is …?")


async def fetched():
    return SECRET


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", "non-empty"),
        (f"{SECRET}\n", "printable ASCII without blanks"),
        (fetched, "must be a plain function"),
    ],
)
def test_what_is_no_token_is_an_error_that_does_not_show_it(token, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        client(bearer_token=token).infer("a")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", ["gpt.example:8000", "http://10.0.0.1:8000/base", "localhost.example"])
def test_a_token_does_not_go_over_a_network_in_plain_text(url):
    with pytest.raises(
        ConfigurationError, match=r"in plain text.*https://.*allow_insecure_token=True"
    ) as caught:
        client(url=url, bearer_token=SECRET)
    assert SECRET not in str(caught.value)
    client(url=url, bearer_token=SECRET, allow_insecure_token=True).close()


@pytest.mark.parametrize(
    "url", [None, "localhost", "LOCALHOST:1", "127.0.0.9:1/base", "[::1]:1", "https://gpt.example"]
)
def test_a_token_goes_to_this_machine_and_over_tls(url):
    client(url=url, bearer_token=SECRET).close()


# --- copies


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))],
    ids=["copy", "deep", "pickle"],
)
def test_a_copy_has_the_configuration_and_its_own_connection(copied, triton):
    original = client("echo", triton.url, bearer_token=SECRET, text="bytes", timeout=30)
    original.infer("a")
    twin = copied(original)
    original.close()
    assert repr(twin) == repr(original).replace(", closed", "")
    assert twin.infer("ä").only.tolist() == ["ä".encode()]
    assert authorizations(triton) == [f"Bearer {SECRET}"] * 6  # it asks for the model itself
    assert triton.connections == 2


def test_no_object_shows_a_token():
    it = client(bearer_token=SECRET)
    assert SECRET not in f"{it!r}{it._transport!r}{it._transport._bearer!r}"


def test_a_client_over_http_imports_nothing_of_grpc(triton):
    code = (
        "import sys; from nupic_client import ClientFactory\n"
        f"with ClientFactory.get_client('echo', {triton.url!r}, 'http') as client:\n"
        "    client.wait_until_ready(5)\n"
        "    assert client.infer(['a']).only.tolist() == ['a']\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    loaded = set(done.stdout.split())
    assert {"nupic_client", "numpy"} <= loaded
    assert not {"grpc", "tritonclient", "gevent", "geventhttpclient", "asyncio"} & loaded


def test_headers_of_the_answer_are_on_the_result_and_on_the_error(triton):
    it = client("echo", triton.url)
    (mapped,) = it.map([["a"]])
    for result in (it.infer(["a"]), mapped):
        assert "content-length" in dict(result.trailing_metadata)
    with pytest.raises(ModelUnavailableError) as caught:
        client("nope", triton.url).infer(["a"])
    assert "content-length" in dict(caught.value.trailing_metadata)
