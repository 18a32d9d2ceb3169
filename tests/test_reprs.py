"""Objects say what they are and in which state: short, without texts and secrets, without an exception or a call."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
from IPython.lib.pretty import pretty

from nupic_client import (
    AsyncTextStream,
    Attempt,
    ClientFactory,
    Conversation,
    FinishReason,
    Generation,
    HttpInferenceClient,
    InferenceClient,
    InferenceResult,
    Latency,
    LocalServer,
    ModelInfo,
    ModelSignature,
    ModelSpec,
    SamplingParams,
    ServerClient,
    ServerInfo,
    StreamingClient,
    TensorSpec,
    TextStream,
    Timing,
    ToolCall,
    Usage,
    parse_model_name,
)
from nupic_client.batch import BatchReport
from nupic_client.local import TritonServer
from nupic_client.testing import FakeTriton


def generation(text="**Paris**", **changes):
    values = {
        "text": text,
        "finish_reason": FinishReason.STOP,
        "usage": Usage(input_tokens=3, output_tokens=2),
        "timing": Timing(
            total=1.6569952589999275, time_to_first_token=0.121, tokens_per_second=57.8, chunks=2
        ),
        "model": "llm",
        "request_id": "4c4a1234",
    }
    return Generation(**(values | changes))


def test_a_generation_is_told_in_one_line_without_its_text():
    assert repr(generation()) == "<Generation llm request=4c4a1234: 9 characters, 2 tokens, stop, 1.66 s>"
    calls = (ToolCall("1", "weather", '{"city": "Paris"}'),)
    assert "1 tool call," in repr(generation(tool_calls=calls))
    assert "Paris" not in repr(generation(tool_calls=calls))


def test_a_terminal_shows_the_text_and_its_figures():
    assert (
        pretty(generation("Paris\n"))
        == "Paris\n[time to first token 0.12 s · 57.8 tokens/s · 2 tokens · stop]"
    )


def test_a_terminal_gets_no_control_characters():
    shown = pretty(generation("a\x1b]0;title\x07\nb", tool_calls=(ToolCall("1", "x\x1b[2J", "{}\x9b"),)))
    assert not set(shown) & {"\x1b", "\x07", "\x9b"}
    assert shown.startswith("a␛]0;title␇\nb\nx␛[2J({}\\x9b)\n")
    assert "\x1b" not in repr(generation(model="\x1b[2J"))


def test_generations_in_a_list_are_one_line_each():
    assert pretty([generation()]) == f"[{generation()!r}]"


def test_a_notebook_shows_markdown_and_no_html_of_the_model():
    assert generation()._repr_markdown_() == (
        "**Paris**\n\n<small>time to first token 0.12 s · 57.8 tokens/s · 2 tokens · stop</small>"
    )
    shown = generation(
        "<script>x</script>", tool_calls=(ToolCall("1", "f", '{"a": "<b>"}'),)
    )._repr_markdown_()
    assert "<script" not in shown
    assert "<b>" not in shown
    assert "f" in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Usage(), "Usage()"),
        (Usage(input_tokens=3), "Usage(input_tokens=3)"),
        (Timing(total=1.6569952589999275, chunks=7), "Timing(total=1.66, chunks=7)"),
        (Latency(mean=0.0123456, p50=1234.56, p99=0.5), "Latency(mean=0.0123, p50=1235, p99=0.5)"),
        (SamplingParams(max_tokens=5, stop="x"), "SamplingParams(max_tokens=5, stop=('x',))"),
        (ModelSpec(name="m", family="chatml"), "ModelSpec(name='m', server_name='m', family='chatml')"),
        (Attempt("a:1", "OK", 0.12089320099767065), "Attempt(endpoint='a:1', status='OK', seconds=0.121)"),
        (TensorSpec("x", "FP32", (2,)), "TensorSpec(name='x', datatype='FP32', shape=(2,))"),
        (
            ModelSignature(
                "m",
                {"x": TensorSpec("x", "FP32", (-1, 2)), "y": TensorSpec("y", "BYTES", (1,), optional=True)},
                {"z": TensorSpec("z", "INT64", (1,))},
            ),
            "ModelSignature(name='m', inputs={x: FP32 (-1, 2), y: BYTES (1,) optional}, outputs={z: INT64 (1,)})",
        ),
        (ServerInfo(name="triton", version="2.51.0"), "ServerInfo(name='triton', version='2.51.0')"),
        (
            BatchReport(
                done=1,
                failed=2,
                skipped=3,
                seconds=4.56789,
                input_tokens=5,
                output_tokens=6,
                ended="complete",
            ),
            "BatchReport(done=1, failed=2, skipped=3, input_tokens=5, output_tokens=6, ended='complete', seconds=4.6)",
        ),
    ],
)
def test_values_leave_out_what_was_not_given_and_round(value, shown):
    assert repr(value) == shown


def test_tables_for_notebooks_are_escaped():
    info = ServerInfo(name="<b>", version="1", extensions=("a", "b"))
    assert "&lt;b&gt;" in info._repr_html_()
    assert "a, b" in info._repr_html_()
    model = ModelInfo(name="m", state="READY", reason="<i>", streams=True, parts=parse_model_name("m"))
    assert repr(model) == "ModelInfo(name='m', state='READY', reason='<i>', streams=True)"
    assert "&lt;i&gt;" in model._repr_html_()
    assert "family" not in model._repr_html_()
    assert "\u202e" not in ServerInfo(name="a\u202eb", version="1", extensions=())._repr_html_()
    result = InferenceResult(
        {"x": np.arange(10_000), "y": np.array(["<u>\x1b"] * 50, dtype=object)}, model="m"
    )
    shown = result._repr_html_()
    assert "m: 2 outputs" in shown
    assert "(10000,)" in shown
    assert "&lt;u&gt;\\x1b" in shown
    assert len(shown) < 1000


@pytest.fixture
def server():
    with FakeTriton(["one", " two", " three"]) as server:
        yield server


def test_a_stream_says_how_far_it_is(server):
    with StreamingClient("gpt.streaming", url=server.url) as client:
        stream = client.stream("Hello", request_id="abcdefghijkl")
        assert repr(stream) == "<TextStream gpt.streaming request=abcdefgh… reading, 0 chunks>"
        next(stream)
        assert repr(stream) == "<TextStream gpt.streaming request=abcdefgh… reading, 1 chunk>"
        stream.result()
        assert repr(stream) == "<TextStream gpt.streaming request=abcdefgh… finished, 3 chunks>"
        stream = client.stream("Hello", request_id="1")
        stream.close()
        assert repr(stream) == "<TextStream gpt.streaming request=1 cancelled, 0 chunks>"


def test_an_async_stream_says_how_far_it_is(server):
    async def read():
        async with StreamingClient("gpt.streaming", url=server.url) as client:
            stream = client.astream("Hello", request_id="1")
            assert repr(stream) == "<AsyncTextStream request=1 not sent yet>"
            await anext(stream)
            assert repr(stream) == "<AsyncTextStream gpt.streaming request=1 reading, 1 chunk>"
            await stream.result()
            assert repr(stream) == "<AsyncTextStream gpt.streaming request=1 finished, 3 chunks>"
            stream = client.astream("Hello", request_id="1")
            stream.cancel()
            assert repr(stream) == "<AsyncTextStream request=1 failed or closed before its request was sent>"
            results = client.amap(["a"])
            assert repr(results) == "<AsyncResultStream not begun>"
            async for _ in results:
                assert repr(results) == "<AsyncResultStream reading>"
            assert repr(results) == "<AsyncResultStream finished>"

    asyncio.run(read())


def test_a_failed_stream_says_so(server):
    server.reply = lambda request: [1 / 0]
    with StreamingClient("gpt.streaming", url=server.url, max_retries=0) as client:
        stream = client.stream("Hello", request_id="1")
        with contextlib.suppress(Exception):
            stream.result()
        assert repr(stream) == "<TextStream gpt.streaming request=1 failed, 0 chunks>"


def test_many_results_say_how_far_they_are(server):
    with StreamingClient("gpt.streaming", url=server.url) as client:
        results = client.map(["a", "b"])
        assert repr(results) == "<ResultStream not begun>"
        next(results)
        assert repr(results) == "<ResultStream reading>"
        list(results)
        assert repr(results) == "<ResultStream finished>"
        with client.map(["a"]) as results:
            pass
        assert repr(results) == "<ResultStream closed>"
    with InferenceClient("gpt.streaming", url=server.url) as client:
        stream = client.infer_stream({"text_input": ["a"]}, request_id="1")
        stream.results()
        assert repr(stream).startswith("<InferenceStream gpt.streaming request=1 finished, ")
        assert repr(stream).endswith("results>")


@pytest.mark.parametrize("make", [StreamingClient, InferenceClient, HttpInferenceClient])
def test_a_client_says_when_it_is_closed(make):
    client = make("gpt", "localhost:1")
    assert repr(client) == f"{make.__name__}('gpt', url='localhost:1')"
    client.close()
    assert repr(client) == f"{make.__name__}('gpt', url='localhost:1', closed)"


def test_the_clients_of_several_servers_name_them():
    with ServerClient(["a:1", "b:2"]) as client:
        assert repr(client) == "ServerClient(url='a:1, b:2')"
    assert repr(client) == "ServerClient(url='a:1, b:2', closed)"


def test_a_conversation_says_whether_it_is_answering(server):
    with StreamingClient("gpt.streaming", url=server.url, formatter="chatml") as client:
        conversation = Conversation(client)
        with conversation.stream("Hi"):
            assert repr(conversation) == f"Conversation({client!r}, 0 messages, answering)"
        conversation.generate("Hi")
        assert repr(conversation) == f"Conversation({client!r}, 2 messages)"


def test_a_server_says_where_it_is_and_whether_it_is_ready():
    server = FakeTriton()
    assert repr(server) == "FakeTriton(not started)"
    with server:
        assert repr(server) == f"FakeTriton(url='{server.url}', ready)"
        server.ready = False
        assert repr(server) == f"FakeTriton(url='{server.url}', not ready)"
    assert repr(server) == f"FakeTriton(url='{server.url}', stopped)"


def test_the_local_servers_say_their_state(monkeypatch):
    server = LocalServer()
    assert repr(server) == "LocalServer(not started)"
    server.url = "127.0.0.1:5"
    assert repr(server) == "LocalServer(url='127.0.0.1:5', stopped)"
    loaded = SimpleNamespace(is_set=lambda: False)
    server._running = SimpleNamespace(loaded=loaded, error=None)
    assert repr(server).endswith("loading)")
    loaded.is_set = lambda: True
    assert repr(server).endswith("ready)")
    server._running.error = OSError()
    assert repr(server).endswith("failed)")
    server._running = None
    assert repr(TritonServer()) == "TritonServer(stopped)"


def test_a_factory_says_what_it_makes():
    assert repr(ClientFactory()) == "ClientFactory(get_client(model, url, protocol) makes a client)"


HALF = [
    *(
        StreamingClient,
        InferenceClient,
        HttpInferenceClient,
        ServerClient,
        Conversation,
        LocalServer,
        TritonServer,
    ),
    *(FakeTriton, TextStream, AsyncTextStream, Generation, Usage, Timing, ModelSpec, ModelInfo, ServerInfo),
    *(InferenceResult, BatchReport, ClientFactory),
]


@pytest.mark.parametrize("kind", HALF)
def test_what_is_half_made_can_be_shown(kind):
    """A debugger or an error report may look at an object whose constructor has failed."""
    assert kind.__name__ in repr(object.__new__(kind))
