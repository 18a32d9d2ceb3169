"""ModelStreamInfer and ModelInfer: content, the end of a stream, many requests at once, cancels."""

import itertools
import logging
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from local.raw_client import HeldOpen, RawClient, is_final, output_of, request, text_of

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import encode_tensor
from nupic_client.signature import ModelSignature, TensorSpec
from nupic_client.testing import (
    FakeTriton,
    Reply,
    ScriptedEngine,
    ServedModel,
    abort,
    end,
    raw,
    silence,
    sleep,
    text_signature,
)


@pytest.fixture
def server():
    with FakeTriton(["a", "b", "c"]) as server:
        yield server


@pytest.fixture
def client(server):
    with RawClient(server.url) as client:
        yield client


OPTIONAL_OUTPUTS = {
    "return_finish_reason": True,
    "return_num_input_tokens": True,
    "return_num_output_tokens": True,
}


def reports_of(messages):
    names = ("finish_reason", "num_input_tokens", "num_output_tokens")
    return [tuple(output_of(item.infer_response, name) for name in names) for item in messages]


@pytest.mark.parametrize(
    ("placement", "marker", "finals"),
    [
        ("separate", False, [False, False, False]),
        ("separate", True, [False, False, False, True]),
        ("with_last", False, [False, False, True]),
        ("with_last", True, [False, False, True]),
    ],
)
def test_the_end_of_a_stream(placement, marker, finals):
    with FakeTriton(["a", "b", "c"], final=placement) as server, RawClient(server.url) as client:
        call = client.stream(request(marker=marker))
        messages = list(call)
    assert [is_final(item) for item in messages] == finals
    assert [text_of(item) for item in messages[:3]] == [b"a", b"b", b"c"]
    assert {item.infer_response.id for item in messages} == {"r1"}
    assert {item.infer_response.model_name for item in messages} == {"gpt.streaming"}
    if len(messages) == 4:
        assert not messages[3].infer_response.outputs
        assert not messages[3].infer_response.raw_output_contents
    assert call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize(("placement", "count"), [("separate", 1), ("with_last", 1)])
def test_an_answer_without_tokens(placement, count):
    with FakeTriton([], final=placement) as server, RawClient(server.url) as client:
        assert list(client.stream(request(marker=False))) == []
        messages = list(client.stream(request()))
        assert [is_final(item) for item in messages] == [True] * count
        assert not messages[0].infer_response.outputs


def test_a_reply_may_place_its_own_final_mark(client, server):
    server.reply = Reply(["a", "b"], final="with_last")
    assert [is_final(item) for item in client.stream(request())] == [False, True]
    server.reply = Reply(["a", sleep(0.001)], final="with_last")
    assert [is_final(item) for item in client.stream(request())] == [False, True]


def test_a_token_may_be_empty_or_cut_inside_a_character(client, server):
    server.reply = ["", "né"[:2].encode()[:2], "é".encode()[1:]]
    assert [text_of(item) for item in client.stream(request(marker=False))] == [b"", b"n\xc3", b"\xa9"]
    assert [len(item.infer_response.outputs) for item in client.stream(request(marker=False))] == [1, 1, 1]


def test_facts_stand_on_every_response_if_they_are_asked_for(client):
    messages = list(client.stream(request("two words", marker=False, **OPTIONAL_OUTPUTS)))
    assert reports_of(messages) == [(b"None", 2, 1)] * 3 + [(b"stop", 2, 0)]


def test_facts_of_an_answer_with_the_mark_on_its_last_content(client, server):
    server.reply = Reply(["a", "b"], final="with_last", input_tokens=9)
    messages = list(client.stream(request(**OPTIONAL_OUTPUTS)))
    assert reports_of(messages) == [(b"None", 9, 1), (b"stop", 9, 1)]


@pytest.mark.parametrize("placement", ["separate", "with_last"])
def test_max_tokens_cuts_the_answer(client, server, placement):
    server.reply = Reply(["a", "b", "c"], final=placement)
    messages = list(client.stream(request(max_tokens=2, return_finish_reason=True)))
    contents = [item for item in messages if item.infer_response.outputs]
    assert b"".join(map(text_of, messages)) == b"ab"
    assert output_of(contents[-1].infer_response, "finish_reason") == b"length"
    assert is_final(messages[-1]) is True


