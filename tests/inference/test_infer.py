"""`infer`: arrays in, arrays out, and the errors between."""

from __future__ import annotations

import asyncio
import pickle
import threading

import grpc
import ml_dtypes
import numpy as np
import pytest
from faults.proxy import Proxy, forward
from inference.tensor_server import RefusedError, TensorServer, echo, signature

from nupic_client import (
    ConfigurationError,
    DeadlineExceededError,
    InferenceClient,
    InferenceResult,
    ModelRegistry,
    ModelSpec,
    ModelUnavailableError,
    ProtocolError,
    RequestRejectedError,
    TransportError,
)
from nupic_client._core.kserve import wire
from nupic_client._datatypes import DATATYPES

SAMPLES = {
    "BOOL": np.array([[True, False, True]]),
    "FP16": np.array([[1.5, -2, np.inf]], np.float16),
    "BF16": np.array([[1.5, -2, np.inf]], np.float32),
    "FP32": np.array([[1.5, -2, np.nan]], np.float32),
    "FP64": np.array([[1.5, -2, 1e300]]),
    "BYTES": np.array([["", "a\0", "ä€😀"]], dtype=object),
}
for _name in DATATYPES:
    if "INT" in _name:
        _dtype = np.dtype(_name.lower())
        _info = np.iinfo(_dtype)
        SAMPLES[_name] = np.array([[_info.min, 1, _info.max]], _dtype)

MODELS = (
    *(signature(f"echo-{name}", {"x": (name, (-1, -1))}) for name in DATATYPES),
    signature("batched", {"x": ("FP32", (3,))}, max_batch_size=4),
    signature("texts", {"text_input": ("BYTES", (1,))}, max_batch_size=8),
    signature("two", {"ids": ("INT32", (-1,)), "mask": ("INT64", (-1,))}, max_batch_size=4),
    signature("optional", {"x": ("FP32", (1,)), "scale": ("FP32", (1,))}, optional=("scale",)),
    signature("decoupled", {"x": ("FP32", (1,))}, decoupled=True),
    signature("all-optional", {"x": ("FP32", (1,))}, optional=("x",)),
    signature("all-optional-batched", {"x": ("FP32", (1,))}, optional=("x",), max_batch_size=4),
    signature("no-inputs", {}, {"y": ("FP32", (1,))}),
    signature("twin", {"x": ("FP32", (1,))}),
)


@pytest.fixture(scope="module")
def shared():
    with TensorServer(*MODELS) as server:
        yield server


@pytest.fixture
def server(shared):
    shared.answer = echo
    shared.with_config = True
    shared.requests.clear()
    return shared


@pytest.fixture
def call(server, flavour):
    """Call a model: ``call("name", inputs)``."""

    def infer(model, inputs, **options):
        with InferenceClient(model, server.url) as client:
            return flavour(client).infer(inputs, **options)

    return infer


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_data_type_comes_back_as_it_went(call, datatype):
    given = SAMPLES[datatype]
    result = call(f"echo-{datatype}", {"x": given})
    assert result["x"].dtype == given.dtype
    np.testing.assert_array_equal(result["x"], given)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_an_array_without_elements_keeps_its_shape(call, datatype):
    given = np.empty((2, 0), SAMPLES[datatype].dtype)
    assert call(f"echo-{datatype}", given).only.shape == (2, 0)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_an_array_that_is_not_contiguous_is_sent_in_order(call, datatype):
    given = np.repeat(SAMPLES[datatype], 4, axis=0).T[::2]
    assert not given.flags.c_contiguous
    np.testing.assert_array_equal(call(f"echo-{datatype}", given).only, given)


def test_big_endian_and_read_only_arrays_are_fine(call):
    given = np.array([[1, 2]], ">i4")
    given.flags.writeable = False
    np.testing.assert_array_equal(call("echo-INT32", given).only, given)


def test_bfloat16_arrays_go_out_as_they_are(call):
    given = np.array([[1.5, 3e38]], ml_dtypes.bfloat16)
    np.testing.assert_array_equal(call("echo-BF16", given).only, given.astype(np.float32))


def test_texts_come_back_as_str_or_bytes_by_choice(call):
    given = [["a", "ä"]]
    assert call("echo-BYTES", given).only.tolist() == given
    assert call("echo-BYTES", given, text="bytes").only.tolist() == [[b"a", "ä".encode()]]


