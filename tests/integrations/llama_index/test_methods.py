"""`NupicLLM`: all eight methods answer alike, say what it cost, and stop the server when they are left."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import copy
import gc
import inspect
import json
import pickle
import threading

import pytest
from needed import need

need("llama_index")

from backends.signatures import VLLM
from integrations.llama_index.conftest import make_llm, models
from integrations.llama_index.flavours import CHATS, COMPLETIONS, METHODS, STREAMS, ask, sync_twin
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts import PromptTemplate

from nupic_client import (
    ConfigurationError,
    ConnectionFailedError,
    InferenceError,
    RequestRejectedError,
    StreamingClient,
    Timeouts,
)
from nupic_client.integrations.llama_index import NupicLLM
from nupic_client.integrations.llama_index.streams import Responses
from nupic_client.local.engine import Chunk
from nupic_client.prompts import formatter_for
from nupic_client.testing import (
    FakeTriton,
    Reply,
    ServedModel,
    abort,
    competent_model,
    fail,
    silence,
    text_signature,
)

ANSWER = "You said: Hello!"


def text_of(response):
    return response.message.content if hasattr(response, "message") else response.text


def test_it_is_an_llm_of_llama_index():
    assert {BaseLLM, FunctionCallingLLM} < {*NupicLLM.__mro__}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_answers(llm, method):
    *_, last = ask(llm, method, "Hello!")
    assert text_of(last) == str(last).removeprefix("assistant: ") == ANSWER


@pytest.mark.parametrize("method", METHODS)
def test_every_method_counts_tokens(llm, method):
    *before, last = ask(llm, method, "Hello!")
    counts = last.raw["usage"]
    assert counts == last.additional_kwargs
    assert counts["total_tokens"] == counts["prompt_tokens"] + counts["completion_tokens"] > 3
    assert all(response.raw["usage"] is None for response in before)


@pytest.mark.parametrize("method", METHODS)
def test_raw_has_the_same_keys_in_every_response(llm, method):
    responses = ask(llm, method, "Hello!")
    expected = ask(llm, "chat", "Hello!")[0].raw
    assert all(list(response.raw) == list(expected) for response in responses)
    last = responses[-1].raw
    different = {"request_id", "timing", "usage"}
    assert {name: last[name] for name in last if name not in different} == {
        name: expected[name] for name in expected if name not in different
    }
    assert last["timing"]["total"] > 0
    assert last["finish_reason"] == "stop"
    assert last["model"] == "qwen3"


@pytest.mark.parametrize("method", STREAMS)
def test_a_stream_has_new_text_and_the_text_so_far(llm, method):
    responses = ask(llm, method, "Hello!")
    so_far = ""
    for response in responses:
        so_far += response.delta
        assert text_of(response) == so_far
    assert so_far == ANSWER
    assert len(responses) > 3


@pytest.mark.parametrize("method", METHODS)
def test_an_answer_may_be_empty(method):
    with FakeTriton([], models=models()) as server:
        (response,) = ask(make_llm(server.url), method, "Hello!")
    assert text_of(response) == ""


@pytest.mark.parametrize("method", METHODS)
def test_unknown_counts_are_left_out(method):
    plain = text_signature("qwen3", options=["max_tokens"])
    with FakeTriton(["Hi"], models=[plain]) as server:
        *_, last = ask(make_llm(server.url), method, "Hello!")
    assert last.raw["usage"] is None
    assert last.additional_kwargs == {}


@pytest.mark.parametrize("method", METHODS)
def test_options_of_the_object_and_of_a_call_reach_the_server(server, method):
    llm = make_llm(server.url, temperature=0.25, max_tokens=50, top_p=0.5, stop=["END"])
    llm.temperature = 0.75  # fields may be set later
    ask(llm, method, "Hello!", max_tokens=20, seed=7)
    (request,) = server.requests
    sent = {name: request.inputs.get(name) for name in ("temperature", "max_tokens", "top_p", "seed")}
    assert sent == {"temperature": 0.75, "max_tokens": 20, "top_p": 0.5, "seed": 7}
    assert "END" in request.inputs["stop"]


@pytest.mark.parametrize("method", METHODS)
def test_an_option_that_does_not_exist_is_an_error(llm, method):
    with pytest.raises(TypeError, match="maxtokens"):
        ask(llm, method, "Hello!", maxtokens=3)


@pytest.mark.parametrize("method", COMPLETIONS)
def test_a_completion_is_said_by_the_user(llm, server, method):
    ask(llm, method, "Hello!")
    assert "<|im_start|>user\nHello!<|im_end|>" in server.requests[0].prompt


@pytest.mark.parametrize("method", COMPLETIONS)
def test_a_prompt_that_has_its_form_is_sent_unchanged(llm, server, method):
    ask(llm, method, "Hello!", formatted=True)
    assert server.requests[0].prompt == "Hello!"


@pytest.mark.parametrize("method", COMPLETIONS)
def test_a_prompt_may_get_a_form_of_your_own(server, method):
    llm = make_llm(server.url, completion_to_prompt=lambda prompt: f"### {prompt}")
    ask(llm, method, "Hello!")
    assert server.requests[0].prompt == "### Hello!"


@pytest.mark.parametrize("method", COMPLETIONS)
def test_a_model_whose_prompts_are_not_known_completes_texts(method):
    with FakeTriton(models=[text_signature("unknown")]) as server:
        llm = NupicLLM("unknown", server.url)
        assert not llm.metadata.is_chat_model
        assert not llm.metadata.is_function_calling_model
        ask(llm, method, "Once")
        assert server.requests[0].prompt == "Once"


def test_predict_and_stream_use_the_chat_of_the_model(llm):
    prompt = PromptTemplate("Hello {name}!")
    assert llm.predict(prompt, name="Ann") == "You said: Hello Ann!"
    assert "".join(llm.stream(prompt, name="Ann")) == "You said: Hello Ann!"

    async def same():
        assert await llm.apredict(prompt, name="Ann") == "You said: Hello Ann!"
        assert (
            "".join([text async for text in await llm.astream(prompt, name="Ann")]) == "You said: Hello Ann!"
        )

    asyncio.run(same())


@pytest.mark.parametrize("method", METHODS)
def test_reasoning_is_apart_from_the_text(method):
    with FakeTriton(competent_model("qwen3", reasoning=True), models=models()) as server:
        responses = ask(make_llm(server.url), method, "Hello!")
    thought = "I look at what the user wants."
    last = responses[-1]
    assert text_of(last) == ANSWER
    assert last.raw["reasoning"] == thought
    if method in CHATS:
        assert [block.block_type for block in last.message.blocks] == ["thinking", "text"]
        assert last.message.blocks[0].content == thought
    if method in STREAMS:
        assert "".join(each.additional_kwargs.get("thinking_delta", "") for each in responses) == thought


class Sure:
    """A model of vLLM that says how sure it is."""

    def generate(self, request, cancelled):
        likely = {
            "15": {"logprob": -1.5, "rank": 2, "decoded_token": "Hello"},
            "7": {"logprob": -0.5, "rank": 1, "decoded_token": "Hi"},
        }
        yield Chunk(outputs={"text_output": ["Hello"], "logprobs": [json.dumps([likely])]}, final=True)


@pytest.mark.parametrize("method", METHODS)
def test_the_likeliest_tokens_are_told(method):
    with FakeTriton(models=[ServedModel("vllm_model", VLLM, Sure())]) as server:
        llm = NupicLLM("vllm_model", server.url, formatter="qwen3", logprobs=2)
        *_, last = ask(llm, method, "Hello!")
    assert [[(each.token, each.logprob) for each in place] for place in last.logprobs] == [
        [("Hi", -0.5), ("Hello", -1.5)]
    ]
    assert bytes(last.logprobs[0][0].bytes) == b"Hi"


@pytest.mark.parametrize("method", STREAMS)
def test_leaving_a_stream_stops_the_server(method):
    with FakeTriton(Reply(["One", " two", silence()]), models=models()) as server:
        llm = make_llm(server.url)

        async def leave_async():
            async with contextlib.aclosing(await getattr(llm, method)(asked)) as responses:
                async for response in responses:
                    if response.delta == " two":
                        break

        asked = [ChatMessage("Count")] if method in CHATS else "Count"
        if method.startswith("a"):
            asyncio.run(leave_async())
        else:
            for response in getattr(llm, method)(asked):
                if response.delta == " two":
                    break
        assert server.wait_for_cancellation()[0].tokens_sent == 2


@pytest.mark.parametrize("method", ["astream_chat", "astream_complete"])
def test_a_stream_that_is_left_and_not_closed_stops_the_server(method):
    with FakeTriton(Reply(["One", " two", silence()]), models=models()) as server:
        llm = make_llm(server.url)

        async def leave():
            async for _ in await getattr(llm, method)([ChatMessage("Count")] if method in CHATS else "Count"):
                break
            await asyncio.to_thread(server.wait_for_cancellation)

        asyncio.run(leave())


def test_responses_are_closed_with_their_stream(llm, server):
    server.reply = Reply(["One", silence()])

    async def close():
        stream = llm.client.astream("Count")
        responses = Responses(stream, stream.events(), lambda event: event.text)
        assert await anext(responses) == "One"
        await responses.aclose()
        assert stream.closed
        with pytest.raises(ZeroDivisionError):
            await responses.athrow(ZeroDivisionError())
        await asyncio.to_thread(server.wait_for_cancellation)

    asyncio.run(close())


@pytest.mark.parametrize("method", STREAMS)
def test_a_stream_that_nobody_reads_stops_the_server(method):
    with FakeTriton(Reply(["One", silence()]), models=models()) as server:
        llm = make_llm(server.url)
        asked = [ChatMessage("Count")] if method in CHATS else "Count"

        async def drop_async():
            stream = await getattr(llm, method)(asked)
            await asyncio.to_thread(server.wait_for_requests)
            del stream
            gc.collect()
            await asyncio.to_thread(server.wait_for_cancellation)

        if method.startswith("a"):
            asyncio.run(drop_async())
        else:
            stream = getattr(llm, method)(asked)
            server.wait_for_requests()
            del stream
            gc.collect()
            server.wait_for_cancellation()


@pytest.mark.parametrize("method", ["achat", "acomplete", "astream_chat", "astream_complete"])
def test_cancelling_a_task_stops_the_server(method):
    with FakeTriton(Reply(["One", silence()]), models=models()) as server:
        llm = make_llm(server.url)

        async def work():
            asked = [ChatMessage("Count")] if method in CHATS else "Count"
            found = await getattr(llm, method)(asked)
            async for _ in found:
                pass

        async def cancel():
            task = asyncio.create_task(work())
            await asyncio.to_thread(server.wait_for_requests)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancel())
        server.wait_for_cancellation()


@pytest.mark.parametrize("method", ["achat", "astream_chat", "acomplete", "astream_complete"])
def test_async_methods_let_the_loop_run(method):
    with FakeTriton(competent_model("qwen3"), models=models()) as server:
        llm = make_llm(server.url)
        go_on = threading.Event()

        def reply(request):
            assert go_on.wait(60)
            return ["Hi"]

        server.reply = reply

        async def both():
            asked = [ChatMessage("Hello!")] if method in CHATS else "Hello!"

            async def answer():
                found = await getattr(llm, method)(asked)
                return [each async for each in found] if "stream" in method else [found]

            task = asyncio.create_task(answer())
            await asyncio.to_thread(server.wait_for_requests)
            go_on.set()  # by the loop: a method that blocked it would wait for ever
            return await task

        assert text_of(asyncio.run(both())[-1]) == "Hi"


@pytest.mark.parametrize("method", METHODS)
def test_an_error_has_the_text_that_had_come(method):
    with FakeTriton(["One", " two", fail("out of memory")], models=models()) as server:
        with pytest.raises(InferenceError, match="out of memory") as caught:
            ask(make_llm(server.url), method, "Count")
    assert caught.value.partial_text == "One two"


@pytest.mark.parametrize("method", METHODS)
def test_a_server_that_is_not_there_is_an_error_of_ours(method):
    with FakeTriton() as server:
        url = server.url
    with pytest.raises(ConnectionFailedError):
        ask(make_llm(url, max_retries=0), method, "Hello!")


@pytest.mark.parametrize("method", METHODS)
def test_a_refused_request_is_an_error_of_ours(method):
    with FakeTriton([abort("INVALID_ARGUMENT", "too long")], models=models()) as server:
        with pytest.raises(RequestRejectedError, match="too long"):
            ask(make_llm(server.url), method, "Hello!")


def test_one_object_serves_several_loops_and_threads(llm):
    found = []

    def loop():
        found.append(ask(llm, "achat", "Hello!")[0].message.content)
        found.append(ask(llm, "astream_chat", "Hello!")[-1].message.content)
        found.append(ask(llm, "chat", "Hello!")[0].message.content)

    threads = [threading.Thread(target=loop) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [ANSWER] * 9


@pytest.mark.parametrize("copied", [lambda llm: pickle.loads(pickle.dumps(llm)), copy.deepcopy])
def test_a_copy_has_what_the_object_has(copied):
    with FakeTriton(competent_model("qwen3"), models=models(), bearer_tokens=["secret"]) as server:
        options = {"temperature": 0.5, "timeout": Timeouts(total=50), "bearer_token": "secret"}
        llm = make_llm(server.url, top_k=3, context_window=1000, **options)
        other = copied(llm)
        assert other.client is not llm.client
        assert other.metadata == llm.metadata
        assert other.to_dict() == llm.to_dict()
        assert str(other.complete("Hello!")) == ANSWER
        assert server.requests[0].inputs["top_k"] == 3


def test_an_object_that_cannot_be_copied_whole_is_not_copied():
    llm = NupicLLM("qwen3", "localhost:1", bearer_token=lambda: "secret")
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(llm)


def test_an_object_comes_back_from_its_dict(server):
    llm = make_llm(server.url, temperature=0.5, top_p=0.5, stop=["END"], system_prompt="Be brief.")
    other = NupicLLM.from_json(llm.to_json())
    assert other.to_dict() == llm.to_dict()
    assert other.options == {"top_p": 0.5, "stop": ["END"]}
    assert str(other.complete("Hello!")) == ANSWER


def test_it_may_use_a_client_of_yours(server):
    with StreamingClient("qwen3", server.url, formatter=formatter_for("qwen3"), max_tokens=9) as client:
        llm = NupicLLM(client=client, top_k=2)
        assert (llm.model, llm.url, llm.client) == ("qwen3", server.url, client)
        assert str(llm.complete("Hello!")) == ANSWER
        assert (server.requests[0].inputs["max_tokens"], server.requests[0].inputs["top_k"]) == (9, 2)
        with pytest.raises(ConfigurationError, match="bearer_token must be an option of the client"):
            NupicLLM(client=client, bearer_token="x")


def test_it_may_have_several_servers(server):
    with FakeTriton() as gone:
        url = gone.url
    llm = make_llm([url, server.url])
    assert llm.url == [url, server.url]
    assert ask(llm, "chat", "Hello!")[0].raw["endpoint"] == server.url


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({}, ConfigurationError, "model must be the name of a model"),
        ({"model": "qwen3", "temperature": -1}, ConfigurationError, "temperature"),
        ({"model": "qwen3", "top_p": 3}, ConfigurationError, "top_p"),
        ({"model": "qwen3", "temprature": 1}, TypeError, "temprature"),
        ({"model": "qwen3", "url": "http://x"}, ConfigurationError, "url"),
        ({"model": "qwen3", "context_window": 0}, ValueError, "context_window"),
    ],
)
def test_wrong_arguments_are_refused_at_once(arguments, error, says):
    with pytest.raises(error, match=says):
        NupicLLM(**arguments)


def test_metadata_says_what_the_model_can(server):
    llm = make_llm(server.url, max_tokens=77, context_window=8192)
    found = llm.metadata
    assert (found.model_name, found.num_output, found.context_window) == ("qwen3", 77, 8192)
    assert found.is_chat_model
    assert found.is_function_calling_model
    assert not make_llm(server.url, formatter="vicuna").metadata.is_function_calling_model
    assert not make_llm(server.url, is_function_calling_model=False).metadata.is_function_calling_model


def functions():
    """Return the functions of the classes by name as they are written; LlamaIndex's decorators hide them."""
    classes = [base for base in NupicLLM.__mro__ if base.__module__.startswith("nupic_client")]
    trees = [ast.parse(inspect.cleandoc(f"\n{inspect.getsource(kind)}")) for kind in classes]
    return {
        item.name: item
        for tree in trees
        for item in tree.body[0].body
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


def test_both_flavours_have_the_same_parameters():
    own = functions()
    pairs = [(name, twin) for name in own if (twin := sync_twin(name)) in own and twin != name]
    assert len(pairs) == 7
    for name, sync in pairs:
        assert isinstance(own[name], ast.AsyncFunctionDef)
        assert ast.dump(own[name].args) == ast.dump(own[sync].args), name


def test_every_sync_method_has_an_async_twin():
    own = functions()
    for name in own:
        stem = name.lstrip("_")
        if stem in {"chat", "complete"} or stem.startswith(("stream_", "structured")):
            assert name.replace(stem, f"a{stem}") in own, name