def test_max_tokens_that_are_just_enough_cut_nothing(client):
    messages = list(client.stream(request(max_tokens=3, marker=False, return_finish_reason=True)))
    assert output_of(messages[-1].infer_response, "finish_reason") == b"stop"


def test_a_reply_may_ignore_max_tokens(client, server):
    server.reply = Reply(["a", "b", "c"], honour_max_tokens=False)
    assert client.text(request(max_tokens=1)) == "abc"


def test_only_the_outputs_asked_for_are_sent(client):
    messages = list(
        client.stream(request(marker=False, outputs=["finish_reason"], return_finish_reason=True))
    )
    assert {tuple(out.name for out in item.infer_response.outputs) for item in messages} == {
        ("finish_reason",)
    }


def test_inputs_may_come_as_typed_contents(client, server):
    message = wire.pb.ModelInferRequest(model_name="gpt.streaming")
    message.inputs.add(name="text_input", datatype="BYTES", shape=[1]).contents.bytes_contents.append(
        b"hello"
    )
    message.inputs.add(name="max_tokens", datatype="INT32", shape=[1]).contents.int_contents.append(2)
    message.inputs.add(name="temperature", datatype="FP32", shape=[1]).contents.fp32_contents.append(0.5)
    message.inputs.add(name="seed", datatype="UINT64", shape=[1]).contents.uint64_contents.append(2**63)
    message.inputs.add(name="stop", datatype="BYTES", shape=[2]).contents.bytes_contents.extend([b"x", b"y"])
    assert client.text(message) == "ab"
    assert server.requests[-1].inputs == {
        "text_input": "hello",
        "max_tokens": 2,
        "temperature": 0.5,
        "seed": 2**63,
        "stop": ["x", "y"],
    }


def test_the_version_asked_for_is_the_version_of_the_answer(client):
    (first, *_) = client.stream(request(version="1"))
    assert first.infer_response.model_version == "1"


# --- models that answer once


def test_a_model_that_answers_once_gives_one_message_on_a_stream(client):
    (answer,) = client.stream(request(model="gpt", **OPTIONAL_OUTPUTS))
    assert (text_of(answer), is_final(answer)) == (b"abc", True)
    assert reports_of([answer]) == [(b"stop", 1, 3)]


def test_a_model_that_answers_once_answers_a_unary_call(client):
    response = client.unary("ModelInfer", request(model="gpt", max_tokens=2, return_finish_reason=True))
    assert output_of(response, "text_output") == b"ab"
    assert output_of(response, "finish_reason") == b"length"
    assert response.id == "r1"
    assert wire.FINAL_PARAMETER not in response.parameters


def test_numbers_in_a_batch_have_the_shape_of_the_batch():
    signature = ModelSignature(
        "embed",
        {"text_input": TensorSpec("text_input", "BYTES")},
        {"embedding": TensorSpec("embedding", "FP32", (2,))},
        max_batch_size=8,
    )
    with (
        FakeTriton([{"embedding": [1.0, 2.0, 3.0, 4.0]}], models=[signature]) as server,
        RawClient(server.url) as client,
    ):
        message = request(["a", "b"], model="embed")
        message.inputs[0].shape[:] = [2, 1]
        response = client.unary("ModelInfer", message)
        assert list(response.outputs[0].shape) == [2, 2]
        assert response.raw_output_contents[0] == encode_tensor("FP32", [1.0, 2.0, 3.0, 4.0])
        assert server.requests[0].inputs == {"text_input": ["a", "b"]}
        assert server.requests[0].prompt == ""