def test_the_choice_of_text_can_be_the_clients(server, flavour):
    with InferenceClient("texts", server.url, text="bytes") as client:
        assert flavour(client).infer("a").only.tolist() == [[b"a"]]
        assert flavour(client).infer("a", text="str").only.tolist() == [["a"]]


def test_bytes_that_are_no_text_are_an_error_that_names_the_way_out(call):
    with pytest.raises(ProtocolError, match="text='bytes'") as caught:
        call("echo-BYTES", [[b"\xff"]])
    assert caught.value.model == "echo-BYTES"
    assert caught.value.request_id


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ("a", (1, 1)),
        (["a"], (1, 1)),
        (["a", "b"], (2, 1)),
        ([["a"], ["b"], ["c"]], (3, 1)),
        (np.array("a"), (1, 1)),
    ],
)
def test_texts_take_the_shape_of_the_model(call, given, shape):
    assert call("texts", given).only.shape == shape


@pytest.mark.parametrize(("given", "shape"), [([1, 2, 3], (1, 3)), ([[1, 2, 3]] * 2, (2, 3))])
def test_one_item_may_leave_the_batch_out(call, given, shape):
    assert call("batched", given).only.shape == shape


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        (
            "batched",
            np.zeros(3),
            r"'x' must be FP32, not an array of float64: convert it with array.astype",
        ),
        ("echo-INT32", np.zeros((1, 1), np.int64), r"'x' must be INT32, not an array of int64"),
        ("echo-INT8", [[300]], r"'x' must be INT8, not 300, which does not fit"),
        ("echo-UINT8", [[-1]], r"must be UINT8, not -1"),
        ("echo-UINT64", [[-1]], r"must be UINT64, not -1"),
        ("echo-INT64", [[2**63]], r"must be INT64, not 9223372036854775808"),
        ("echo-INT64", [[2**64]], r"must be INT64, not Python values that numpy reads as object"),
        ("echo-INT64", [[1.5]], r"must be INT64, not Python values that numpy reads as float64"),
        ("echo-FP32", [[2**24 + 1]], r"must be FP32, not 16777217"),
        ("echo-FP16", [[1e9]], r"must be FP16, not 1000000000.0"),
        ("echo-BOOL", [[1]], r"must be BOOL, not Python values that numpy reads as int64"),
        ("echo-FP32", [[True]], r"must be FP32, not Python values that numpy reads as bool"),
        ("echo-FP32", "abc", r"must be FP32, not the str 'abc'"),
        ("echo-FP32", "abc" * 20, r"must be FP32, not the str 'abcabcabcabcabcabcab'…"),
        ("echo-FP32", [[1.0], [1.0, 2.0]], r"must be FP32, not a list that numpy makes no array of"),
        ("echo-BF16", np.zeros((1, 1)), r"must be BF16, not an array of float64: convert it with"),
        ("echo-BYTES", [[1]], r"must be BYTES, not an array with an element of int"),
        ("echo-BYTES", np.zeros((1, 1)), r"must be BYTES, not an array of float64"),
        ("echo-BYTES", [["\ud800"]], r"must be BYTES, not a text that UTF-8 cannot encode"),
        ("batched", [1, 2], r"'x' must have the shape \[batch, 3\] \(the first .*\), not \[2\]"),
        ("echo-FP32", [1.0], r"'x' must have the shape \[any, any\], not \[1\]"),
        (
            "batched",
            [[1, 2, 3]] * 5,
            r"'x' must have a batch size of at most 4, .* not 5: infer sends one request",
        ),
        ("batched", {"X": [1, 2, 3]}, r"no input 'X': did you mean 'x'\? the inputs are 'x'"),
        ("two", {"id": [1]}, r"no input 'id': did you mean 'ids'\? the inputs are 'ids', 'mask'"),
        ("two", {"ids": [1]}, r"inputs of model 'two' must include 'mask', not only 'ids'"),
        ("two", {}, r"inputs of model 'two' must include 'ids', 'mask'"),
        ("two", [1], r"model 'two' must be a mapping of name to array for 'ids', 'mask', not a single"),
        (
            "two",
            {"ids": [[1], [1]], "mask": [1]},
            r"'mask' must have the batch size 2 of input 'ids', not 1",
        ),
        ("decoupled", [1.0], r"must answer at once, not stream \(it is decoupled\)"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_sent(server, call, model, given, message):
    with pytest.raises(ConfigurationError, match=message):
        call(model, given)
    assert not server.requests


def test_a_tensor_that_numpy_cannot_read_is_an_error(call):
    class Elsewhere:
        def __array__(self, *args, **kwargs):
            raise TypeError("it is on another device")

    with pytest.raises(ConfigurationError, match="it is on another device"):
        call("echo-FP32", Elsewhere())


def test_ragged_texts_are_an_error(call):
    with pytest.raises(ConfigurationError, match="must be BYTES"):
        call("echo-BYTES", [np.zeros((2, 2)), np.zeros((2, 3))])


def test_an_optional_input_may_be_left_out(call):
    assert list(call("optional", 1.0)) == ["x"]
    assert list(call("optional", {"x": 1.0, "scale": 2})) == ["x", "scale"]


def test_the_result_is_a_mapping_with_facts(call, server):
    result = call(
        "two", {"ids": [1], "mask": [1]}, request_id="me", parameters={"a": 1, "b": True, "c": "d", "e": 0.5}
    )
    assert isinstance(result, InferenceResult)
    assert dict(result).keys() == {"ids", "mask"}
    assert len(result) == 2
    assert (result.model, result.version, result.request_id) == ("two", "1", "me")
    assert result.parameters == {"a": 1, "b": True, "c": "d", "e": 0.5}
    assert repr(result) == "InferenceResult(model='two', ids: int32 (1, 1), mask: int64 (1, 1))"
    with pytest.raises(
        ConfigurationError, match="result of model 'two' must have one output for this, not 'ids', 'mask'"
    ):
        _ = result.only
    assert result.rows(0, 1)["ids"].base is not None


def test_the_result_of_one_output_stands_for_its_array(call):
    result = call("batched", [1, 2, 3])
    assert np.asarray(result).tolist() == [[1, 2, 3]]
    assert np.asarray(result, np.float64).dtype == np.float64
    assert np.array(result).flags.writeable


def test_numbers_are_views_of_the_response(call):
    array = call("batched", [1, 2, 3]).only
    assert not array.flags.owndata
    assert not array.flags.writeable


def test_outputs_can_be_chosen(server, call):
    call("two", {"ids": [1], "mask": [1]}, outputs=["mask"])
    assert [item.name for item in server.requests[0].outputs] == ["mask"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"outputs": ["y"]}, ConfigurationError, "no output 'y': the outputs are 'x'"),
        ({"outputs": ["xx"]}, ConfigurationError, "did you mean 'x'"),
        ({"outputs": "x"}, ConfigurationError, "outputs must be a list of names, not the str 'x'"),
        ({"text": "list"}, ConfigurationError, "text must be 'str' or 'bytes', not 'list'"),
        ({"timeout": -1}, ConfigurationError, "timeout must be a positive number"),
        ({"request_id": ""}, ConfigurationError, "request_id"),
        (
            {"parameters": {"a": 2**70}},
            ConfigurationError,
            "parameter 'a' must be .* an integer from .*, not 11805",
        ),
        ({"time_out": 1}, TypeError, "no option 'time_out': did you mean 'timeout'"),
        ({"max_tokens": 1}, TypeError, "no option 'max_tokens'"),
    ],
)
def test_wrong_options_are_said_before_anything_is_sent(server, call, options, error, message):
    with pytest.raises(error, match=message):
        call("batched", [1, 2, 3], **options)
    assert not server.requests


