"""Lines of both forms: to rows, and from answers; nothing is sent."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client import (
    ConnectionFailedError,
    ContextLengthError,
    DeadlineExceededError,
    FinishReason,
    Generation,
    IncompleteStreamError,
    OverloadedError,
    PromptError,
    ProtocolError,
    Timing,
    TokenLogprob,
    ToolCall,
    Usage,
)
from nupic_client.batch.lines import (
    Answered,
    Prompting,
    answer_line,
    answered,
    failure_line,
    read_line,
    read_object,
)
from nupic_client.batch.row import Embedding, RowError, error_of

TEXT = Prompting()


def row_of(line, number=7, prompting=TEXT):
    return read_line(line if isinstance(line, bytes) else json.dumps(line).encode(), number, prompting)


def generation(text="Hi", reason=FinishReason.STOP, **usage):
    return Generation(
        text=text,
        finish_reason=reason,
        usage=Usage(**usage),
        timing=Timing(total=1.0, time_to_first_token=0.25),
        model="m",
        request_id="r1",
    )


def embedding(vectors):
    return Embedding(np.array(vectors, np.float32), "e", "embd-1")


def test_a_plain_prompt_is_sent_as_it_is():
    row = row_of({"id": 17, "prompt": " Once\n", "n": [1]})
    assert (row.form, row.prompt, row.options, row.model, row.error) == ("plain", " Once\n", {}, "", None)
    assert row.columns == {"id": 17, "prompt": " Once\n", "n": [1]}


def test_columns_are_no_options():
    assert row_of({"prompt": "x", "temperature": 9, "model": "other"}).options == {}


@pytest.mark.parametrize("line", [{"prompt": "x"}, {"id": None, "prompt": "x"}])
def test_the_id_of_a_plain_line_is_its_number_where_it_has_none(line):
    assert row_of(line).columns["id"] == 7


@pytest.mark.parametrize("blank", [b"", b"\n", b"\r\n", b" \t \n"])
def test_a_blank_line_is_no_row(blank):
    assert row_of(blank) is None


def test_the_end_of_a_line_may_be_that_of_windows():
    assert row_of(b'{"prompt": "x"}\r\n').prompt == "x"


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (b"{", "invalid_line", "line 7 must be JSON: "),
        (b'{"prompt": "x"', "invalid_line", "line 7 must be JSON: "),
        (b'{"prompt": NaN}', "invalid_line", "line 7 must be JSON: NaN is not a number of JSON"),
        (b"[" * 100_000, "invalid_line", "line 7 must be JSON: "),
        (b"1" * 5000, "invalid_line", "line 7 must be "),
        (b'{"prompt": "\xff"}', "invalid_line", "line 7 must be UTF-8, not with byte 0xff at 13"),
        (b'"x"', "invalid_line", "line 7 must be a JSON object, not a string"),
        (b"[]", "invalid_line", "line 7 must be a JSON object, not a list"),
        (b"null", "invalid_line", "line 7 must be a JSON object, not null"),
        (b"{}", "invalid_request", "a line must have a prompt (a string), messages (a list), an input"),
        (b'{"prompt": null}', "invalid_request", "a line must have a prompt"),
        (b'{"prompt": 5}', "invalid_request", "a line must have a prompt (a string), messages (a list), an input"),
        (b'{"prompt": ["x"]}', "invalid_request", "a line must have a prompt"),
        (b'{"messages": "x"}', "invalid_request", "messages must be a list of messages, not a string"),
        (b'{"prompt": "x", "messages": []}', "invalid_request", "a line must have prompt or messages, not both"),
        (b'{"body": 5}', "invalid_request", "body must be an object, not 5"),
        (b'{"custom_id": "a"}', "invalid_request", "body must be an object, not missing or null"),
        (b'{"body": {}}', "invalid_request", "prompt must be one string, not missing or null"),
        (b'{"body": {"messages": "x"}}', "invalid_request", "messages must be a list of messages, not 'x'"),
        (b'{"body": {"messages": []}, "method": "GET"}', "invalid_request", "method must be 'POST', not 'GET'"),
        (b'{"body": {"prompt": ["a", "b"]}}', "invalid_request", "prompt must be one string, not a list"),
        (b'{"body": {"prompt": [1, 2]}}', "invalid_request", "prompt must be one string, not a list"),
        (b'{"body": {"prompt": "x", "model": 5}}', "invalid_request", "model must be a non-empty string, not 5"),
        (b'{"body": {"prompt": "x", "model": ""}}', "invalid_request", "model must be a non-empty string, not ''"),
        (b'{"body": {}, "url": "/v1/embeddings"}', "invalid_request", "input must be a string or a list of strings, not"),
        (b'{"body": {"input": []}}', "invalid_request", "input must be a string or a list of strings, not an empty one"),
        (b'{"body": {"input": [1, 2]}}', "invalid_request", "input must be a string or a list of strings, not token ids"),
        (b'{"body": {"input": [[1]]}}', "invalid_request", "input must be a string or a list of strings, not token ids"),
        (b'{"body": {"input": ["a", null]}}', "invalid_request", "input must be a string or a list of strings, not one wi"),
        (b'{"body": {"input": 5}}', "invalid_request", "input must be a string or a list of strings, not 5"),
        (b'{"input": 5}', "invalid_request", "input must be a string or a list of strings, not 5"),
        (b'{"body": {"input": "a", "encoding_format": "int8"}}', "invalid_request", "encoding_format must be 'float' or"),
        (b'{"body": {"input": "a", "dimensions": 0}}', "invalid_request", "dimensions must be a whole number >= 1, not 0"),
        (b'{"body": {"input": "a", "dimensions": true}}', "invalid_request", "dimensions must be a whole number >= 1, not"),
        (b'{"body": {}, "url": ["/v1"]}', "unsupported_url", "url must be /v1/chat/completions, /v1/completions or /v1/e"),
        (b'{"body": {}, "url": "/v1/responses"}', "unsupported_url", "url must be /v1/chat/completions, /v1/completions"),
        (b'{"body": {"prompt": "x", "n": 2}}', "unsupported_parameter", "n must be left out of a batch, not 2: give a li"),
        (b'{"body": {"prompt": "x", "logprobs": 21}}', "invalid_request", "logprobs must be a whole number from 0 to 20"),
        (b'{"body": {"prompt": "x", "logprobs": "5"}}', "invalid_request", "logprobs must be a whole number from 0 to 20"),
        (b'{"body": {"prompt": "x", "tools": [{}]}}', "unsupported_parameter", "tools must be left out of a batch, not"),
        (b'{"body": {"prompt": "x", "tool_choice": "required"}}', "unsupported_parameter", "tool_choice must be left out"),
        (b'{"body": {"messages": [], "tools": {}}}', "invalid_request", "tools must be a list of objects, not an object"),
        (b'{"body": {"messages": [], "tools": ["f"]}}', "invalid_request", "tools must be a list of objects, not a list"),
        (b'{"body": {"messages": [], "functions": [{}]}}', "unsupported_parameter", "functions must be left out of a batch"),
        (b'{"body": {"messages": [], "logprobs": 5}}', "invalid_request", "logprobs must be true or false, not 5"),
        (b'{"body": {"messages": [], "top_logprobs": 2}}', "invalid_request", "logprobs must be true where top_logprobs is"),
        (b'{"body": {"messages": [], "top_logprobs": 21, "logprobs": true}}', "invalid_request", "top_logprobs must be a"),
        (b'{"body": {"messages": [], "parallel_tool_calls": 1}}', "invalid_request", "parallel_tool_calls must be true or"),
    ],
)  # fmt: skip
def test_a_bad_line_is_a_row_with_an_error(line, code, message):
    row = row_of(line)
    assert row.error.code == code
    assert row.error.message.startswith(message)
    assert answered(failure_line(row, row.error)) == Answered(row.key, failed=True)


def test_a_line_in_the_form_of_openai():
    row = row_of({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
                  "body": {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 5}})  # fmt: skip
    assert (row.form, row.model, row.options, row.custom_id) == ("chat", "m", {"max_tokens": 5}, "a")
    assert row.prompt == [{"role": "user", "content": "x"}]
    assert row.key == 7


@pytest.mark.parametrize(
    ("body", "form"),
    [
        ({"messages": []}, "chat"),
        ({"prompt": "x"}, "completion"),
        ({"prompt": ["x"]}, "completion"),
        ({"input": "x"}, "embedding"),
        ({"input": ["x", ""]}, "embedding"),
    ],
)
def test_the_body_tells_the_form_where_there_is_no_url(body, form):
    row = row_of({"body": body})
    assert (row.form, row.error, row.custom_id) == (form, None, "7")


def test_a_line_with_a_prompt_is_plain_whatever_its_other_columns_are():
    assert row_of({"prompt": "x", "body": "a letter", "custom_id": 5, "url": "/"}).form == "plain"


def test_the_options_of_a_body():
    given = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "min_p": 0.1,
        "stop": ["a"],
        "seed": 3,
        "max_tokens": 9,
    }
    given |= {"presence_penalty": 1, "frequency_penalty": -1, "repetition_penalty": 1.1}
    assert row_of({"body": {"prompt": "x", **given}}).options == given


def test_the_newer_name_of_max_tokens():
    assert row_of({"body": {"prompt": "x", "max_completion_tokens": 9}}).options == {"max_tokens": 9}


def test_a_negative_seed_is_one_of_64_bits():
    assert row_of({"body": {"prompt": "x", "seed": -1}}).options == {"seed": 2**64 - 1}


def test_what_says_nothing_is_left_out():
    nothing = {
        "stop": [],
        "temperature": None,
        "n": 1,
        "best_of": 1,
        "logprobs": False,
        "tools": None,
        "logit_bias": {},
    }
    nothing |= {
        "stream": True,
        "stream_options": {"include_usage": True},
        "user": "me",
    }
    assert (
        row_of({"body": {"prompt": "x", **nothing}}).options,
        row_of({"body": {"prompt": "x", **nothing}}).error,
    ) == (
        {},
        None,
    )


def test_unknown_keys_of_a_body_are_told_once(caplog):
    for _ in range(3):
        assert row_of({"body": {"prompt": "x", "unheard_of_key": 1}}).error is None
    assert [record.getMessage() for record in caplog.records] == [
        "unknown keys of a body are ignored, as 'unheard_of_key': told once for each key"
    ]


@pytest.mark.parametrize(
    ("line", "prompting", "roles"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, Prompting(system="s"), ["system", "user"]),
        ({"messages": [{"role": "system", "content": "x"}]}, Prompting(system="s"), ["system"]),
        ({"messages": [{"role": "developer", "content": "x"}]}, Prompting(system="s"), ["developer"]),
        (
            {"body": {"messages": [{"role": "user", "content": "x"}]}},
            Prompting(system="s"),
            ["system", "user"],
        ),
        ({"messages": ["no message"]}, Prompting(system="s"), ["system", None]),
        ({"prompt": "x"}, Prompting(system="s"), ["system", "user"]),
        ({"prompt": "x"}, Prompting(chat=True), ["user"]),
        ({"messages": [{"role": "user", "content": "x"}]}, Prompting(chat=True), ["user"]),
    ],
)
def test_how_lines_become_conversations(line, prompting, roles):
    prompt = row_of(line, prompting=prompting).prompt
    assert [getattr(message, "get", {}.get)("role") for message in prompt] == roles


def test_the_prompt_of_a_completion_stays_a_text():
    assert row_of({"body": {"prompt": "x"}}, prompting=Prompting(system="s", chat=True)).prompt == "x"


def test_the_answer_of_a_plain_line():
    row = row_of({"id": 17, "prompt": "x", "output": "an older one", "title": "é"})
    line = answer_line(row, generation(input_tokens=3, output_tokens=2))
    assert json.loads(line) == {
        "id": 17, "prompt": "x", "title": "é", "output": "Hi", "finish_reason": "stop", "input_tokens": 3,
        "output_tokens": 2, "time_to_first_token": 0.25, "error": None,
    }  # fmt: skip
    assert "é".encode() in line
    assert line.count(b"\n") == 1
    assert answered(line) == Answered(row.key, failed=False)


@pytest.mark.parametrize(
    ("body", "kind", "name", "choice"),
    [
        (
            {"messages": []},
            "chat.completion",
            "chatcmpl-r1",
            {"message": {"role": "assistant", "content": "Hi"}},
        ),
        ({"prompt": "x"}, "text_completion", "cmpl-r1", {"text": "Hi"}),
    ],
)
def test_the_answer_of_a_line_of_openai(body, kind, name, choice):
    row = row_of({"custom_id": "a", "body": body})
    line = answer_line(row, generation(input_tokens=3, output_tokens=2))
    found = json.loads(line)
    body = found["response"]["body"]
    assert isinstance(body.pop("created"), int)
    assert found == {
        "id": "batch_req_7",
        "custom_id": "a",
        "response": {"status_code": 200, "request_id": "r1", "body": body},
        "error": None,
    }
    assert body == {
        "id": name,
        "object": kind,
        "model": "m",
        "choices": [{"index": 0, **choice, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
    assert answered(line) == Answered(7, failed=False)


@pytest.mark.parametrize(
    ("reason", "told"), [(FinishReason.LENGTH, "length"), (FinishReason.OTHER, "stop"), (None, "stop")]
)
def test_what_the_server_does_not_say(reason, told):
    """Its counts are null; a reason is never null in OpenAI's form, and a text that was not cut has stopped."""
    found = json.loads(answer_line(row_of({"body": {"prompt": "x"}}), generation(reason=reason)))
    body = found["response"]["body"]
    assert (body["usage"], body["choices"][0]["finish_reason"]) == (None, told)