def test_a_plain_batched_model_with_an_output_before_the_text():
    signature = text_signature(
        "plain", options=[], max_batch_size=1, outputs_before=[TensorSpec("scores", "FP32", (-1,))]
    )
    with FakeTriton([{"scores": [0.5, 0.25], "text_output": "a"}, "b"], models=[signature]) as server:
        message = request(model="plain", marker=False)
        message.inputs[0].shape[:] = [1, 1]
        with RawClient(server.url) as client:
            first, second = client.stream(message)
    assert [(out.name, list(out.shape)) for out in first.infer_response.outputs] == [
        ("scores", [1, 2]),
        ("text_output", [1, 1]),
    ]
    assert text_of(second) == b"b"


def test_the_chunks_of_a_whole_answer_keep_their_outputs(client, server):
    server.reply = ["a", {"finish_reason": "odd"}, "b"]
    (answer,) = client.stream(request(model="gpt"))
    assert output_of(answer.infer_response, "finish_reason") == b"odd"
    assert text_of(answer) == b"ab"


# --- hostile answers


def test_an_abort_ends_the_stream_with_a_status(client, server):
    server.reply = ["a", abort("UNAVAILABLE", "Socket closed")]
    call = client.stream(request())
    assert text_of(next(call)) == b"a"
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAVAILABLE, "Socket closed")


def test_an_abort_ends_a_unary_call(client, server):
    server.reply = [abort("RESOURCE_EXHAUSTED", "full")]
    with pytest.raises(grpc.RpcError) as caught:
        client.unary("ModelInfer", request(model="gpt"))
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "full")


def test_an_end_leaves_out_the_final_mark(client, server):
    server.reply = ["a", end(), "b"]
    call = client.stream(request())
    assert [(text_of(item), is_final(item)) for item in call] == [(b"a", False)]
    assert call.code() is grpc.StatusCode.OK
    assert client.unary("ModelInfer", request(model="gpt")) == wire.pb.ModelInferResponse()


def test_raw_responses_are_sent_as_they_are(client, server):
    odd = wire.pb.ModelStreamInferResponse(error_message="odd")
    server.reply = [
        raw(odd),
        raw(odd.SerializeToString()),
        raw(lambda seen: wire.pb.ModelStreamInferResponse(error_message=seen.prompt)),
    ]
    answers = list(client.stream(request("echo", marker=False)))
    assert [item.error_message for item in answers] == ["odd", "odd", "echo"]
    server.reply = [raw(wire.pb.ModelInferResponse(id="raw"))]
    assert client.unary("ModelInfer", request(model="gpt")).id == "raw"
    server.reply = [raw(wire.pb.ModelStreamInferResponse(infer_response=wire.pb.ModelInferResponse(id="in")))]
    assert client.unary("ModelInfer", request(model="gpt")).id == "in"


def test_bytes_that_are_no_message_break_the_client_not_the_server(client, server):
    server.reply = [raw(b"\xff\xff\xff")]
    with pytest.raises(grpc.RpcError):
        list(client.stream(request()))
    server.reply = ["fine"]
    assert client.text(request()) == "fine"


# --- many requests


def test_requests_on_one_stream_are_answered_at_the_same_time(client, server):
    server.reply = lambda seen: [seen.prompt, silence()] if seen.prompt == "held" else [seen.prompt]
    requests = HeldOpen()
    call = client.streams(requests)
    requests.send(request("held", request_id="1", marker=False))
    assert text_of(next(call)) == b"held"
    for number in ("2", "3"):
        requests.send(request("quick", request_id=number))
        messages = [next(call), next(call)]
        assert [(item.infer_response.id, is_final(item)) for item in messages] == [
            (number, False),
            (number, True),
        ]
    requests.send(request(model="nope", request_id="4"))
    assert next(call).infer_response.id == "4"
    call.cancel()
    requests.close()
    (cancelled,) = server.wait_for_cancellation()
    assert (cancelled.request_id, cancelled.tokens_sent) == ("1", 1)


def test_a_held_open_stream_ends_when_it_is_half_closed(client):
    requests = HeldOpen()
    call = client.streams(requests)
    requests.send(request(request_id="1"))
    assert [is_final(next(call)) for _ in range(4)] == [False, False, False, True]
    requests.close()
    assert list(call) == []
    assert call.code() is grpc.StatusCode.OK