# P, case 18, and I-F10: request parameters


@pytest.mark.parametrize(
    ("value", "field", "sent"),
    [
        (True, "bool_param", True),
        (np.bool_(True), "bool_param", True),
        (5, "int64_param", 5),
        (-(2**63), "int64_param", -(2**63)),
        (np.int64(5), "int64_param", 5),
        (np.uint8(5), "int64_param", 5),
        (2**63, "uint64_param", 2**63),
        (2**64 - 1, "uint64_param", 2**64 - 1),
        (np.uint64(2**63), "uint64_param", 2**63),
        (0.5, "double_param", 0.5),
        (np.float32(0.5), "double_param", 0.5),
        ("a", "string_param", "a"),
        (np.str_("a"), "string_param", "a"),
    ],
)
def test_a_parameter_of_every_type_of_the_protocol_is_sent(server, call, value, field, sent):
    """P, case 18, and I-F10."""
    call("batched", [1, 2, 3], parameters={"p": value})
    parameter = server.requests[0].parameters["p"]
    assert (parameter.WhichOneof("parameter_choice"), getattr(parameter, field)) == (field, sent)


@pytest.mark.parametrize(
    "value", [None, [1], {"a": 1}, b"x", 2**64, -(2**63) - 1, np.array([1]), object(), 1j, "\ud800"]
)
def test_a_parameter_that_the_protocol_does_not_have_is_refused_by_name(server, call, value):
    """P, case 18, and I-F10."""
    with pytest.raises(
        ConfigurationError, match="parameter 'count' must be a bool, a string, a float or an integer"
    ):
        call("batched", [1, 2, 3], parameters={"count": value})
    assert not server.requests


