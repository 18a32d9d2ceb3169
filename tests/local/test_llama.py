"""The embedded model for real: SmolLM2 under llama.cpp, through gRPC.

These tests need the engine and the weights, which are fetched once into the user's cache.
"""

import datetime as dt
import enum
import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Literal

import grpc
import psutil
import pydantic
import pytest
from ids import without_address
from local.raw_client import RawClient, health, is_final, output_of, request, text_of

from nupic_client import (
    Choice,
    Grammar,
    InferenceClient,
    OutputError,
    Regex,
    RequestRejectedError,
    StreamingClient,
    Tool,
    user,
)
from nupic_client.errors import ConfigurationError, DeadlineExceededError, LocalModelError
from nupic_client.local import LocalServer, ServerLimits
from nupic_client.local.engine import EngineError, EngineRequest
from nupic_client.local.engines import llama as llama_module
from nupic_client.local.engines.llama import LlamaEngine
from nupic_client.local.engines.weights import locate_weights

pytestmark = pytest.mark.model

CHAT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
)
STORY = "Once upon a time there was a"


@pytest.fixture(scope="module")
def weights():
    return locate_weights()


@pytest.fixture(scope="module")
def server(weights):
    with LocalServer(model_path=weights) as server:
        yield server


@pytest.fixture
def client(server):
    with RawClient(server.url) as client:
        yield client


def ask(prompt=STORY, **options):
    return request(prompt, model="smollm2.streaming", **options)


def generate(client, prompt=STORY, **options):
    return client.text(ask(prompt, **{"max_tokens": 16, "temperature": 0.0, **options}))


def test_it_answers_a_question(client):
    assert generate(client, CHAT, max_tokens=32) == "The capital of France is Paris."


def test_it_answers_a_unary_call(client):
    message = request(
        CHAT, model="smollm2", temperature=0.0, return_finish_reason=True, return_num_output_tokens=True
    )
    response = client.unary("ModelInfer", message)
    assert output_of(response, "text_output") == b"The capital of France is Paris."
    assert output_of(response, "finish_reason") == b"stop"
    assert output_of(response, "num_output_tokens") == 8


def test_control_tokens_of_the_prompt_are_single_tokens_and_none_is_added(client):
    def tokens(prompt):
        message = ask(prompt, max_tokens=1, return_num_input_tokens=True)
        return output_of(next(iter(client.stream(message))).infer_response, "num_input_tokens")

    assert tokens("hello") == 1
    assert tokens("<|im_start|>hello<|im_end|>") == 3


def test_each_token_is_a_response_and_the_end_is_marked(client):
    messages = list(client.stream(ask(max_tokens=5, temperature=0.0, return_finish_reason=True)))
    assert [is_final(item) for item in messages] == [False] * (len(messages) - 1) + [True]
    contents = [item for item in messages if text_of(item)]
    assert len(contents) == 5
    assert output_of(messages[-2].infer_response, "finish_reason") == b"length"


def test_token_counts_add_up(client):
    message = ask(CHAT, temperature=0.0, marker=False, return_num_output_tokens=True)
    counts = [output_of(item.infer_response, "num_output_tokens") for item in client.stream(message)]
    assert sum(counts) == 8  # seven of text and the end of the turn


# --- sampling


def test_the_most_likely_text_is_always_the_same(client):
    assert generate(client) == generate(client) != ""


def test_a_seed_reproduces_and_another_gives_another_text(client):
    options = {"temperature": 1.5, "max_tokens": 24}
    texts = {seed: generate(client, seed=seed, **options) for seed in (1, 2, 2**64 - 1)}
    assert len(set(texts.values())) == 3
    assert {seed: generate(client, seed=seed, **options) for seed in texts} == texts


def test_a_seed_reproduces_a_long_prompt_that_the_engine_knows_already(client):
    """A prompt from the engine's cache is computed in other batches, and rounding then changes the text."""
    options = {"temperature": 1.2, "seed": 5, "max_tokens": 40}
    assert len({generate(client, "word " * 200 + "and then", **options) for _ in range(3)}) == 1


def test_temperature_takes_effect(client):
    assert generate(client, temperature=2.0, seed=7, max_tokens=24) != generate(client, max_tokens=24)


@pytest.mark.parametrize(
    "only", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}], ids=["top_k", "top_p", "min_p"]
)
def test_what_leaves_one_candidate_gives_the_most_likely_text(client, only):
    assert generate(client, temperature=2.0, seed=7, **only) == generate(client)


