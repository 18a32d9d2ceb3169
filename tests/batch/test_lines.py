"""Lines of both forms: to rows, and from answers; nothing is sent."""

import json

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
from nupic_client.batch.row import RowError, error_of

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
        (b"{}", "invalid_request", "a line must have a prompt (a string), messages (a list) or a body"),
        (b'{"prompt": null}', "invalid_request", "a line must have a prompt"),
        (b'{"prompt": 5}', "invalid_request", "a line must have a prompt (a string), messages (a list) or a body, not a"),
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
        (b'{"body": {}, "url": "/v1/embeddings"}', "unsupported_url", "url must be /v1/chat/completions or /v1/comp"),
        (b'{"body": {}, "url": ["/v1"]}', "unsupported_url", "url must be /v1/chat/completions or /v1/completions, not"),
        (b'{"body": {"prompt": "x", "n": 2}}', "unsupported_parameter", "n must be left out of a batch, not 2"),
        (b'{"body": {"prompt": "x", "logprobs": 5}}', "unsupported_parameter", "logprobs must be left out"),
        (b'{"body": {"messages": [], "tools": [{}]}}', "unsupported_parameter", "tools must be left out"),
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
    [({"messages": []}, "chat"), ({"prompt": "x"}, "completion"), ({"prompt": ["x"]}, "completion")],
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
    ("reason", "told"), [(FinishReason.LENGTH, "length"), (FinishReason.OTHER, None), (None, None)]
)
def test_what_the_server_does_not_say_is_null(reason, told):
    found = json.loads(answer_line(row_of({"body": {"prompt": "x"}}), generation(reason=reason)))
    body = found["response"]["body"]
    assert (body["usage"], body["choices"][0]["finish_reason"]) == (None, told)


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
        written = answer_line(row, generation(text))
        assert answered(written) == Answered(row.key, failed=False)
        assert written.count(b"\n") == 1
