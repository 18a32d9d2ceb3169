"""SmolLM2 in the embedded server: what it says is its own, that it says something in the form that was asked for is ours."""

from __future__ import annotations

import asyncio

import pytest
from needed import need

need("llama_index")

from integrations.llama_index.flavours import METHODS, ask
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field

from nupic_client import LocalServer
from nupic_client.integrations.llama_index import NupicEmbedding, NupicLLM

pytestmark = pytest.mark.model


class City(BaseModel):
    name: str = Field(max_length=20)
    capital: bool


def weather(city: str) -> str:
    """Tell how the weather in a city is."""
    return f"sunny in {city}"


@pytest.fixture(scope="module")
def embedded():
    with LocalServer() as server:
        yield server


@pytest.fixture
def llm(embedded):
    llm = NupicLLM("smollm2", embedded.url, temperature=0, max_tokens=30, repetition_penalty=1.3)
    yield llm
    llm.client.close()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_says_the_same(llm, method):
    *_, last = ask(llm, method, "What is the capital of France?")
    *_, expected = ask(llm, "chat", "What is the capital of France?")
    assert str(last).removeprefix("assistant: ") == expected.message.content
    assert "Paris" in str(last)
    assert last.raw["usage"] == expected.raw["usage"]


def test_a_prediction_has_its_form(llm):
    options = {"max_tokens": 100}
    found = llm.structured_predict(City, PromptTemplate("Describe {city}."), options, city="Rome")
    assert isinstance(found, City)
    *_, last = llm.stream_structured_predict(City, PromptTemplate("Describe {city}."), options, city="Rome")
    assert last == found


def test_a_forced_tool_is_called(llm):
    tool = FunctionTool.from_defaults(weather)
    response = asyncio.run(
        llm.achat_with_tools(
            [tool], user_msg="How is the weather in Rome?", tool_required=True, max_tokens=100
        )
    )
    (call,) = llm.get_tool_calls_from_response(response)
    assert call.tool_name == "weather"
    assert isinstance(call.tool_kwargs["city"], str)


def test_an_index_finds_what_is_alike(embedded):
    texts = ["Zebras have black and white stripes.", "The stock market fell sharply on Monday."]
    index = VectorStoreIndex.from_documents(
        [Document(text=text) for text in texts], embed_model=NupicEmbedding("smollm2-embed", embedded.url)
    )
    (found,) = index.as_retriever(similarity_top_k=1).retrieve("Zebras have stripes of black and white.")
    assert found.text == texts[0]