@pytest.mark.parametrize("name", ["repetition_penalty", "presence_penalty", "frequency_penalty"])
def test_penalties_take_effect(client, name):
    prompt = "one two one two one two one two one two one"
    assert generate(client, prompt, **{name: 2.0}).count("two") < generate(client, prompt).count("two")


def test_max_tokens_takes_effect(client):
    short, long = generate(client, max_tokens=3), generate(client, max_tokens=12)
    assert long.startswith(short)
    assert len(short) < len(long)


def test_there_is_a_limit_where_a_request_sets_none(client):
    message = ask("1 2 3 4 5 6 7 8", temperature=0.0, marker=False, return_num_output_tokens=True)
    counts = [output_of(item.infer_response, "num_output_tokens") for item in client.stream(message)]
    assert sum(counts) == llama_module.DEFAULT_MAX_TOKENS


def test_a_stop_string_ends_the_text(client):
    prompt = "1 2 3 4 5 6"
    whole = generate(client, prompt)
    assert " 9" in whole
    assert generate(client, prompt, stop=[" 9", "never"]) == whole[: whole.index(" 9")]


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", -3.0), ("top_p", 0.0), ("max_tokens", 0), ("top_k", -1)]
)
def test_a_value_out_of_range_is_an_error_of_the_model(client, name, value):
    (answer,) = client.stream(ask(**{name: value}))
    assert answer.error_message.startswith(f"{name} must be ")
    assert answer.infer_response.model_name == "smollm2.streaming"


def test_an_empty_prompt_is_an_error(client):
    (answer,) = client.stream(ask(""))
    assert answer.error_message == "the prompt is empty"


def test_a_prompt_that_does_not_fit_is_a_clear_error(client):
    (answer,) = client.stream(ask("word " * 3000))
    assert "the prompt has 3001 tokens but the context of this server holds 2048" in answer.error_message
    assert is_final(answer) is True


def test_an_answer_ends_where_the_context_is_full(weights):
    with LocalServer(model_path=weights, context=256) as small, RawClient(small.url) as client:
        message = ask(
            "1 2 3 4 5 6 7 8", temperature=0.0, max_tokens=2000, marker=False, return_finish_reason=True
        )
        *_, last = client.stream(message)
        assert last.error_message == ""
        assert output_of(last.infer_response, "finish_reason") == b"length"


def test_characters_of_several_tokens_come_whole(client):
    chunks = [
        text_of(item) for item in client.stream(ask("🎉🚀🦜🎉🚀🦜🎉🚀🦜", temperature=0.0, max_tokens=24))
    ]
    assert all("\ufffd" not in chunk.decode() for chunk in chunks)
    assert "🎉" in b"".join(chunks).decode()


# --- cancels and concurrency


def seconds(client, prompt, **options):
    """How long an answer takes; the engine works on one after the other."""
    started = time.monotonic()
    generate(client, prompt, **options)
    return time.monotonic() - started


def test_a_cancel_stops_the_engine(client):
    call = client.stream(ask(max_tokens=2000, temperature=1.0))
    next(call)
    call.cancel()
    assert seconds(client, "hello", max_tokens=1) < seconds(client, STORY, max_tokens=400)


def test_a_cancel_stops_the_engine_while_it_reads_the_prompt(client):
    call = client.stream(ask("word " * 2000))
    time.sleep(0.3)
    call.cancel()
    assert seconds(client, "hello", max_tokens=1) < seconds(client, "other " * 2000, max_tokens=1) / 2


def test_streams_at_once_are_all_answered(client):
    expected = generate(client)
    calls = [client.stream(ask(max_tokens=16, temperature=0.0)) for _ in range(4)]
    assert [b"".join(map(text_of, call)).decode() for call in calls] == [expected] * 4


def test_two_servers_in_one_process_and_one_after_the_other(server, client, weights):
    with LocalServer(model_path=weights, context=512) as second, RawClient(second.url) as other:
        assert second.url != server.url
        assert generate(other, CHAT, max_tokens=32) == generate(client, CHAT, max_tokens=32)
        assert "holds 512" in next(other.stream(ask("word " * 600))).error_message
    assert generate(client, CHAT, max_tokens=32) == "The capital of France is Paris."


def listening():
    return {
        item.laddr.port
        for item in psutil.Process().net_connections("tcp")
        if item.status == psutil.CONN_LISTEN
    }


def test_the_only_port_is_that_of_the_server(weights):
    before = listening()  # servers of other tests may run in this process
    with LocalServer(model_path=weights) as server:
        assert listening() - before == {int(server.url.rpartition(":")[2])}