TOOL = {"type": "function", "function": {"name": "now"}}


@pytest.mark.parametrize(
    ("body", "options", "one_call"),
    [
        ({"tools": [TOOL], "tool_choice": "required"}, {"tools": [TOOL], "tool_choice": "required"}, False),
        ({"tools": [TOOL], "parallel_tool_calls": False}, {"tools": [TOOL]}, True),
        ({"tools": [], "tool_choice": "auto"}, {"tool_choice": "auto"}, False),
        ({"logprobs": True}, {"logprobs": True}, False),
        ({"logprobs": True, "top_logprobs": 3}, {"logprobs": 3}, False),
        ({"logprobs": True, "top_logprobs": 0}, {"logprobs": True}, False),
        ({"logprobs": False, "top_logprobs": 0}, {}, False),
    ],
)
def test_what_a_chat_asks_for(body, options, one_call):
    row = row_of({"body": {"messages": [], **body}})
    assert (row.error, row.options, row.asks["one_call"]) == (None, options, one_call)


@pytest.mark.parametrize(
    ("logprobs", "options"),
    [(0, {"logprobs": True}), (3, {"logprobs": 3}), (True, {"logprobs": True}), (False, {})],
)
def test_the_log_probabilities_of_a_completion(logprobs, options):
    assert row_of({"body": {"prompt": "x", "logprobs": logprobs}}).options == options


