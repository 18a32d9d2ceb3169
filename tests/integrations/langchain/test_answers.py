"""Tools, forms, reasoning and images: what goes to the model and what comes back."""

from __future__ import annotations

import asyncio
import base64

import pytest
from needed import need

need("langchain")

from integrations.langchain.servers import MODEL, OTHER, chat, serve, weather
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import tool
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
from pydantic import BaseModel, Field

from nupic_client import (
    ConfigurationError,
    FinishReason,
    Generation,
    Message,
    OutputError,
    Timing,
    TokenLogprob,
    ToolCall,
    Usage,
)
from nupic_client.backends import TensorSpec
from nupic_client.integrations.langchain.answers import answer_message
from nupic_client.integrations.langchain.messages import conversation, merged
from nupic_client.testing import FakeTriton, competent_model, sleep, text_signature

CALL = ["<tool_call>\n", '{"name": "weather", ', '"arguments": {"ci', 'ty": "Par', 'is"}}', "\n</tool_call>"]
CUT = CALL[:4]


class City(BaseModel):
    """A city."""

    name: str
    inhabitants: int = Field(ge=0)


@pytest.fixture
def server():
    with serve() as server:
        yield server


def added(chunks):
    full = None
    for chunk in chunks:
        full = chunk if full is None else full + chunk
    return full


async def collected(chunks):
    return [chunk async for chunk in chunks]


def streamed(model, prompt, way):
    """Return the chunks of a model, read in one of two ways."""
    return list(model.stream(prompt)) if way == "stream" else asyncio.run(collected(model.astream(prompt)))


def asked(model, prompt, way):
    """Return the answer of a model, asked in one of four ways."""
    if way == "invoke":
        return model.invoke(prompt)
    if way == "ainvoke":
        return asyncio.run(model.ainvoke(prompt))
    return added(streamed(model, prompt, way))


WAYS = ["invoke", "ainvoke", "stream", "astream"]


