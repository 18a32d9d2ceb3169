"""Several observers: of a client, and of all clients; those that write headers, and those that ask for the texts."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import pickle
import threading
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from inference.rest_server import RestServer
from inference.tensor_server import TensorServer, signature
from observe.recorder import Recorder, wait_until

from nupic_client import (
    ClientFactory,
    ConfigurationError,
    ContentObserver,
    Conversation,
    HttpInferenceClient,
    InferenceClient,
    Message,
    Regex,
    RequestError,
    StreamingClient,
    Tool,
    TracingObserver,
    observe_all,
    system,
    user,
)
from nupic_client.observers import everywhere
from nupic_client.testing import FakeTriton, abort

ARRAY = np.ones(3, np.float32)
PLAIN = signature("m", {"x": ("FP32", (-1,))})


@pytest.fixture
def server():
    with FakeTriton(["a", "b"]) as server:
        yield server


@pytest.fixture
def client(server):
    with StreamingClient("gpt.streaming", server.url) as client:
        yield client


@pytest.fixture(autouse=True)
def _nobody_is_left():
    yield
    assert everywhere.observers == ()


@pytest.fixture
def of_all():
    seen = Recorder()
    stop = observe_all(seen)
    yield seen
    stop()


# --- beside the client's own


def test_each_is_told_with_a_context_of_its_own(server):
    first, second, third = Recorder(), Recorder(), Recorder()
    with StreamingClient("gpt.streaming", server.url, observer=first) as client:
        client.add_observer(second)
        client.add_observer(third)
        client.generate("hi")
        assert client.observer is first
    for seen in (first, second, third):
        assert seen.names == ["start", "first", "end"]
        info, outcome = seen.only()
        assert info.context == {"span": info.request_id}
        assert outcome is first.outcomes[0]
    assert len({id(seen.infos[0]) for seen in (first, second, third)}) == 3
    assert len({seen.infos[0].request_id for seen in (first, second, third)}) == 1


def test_it_is_taken_off_again(client):
    kept, left = Recorder(), Recorder()
    client.add_observer(kept)
    stop = client.add_observer(left)
    client.generate("hi")
    stop()
    stop()
    client.generate("hi")
    assert (len(kept.infos), len(left.infos)) == (2, 1)


def test_a_request_that_runs_is_told_of_to_its_end(client):
    seen = Recorder()
    stop = client.add_observer(seen)
    with client.stream("hi") as stream:
        stop()
    _, outcome = seen.only()
    assert outcome.cancelled
    assert stream.result().finish_reason == "cancelled"


def test_the_same_observer_twice_is_told_twice(client):
    seen = Recorder()
    stop = client.add_observer(seen)
    client.add_observer(seen)
    client.generate("hi")
    stop()
    client.generate("hi")
    assert len(seen.infos) == 3


def test_clients_made_of_it_later_have_it(client):
    seen = Recorder()
    before = client.with_options(max_tokens=5)
    client.add_observer(seen)
    before.generate("hi")
    assert seen.infos == []
    client.with_options(max_tokens=5).generate("hi")
    copy.copy(client).generate("hi")
    assert len(seen.infos) == 2


class Picklable(Recorder):
    """Knows how often it was told in this process."""

    told = 0

    def __reduce__(self):
        return Picklable, ()

    def on_start(self, info):
        type(self).told += 1


def test_a_pickled_copy_has_those_that_can_be_pickled(client, caplog):
    client.add_observer(Picklable())
    unpicklable = Recorder()
    unpicklable.lock = threading.Lock()
    client.add_observer(unpicklable)
    with pickle.loads(pickle.dumps(client)) as twin:
        twin.generate("hi")
    assert (Picklable.told, unpicklable.infos) == (1, [])
    assert "observer Recorder cannot be pickled" in caplog.text


def test_one_that_raises_leaves_the_others(client, caplog):
    seen = Recorder()
    client.add_observer(SimpleNamespace(on_start=lambda info: 1 / 0))
    client.add_observer(seen)
    client.generate("hi")
    client.generate("hi")
    assert len(seen.infos) == 2
    assert caplog.text.count("is not called any more") == 1


def test_what_is_none(client):
    for wrong in (5, SimpleNamespace(), SimpleNamespace(wants=lambda operation: True)):
        with pytest.raises(ConfigurationError, match="at least one"):
            client.add_observer(wrong)
        with pytest.raises(ConfigurationError, match="at least one"):
            observe_all(wrong)


# --- of all clients


def test_one_of_all_clients_whenever_they_are_made(server, client, of_all):
    client.generate("hi")
    with StreamingClient("gpt.streaming", server.url, observer=Recorder()) as other:
        other.generate("hi")
        assert len(other.observer.infos) == 1
    with ClientFactory.get_client("gpt", server.url) as other:
        other.generate("hi")
    assert [info.operation for info in of_all.infos] == ["generate"] * 3


def test_a_conversation_is_one_of_its_client(server, of_all):
    with StreamingClient("smollm2", server.url, formatter="chatml") as client:
        conversation = Conversation(client)
        with pytest.raises(RequestError):
            conversation.generate("hi")
    assert of_all.infos[0].session == conversation.id


def test_one_of_all_is_told_of_arrays_and_sequences_too(of_all):
    with TensorServer(PLAIN) as server, InferenceClient("m", server.url) as client:
        client.infer(ARRAY)
        asyncio.run(client.ainfer(ARRAY))
        client.sequence().infer(ARRAY)
        client.infer_stream(ARRAY).results()
        list(client.map([ARRAY] * 2))
    with RestServer(PLAIN) as server, HttpInferenceClient("m", server.url) as client:
        client.infer(ARRAY)
    operations = [info.operation for info in of_all.infos]
    assert operations == ["infer", "infer", "infer", "infer_stream", "map", "map", "infer"]


def test_it_ends(client):
    seen = Recorder()
    stop = observe_all(seen)
    client.generate("hi")
    stop()
    stop()
    client.generate("hi")
    assert len(seen.infos) == 1


def test_a_pickled_client_does_not_take_it_along(client, of_all):
    with pickle.loads(pickle.dumps(client)) as twin:
        twin.generate("hi")
    assert len(of_all.infos) == 1


# --- what is not wanted


def test_what_is_not_wanted_is_not_told(client):
    asked = []

    class Few(Recorder, TracingObserver):
        def wants(self, operation):
            asked.append(operation)
            return operation == "stream"

        def metadata(self, names):
            asked.append("metadata")
            return {}

    seen = Few()
    client.add_observer(seen)
    client.generate("hi")
    list(client.map(["a", "b"]))
    assert asked == ["generate", "map"]
    client.stream("hi").result()
    assert [info.operation for info in seen.infos] == ["stream"]


def test_wants_is_asked_in_the_context_of_the_call(client):
    current = contextvars.ContextVar("current", default="nobody")
    seen = []

    class Asks(Recorder, TracingObserver):
        def wants(self, operation):
            seen.append(current.get())
            return True

    client.add_observer(Asks())
    current.set("mine")
    client.generate("hi")
    asyncio.run(client.agenerate("hi"))
    assert seen == ["mine", "mine"]


def test_an_exception_in_wants_drops_it(client, caplog):
    class Asks(Recorder, TracingObserver):
        def wants(self, operation):
            raise ZeroDivisionError

    seen = Asks()
    client.add_observer(seen)
    client.generate("hi")
    client.generate("hi")
    assert seen.infos == []
    assert caplog.text.count("is not called any more: wants raised") == 1


# --- headers


class Headers(TracingObserver):
    """Writes the headers that it was given."""

    def __init__(self, **headers):
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.names = []

    def metadata(self, names):
        self.names.append(sorted(names))
        return self.headers


def sent(server):
    return [{key: each[key] for key in each if key.startswith("x-")} for each in server.metadata]


def generate(client, **options):
    return client.generate("hi", **options)


def agenerate(client, **options):
    return asyncio.run(client.agenerate("hi", **options))


def mapped(client, **options):
    return list(client.map(["hi"], **options))


def amapped(client, **options):
    async def main():
        return [each async for each in client.amap(["hi"], **options)]

    return asyncio.run(main())


WAYS = pytest.mark.parametrize("ask", [generate, agenerate, mapped, amapped])
TOKEN = pytest.mark.parametrize("token", [{}, {"bearer_token": "s3cr3t-t0k3n"}], ids=["plain", "token"])


@WAYS
@TOKEN
def test_an_observer_writes_headers_and_the_users_go_over_them(server, ask, token):
    seen = Headers(x_a="1", x_b="1", x_c="1")
    with StreamingClient("gpt.streaming", server.url, metadata={"x-b": "2"}, **token) as client:
        client.add_observer(seen)
        ask(client, metadata=lambda: {"x-c": "3"})
        ask(client)
    assert sent(server)[-2:] == [{"x-a": "1", "x-b": "2", "x-c": "3"}, {"x-a": "1", "x-b": "2", "x-c": "1"}]
    assert seen.names[-2:] == [["x-b", "x-c"], ["x-b"]]
    if token:
        assert {each["authorization"] for each in server.metadata} == {"Bearer s3cr3t-t0k3n"}


@pytest.mark.parametrize("ask", [generate, agenerate])
@pytest.mark.parametrize("model", ["gpt", "gpt.streaming"])
def test_they_go_with_every_attempt_and_with_the_question_for_the_model(server, ask, model):
    replies = [[abort("UNAVAILABLE", "away")], ["a"]]
    server.reply = lambda request: replies.pop(0)
    with InferenceClient(model, server.url) as client:
        client.add_observer(Headers(x_a="1"))
        ask(client)
    assert sent(server) == [{"x-a": "1"}] * 3


def test_two_observers_write_headers(client, server):
    client.add_observer(Headers(x_a="1", x_b="1"))
    client.add_observer(Headers(x_b="2", x_c="2"))
    client.generate("hi")
    assert sent(server) == [{"x-a": "1", "x-b": "1", "x-c": "2"}] * 2


def test_headers_with_arrays():
    seen = Headers(x_a="1")
    with TensorServer(PLAIN) as server, InferenceClient("m", server.url) as client:
        client.add_observer(seen)
        client.infer(ARRAY)
        asyncio.run(client.ainfer(ARRAY))
        client.sequence().infer(ARRAY)
        client.infer_stream(ARRAY).results()
        list(client.map([ARRAY] * 2))
    assert len(seen.names) == 7  # one question for the model, and six requests


def test_headers_over_http():
    seen = Headers(x_a="1")
    with RestServer(PLAIN) as server, HttpInferenceClient("m", server.url) as client:
        client.add_observer(seen)
        client.infer(ARRAY)
        list(client.map([ARRAY] * 2))
    assert len(seen.names) >= 4  # and questions for the model


@pytest.mark.parametrize("headers", [{"X_Upper": "1"}, {"x_a": 5}, {"x_a": "line\nbreak"}])
def test_headers_that_cannot_be_sent_drop_the_observer_and_not_the_request(client, server, caplog, headers):
    client.add_observer(Headers(**headers))
    assert client.generate("hi").text == "ab"
    assert sent(server) == [{}, {}]
    assert caplog.text.count("is not called any more: metadata raised") == 1


def test_the_method_sees_what_on_start_has_set(client, server):
    current = contextvars.ContextVar("current", default="nothing")

    class Spans(TracingObserver):
        def on_start(self, info):
            current.set(info.request_id)

        def metadata(self, names):
            return {"x-id": current.get()}

    client.add_observer(Spans())
    client.generate("hi", request_id="one")
    asyncio.run(client.agenerate("hi", request_id="two"))
    assert sent(server) == [{"x-id": "one"}, {"x-id": "one"}, {"x-id": "two"}]
    assert current.get() == "nothing"


# --- interceptors of gRPC


CURRENT = contextvars.ContextVar("current", default="nothing")


class Sets(TracingObserver):
    """Sets a context variable for each request."""

    def on_start(self, info):
        CURRENT.set(info.request_id)


class Sees(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Keeps the variable as it is when a call starts, and when each response is read."""

    def __init__(self):
        self.seen = []

    def intercept_unary_unary(self, continuation, details, request):
        self.seen.append((details.method.rpartition("/")[2], CURRENT.get()))
        return continuation(details, request)

    def intercept_unary_stream(self, continuation, details, request):
        self.seen.append((details.method.rpartition("/")[2], CURRENT.get()))

        def responses():
            for response in continuation(details, request):
                self.seen.append(("response", CURRENT.get()))
                yield response

        return responses()