@pytest.mark.parametrize("parameters", [["p"], "p", {1: 2}, {None: 1}])
def test_parameters_must_have_names(call, parameters):
    with pytest.raises(ConfigurationError, match="parameters must"):
        call("batched", [1, 2, 3], parameters=parameters)


@pytest.mark.parametrize("outputs", [[{"name": "x"}], {1: 2}, [1], b"x", 5, ["x", None], [["x"]]])
def test_outputs_that_are_no_names_are_refused_in_words(server, call, outputs):
    with pytest.raises(ConfigurationError, match="outputs must be a list of names, not the "):
        call("batched", [1, 2, 3], outputs=outputs)
    assert not server.requests


# I-F4: requests without inputs


@pytest.mark.parametrize("model", ["all-optional", "all-optional-batched", "no-inputs"])
def test_a_request_may_have_no_inputs(server, call, model):
    """I-F4."""
    assert len(call(model, {})) == 0
    assert len(server.requests[0].inputs) == 0


def test_a_model_without_inputs_takes_no_value_without_a_name(server, call):
    """I-F4, and I-F5: the server may not list the inputs that it has, and says itself which it has not."""
    with pytest.raises(ConfigurationError, match="must be a mapping of name to array, not a single value"):
        call("no-inputs", [1])
    assert not server.requests
    call("no-inputs", {"x": [1]})
    assert [item.name for item in server.requests[0].inputs] == ["x"]


def test_requests_without_inputs_can_be_mapped(server):
    """I-F4."""
    with InferenceClient("all-optional-batched", server.url) as client:
        assert [len(result) for result in client.map([{}, {"x": [1.0]}, {}], batch_size=2)] == [0, 1, 0]


def test_whole_numbers_beside_greater_ones_go_out_as_they_are(call):
    """P-F17."""
    assert call("echo-UINT64", [[2**64 - 1, 1]]).only.tolist() == [[2**64 - 1, 1]]
    assert call("echo-FP64", [[2**64, 1]]).only.tolist() == [[2.0**64, 1.0]]


def test_raw_and_typed_contents_of_one_response_are_read(server, call):
    """I-N5: as KServe's own servers mix them."""

    def answer(request):
        response = wire.pb.ModelInferResponse(raw_output_contents=[np.float32([1.5, 2.5]).tobytes(), b"\3"])
        response.outputs.add(name="label", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"a")
        response.outputs.add(name="proba", datatype="FP32", shape=[2])
        response.outputs.add(name="ids", datatype="INT32", shape=[2]).contents.int_contents.extend([1, 2])
        response.outputs.add(name="tiny", datatype="UINT8", shape=[1])
        return response

    server.answer = answer
    assert {name: array.tolist() for name, array in call("batched", [1, 2, 3]).items()} == {
        "label": ["a"],
        "proba": [1.5, 2.5],
        "ids": [1, 2],
        "tiny": [3],
    }


def test_an_output_that_was_asked_for_must_come(server, call):
    server.answer = lambda request: wire.pb.ModelInferResponse(model_name=request.model_name)
    assert len(call("batched", [1, 2, 3])) == 0
    with pytest.raises(ProtocolError, match="did not send the output 'x'"):
        call("batched", [1, 2, 3], outputs=["x"])


