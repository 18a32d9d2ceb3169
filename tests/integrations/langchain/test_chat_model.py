"""`ChatNupic` beyond LangChain's own tests: leaving, errors, facts, caches, copies, many at once."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import threading
import weakref

import pytest
from needed import need

need("langchain")

from integrations.langchain.servers import MODEL, OTHER, chat, serve
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelConnectionError,
    ModelInvalidRequestError,
    ModelTimeoutError,
)
from langchain_core.load import dumps
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import InMemoryRateLimiter
from pydantic import ValidationError

import nupic_client
from nupic_client import PromptFormatter, RequestError, Timeouts
from nupic_client.integrations.langchain import ChatNupic, NupicEmbeddings, NupicLLM
from nupic_client.testing import FakeTriton, fail, silence, sleep, text_signature

ENDLESS = ["Once", " upon", silence()]
DEAD = "127.0.0.1:1"


@pytest.fixture
def server():
    with serve() as server:
        yield server


class TestLeaving:
    """Whoever leaves a chain cancels its generation on the server."""

    @pytest.fixture
    def chain(self, server):
        server.reply = ENDLESS
        return ChatPromptTemplate.from_messages([("human", "{question}")]) | chat(server)

    def test_the_end_of_a_loop(self, server, chain):
        for chunk in chain.stream({"question": "Who?"}):
            if chunk.text == " upon":
                break
        gc.collect()
        server.wait_for_cancellation()

    def test_close(self, server, chain):
        chunks = chain.stream({"question": "Who?"})
        assert next(chunks).text == "Once"
        chunks.close()
        server.wait_for_cancellation()

    def test_langchain_reads_to_the_end_where_a_parser_follows(self, server, chain):
        """Not what anybody wants, but LangChain's own doing, and only in sync chains; the documentation says it."""
        server.reply = ["Once", " upon", " a", " time"]
        chunks = (chain | StrOutputParser()).stream({"question": "Who?"})
        assert next(chunks) == "Once"
        chunks.close()
        assert not server.cancellations

    def test_close_while_a_callback_keeps_the_error(self, server):
        class Keeper(BaseCallbackHandler):
            def on_llm_error(self, error, **_):
                self.error = error

        server.reply = ENDLESS
        keeper = Keeper()
        chunks = chat(server).stream("Who?", config={"callbacks": [keeper]})
        next(chunks)
        chunks.close()
        server.wait_for_cancellation()
        assert isinstance(keeper.error, GeneratorExit)

    async def test_the_end_of_an_async_loop(self, server, chain):
        async for text in (chain | StrOutputParser()).astream({"question": "Who?"}):
            if text == " upon":
                break
        await asyncio.to_thread(server.wait_for_cancellation)

    async def test_aclose(self, server, chain):
        chunks = (chain | StrOutputParser()).astream({"question": "Who?"})
        assert await anext(chunks) == "Once"
        await chunks.aclose()
        await asyncio.to_thread(server.wait_for_cancellation)

    @pytest.mark.parametrize("how", ["ainvoke", "astream", "abatch"])
    async def test_cancelling_the_task(self, server, chain, how):
        async def run():
            if how == "astream":
                return [text async for text in chain.astream({"question": "Who?"})]
            question = {"question": "Who?"}
            return await getattr(chain, how)([question] if how == "abatch" else question)

        task = asyncio.create_task(run())
        await asyncio.to_thread(server.wait_for_requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_for_cancellation)

    async def test_nothing_runs_in_threads(self, server, monkeypatch):
        async def refused(*_):
            raise AssertionError("a thread")

        monkeypatch.setattr("langchain_core.language_models.chat_models.run_in_executor", refused)
        monkeypatch.setattr("langchain_core.language_models.llms.run_in_executor", refused)
        assert (await chat(server).ainvoke("Hi")).text == "You said: Hi"
        assert [chunk async for chunk in chat(server).astream("Hi")]
        model = NupicLLM(model="smollm2", url=server.url)
        assert await model.ainvoke("Hi") == "You said: Hi"
        assert "".join([text async for text in model.astream("Hi")]) == "You said: Hi"

    def test_break_as_the_last_thing_in_a_loop(self, server):
        server.reply = ENDLESS

        async def main():
            async for _ in chat(server).astream("Hi"):
                break

        asyncio.run(main())
        server.wait_for_cancellation(timeout=30)