@pytest.mark.skipif(os.name != "posix", reason="unix sockets")
def test_nobody_else_reaches_the_engine_and_nothing_of_it_stays(weights):
    before = engine_sockets()
    with LocalServer(model_path=weights):
        (path,) = engine_sockets() - before
        folder = Path(path).parent
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def engine_sockets():
    return {
        item.laddr for item in psutil.Process().net_connections("unix") if item.laddr.endswith("/engine.sock")
    }


# --- life


def test_a_server_that_still_loads_is_live_but_not_ready(weights):
    gate = threading.Event()

    class Late(os.PathLike):
        def __fspath__(self):
            gate.wait(30)
            return str(weights)

    server = LocalServer(model_path=Late(), wait=False)
    with server, RawClient(server.url) as client:
        assert client.unary("ServerLive").live
        assert not client.unary("ServerReady").ready
        assert health(server.url) == b"\x08\x02"  # I-F18: a probe waits for the model
        assert not client.unary("ModelReady", name="smollm2").ready
        (answer,) = client.stream(ask())
        assert answer.error_message.endswith("has no available versions")
        with pytest.raises(
            DeadlineExceededError, match=r"not ready after 0\.01 s: the model is being loaded"
        ) as late:
            server.wait_until_ready(0.01)
        assert (late.value.limit, late.value.target, late.value.status) == (0.01, server.url, "")
        gate.set()
        server.wait_until_ready(30)
        assert client.unary("ServerReady").ready
        assert health(server.url) == b"\x08\x01"
        assert client.unary("ModelReady", name="smollm2").ready
        assert generate(client, max_tokens=1)


def test_stopping_in_mid_generation_is_quick(weights):
    server = LocalServer(model_path=weights).start()
    assert server.start() is server
    with RawClient(server.url) as client:
        call = client.stream(ask(max_tokens=2000, temperature=1.0))
        next(call)
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 3.0
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    server.stop()
    assert server.wait()
    with pytest.raises(LocalModelError, match="not running"):
        server.wait_until_ready()
    with server, RawClient(server.url) as client:
        assert generate(client, max_tokens=1)


def test_serving_in_the_foreground_ends_with_stop(weights):
    with LocalServer(model_path=weights) as server:
        assert not server.wait(0.01)
        stopper = threading.Timer(0.05, server.stop)
        stopper.start()
        assert server.wait(30)
        stopper.join()


def test_a_file_that_is_no_model_is_a_clear_error(tmp_path, capfd):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    with pytest.raises(LocalModelError, match=r"cannot load '.*broken\.gguf'.*Is it a whole GGUF file"):
        LocalServer(model_path=broken).start()
    with pytest.raises(LocalModelError, match="there is no model file"):
        LocalServer(model_path=tmp_path / "nowhere.gguf").start()
    assert capfd.readouterr() == ("", "")


def test_a_failure_to_load_in_the_background_is_told_to_whoever_waits(tmp_path):
    server = LocalServer(model_path=tmp_path / "nowhere.gguf", wait=False)
    with server, pytest.raises(LocalModelError, match="there is no model file"):
        server.wait_until_ready(30)


def test_stopping_ends_a_fetch(monkeypatch, tmp_path):
    monkeypatch.setenv("NUPIC_CACHE", str(tmp_path))
    monkeypatch.delenv("NUPIC_SMOLLM2", raising=False)
    seen = threading.Event()
    server = LocalServer(wait=False, progress=lambda *_: seen.set()).start()
    assert seen.wait(30)
    server.stop()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("option", "value"), [("threads", 0), ("context", 1)])
def test_options_are_checked(option, value):
    with pytest.raises(ConfigurationError, match=f"{option} must be >= "):
        LocalServer(**{option: value})


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("raise KeyboardInterrupt", -signal.SIGINT),
    ],
    ids=["end", "exit", "interrupt"],
)
@pytest.mark.parametrize("prompt", [STORY, "word " * 1900], ids=["generating", "reading the prompt"])
def test_a_script_may_end_in_mid_generation(weights, ending, status, prompt):
    script = f"""if True:
        import grpc, time
        from nupic_client.local import LocalServer, ServerLimits
        from nupic_client._core.kserve import wire
        server = LocalServer(model_path={str(weights)!r}).start()
        call = grpc.insecure_channel(server.url).unary_stream(wire.method_path("ModelStreamInfer"))
        message = wire.pb.ModelInferRequest(model_name="smollm2.streaming")
        text = message.inputs.add(name="text_input", datatype="BYTES", shape=[1])
        text.contents.bytes_contents.append({prompt.encode()!r})
        message.inputs.add(name="max_tokens", datatype="INT32", shape=[1]).contents.int_contents.append(2000)
        stream = call(message.SerializeToString())
        next(stream) if {prompt == STORY} else time.sleep(0.5)
        {ending}
    """
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert ended.returncode == status
    assert ended.stdout == b""
    if "Interrupt" in ending:  # Python's own words, and nothing after them
        assert ended.stderr.rstrip().endswith(b"KeyboardInterrupt")
    else:
        assert ended.stderr == b""


