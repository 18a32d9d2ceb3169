"""Structured predictions are held to their form by the server."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from needed import need

need("llama_index")

from integrations.llama_index.conftest import make_llm, models
from integrations.llama_index.flavours import run
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, Field

from nupic_client import Choice, ConfigurationError, OutputError
from nupic_client.testing import FakeTriton, Reply, silence, text_signature

METHODS = (
    *("structured_predict", "astructured_predict"),
    *("stream_structured_predict", "astream_structured_predict"),
)
STREAMS = METHODS[2:]


class Verse(BaseModel):
    text: str


class Song(BaseModel):
    """A song."""

    title: str = Field(description="the title of the song")
    year: int
    verses: list[Verse] = []


SONG = '{"title": "Help!", "year": 1965, "verses": [{"text": "a"}, {"text": "b"}]}'
FOUND = Song.model_validate_json(SONG)
PROMPT = PromptTemplate("A song of {band}.")


def reply(request):
    kind = request.inputs.get("guided_decoding_guide_type")
    assert kind == "json_schema"
    return [SONG[start : start + 7] for start in range(0, len(SONG), 7)]


@pytest.fixture
def held():
    with FakeTriton(reply, models=models()) as server:
        yield server, make_llm(server.url)


@pytest.mark.parametrize("method", METHODS)
def test_the_server_holds_the_model_to_the_form(held, method):
    server, llm = held
    *_, found = run(getattr(llm, method)(Song, PROMPT, band="the Beatles"))
    assert found == FOUND
    assert isinstance(found, Song)
    (request,) = server.requests
    assert set(json.loads(request.inputs["guided_decoding_guide"])["properties"]) == {
        "title",
        "year",
        "verses",
    }


@pytest.mark.parametrize("method", METHODS)
def test_the_model_sees_the_schema_after_what_the_user_says(held, method):
    server, llm = held
    llm.system_prompt = "Be brief."
    run(getattr(llm, method)(Song, PROMPT, band="the Beatles"))
    prompt = server.requests[0].prompt
    assert (
        prompt.index("Be brief.")
        < prompt.index("A song of the Beatles.")
        < prompt.index("the title of the song")
    )
    assert "{{" not in prompt


def test_messages_of_yours_stay_as_they_are(held):
    server, llm = held
    messages = [
        ChatMessage("Songs!", role="system"),
        ChatMessage("Help?"),
        ChatMessage("Yes", role="assistant"),
    ]
    llm.structured_predict(Song, ChatPromptTemplate(message_templates=messages))
    assert [message.content for message in messages] == ["Songs!", "Help?", "Yes"]
    prompt = server.requests[0].prompt
    assert prompt.index("Help?") < prompt.index("the title of the song") < prompt.index("Yes")
    llm.structured_predict(Song, ChatPromptTemplate(message_templates=messages[:1]))
    prompt = server.requests[1].prompt
    assert prompt.index("Songs!") < prompt.index("<|im_start|>user") < prompt.index("the title of the song")


@pytest.mark.parametrize("method", STREAMS)
def test_what_has_come_is_there_before_the_end(held, method):
    _, llm = held
    *before, last = run(getattr(llm, method)(Song, PROMPT, band="the Beatles"))
    assert last == FOUND
    assert [part for part in before if part.title == "Help!" and part.year is None]
    assert [part for part in before if part.verses == [{"text": "a"}]]
    assert before[0].title is None
    assert len({id(part) for part in before}) == len(before)


@pytest.mark.parametrize("method", METHODS)
def test_options_are_those_of_the_call(held, method):
    server, llm = held
    run(getattr(llm, method)(Song, PROMPT, llm_kwargs={"max_tokens": 70}, band="the Beatles"))
    assert server.requests[0].inputs["max_tokens"] == 70


@pytest.mark.parametrize("method", METHODS)
def test_an_answer_that_is_cut_off_is_an_error_with_what_there_is(method):
    with FakeTriton([SONG[:30]], models=models()) as server:
        with pytest.raises(OutputError) as caught:
            run(getattr(make_llm(server.url), method)(Song, PROMPT, band="the Beatles"))
    assert caught.value.partial["title"] == "Help!"
    assert caught.value.text == SONG[:30]


@pytest.mark.parametrize("method", METHODS)
def test_a_server_that_cannot_hold_a_model_to_a_form_says_so(method):
    plain = [text_signature("qwen3")]
    with FakeTriton([SONG], models=plain) as server:
        llm = make_llm(server.url)
        with pytest.raises(ConfigurationError, match="enforce"):
            run(getattr(llm, method)(Song, PROMPT, band="the Beatles"))
        checked = make_llm(server.url, enforce="validate")
        *_, found = run(getattr(checked, method)(Song, PROMPT, band="the Beatles"))
    assert found == FOUND


@pytest.mark.parametrize("method", STREAMS)
def test_leaving_the_stream_stops_the_server(method):
    with FakeTriton(Reply([SONG[:30], silence()]), models=models()) as server:
        stream = getattr(make_llm(server.url), method)(Song, PROMPT, band="the Beatles")

        async def leave():
            async with contextlib.aclosing(await stream) as objects:
                async for _ in objects:
                    break

        if method.startswith("a"):
            asyncio.run(leave())
        else:
            for _ in stream:
                break
            del stream
        server.wait_for_cancellation()


@pytest.mark.parametrize("method", METHODS)
def test_programs_of_llama_index_run_on_request(llm, server, method):
    llm.pydantic_program_mode = PydanticProgramMode.FUNCTION
    *_, found = run(getattr(llm, method)(Song, PROMPT, band="the Beatles"))
    assert set(found.model_dump()) == {"title", "year", "verses"}
    assert "<tools>" in server.requests[0].prompt  # by a forced call


@pytest.mark.filterwarnings("ignore:The `json` method is deprecated")  # core uses it
@pytest.mark.parametrize("method", ["chat", "achat", "stream_chat", "astream_chat"])
def test_a_structured_llm_is_one_too(held, method):
    _, llm = held
    *_, last = run(getattr(llm.as_structured_llm(Song), method)([ChatMessage("A song of the Beatles.")]))
    assert last.raw == FOUND
    assert json.loads(last.message.content) == json.loads(SONG)


@pytest.mark.parametrize("method", ["chat", "achat", "stream_chat", "astream_chat"])
def test_every_form_may_be_asked_for_in_a_chat(held, llm, method):
    _, own = held
    *_, last = run(getattr(own, method)([ChatMessage("A song.")], response_format=Song))
    assert last.raw["parsed"] == FOUND
    *_, last = run(getattr(llm, method)([ChatMessage("Yes?")], response_format=Choice(["yes", "no"])))
    assert last.raw["parsed"] == last.message.content == "yes"