CALLS = (ToolCall("call_1", "now", "{}"), ToolCall("call_2", "now", '{"zone": "UTC"}'))


@pytest.mark.parametrize(("parallel", "count"), [({}, 2), ({"parallel_tool_calls": False}, 1)])
def test_an_answer_with_calls(parallel, count):
    row = row_of({"body": {"messages": [], "tools": [TOOL], **parallel}})
    found = json.loads(answer_line(row, replace(generation(""), tool_calls=CALLS, reasoning="Hm.")))
    (choice,) = found["response"]["body"]["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": '{"zone": "UTC"}'}},
        ][:count],
        "reasoning_content": "Hm.",
    }


TOKENS = (
    TokenLogprob(
        logprob=-0.5, token="é", top_logprobs=(TokenLogprob(logprob=-0.5, token="é"), TokenLogprob(logprob=-2.0, token="b"))
    ),
    TokenLogprob(logprob=float("-inf"), token="\ufffd"),
    TokenLogprob(logprob=-1.0),
)  # fmt: skip


def test_the_log_probabilities_of_an_answer():
    told = replace(generation("éx"), logprobs=TOKENS)
    (choice,) = json.loads(answer_line(row_of({"body": {"messages": []}}), told))["response"]["body"][
        "choices"
    ]
    first = {"token": "é", "bytes": [195, 169], "logprob": -0.5}
    content = [
        {**first, "top_logprobs": [first, {"token": "b", "bytes": [98], "logprob": -2.0}]},
        {"token": "\ufffd", "bytes": None, "logprob": -9999.0, "top_logprobs": []},
        {"token": "", "bytes": None, "logprob": -1.0, "top_logprobs": []},
    ]
    assert choice["logprobs"] == {"content": content, "refusal": None}
    (choice,) = json.loads(answer_line(row_of({"body": {"prompt": "x"}}), told))["response"]["body"][
        "choices"
    ]
    assert choice["logprobs"] == {
        "tokens": ["é", "\ufffd", ""],
        "token_logprobs": [-0.5, -9999.0, -1.0],
        "top_logprobs": [{"é": -0.5, "b": -2.0}, {}, {}],
        "text_offset": [0, 1, 2],
    }
    assert json.loads(answer_line(row_of({"prompt": "x"}), told))["logprobs"] == content


