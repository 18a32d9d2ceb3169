"""A request for arrays: its options, its message, and what is made of the response."""

from __future__ import annotations

import itertools
import logging
import struct

import pytest
from core.replies import array_signature, ask, echo, inference_request, raw_bytes, reply_message

from nupic_client._core.calls.flows import Invoke
from nupic_client._core.calls.models import ModelDirectory
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.inference.request import InferenceRequest, InferenceRequests, check_text
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.wire import RequestedOutput
from nupic_client.errors import ConfigurationError, InferenceError, ProtocolError, RequestRejectedError
from nupic_client.registry import ModelSpec

PAIR = array_signature({"x": ("INT32", (-1,)), "text": ("BYTES", (-1,))})
MODEL = array_signature({"x": ("INT32", (-1,))}, {"y": ("INT32", (-1,)), "text": ("BYTES", (-1,))})


def written(request, signature=MODEL, value=(1, 2)):
    """Return the codec, a message and its id."""
    codec = request.codec(signature)
    request_id = request.options.request_id or request.new_id()
    return codec, codec.write(value, request_id), request_id


def sending(request, **more):
    return request.send(*written(request), 1.0, **more)


def message(request, **more):
    return wire.pb.ModelInferRequest.FromString(written(request, **more)[1])


def outputs(*found, **more):
    return reply_message(*found, **({"request_id": ""} | more)).infer_response


def int32(*values, name="y"):
    return (name, "INT32", [len(values)], struct.pack(f"<{len(values)}i", *values))


def result(response, **options):
    """Return the result that a request makes of a response."""
    request = inference_request(**options)
    return ask(sending(request), response)[1]


# Options


def test_a_request_without_options_asks_for_all_as_str():
    request = inference_request()
    assert (request.outputs, request.parameters, request.text) == ((), {}, "str")
    assert request.timeout == request.options.timeouts.total


def test_options_go_where_they_belong():
    request = inference_request(
        timeout=3, request_id="mine", metadata={"a": "1"}, max_output_bytes=7, outputs=["y"], text="bytes"
    )
    assert (request.timeout, request.outputs, request.text) == (3.0, (RequestedOutput("y"),), "bytes")
    options = request.options
    assert (options.request_id, options.metadata, options.max_output_bytes) == ("mine", (("a", "1"),), 7)


def test_options_do_not_change_with_what_they_came_from():
    names, parameters = ["y"], {"a": 1}
    request = inference_request(outputs=names, parameters=parameters)
    names.append("z")
    parameters["b"] = 2
    assert (request.outputs, request.parameters) == ((RequestedOutput("y"),), {"a": 1})


@pytest.mark.parametrize("nothing", [None, (), []])
def test_no_outputs_and_no_parameters_may_be_none(nothing):
    request = inference_request(outputs=nothing, parameters=dict(nothing or ()) or None)
    assert (request.outputs, request.parameters) == ((), {})


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"outputs": "y"}, "outputs"),
        ({"text": "list"}, "text"),
        ({"timeout": -1}, "timeout"),
        ({"request_id": ""}, "request_id"),
        ({"max_output_bytes": 0}, "max_output_bytes"),
    ],
)
def test_a_wrong_value_is_an_error_with_the_name_of_the_option(options, word):
    with pytest.raises(ConfigurationError, match=word):
        inference_request(**options)


@pytest.mark.parametrize("name", ["time_out", "max_tokens", "logprobs"])
def test_an_option_that_does_not_exist_is_a_type_error(name):
    with pytest.raises(TypeError, match=repr(name)):
        inference_request(**{name: 1})


def test_many_requests_cannot_share_an_id():
    with pytest.raises(ConfigurationError, match="request_id"):
        inference_request(single=False, request_id="mine")
    assert inference_request(single=False, request_id=None).options.request_id is None


def test_text_is_str_or_bytes():
    assert [check_text(value) for value in ("str", "bytes")] == ["str", "bytes"]
    with pytest.raises(ConfigurationError, match="'String'"):
        check_text("String")


# The message


def test_the_message_has_the_inputs_and_asks_for_the_outputs():
    made = message(inference_request(ModelSpec(name="m", version="3"), outputs=["text"]))
    assert (made.model_name, made.model_version, made.id) == ("model", "3", "id-1")
    assert [(item.name, item.datatype, list(item.shape)) for item in made.inputs] == [("x", "INT32", [2])]
    assert list(made.raw_input_contents) == [struct.pack("<2i", 1, 2)]
    assert [item.name for item in made.outputs] == ["text"]


def test_each_message_has_an_id_of_its_own_unless_the_caller_gives_one():
    request = inference_request()
    assert [message(request).id, message(request).id] == ["id-1", "id-2"]
    assert message(inference_request(request_id="mine")).id == "mine"


