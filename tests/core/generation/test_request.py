from __future__ import annotations

import warnings

import pytest
from core.replies import drive, signature

from nupic_client._core.calls.flows import Invoke, ReadClock
from nupic_client._core.generation.request import (
    CallOptions,
    GenerateOptions,
    GenerationRequest,
    start_generation,
)
from nupic_client._core.kserve import wire
from nupic_client.backends.plain import PlainBackend
from nupic_client.errors import (
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    ModelUnavailableError,
)
from nupic_client.registry import ModelSpec, default_registry
from nupic_client.sampling import OPTION_NAMES, SamplingParams
from nupic_client.timeouts import Timeouts


def make_request(prompt="Hi", model=None, **options):
    return GenerationRequest(
        model=model or ModelSpec(name="llm"),
        prompt=prompt,
        options=CallOptions().override(options),
        request_id="r1",
        target="host:8001",
        backend=PlainBackend(),
    )


def inputs(request):
    """Return the inputs of a request as name -> (datatype, shape, raw)."""
    return {
        tensor.name: (tensor.datatype, list(tensor.shape), raw)
        for tensor, raw in zip(request.message.inputs, request.message.raw_input_contents, strict=True)
    }


# Merging options


def test_without_options_nothing_changes():
    base = CallOptions()
    assert base.override({}) is base


def test_an_option_of_the_call_replaces_the_clients_and_keeps_the_others():
    base = CallOptions().override({"temperature": 0.5, "max_tokens": 10})
    assert base.override({"temperature": 1.0}).sampling == SamplingParams(temperature=1.0, max_tokens=10)


def test_none_goes_back_to_the_servers_default():
    base = CallOptions().override({"temperature": 0.5})
    assert base.override({"temperature": None}).sampling == SamplingParams()


def test_the_stop_strings_of_the_call_replace_the_clients():
    base = CallOptions().override({"stop": "a"})
    assert base.override({"stop": ["b"]}).sampling.stop_strings == ("b",)


def test_every_sampling_option_is_an_option():
    assert set(OPTION_NAMES) < set(GenerateOptions.__annotations__)


def test_a_number_is_the_total_timeout():
    assert CallOptions().override({"timeout": 3}).timeouts == Timeouts(total=3.0)


def test_timeouts_are_taken_as_they_are():
    given = Timeouts(total=None)
    assert CallOptions().override({"timeout": given}).timeouts is given


def test_metadata_is_put_over_the_clients_by_name():
    base = CallOptions().override({"metadata": {"a": "1", "b": "2"}})
    assert base.override({"metadata": {"b": "3"}}).metadata == {"a": "1", "b": "3"}


def test_metadata_of_none_adds_nothing():
    base = CallOptions().override({"metadata": {"a": "1"}})
    assert base.override({"metadata": None}).metadata == {"a": "1"}


def test_backend_inputs_replace_the_clients():
    base = CallOptions().override({"backend_inputs": {"a": 1}})
    assert base.override({"backend_inputs": {"b": 2}}).backend_inputs == {"b": 2}
    assert base.override({"backend_inputs": None}).backend_inputs == {}


def test_options_do_not_change_with_the_mapping_they_came_from():
    given = {"a": 1}
    options = CallOptions().override({"backend_inputs": given})
    given["a"] = 2
    assert options.backend_inputs == {"a": 1}


def test_an_unknown_option_is_a_type_error_with_the_nearest_name():
    with pytest.raises(TypeError, match="'temprature': did you mean 'temperature'"):
        CallOptions().override({"temprature": 1})


def test_an_unknown_option_that_is_like_no_other_is_a_type_error_with_all_names():
    with pytest.raises(TypeError, match=r"there is no option 'qqq': the options are .*max_tokens"):
        CallOptions().override({"qqq": 1})


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": "hot"},
        {"timeout": -1},
        {"request_id": ""},
        {"request_id": 5},
        {"metadata": {"Upper": "x"}},
        {"unsupported": "ignore"},
        {"metadata": [("a", "1")]},
        {"metadata": "a"},
        {"backend_inputs": [("a", 1)]},
        {"backend_inputs": 5},
        {"stop": 5},
    ],
)
def test_a_wrong_value_is_a_configuration_error(options):
    with pytest.raises(ConfigurationError):
        CallOptions().override(options)


def test_a_request_id_may_be_given():
    assert CallOptions().override({"request_id": "mine"}).request_id == "mine"


# Nothing secret