def test_typed_contents_are_read_too(server, call):
    """Triton sends raw contents; other servers of the protocol may not."""

    def answer(request):
        response = wire.pb.ModelInferResponse()
        for name, field, values in (
            ("INT32", "int_contents", [1, 2]),
            ("FP32", "fp32_contents", [1.5, 2.5]),
            ("BYTES", "bytes_contents", [b"a", b"b"]),
        ):
            getattr(response.outputs.add(name=name, datatype=name, shape=[2]).contents, field).extend(values)
        return response

    server.answer = answer
    result = call("batched", [1, 2, 3])
    assert {name: array.tolist() for name, array in result.items()} == {
        "INT32": [1, 2],
        "FP32": [1.5, 2.5],
        "BYTES": ["a", "b"],
    }
    assert result.model == "batched"


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "message"),
    [
        ("FP32", [2], b"123", r"FP32 of the shape \[2\] must have 8 bytes, not 3"),
        ("FP32", [-1], b"", r"its shape must not be \[-1\]"),
        ("FP31", [1], b"1234", "does not know its data type 'FP31'"),
        ("BYTES", [2], b"\1\0\0\0a", "must have 2 elements, not 1"),
        ("BYTES", [1], b"\1\0", "length prefix"),
        ("FP32", [2], None, "must have 2 elements, not 1"),
        ("FP16", [1], None, "needs raw contents"),
    ],
)
def test_a_broken_response_is_a_protocol_error(server, call, datatype, shape, raw, message):
    def answer(request):
        response = wire.pb.ModelInferResponse()
        output = response.outputs.add(name="y", datatype=datatype, shape=shape)
        if raw is None:
            output.contents.fp32_contents.append(1)
        else:
            response.raw_output_contents.append(raw)
        return response

    server.answer = answer
    with pytest.raises(ProtocolError, match=message) as caught:
        call("batched", [1, 2, 3])
    assert caught.value.target == server.url


def test_the_servers_refusal_is_a_typed_error_with_its_facts(server, call):
    def answer(request):
        raise RefusedError(
            grpc.StatusCode.INVALID_ARGUMENT, "unexpected inference input 'x' for model 'batched'"
        )

    server.answer = answer
    with pytest.raises(RequestRejectedError) as caught:
        call("batched", [1, 2, 3], request_id="r")
    error = caught.value
    assert (error.model, error.target, error.request_id, error.status) == (
        *("batched", server.url, "r"),
        "INVALID_ARGUMENT",
    )
    assert isinstance(error.__cause__, grpc.RpcError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_unknown_model_is_said_with_the_registrys_nearest(server, flavour):
    registry = ModelRegistry([ModelSpec(name="batched-one", server_name="batched")])
    client = InferenceClient("batched-on", server.url, registry=registry)
    with client, pytest.raises(ModelUnavailableError, match="batched-one") as caught:
        flavour(client).infer([1])
    assert caught.value.model == "batched-on"


def test_a_deadline_is_kept_and_explained(flavour):
    with TensorServer(MODELS[-1]) as server, InferenceClient("twin", server.url) as client:
        server.gate.clear()
        with pytest.raises(DeadlineExceededError) as caught:
            flavour(client).infer(1.0, timeout=0.2)
        assert caught.value.limit == 0.2
        assert caught.value.elapsed >= 0.1


def test_the_deadline_covers_the_question_for_the_signature(server):
    with InferenceClient("twin", server.url, timeout=None) as client:
        assert client.infer(1.0).only == 1.0
        assert client.infer(1.0, timeout=None).only == 1.0


def test_the_signature_is_asked_for_once(flavour):
    with TensorServer(MODELS[-1]) as server, InferenceClient("twin", server.url) as client:
        for _ in range(3):
            flavour(client).infer(1.0)
        assert server.configs == 1


def test_the_signature_is_asked_for_again_after_a_refusal(flavour):
    def answer(request):
        raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "unexpected inference input 'x'")

    with TensorServer(MODELS[-1], answer=answer) as server, InferenceClient("twin", server.url) as client:
        for _ in range(2):
            with pytest.raises(RequestRejectedError):
                flavour(client).infer(1.0)
        assert server.configs == 2


def test_a_signature_that_is_given_is_not_asked_for(flavour):
    with TensorServer(MODELS[-1]) as server:
        with InferenceClient("twin", server.url, signature=MODELS[-1]) as client:
            assert flavour(client).infer(1.0).only == 1.0
        assert server.configs == 0


