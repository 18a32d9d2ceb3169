"""Chats with tools, forms, reasoning and log probabilities, against a server."""

import json

import pytest
from backends.signatures import VLLM
from batch.files import WEATHER, chat

from nupic_client import ConfigurationError, batch
from nupic_client.testing import FakeTriton, Reply, competent_model, fail, text_signature

MODEL = "gpt.streaming"
CLOCK = {"type": "function", "function": {"name": "now", "description": "Tell the time."}}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.fixture
def server():
    """A server whose model calls tools and keeps to forms."""
    with FakeTriton(competent_model("qwen3"), models=[text_signature(MODEL, guided=True)]) as server:
        yield server


@pytest.fixture
def run(server, files):
    def run(*lines, **options):
        files.write(*lines)
        options = {"model": "gpt", "url": server.url, "formatter": "qwen3", **options}
        batch.run(files.input, files.output, **options)
        return {row["custom_id"]: row for row in files.read()}

    return run


def asking(number, content, **body):
    line = chat(number, **body)
    line["body"]["messages"] = [{"role": "user", "content": content}]
    return line


def choice_of(row):
    assert row["error"] is None, row
    (choice,) = row["response"]["body"]["choices"]
    return choice


def called(row):
    calls = choice_of(row)["message"]["tool_calls"]
    assert all(call["type"] == "function" and call["id"] for call in calls)
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


@pytest.mark.parametrize(
    "choice", [{}, {"tool_choice": "required"}, {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}}]
)  # fmt: skip
def test_a_call_of_a_tool(run, choice):
    (row,) = run(asking(1, "The weather in Oslo?", tools=[WEATHER, CLOCK], **choice)).values()
    assert choice_of(row)["finish_reason"] == "tool_calls"
    assert choice_of(row)["message"]["content"] is None
    assert [name for name, _ in called(row)] == ["get_weather"]
    assert called(row)[0][1].keys() == {"city"}


def test_no_call_where_none_is_wanted(run):
    (row,) = run(asking(1, "The weather in Oslo?", tools=[WEATHER], tool_choice="none")).values()
    assert "tool_calls" not in choice_of(row)["message"]
    assert choice_of(row)["finish_reason"] == "stop"


def test_a_conversation_with_the_result_of_a_tool(run, server):
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
    }
    line = chat(1, tools=[WEATHER])
    line["body"]["messages"] = [
        {"role": "user", "content": "The weather in Oslo?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"degrees": 21}'},
    ]
    (row,) = run(line).values()
    assert choice_of(row)["finish_reason"] == "stop"
    assert choice_of(row)["message"]["content"]
    assert '{"degrees": 21}' in server.requests[0].prompt


def test_the_tools_of_a_run_are_those_of_lines_without(run):
    rows = run(
        asking(1, "The weather in Oslo?"), asking(2, "What time is it now?", tools=[CLOCK]), tools=[WEATHER]
    )
    assert [called(rows[name])[0][0] for name in ("c1", "c2")] == ["get_weather", "now"]


def test_a_plain_line_has_its_calls_in_a_column(server, files):
    files.write({"id": 1, "messages": [{"role": "user", "content": "The weather in Oslo?"}]})
    batch.run(files.input, files.output, model="gpt", url=server.url, formatter="qwen3", tools=[WEATHER])
    (row,) = files.read()
    assert [call["function"]["name"] for call in row["tool_calls"]] == ["get_weather"]


def weather(city: str) -> str:
    """Tell how the weather in a city is."""


def now() -> str:
    """Tell the time."""


def test_a_run_with_functions_goes_on_in_another_process(server, files):
    """A function is another object there, with another address."""
    files.write(*(asking(number, f"The weather in Oslo? {number}") for number in range(4)))

    def go(function, **options):
        options = {"model": "gpt", "url": server.url, "formatter": "qwen3", "resume": True, **options}
        return batch.run(files.input, files.output, tools=[function], **options)

    assert go(weather, limit=1).done == 1

    def copy():
        def weather(city: str) -> str:
            """Tell how the weather in a city is."""

        return weather

    with pytest.raises(ConfigurationError, match=r"now tools is \[.*'now'.*, and was \["):
        go(now)
    report = go(copy())
    assert (report.done, report.skipped) == (3, 1)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"tools": [{"type": "web_search"}]}, "invalid_request", "must be 'function'"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "invalid_request", "the name of a tool"),
        ({"tools": [CLOCK, CLOCK]}, "invalid_request", "different names"),
        ({"tools": [CLOCK], "tool_choice": "weather"}, "invalid_request", "must be the name of a tool"),
        ({"tools": [CLOCK], "tool_choice": {"type": "custom"}}, "invalid_request", "tool_choice must be"),
        ({"tool_choice": "required"}, "invalid_request", "must be given with tools"),
        ({"tools": "now"}, "invalid_request", "tools must be a list of objects, not 'now'"),
        ({"response_format": {"type": "xml"}}, "invalid_request", "response_format"),
        ({"response_format": {"type": "json_schema"}}, "invalid_request", "json_schema"),
        ({"response_format": 5}, "invalid_request", "response_format"),
        ({"logprobs": True}, "invalid_request", "logprobs"),
        ({"n": 3}, "unsupported_parameter", "give a line for each answer"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_an_error_of_openai(run, server, body, code, message):
    rows = run(chat(1, **body), chat(2))
    assert rows["c1"]["response"] is None
    assert rows["c1"]["error"]["code"] == code
    assert message in rows["c1"]["error"]["message"]
    assert choice_of(rows["c2"])["finish_reason"] == "stop"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": SCHEMA}},
    ],
)
def test_an_answer_with_a_form(run, form):
    (row,) = run(chat(1, response_format=form)).values()
    assert isinstance(json.loads(choice_of(row)["message"]["content"]), dict)


