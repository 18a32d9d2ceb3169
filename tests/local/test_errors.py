"""Requests that do not fit get the real server's texts: in the stream with status OK, or as a status."""

import grpc
import pytest
from local.raw_client import RawClient, is_final, request

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import decode_bytes_tensor
from nupic_client.testing import FakeTriton, fail, text_signature

BATCHED = text_signature("batched", decoupled=False, options=["max_tokens"], max_batch_size=4)


@pytest.fixture(scope="module")
def server():
    models = [
        text_signature("llm", options=["max_tokens", "temperature", "top_p", "top_k"]),
        text_signature("one", decoupled=False, options=["max_tokens"]),
        text_signature("plain", decoupled=False, options=[]),
        BATCHED,
    ]
    with FakeTriton(["ok"], models=models) as server:
        yield server


@pytest.fixture
def client(server):
    with RawClient(server.url) as client:
        yield client


def changed(message, **changes):
    for name, value in changes.items():
        target = message.inputs[0]
        if name == "shape":
            target.shape[:] = value
        elif name == "raw":
            message.raw_input_contents[0] = value
        elif name == "parameter":
            message.parameters[value].bool_param = True
        elif name == "output":
            message.outputs.add(name=value)
        else:
            setattr(target, name, value)
    return message


RESERVED = (
    "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following "
    "keys starting with "
    "'triton_' are allowed: triton_enable_empty_final_response"
)
NOTE = (
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to "
    "be prepended to each input "
    "shape. If you want to specify the full shape including the batch dim in your input dims "
    "config, try setting "
    "max_batch_size to zero. See the model configuration docs for more info on max_batch_size."
)
BEFORE_THE_MODEL = {
    "unknown model": (
        lambda: request(model="nope"),
        "Request for unknown model: 'nope' is not found",
        "NOT_FOUND",
    ),
    "unknown version": (
        lambda: request(model="one", version="9"),
        "Request for unknown model: 'one' version 9 is not found",
        "NOT_FOUND",
    ),
    "wrong input name": (
        lambda: changed(request(model="one"), name="prompt"),
        "unexpected inference input 'prompt' for model 'one'",
        "INVALID_ARGUMENT",
    ),
    "wrong dtype": (
        lambda: changed(request(model="one", request_id="e4"), datatype="INT32"),
        "[request id: e4] inference input 'text_input' data-type is 'INT32', but model 'one' expects 'BYTES'",
        "INVALID_ARGUMENT",
    ),
    "wrong shape": (
        lambda: changed(request(model="one", request_id="e5"), shape=[2]),
        "[request id: e5] unexpected shape for input 'text_input' for model 'one'. Expected [1], got [2]. ",
        "INVALID_ARGUMENT",
    ),
    "wrong rank": (
        lambda: changed(request(model="one", request_id=""), shape=[1, 1]),
        (
            "[request id: <id_unknown>] unexpected shape for input 'text_input' for model 'one'. "
            "Expected [1], got [1,1]. "
        ),
        "INVALID_ARGUMENT",
    ),
    "wrong shape with a batch": (
        lambda: changed(request(model="batched", request_id="u"), shape=[1, 2]),
        (
            f"[request id: u] unexpected shape for input 'text_input' for model 'batched'. Expected "
            f"[-1,1], got [1,2]. {NOTE}"
        ),
        "INVALID_ARGUMENT",
    ),
    "batch too large": (
        lambda: changed(request(model="batched", request_id="u"), shape=[65, 1]),
        "[request id: u] inference request batch-size must be <= 4 for 'batched'",
        "INVALID_ARGUMENT",
    ),
    "batches that differ": (
        lambda: batches_that_differ(),
        "[request id: r1] input 'text_input' batch size does not match other inputs for 'batched'",
        "INVALID_ARGUMENT",
    ),
    "no inputs": (
        lambda: request(prompt=None, model="one", request_id="e9"),
        (
            "[request id: e9] expected number of inputs between 1 and 2 but got 0 inputs for model "
            "'one'. Got input(s) [], but "
            "missing required input(s) ['text_input']. Please provide all "
            "required input(s)."
        ),
        "INVALID_ARGUMENT",
    ),
    "no inputs where all are required": (
        lambda: request(prompt=None, model="plain", request_id=""),
        (
            "[request id: <id_unknown>] expected 1 inputs but got 0 inputs for model 'plain'. Got "
            "input(s) [], but missing "
            "required input(s) ['text_input']. Please provide all required input(s)."
        ),
        "INVALID_ARGUMENT",
    ),
    "unknown output": (
        lambda: changed(request(model="one"), output="nope"),
        "unexpected inference output 'nope' for model 'one'",
        "INVALID_ARGUMENT",
    ),
    "reserved parameter": (
        lambda: changed(request(model="one"), parameter="triton_foo"),
        RESERVED,
        "INVALID_ARGUMENT",
    ),
    "incomplete length": (
        lambda: changed(request(model="one"), raw=b"\x01\x00\x00\x00a\x01"),
        (
            "[request id: r1] incomplete string length indicator for inference input 'text_input' for model "
            "'one', expecting 4 bytes but only 1 bytes available. Please make sure the string length "
            "indicator is in one buffer."
        ),
        "INVALID_ARGUMENT",
    ),
    "no string": (
        lambda: changed(request(model="one"), raw=b""),
        "[request id: r1] expected 1 string elements for inference input 'text_input' for model 'one', got 0",
        "INVALID_ARGUMENT",
    ),
    "too many strings": (
        lambda: changed(request(model="one"), raw=b"\x01\x00\x00\x00a\x01\x00\x00\x00b"),
        (
            "[request id: r1] unexpected number of string elements 2 for inference input 'text_input' for "
            "model 'one', expecting 1"
        ),
        "INVALID_ARGUMENT",
    ),
    "too few numbers": (
        lambda: too_few_numbers(),
        (
            "[request id: r1] input byte size mismatch for input 'max_tokens' for model 'one'. "
            "Expected 4, got 2"
        ),
        "INVALID_ARGUMENT",
    ),
    "a buffer missing": (
        lambda: a_buffer_missing(),
        "unable to find data for input tensor 'max_tokens' for model 'one' in request.",
        "INVALID_ARGUMENT",
    ),
    "negative dimension": (
        lambda: changed(request(model="one"), shape=[-1]),
        (
            "[request id: r1] All input dimensions should be specified for input 'text_input' for model "
            "'one', got [-1]"
        ),
        "INVALID_ARGUMENT",
    ),
    "unknown data type": (
        lambda: changed(request(model="one"), datatype="TEXT"),
        (
            "[request id: r1] inference input 'text_input' data-type is '<invalid>', but model 'one' expects "
            "'BYTES'"
        ),
        "INVALID_ARGUMENT",
    ),
    "an empty batch": (
        lambda: changed(request(model="batched"), shape=[0, 1], raw=b""),
        (
            "[request id: r1] expected 1 string elements for inference input 'text_input' for model "
            "'batched', got 0"
        ),
        "INVALID_ARGUMENT",
    ),
    "no batch dimension": (
        lambda: changed(request(model="batched"), shape=[]),
        "[request id: r1] input 'text_input' has no shape but model requires batch dimension for 'batched'",
        "INVALID_ARGUMENT",
    ),
}
IN_THE_MODEL = {
    "incomplete string": (
        lambda: changed(request(model="one"), raw=b"\x32\x00\x00\x00hello"),
        (
            "incomplete string data for inference input 'text_input', expecting string of length 50 "
            "but only 5 bytes available"
        ),
    ),
}