def test_parameters_of_each_type_are_sent():
    made = message(inference_request(parameters={"a": True, "b": 2, "c": 0.5, "d": "e"}))
    assert {name: value.WhichOneof("parameter_choice") for name, value in made.parameters.items()} == {
        "a": "bool_param",
        "b": "int64_param",
        "c": "double_param",
        "d": "string_param",
    }


def test_a_parameter_that_does_not_fit_is_an_error():
    with pytest.raises(ConfigurationError, match="parameter 'a' must be"):
        inference_request(parameters={"a": 2**70})


def test_a_model_that_streams_is_refused():
    model = array_signature({"x": ("INT32", (-1,))}, decoupled=True)
    with pytest.raises(ConfigurationError, match="'model'"):
        written(inference_request(), model)


def test_an_output_that_the_model_does_not_have_is_refused():
    with pytest.raises(ConfigurationError, match=r"'z'.*'y'"):
        written(inference_request(outputs=["y", "z"]))


def test_the_repr_shows_no_metadata():
    request = inference_request(metadata={"authorization": "Bearer s3cret"})
    assert "s3cret" not in repr(request)


def test_the_codec_is_made_once_for_a_signature():
    request = inference_request()
    codec = request.codec(MODEL)
    assert request.codec(MODEL) is codec
    assert request.codec(PAIR) is not codec
    assert inference_request().codec(MODEL) is not codec


# The model


def test_the_model_is_the_one_for_a_request_with_one_answer():
    request = inference_request(ModelSpec(name="m.streaming"), metadata={"a": "1"}, request_id="mine")
    config = wire.pb.ModelConfigResponse()
    (call,), signature = ask(request.find_model(ModelDirectory()), config)
    assert (call.method, call.request.name, call.metadata) == ("ModelConfig", "m", (("a", "1"),))
    assert signature.name == "m"
    with pytest.raises(RequestRejectedError) as caught:
        ask(request.find_model(ModelDirectory()), RequestRejectedError("no"))
    error = caught.value
    assert (error.model, error.target, error.request_id) == ("m.streaming", "host:8001", "mine")


# The call


def test_the_call_sends_the_message_with_the_metadata_and_gives_the_result():
    request = inference_request(metadata={"a": "1"}, parameters={"p": 7})
    codec, data, request_id = written(request)
    flow = request.send(codec, data, request_id, 1.0)
    (call,), found = ask(flow, echo(Invoke("ModelInfer", data)))
    assert call == Invoke("ModelInfer", data, 600.0, (("a", "1"),))
    assert found["x"].tolist() == [1, 2]
    assert (found.model, found.version, found.request_id, found.parameters) == (
        "model",
        "1",
        "id-1",
        {"p": 7},
    )


def test_parameters_of_each_type_are_read():
    response = outputs(int32(1))
    response.parameters["a"].bool_param = False
    response.parameters["b"].int64_param = -2
    response.parameters["c"].double_param = 0.5
    response.parameters["d"].string_param = "e"
    response.parameters["f"].SetInParent()
    assert result(response).parameters == {"a": False, "b": -2, "c": 0.5, "d": "e", "f": ""}


def test_what_a_server_leaves_out_is_what_was_sent():
    found = result(outputs(int32(1)))
    assert (found.model, found.version, found.request_id) == ("model", "", "id-1")
    response = outputs(int32(1))
    response.model_name, response.id = "other", "id-1"
    assert result(response).model == "other"


@pytest.mark.parametrize(("text", "found"), [("str", ["ä"]), ("bytes", ["ä".encode()])])
def test_texts_are_what_was_asked_for(text, found):
    response = outputs(("text", "BYTES", [1], raw_bytes("ä".encode())))
    assert result(response, text=text)["text"].tolist() == found


@pytest.mark.parametrize(
    ("response", "options"),
    [
        (outputs(int32(1), request_id="r9"), {}),
        (outputs(("y", "INT32", [3], bytes(4))), {}),
        (outputs(("text", "BYTES", [1], raw_bytes(b"\xff"))), {}),
        (outputs(int32(1)), {"outputs": ["y", "text"]}),
        (outputs(("text", "BYTES", [2], raw_bytes(b"ab", b"c"))), {"max_output_bytes": 10}),
    ],
    ids=["another id", "broken", "no text", "an output is missing", "too long"],
)
def test_a_response_that_is_not_the_answer_breaks_the_protocol(response, options):
    with pytest.raises(ProtocolError) as caught:
        result(response, **options)
    error = caught.value
    assert (error.model, error.target, error.request_id, len(error.attempts)) == (
        "model",
        "host:8001",
        "id-1",
        1,
    )