def test_calls_and_reasoning_of_a_plain_line():
    line = json.loads(
        answer_line(
            row_of({"id": 1, "prompt": "x"}), replace(generation(""), tool_calls=CALLS[:1], reasoning="Hm.")
        )
    )
    assert [call["function"]["name"] for call in line["tool_calls"]] == ["now"]
    assert line["reasoning"] == "Hm."
    # The answer is the input of another batch, and its answer has none.
    row = row_of(line)
    assert row.key == row_of({"id": 1, "prompt": "x"}).key
    assert not {"tool_calls", "reasoning"} & json.loads(answer_line(row, generation())).keys()


def test_columns_with_the_names_of_what_an_answer_has_not_stay():
    columns = {"id": 1, "prompt": "x", "reasoning": "mine", "embedding": [1]}
    line = json.loads(answer_line(row_of(columns), generation()))
    assert (line["reasoning"], line["embedding"]) == ("mine", [1])
    assert answered(json.dumps(line).encode()).key == row_of(columns).key


@pytest.mark.parametrize(
    ("form", "vector"), [({}, [1.5, -2.0]), ({"encoding_format": "base64"}, "AADAPwAAAMA=")]
)
def test_the_vectors_of_a_line_of_openai(form, vector):
    row = row_of({"custom_id": "a", "url": "/v1/embeddings", "body": {"input": ["x", "y"], **form}})
    line = answer_line(row, embedding([[1.5, -2], [1.5, -2]]))
    assert json.loads(line) == {
        "id": "batch_req_7",
        "custom_id": "a",
        "response": {
            "status_code": 200,
            "request_id": "embd-1",
            "body": {
                "object": "list",
                "data": [{"object": "embedding", "index": index, "embedding": vector} for index in (0, 1)],
                "model": "e",
                "usage": {"prompt_tokens": 0, "total_tokens": 0},
            },
        },
        "error": None,
    }
    assert answered(line) == Answered(7, failed=False)


