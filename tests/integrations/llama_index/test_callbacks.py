"""Callbacks and events of LlamaIndex: every call is told of, and nothing secret is."""

from __future__ import annotations

import json

import pytest
from needed import need

need("llama_index")

from integrations.llama_index.conftest import make_llm, models
from integrations.llama_index.flavours import CHATS, METHODS, STREAMS, ask, run
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, TokenCountingHandler
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from nupic_client import TLS, InferenceError
from nupic_client.integrations.llama_index import NupicEmbedding, NupicLLM
from nupic_client.testing import FakeTriton, fail

SECRET = "tok-super-secret"


class Recorder(BaseCallbackHandler):
    def __init__(self):
        super().__init__([], [])
        self.starts = []
        self.ends = []

    def on_event_start(self, event_type, payload=None, event_id="", parent_id="", **kwargs):
        self.starts.append((event_type, payload))
        return event_id

    def on_event_end(self, event_type, payload=None, event_id="", **kwargs):
        self.ends.append((event_type, payload))

    def start_trace(self, trace_id=None):
        pass

    def end_trace(self, trace_id=None, trace_map=None):
        pass


class Events(BaseEventHandler):
    seen: list = []  # noqa: RUF012 - a field of pydantic

    def handle(self, event, **kwargs):
        self.seen.append(event)


@pytest.fixture
def events():
    dispatcher = get_dispatcher()
    handler = Events(seen=[])
    before = dispatcher.event_handlers
    dispatcher.event_handlers = [*before, handler]
    yield handler.seen
    dispatcher.event_handlers = before


@pytest.fixture
def recorder():
    return Recorder()


def secretive(url, **options):
    return make_llm(
        url,
        bearer_token=SECRET,
        metadata={"x-api-key": SECRET},
        parameters={"key": SECRET},
        backend_inputs={"key": SECRET},
        **options,
    )


@pytest.mark.parametrize("method", [name for name in METHODS if name not in CHATS])
def test_the_prompt_may_be_named(llm, method):
    *_, last = run(getattr(llm, method)(prompt="Hello!"))
    assert last.text == "You said: Hello!"


@pytest.mark.parametrize("method", [name for name in METHODS if name not in CHATS])
def test_two_prompts_are_an_error(llm, method):
    with pytest.raises(TypeError):
        run(getattr(llm, method)("Hello!", prompt="Hello!"))


@pytest.mark.parametrize("method", [name for name in METHODS if name not in CHATS])
def test_no_prompt_is_an_error(llm, method):
    with pytest.raises(ValueError, match="prompt"):
        run(getattr(llm, method)())


@pytest.mark.parametrize("method", METHODS)
def test_callbacks_are_told_of_beginning_and_end(server, recorder, method):
    llm = make_llm(server.url, callback_manager=CallbackManager([recorder]))
    responses = ask(llm, method, "Hello!")
    ((kind, start),) = recorder.starts
    ((_, end),) = recorder.ends
    assert kind == CBEventType.LLM
    assert start[EventPayload.SERIALIZED] == llm.to_payload()
    place = EventPayload.RESPONSE if method in CHATS else EventPayload.COMPLETION
    assert end[place] == responses[-1]
    assert end[place].raw["usage"]["total_tokens"] > 3


@pytest.mark.parametrize("method", METHODS)
def test_callbacks_are_told_of_an_error(recorder, method):
    with FakeTriton(["One", fail("out of memory")], models=models()) as server:
        llm = make_llm(server.url, callback_manager=CallbackManager([recorder]))
        with pytest.raises(InferenceError) as caught:
            ask(llm, method, "Hello!")
    assert recorder.ends[-1][1][EventPayload.EXCEPTION] is caught.value


@pytest.mark.parametrize("method", METHODS)
def test_token_counters_need_not_guess(server, method):
    def never(text):
        raise AssertionError("there are the counts of the server")

    counter = TokenCountingHandler(tokenizer=never)
    llm = make_llm(server.url, callback_manager=CallbackManager([counter]))
    *_, last = ask(llm, method, "Hello!")
    assert counter.total_llm_token_count == last.raw["usage"]["total_tokens"]


