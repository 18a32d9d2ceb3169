"""NVIDIA Dynamo's KServe frontend, as `FakeTriton` plays it by Dynamo's source."""

from __future__ import annotations

import asyncio

import pytest
from backends.signatures import PLAIN, changed, results, sent, specs
from facade.conftest import by_async_iterator, by_iterator

from nupic_client import (
    ConfigurationError,
    FinishReason,
    InferenceClient,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    RequestRejectedError,
    SamplingParams,
    ServerClient,
    StreamingClient,
)
from nupic_client._core.kserve import wire
from nupic_client.backends import DynamoBackend, OutputNames, detect
from nupic_client.testing import FakeTriton, Reply, abort, dynamo_signature, end, raw, silence

LLAMA = dynamo_signature("llama")
BACKEND = DynamoBackend()


@pytest.fixture(params=[by_iterator, by_async_iterator], ids=["sync", "async"])
def read(request):
    return request.param


def generate(read, reply, *, model=LLAMA, **options):
    """Return chunks, generation and the server."""
    with (
        FakeTriton(reply, models=[model]) as server,
        StreamingClient(model.name, url=server.url) as client,
    ):
        chunks, generation = read(client, "Once", **options)
        return chunks, generation, server


def response(request, *texts, reasons=None, **parameters):
    """Return a response as Dynamo writes it."""
    message = wire.pb.ModelStreamInferResponse()
    answer = message.infer_response
    answer.model_name, answer.model_version, answer.id = request.model, "1", request.request_id
    for name, elements in (("text_output", texts), ("finish_reason", reasons or [""] * len(texts))):
        output = answer.outputs.add(name=name, datatype="BYTES", shape=[len(elements)])
        output.contents.bytes_contents.extend(element.encode() for element in elements)
    wire.set_parameters(answer, parameters)
    return message


def test_it_is_known_by_its_platform_or_backend():
    assert detect(LLAMA).name == "dynamo"
    assert detect(changed(LLAMA, backend="")).name == "dynamo"
    assert detect(changed(LLAMA, platform="")).name == "dynamo"
    assert detect(changed(LLAMA, backend="python", platform="")).name == "plain"


def test_what_is_sent():
    assert sent(BACKEND, LLAMA, sampling=SamplingParams()) == {
        "text_input": ("BYTES", (1,), ("Hi",)),
        "streaming": ("BOOL", (1,), (True,)),
    }
    assert sent(BACKEND, LLAMA, stream=False, sampling=SamplingParams())["streaming"][2] == (False,)
    renamed = changed(LLAMA, inputs=specs("text_input! BYTES"))
    assert [*sent(BACKEND, renamed, sampling=SamplingParams())] == ["text_input"]


def test_the_outputs_of_an_answer():
    names = OutputNames(cumulative=False, finish_reason="finish_reason", marks_end=False)
    assert BACKEND.output_names(LLAMA, cumulative=None) == names
    assert BACKEND.output_names(LLAMA, cumulative=None, stream=False) == names
    bare = changed(LLAMA, outputs=results("text_output BYTES [-1]"))
    assert BACKEND.output_names(bare, cumulative=None).finish_reason is None


def test_it_streams_although_it_does_not_say_so(read):
    assert not LLAMA.decoupled
    chunks, generation, server = generate(read, ["Hel", "lo", " wörld".encode()[:3], " wörld".encode()[3:]])
    assert chunks == ["Hel", "lo", " w", "örld"]
    assert generation.finish_reason is FinishReason.STOP
    assert (generation.usage.input_tokens, generation.usage.output_tokens) == (None, None)
    (request,) = server.requests
    assert dict(request.inputs) == {"text_input": "Once", "streaming": True}
    assert [*server.calls] == ["ModelConfig", "ModelStreamInfer"]


def test_the_server_is_asked_only_once():
    with FakeTriton(["x"], models=[LLAMA]) as server, StreamingClient("llama", url=server.url) as client:
        assert [client.generate("a").text, client.generate("b").text] == ["x", "x"]
        assert [answer.text for answer in client.map(["c", "d"])] == ["x", "x"]
        assert server.calls.count("ModelConfig") == 1
        assert server.calls.count("ModelStreamInfer") == 4


def test_an_answer_that_reached_its_limit(read):
    assert generate(read, Reply(["a"], finish_reason="length"))[1].finish_reason is FinishReason.LENGTH
    filtered = generate(read, Reply(["a"], finish_reason="content_filter"))[1]
    assert filtered.finish_reason is FinishReason.OTHER


@pytest.mark.parametrize("option", [{"max_tokens": 5}, {"temperature": 0}, {"seed": 1}, {"logprobs": True}])
def test_an_option_is_refused_before_anything_is_sent(read, option):
    with pytest.raises(ConfigurationError, match="takes no options") as caught:
        generate(read, ["x"], **option)
    assert caught.value.parameter == next(iter(option))


def test_the_client_stops_at_a_stop_string(read):
    chunks, generation, _ = generate(read, ["so ", "EN", "D and", " more"], stop="END")
    assert "".join(chunks) == generation.text == "so "
    assert generation.finish_reason is FinishReason.STOP


