"""The page for DSPy runs as it is printed, and its engines do what DSPy expects."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os

import pytest
from needed import need

need("dspy")
os.environ.setdefault("DSPY_CACHEDIR", "/dev/null/none")  # read when it is imported: nothing is to be kept
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from pages import ROOT, run_blocks

from nupic_client import InferenceError
from nupic_client.testing import FakeTriton, competent_model, fail, text_signature

PAGE = ROOT / "docs/recipes/dspy.md"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def page():
    """A server and what the page has made, after it ran; DSPy may be configured once in a process."""
    models = [text_signature("smollm2.streaming", guided=True)]
    shown = io.StringIO()
    with FakeTriton(competent_model("smollm2"), models=models) as server:
        with contextlib.redirect_stdout(shown):
            names = run_blocks(PAGE, server.url)
        names["lm"].cache = False
        yield server, names | {"shown": shown.getvalue()}
        names["client"].close()


@pytest.fixture
def server(page):
    server, _ = page
    server.clear()
    yield server
    server.reply = competent_model("smollm2")


@pytest.fixture
def names(page):
    return page[1]


def ask(names, program, **inputs):
    with dspy.context(lm=names["lm"], adapter=dspy.JSONAdapter()):
        return program(**inputs)


def test_the_page_runs(names):
    found = names["found"]
    assert isinstance(found.positive, bool)
    assert isinstance(found.confidence, float)
    assert f"{found.positive} {found.confidence}" in names["shown"]
    answer = names["item"].answer  # the last one is the prediction
    assert names["shown"].strip().endswith(answer)
    assert names["shown"].count(answer) == 2  # streamed, and whole


def test_the_server_holds_answers_to_the_signature(names, server):
    ask(names, dspy.Predict("question -> answer: int"), question="What is 3 + 4?")
    (request,) = server.requests
    assert '"type": "integer"' in request.inputs["guided_decoding_guide"].replace('":"', '": "')
    assert request.inputs["max_tokens"] == 300


def test_options_reach_the_server(names, server):
    assert names["lm"]("Hello!", temperature=0, seed=0, stop=["END"]) == ["You said: Hello!"]
    sent = server.requests[0].inputs
    assert (sent["temperature"], sent["seed"], sent["max_tokens"]) == (0, 0, 300)
    assert "END" in sent["stop"]


def test_tokens_are_counted(names):
    with dspy.context(track_usage=True):
        found = ask(names, dspy.Predict("question -> answer"), question="Why?")
    (usage,) = found.get_lm_usage().values()
    assert usage["completion_tokens"] > 1


def test_an_agent_uses_a_tool(names, server):
    used = []

    def weather(city: str) -> str:
        """Tell how the weather in a city is."""
        used.append(city)
        return f"It is sunny in {city}."

    answers = [
        {"next_thought": "I look.", "next_tool_name": "weather", "next_tool_args": {"city": "Paris"}},
        {"next_thought": "I know.", "next_tool_name": "finish", "next_tool_args": {}},
        {"reasoning": "The tool says so.", "answer": "sunny"},
    ]
    server.reply = lambda request: [json.dumps(answers[len(server.requests) - 1])]
    found = ask(names, dspy.ReAct("question -> answer", tools=[weather]), question="Weather of Paris?")
    assert (used, found.answer) == (["Paris"], "sunny")
    assert "It is sunny in Paris." in server.requests[-1].prompt
    assert server.requests[0].inputs["guided_decoding_guide_type"]


def test_an_error_of_the_client_is_the_cause(names, server):
    server.reply = ["One", fail("out of memory")]
    with pytest.raises(Exception, match="out of memory") as caught:
        names["lm"]("Hello!")
    causes = [caught.value]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    assert any(isinstance(cause, InferenceError) and cause.partial_text == "One" for cause in causes)

    async def same():
        with pytest.raises(Exception, match="out of memory"):
            await names["lm"].acall("Hello!")

    asyncio.run(same())
    assert len(server.requests) == 2  # nobody asked again