def test_the_repr_of_options_and_drafts_shows_neither_prompt_nor_metadata_nor_inputs():
    made = make_request(
        prompt="my secret prompt",
        metadata={"authorization": "secret"},
        backend_inputs={"text_input": "secret"},
    )
    assert "secret" not in repr(made)
    assert "secret" not in repr(made.options)


# The request


def test_the_request_has_the_prompt_and_asks_for_the_final_mark():
    request = make_request("Grüße").prepare(signature())
    assert inputs(request) == {"text_input": ("BYTES", [1], b"\x07\0\0\0" + "Grüße".encode())}
    assert request.message.parameters[wire.EMPTY_FINAL_PARAMETER].bool_param
    assert (request.message.model_name, request.message.id) == ("llm", "r1")


def test_the_request_carries_what_the_call_needs():
    request = make_request(timeout=3, metadata={"a": "1"}).prepare(signature())
    assert (request.timeout, request.metadata) == (3.0, (("a", "1"),))
    assert (request.model, request.target, request.request_id) == ("llm", "host:8001", "r1")


def test_the_models_server_name_version_and_kind_of_text_are_used():
    model = ModelSpec(name="friendly", server_name="llm", version="3", text="cumulative")
    request = make_request(model=model).prepare(signature())
    assert (request.message.model_name, request.message.model_version) == ("llm", "3")
    assert request.output_names.cumulative is True


def test_the_models_stop_strings_are_added_to_the_calls_once():
    model = ModelSpec(name="llm", stop=("<end>", "b"))
    assert make_request(model=model, stop=["a", "b"]).prepare(signature()).stops == ("a", "b", "<end>")


def test_an_option_goes_to_the_input_of_its_name():
    request = make_request(max_tokens=7).prepare(signature(("max_tokens", "INT32")))
    assert inputs(request)["max_tokens"] == ("INT32", [1], b"\x07\0\0\0")


def test_stop_needs_no_input():
    assert make_request(stop="x").prepare(signature()).stops == ("x",)


def test_an_option_without_an_input_is_an_error_that_names_what_there_is():
    with pytest.raises(ConfigurationError, match=r"no input for top_p; it takes max_tokens \(and stop"):
        make_request(top_p=0.5).prepare(signature(("max_tokens", "INT32")))


def test_a_model_without_any_option_says_so():
    with pytest.raises(ConfigurationError, match="it takes no options"):
        make_request(top_p=0.5).prepare(signature())


def test_an_option_without_an_input_may_be_a_warning():
    made = make_request(top_p=0.5, unsupported="warn")
    with pytest.warns(UserWarning, match="no input for top_p"):
        request = made.prepare(signature())
    assert list(inputs(request)) == ["text_input"]


def test_where_all_options_have_inputs_nothing_is_warned_about():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_request(max_tokens=1, unsupported="warn").prepare(signature(("max_tokens", "INT32")))


def test_backend_inputs_are_sent_as_the_model_declares_them():
    request = make_request(backend_inputs={"seed": 5, "bias": [0.5, 1.0]}).prepare(
        signature(("seed", "UINT64"), ("bias", "FP32", (-1,)), max_batch_size=4)
    )
    assert inputs(request)["seed"] == ("UINT64", [1, 1], (5).to_bytes(8, "little"))
    assert inputs(request)["bias"] == ("FP32", [1, 2], b"\0\0\0\x3f\0\0\x80\x3f")


def test_backend_inputs_win_over_options():
    request = make_request(max_tokens=7, backend_inputs={"max_tokens": 9}).prepare(
        signature(("max_tokens", "INT32"))
    )
    assert inputs(request)["max_tokens"][2] == b"\x09\0\0\0"


def test_an_unknown_backend_input_is_an_error_that_names_the_inputs():
    with pytest.raises(
        ConfigurationError,
        match=r"no input 'sede': did you mean 'seed'\? the inputs are 'text_input', 'seed'",
    ):
        make_request(backend_inputs={"sede": 5}).prepare(signature(("seed", "UINT64")))


def test_a_required_input_that_nothing_fills_is_an_error():
    with pytest.raises(ConfigurationError, match="requires the input 'max_tokens'"):
        make_request().prepare(signature(("max_tokens", "INT32", (1,), False)))


def test_a_required_input_may_be_filled_by_an_option_or_a_backend_input():
    takes = signature(("max_tokens", "INT32", (1,), False), ("mode", "BYTES", (1,), False))
    request = make_request(max_tokens=1, backend_inputs={"mode": "x"}).prepare(takes)
    assert set(inputs(request)) == {"text_input", "max_tokens", "mode"}