# --- limits


@pytest.fixture
def limited(weights):
    limits = ServerLimits(max_tokens=5)
    with LocalServer(model_path=weights, limits=limits) as server, RawClient(server.url) as client:
        yield client


def test_a_request_for_more_tokens_than_there_may_be_is_refused(limited):
    (answer,) = limited.stream(ask(max_tokens=6))
    assert answer.error_message == "max_tokens is 6 but this server gives at most 5"


@pytest.mark.parametrize("options", [{}, {"max_tokens": 5}], ids=["default", "given"])
def test_no_answer_has_more_tokens_than_there_may_be(limited, options):
    message = request(
        STORY, model="smollm2", return_finish_reason=True, return_num_output_tokens=True, **options
    )
    response = limited.unary("ModelInfer", message)
    assert output_of(response, "num_output_tokens") == 5
    assert output_of(response, "finish_reason") == b"length"


TOO_LONG = [filler * (2048 * 256 // len(filler.encode()) + 1) for filler in (" ", "a", "-", "漢")]


@pytest.mark.parametrize("prompt", TOO_LONG, ids=["blanks", "letters", "dashes", "漢"])
def test_a_prompt_that_cannot_fit_is_refused(limited, prompt):
    (answer,) = limited.stream(ask(prompt))
    assert answer.error_message.startswith(f"the prompt has {len(prompt.encode())} bytes, which cannot fit: ")
    assert "Shorten the prompt or start the server with a larger context" in answer.error_message


@pytest.mark.parametrize("prompt", TOO_LONG, ids=["blanks", "letters", "dashes", "漢"])
def test_a_prompt_that_cannot_fit_is_refused_before_its_tokens_are_counted(prompt):
    """By an engine without a model: it could not count them."""
    engine = LlamaEngine(context=2048)
    with pytest.raises(EngineError, match=f"^the prompt has {len(prompt.encode())} bytes, which cannot fit"):
        list(engine.generate(EngineRequest("m", prompt=prompt, inputs={}), threading.Event()))


def test_a_prompt_of_long_tokens_that_fits_is_not_refused(client):
    """Blanks are what most bytes go into one token of."""
    assert generate(client, " " * 64 * 1500, max_tokens=1) is not None


def test_more_requests_than_may_wait_are_refused_and_the_others_answered(weights):
    limits = ServerLimits(max_running=1, max_waiting=2)
    with LocalServer(model_path=weights, limits=limits) as server, RawClient(server.url) as client:
        calls = [client.stream(ask(request_id=str(number), max_tokens=40)) for number in range(12)]
        answers = [list(call) for call in calls]
        refused = [answer for answer in answers if answer[0].error_message]
        assert refused
        assert all(
            "Exceeds maximum queue size: 1 run and 2 wait" in answer[0].error_message for answer in refused
        )
        full = [b"".join(map(text_of, answer)) for answer in answers if answer not in refused]
        assert len(full) >= 3
        assert all(full)


# --- the engine alone


def test_an_engine_that_is_not_loaded_or_closed_says_so(weights):
    engine = LlamaEngine()
    ask_engine = EngineRequest("m", prompt="hi", inputs={})
    with pytest.raises(EngineError, match="not loaded"):
        list(engine.generate(ask_engine, threading.Event()))
    engine.load(weights)
    engine.load(weights)
    assert list(engine.generate(ask_engine, threading.Event()))
    running = engine.generate(
        EngineRequest("m", prompt=STORY, inputs={"max_tokens": 2000}), threading.Event()
    )
    next(running)
    closer = threading.Thread(target=engine.close)
    closer.start()
    with pytest.raises(EngineError, match="shutting down"):
        list(itertools.islice(running, 1000))
    closer.join()
    engine.load(weights)
    with pytest.raises(EngineError, match="not loaded"):
        list(engine.generate(ask_engine, threading.Event()))


def test_odd_chunks_are_read_or_skipped():
    reader = llama_module._ChunkReader()
    assert list(reader.read("odd")) == []
    chunk, last = reader.read([{"choices": [{"text": "a"}]}, {"choices": [{"finish_reason": "stop"}]}])
    assert (chunk.text, last.finish_reason) == (b"a", "stop")
    with pytest.raises(EngineError, match="boom"):
        list(reader.read({"error": "boom"}))
    with pytest.raises(EngineError, match="boom"):
        list(reader.read({"error": {"message": "boom"}}))


class BrokenServer:
    def handle_completions(self, _body, _on_chunk):
        raise ValueError("odd request")


def test_an_exception_of_the_engine_reaches_the_client():
    engine = LlamaEngine()
    engine._host.server = BrokenServer()
    with pytest.raises(EngineError, match="ValueError: odd request"):
        list(engine.generate(EngineRequest("m", prompt="hi", inputs={}), threading.Event()))


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (None, r"needs the engine xllamacpp: pip install 'nupic-client\[local\]'"),
        ("import nothing_of_this_name", "cannot be imported: No module named 'nothing_of_this_name'"),
        (
            "raise ImportError('libgomp.so.1: cannot open shared object file: No such file or directory')",
            "The system library libgomp.so.1 is missing: apt-get install libgomp1",
        ),
        ("raise ImportError('wrong ELF class')", r"cannot be imported: wrong ELF class$"),
    ],
)
def test_an_engine_that_cannot_be_imported_says_what_to_do(module, text, tmp_path, monkeypatch, weights):
    if module is None:
        monkeypatch.setitem(sys.modules, "xllamacpp", None)
    else:
        monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
        (tmp_path / "xllamacpp.py").write_text(module)
        monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(LocalModelError, match=text):
        LlamaEngine().load(weights)