@pytest.mark.parametrize("method", METHODS)
def test_events_are_dispatched(llm, events, method):
    responses = ask(llm, method, "Hello!")
    names = [event.class_name() for event in events]
    kind = "LLMChat" if method in CHATS else "LLMCompletion"
    assert names.count(f"{kind}StartEvent") == names.count(f"{kind}EndEvent") == 1
    assert names.count(f"{kind}InProgressEvent") == (len(responses) if method in STREAMS else 0)
    assert names[-1] == f"{kind}EndEvent"
    assert events[-1].response.raw["usage"]["total_tokens"] > 3
    for event in events:
        json.dumps(event.model_dump(mode="json"))


def test_events_of_a_structured_prediction_are_dispatched(llm, events):
    class Song(BaseModel):
        name: str

    llm.structured_predict(Song, PromptTemplate("Make a song."))
    names = [event.class_name() for event in events]
    assert names == [
        *("LLMStructuredPredictStartEvent", "LLMChatStartEvent"),
        *("LLMChatEndEvent", "LLMStructuredPredictEndEvent"),
    ]
    events.clear()
    *_, last = llm.stream_structured_predict(Song, PromptTemplate("Make a song."))
    names = [event.class_name() for event in events]
    assert (names[0], names[-1]) == ("LLMStructuredPredictStartEvent", "LLMStructuredPredictEndEvent")
    assert names.count("LLMStructuredPredictInProgressEvent") == names.count("LLMChatInProgressEvent") >= 2
    assert events[-1].output == last


def test_the_payload_has_the_model_and_its_settings(server):
    payload = make_llm(server.url, temperature=0.25, max_tokens=9).to_payload()
    assert payload["class_name"] == "NupicLLM"
    assert payload["model"] == payload["model_name"] == "qwen3"
    assert (payload["temperature"], payload["max_tokens"], payload["num_output"]) == (0.25, 9, 9)


def test_nothing_secret_is_written_or_shown(server):
    llm = secretive(server.url)
    for shown in (llm.to_payload(), llm.to_dict(), llm.to_json(), repr(llm), llm.metadata, llm.options):
        assert SECRET not in str(shown)
    key = b"-----BEGIN PRIVATE KEY-----"
    tls = TLS(private_key=key, certificate_chain=b"-----BEGIN CERTIFICATE-----")
    llm = NupicLLM("qwen3", "grpcs://localhost:1", tls=tls)
    for shown in (llm.to_payload(), llm.to_dict(), llm.to_json(), repr(llm)):
        assert "PRIVATE" not in str(shown)
    embedding = NupicEmbedding("words", server.url, bearer_token=SECRET, metadata={"x-api-key": SECRET})
    for shown in (embedding.to_payload(), embedding.to_dict(), embedding.to_json(), repr(embedding)):
        assert SECRET not in str(shown)


@pytest.mark.parametrize("method", METHODS)
def test_callbacks_and_events_get_nothing_secret(server, recorder, events, method):
    llm = make_llm(
        server.url,
        bearer_token=SECRET,
        metadata={"x-api-key": SECRET},
        callback_manager=CallbackManager([recorder]),
    )
    ask(llm, method, "Hello!")
    assert server.metadata[-1]["x-api-key"] == SECRET  # the server got it
    assert recorder.starts
    assert events
    for told in (*recorder.starts, *recorder.ends, *[event.model_dump() for event in events]):
        assert SECRET not in str(told)


def test_a_class_of_yours_may_have_fields_of_its_own(server):
    class WithKey(NupicLLM):
        api_key: str | None = None

    llm = WithKey("qwen3", server.url, formatter="qwen3", api_key=SECRET)
    assert llm.api_key == SECRET
    assert SECRET not in str(llm.to_payload())