@pytest.fixture
def sees(monkeypatch):
    interceptor = Sees()
    make = grpc.insecure_channel
    monkeypatch.setattr(
        grpc,
        "insecure_channel",
        lambda *given, **more: grpc.intercept_channel(make(*given, **more), interceptor),
    )
    return interceptor


@pytest.mark.parametrize("ask", [generate, mapped])
def test_interceptors_see_what_on_start_has_set(server, sees, ask):
    with StreamingClient("gpt.streaming", server.url) as client:
        client.add_observer(Sets())
        ask(client)
        found = dict(sees.seen)
        assert found["ModelStreamInfer"] == found["response"] != "nothing"
    with InferenceClient("gpt", server.url) as client:
        client.add_observer(Sets())
        client.generate("hi", request_id="unary")
    assert sees.seen[-1] == ("ModelInfer", "unary")
    assert CURRENT.get() == "nothing"


class AsyncUnary(grpc.aio.UnaryUnaryClientInterceptor):
    """The same of ``grpc.aio``, which has an interceptor for each kind of call."""

    def __init__(self, seen):
        self.seen = seen

    async def intercept_unary_unary(self, continuation, details, request):
        self.seen.append(CURRENT.get())
        return await continuation(details, request)


class AsyncStreams(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, seen):
        self.seen = seen

    async def intercept_unary_stream(self, continuation, details, request):
        self.seen.append(CURRENT.get())
        return await continuation(details, request)