def test_an_engine_may_be_closed_as_soon_as_it_is_loaded(weights):
    """In another process: a deletion that hangs keeps the interpreter lock, so nothing here could end it."""
    script = f"""if True:
        from nupic_client.local.engines.llama import LlamaEngine
        for _ in range(4):
            engine = LlamaEngine()
            engine.load({str(weights)!r})
            engine.close()
    """
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


# --- counting tokens


def test_the_embedded_model_counts_tokens(weights):
    server = LocalServer(model_path=weights, context=64)
    with pytest.raises(LocalModelError, match="must be ready to count tokens"):
        server.count_tokens("hi")
    with server, StreamingClient("smollm2", url=server.url) as client:
        for text in ("Hello", "Why is the sky blue?", "<|im_start|>user\nHi<|im_end|>\n", " ", "漢字"):
            answer = client.generate(text, max_tokens=1)
            assert server.count_tokens(text) == answer.usage.input_tokens > 0
        assert server.count_tokens("") == 0
        with pytest.raises(LocalModelError, match="the context of this server holds"):
            server.count_tokens("word " * 2000)
        with pytest.raises(ConfigurationError, match="lone surrogate"):
            server.count_tokens("\ud800")


# --- guides


class Kind(enum.Enum):
    CAPITAL = "capital"
    TOWN = "town"
    VILLAGE = "village"


class Place(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=40)
    country: str = pydantic.Field(max_length=40)
    kind: Kind
    inhabitants: int = pydantic.Field(ge=0, le=50_000_000)
    sights: list[Annotated[str, pydantic.Field(max_length=60)]] = pydantic.Field(min_length=1, max_length=3)


@pytest.fixture(scope="module")
def texts(server):
    with StreamingClient("smollm2", url=server.url, max_tokens=400) as client:
        yield client


def test_a_model_of_pydantic_is_filled_in_twenty_of_twenty_tries(texts):
    cities = ["Paris", "Rome", "Oslo", "Lima"] * 5
    places = [
        texts.parse([user(f"Describe the place {city} as JSON.")], Place, seed=seed)
        for seed, city in enumerate(cities)
    ]
    assert len(places) == 20
    assert all(type(place) is Place and type(place.kind) is Kind for place in places)