def test_a_whole_answer_at_once():
    with FakeTriton(["Hel", "lo"], models=[LLAMA]) as server:
        with InferenceClient("llama", url=server.url) as client:
            generation = client.generate("Once")
        assert (generation.text, generation.finish_reason) == ("Hello", FinishReason.STOP)
        (request,) = server.requests
        assert (request.method, request.inputs["streaming"]) == ("ModelInfer", False)


def test_a_response_without_choices_is_no_text(read):
    steps = [raw(lambda request: response(request, "a")), raw(lambda request: response(request)), end()]
    chunks, generation, _ = generate(read, steps)
    assert (chunks, generation.text, generation.finish_reason) == (["a"], "a", None)


def test_a_release_that_marks_the_end_is_read_too(read):
    steps = [
        raw(lambda request: response(request, "a")),
        raw(lambda request: response(request, "b", reasons=["length"], triton_final_response=True)),
        end(),
    ]
    chunks, generation, _ = generate(read, steps)
    assert (chunks, generation.finish_reason) == (["a", "b"], FinishReason.LENGTH)


def test_an_answer_without_any_response_is_an_empty_text(read):
    assert generate(read, [end()])[1].text == ""


def test_several_choices_are_never_joined(read):
    with pytest.raises(Exception, match="several answers"):
        generate(read, [raw(lambda request: response(request, "a", "b")), end()])


def test_an_error_in_the_stream_is_the_end(read):
    message = wire.pb.ModelStreamInferResponse(error_message="the engine is out of blocks")
    with pytest.raises(InferenceError, match="out of blocks") as caught:
        generate(read, [raw(lambda request: response(request, "a")), raw(message), end()])
    assert caught.value.partial_text == "a"


def test_a_request_that_the_frontend_rejects_may_be_sent_again(read):
    answers = iter([[abort("RESOURCE_EXHAUSTED", "all workers are busy")], ["ok"]])
    assert generate(read, lambda _request: next(answers))[1].text == "ok"
    with pytest.raises(OverloadedError, match="all workers are busy"):
        generate(read, [abort("RESOURCE_EXHAUSTED", "all workers are busy")], max_retries=0)


def test_a_model_that_is_gone(read):
    with pytest.raises(ModelUnavailableError):
        generate(read, [abort("NOT_FOUND", "model not found")], max_retries=0)


def test_an_input_of_the_callers_own_is_refused(read):
    with pytest.raises(ConfigurationError, match="has no input 'max_tokens'"):
        generate(read, ["x"], backend_inputs={"max_tokens": 5})
    lying = changed(LLAMA, inputs={**LLAMA.inputs, **specs("top_k INT32")})
    with pytest.raises(RequestRejectedError, match="Invalid input name: top_k"):
        generate(read, ["x"], backend_inputs={"top_k": 5}, model=lying)


def test_a_stream_of_another_server_still_needs_its_mark(read):
    with pytest.raises(Exception, match="marked as final"):
        generate(read, ["a", end()], model=PLAIN)


def test_what_dynamo_does_not_have_is_an_error_with_a_name():
    with FakeTriton(["x"], models=[LLAMA]) as server:
        with StreamingClient("llama", url=server.url) as client:
            client.wait_until_ready(30)
        with ServerClient(server.url) as client:
            assert client.is_live()
            assert client.is_model_ready("llama")
            with pytest.raises(RequestRejectedError) as caught:
                client.models()
        assert caught.value.status == "UNIMPLEMENTED"
        with StreamingClient("unknown", url=server.url) as client, pytest.raises(ModelUnavailableError):
            client.generate("Once")
    with FakeTriton(["x"], models=[LLAMA, PLAIN]) as server, ServerClient(server.url) as client:
        assert [model.name for model in client.models()] == ["llama", "plain"]


def test_responses_as_arrays():
    with FakeTriton(["Hel", "lo"], models=[LLAMA]) as server:
        with InferenceClient("llama", url=server.url) as client:
            inputs = {"text_input": "Once", "streaming": True}
            results = [*client.infer_stream(inputs)]
            assert client.infer({"text_input": "Once"})["text_output"].tolist() == ["Hello"]
    assert [result["text_output"].item() for result in results] == ["Hel", "lo", ""]
    assert [result["finish_reason"].item() for result in results] == ["", "", "stop"]


def test_leaving_cancels_it():
    with FakeTriton(["a"] * 3 + [silence()], models=[LLAMA]) as server:
        with StreamingClient("llama", url=server.url) as client, client.stream("Once") as stream:
            assert next(stream) == "a"
        assert stream.result().finish_reason is FinishReason.CANCELLED
        assert server.wait_for_cancellation(timeout=30)


def test_many_at_once_in_a_loop():
    async def main(url):
        async with StreamingClient("llama", url=url) as client:
            return await asyncio.gather(*(client.agenerate(str(number)) for number in range(20)))

    with FakeTriton(lambda request: [request.prompt, "!"], models=[LLAMA]) as server:
        answers = asyncio.run(main(server.url))
    assert [answer.text for answer in answers] == [f"{number}!" for number in range(20)]