class TestErrors:
    def test_an_error_has_the_text_so_far(self, server):
        server.reply = ["Once", " upon", fail("out of memory")]
        for run in (chat(server).invoke, lambda prompt: list(chat(server).stream(prompt))):
            with pytest.raises(RequestError, match="out of memory") as raised:
                run("Who?")
            assert raised.value.partial_text == "Once upon"

    async def test_an_error_of_an_async_call_too(self, server):
        server.reply = ["Once", " upon", fail("out of memory")]
        model = chat(server)
        with pytest.raises(RequestError) as raised:
            await model.ainvoke("Who?")
        assert raised.value.partial_text == "Once upon"
        seen = []
        with pytest.raises(RequestError) as raised:
            async for chunk in model.astream("Who?"):
                seen += [chunk.text]
        assert (seen, raised.value.partial_text) == (["Once", " upon"], "Once upon")

    def test_an_error_is_also_langchains(self, server):
        server.reply = ["Once", silence()]
        with pytest.raises(ModelTimeoutError) as raised:
            chat(server, timeout=Timeouts(between_tokens=0.2)).invoke("Who?")
        error = raised.value
        assert isinstance(error, nupic_client.DeadlineExceededError)
        assert (error.partial_text, error.deadline, error.is_retryable) == ("Once", "between_tokens", False)
        copied = pickle.loads(pickle.dumps(error))
        assert type(copied) is type(error)
        assert (str(copied), copied.partial_text) == (str(error), "Once")

    def test_the_timeout_of_a_call(self, server):
        server.reply = ENDLESS
        with pytest.raises(TimeoutError):
            chat(server).invoke("Who?", timeout=3)
        server.wait_for_cancellation()

    def test_a_server_that_is_not_there(self):
        model = ChatNupic(model="smollm2", url=DEAD, max_retries=0)
        with pytest.raises(ModelConnectionError) as raised:
            model.invoke("Hi")
        assert raised.value.is_retryable

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("This model's maximum context length is 2048 tokens", ContextOverflowError),
            ("unexpected inference input 'x' for model 'y'", ModelInvalidRequestError),
        ],
    )
    def test_a_request_that_is_refused(self, server, text, kind):
        server.reply = [fail(text)]
        with pytest.raises(kind) as raised:
            chat(server).invoke("Hi")
        assert isinstance(raised.value, nupic_client.RequestRejectedError)

    def test_an_option_that_does_not_exist(self, server):
        with pytest.raises(TypeError, match="max_token"):
            chat(server).invoke("Hi", max_token=5)
        with pytest.raises(ValidationError, match="max_token"):
            chat(server, max_token=5)
        with pytest.raises(ValidationError, match="temperature"):
            chat(server, temperature=-1)
        with pytest.raises(ValidationError, match="url"):
            ChatNupic(model="smollm2", url="http://x")
        with pytest.raises(ValidationError, match="max_token"):
            NupicLLM(model="smollm2", max_token=5)

    def test_with_fallbacks(self, server):
        model = ChatNupic(model="smollm2", url=DEAD, max_retries=0).with_fallbacks([chat(server)])
        assert model.invoke("Hi").text == "You said: Hi"
        assert "".join(chunk.text for chunk in model.stream("Hi")) == "You said: Hi"

    def test_with_retry(self, server):
        replies = iter([[fail("busy")], ["Hello"]])
        server.reply = lambda request: next(replies)
        model = chat(server, max_retries=0).with_retry(
            retry_if_exception_type=(RequestError,), wait_exponential_jitter=False
        )
        assert model.invoke("Hi").text == "Hello"


