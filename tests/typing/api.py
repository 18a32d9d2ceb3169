"""A user's program that touches the whole public interface. Checked by ``mypy --strict``, never executed.

``assert_type`` says what an expression is. Each ``type: ignore`` is a mistake that the types have to refuse: one that is
accepted makes the comment unused, which is an error too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import TypedDict, Unpack, assert_type

import nupic_client
from nupic_client import (
    TLS,
    AsyncCallback,
    AsyncInferenceStream,
    AsyncResultStream,
    AsyncTextStream,
    Attempt,
    BatchStatistics,
    Callback,
    Choice,
    ContentObserver,
    CudaSharedMemory,
    DeadlineExceededError,
    Finished,
    FinishReason,
    GenerateOptions,
    Generation,
    Grammar,
    HttpInferenceClient,
    ImagePart,
    InferenceClient,
    InferenceError,
    InferenceResult,
    InferenceSequence,
    InferenceStream,
    InferStreamOptions,
    Latency,
    Lora,
    Message,
    ModelRegistry,
    ModelSpec,
    NupicError,
    Observer,
    OutputError,
    Prompt,
    PromptFormatter,
    ReasoningDelta,
    Regex,
    RequestContent,
    RequestError,
    RequestInfo,
    RequestOutcome,
    ResponseStatistics,
    ResultStream,
    SamplingParams,
    ServerClient,
    SharedMemoryOutput,
    SharedMemoryRegion,
    SharedMemoryTensor,
    StreamingClient,
    SystemSharedMemory,
    TextDelta,
    TextStream,
    Timeouts,
    ToolArguments,
    ToolCall,
    ToolCallStarted,
    TracingObserver,
    UnknownModelError,
    Usage,
    assistant,
    batch,
    default_registry,
    get_prompt_formatter,
    model_naming_mapping,
    observe_all,
    system,
    user,
)

assert_type(nupic_client.__version__, str)


def show(text: str) -> None:
    print(text)


async def ashow(text: str) -> None:
    print(text)


# Making clients


async def afetch_token() -> str:
    return "secret"


client = StreamingClient("smollm2")
StreamingClient("smollm2", "localhost:8001")
StreamingClient(
    "smollm2", ["a:1", "b:2"], temperature=0.5, stop=["END"], timeout=30, metadata={"authorization": "x"}
)
StreamingClient(
    "smollm2", "grpcs://a:1", tls=TLS(root_certificates=Path("ca.pem")), channel_options={"grpc.x": 1}
)
StreamingClient("smollm2", bearer_token="secret", allow_insecure_token=True)
StreamingClient("smollm2", bearer_token=lambda: "secret")
StreamingClient("smollm2", bearer_token=afetch_token)
StreamingClient("smollm2", formatter="chatml", registry=default_registry())
StreamingClient("smollm2", formatter=get_prompt_formatter("chatml"))
assert_type(client.url, str)
assert_type(client.model, ModelSpec)
assert_type(client.with_options(max_tokens=5, seed=None), StreamingClient)

StreamingClient()  # type: ignore[call-arg]
StreamingClient(5)  # type: ignore[arg-type]
StreamingClient("smollm2", port=8001)  # type: ignore[call-arg]
StreamingClient("smollm2", tls="ca.pem")  # type: ignore[arg-type]
StreamingClient("smollm2", bearer_token=b"secret")  # type: ignore[arg-type]
client.url = "other:1"  # type: ignore[misc]

# Callback

assert_type(client.generate("Hi"), Generation)
client.generate("Hi", callback=show)
client.generate("Hi", print, max_tokens=5)
client.generate("Hi", lora="sql")
client.generate("Hi", lora=Lora("sql", id=7, path=Path("/adapters/sql"), source="hf"))
client.generate("Hi", lora=7)
client.generate("Hi", lora=1.5)  # type: ignore[arg-type]
client.generate([user(["What is this?", ImagePart("cat.png")])])
client.generate([user("Hi"), {"role": "assistant", "content": "Ho"}], callback=lambda text: text.upper())
client.generate((Message("user", "Hi"),), max_tokens=5, temperature=0, top_p=0.5, top_k=3, min_p=0.1)
client.generate("Hi", stop="END", seed=1, repetition_penalty=1.1, presence_penalty=0.1, frequency_penalty=0.1)
client.generate("Hi", timeout=Timeouts(total=None), request_id="mine", metadata={"a": "b", "c-bin": b"d"})
client.generate("Hi", backend_inputs={"a": 1, "b": [1.5, 2], "c": "d", "e": True}, unsupported="warn")

client.generate("Hi", parameters={"a": True, "b": 1, "c": 1.5, "d": "e"}, outputs=["logits"])
client.generate("Hi", parameters=None, outputs=None)
client.generate("Hi", parameters={"a": None})  # type: ignore[dict-item]

# Answers of a form


class Size(TypedDict):
    width: int


assert_type(client.parse("Hi", Usage, enforce="validate", output_retries=1), Usage)
assert_type(client.parse([user("Hi")], Size), Size)
assert_type(client.parse("Hi", list[int], max_tokens=5), list[int])
assert_type(client.parse("Hi", int), int)
assert_type(client.parse("Hi", Choice(["yes", "no"])), str)
assert_type(client.parse("Hi", Regex("[a-z]+")), str)
assert_type(client.parse("Hi", Grammar('root ::= "a"')), str)
assert_type(client.parse("Hi", "json"), Any)
assert_type(client.parse("Hi", {"type": "object"}), Any)
assert_type(client.generate("Hi", response_format=Size).parsed, Any)
assert_type(client.stream("Hi", response_format=Size).partial(), Iterator[Any])
client.parse("Hi")  # type: ignore[call-overload]
client.parse("Hi", int, enforce="maybe")  # type: ignore[call-overload]

try:
    client.parse("Hi", int)
except OutputError as error:
    assert_type(error.text, str)
    assert_type(error.violations, tuple[str, ...])
    assert_type(error.partial, Any)

client.generate()  # type: ignore[call-arg]
client.generate(5)  # type: ignore[arg-type]
client.generate("Hi", 100)  # type: ignore[arg-type]
client.generate("Hi", callback="print")  # type: ignore[arg-type]
client.generate("Hi", callback=lambda: None)  # type: ignore[arg-type, misc]
client.generate("Hi", temperature="hot")  # type: ignore[arg-type]
client.generate("Hi", temprature=1)  # type: ignore[call-arg]
client.generate("Hi", max_tokens=1.5)  # type: ignore[arg-type]
client.generate("Hi", stop=[1])  # type: ignore[list-item]
client.generate("Hi", unsupported="ignore")  # type: ignore[arg-type]
client.generate("Hi", metadata={"a": 1})  # type: ignore[dict-item]
client.generate([1, 2])  # type: ignore[list-item]

# Iterator

with client.stream("Hi", max_tokens=5) as stream:
    assert_type(stream, TextStream)
    assert_type(next(stream), str)
    assert_type(iter(stream), Iterator[str])
    for text in stream:
        assert_type(text, str)
    assert_type(stream.result(), Generation)
for event in client.stream([user("Hi")]).events():
    assert_type(event, TextDelta | ReasoningDelta | ToolCallStarted | ToolArguments | ToolCall | Finished)
    if isinstance(event, Finished):
        assert_type(event.generation, Generation)
    elif isinstance(event, TextDelta):
        assert_type(event.text, str)
        assert_type(event.outputs, Mapping[str, Any] | None)
    elif isinstance(event, ToolCall):
        assert_type(event.parsed, dict[str, Any])
assert_type(stream.text, str)
assert_type(stream.closed, bool)
assert_type(stream.request_id, str)
stream.close()

client.stream("Hi", callback=show)  # type: ignore[call-arg]
stream.events().close()  # type: ignore[attr-defined]

# Many prompts

assert_type(client.map(["Hi"]), ResultStream[Generation])
assert_type(
    client.map(iter(["Hi"]), concurrency=8, callback=lambda index, result: None, max_tokens=5),
    ResultStream[Generation],
)
assert_type(client.map(["Hi"], errors="return"), ResultStream[Any])
assert_type(client.map(["Hi"], ordered=False), ResultStream[Any])
for generation in client.map(
    ["Hi", [user("Hi")], (user("Hi"), user("Ho")), ("Hi", {"max_tokens": 5}), ([user("Hi")], {"seed": 1})]
):
    assert_type(generation, Generation)
row: dict[str, Any] = {"max_tokens": 5}
client.map([("Hi", row)])

client.map()  # type: ignore[call-overload]
client.map(["Hi"], errors="no")  # type: ignore[call-overload]
client.map(["Hi"], max_token=5)  # type: ignore[call-overload]
client.map([5])  # type: ignore[list-item]
client.map(["Hi"], callback=lambda index: None)  # type: ignore[arg-type, misc]


# Async iterator


async def many() -> None:
    async def later() -> AsyncIterator[str]:
        yield "Hi"

    assert_type(client.amap(later()), AsyncResultStream[Generation])
    async for generation in client.amap(["Hi", ("Hi", {"max_tokens": 5})], callback=areport):
        assert_type(generation, Generation)
    async for result in client.amap(later(), errors="return"):
        assert_type(result, Any)


async def areport(index: int, result: Generation) -> None: ...


async def main() -> None:
    assert_type(await client.agenerate("Hi"), Generation)
    await client.agenerate("Hi", callback=show)
    await client.agenerate("Hi", callback=ashow, max_tokens=5)
    await client.agenerate("Hi", ashow)
    assert_type(await client.aparse("Hi", int), int)
    assert_type(client.astream("Hi", response_format=int).partial(), AsyncIterator[Any])
    async with client.astream("Hi", max_tokens=5) as stream:
        assert_type(stream, AsyncTextStream)
        assert_type(await anext(stream), str)
        assert_type(aiter(stream), AsyncIterator[str])
        async for text in stream:
            assert_type(text, str)
        assert_type(await stream.result(), Generation)
    async for event in client.astream([user("Hi")]).events():
        assert_type(event, TextDelta | ReasoningDelta | ToolCallStarted | ToolArguments | ToolCall | Finished)
    stream.cancel()
    await stream.aclose()
    await client.await_until_ready(timeout=None)
    async with StreamingClient("smollm2") as other:
        assert_type(other, StreamingClient)

    await client.generate("Hi")  # type: ignore[misc]
    client.astream("Hi", temprature=1)  # type: ignore[call-arg]
    for _ in client.astream("Hi"):  # type: ignore[attr-defined]
        pass
    async for _ in client.stream("Hi"):  # type: ignore[attr-defined]
        pass


client.wait_until_ready(5)
client.close()

# Results

generation = client.generate("Hi")
assert_type(generation.text, str)
assert_type(generation.finish_reason, FinishReason | None)
assert_type(generation.usage.output_tokens, int | None)
assert_type(generation.usage.total_tokens, int | None)
assert_type(generation.timing.total, float)
assert_type(generation.timing.time_to_first_token, float | None)
assert_type(generation.timing.inter_token_latency, Latency | None)
assert_type(generation.attempts, tuple[Attempt, ...])
assert_type(generation.endpoint, str)
assert_type(generation.outputs, Mapping[str, Any] | None)
generation.text = "other"  # type: ignore[misc]
generation.timing.time_to_first_token + 1  # type: ignore[operator]

# Errors

try:
    client.generate("Hi")
except DeadlineExceededError as late:
    assert_type(late.limit, float | None)
except InferenceError as failed:
    assert_type(failed.partial_text, str)
except RequestError as refused:
    assert_type(refused.retryable, bool)
    assert_type(refused.status, str)
except UnknownModelError as unknown:
    assert_type(unknown.known, tuple[str, ...])
except NupicError as error:
    assert_type(error.message, str)

# Streams of results, and sequences

models = InferenceClient("repeat_int32")
with models.infer_stream({"IN": [1]}, timeout=Timeouts(total=5), max_retries=0, outputs=["OUT"]) as results:
    assert_type(results, InferenceStream)
    assert_type(next(results), InferenceResult)
    assert_type(iter(results), Iterator[InferenceResult])
    assert_type(results.results(), list[InferenceResult])
    assert_type(results.request_id, str)
with models.sequence(5, end_with=[0]) as sequence:
    assert_type(sequence, InferenceSequence)
    assert_type(sequence.infer([1], end=True, text="bytes"), InferenceResult)
    assert_type(sequence.infer_stream([1]), InferenceStream)
    assert_type(sequence.sequence_id, int | str)

models.infer_stream([1], max_tokens=5)  # type: ignore[call-arg]
models.infer([1], max_retries=5)  # type: ignore[call-arg]
models.sequence(1.5)  # type: ignore[arg-type]


async def use_results() -> None:
    async with models.ainfer_stream([1]) as results:
        assert_type(results, AsyncInferenceStream)
        assert_type(await anext(results), InferenceResult)
        async for result in results:
            assert_type(result, InferenceResult)
        assert_type(await results.results(), list[InferenceResult])
    async with models.sequence("s") as sequence:
        assert_type(await sequence.ainfer([1]), InferenceResult)
        assert_type(sequence.ainfer_stream([1]), AsyncInferenceStream)


result_options: InferStreamOptions = {"outputs": ["OUT"], "max_retries": 1}
models.infer_stream([1], **result_options)

# Models and prompts

registry = ModelRegistry([ModelSpec(name="bot", server_name="bot.streaming", family="chatml", stop=("END",))])
assert_type(registry["bot"], ModelSpec)
assert_type(registry.copy(), ModelRegistry)
assert_type(model_naming_mapping["smollm2"], str)
names: Mapping[str, str] = model_naming_mapping
formatter = get_prompt_formatter("chatml")
assert_type(formatter, PromptFormatter)
assert_type(formatter([system("Be brief."), user("Hi"), assistant("Ho")]), str)
assert_type(formatter("Hi", system="Be brief."), str)
assert_type(formatter.stop, tuple[str, ...])

model_naming_mapping["a"] = "b"  # type: ignore[index]
ModelSpec("bot")  # type: ignore[call-arg]
ModelSpec(name="bot", text="all")  # type: ignore[arg-type]
Message()  # type: ignore[call-arg]
user(5)  # type: ignore[arg-type]

# Options as values

options: GenerateOptions = {"max_tokens": 5, "stop": ["END"]}
client.generate("Hi", **options)
wrong: GenerateOptions = {"max_token": 5}  # type: ignore[typeddict-unknown-key]
assert_type(SamplingParams(temperature=1).stop_strings, tuple[str, ...])
SamplingParams(1)  # type: ignore[call-arg]

# The server, and shared memory

server = ServerClient()
assert_type(server.model_config("bot"), dict[str, Any])
server.load("bot", config={}, files={"1/a": b"", "1/b": "path", "1/c": Path("path")})
server.load("bot", files={"1/a": 5})  # type: ignore[dict-item]
(figures,) = server.statistics("bot")
assert_type(figures.last_inference, float | None)
assert_type(figures.batch_stats, tuple[BatchStatistics, ...])
assert_type(figures.response_stats, Mapping[str, ResponseStatistics])
assert_type(server.trace_settings(), dict[str, int | str | tuple[str, ...]])
server.update_trace_settings({"trace_rate": 5, "trace_level": ["OFF"], "trace_count": None}, "bot")
assert_type(server.update_log_settings({"log_info": True}), dict[str, bool | int | str])
server.update_log_settings({"log_info": None})  # type: ignore[dict-item]
assert_type(server.system_shared_memory(), dict[str, SystemSharedMemory])
with server.shared_memory(1 << 20) as region:
    assert_type(region, SharedMemoryRegion)
    tensor = region.put([1, 2], datatype="INT32")
    assert_type(tensor, SharedMemoryTensor)
    assert_type(region.output(100), SharedMemoryOutput)
    result = InferenceClient("bot").infer({"x": tensor}, outputs={"y": region.output(100), "z": None})
    assert_type(result.places, Mapping[str, SharedMemoryTensor])
SharedMemoryTensor("camera", 8)  # type: ignore[call-arg]


async def use_shared_memory() -> None:
    async with server.shared_memory(1 << 20) as region:
        assert_type(region, SharedMemoryRegion)
        assert_type(await server.acuda_shared_memory(), dict[str, CudaSharedMemory])


# Over HTTP


def over_http(client: HttpInferenceClient) -> None:
    assert_type(client.infer(["a"]), InferenceResult)
    assert_type(client.infer(["a"]).endpoint, str)
    assert_type(client.map([["a"]]), ResultStream[InferenceResult])
    assert_type(client.map([["a"]], ordered=False), ResultStream[Any])
    assert_type(client.generate([user("a")], max_tokens=5), Generation)
    assert_type(client.stream("a"), TextStream)
    assert_type(client.with_options(timeout=3), HttpInferenceClient)
    client.generate("a", max_token=5)  # type: ignore[call-arg]
    client.map([["a"]], errors="no")  # type: ignore[call-overload]


class Ends(Observer):
    """Extends the protocol with one method; the others are not needed."""

    def on_end(self, info: RequestInfo, outcome: RequestOutcome) -> None:
        assert_type(info.sampling, SamplingParams | None)
        assert_type(info.streaming, bool | None)
        assert_type(outcome.finish_reason, FinishReason | None)
        assert_type(outcome.attempts, tuple[Attempt, ...])
        assert_type(outcome.error, Exception | None)
        assert_type(outcome.timing.total, float)
        assert_type(outcome.endpoint, str)
        info.model = "another"  # type: ignore[misc]


class Wrong(Observer):
    def on_end(self, info: RequestInfo) -> None:  # type: ignore[override]
        """Lacks an argument."""


class Whole:
    """Has all the methods of the protocol, without extending it."""

    def on_start(self, info: RequestInfo) -> object:
        return None

    def on_first_token(self, info: RequestInfo, seconds: float) -> object:
        return None

    def on_retry(self, info: RequestInfo, error: Exception, pause: float, attempt: int) -> object:
        return None

    def on_end(self, info: RequestInfo, outcome: RequestOutcome) -> object:
        return None


class Says(TracingObserver, ContentObserver):
    """Writes headers, and asks for the texts."""

    def metadata(self, names: Collection[str]) -> dict[str, str | bytes]:
        return {}

    def on_content(self, info: RequestInfo, content: RequestContent) -> None:
        assert_type(content.prompt, str | tuple[Message, ...])
        assert_type(content.answer, Message | None)


async def headers() -> dict[str, str]:
    return {}


def observing() -> None:
    client = StreamingClient("m", observer=Ends())
    InferenceClient("m", observer=Whole())
    HttpInferenceClient("m", observer=Ends(), metadata=lambda: {"x-tenant": "a"})
    ServerClient(metadata=headers)
    client.generate("hi", metadata=headers)
    client.generate("hi", metadata=lambda: {"x-tenant": b"a"})
    client.generate("hi", metadata=lambda: 5)  # type: ignore[arg-type]
    StreamingClient("m", observer=5)  # type: ignore[arg-type]
    assert_type(client.observer, Observer | None)
    client.observer = None
    assert_type(client.add_observer(Whole()), Callable[[], None])
    assert_type(observe_all(Says()), Callable[[], None])


# Files of prompts


def batches(client: StreamingClient) -> None:
    report = batch.run("in.jsonl", Path("out.jsonl"), model="a", resume=True, progress=print, max_tokens=5)
    assert_type(report, batch.BatchReport)
    assert_type(report.complete, bool)
    assert_type(batch.run([{"prompt": "a"}], "-", model="a", client=client).done, int)
    embedder = InferenceClient("a")
    assert_type(batch.run("in.jsonl", "-", model="a", client=client, embedding_client=embedder).done, int)
    batch.BatchJob("in.jsonl", "-", model="a", client=client, make_embedding_client=lambda model: embedder)
    settings = batch.BatchSettings(concurrency=8)
    job = batch.BatchJob("in.jsonl", "out.jsonl", model="a", settings=settings, temperature=0)
    assert_type(job.run(), batch.BatchReport)
    batch.run("in.jsonl", "out.jsonl")  # type: ignore[call-arg]
    batch.run("in.jsonl", "out.jsonl", model="a", max_token=5)  # type: ignore[call-arg]


# Protocols of a program's own, as docs/how-to/wrap-a-client.md has them


class Writes(Protocol):
    def generate(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> Generation: ...


class Tells(Protocol):
    def generate(
        self, prompt: Prompt, callback: Callback | None = None, **options: Unpack[GenerateOptions]
    ) -> Generation: ...
    def stream(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> TextStream: ...
    async def agenerate(
        self, prompt: Prompt, callback: AsyncCallback | None = None, **options: Unpack[GenerateOptions]
    ) -> Generation: ...
    def astream(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> AsyncTextStream: ...


class Shouts:
    """A wrapper, which extends nothing."""

    def __init__(self, inner: Writes) -> None:
        self.inner = inner

    def generate(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> Generation:
        options.setdefault("temperature", 0)
        return self.inner.generate(prompt, **options)


def writes(client: Writes) -> str:
    client.generate("hi", max_token=5)  # type: ignore[call-arg]
    return client.generate([user("hi")], max_tokens=5).text


def wrapping(text: StreamingClient, tensors: InferenceClient, http: HttpInferenceClient) -> None:
    tells: Tells = text
    for client in (text, tensors, http, Shouts(text), tells):
        writes(client)
    writes(ServerClient())  # type: ignore[arg-type]
    lacks: Tells = http  # type: ignore[assignment]
    assert_type(lacks.stream("hi"), TextStream)