def test_interceptors_of_aio_see_what_on_start_has_set(server, monkeypatch):
    unary, streams = [], []
    interceptors = [AsyncUnary(unary), AsyncStreams(streams)]
    make = grpc.aio.insecure_channel
    monkeypatch.setattr(
        grpc.aio,
        "insecure_channel",
        lambda target, options: make(target, options=options, interceptors=interceptors),
    )

    async def main():
        async with StreamingClient("gpt.streaming", server.url) as client:
            client.add_observer(Sets())
            await client.agenerate("hi", request_id="one")
            async with client.astream("hi", request_id="two") as stream:
                assert [text async for text in stream] == ["a", "b"]
        async with InferenceClient("gpt", server.url) as client:
            client.add_observer(Sets())
            await client.agenerate("hi", request_id="three")

    asyncio.run(main())
    assert streams == ["one", "two"]
    assert unary[0] == "one"
    assert unary[-1] == "three"


# --- what was said


class Transcript(ContentObserver):
    """Keeps what was said, and in which order it was told."""

    def __init__(self):
        self.said = []
        self.calls = []

    def on_content(self, info, content):
        self.calls.append("content")
        self.said.append(content)

    def on_end(self, info, outcome):
        self.calls.append("end")


@pytest.fixture
def chat(server):
    with StreamingClient("gpt.streaming", server.url, formatter="chatml") as client:
        yield client


