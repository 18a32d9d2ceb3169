"""`NupicEmbedding`: texts and queries become vectors, one by one and many at once, blocking and not."""

from __future__ import annotations

import asyncio
import copy
import inspect
import math
import pickle

import pytest
from integrations.llama_index.conftest import WIDTH, models
from needed import need

need("llama_index")

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore

from nupic_client import ConfigurationError, InferenceClient, RequestError
from nupic_client.integrations.llama_index import NupicEmbedding
from nupic_client.testing import FakeTriton

TEXTS = [f"text number {number} of many" for number in range(20)]


@pytest.fixture
def embedding(server):
    embedding = NupicEmbedding("words", server.url)
    yield embedding
    embedding.client.close()


def waited(work):
    return asyncio.run(work) if inspect.iscoroutine(work) else work


def awaitable(name):
    return [name, f"a{name}"]


def test_it_is_an_embedding_of_llama_index():
    assert issubclass(NupicEmbedding, BaseEmbedding)


@pytest.mark.parametrize(
    "method",
    [
        *awaitable("get_text_embedding"),
        *awaitable("get_query_embedding"),
        *awaitable("get_general_text_embedding"),
    ],
)
def test_a_text_becomes_a_vector(embedding, method):
    if not hasattr(embedding, method):
        method = method.replace("general_", "")
    vector = waited(getattr(embedding, method)("a text of words"))
    assert len(vector) == WIDTH
    assert all(isinstance(number, float) for number in vector)
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("method", awaitable("get_text_embedding_batch"))
def test_texts_become_vectors_in_their_order(embedding, method):
    vectors = waited(getattr(embedding, method)(TEXTS))
    assert vectors == [embedding.get_text_embedding(text) for text in TEXTS]
    assert waited(getattr(embedding, method)([])) == []


@pytest.mark.parametrize("method", awaitable("get_text_embedding_batch"))
@pytest.mark.parametrize(("size", "requests"), [(1, 20), (8, 3), (10, 4), (50, 3)])
def test_texts_go_several_in_a_request_as_the_model_takes_them(server, method, size, requests):
    embedding = NupicEmbedding("words", server.url, embed_batch_size=size)
    waited(getattr(embedding, method)(TEXTS))
    assert len(server.requests) == requests


@pytest.mark.parametrize("method", awaitable("get_text_embedding_batch"))
def test_workers_give_the_same_vectors(server, method):
    embedding = NupicEmbedding("words", server.url, embed_batch_size=4, num_workers=3)
    assert waited(getattr(embedding, method)(TEXTS)) == [embedding.get_text_embedding(text) for text in TEXTS]


def test_instructions_stand_before_texts_and_queries(server):
    embedding = NupicEmbedding("words", server.url, query_instruction="query: ", text_instruction="passage: ")
    waited(embedding.aget_query_embedding("a"))
    embedding.get_query_embedding("b")
    waited(embedding.aget_text_embedding("c"))
    embedding.get_text_embedding_batch(["d"])
    sent = [request.inputs["text_input"] for request in server.requests]
    assert sent == ["query: a", "query: b", "passage: c", "passage: d"]


@pytest.mark.parametrize("method", awaitable("get_text_embedding_batch"))
def test_an_error_of_the_server_is_one_of_ours(embedding, method):
    with pytest.raises(RequestError, match="a forbidden word"):
        waited(getattr(embedding, method)(["fine", "forbidden"]))


def test_the_output_may_be_named(server):
    assert NupicEmbedding("words", server.url, output="embedding").get_text_embedding("a")
    with pytest.raises(ConfigurationError, match="nothing"):
        NupicEmbedding("words", server.url, output="nothing").get_text_embedding("a")


def test_nodes_get_their_vectors(embedding):
    nodes = [TextNode(text=text) for text in TEXTS[:3]]
    for found in (embedding(nodes), waited(embedding.acall(nodes))):
        assert [node.embedding for node in found] == [
            embedding.get_text_embedding(text) for text in TEXTS[:3]
        ]


def test_vectors_may_be_kept(server):
    embedding = NupicEmbedding("words", server.url, embeddings_cache=SimpleKVStore())
    first = embedding.get_text_embedding_batch(TEXTS[:2])
    assert embedding.get_text_embedding_batch(TEXTS[:2]) == first
    assert len(server.requests) == 1


def test_callbacks_are_told(server):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    embedding = NupicEmbedding("words", server.url, callback_manager=CallbackManager([debug]))
    embedding.get_text_embedding_batch(TEXTS[:2])
    assert len(debug.get_event_pairs(CBEventType.EMBEDDING)) == 1


@pytest.mark.parametrize("copied", [lambda it: pickle.loads(pickle.dumps(it)), copy.deepcopy])
def test_a_copy_has_what_the_object_has(copied):
    with FakeTriton(models=models(), bearer_tokens=["secret"]) as server:
        embedding = NupicEmbedding("words", server.url, bearer_token="secret", query_instruction="q: ")
        other = copied(embedding)
        assert other.client is not embedding.client
        assert other.to_dict() == embedding.to_dict()
        assert other.get_query_embedding("a") == embedding.get_query_embedding("a")


def test_an_object_that_cannot_be_copied_whole_is_not_copied():
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(NupicEmbedding("words", "localhost:1", bearer_token=lambda: "secret"))


def test_it_comes_back_from_its_dict(server):
    embedding = NupicEmbedding("words", server.url, text_instruction="t: ", embed_batch_size=3)
    other = NupicEmbedding.from_dict(embedding.to_dict())
    assert other.to_dict() == embedding.to_dict()
    assert other.get_text_embedding("a") == embedding.get_text_embedding("a")


def test_it_may_use_a_client_of_yours(server):
    with InferenceClient("words", server.url) as client:
        embedding = NupicEmbedding(client=client)
        assert (embedding.model_name, embedding.url, embedding.client) == ("words", server.url, client)
        assert embedding.get_text_embedding("a")
        with pytest.raises(ConfigurationError, match="timeout must be an option of the client"):
            NupicEmbedding(client=client, timeout=3)


def test_it_may_have_several_servers(server):
    embedding = NupicEmbedding("words", [server.url, server.url.replace("127.0.0.1", "localhost")])
    assert len(embedding.url) == 2
    assert embedding.get_text_embedding("a")


def test_wrong_arguments_are_refused_at_once():
    with pytest.raises(ConfigurationError, match="model_name must be the name"):
        NupicEmbedding()
    with pytest.raises(TypeError, match="tiemout"):
        NupicEmbedding("words", tiemout=3)
    with pytest.raises(ValueError, match="embed_batch_size"):
        NupicEmbedding("words", embed_batch_size=0)


def test_one_object_serves_several_loops(embedding):
    vectors = [waited(embedding.aget_text_embedding("a")) for _ in range(3)]
    assert vectors == [vectors[0]] * 3


def test_both_flavours_have_the_same_parameters():
    for name in ("_get_query_embedding", "_get_text_embedding", "_get_text_embeddings", "_embed"):
        function = vars(NupicEmbedding)[name]
        other = vars(NupicEmbedding)[name.replace("_", "_a", 1)]
        assert inspect.iscoroutinefunction(inspect.unwrap(other))
        assert [*inspect.signature(other).parameters] == [*inspect.signature(function).parameters]