def test_the_error_names_the_outputs_that_are_missing():
    with pytest.raises(ProtocolError, match="'text'") as caught:
        result(outputs(int32(1)), outputs=["y", "text"])
    assert "'y'" not in caught.value.message


def test_the_limit_is_for_texts_and_for_what_is_longer_only():
    response = outputs(("text", "BYTES", [2], raw_bytes(b"ab", b"c")), int32(*range(100)))
    assert len(result(response, max_output_bytes=11)) == 2
    assert len(result(response, max_output_bytes=None)) == 2


def test_an_error_is_completed_tells_how_often_it_was_sent_and_keeps_its_cause():
    request = inference_request()
    flow = sending(request)
    call = next(flow)
    call.attempts.note(InferenceError("once"), 1.0)
    error = InferenceError("boom", model="own")
    error.__cause__ = RuntimeError("of gRPC")
    flow.throw(error)  # the clock
    flow.send(2.0)  # once more, for the whole request
    with pytest.raises(InferenceError) as caught:
        flow.send(2.0)
    found = caught.value
    assert (found.model, found.target, found.request_id, len(found.attempts)) == (
        "own",
        "host:8001",
        "id-1",
        2,
    )
    assert found.__cause__ is error.__cause__


# The log


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, logger="nupic_client")
    return caplog


def test_a_result_is_one_line_of_the_log(log):
    request = inference_request()
    ask(sending(request), outputs(int32(1)), clock=[2.5])
    (line,) = log.messages
    assert "model=model request=id-1 outcome=finished total=1.500s" in line
    assert "attempts=1" in line


def test_an_error_is_one_line_of_the_log_without_its_words(log):
    request = inference_request()
    with pytest.raises(InferenceError):
        ask(sending(request), InferenceError("boom"), clock=[2.5])
    (line,) = log.messages
    assert "outcome=InferenceError total=1.500s" in line
    assert "boom" not in line


def test_a_call_that_is_left_is_one_line_of_the_log(log):
    request = inference_request()
    flow = sending(request)
    next(flow)
    flow.close()
    (line,) = log.messages
    assert "outcome=cancelled" in line


def test_a_client_may_have_parameters_that_a_call_replaces():
    defaults = CallOptions().override({"parameters": {"a": 1}})

    def made(**options):
        return InferenceRequest.create(
            ModelSpec(name="m"), options, defaults=defaults, target="host:8001", new_id=lambda: "r1"
        )

    assert made().parameters == {"a": 1}
    assert made(parameters={"b": 2}).parameters == {"b": 2}
    assert made(parameters=None).parameters == {}


def test_a_mapping_of_outputs_is_sent_with_what_is_asked_of_each():
    made = message(inference_request(outputs={"y": 3, "text": {"content_type": "str"}}))
    assert [output.name for output in made.outputs] == ["y", "text"]
    assert made.outputs[0].parameters["classification"].int64_param == 3
    assert made.outputs[1].parameters["content_type"].string_param == "str"


def test_parameters_of_outputs_are_on_the_result():
    response = outputs(int32(1), int32(2, name="z"))
    response.outputs[1].parameters["content_type"].string_param = "np"
    response.outputs[1].parameters["n"].int64_param = 3
    found = result(response)
    assert found.output_parameters == {"y": {}, "z": {"content_type": "np", "n": 3}}


# The requests of one client


def requests(**defaults):
    ids = (f"id-{number}" for number in itertools.count(1))
    return InferenceRequests(
        ModelSpec(name="model"), CallOptions(**defaults), "host:8001", "str", ids.__next__
    )


@pytest.mark.parametrize("options", [{}, {"timeout": 3}, {"text": "bytes", "timeout": None}])
def test_options_that_come_again_are_checked_once(options):
    made = requests()
    assert made.of(dict(options)) is made.of(dict(options))
    assert made.of(dict(options)) is not made.of(dict(options), single=False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"timeout": 1}, {"timeout": 1.5}),
        ({"max_output_bytes": 1}, {"timeout": 1}),
        ({"outputs": ["y"]}, {"outputs": ["x"]}),
        ({"parameters": {"a": 1}}, {"parameters": {"a": 2}}),
        ({"request_id": "a"}, {"request_id": "b"}),
    ],
)
def test_other_options_are_another_request(one, other):
    made = requests()
    assert made.of(one) != made.of(other)


def test_a_value_that_only_equals_a_checked_one_is_checked():
    made = requests()
    made.of({"max_output_bytes": 1})
    with pytest.raises(ConfigurationError, match="max_output_bytes"):
        made.of({"max_output_bytes": True})


def test_ids_are_not_kept():
    made = requests()
    for number in range(200):
        made.of({"request_id": str(number)})
        made.of({"timeout": number + 1})
    assert len(made._known) <= 64
