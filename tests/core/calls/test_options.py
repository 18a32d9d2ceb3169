"""The options of one call: put over the client's, validated, and unknown ones refused."""

from __future__ import annotations

import pytest
from core.replies import generation_request

from nupic_client._core.calls.options import CallOptions, check_option_names, too_long
from nupic_client.errors import ConfigurationError
from nupic_client.options import GenerateOptions
from nupic_client.sampling import OPTION_NAMES, SamplingParams
from nupic_client.signature import ModelSignature
from nupic_client.timeouts import RetryPolicy, Timeouts


def make_request(**options):
    return generation_request(**options)


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
    assert base.override({"metadata": {"b": "3"}}).metadata == (("a", "1"), ("b", "3"))


def test_metadata_of_none_adds_nothing():
    base = CallOptions().override({"metadata": {"a": "1"}})
    assert base.override({"metadata": None}).metadata == (("a", "1"),)


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
    with pytest.raises(TypeError, match="'temp': did you mean 'temperature'"):
        CallOptions().override({"temp": 1})
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
        {"max_output_bytes": 0},
        {"max_output_bytes": True},
        {"max_output_bytes": 1.5},
        {"logprobs": -1},
        {"logprobs": 101},
        {"logprobs": 1.5},
        {"signature": "llm"},
        {"max_retries": -1},
    ],
)
def test_a_wrong_value_is_a_configuration_error(options):
    with pytest.raises(ConfigurationError):
        CallOptions().override(options)


def test_a_request_id_may_be_given():
    assert CallOptions().override({"request_id": "mine"}).request_id == "mine"


@pytest.mark.parametrize(
    ("given", "taken"), [(None, None), (False, None), (True, 0), (0, 0), (1, 1), (100, 100)]
)
def test_logprobs_are_a_switch_or_a_number(given, taken):
    assert CallOptions(logprobs=7).override({"logprobs": given}).logprobs == taken


@pytest.mark.parametrize("limit", [None, 1, 10**12])
def test_the_longest_text_may_be_any_number_of_bytes_or_without_limit(limit):
    assert CallOptions().override({"max_output_bytes": limit}).max_output_bytes == limit


def test_a_number_of_retries_is_a_policy():
    assert CallOptions().override({"max_retries": 7}).retry == RetryPolicy.of(7)


def test_a_signature_may_be_given_and_taken_away():
    signature = ModelSignature("llm", {}, {})
    base = CallOptions().override({"signature": signature, "unsupported": "warn"})
    assert base.signature is signature
    assert base.unsupported == "warn"
    assert base.override({"signature": None}).signature is None


def test_the_repr_shows_neither_metadata_nor_inputs():
    options = CallOptions().override({"metadata": {"a": "secret"}, "backend_inputs": {"b": "secret"}})
    assert "secret" not in repr(options)


def test_names_are_checked_against_those_that_are_known():
    check_option_names(["a"], ["a", "b"])
    check_option_names({}, [])
    with pytest.raises(TypeError, match="'c'"):
        check_option_names(iter(["a", "c"]), iter(["a", "b"]))


def test_the_sentence_about_a_text_that_is_too_long_has_the_limit_and_its_option():
    assert "max_output_bytes" in too_long(1234)
    assert "1234" in too_long(1234)


def test_parameters_of_a_call_replace_the_clients():
    base = CallOptions().override({"parameters": {"a": 1, "b": 2}})
    assert base.override({"max_tokens": 1}).parameters == {"a": 1, "b": 2}
    assert base.override({"parameters": {"b": 3}}).parameters == {"b": 3}
    assert base.override({"parameters": None}).parameters == {}
    with pytest.raises(ConfigurationError, match="parameter 'a' must be a bool"):
        base.override({"parameters": {"a": None}})


def test_outputs_are_names():
    base = CallOptions().override({"outputs": ["logits"]})
    assert base.outputs == ("logits",)
    assert base.override({"outputs": None}).outputs == ()
    with pytest.raises(ConfigurationError, match="outputs must be a list of names, not the str 'a': put it"):
        base.override({"outputs": "a"})


# What the prompt of messages is rendered with


def test_template_variables_of_a_call_are_put_over_the_clients():
    base = CallOptions().override({"template_variables": {"enable_thinking": False, "a": 1}})
    assert base.override({"template_variables": {"a": 2}}).template_variables == {
        "enable_thinking": False,
        "a": 2,
    }
    assert base.override({"template_variables": None}).template_variables == {}
    assert base.override({"temperature": 1}).template_variables == {"enable_thinking": False, "a": 1}
    assert base.template_variables == {"enable_thinking": False, "a": 1}


def test_template_variables_are_a_copy():
    variables = {"a": 1}
    options = CallOptions().override({"template_variables": variables})
    variables["a"] = 2
    assert options.template_variables == {"a": 1}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x", "must be a mapping of names to values, not 'x'"),
        ([("a", 1)], "must be a mapping"),
        ({1: 2}, "must be a mapping of names to values"),
        ({"tools": []}, "must not have 'tools': give them as tools="),
        ({"messages": []}, "must not have 'messages'"),
        ({"allow_control_tokens": True}, "must not have 'allow_control_tokens'"),
    ],
)
def test_wrong_template_variables(value, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        CallOptions().override({"template_variables": value})
    assert caught.value.parameter == "template_variables"


def test_continue_final_message_is_a_switch():
    base = CallOptions().override({"continue_final_message": True})
    assert base.continue_final_message is True
    assert base.override({"continue_final_message": None}).continue_final_message is False
    for value in ("yes", 1, []):
        with pytest.raises(ConfigurationError, match="continue_final_message must be True or False, not"):
            base.override({"continue_final_message": value})
