"""Servers that break HTTP, JSON or KServe v2 end in a typed error, in time, and nothing foreign comes out."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

import numpy as np
import pytest

from nupic_client import (
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceError,
    NupicError,
    ProtocolError,
    RequestRejectedError,
    Timeouts,
)
from nupic_client.errors import RequestError
from nupic_client.http_inference import HttpInferenceClient
from nupic_client.testing import FakeTriton

CONFIG = {
    "name": "m",
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1]}],
    "output": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1]}],
}
TEXT = {
    "name": "text",
    "input": [{"name": "text_input", "data_type": "TYPE_STRING", "dims": [1]}],
    "output": [{"name": "text_output", "data_type": "TYPE_STRING", "dims": [1]}],
    "model_transaction_policy": {"decoupled": True},
}
OUTPUT = {"name": "x", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}
TEXTS = {"name": "x", "datatype": "BYTES", "shape": [1]}
CONTENT = np.float32([1, 2]).tobytes()


def answer(body, *headers, status="200 OK", length=None):
    """Return the bytes of an answer of HTTP."""
    body = json.dumps(body).encode() if isinstance(body, dict) else body
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


def binary(*outputs, content=CONTENT, header=None, length=None, **more):
    """Return an answer with raw bytes."""
    text = json.dumps({"model_name": "m", "outputs": list(outputs), **more}).encode()
    header = len(text) if header is None else header
    return answer(text + content, f"Inference-Header-Content-Length: {header}", length=length)


class HostileServer:
    """Answers questions well and requests for inference with the bytes it was given.

    Args:
        attack: the bytes, or parts of them with a pause between.
        hold: whether the connection stays open then.
        everywhere: whether it answers everything so.
    """

    def __init__(self, attack, *, hold=False, everywhere=False):
        self.attack = [attack] if isinstance(attack, bytes) else attack
        self.hold, self.everywhere = hold, everywhere
        self.over = threading.Event()
        self.count = 0

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.listener.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=self.listener.accept()[:1], daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as file:
            while line := file.readline():
                length = 0
                while (header := file.readline()).strip():
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                file.read(length)
                if b"/infer" not in line and b"/generate" not in line and not self.everywhere:
                    described = TEXT if b"/text/" in line else CONFIG
                    good = described if b"/config" in line else {"extensions": ["binary_tensor_data"]}
                    connection.sendall(answer(good))
                    continue
                self.count += 1
                for part in self.attack:
                    connection.sendall(part)
                    if len(part) == 1 or self.attack in (ENDLESS, ENDLESS_HINTS):
                        time.sleep(0.01)
                if not self.hold:
                    return
                self.over.wait(10)


class Endless:
    def __init__(self, *parts):
        self.parts = parts

    def __iter__(self):
        yield from self.parts[:-1]
        while True:
            yield self.parts[-1]


ENDLESS = Endless(b"HTTP/1.1 100 Continue\r\n\r\n")
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
ENDLESS_HINTS = Endless(HINTS)
DEEP = b"[" * 200_000
SOUND = binary(OUTPUT)
SOUND_JSON = {"model_name": "m", "outputs": [{**OUTPUT, "parameters": {}, "data": [1, 2]}]}


def infer(url, **options):
    with HttpInferenceClient("m", url, max_retries=0, timeout=options.pop("timeout", 5)) as client:
        return client.infer(np.float32([1]), **options)


def test_the_sound_answer_is_read():
    with HostileServer(SOUND) as server:
        assert infer(server.url).only.tolist() == [1, 2]


SPOKEN_FREELY = {
    "interim answers": b"HTTP/1.1 102 Processing\r\n\r\n" + HINTS + SOUND,
    "a name of no compression": answer(SOUND_JSON, "Content-Encoding: Identity"),
    "no name of a compression": answer(SOUND_JSON, "Content-Encoding: "),
    "numbers for texts": answer({**SOUND_JSON, "model_version": 1}),
}


@pytest.mark.parametrize("name", SPOKEN_FREELY)
def test_a_sound_answer_that_is_spoken_freely_is_read(name):
    with HostileServer(SPOKEN_FREELY[name]) as server:
        result = infer(server.url)
    assert result.only.tolist() == [1, 2]
    assert result.version == ("1" if name == "numbers for texts" else "")


SAID_BY_THE_STATUS = {
    "compressed": answer(b"\x1f\x8b123", "Content-Encoding: gzip", status="502 Bad Gateway"),
    "a length of nonsense": answer(b"<html>", status="502 Bad Gateway", length="many"),
}


@pytest.mark.parametrize("name", SAID_BY_THE_STATUS)
def test_a_status_counts_whatever_its_page(name):
    """Also while the connection stays open: nothing waits for a page that cannot be read."""
    with HostileServer(SAID_BY_THE_STATUS[name], hold=True) as server:
        with pytest.raises(ConnectionFailedError, match="it answered 502") as caught:
            infer(server.url)
        assert caught.value.retryable
        assert isinstance(failure_of(SAID_BY_THE_STATUS[name]), ConnectionFailedError)


def test_an_error_in_place_of_outputs_is_one_whatever_its_status():
    with HostileServer(answer({"error": "out of coffee"})) as server:
        with pytest.raises(InferenceError, match="the model failed: out of coffee"):
            infer(server.url)


def test_a_sound_answer_in_single_bytes_and_in_chunks_is_read():
    with HostileServer([bytes([byte]) for byte in SOUND]) as server:
        assert infer(server.url).only.tolist() == [1, 2]
    head, _, body = SOUND.partition(b"\r\n\r\n")
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length"))
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7)
    )
    with HostileServer(head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n") as server:
        assert infer(server.url).only.tolist() == [1, 2]
    with HostileServer(head + b"\r\n\r\n" + body) as server:  # to the end of the connection
        assert infer(server.url).only.tolist() == [1, 2]


BROKEN = {
    "garbage": (b"SSH-2.0-OpenSSH_9.6\r\n", "does not speak HTTP on this port: it began with 'SSH"),
    "status line of nonsense": (b"HTTP/1.1 abc OK\r\n\r\n", "does not speak HTTP"),
    "another HTTP": (b"HTTP/9.9 200 OK\r\n\r\n", "not HTTP"),
    "line without end": (b"H" * 100_000, "not HTTP"),
    "header without end": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, "not HTTP"),
    "many headers": (b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 1000 + b"\r\n", "not HTTP"),
    "length of nonsense": (answer(b"{}", length="many"), "Content-Length that is no length: 'many'"),
    "negative length": (answer(b"{}", length=-5), "no length"),
    "huge length": (answer(b"{}", length=10**15), "more than .* bytes of JSON"),
    "length of many digits": (answer(b"{}", length="9" * 5000), "no length"),
    "no JSON": (answer(b"<html>hello</html>"), "it is not a JSON object"),
    "empty": (answer(b""), "it is not a JSON object"),
    "list": (answer(b"[]"), "it is not a JSON object"),
    "deep JSON": (answer(DEEP), "it is not a JSON object"),
    "number of many digits": (answer(b"1" * 10_000), "it is not a JSON object"),
    "no text": (answer(b"\xff\xfe\xfd"), "it is not a JSON object"),
    "no outputs": (answer({}), "no list of outputs"),
    "outputs of nonsense": (answer({"outputs": [1]}), "no list of outputs"),
    "name of nonsense": (binary({**OUTPUT, "name": 5}), "not what KServe v2 calls for"),
    "shape of nonsense": (binary({**OUTPUT, "shape": ["a"]}), "not what KServe v2 calls for"),
    "shape of no list": (binary({**OUTPUT, "shape": 5}), "not what KServe v2 calls for"),
    "negative shape": (binary({**OUTPUT, "shape": [-2]}), "'x' cannot be decoded"),
    "huge shape": (binary({**OUTPUT, "shape": [2**62, 2**62]}), "'x' cannot be decoded"),
    "other shape": (binary({**OUTPUT, "shape": [3]}), "must have 12 bytes, not 8"),
    "data type of nonsense": (binary({**OUTPUT, "datatype": "FP7"}), "does not know its data type 'FP7'"),
    "negative size": (binary({**OUTPUT, "parameters": {"binary_data_size": -1}}), "a whole number, not -1"),
    "size of nonsense": (binary({**OUTPUT, "parameters": {"binary_data_size": "8"}}), "a whole number, not '8'"),
    "size of a switch": (binary({**OUTPUT, "parameters": {"binary_data_size": True}}), "a whole number, not True"),
    "huge size": (binary({**OUTPUT, "parameters": {"binary_data_size": 10**15}}), "has 8 bytes where"),
    "size beyond the end": (binary({**OUTPUT, "parameters": {"binary_data_size": 9}}), "has 8 bytes where 9"),
    "more behind the outputs": (binary(OUTPUT, content=CONTENT + b"!"), "more bytes than its outputs take"),
    "JSON length of nonsense": (binary(OUTPUT, header="1e3"), "Inference-Header-Content-Length that is no length"),
    "JSON length beyond the end": (binary(OUTPUT, header=100_000), "bytes where 100000 must be"),
    "huge JSON length": (binary(OUTPUT, header=10**15), "more than .* bytes of JSON"),
    "JSON length too short": (binary(OUTPUT, header=5), "it is not a JSON object"),
    "no raw bytes behind JSON": (answer({"outputs": [OUTPUT]}), "has 0 bytes where 8"),
    "data of nonsense": (answer({"outputs": [{**OUTPUT, "parameters": {}, "data": "ab"}]}), "must be a list of FP32"),
    "data of nothing": (answer({"outputs": [{**OUTPUT, "parameters": {}, "data": [None, 1]}]}), "has null in place of"),
    "data of texts": (answer({"outputs": [{**OUTPUT, "parameters": {}, "data": ["a"]}]}), "must be a list of FP32"),
    "data of other rows": (answer({"outputs": [{**OUTPUT, "parameters": {}, "data": [[1], 2]}]}), "must be a list of FP32"),
    "data missing": (answer({"outputs": [{**OUTPUT, "parameters": None}]}), "must be a list of FP32"),
    "too few data": (answer({"outputs": [{**OUTPUT, "parameters": {}, "data": [1]}]}), "must have 8 bytes, not 4"),
    "deep data": (answer({"outputs": [{**OUTPUT, "parameters": {}, "data": [[[[1]], [[2], [[3]]]]]}]}), "must be a list of"),
    "numbers for texts": (answer({"outputs": [{**TEXTS, "data": [5]}]}), "must be a list of BYTES"),
    "half a character": (answer({"outputs": [{**TEXTS, "data": ["\ud800"]}]}), "must be a list of BYTES"),
    "parameter beyond 64 bits": (binary(OUTPUT, parameters={"a": 2**80}), "parameter that cannot be read"),
    "compressed": (answer(b"\x1f\x8b123", "Content-Encoding: gzip"), "compressed its answer .'gzip'"),
    "chunks of nonsense": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP|broke"),
    "id of nonsense": (binary(OUTPUT, id=["a"]), "not what KServe v2 calls for"),
    "nothing but a switch of protocols": (answer(b"", status="101 Switching Protocols"), "status 101"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_is_broken(name):
    attack, words = BROKEN[name]
    with HostileServer(attack) as server:
        start = time.monotonic()
        with pytest.raises((ProtocolError, ConnectionFailedError), match=words) as caught:
            infer(server.url)
        assert time.monotonic() - start < 3
        assert (caught.value.model, caught.value.target) == ("m", server.url)
        assert isinstance(caught.value, ProtocolError) or name == "chunks of nonsense"
        assert server.count == 1


@pytest.mark.parametrize("name", BROKEN)
def test_questions_are_no_less_careful(name):
    with HostileServer(BROKEN[name][0], everywhere=True) as server:
        with contextlib.suppress(NupicError):
            infer(server.url)
        client = HttpInferenceClient("m", server.url, max_retries=0)
        with contextlib.suppress(RequestError):
            client.wait_until_ready(0.05)


@pytest.mark.parametrize(
    "attack",
    [
        *(b"", b"HTTP/1.1 200 OK\r\nContent-Le", SOUND[:-1], answer(b"{}", length=500), b"HTTP/1.1 200"),
        answer(b"no", status="500 X", length=99),
    ],
    ids=["at once", "in the headers", "in the content", "in the JSON", "in the status", "in the reason"],
)  # fmt: skip
def test_a_connection_that_breaks(attack):
    with HostileServer(attack) as server:
        with pytest.raises(RequestError) as caught:
            infer(server.url)
        assert isinstance(caught.value, ConnectionFailedError) or attack.startswith(b"HTTP/1.1 200")
        assert server.count == (
            2 if not attack else 1
        )  # the server may have closed it before the request came


@pytest.mark.parametrize(
    "attack", [ENDLESS, ENDLESS_HINTS, Endless(b"HTTP/1.1 200 OK\r\nX: ", b"a"), Endless(SOUND[:-5], b"")]
)
def test_a_server_that_drips_or_falls_silent_has_a_deadline(attack):
    with HostileServer(
        attack if attack in (ENDLESS, ENDLESS_HINTS) else list_of(attack), hold=True
    ) as server:
        start = time.monotonic()
        with pytest.raises(DeadlineExceededError, match="no complete answer in time") as caught:
            infer(server.url, timeout=0.4)
        assert time.monotonic() - start < 2
        assert caught.value.limit == 0.4


def list_of(attack):
    return [attack.parts[0], *([attack.parts[1]] * 2000 if attack.parts[1] else [])]


def test_an_endless_body_has_a_limit(monkeypatch):
    monkeypatch.setattr("nupic_client._sync.http._LONGEST_JSON", 100_000)
    with HostileServer(Endless(b"HTTP/1.1 200 OK\r\n\r\n{", b" " * 4096)) as server:
        with pytest.raises(ProtocolError, match="more than 100000 bytes of JSON"):
            infer(server.url)


def test_what_nobody_asked_for_is_no_answer():
    """Proxies say 408 on a connection that waited for long, before they close it."""
    with HostileServer([SOUND, answer(b"", status="408 Request Timeout")], hold=True) as server:
        client = HttpInferenceClient("m", server.url, max_retries=0)
        for _ in range(3):
            assert client.infer(np.float32([1])).only.tolist() == [1, 2]
            time.sleep(0.05)
        client.close()


def test_a_long_reason_is_cut():
    words = b"a" * 10_000_000
    with HostileServer(answer(words, status="400 Bad")) as server:
        with pytest.raises(RequestRejectedError) as caught:
            infer(server.url)
        assert len(str(caught.value)) < 5000


def test_a_refusal_is_read_although_the_server_does_not_read_the_request():
    def serve():
        connection, _ = listener.accept()
        with connection:
            for good in (CONFIG, {"extensions": ["binary_tensor_data"]}):
                connection.recv(65536)
                connection.sendall(answer(good))
            connection.recv(100)
            connection.sendall(answer({"error": "too much"}, status="413 Too Large"))
            connection.shutdown(socket.SHUT_WR)
            time.sleep(0.3)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        with HttpInferenceClient("m", f"127.0.0.1:{listener.getsockname()[1]}", max_retries=0) as client:
            with pytest.raises((RequestRejectedError, ConnectionFailedError)):
                client.infer(np.zeros(10_000_000, np.float32))


def test_a_grpc_port_says_so():
    with FakeTriton(["x"]) as server:
        with pytest.raises(ProtocolError, match="this is a gRPC port: use the server's HTTP port") as caught:
            infer(server.url)
        assert not caught.value.retryable


# Streams of events


PIECE = b'data: {"model_name":"text","model_version":"1","text_output":"a"}\n\n'


def chunked(*pieces, status="200 OK", kind="text/event-stream; charset=utf-8", end=b"0\r\n\r\n"):
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return [head, *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), end]


def failure_of(attack, *, hold=False, **options):
    """Return the error that a generation ends with, and how often it was asked for."""
    options = {"timeout": 5, "max_retries": 0, **options}
    with HostileServer(attack, hold=hold) as server, HttpInferenceClient("text", server.url) as client:
        with pytest.raises(RequestError) as caught:
            client.generate("x", **options)
        error = caught.value
        assert (error.model, error.target, len(error.attempts)) == ("text", server.url, server.count)
        end = time.monotonic() + 5
        while client._transport._busy:
            assert time.monotonic() < end
            time.sleep(0.01)
    return error


def test_the_sound_stream_is_read():
    with HostileServer(chunked(PIECE, PIECE)) as server, HttpInferenceClient("text", server.url) as client:
        assert client.generate("x").text == "aa"


def test_a_sound_stream_in_single_bytes_is_read():
    attack = [bytes([byte]) for byte in b"".join(chunked(PIECE))]
    with HostileServer(attack) as server, HttpInferenceClient("text", server.url) as client:
        assert client.generate("x").text == "a"


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        pytest.param(chunked(PIECE, b"data: {\n\n"), "not a JSON object", id="broken JSON"),
        pytest.param(chunked(PIECE, b"data: [1]\n\n"), "not a JSON object", id="a list"),
        pytest.param(chunked(PIECE, b"data: [DONE]\n\n"), "not a JSON object", id="OpenAI's end"),
        pytest.param(chunked(PIECE, b"data: " + DEEP + b"\n\n"), "not a JSON object", id="deep JSON"),
        pytest.param(
            chunked(PIECE, b'data: {"model_name":"m","text_output":5}\n\n'), "must be BYTES", id="a number"
        ),
        pytest.param(
            chunked(PIECE, b'data: {"model_name":"m","text_output":["a","b"]}\n\n'),
            "several answers",
            id="two texts",
        ),
        pytest.param(
            chunked(PIECE, b'data: {"model_name":"m","text_output":["a",1]}\n\n'),
            "neither a text nor numbers",
            id="a text and a number",
        ),
        pytest.param(
            chunked(PIECE, b'data: {"model_name":"m","id":"other","text_output":"b"}\n\n'),
            "another request",
            id="an answer to another request",
        ),
        pytest.param(chunked(PIECE, end=b"nonsense\r\n"), "connection broke", id="broken chunks"),
    ],
)
def test_a_stream_that_is_broken(attack, words):
    error = failure_of(attack)
    assert error.partial_text == "a"
    assert words in error.message
    assert isinstance(error, (ProtocolError, ConnectionFailedError))


@pytest.mark.parametrize(
    ("attack", "kind", "words"),
    [
        pytest.param(answer(PIECE), ProtocolError, "must be of the type text/event-stream", id="no type"),
        pytest.param(
            chunked(PIECE, kind="text/html"),
            ProtocolError,
            "must be of the type text/event-stream",
            id="a page",
        ),
        pytest.param(
            answer({"text_output": "a"}, "Content-Type: application/json"),
            ProtocolError,
            "must be of the type text/event-stream",
            id="JSON",
        ),
        pytest.param(
            answer(PIECE, "Content-Type: text/event-stream", "Content-Encoding: gzip"),
            ProtocolError,
            "compressed",
            id="compressed",
        ),
        pytest.param(
            answer(b"", "Location: http://elsewhere", status="307 Temporary Redirect"),
            RequestRejectedError,
            "redirects to 'http://elsewhere'",
            id="a redirect",
        ),
        pytest.param(
            answer(b"<html>", status="502 Bad Gateway"), ConnectionFailedError, "gateway", id="a gateway"
        ),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", ProtocolError, "does not speak HTTP", id="no HTTP"),
        pytest.param(b"", ConnectionFailedError, "closed the connection", id="nothing"),
        pytest.param(chunked(b": nothing\n\n")[:-1], ConnectionFailedError, "connection broke", id="no end"),
    ],
)
def test_what_is_no_stream(attack, kind, words):
    error = failure_of(attack)
    assert isinstance(error, kind)
    assert words in error.message
    assert error.partial_text == ""


@pytest.mark.parametrize("cut", range(5, 8))
def test_a_connection_that_closes_in_the_middle(cut):
    whole = b"".join(chunked(PIECE, PIECE))
    error = failure_of(whole[:-cut])
    assert isinstance(error, ConnectionFailedError)
    assert (error.partial_text, error.retryable) == ("aa", False)
    assert "2 chunks of text" in error.message


def test_an_end_without_its_last_bytes_is_an_error_and_not_an_end():
    assert isinstance(failure_of(b"".join(chunked(PIECE)[:-1])), ConnectionFailedError)


@pytest.mark.parametrize(
    "piece", [b"data: " + b"x" * 2**20, b"data: x\n" * 2**17, b"x" * 2**20], ids=["line", "lines", "no data"]
)
def test_an_endless_event_ends(piece, monkeypatch):
    monkeypatch.setattr("nupic_client._sync.http_stream._LONGEST_EVENT", 2**22)
    head = b"".join(chunked(PIECE)[:-1])
    attack = Endless(head, b"%x\r\n%s\r\n" % (len(piece), piece))
    error = failure_of(attack)
    assert isinstance(error, ProtocolError)
    assert "an event of more than 4194304 bytes" in error.message
    assert error.partial_text == "a"


@pytest.mark.parametrize("piece", [b": ping\n\n", b"\n\n", b"event: x\n\n", PIECE])
def test_a_stream_without_end_has_a_deadline(piece):
    head = b"".join(chunked(PIECE)[:-1])
    attack = Endless(head, b"%x\r\n%s\r\n" % (len(piece), piece))
    error = failure_of(attack, timeout=0.5)
    assert isinstance(error, DeadlineExceededError)
    assert error.deadline == "total"
    assert set(error.partial_text) == {"a"}


def test_an_endless_text_ends():
    attack = Endless(b"".join(chunked(PIECE)[:-1]), b"".join(chunked(PIECE)[1:-1]))
    error = failure_of(attack, max_output_bytes=1000)
    assert isinstance(error, ProtocolError)
    assert "max_output_bytes" in error.message
    assert error.partial_text == "a" * 1000


def test_endless_headers_end():
    attack = Endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100)
    assert isinstance(failure_of(attack), ProtocolError)


@pytest.mark.parametrize("pieces", [(), (PIECE,)])
def test_a_silent_server_has_deadlines(pieces):
    attack = b"".join(chunked(*pieces)[:-1])
    limits = Timeouts(total=20, first_token=0.3, between_tokens=0.3)
    error = failure_of(attack, hold=True, timeout=limits)
    assert isinstance(error, DeadlineExceededError)
    assert error.deadline == ("between_tokens" if pieces else "first_token")