def test_a_content_observer_is_told_the_texts_before_the_end(client):
    seen = Transcript()
    client.add_observer(seen)
    client.generate("hi")
    assert seen.calls == ["content", "end"]
    (content,) = seen.said
    assert (content.prompt, content.answer, content.tools) == ("hi", Message("assistant", "ab"), ())
    assert "hi" not in repr(content)


@pytest.mark.parametrize(
    "ask", [StreamingClient.generate, lambda *given: asyncio.run(StreamingClient.agenerate(*given))]
)
def test_messages_are_told_as_they_were_given(chat, ask):
    seen = Transcript()
    chat.add_observer(seen)
    messages = [system("be brief"), user("hi")]
    ask(chat, messages)
    assert seen.said[0].prompt == tuple(messages)


def test_the_texts_of_a_map(chat):
    seen = Transcript()
    chat.add_observer(seen)
    list(chat.map(["one", [user("two")]]))
    assert {content.prompt for content in seen.said} == {"one", (user("two"),)}


def test_what_came_of_an_answer_that_was_left(client):
    seen = Transcript()
    client.add_observer(seen)
    with client.stream("hi") as stream:
        next(stream)
    assert seen.said[0].answer == Message("assistant", "a")


def test_a_dropped_stream(client):
    seen = Transcript()
    client.add_observer(seen)
    next(client.stream("hi"))
    wait_until(lambda: seen.said)
    assert seen.said[0].answer == Message("assistant", "a")