def test_a_tool_that_is_forced_is_called_in_twenty_of_twenty_tries(texts):
    def weather(
        city: Annotated[str, pydantic.Field(max_length=40)], days: int = 1, kind: Kind = Kind.TOWN
    ) -> None:
        """Tell the weather of a place."""

    def nothing() -> None:
        """Do nothing."""

    for seed in range(20):
        question = [user(f"How is the weather in {['Paris', 'Oslo'][seed % 2]}?")]
        answer = texts.generate(question, tools=[weather, nothing], tool_choice="weather", seed=seed)
        (call,) = answer.tool_calls
        assert (call.name, answer.text) == ("weather", "")
        assert isinstance(call.parsed["city"], str)
        assert Tool.of(weather).run(call.arguments) is None


def test_beside_tools_an_answer_is_a_call_or_has_its_form(texts):
    def weather(city: Annotated[str, pydantic.Field(max_length=40)]) -> None:
        """Tell the weather of a place."""

    for seed in range(4):
        answer = texts.generate(
            [user("How is the weather in Paris?")],
            tools=[weather],
            response_format=tuple[bool, bool],
            seed=seed,
        )
        assert [call.name for call in answer.tool_calls] == ["weather"] or isinstance(answer.parsed, tuple)


@pytest.mark.parametrize(
    ("form", "fits"),
    [
        (Choice(["yes, it is", "no!"]), lambda value: value in {"yes, it is", "no!"}),
        (Regex(r"\d{4}-[A-Z]{2}/x"), re.compile(r"[0-9]{4}-[A-Z]{2}/x").fullmatch),
        (Grammar('root ::= "a" [b-c]{2}'), re.compile("a[bc]{2}").fullmatch),
        (Literal["a", 3], lambda value: value in {"a", 3}),
        (bool, lambda value: type(value) is bool),
        (tuple[Literal[3, 4], bool], lambda value: value[0] in {3, 4} and len(value) == 2),
        (dt.date, lambda value: type(value) is dt.date),
        (Literal[7] | None, lambda value: value in {7, None}),
        ({"oneOf": [{"const": 7}, {"const": 8}]}, lambda value: value in {7, 8}),
        (
            {"type": "object", "properties": {"a b": {"const": "é/\n"}}, "required": ["a b"]},
            lambda value: value == {"a b": "é/\n"},
        ),
        (
            {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer", "minimum": 3, "maximum": 4}}},
            lambda value: value in {3, 4},
        ),
        ({"type": "string", "pattern": "^[a-c]{2}$"}, re.compile("[abc]{2}").fullmatch),
        (
            {"type": "number", "multipleOf": 0.5, "minimum": 1, "maximum": 2},
            lambda value: value in {1, 1.5, 2},
        ),
    ],
    ids=without_address,
)
def test_an_answer_has_the_form_that_was_asked_for(texts, form, fits):
    value = texts.parse([user("Say something.")], form, temperature=1.0, seed=3, max_tokens=60)
    assert fits(value)


def test_what_the_engine_cannot_say_of_a_form_is_seen_by_the_client(texts):
    """It takes oneOf for anyOf."""
    with pytest.raises(OutputError, match="exactly one of 2 alternatives, not 2"):
        texts.parse([user("Say something.")], {"oneOf": [{"const": 7}, {"enum": [7]}]})


def test_the_value_grows_while_the_model_writes(texts):
    with texts.stream([user("Describe Rome as JSON.")], response_format=Place, seed=1) as stream:
        keys = [list(value) for value in stream.partial()]
        place = stream.result().parsed
    assert keys[0] == []
    assert keys[-1] == ["name", "country", "kind", "inhabitants", "sights"]
    assert type(place) is Place


@pytest.mark.parametrize("model", ["smollm2.streaming", "smollm2"])
@pytest.mark.parametrize(
    ("form", "words"),
    [
        (Regex("(?=a)b"), "look-around"),
        ({"type": "array", "uniqueItems": True}, "'uniqueItems'"),
        ({"not": {"type": "string"}}, "'not'"),
        (Grammar("root ::= nope"), "cannot parse it"),
        (Grammar("rot ::= 'a'"), "cannot parse it"),
    ],
    ids=str,
)
def test_what_llama_would_ignore_is_refused(server, model, form, words):
    with InferenceClient(model, url=server.url) as client:
        with pytest.raises(RequestRejectedError, match=words) as caught:
            client.generate("Say something.", response_format=form, max_tokens=5)
    assert caught.value.status == "INVALID_ARGUMENT"


def test_a_guide_without_its_type_is_refused(client):
    message = ask(guided_decoding_guide="a")
    (response,) = [each for each in client.stream(message) if each.error_message]
    assert "guided_decoding_guide_type must be one of" in response.error_message
    assert "Paris" in generate(client, CHAT, max_tokens=32)  # and the next request is free