def test_messages_of_requests_interleave(client, server):
    server.reply = lambda seen: itertools.chain.from_iterable((seen.prompt, sleep(0.01)) for _ in range(5))
    answers = list(client.streams(request(name, request_id=name, marker=False) for name in ("x", "y", "z")))
    assert sorted(item.infer_response.id for item in answers) == ["x"] * 5 + ["y"] * 5 + ["z"] * 5
    assert {item.infer_response.id for item in answers[:6]} == {"x", "y", "z"}


def test_a_hundred_streams_at_once(client, server):
    server.reply = lambda seen: [seen.prompt, sleep(0.5), "!"]
    started = time.monotonic()
    calls = [client.stream(request(str(number), request_id=str(number))) for number in range(100)]
    with ThreadPoolExecutor(100) as pool:
        texts = list(pool.map(lambda call: b"".join(map(text_of, call)).decode(), calls))
    assert texts == [f"{number}!" for number in range(100)]
    assert time.monotonic() - started < 20  # one after the other it would be 50
    assert len(server.requests) == 100


def test_an_engine_does_not_run_far_ahead_of_a_slow_reader(client, server):
    made = itertools.count()
    server.reply = lambda _seen: ("x" * 100_000 for _ in iter(lambda: next(made), -1))
    call = client.stream(request())
    next(call)
    time.sleep(0.2)
    assert next(made) < 500
    call.cancel()
    server.wait_for_cancellation()


# --- cancels


@pytest.mark.parametrize("step", [sleep(60), silence()], ids=["delay", "silence"])
def test_a_cancel_takes_effect_at_once(client, server, step):
    server.reply = ["a", step, "b"]
    call = client.stream(request(request_id="c1"))
    next(call)
    call.cancel()
    started = time.monotonic()
    (cancelled,) = server.wait_for_cancellation()
    assert time.monotonic() - started < 0.5
    assert (cancelled.request_id, cancelled.tokens_sent, cancelled.model) == ("c1", 1, "gpt.streaming")


def test_a_deadline_cancels(client, server):
    server.reply = [silence()]
    call = client.channel.unary_unary(
        wire.method_path("ModelInfer"),
        request_serializer=wire.pb.ModelInferRequest.SerializeToString,
        response_deserializer=wire.pb.ModelInferResponse.FromString,
    )
    with pytest.raises(grpc.RpcError) as caught:
        call(request(model="gpt"), timeout=0.1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    server.wait_for_cancellation()


def test_a_finished_answer_is_not_a_cancelled_one(client, server):
    for placement in ("separate", "with_last"):
        server.reply = Reply(["a"], final=placement)
        call = client.stream(request())
        while not is_final(next(call)):
            pass
        call.cancel()
    server.reply = [silence()]
    client.stream(request(request_id="last")).cancel()
    server.reply = ["a", silence()]
    call = client.stream(request(request_id="held"))
    next(call)
    call.cancel()
    assert "r1" not in {item.request_id for item in server.wait_for_cancellation()}


def test_an_engine_of_ones_own_is_logged_when_it_fails(caplog):
    class Broken(ScriptedEngine):
        def generate(self, request, cancelled):
            raise RuntimeError("broken")
            yield

    model = ServedModel("own", text_signature("own"), Broken([]), versions=("1", "2"))
    with (
        FakeTriton(models=[model]) as server,
        RawClient(server.url) as client,
        caplog.at_level(logging.ERROR),
    ):
        (answer,) = client.stream(request(model="own"))
    assert answer.error_message == "RuntimeError: broken"
    assert answer.infer_response.model_version == ""
    assert "the engine of model 'own' failed" in caplog.text


def test_content_states_the_version_that_answers_and_what_has_no_content_the_one_asked_for():
    model = ServedModel("own", text_signature("own"), ScriptedEngine(["a"]), versions=("1", "2"))
    with FakeTriton(models=[model]) as server, RawClient(server.url) as client:
        for version, stated in (("", ["2", ""]), ("1", ["1", "1"]), ("01", ["1", "01"])):
            answers = client.stream(request(model="own", version=version))
            assert [answer.infer_response.model_version for answer in answers] == stated
