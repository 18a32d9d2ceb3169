"""`HttpInferenceClient.generate` and `stream`: texts over HTTP, by the session and the decoder of gRPC."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time

import pytest
from inference.rest_server import RefusedError, RestServer

from nupic_client import (
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    Finished,
    FinishReason,
    HttpInferenceClient,
    IncompleteStreamError,
    InferenceError,
    ModelSignature,
    ModelSpec,
    ModelUnavailableError,
    OutputError,
    OverloadedError,
    ProtocolError,
    RequestRejectedError,
    RetryPolicy,
    StreamClosedError,
    StreamConsumedError,
    TensorSpec,
    Timeouts,
    user,
)
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import decode_bytes_tensor, encode_tensor
from nupic_client._sync.http_connection import Connection
from nupic_client.local.engine import GUIDE_INPUTS, text_signature
from nupic_client.registry import ModelRegistry

STREAMING = text_signature("gpt.streaming")
ONCE = text_signature("gpt", decoupled=False)
VLLM = ModelSignature(
    "vllm_model",
    {
        "text_input": TensorSpec("text_input", "BYTES", (1,)),
        "stream": TensorSpec("stream", "BOOL", (1,), optional=True),
        "sampling_parameters": TensorSpec("sampling_parameters", "BYTES", (1,), optional=True),
        "exclude_input_in_output": TensorSpec("exclude_input_in_output", "BOOL", (1,), optional=True),
        "return_finish_reason": TensorSpec("return_finish_reason", "BOOL", (1,), optional=True),
        "return_num_output_tokens": TensorSpec("return_num_output_tokens", "BOOL", (1,), optional=True),
    },
    {
        "text_output": TensorSpec("text_output", "BYTES", (-1,)),
        "finish_reason": TensorSpec("finish_reason", "BYTES", (-1,)),
        "num_output_tokens": TensorSpec("num_output_tokens", "UINT32", (-1,)),
    },
    decoupled=True,
    backend="vllm",
)
FAST = RetryPolicy(max_retries=2, initial_backoff=0.01)


def answer(request):
    """Answer a prompt with itself in upper case, and the number of tokens."""
    contents = dict(zip([item.name for item in request.inputs], request.raw_input_contents, strict=True))
    text = decode_bytes_tensor(contents["text_input"])[0].decode().upper()
    response = wire.pb.ModelInferResponse(model_name=request.model_name, model_version="1", id=request.id)
    response.outputs.add(name="text_output", datatype="BYTES", shape=[1])
    response.raw_output_contents.append(encode_tensor("BYTES", [text]))
    return response


def piece(text, **more):
    return {"model_name": "gpt.streaming", "model_version": "1", "text_output": text, **more}


def words(asked):
    """Answer a prompt with itself in upper case, word by word."""
    for index, word in enumerate(asked["text_input"].upper().split(" ")):
        yield piece(" " * (index > 0) + word)


@pytest.fixture
def server():
    with RestServer(STREAMING, ONCE, VLLM, answer=answer) as running:
        running.events = words
        yield running


def client(server, model="gpt.streaming", **options):
    return HttpInferenceClient(model, server.url, **{"timeout": 10, **options})


@pytest.fixture
def it(server):
    server.models.signatures.pop("gpt")  # the twin
    with client(server) as made:
        yield made


# --- whole texts


@pytest.mark.parametrize("extensions", [True, False], ids=["triton", "plain"])
def test_a_model_that_answers_at_once_is_asked_as_by_infer(extensions):
    """MLServer and KServe have no generate."""
    with RestServer(ONCE, answer=answer, extensions=extensions) as server, client(server, "gpt") as it:
        generation = it.generate("hä?", request_id="me")
        assert (generation.text, generation.model, generation.request_id) == ("HÄ?", "gpt", "me")
        assert server.paths[-1] == "/v2/models/gpt/infer"


def test_options_go_as_inputs(server):
    with client(server, "gpt") as it:
        it.generate("hi", max_tokens=5, parameters={"priority": 1})
    (request,) = server.requests
    assert {"text_input", "max_tokens"} < {item.name for item in request.inputs}
    assert request.parameters["priority"].int64_param == 1


def test_an_answer_has_the_form_that_is_asked_for():
    guided = text_signature("gpt", decoupled=False, extra_inputs=GUIDE_INPUTS)
    with RestServer(guided, answer=answer) as server, client(server, "gpt") as it:
        assert it.parse('"hä?"', str) == "HÄ?"
        with pytest.raises(OutputError, match="must be an integer"):
            it.parse('"hä?"', int)
        assert len(server.requests) == 2
        with pytest.raises(OutputError):
            it.parse('"hä?"', int, enforce="validate")
        assert len(server.requests) == 5
    (raw,) = decode_bytes_tensor(server.requests[0].raw_input_contents[-1])
    assert raw == b'{"type": "string"}'


def test_a_value_grows_over_http_too(it):
    with it.stream("[1, 2]", response_format=list[int], enforce="validate") as stream:
        assert [list(value) for value in stream.partial()] == [[1], [1, 2]]
        assert stream.result().parsed == [1, 2]


def test_the_twin_that_answers_at_once_is_taken(server):
    with client(server) as it:
        assert it.generate("hi").model == "gpt"


def test_a_model_that_streams_is_read_to_its_end(it, server):
    generation = it.generate("one two three", request_id="me")
    assert (generation.text, generation.model, generation.request_id) == (
        "ONE TWO THREE",
        "gpt.streaming",
        "me",
    )
    assert generation.timing.chunks == 3
    assert generation.timing.time_to_first_token is not None
    (asked,) = server.prompts
    assert (asked["id"], asked["text_input"], "parameters" in asked) == ("me", "one two three", False)


def test_messages_are_rendered(server):
    spec = ModelSpec(name="chat", server_name="gpt")
    with client(server, "chat", registry=ModelRegistry([spec]), formatter="chatml") as it:
        assert it.formatter is not None
        text = it.generate([user("hi")]).text
    assert "<|IM_START|>USER\nHI<|IM_END|>" in text
    with client(server, "gpt") as it, pytest.raises(ConfigurationError, match="formatter must be given"):
        it.generate([user("hi")])


def test_defaults_of_the_client_and_other_ones(server):
    with client(server, "gpt", max_tokens=3) as it:
        it.generate("a")
        other = it.with_options(max_tokens=4)
        other.generate("a")
        assert other._transport is it._transport
    contents = [
        dict(zip([i.name for i in request.inputs], request.raw_input_contents, strict=True))["max_tokens"]
        for request in server.requests
    ]
    assert [int.from_bytes(each, "little") for each in contents] == [3, 4]
    with pytest.raises(TypeError, match="there is no option 'max_token'"):
        client(server, max_token=3)


def test_a_given_signature_is_not_asked_for(server):
    with client(server, "gpt", signature=ONCE) as it:
        assert it.generate("a").text == "A"
    assert server.paths == ["/v2", "/v2/models/gpt/infer"]


@pytest.mark.parametrize("first", ["generate", "stream"])
def test_one_client_has_both_twins(server, first):
    with client(server) as it:
        if first == "stream":
            assert list(it.stream("a b")) == ["A", " B"]
        assert it.generate("a b").model == "gpt"
        with it.stream("a b") as stream:
            assert list(stream) == ["A", " B"]
        assert stream.result().model == "gpt.streaming"
        assert it.generate("a b").model == "gpt"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_streams_of_its_own(it):
    stream = it.stream("a b c")
    assert next(stream) == "A"
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child():
        try:
            next(stream)
        except StreamClosedError as error:
            sender.send((str(error), it.generate("d e").text))

    process = context.Process(target=child)
    process.start()
    assert receiver.poll(10)
    words, text = receiver.recv()
    process.join(10)
    assert "belongs to the process" in words
    assert text == "D E"
    assert list(stream) == [" B", " C"]


# --- streams


def test_a_text_comes_in_pieces(it):
    with it.stream("one two three") as stream:
        assert list(stream) == ["ONE", " TWO", " THREE"]
    assert stream.result().text == "ONE TWO THREE"
    with pytest.raises(StreamConsumedError):
        list(stream)


def test_a_piece_comes_when_it_is_there(it, server):
    more = threading.Event()
    server.events = lambda _: [piece("a"), more, piece("b")]
    with it.stream("x") as stream:
        assert next(stream) == "a"
        more.set()
        assert next(stream) == "b"


def test_events_are_typed(it):
    *deltas, last = it.stream("one two").events()
    assert [delta.text for delta in deltas] == ["ONE", " TWO"]
    assert isinstance(last, Finished)
    assert last.generation.text == "ONE TWO"


def test_vllm_gets_its_json_and_tells_its_details(server):
    def events(asked):
        more = {"finish_reason": "None", "num_output_tokens": 2}
        yield piece("a", **more)
        yield piece("b", **more | {"finish_reason": "length"})

    server.events = events
    with client(server, "vllm_model") as it:
        generation = it.generate("x", temperature=0.5, max_tokens=4)
    assert generation.text == "ab"
    assert generation.finish_reason is FinishReason.LENGTH
    assert generation.usage.output_tokens == 4
    (asked,) = server.prompts
    assert asked.pop("id")
    assert asked == {
        "text_input": "x",
        "stream": False,
        "exclude_input_in_output": True,
        "sampling_parameters": '{"max_tokens": 4, "temperature": 0.5}',
        "return_finish_reason": True,
        "return_num_output_tokens": True,
    }


def test_a_character_in_two_pieces(it, server):
    first, second = "ä".encode()[:1], "ä".encode()[1:]
    server.events = lambda _: [
        b'data: {"model_name":"m","text_output":"a%s"}\n\n' % first,
        b'data: {"model_name":"m","text_output":"%sb"}\n\n' % second,
    ]
    assert it.generate("x").text == "aäb"


def test_connections_are_kept(it, server):
    for _ in range(3):
        it.generate("a b")
    assert server.connections == 1


def test_a_stop_string_ends_the_text_and_the_request(it, server):
    never = threading.Event()
    server.events = lambda _: [piece("one st"), piece("op two"), never]
    with it.stream("x", stop="stop") as stream:
        assert "".join(stream) == "one "
    assert stream.result().finish_reason is FinishReason.STOP
    server.wait_until(lambda: server.gone == ["/v2/models/gpt.streaming/generate_stream"])


@pytest.mark.parametrize("way", ["break", "close", "with", "drop", "client", "unread"])
def test_leaving_ends_the_request(it, server, way):
    never = threading.Event()
    server.events = lambda _: [piece("a"), never]
    stream = it.stream("x")
    if way != "unread":
        assert next(stream) == "a"
    if way == "break":
        iterator = iter(stream)
        iterator.close()
        stream.close()
    elif way in {"close", "unread"}:
        stream.close()
    elif way == "with":
        with stream:
            pass
    elif way == "client":
        it.close()
    else:
        del stream
        gc.collect()
    server.wait_until(lambda: len(server.gone) == 1)
    if way not in {"drop", "client"}:
        with pytest.raises(StreamClosedError):
            next(stream)
        assert stream.result().finish_reason is FinishReason.CANCELLED
        assert stream.text == ("" if way == "unread" else "a")
    if way == "client":
        with pytest.raises(StreamClosedError, match="the client was closed"):
            next(stream)


def test_closing_wakes_the_reader(it, server):
    never, read = threading.Event(), threading.Event()
    server.events = lambda _: [piece("a"), never]
    stream = it.stream("x")
    failures = []

    def reader():
        try:
            for _ in stream:
                read.set()
        except StreamClosedError as error:
            failures.append(error)

    thread = threading.Thread(target=reader)
    thread.start()
    assert read.wait(5)
    stream.close()
    thread.join(5)
    assert len(failures) == 1


@pytest.mark.parametrize(
    ("timeout", "deadline", "text"),
    [
        (Timeouts(total=0.4), "total", "a"),
        (Timeouts(first_token=0.3), "first_token", ""),
        (Timeouts(between_tokens=0.3), "between_tokens", "a"),
    ],
)
def test_deadlines(it, server, timeout, deadline, text):
    never = threading.Event()
    server.events = lambda _: [*([piece(text)] if text else []), never]
    it.wait_until_ready(5)
    start = time.monotonic()
    with pytest.raises(DeadlineExceededError) as caught:
        it.generate("x", timeout=timeout, max_retries=0)
    assert time.monotonic() - start < 3
    assert (caught.value.deadline, caught.value.partial_text) == (deadline, text)
    assert caught.value.limit == getattr(timeout, deadline)
    server.wait_until(lambda: len(server.gone) == 1)


# --- errors


def test_an_error_in_the_middle_has_the_text_so_far(it, server):
    server.events = lambda _: [piece("one"), {"error": "it broke"}]
    with pytest.raises(InferenceError, match="the model failed: it broke") as caught:
        it.generate("x", request_id="me")
    error = caught.value
    assert (error.partial_text, error.model, error.request_id) == ("one", "gpt.streaming", "me")
    assert error.target == it.url
    server.events = words  # the connection is of no use, another one is
    assert it.generate("a b").text == "A B"


def test_an_error_behind_the_end_leaves_the_connection_to_the_next(it, server):
    """The connection is given back when the answer has ended, which its last event follows here."""
    server.events = lambda _: [piece("a"), b"data: {"]
    with it.stream("x") as stream:
        assert next(stream) == "a"
        with pytest.raises(ProtocolError, match="not a JSON object"):
            next(stream)
    server.events = words
    assert it.generate("a b").text == "A B"
    assert server.connections == 1


def test_an_error_before_the_text(it, server):
    """Triton gives it a status and sends it as an event."""
    server.event_status = 400
    server.events = lambda _: [{"error": "it broke"}]
    with pytest.raises(InferenceError, match="the model failed: it broke"):
        it.generate("x", max_retries=0)


def test_an_overload_is_tried_again(it, server):
    answers = [[{"error": "Exceeds maximum queue size"}], [piece("a")]]
    server.events = lambda _: answers.pop(0)
    generation = it.generate("x", max_retries=FAST)
    assert (generation.text, len(generation.attempts)) == ("a", 2)
    answers = [[{"error": "Exceeds maximum queue size"}]] * 3
    with pytest.raises(OverloadedError) as caught:
        it.generate("x", max_retries=FAST)
    assert len(caught.value.attempts) == 3


def test_an_answer_of_json_is_typed(it, server, monkeypatch):
    def refuse(verb, path, headers, body):
        if "generate" in path:
            raise RefusedError(
                400, "[request id: me] unexpected inference input 'x' for model 'gpt.streaming'"
            )
        return original(verb, path, headers, body)

    original = server.reply
    it.wait_until_ready(5)
    server.events = None
    monkeypatch.setattr(server, "reply", refuse)
    with pytest.raises(RequestRejectedError, match="unexpected inference input"):
        it.generate("x")


def test_a_server_without_the_extension_says_what_to_use(it, server):
    server.events = None
    for way in (it.generate, lambda prompt: list(it.stream(prompt))):
        with pytest.raises(
            RequestRejectedError, match=r"does not stream over HTTP.*StreamingClient"
        ) as caught:
            way("x")
        assert caught.value.status == "UNIMPLEMENTED"


def test_a_model_that_does_not_stream(server):
    with client(server, "gpt") as it, pytest.raises(ConfigurationError, match="does not stream"):
        it.stream("x")


def test_an_unknown_model(server):
    with client(server, "nope") as it:
        for way in (it.generate, it.stream):
            with pytest.raises(
                ModelUnavailableError, match=r"Models that stream there: gpt.streaming|'nope'"
            ):
                way("x")


def test_a_short_name_is_looked_up(server):
    with client(server, "GPT", registry=ModelRegistry([])) as it:
        assert list(it.stream("a b")) == ["A", " B"]


def test_a_text_that_is_too_long(it, server):
    server.events = lambda _: [piece("a" * 100)] * 5
    with pytest.raises(ProtocolError, match="max_output_bytes") as caught:
        it.generate("x", max_output_bytes=150)
    assert caught.value.partial_text == "a" * 100


@pytest.mark.parametrize("way", ["generate", "stream"])
def test_headers_that_cannot_be_sent(it, way):
    with pytest.raises(ConfigurationError, match="belongs to HTTP itself"):
        getattr(it, way)("x", metadata={"host": "x"})


def test_headers_and_tokens_go_along(server):
    server.tokens = {"t"}
    server.models.signatures.pop("gpt")
    with client(server, bearer_token="t") as it:
        it.generate("a", metadata={"x-me": "1"})
    assert server.headers[-1]["x-me"] == "1"
    assert server.headers[-1]["authorization"] == "Bearer t"


def test_nobody_listens(server):
    with client(server, signature=STREAMING, max_retries=0) as it:
        server.server.shutdown()
        server.server.server_close()
        with it.stream("x") as stream, pytest.raises(ConnectionFailedError, match="cannot reach the server"):
            next(stream)


def test_a_client_that_is_closed(it):
    it.wait_until_ready(5)
    it.close()
    for way in (it.generate, it.stream):
        with pytest.raises(ConfigurationError, match="this client is closed"):
            way("x")


def test_an_input_that_json_cannot_hold(it):
    with pytest.raises(ConfigurationError, match="JSON"):
        it.stream("x", parameters={"y": float("inf")})


def test_many_threads(it):
    wrong = []

    def work(number):
        text = f"{number} a b c"
        wrong.extend(text for _ in range(10) if it.generate(text).text != text.upper())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_end_of_a_body_without_length_is_no_end_of_the_text(it, server, monkeypatch):
    """A connection that breaks ends it too."""

    def stream(handler, asked):
        handler.send_response_only(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        handler.wfile.write(b'data: {"model_name":"m","text_output":"a"}\n\n')
        handler.close_connection = True

    monkeypatch.setattr("inference.rest_server.Handler.stream", stream)
    with pytest.raises(IncompleteStreamError) as caught:
        it.generate("x")
    assert caught.value.partial_text == "a"


def test_a_stream_that_lost_its_last_events_is_an_error(server):
    """Triton 2.51 loses them when thousands are waiting, and ends the answer as if it were complete."""
    server.events = lambda _: [piece("a", finish_reason="None"), piece("b", finish_reason="None")]
    with client(server, "vllm_model") as it, pytest.raises(IncompleteStreamError) as caught:
        list(it.stream("x"))
    assert caught.value.partial_text == "ab"


@pytest.mark.parametrize("way", ["close", "deadline", "drop", "end"])
def test_a_server_that_closes_each_connection(it, server, way):
    never = threading.Event()
    server.event_headers = {"Connection": "close"}
    server.events = lambda _: [piece("a"), *([] if way == "end" else [never])]
    if way == "deadline":
        with pytest.raises(DeadlineExceededError) as caught:
            it.generate("x", timeout=Timeouts(between_tokens=0.2))
        assert caught.value.partial_text == "a"
    else:
        stream = it.stream("x")
        assert next(stream) == "a"
        if way == "end":
            assert list(stream) == []
            assert not it._transport._idle
            return
        if way == "drop":
            del stream
            gc.collect()
        else:
            stream.close()
    server.wait_until(lambda: len(server.gone) == 1)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
@pytest.mark.parametrize("way", ["stream", "generate", "map"])
def test_an_interrupt_ends_the_request(it, server, way):
    """Ctrl-C comes while the reader waits."""
    never = threading.Event()
    server.events = lambda _: [piece("a"), never]

    def interrupt(*_):
        raise KeyboardInterrupt

    def hold(request):
        never.wait(5)
        return answer(request)

    server.answer = hold
    inputs = {"text_input": ["x"]}
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            if way == "map":
                server.models.signatures["gpt"] = ONCE
                with client(server, "gpt") as other:
                    list(other.map([inputs] * 3))
            elif way == "stream":
                list(it.stream("x"))
            else:
                it.generate("x")
    finally:
        signal.signal(signal.SIGALRM, before)
    if way != "map":
        server.wait_until(lambda: len(server.gone) == 1)
    never.set()
    server.events = words
    assert it.generate("b c").text == "B C"


def test_an_interrupt_while_a_request_is_sent(it, server, monkeypatch):
    it.wait_until_ready(5)
    it.generate("a")
    original = Connection.begin

    def begin(self, *arguments):
        original(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Connection, "begin", begin)
    with pytest.raises(KeyboardInterrupt):
        it.stream("x")
    monkeypatch.undo()
    assert not it._transport._busy
    assert not it._transport._idle
    assert it.generate("b c").text == "B C"