class TestFacts:
    def test_of_an_answer(self, server):
        facts = chat(server).invoke("Hi").response_metadata
        assert facts["model_name"] == MODEL
        assert facts["model_provider"] == "nupic"
        assert facts["finish_reason"] == "stop"
        assert facts["endpoint"] == server.url
        assert facts["attempts"] == 1
        assert facts["request_id"] == server.requests[0].request_id
        assert 0 < facts["time_to_first_token"] <= facts["total_time"]

    def test_a_rate_where_the_answer_has_one(self, server):
        server.reply = ["a", sleep(0.05)] * 4
        answers = (
            chat(server).invoke("Hi").response_metadata for _ in range(20)
        )  # on a busy machine some have none
        assert next(facts["tokens_per_second"] for facts in answers if "tokens_per_second" in facts) < 21

    def test_one_chunk_has_them(self, server):
        chunks = list(chat(server).stream("Hi you"))
        assert [bool(chunk.response_metadata) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
        assert chunks[-1].usage_metadata["total_tokens"] > 0
        assert [chunk.text for chunk in chunks] == ["You", " said:", " Hi", " you", ""]

    def test_the_usage_callback(self, server):
        model = chat(server)
        with get_usage_metadata_callback() as usage:
            model.invoke("Hi")
            list(model.stream("Hi"))
            asyncio.run(model.ainvoke("Hi"))
        one = model.invoke("Hi").usage_metadata
        assert usage.usage_metadata[MODEL]["total_tokens"] == 3 * one["total_tokens"]

    def test_usage_that_is_not_known_is_none(self):
        plain = text_signature(MODEL, options=["max_tokens"])
        with FakeTriton(["Hello"], models=[plain]) as server:
            model = chat(server)
            assert model.invoke("Hi").usage_metadata is None
            full = sum(list(model.stream("Hi"))[1:], next(iter(model.stream("Hi"))))
            assert full.usage_metadata is None
            assert "tokens_per_second" not in full.response_metadata

    def test_what_the_server_gets(self, server):
        model = chat(server, max_tokens=7, temperature=0.5, stop=["x"], seed=3)
        model.invoke("Hi", max_tokens=9)
        inputs = server.requests[0].inputs
        assert (inputs["max_tokens"], inputs["temperature"], inputs["seed"]) == (
            9,
            pytest.approx(0.5),
            3,
        )

    def test_bind_stop(self, server):
        server.reply = ["one", " two", " three"]
        model = chat(server, stop=["one"])
        assert model.invoke("Hi").text == ""
        assert model.bind(stop=[" three"]).invoke("Hi").text == "one two"
        assert "".join(chunk.text for chunk in model.bind(stop=[" two"]).stream("Hi")) == "one"

    def test_parameters_for_traces(self, server):
        model = chat(server, temperature=0.5, max_tokens=7, stop="x", token="secret")
        params = model._get_ls_params(stop=None, model=OTHER)
        assert params == {
            "ls_provider": "nupic",
            "ls_model_name": OTHER,
            "ls_model_type": "chat",
            "ls_temperature": 0.5,
            "ls_max_tokens": 7,
            "ls_stop": ["x"],
        }
        assert "secret" not in f"{model!r}{model.asdict()}{model._serialized}"

    def test_secrets_among_the_further_arguments(self, server):
        """Tracers get what LangChain writes of a model."""
        told = []

        class Recorder(BaseCallbackHandler):
            def on_chat_model_start(self, serialized, messages, **kwargs):
                told.append(f"{serialized}{kwargs}")

        options = {"metadata": {"x-key": "secret"}, "balancing": "sticky"}
        model = chat(server, client_options=options)
        model.invoke("Hi", config={"callbacks": [Recorder()]})
        assert server.metadata[-1]["x-key"] == "secret"
        written = (
            f"{model!r}{model.model_dump()}{model.model_dump_json()}{dumps(model)}{model.bind(stop=['x'])!r}"
        )
        assert "secret" not in f"{written}{told}"
        assert len(told) == 1
        assert model.model_dump()["client_options"] == {"balancing": "sticky"}
        assert pickle.loads(pickle.dumps(model)).client_options == options

    @pytest.mark.parametrize("kind", [ChatNupic, NupicLLM, NupicEmbeddings])
    def test_the_error_of_a_wrong_field_has_no_secrets(self, kind):
        for wrong in ({"url": "http://a:1"}, {"nonsense": 1}, {"timeout": "x"}):
            with pytest.raises(ValidationError) as raised:
                kind(**{"api_key": "secret", "model": "smollm2", "url": "a:1", **wrong})
            assert "secret" not in f"{raised.value}"
            assert min(wrong) in f"{raised.value}"

    def test_the_profile(self, server):
        profile = chat(server).profile
        assert profile["tool_calling"]
        assert profile["tool_call_streaming"]
        assert profile["structured_output"]
        assert profile["max_input_tokens"] == 2048
        assert not profile["image_inputs"]
        assert chat(server, formatter="qwen2-vl").profile["image_inputs"]
        assert not ChatNupic(model="unknown", url=server.url).profile["tool_calling"]
        assert chat(server, formatter="qwen3").profile["reasoning_output"]


class TestCaches:
    def test_what_changes_an_answer_is_in_the_key(self, server):
        with serve() as elsewhere:
            cache = InMemoryCache()
            own = PromptFormatter.from_jinja("{{ messages[0].content }}")
            other = PromptFormatter.from_jinja("{{ messages[0].content }}!")
            models = [
                chat(server, cache=cache),
                chat(elsewhere, cache=cache),
                chat(server, cache=cache, model=OTHER),
                chat(server, cache=cache, formatter="zephyr"),
                chat(server, cache=cache, formatter=own),
                chat(server, cache=cache, formatter=other),
                chat(server, cache=cache, stop=["x"]),
                chat(server, cache=cache, max_tokens=3),
                chat(server, cache=cache, template_variables={}, backend_inputs={}),
            ]
            for model in models:
                model.invoke("Hi")
                model.invoke("Hi", stop=["y"])
            assert len(server.requests) + len(elsewhere.requests) == 2 * len(models)
            for model in models:
                assert model.invoke("Hi").text
            assert len(server.requests) + len(elsewhere.requests) == 2 * len(models)

    def test_the_token_is_not(self, server):
        cache = InMemoryCache()
        chat(server, cache=cache, token="one").invoke("Hi")
        chat(server, cache=cache, token="two", client_options={"metadata": {"x": "y"}}).invoke("Hi")
        assert len(server.requests) == 1

    def test_the_rate_limiter_is_asked(self, server):
        class Limiter(InMemoryRateLimiter):
            asked = 0

            def acquire(self, *, blocking=True):
                self.asked += 1
                return True

        limiter = Limiter()
        model = chat(server, rate_limiter=limiter)
        model.invoke("Hi")
        list(model.stream("Hi"))
        assert limiter.asked == 2


class TestCopies:
    def test_pickle(self, server):
        model = chat(server, temperature=0.5, token="secret")
        model.invoke("Hi")
        copied = pickle.loads(pickle.dumps(model))
        assert copied.invoke("Hi").text == "You said: Hi"
        assert copied._identifying_params == model._identifying_params
        assert copy.deepcopy(model).invoke("Hi").text == "You said: Hi"

    def test_a_field_that_is_set_later_counts(self, server):
        model = chat(server)
        model.invoke("Hi")
        with serve(["elsewhere"]) as other:
            assert model.model_copy(update={"url": other.url}).invoke("Hi").text == "elsewhere"
            model.url = other.url
            assert model.invoke("Hi").text == "elsewhere"

    def test_close(self, server):
        model = chat(server)
        model.invoke("Hi")
        model.close()
        assert model.invoke("Hi").text == "You said: Hi"
        asyncio.run(model.aclose())
        assert model.invoke("Hi").text == "You said: Hi"

    def test_two_event_loops(self, server):
        model = chat(server)
        for _ in range(2):
            assert asyncio.run(model.ainvoke("Hi")).text == "You said: Hi"

    def test_the_url_and_the_token_of_the_environment(self, server, monkeypatch):
        monkeypatch.setenv("NUPIC_URL", server.url)
        monkeypatch.setenv("NUPIC_TOKEN", "secret")
        server.bearer_tokens = ["secret"]
        assert ChatNupic(model="smollm2").invoke("Hi").text == "You said: Hi"

    def test_a_token_that_is_renewed_goes_before_the_one_of_the_environment(self, server, monkeypatch):
        monkeypatch.setenv("NUPIC_TOKEN", "old")
        server.bearer_tokens = ["new"]
        model = chat(server, client_options={"bearer_token": lambda: "new"})
        assert model.invoke("Hi").text == "You said: Hi"

    def test_names_that_others_use(self, server):
        model = ChatNupic(
            model_name="smollm2", base_url=server.url, api_key="x", request_timeout=5, stop_sequences=["y"]
        )
        assert (model.model, model.url, model.timeout, model.stop) == ("smollm2", server.url, 5, ["y"])


class TestMany:
    def test_a_batch_is_that_many_streams_at_the_same_time(self, server):
        server.reply = ["Hi", silence()]
        model = chat(server)
        results = []
        prompts = [f"{n}" for n in range(50)]
        config = {"max_concurrency": 50}
        thread = threading.Thread(
            target=lambda: results.extend(model.batch(prompts, config=config, return_exceptions=True))
        )
        thread.start()
        try:
            server.wait_for_requests(50, timeout=60)
        finally:
            model.close()
            thread.join(60)
        assert len(results) == 50
        assert {type(result).__name__ for result in results} <= {"StreamClosedError", "ConnectionFailedError"}
        assert server.calls.count("ModelStreamInfer") == 50

    async def test_an_async_batch(self, server):
        waiting = ["Hi", silence()]
        server.reply = waiting
        task = asyncio.create_task(chat(server).abatch([f"{n}" for n in range(50)]))
        await asyncio.to_thread(server.wait_for_requests, 50, timeout=30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_for_cancellation, 50, timeout=30)

    def test_they_use_one_connection(self, server):
        model = chat(server)
        model.batch(["a", "b", "c"])
        model.invoke("d", model=OTHER)
        assert len(model._clients.take()) == 2  # one for each model

    def test_other_deadlines_need_no_other_connection(self, server):
        model = chat(server, timeout=60)
        for seconds in (5, 5.5, Timeouts(total=6)):
            model.model_copy(update={"timeout": seconds, "max_retries": 1}).invoke("a")
            model.timeout = seconds
            model.invoke("b")
        assert len(model._clients.take()) == 1

    def test_fields_that_change_all_the_time_leave_no_connections(self, server):
        model = chat(server)
        clients = []
        for number in range(40):
            model.client_options = {"metadata": {"x-number": f"{number}"}}
            model.invoke("Hi")
            assert server.metadata[-1]["x-number"] == f"{number}"
            clients.append(weakref.ref(model._connect()))
        gc.collect()
        assert [client() is None for client in clients] == [True] * 24 + [False] * 16

    def test_a_call_goes_on_when_its_client_is_no_longer_kept(self, server):
        server.reply = lambda request: ["one", sleep(0.01), " two"]
        model = chat(server)
        chunks = model.stream("Hi")
        text = next(chunks).text
        for number in range(20):
            model.client_options = {"metadata": {"x-number": f"{number}"}}
            model._connect()
        gc.collect()
        assert text + "".join(chunk.text for chunk in chunks) == "one two"


PAIRS = [
    (ChatNupic, "_generate", "_agenerate"),
    (ChatNupic, "_stream", "_astream"),
    (ChatNupic, "close", "aclose"),
    (NupicLLM, "_generate", "_agenerate"),
    (NupicLLM, "_stream", "_astream"),
    (NupicLLM, "close", "aclose"),
    (NupicEmbeddings, "embed_documents", "aembed_documents"),
    (NupicEmbeddings, "embed_query", "aembed_query"),
    (NupicEmbeddings, "close", "aclose"),
]


@pytest.mark.parametrize(("kind", "sync", "flavour"), PAIRS)
def test_sync_and_async_have_the_same_parameters(kind, sync, flavour):
    one, other = (getattr(kind, name) for name in (sync, flavour))
    assert [(each.name, each.kind, each.default) for each in inspect.signature(one).parameters.values()] == [
        (each.name, each.kind, each.default) for each in inspect.signature(other).parameters.values()
    ]
    assert inspect.iscoroutinefunction(other) or inspect.isasyncgenfunction(other)
    assert other.__module__.startswith("nupic_client")