def batches_that_differ():
    message = request(model="batched", max_tokens=3)
    message.inputs[0].shape[:] = [1, 1]
    message.inputs[1].shape[:] = [2, 1]
    return message


def too_few_numbers():
    message = request(model="one", max_tokens=3)
    message.raw_input_contents[1] = b"\x01\x02"
    return message


def a_buffer_missing():
    message = request(model="one", max_tokens=3)
    message.raw_input_contents.pop()
    return message


@pytest.mark.parametrize("case", BEFORE_THE_MODEL)
def test_a_refused_request_gets_the_text_and_nothing_of_the_model_on_a_stream(client, case):
    make, text, _ = BEFORE_THE_MODEL[case]
    message = make()
    call = client.stream(message)
    (answer,) = call
    assert answer.error_message == text
    assert answer.infer_response.id == message.id
    assert answer.infer_response.model_name == ""
    assert is_final(answer) is None
    assert call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("case", BEFORE_THE_MODEL)
def test_a_refused_request_gets_a_status_by_unary_call(client, case):
    make, text, code = BEFORE_THE_MODEL[case]
    with pytest.raises(grpc.RpcError) as caught:
        client.unary("ModelInfer", make())
    assert (caught.value.code().name, caught.value.details()) == (code, text)


@pytest.mark.parametrize("case", IN_THE_MODEL)
def test_damaged_content_is_an_error_of_the_model(client, case):
    make, text = IN_THE_MODEL[case]
    (answer,) = client.stream(make())
    assert (answer.error_message, answer.infer_response.model_name, is_final(answer)) == (text, "one", True)
    with pytest.raises(grpc.RpcError) as caught:
        client.unary("ModelInfer", make())
    assert (caught.value.code().name, caught.value.details()) == ("INVALID_ARGUMENT", text)