def test_a_server_without_model_config_is_asked_for_its_metadata(server, call):
    server.with_config = False
    assert call("texts", ["a", "b"]).only.tolist() == [["a"], ["b"]]
    assert call("decoupled", 1.0).only == 1.0


def test_a_refusal_of_the_configuration_is_not_taken_for_its_absence(flavour):
    class Strict(TensorServer):
        def _config(self, request, context):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")

    with Strict(MODELS[-1]) as server:
        client = InferenceClient("twin", server.url)
        with client, pytest.raises(RequestRejectedError, match="no"):
            flavour(client).infer(1.0)


def test_the_twin_that_answers_at_once_is_meant_by_a_streaming_name(server, call):
    assert call("twin.streaming", 1.0).model == "twin"
    with pytest.raises(ModelUnavailableError):
        call("nothing.streaming", 1.0)


def test_metadata_reaches_the_server_and_no_repr(server):
    with InferenceClient("twin", server.url, metadata={"authorization": "Bearer secret"}) as client:
        assert "secret" not in repr(client)
        assert client.infer(1.0, metadata={"x-more": "1"}).only == 1.0
    with pytest.raises(ConfigurationError, match="request_id must be given to a call"):
        InferenceClient("twin", server.url, request_id="x")


def test_with_options_shares_the_connection(server):
    with InferenceClient("twin", server.url) as client:
        assert client.with_options(timeout=5).infer(1.0).only == 1.0


def test_a_closed_client_says_so(server, flavour):
    client = InferenceClient("twin", server.url)
    client.close()
    with pytest.raises(ConfigurationError, match="closed"):
        flavour(client).infer(1.0)


def test_closing_the_client_ends_a_call_that_waits_for_its_answer():
    with TensorServer(MODELS[-1]) as server:
        server.gate.clear()
        client = InferenceClient("twin", server.url)
        failures = []

        def infer():
            try:
                client.infer(1.0)
            except TransportError as error:
                failures.append(error)

        thread = threading.Thread(target=infer)
        thread.start()
        server.wait_for(lambda it: it.running == 1)
        client.close()
        thread.join(10)
        assert "the client was closed before the answer came" in str(failures[0])


def test_closing_the_client_ends_a_task_that_waits_for_its_answer():
    async def run(server):
        client = InferenceClient("twin", server.url)
        task = asyncio.create_task(client.ainfer(1.0))
        await asyncio.to_thread(server.wait_for, lambda it: it.running == 1)
        await client.aclose()
        with pytest.raises(TransportError, match="the client was closed before the answer came"):
            await task

    with TensorServer(MODELS[-1]) as server:
        server.gate.clear()
        asyncio.run(run(server))


def test_cancelling_the_task_cancels_the_call():
    async def run(server):
        async with InferenceClient("twin", server.url) as client:
            task = asyncio.create_task(client.ainfer(1.0))
            await asyncio.to_thread(server.wait_for, lambda it: it.running == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(server.wait_for, lambda it: it.cancelled == 1)

    with TensorServer(MODELS[-1]) as server:
        server.gate.clear()
        asyncio.run(run(server))


def test_fifty_threads_and_two_hundred_tasks_share_a_client(server):
    with InferenceClient("batched", server.url) as client:
        wrong = []

        def work(number):
            for step in range(5):
                value = float(number * 100 + step)
                if client.infer([value] * 3).only.tolist() != [[value] * 3]:
                    wrong.append(value)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        async def run():
            results = await asyncio.gather(*(client.ainfer([float(n)] * 3) for n in range(200)))
            assert [result.only[0, 0] for result in results] == list(range(200))

        asyncio.run(run())
        assert not wrong


def test_a_client_may_compress_its_requests(server, flavour):
    """The page on migration from tritonclient names this option of gRPC."""
    sizes = {}
    for algorithm in (0, 2):
        sent = []

        def count(lane, unit, sent=sent):
            sent.append(len(unit if isinstance(unit, bytes) else unit.payload))
            forward(lane, unit)

        with Proxy(server.url) as proxy:
            proxy.behave(up=count)
            options = {"grpc.default_compression_algorithm": algorithm}
            with InferenceClient("texts", proxy.url, channel_options=options) as client:
                assert flavour(client).infer(["a" * 10_000]).only.tolist() == [["a" * 10_000]]
        sizes[algorithm] = sum(sent)
    assert sizes[0] > 10_000 > sizes[2]