def test_an_answer_that_is_cut_is_one_of_openai_and_an_error_of_a_plain_line(files):
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}}
    files.write(chat(1, response_format=form), {"id": 2, "messages": [{"role": "user", "content": "x"}]})
    with FakeTriton(Reply(['{"name": "Os'], finish_reason="length"), models=[VLLM]) as server:
        options = {"url": server.url, "formatter": "qwen3", "response_format": SCHEMA}
        batch.run(files.input, files.output, model="vllm_model", **options)
    rows = {row["id"]: row for row in files.read()}
    choice = choice_of(rows["batch_req_1"])
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", '{"name": "Os')
    assert rows[2]["error"]["code"] == "invalid_output"


def test_reasoning_is_apart(run, server):
    server.reply = ["<think>\nHm.\n</think>\n\n", "Oslo"]
    (row,) = run(chat(1)).values()
    message = choice_of(row)["message"]
    assert (message["content"].strip(), message["reasoning_content"].strip()) == ("Oslo", "Hm.")


def test_log_probabilities(files):
    def reply(_request):
        for text in ("Hel", "lo"):
            token = {
                "5": {"logprob": -0.5, "rank": 1, "decoded_token": text},
                "6": {"logprob": -1.5, "decoded_token": "x"},
            }
            yield {"text_output": text, "finish_reason": "None", "logprobs": json.dumps([token])}
        yield {"text_output": "!", "finish_reason": "stop", "logprobs": "null"}

    text = {"custom_id": "c2", "url": "/v1/completions", "body": {"prompt": "x", "logprobs": 1}}
    files.write(chat(1, logprobs=True, top_logprobs=1), text, chat(3))
    with FakeTriton(reply, models=[VLLM]) as server:
        batch.run(files.input, files.output, model="vllm_model", url=server.url, formatter="qwen3")
    choices = {row["custom_id"]: choice_of(row) for row in files.read()}
    content = choices["c1"]["logprobs"]["content"]
    assert [(each["token"], each["logprob"], len(each["top_logprobs"])) for each in content] == [
        ("Hel", -0.5, 2),
        ("lo", -0.5, 2),
    ]
    assert choices["c2"]["logprobs"]["tokens"] == ["Hel", "lo"]
    assert choices["c2"]["logprobs"]["top_logprobs"][0] == {"Hel": -0.5, "x": -1.5}
    assert choices["c3"]["logprobs"] is None


def test_the_errors_of_a_file_of_openai_have_its_form(run, files, server):
    server.reply = [fail("out of memory")]
    files.write(chat(1), b"{", b"", b"[]", chat(5))
    report = batch.run(files.input, files.output, model="gpt", url=server.url, formatter="qwen3")
    rows = files.read()
    assert report.failed == len(rows) == 4
    assert all(row.keys() == {"id", "custom_id", "response", "error"} for row in rows)
    codes = {row["custom_id"]: row["error"]["code"] for row in rows}
    assert codes == {"c1": "model_error", "2": "invalid_line", "4": "invalid_line", "c5": "model_error"}
    server.reply = ["well"]
    options = {"model": "gpt", "url": server.url, "formatter": "qwen3", "resume": True, "keep_errors": True}
    assert batch.run(files.input, files.output, **options).skipped == 4