def test_any_input_stands_in_for_the_prompt(client, server):
    """The real server only counts them: a script is played without a prompt, the local model refuses."""
    server.reply = lambda request: [f"prompt: {request.prompt!r}"]
    (answer,) = client.stream(request(prompt=None, model="one", max_tokens=3))
    (text,) = answer.infer_response.raw_output_contents
    assert decode_bytes_tensor(text) == [b"prompt: ''"]


def test_a_model_that_streams_cannot_be_called_by_unary_call(client):
    with pytest.raises(grpc.RpcError) as caught:
        client.unary("ModelInfer", request(model="llm"))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details() == "ModelInfer RPC doesn't support models with decoupled transaction policy"


@pytest.mark.parametrize("tokens", [0, 3])
def test_a_model_error_comes_after_the_tokens_before_it(client, server, tokens):
    server.reply = [*["t"] * tokens, fail(f"engine exploded at token {tokens}")]
    call = client.stream(request(model="llm"))
    *before, last = call
    assert len(before) == tokens
    assert last.error_message == f"engine exploded at token {tokens}"
    assert (last.infer_response.id, last.infer_response.model_name, is_final(last)) == ("r1", "llm", True)
    assert call.code() is grpc.StatusCode.OK


def test_a_model_error_is_internal_by_unary_call(client, server):
    server.reply = [fail("out of order")]
    with pytest.raises(grpc.RpcError) as caught:
        client.unary("ModelInfer", request(model="one"))
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INTERNAL, "out of order")


def test_a_mistake_in_a_reply_is_a_model_error_that_names_it(client, server):
    server.reply = lambda _request: 1 // 0
    (answer,) = client.stream(request(model="llm"))
    assert answer.error_message == "ZeroDivisionError: integer division or modulo by zero"


def test_something_that_is_no_step_is_a_model_error(client, server):
    server.reply = [3.5]
    (answer,) = client.stream(request(model="llm"))
    assert answer.error_message == "TypeError: 3.5 is not a step of a reply"


def test_an_unknown_method_is_unimplemented_with_an_empty_text(client):
    call = client.channel.unary_unary(wire.method_path("Nope"))
    with pytest.raises(grpc.RpcError) as caught:
        call(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