class TestTools:
    @pytest.mark.parametrize("way", WAYS)
    def test_a_call(self, server, way):
        server.reply = ["I look. ", *CALL]
        answer = asked(chat(server).bind_tools([weather]), "Paris?", way)
        (call,) = answer.tool_calls
        assert (call["name"], call["args"]) == ("weather", {"city": "Paris"})
        assert call["id"].startswith("call_")
        assert answer.text.strip() == "I look."
        assert answer.invalid_tool_calls == []
        assert answer.response_metadata["finish_reason"] == "tool_calls"
        assert "weather" in server.requests[0].prompt

    @pytest.mark.parametrize("way", ["stream", "astream"])
    def test_text_and_arguments_come_as_they_are_written(self, server, way):
        server.reply = ["I", " look", sleep(0.01), *CALL]
        chunks = streamed(chat(server).bind_tools([weather]), "Paris?", way)
        assert [chunk.text for chunk in chunks if chunk.text.strip()] == ["I", " look"]
        pieces = [piece for chunk in chunks for piece in chunk.tool_call_chunks]
        assert pieces[0]["name"] == "weather"
        assert [piece["args"] for piece in pieces if piece["args"]] == ['{"ci', 'ty": "Par', 'is"}']
        assert [chunk.chunk_position for chunk in chunks].count("last") == 1

    def test_a_tool_of_another_provider_is_refused(self, server):
        with pytest.raises(ConfigurationError, match="must be functions, not 'web_search'"):
            chat(server).bind_tools([weather, {"type": "web_search"}])
        with pytest.raises(ConfigurationError, match="must be functions, not 'web_search'"):
            chat(server).invoke("Paris?", tools=[{"type": "web_search"}])

    @pytest.mark.parametrize("way", WAYS)
    def test_a_call_that_was_cut_off_is_none(self, server, way):
        """LangChain completes JSON that was cut: a tool would run with half of its arguments."""
        server.reply = [*CUT]
        answer = asked(chat(server).bind_tools([weather]), "Paris?", way)
        assert answer.tool_calls == []
        assert len(answer.invalid_tool_calls) == 1
        assert "Par" in answer.text

    @pytest.mark.parametrize(
        "beginning",
        [
            "",
            "{",
            '{"a',
            '{"a\\',
            '{"a\\"',
            '{"a": [',
            '{"a": [{',
            '{"a": 1',
            '{"a": {"b": "c"}',
            '{"a": "]}"',
        ],
    )
    def test_wherever_it_was_cut(self, server, beginning):
        server.reply = ['<tool_call>\n{"name": "weather", "arguments": ', *beginning]
        answer = asked(chat(server).bind_tools([weather]), "Paris?", "stream")
        assert answer.tool_calls == []

    @pytest.mark.parametrize("way", WAYS)
    def test_only_one_call(self, server, way):
        server.reply = [*CALL, "\n", *CALL]
        model = chat(server)
        assert len(asked(model.bind_tools([weather]), "Paris?", way).tool_calls) == 2
        assert (
            len(asked(model.bind_tools([weather], parallel_tool_calls=False), "Paris?", way).tool_calls) == 1
        )

    @pytest.mark.parametrize(
        ("choice", "called"),
        [
            ("any", True),
            ("required", True),
            (True, True),
            ("weather", True),
            ({"type": "function", "function": {"name": "weather"}}, True),
            ("none", False),
            ("auto", False),
            (False, False),
            (None, False),
        ],
    )
    def test_the_choice(self, server, choice, called):
        answer = chat(server).bind_tools([weather], tool_choice=choice).invoke("Hello!")
        assert bool(answer.tool_calls) is called
        assert ("weather" in server.requests[0].prompt) is (choice != "none")

    @pytest.mark.parametrize(
        "given", [weather, tool(weather), {"name": "weather", "input_schema": {"type": "object"}}]
    )
    def test_tools_of_a_call(self, server, given):
        answer = chat(server).invoke("How is the weather in Paris?", tools=[given])
        assert answer.tool_calls[0]["name"] == "weather"

    def test_a_choice_that_there_is_not(self, server):
        with pytest.raises(ConfigurationError, match="'whether'"):
            chat(server).bind_tools([weather], tool_choice="whether")
        with pytest.raises(ConfigurationError, match="'whether'"):
            chat(server).bind(tools=[weather], tool_choice={"function": {"name": "whether"}}).invoke("Hi")

    def test_a_forced_call_that_is_cut_off(self):
        with serve(['{"name": "weather", "argum']) as server:
            for way in WAYS:
                answer = asked(chat(server).bind_tools([weather], tool_choice="any"), "Paris?", way)
                assert answer.tool_calls == []
                assert answer.response_metadata["violations"]

    def test_a_server_that_cannot_force(self):
        with serve(guided=False) as server:
            model = chat(server)
            with pytest.raises(ConfigurationError, match=r"tool_choice|enforce"):
                model.bind_tools([weather], tool_choice="any").invoke("Hi")
            model = chat(server, enforce="validate")
            server.reply = [*CALL]
            assert model.bind_tools([weather], tool_choice="any").invoke("Hi").tool_calls

    def test_tools_of_a_call_count_for_the_prompt(self, server):
        class Words:
            def encode(self, text):
                return text.split()

        model = chat(server, client_options={"tokenizer": Words()})
        assert model.get_num_tokens("one two three") == 3
        messages = [HumanMessage("one two three")]
        plain = model.get_num_tokens_from_messages(messages)
        assert 3 < plain < model.get_num_tokens_from_messages(messages, tools=[weather])
        with pytest.raises(ConfigurationError, match="tokenizer"):
            chat(server).get_num_tokens("one")


