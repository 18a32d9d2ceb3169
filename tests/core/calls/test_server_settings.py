"""Settings for traces and the log, driven by hand."""

from __future__ import annotations

import pytest

from nupic_client import ConfigurationError, RequestRejectedError
from nupic_client._core.calls.server_settings import SettingsQueries
from nupic_client._core.kserve import wire

pb = wire.pb
ASK = SettingsQueries(7.0, (("a", "b"),))
TRACE = {"trace_level": ["OFF"], "trace_rate": ["1000"], "trace_count": ["-1"], "trace_file": [""]}
LOG = {"log_info": True, "log_verbose_level": 0, "log_format": "default"}


def trace(**changes):
    response = pb.TraceSettingResponse()
    for name, values in {**TRACE, **changes}.items():
        response.settings[name].value.extend(values)
    return response


def log(**changes):
    response = pb.LogSettingsResponse()
    for name, value in {**LOG, **changes}.items():
        field = {bool: "bool_param", int: "uint32_param", str: "string_param"}[type(value)]
        setattr(response.settings[name], field, value)
    return response


def drive(flow, response):
    call = next(flow)
    with pytest.raises(StopIteration) as stop:
        flow.send(response)
    return call, stop.value.value


def test_trace_settings_are_values_of_python():
    call, found = drive(ASK.trace_settings("gpt"), trace(trace_level=["TIMESTAMPS", "TENSORS"]))
    assert (call.method, call.timeout, call.request.model_name) == ("TraceSetting", 7.0, "gpt")
    assert not call.request.settings
    assert found == {
        "trace_count": -1,
        "trace_file": "",
        "trace_level": ("TIMESTAMPS", "TENSORS"),
        "trace_rate": 1000,
    }


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("trace_rate", 5, ["5"]),
        ("trace_rate", "5", ["5"]),
        ("trace_count", -1, ["-1"]),
        ("trace_level", "TIMESTAMPS", ["TIMESTAMPS"]),
        ("trace_level", ["TENSORS", "TIMESTAMPS"], ["TENSORS", "TIMESTAMPS"]),
        ("trace_rate", None, []),
    ],
)
def test_what_is_sent(name, value, sent):
    answer = pb.TraceSettingResponse()
    answer.settings[name].value.extend(sorted(sent, reverse=True) or ["1"])
    call, _ = drive(ASK.update_trace_settings({name: value}, "gpt"), answer)
    assert (call.request.model_name, list(call.request.settings)) == ("gpt", [name])
    assert list(call.request.settings[name].value) == sent


@pytest.mark.parametrize("value", [1.5, b"5", [], [5], "", ["a", ""], {"a": 1}, True, "a\ud800"])
def test_a_trace_setting_that_cannot_be_sent(value):
    with pytest.raises(ConfigurationError, match="setting 'trace_level' must be"):
        next(ASK.update_trace_settings({"trace_level": value}, ""))


@pytest.mark.parametrize("update", [lambda it: ASK.update_trace_settings(it, ""), ASK.update_log_settings])
@pytest.mark.parametrize("settings", [None, ["a"], "a", {5: "a"}])
def test_settings_are_a_mapping_of_names(update, settings):
    with pytest.raises(ConfigurationError, match=r"must be a (mapping|string)"):
        next(update(settings))


def test_a_trace_setting_that_is_ignored():
    """Triton answers as if nothing were wrong."""
    with pytest.raises(
        RequestRejectedError, match="no setting 'trace_rat', and ignored it: did you mean 'trace_rate'"
    ):
        drive(ASK.update_trace_settings({"trace_rat": 5}, ""), trace())
    with pytest.raises(
        RequestRejectedError, match=r"does not take \('X',\) for the setting 'trace_level': it is"
    ):
        drive(ASK.update_trace_settings({"trace_level": "X"}, ""), trace())


def test_log_settings_are_values_of_python():
    call, found = drive(ASK.log_settings(), log())
    assert (call.method, found) == ("LogSettings", LOG)


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("log_info", False, "bool_param"),
        ("log_verbose_level", 2, "uint32_param"),
        ("log_format", "ISO8601", "string_param"),
    ],
)
def test_a_log_setting_has_the_type_of_its_value(name, value, field):
    call, found = drive(ASK.update_log_settings({name: value}), log(**{name: value}))
    assert call.request.settings[name].WhichOneof("parameter_choice") == field
    assert found[name] == value


@pytest.mark.parametrize("value", [None, -1, 2**32, 1.5, b"a", ["a"], "a\ud800"])
def test_a_log_setting_that_cannot_be_sent(value):
    with pytest.raises(ConfigurationError, match="setting 'log_info' must be"):
        next(ASK.update_log_settings({"log_info": value}))


def test_a_log_setting_that_is_ignored():
    with pytest.raises(RequestRejectedError, match=r"no setting 'log_inf'.*did you mean 'log_info'"):
        drive(ASK.update_log_settings({"log_inf": True}), log())