@pytest.mark.parametrize(("texts", "vectors"), [("x", [1.0, 2.0]), (["x"], [[1.0, 2.0]])])
def test_the_vectors_of_a_plain_line(texts, vectors):
    row = row_of({"id": 1, "input": texts, "output": "an older one", "error": None, "n": 5})
    line = answer_line(row, embedding([[1, 2]]))
    assert json.loads(line) == {"id": 1, "input": texts, "n": 5, "embedding": vectors, "error": None}
    assert answered(line) == Answered(row.key, failed=False)
    failed = json.loads(failure_line(row, RowError("overloaded", "no room")))
    assert (failed["embedding"], failed["error"]["code"]) == (None, "overloaded")
    assert answered(failure_line(row, RowError("overloaded", "no room"))) == Answered(row.key, failed=True)


def test_a_vector_that_json_cannot_hold():
    row = row_of({"body": {"input": "x"}})
    with pytest.raises(ValueError, match="JSON"):
        answer_line(row, embedding([[float("nan")]]))


def test_an_error_of_either_form():
    error = RowError("overloaded", "no room")
    plain = json.loads(failure_line(row_of({"id": 1, "prompt": "x"}), error))
    assert plain["error"] == {"code": "overloaded", "message": "no room"}
    assert (plain["id"], plain["output"], plain["output_tokens"]) == (1, None, None)
    assert json.loads(failure_line(row_of({"custom_id": "a", "body": {"prompt": "x"}}), error)) == {
        "id": "batch_req_7",
        "custom_id": "a",
        "response": None,
        "error": {"code": "overloaded", "message": "no room"},
    }