class TestForms:
    @pytest.mark.parametrize("method", ["json_schema", "function_calling"])
    def test_a_class(self, server, method):
        chain = chat(server).with_structured_output(City, method=method)
        assert chain.invoke("Describe Rome.") == City(name="Rome", inhabitants=0)
        assert asyncio.run(chain.ainvoke("Describe Rome.")).name == "Rome"
        assert list(chain.stream("Describe Rome."))[-1].name == "Rome"

    def test_the_server_is_asked_to_enforce_it(self, server):
        chat(server).with_structured_output(City).invoke("Describe Rome.")
        assert "inhabitants" in server.requests[0].inputs["guided_decoding_guide"]

    def test_an_answer_that_does_not_fit(self, server):
        server.reply = ['{"name": "Ro']
        chain = chat(server).with_structured_output(City)
        with pytest.raises(OutputParserException):
            chain.invoke("Describe Rome.")
        found = chat(server).with_structured_output(City, include_raw=True).invoke("Describe Rome.")
        assert (found["raw"].text, found["parsed"]) == ('{"name": "Ro', None)
        assert isinstance(found["parsing_error"], OutputParserException)
        assert found["raw"].response_metadata["violations"]
        answer = asked(chat(server).bind(response_format=City), "Describe Rome.", "stream")
        assert answer.response_metadata["violations"]

    def test_an_answer_that_fits_with_the_message(self, server):
        found = chat(server).with_structured_output(City, include_raw=True).invoke("Describe Rome.")
        assert found["parsed"] == City(name="Rome", inhabitants=0)
        assert found["parsing_error"] is None

    def test_a_method_that_there_is_not(self, server):
        with pytest.raises(ValueError, match="method must be"):
            chat(server).with_structured_output(City, method="xml")

    def test_tools_may_be_bound_after_the_form(self, server):
        bound = chat(server).bind(response_format=City).bind(tools=[weather])
        assert bound.invoke("How is the weather in Paris?").tool_calls

    @pytest.mark.parametrize("way", WAYS)
    def test_with_tools_the_answer_is_a_call(self, server, way):
        model = chat(server).bind_tools([weather], response_format=City)
        answer = asked(model, "How is the weather in Paris?", way)
        assert answer.tool_calls[0]["args"] == {"city": "Paris"}
        assert len(server.requests) == 1

    @pytest.mark.parametrize("way", WAYS)
    def test_or_it_has_the_form_by_itself(self, server, way):
        server.reply = ['{"name": "Rome", ', '"inhabitants": 3}']
        answer = asked(chat(server).bind_tools([weather], response_format=City), "Describe Rome.", way)
        assert answer.text == '{"name": "Rome", "inhabitants": 3}'
        assert len(server.requests) == 1

    @pytest.mark.parametrize("way", WAYS)
    def test_or_it_is_asked_for_again(self, server, way):
        answer = asked(chat(server).bind_tools([weather], response_format=City), "Describe Rome.", way)
        assert City.model_validate_json(answer.text).name == "Rome"
        first, second = server.requests
        assert "guided_decoding_guide" not in first.inputs
        assert "inhabitants" in second.inputs["guided_decoding_guide"]
        assert "weather" not in second.prompt
        counts = answer.usage_metadata
        assert counts["total_tokens"] == counts["input_tokens"] + counts["output_tokens"]
        alone = chat(server).bind(response_format=City).invoke("Describe Rome.").usage_metadata
        assert counts["input_tokens"] > alone["input_tokens"]

    @pytest.mark.parametrize("way", WAYS)
    def test_a_json_in_a_fence_is_asked_for_again(self, server, way):
        replies = iter(
            [['```json\n{"name": "Rome", "inhabitants": 3}\n```'], ['{"name": "Oslo", "inhabitants": 3}']]
        )
        server.reply = lambda request: next(replies)
        answer = asked(chat(server).bind_tools([weather], response_format=City), "Describe Rome.", way)
        assert City.model_validate_json(answer.text).name == "Oslo"

    def test_tokens_that_are_not_counted_stay_unknown(self):
        plain = text_signature(MODEL, options=["max_tokens"], guided=True)
        with FakeTriton(competent_model("smollm2"), models=[plain]) as server:
            answer = chat(server).bind_tools([weather], response_format=City).invoke("Describe Rome.")
        assert answer.usage_metadata is None


class TestReasoning:
    @pytest.fixture
    def model(self, server):
        server.reply = competent_model("qwen3", reasoning=True)
        return chat(server, formatter="qwen3")

    @pytest.mark.parametrize("way", WAYS)
    def test_it_is_apart_from_the_text(self, model, way):
        answer = asked(model, "Hi", way)
        assert answer.text.strip() == "You said: Hi"
        assert "what the user wants" in answer.additional_kwargs["reasoning_content"]
        assert [block["type"] for block in answer.content_blocks] == ["reasoning", "text"]
        assert answer.response_metadata["time_to_answer"] > answer.response_metadata["time_to_first_token"]

    def test_it_streams(self, model):
        chunks = list(model.stream("Hi"))
        thoughts = [chunk for chunk in chunks if chunk.additional_kwargs.get("reasoning_content")]
        assert len(thoughts) > 3

    def test_the_new_blocks(self, model):
        model = model.model_copy(update={"output_version": "v1"})
        for way in ("invoke", "stream"):
            kinds = [block["type"] for block in asked(model, "Hi", way).content]
            assert kinds == ["reasoning", "text"]

    def test_it_goes_back_to_the_model(self, server, model):
        bound = model.bind_tools([weather])
        question = HumanMessage("How is the weather in Paris?")
        answer = bound.invoke([question])
        final = bound.invoke(
            [question, answer, ToolMessage("sunny", tool_call_id=answer.tool_calls[0]["id"])]
        )
        assert "sunny" in final.text
        assert "what the user wants" in server.requests[1].prompt

    def test_template_variables(self, server, model):
        quiet = model.bind(template_variables={"enable_thinking": False})
        assert "reasoning_content" not in quiet.invoke("Hi").additional_kwargs
        assert model.invoke("Hi", reasoning="include").text.startswith("<think>")


PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()


class TestEvents:
    """LangChain's newest way to stream, which it makes of chunks."""

    @pytest.fixture
    def model(self, server):
        server.reply = ["<think>\nHm. ", "I know.\n</think>\n\n", "I look. ", *CALL]
        return chat(server, formatter="qwen3").bind_tools([weather])

    def test_events(self, model):
        stream = model.stream_events("Paris?", version="v3")
        assert_valid_event_stream(list(stream))
        kinds = [block["type"] for block in stream.output.content]
        assert kinds == ["reasoning", "text", "tool_call"]
        assert stream.output.tool_calls[0]["args"] == {"city": "Paris"}
        assert stream.output.usage_metadata["total_tokens"] > 0

    def test_async_events(self, model):
        async def read():
            stream = await model.astream_events("Paris?", version="v3")
            assert_valid_event_stream([event async for event in stream])
            return await stream.output

        assert asyncio.run(read()).tool_calls[0]["args"] == {"city": "Paris"}

    def test_a_call_that_was_cut_off(self, server, model):
        server.reply = [*CUT]
        stream = model.stream_events("Paris?", version="v3")
        assert_valid_event_stream(list(stream))
        assert stream.output.tool_calls == []


class TestMessages:
    def test_a_conversation(self):
        messages = [
            SystemMessage("Be short."),
            HumanMessage("Hi", name="someone"),
            AIMessage("Hello."),
            HumanMessage([{"type": "text", "text": "How"}, " are you?"]),
        ]
        assert conversation(messages) == (
            Message("system", "Be short."),
            Message("user", "Hi"),
            Message("assistant", "Hello."),
            Message("user", "How are you?"),
        )

    def test_calls_and_results(self):
        call = {"name": "weather", "args": {"city": "Köln"}, "id": "1", "type": "tool_call"}
        answer = AIMessage(
            [
                {"type": "reasoning", "reasoning": "Hm."},
                {"type": "thinking", "thinking": " Well."},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "1", "name": "weather", "input": {}},
            ],
            tool_calls=[call],
        )
        asked, result = conversation([answer, ToolMessage("sunny", tool_call_id="1")])
        assert (asked.content, asked.reasoning) == ("I look.", "Hm. Well.")
        assert asked.tool_calls == (ToolCall("1", "weather", '{"city": "Köln"}'),)
        assert (result.role, result.content, result.tool_call_id, result.name) == (
            "tool",
            "sunny",
            "1",
            "weather",
        )

    def test_others(self):
        assert conversation([ChatMessage("Hi", role="developer")])[0].role == "system"
        assert conversation([FunctionMessage("3", name="add")])[0].name == "add"
        assert conversation([AIMessageChunk("Hi")])[0].role == "assistant"
        assert (
            conversation([AIMessage("Hi", additional_kwargs={"reasoning_content": "Hm."})])[0].reasoning
            == "Hm."
        )
        parted = AIMessage([{"type": "text", "text": "Hi"}], additional_kwargs={"reasoning_content": "Hm."})
        assert conversation([parted])[0].reasoning == "Hm."
        with pytest.raises(ConfigurationError, match="RemoveMessage"):
            conversation([RemoveMessage("1")])
        with pytest.raises(ConfigurationError, match="'file'"):
            conversation([HumanMessage([{"type": "file", "base64": "x", "mime_type": "application/pdf"}])])

    @pytest.mark.parametrize(
        "block",
        [
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            {"type": "image_url", "image_url": f"data:image/png;base64,{PIXEL}"},
            {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
            {"type": "image", "source_type": "base64", "data": PIXEL, "mime_type": "image/png"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        ],
    )
    def test_images(self, block):
        (message,) = conversation([HumanMessage([{"type": "text", "text": "What is it?"}, block])])
        (image,) = message.images
        assert (message.text, image.media_type) == ("What is it?", "image/png")
        assert image.data() == base64.b64decode(PIXEL)

    def test_an_image_at_a_url_and_none_in_a_file(self):
        (message,) = conversation([HumanMessage([{"type": "image", "url": "https://example.org/x.png"}])])
        assert message.images[0].url == "https://example.org/x.png"
        with pytest.raises(ConfigurationError, match="http"):
            conversation([HumanMessage([{"type": "image_url", "image_url": {"url": "/etc/passwd"}}])])

    def test_an_image_reaches_the_model(self):
        inputs = [TensorSpec("image", "BYTES", (-1,)), TensorSpec("sampling_parameters", "BYTES", (1,))]
        signature = text_signature("vision.streaming", extra_inputs=inputs)
        question = [
            {"type": "text", "text": "What is it?"},
            {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
        ]
        with FakeTriton(["A cat."], models=[signature]) as server:
            model = chat(server, model="vision.streaming", formatter="qwen2-vl", backend="vllm")
            assert model.invoke([HumanMessage(question)]).text == "A cat."
            (request,) = server.requests
        assert "<|image_pad|>" in request.prompt
        assert PIXEL in str(request.inputs["image"])

    def test_one_role_after_itself(self, server):
        messages = [
            HumanMessage("one"),
            HumanMessage("two"),
            AIMessage("three"),
            AIMessage("four"),
            HumanMessage("five"),
        ]
        chat(server, model=OTHER, formatter="gemma-2").invoke(messages)
        assert "one\n\ntwo" in server.requests[0].prompt
        assert "three\n\nfour" in server.requests[0].prompt
        chat(server, formatter="chatml").invoke(messages)
        assert "one<|im_end|>" in server.requests[1].prompt

    def test_what_is_not_merged(self):
        called = Message("assistant", "", tool_calls=(ToolCall("1", "f", "{}"),))
        result = Message("tool", "x", tool_call_id="1")
        kept = (Message("system", "a"), Message("system", "b"), called, called, result, result)
        assert merged(kept) == kept


class TestGenerations:
    """What a server seldom sends."""

    @staticmethod
    def generation(**fields):
        given = {"text": "", "finish_reason": None, "usage": Usage(), "timing": Timing(total=1.0)}
        return Generation(**{**given, "model": "m", "request_id": "r", **fields})

    def test_arguments_that_are_no_object(self):
        message = answer_message(
            self.generation(tool_calls=(ToolCall("1", "f", "[1]"),), invalid_tool_calls=("{",))
        )
        assert message.tool_calls == []
        assert [(call["name"], call["args"]) for call in message.invalid_tool_calls] == [
            (None, "{"),
            ("f", "[1]"),
        ]

    def test_log_probabilities(self):
        others = (TokenLogprob(logprob=-0.1, token="a"), TokenLogprob(logprob=-2.0, token="b"))
        first = TokenLogprob(logprob=-0.1, token="a", token_id=5, rank=1, top_logprobs=others)
        logprobs = (first, TokenLogprob(logprob=-0.5))
        facts = answer_message(self.generation(logprobs=logprobs)).response_metadata
        assert facts["logprobs"] == [
            {
                "token": "a",
                "token_id": 5,
                "logprob": -0.1,
                "top_logprobs": [{"token": "a", "logprob": -0.1}, {"token": "b", "logprob": -2.0}],
            },
            {"logprob": -0.5},
        ]

    def test_half_of_the_usage_is_none(self):
        assert answer_message(self.generation(usage=Usage(output_tokens=3))).usage_metadata is None

    def test_what_is_not_known_is_left_out(self):
        facts = answer_message(self.generation(finish_reason=FinishReason.LENGTH)).response_metadata
        assert facts == {
            "model_name": "m",
            "model_provider": "nupic",
            "finish_reason": "length",
            "request_id": "r",
            "attempts": 0,
            "total_time": 1.0,
        }

    def test_violations(self):
        error = OutputError("no", violations=("name is missing",))
        assert answer_message(self.generation(), error).response_metadata["violations"] == ["name is missing"]