def test_a_failure_has_a_question_and_what_came_of_the_answer(client, server):
    seen = Transcript()
    client.add_observer(seen)
    for reply, answer in (
        ([abort("INTERNAL", "no")], None),
        (["a", abort("INTERNAL", "no")], Message("assistant", "a")),
    ):
        server.reply = lambda request, reply=reply: reply
        with pytest.raises(RequestError):
            client.generate("hi")
        assert (seen.said[-1].prompt, seen.said[-1].answer) == ("hi", answer)


def test_a_model_that_cannot_be_asked_for(server):
    seen = Transcript()
    with StreamingClient("none.streaming", server.url) as client:
        client.add_observer(seen)
        with pytest.raises(RequestError):
            client.generate("hi")
    assert (seen.said[0].prompt, seen.said[0].answer) == ("hi", None)


def test_calls_of_tools_are_part_of_the_answer(server):
    seen = Transcript()
    tool = Tool("weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
    server.reply = ['<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>']
    with StreamingClient("gpt.streaming", server.url, formatter="qwen2.5") as client:
        client.add_observer(seen)
        client.generate([user("How is it in Rome?")], tools=[tool])
    (content,) = seen.said
    assert [call.name for call in content.answer.tool_calls] == ["weather"]
    assert content.tools == (tool,)


def test_a_unary_generation(server):
    seen = Transcript()
    with InferenceClient("gpt", server.url) as client:
        client.add_observer(seen)
        client.generate("hi")
    assert (seen.said[0].prompt, seen.said[0].answer) == ("hi", Message("assistant", "ab"))


def test_others_keep_no_messages(chat, of_all):
    assert chat._request([user("hi")], {}, watch=chat._watch("generate")).messages == ()


def test_arrays_say_nothing():
    seen = Transcript()
    with TensorServer(PLAIN) as server, InferenceClient("m", server.url) as client:
        client.add_observer(seen)
        client.infer(ARRAY)
        list(client.map([ARRAY]))
        client.infer_stream(ARRAY).results()
    assert seen.calls == ["end"] * 3


# --- the form of the answer


@pytest.mark.parametrize(
    ("response_format", "kind"),
    [(None, None), ({"type": "object"}, "json"), ("json", "json"), (Regex(".*"), "text")],
)
def test_the_form_that_was_asked_for(server, of_all, response_format, kind):
    server.reply = ['{"a": 1}']
    with StreamingClient("gpt.streaming", server.url, enforce="validate") as client:
        client.generate("hi", response_format=response_format)
    assert of_all.infos[0].output_type == kind