@pytest.mark.parametrize(
    ("datatype", "options"),
    [
        ("INT32", {"backend_inputs": {"seed": 2**40}}),
        ("INT32", {"seed": 2**64 - 1}),
        ("UINT64", {"backend_inputs": {"seed": -1}}),
        ("FP32", {"backend_inputs": {"seed": 1e300}}),
        ("FP32", {"backend_inputs": {"seed": 10**400}}),
        ("BYTES", {"backend_inputs": {"seed": "\ud800"}}),
    ],
)
def test_a_value_that_does_not_fit_its_input_is_an_error_before_sending(datatype, options):
    with pytest.raises(ConfigurationError, match="model 'llm': input 'seed'"):
        make_request(**options).prepare(signature(("seed", datatype)))


def test_a_prompt_that_is_no_unicode_is_an_error_before_sending_and_not_shown():
    with pytest.raises(ConfigurationError, match=r"input 'text_input'.*surrogates") as caught:
        make_request("my secret \ud800").prepare(signature())
    assert "secret" not in str(caught.value)


# Starting


def config_reply(decoupled=True):
    response = wire.pb.ModelConfigResponse()
    kinds = wire.pb.model__config__pb2.DataType
    response.config.name = "llm"
    response.config.model_transaction_policy.decoupled = decoupled
    response.config.input.add(name="text_input", data_type=kinds.Value("TYPE_STRING"), dims=[1])
    response.config.output.add(name="text_output", data_type=kinds.Value("TYPE_STRING"), dims=[1])
    return response


def test_the_signature_is_asked_for_once_and_remembered():
    known = {}
    commands, first = drive(start_generation(make_request(), known), 100.0, config_reply())
    assert [type(command) for command in commands] == [ReadClock, Invoke]
    commands, second = drive(start_generation(make_request(), known), 200.0)
    assert [type(command) for command in commands] == [ReadClock]
    assert first.request.message == second.request.message


def test_the_clock_starts_before_the_signature_is_asked_for():
    _, session = drive(start_generation(make_request(timeout=10), {}), 100.0, config_reply())
    assert session.remaining(101.0) == 9.0


def test_the_question_carries_the_calls_metadata_and_timeout():
    commands, _ = drive(
        start_generation(make_request(timeout=3, metadata={"a": "1"}), {}), 100.0, config_reply()
    )
    assert (commands[1].timeout, commands[1].metadata) == (3.0, (("a", "1"),))


def test_a_model_that_does_not_stream_is_an_error_that_names_its_streaming_twin():
    known = {}
    with pytest.raises(
        ConfigurationError, match=r"'llm' does not stream .* use 'llm.streaming', which this server has"
    ):
        drive(
            start_generation(make_request(), known),
            100.0,
            config_reply(False),
            wire.pb.ModelReadyResponse(ready=True),
        )
    assert known == {}


def test_a_model_that_does_not_stream_and_has_no_twin_is_an_error_that_names_the_suffix():
    with pytest.raises(ConfigurationError, match=r"choose a model whose name ends in '\.streaming'"):
        drive(
            start_generation(make_request(), {}),
            100.0,
            config_reply(False),
            wire.pb.ModelReadyResponse(ready=False),
        )


def test_an_unknown_model_gets_the_registrys_hint():
    model = default_registry().resolve("smollm3")
    with pytest.raises(ModelUnavailableError, match="smollm2") as caught:
        drive(
            start_generation(make_request(model=model), {}),
            100.0,
            ModelUnavailableError("no such model", status="NOT_FOUND"),
        )
    assert (caught.value.model, caught.value.request_id) == ("smollm3", "r1")


def test_a_known_model_that_is_not_there_gets_no_hint():
    with pytest.raises(ModelUnavailableError) as caught:
        drive(
            start_generation(make_request(), {}),
            100.0,
            ModelUnavailableError("no such model", status="NOT_FOUND"),
        )
    assert caught.value.message == "no such model"


def test_a_failure_to_ask_is_raised_with_model_and_request_id_and_not_remembered():
    known = {}
    with pytest.raises(ConnectionFailedError) as caught:
        drive(start_generation(make_request(), known), 100.0, ConnectionFailedError("gone"))
    assert (caught.value.model, caught.value.request_id) == ("llm", "r1")
    assert known == {}


def test_a_deadline_that_passes_while_asking_says_its_limit():
    with pytest.raises(DeadlineExceededError) as caught:
        drive(start_generation(make_request(timeout=3), {}), 100.0, DeadlineExceededError("too late"))
    assert caught.value.limit == 3.0
