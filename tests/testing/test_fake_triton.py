"""What FakeTriton offers to the tests of its users beyond the protocol."""

import pytest
from local.raw_client import RawClient, request

from nupic_client._core.kserve import wire
from nupic_client.local.engine import ServedModel
from nupic_client.signature import TensorSpec
from nupic_client.testing import FakeTriton, Reply, ScriptedEngine, silence, sleep, text_signature

pytest_plugins = ("nupic_client.testing.fixtures",)


def test_the_fixture_is_a_running_server(fake_triton):
    with RawClient(fake_triton.url) as client:
        assert client.text(request()) == "Hello, world!"


def test_the_reply_can_be_changed_while_it_runs(fake_triton):
    with RawClient(fake_triton.url) as client:
        for reply in (["one"], "two", Reply(["three"]), lambda _seen: "four", lambda _seen: Reply(["five"])):
            fake_triton.reply = reply
            assert fake_triton.reply is reply
            client.text(request())
        texts = []
        for reply in (["one"], "two", Reply(["three"]), lambda _seen: "four", lambda _seen: Reply(["five"])):
            fake_triton.reply = reply
            texts.append(client.text(request()))
    assert texts == ["one", "two", "three", "four", "five"]


def test_a_reply_may_be_a_generator_function(fake_triton):
    def reply(seen):
        for word in seen.prompt.split():
            yield word
            yield sleep(0.001)

    fake_triton.reply = reply
    with RawClient(fake_triton.url) as client:
        assert client.text(request("a b c")) == "abc"


def test_requests_are_recorded_as_they_came(fake_triton):
    message = request(
        "Hi",
        request_id="id-1",
        version="1",
        outputs=["text_output"],
        max_tokens=5,
        seed=2**64 - 1,
        stop=["x"],
    )
    message.parameters["priority"].int64_param = 3
    message.parameters["note"].string_param = "n"
    message.parameters["empty"].SetInParent()
    message.inputs[0].parameters["content_type"].string_param = "str"
    message.outputs[0].parameters["n"].int64_param = 1
    with RawClient(fake_triton.url) as client:
        list(client.stream(message, metadata=[("authorization", "secret"), ("data-bin", b"\x00")]))
        client.unary("ModelInfer", request("Ho", model="gpt"))
    first, second = fake_triton.requests
    assert (first.model, first.version, first.request_id, first.prompt) == (
        "gpt.streaming",
        "1",
        "id-1",
        "Hi",
    )
    assert first.inputs == {"text_input": "Hi", "max_tokens": 5, "seed": 2**64 - 1, "stop": ["x"]}
    assert first.parameters == {wire.EMPTY_FINAL_PARAMETER: True, "priority": 3, "note": "n", "empty": ""}
    assert (first.metadata["authorization"], first.metadata["data-bin"]) == ("secret", b"\x00")
    assert (first.method, first.outputs) == ("ModelStreamInfer", ("text_output",))
    assert first.input_parameters == {"text_input": {"content_type": "str"}}
    assert first.output_parameters == {"text_output": {"n": 1}}
    assert (second.input_parameters, second.output_parameters) == ({}, {})
    assert (second.method, second.model, second.prompt) == ("ModelInfer", "gpt", "Ho")


def test_refused_and_damaged_requests_are_recorded_too(fake_triton):
    with RawClient(fake_triton.url) as client:
        list(client.stream(request("x", model="nope")))
        damaged = request()
        damaged.raw_input_contents[0] = b"\x01"
        list(client.stream(damaged))
        odd = request(b"\xff")
        odd.inputs.add(name="odd", datatype="BF16", shape=[1])
        odd.raw_input_contents.append(b"\x80\x00")
        list(client.stream(odd))
    assert [item.prompt for item in fake_triton.requests] == ["x", "", ""]
    assert fake_triton.requests[1].inputs == {}
    assert fake_triton.requests[2].inputs == {"text_input": b"\xff", "odd": b"\x80\x00"}


def test_what_was_seen_can_be_forgotten(fake_triton):
    fake_triton.reply = ["a", silence()]
    with RawClient(fake_triton.url) as client:
        call = client.stream(request())
        next(call)
        call.cancel()
        fake_triton.wait_for_cancellation()
        assert len(fake_triton.wait_for_requests()) == 1
    assert len(fake_triton.cancellations) == 1
    fake_triton.clear()
    assert (fake_triton.requests, fake_triton.cancellations) == ((), ())


def test_waiting_in_vain_says_what_came_instead(fake_triton):
    with RawClient(fake_triton.url) as client:
        client.text(request(request_id="r7"))
    with pytest.raises(AssertionError, match=r"1 of 2 requests arrived within 0\.01 s: \['r7'\]"):
        fake_triton.wait_for_requests(2, timeout=0.01)
    with pytest.raises(
        AssertionError, match=r"0 of 1 generations were cancelled within 0\.01 s \(1 requests arrived\)"
    ):
        fake_triton.wait_for_cancellation(timeout=0.01)


def test_models_of_ones_own():
    models = [
        text_signature("scripted", options=["max_tokens"]),
        ServedModel("own", text_signature("own"), ScriptedEngine(["mine"]), final="with_last"),
    ]
    with FakeTriton(["shared"], models=models) as server, RawClient(server.url) as client:
        assert client.text(request(model="scripted")) == "shared"
        assert client.text(request(model="own")) == "mine"


def test_the_url_is_empty_before_the_start():
    server = FakeTriton()
    assert server.url == ""
    server.stop()


@pytest.mark.parametrize("wait", ["wait_for_requests", "wait_for_cancellation"])
def test_a_timeout_is_not_taken_for_a_count(fake_triton, wait):
    with pytest.raises(TypeError):
        getattr(fake_triton, wait)(1, 0.01)


def test_an_output_with_several_free_dimensions_is_one_row():
    models = [text_signature("gpt.streaming", outputs_before=[TensorSpec("logits", "FP32", (-1, 2, -1))])]
    with (
        FakeTriton([{"logits": [0.0] * 6, "text_output": "x"}], models=models) as server,
        RawClient(server.url) as client,
    ):
        first, *_ = client.stream(request("Hi"))
    assert list(first.infer_response.outputs[0].shape) == [1, 2, 3]