def test_the_error_of_a_request_has_a_code():
    assert error_of(OverloadedError("no room", model="m")) == RowError("overloaded", "no room (model 'm')")
    assert error_of(DeadlineExceededError("late")).code == "deadline_exceeded"
    assert error_of(ConnectionFailedError("gone")).code == "connection_failed"
    assert error_of(IncompleteStreamError("cut")).code == "incomplete"
    assert error_of(ProtocolError("what?")).code == "protocol_error"
    assert error_of(ContextLengthError("too long")).code == "context_length_exceeded"
    assert error_of(PromptError("no")).code == "invalid_prompt"


def test_half_a_surrogate_pair_is_escaped():
    row = row_of(b'{"id": 1, "prompt": "\\ud800"}')
    line = answer_line(row, generation("é"))
    assert json.loads(line)["prompt"] == "\ud800"
    assert answered(line) == Answered(row.key, failed=False)


def test_a_number_that_json_cannot_write_is_an_error():
    row = row_of(b'{"prompt": "x", "n": 1e999}')
    with pytest.raises(ValueError, match="JSON"):
        answer_line(row, generation())
    assert json.loads(failure_line(row, RowError("invalid_line", "m")))["id"] == 7


def test_the_key_of_a_plain_line_is_all_its_columns():
    keys = {
        row_of(line, number).key
        for number, line in enumerate(
            [
                {"prompt": "x"},
                {"prompt": "x"},
                {"id": 1, "prompt": "x"},
                {"id": 1, "prompt": "y"},
                {"id": "1", "prompt": "x"},
            ],
            5,
        )
    }
    assert len(keys) == 5
    assert row_of({"id": 1, "prompt": "x"}, 1).key == row_of({"prompt": "x", "id": 1, "output": "old"}, 2).key


@pytest.mark.parametrize(
    "line",
    [b"", b"\0\0", b"{", b"5", b"[]", b"{}", b'{"id": 1}', b'{"error": null}',
        b'{"id": "batch_req_x", "custom_id": 1, "response": 1, "error": null}'],
)  # fmt: skip
def test_what_is_no_line_of_a_batch(line):
    assert answered(line) is None


def test_objects_need_not_be_dicts():
    class Record(dict):
        pass

    assert read_object(Record(prompt="x"), 1, TEXT).prompt == "x"


NAMES = st.sampled_from(
    [
        "id",
        "custom_id",
        "prompt",
        "messages",
        "body",
        "url",
        "method",
        "output",
        "error",
        "model",
        "max_tokens",
        "seed",
        "n",
        "input",
        "embedding",
        "tools",
        "tool_choice",
        "logprobs",
        "top_logprobs",
        "parallel_tool_calls",
        "encoding_format",
        "dimensions",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
LINES = st.dictionaries(NAMES, JSON, max_size=6)


@given(LINES | JSON, st.booleans(), st.none() | st.just("s"))
def test_any_json_is_a_row_whose_error_belongs_to_it(line, chat, system):
    data = json.dumps(line).encode()
    row = read_line(data, 7, Prompting(system=system, chat=chat))
    written = failure_line(row, row.error or RowError("overloaded", "m"))
    assert written.count(b"\n") == 1
    if row.error is None or row.error.code != "invalid_line":
        again = read_line(data, 7, TEXT)
        assert again.key == row.key
        assert answered(written) == Answered(row.key, failed=True)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_row_or_blank(data):
    row = read_line(data, 7, TEXT)
    assert row is None or row.error or row.prompt is not None


@given(LINES, st.text(max_size=10))
def test_an_answer_belongs_to_its_line(line, text):
    row = read_line(json.dumps(line).encode(), 7, TEXT)
    if row.error is None:
        outcome = embedding([[1.5], [2.5]]) if row.embeds else generation(text)
        written = answer_line(row, outcome)
        assert answered(written) == Answered(row.key, failed=False)
        assert written.count(b"\n") == 1
