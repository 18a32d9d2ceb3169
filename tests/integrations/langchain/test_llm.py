"""`NupicLLM` and `NupicEmbeddings`."""

from __future__ import annotations

import asyncio
import gc
import pickle

import pytest
from needed import need

need("langchain")

import grpc
import numpy as np
from inference.tensor_server import RefusedError, TensorServer, signature
from integrations.langchain.servers import MODEL, OTHER, serve
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelConnectionError, ModelInvalidRequestError
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import ValidationError

from nupic_client import ConfigurationError, InferenceError, RequestError
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import decode_bytes_tensor
from nupic_client.integrations.langchain import NupicEmbeddings, NupicLLM
from nupic_client.integrations.langchain.errors import langchain_error
from nupic_client.testing import fail, silence


@pytest.fixture
def server():
    with serve(lambda request: ["You said: ", request.prompt]) as server:
        yield server


def llm(server, **fields):
    return NupicLLM(model="smollm2", url=server.url, **fields)


class TestTexts:
    def test_a_prompt_is_sent_as_it_is(self, server):
        assert llm(server).invoke("Once upon") == "You said: Once upon"
        assert server.requests[0].prompt == "Once upon"
        assert asyncio.run(llm(server).ainvoke("Once upon")) == "You said: Once upon"

    def test_many_prompts(self, server):
        model = llm(server, concurrency=2)
        expected = [f"You said: {n}" for n in range(5)]
        assert model.batch([str(n) for n in range(5)]) == expected
        assert asyncio.run(model.abatch([str(n) for n in range(5)])) == expected

    def test_it_streams(self, server):
        class Tokens(BaseCallbackHandler):
            def __init__(self):
                self.tokens = []

            def on_llm_new_token(self, token, **_):
                self.tokens.append(token)

        async def read():
            return [text async for text in llm(server).astream("Hi", config={"callbacks": [tokens]})]

        tokens = Tokens()
        assert list(llm(server).stream("Hi", config={"callbacks": [tokens]})) == ["You said: ", "Hi", ""]
        assert asyncio.run(read()) == ["You said: ", "Hi", ""]
        assert tokens.tokens == ["You said: ", "Hi", ""] * 2

    def test_the_facts(self, server):
        facts = llm(server).generate(["Hi"]).generations[0][0].generation_info
        assert facts["model_name"] == MODEL
        assert facts["finish_reason"] == "stop"
        assert facts["usage_metadata"]["total_tokens"] > 0

    def test_options_and_another_model(self, server):
        model = llm(server, max_tokens=5, stop=["x"])
        model.invoke("Hi", model=OTHER, max_tokens=6, stop=["Hi"])
        (request,) = server.requests
        assert (request.model, request.inputs["max_tokens"]) == (OTHER, 6)
        params = model._get_ls_params(stop=["y"])
        assert (params["ls_provider"], params["ls_model_name"], params["ls_max_tokens"]) == (
            "nupic",
            "smollm2",
            5,
        )
        with pytest.raises(ValidationError, match="max_tokens"):
            llm(server, max_tokens=0)

    def test_a_cache(self, server):
        cache = InMemoryCache()
        for fields in ({}, {"stop": ["x"]}, {"model": OTHER}):
            model = NupicLLM(**{"model": "smollm2", "url": server.url, "cache": cache, **fields})
            model.invoke("Hi")
            model.invoke("Hi")
        assert len(server.requests) == 3

    def test_leaving(self, server):
        server.reply = ["Once", silence()]
        for text in llm(server).stream("Hi"):
            if text == "Once":
                break
        gc.collect()
        server.wait_for_cancellation()

        async def read():
            async for _ in llm(server).astream("Hi"):
                break
            await asyncio.to_thread(server.wait_for_cancellation, 2)

        asyncio.run(read())

    def test_errors(self, server):
        server.reply = ["Once", fail("out of memory")]
        model = llm(server)
        with pytest.raises(RequestError) as raised:
            model.invoke("Hi")
        assert raised.value.partial_text == "Once"
        with pytest.raises(RequestError):
            list(model.stream("Hi"))
        with pytest.raises(RequestError):
            asyncio.run(model.ainvoke("Hi"))

    def test_tokens_are_not_guessed(self, server):
        class Words:
            def encode(self, text):
                return text.split()

        with pytest.raises(ConfigurationError, match="tokenizer"):
            llm(server).get_num_tokens("one two")
        assert llm(server, client_options={"tokenizer": Words()}).get_num_tokens("one two") == 2

    def test_pickle(self, server):
        model = llm(server)
        model.invoke("Hi")
        assert pickle.loads(pickle.dumps(model)).invoke("Hi") == "You said: Hi"


def test_an_error_of_no_class_of_langchains_stays():
    error = RequestError("no")
    assert langchain_error(error) is error
    assert isinstance(langchain_error(InferenceError("no")), InferenceError)


class TestVectors:
    @pytest.fixture
    def vectors(self):
        """A server with a model whose vectors are the lengths of texts."""

        def answer(request):
            lengths = np.array(
                [[len(item), 1] for item in decode_bytes_tensor(request.raw_input_contents[0])], np.float32
            )
            if 0 in lengths:
                raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "an empty text")
            response = wire.pb.ModelInferResponse(
                model_name=request.model_name, model_version="1", id=request.id
            )
            for name in ("vectors", "others"):
                response.outputs.add(name=name, datatype="FP32", shape=lengths.shape)
                response.raw_output_contents.append(lengths.tobytes())
            return response

        outputs = {"vectors": ("FP32", (2,)), "others": ("FP32", (2,))}
        with TensorServer(
            signature("e", {"text": ("BYTES", (1,))}, outputs, max_batch_size=8), answer=answer
        ) as server:
            yield server

    def test_lists_of_floats(self, vectors):
        model = NupicEmbeddings(model="e", url=vectors.url, output="vectors", batch_size=2)
        expected = [[float(n), 1.0] for n in range(1, 6)]
        texts = ["a" * n for n in range(1, 6)]
        assert model.embed_documents(texts) == asyncio.run(model.aembed_documents(texts)) == expected
        assert model.embed_query("abc") == asyncio.run(model.aembed_query("abc")) == [3.0, 1.0]
        assert model.embed_documents([]) == asyncio.run(model.aembed_documents([])) == []
        assert vectors.count == 8

    def test_errors(self, vectors):
        model = NupicEmbeddings(model="e", url=vectors.url, output="vectors", max_retries=0, timeout=20)
        with pytest.raises(ModelInvalidRequestError, match="an empty text"):
            model.embed_query("")
        with pytest.raises(ModelInvalidRequestError, match="an empty text"):
            asyncio.run(model.aembed_query(""))
        with pytest.raises(ModelConnectionError):
            NupicEmbeddings(model="e", url="127.0.0.1:1", timeout=5).embed_query("x")
        with pytest.raises(ValidationError, match="batch_size"):
            NupicEmbeddings(model="e", batch_size=0)
        with pytest.raises(ValidationError, match="url"):
            NupicEmbeddings(model="e", url="http://x")

    def test_in_a_vector_store(self, vectors):
        store = InMemoryVectorStore(NupicEmbeddings(model="e", url=vectors.url, output="vectors"))
        store.add_texts(["a", "bb", "a much longer text"])
        assert store.similarity_search("cc", k=1)[0].page_content == "bb"

    def test_pickle(self, vectors):
        model = NupicEmbeddings(model="e", url=vectors.url, output="vectors")
        model.embed_query("x")
        assert pickle.loads(pickle.dumps(model)).embed_query("x") == [1.0, 1.0]
        model.close()
