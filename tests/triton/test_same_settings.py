"""FakeTriton keeps and refuses settings for log and traces as the real server does."""

from __future__ import annotations

import pytest

from nupic_client._core.kserve import wire
from nupic_client.testing import text_signature
from triton.twins import Twins, twins

pb = wire.pb


@pytest.fixture(scope="module")
def servers(needs_triton):
    models = [text_signature("gpt", decoupled=False, options=[]), text_signature("other", options=[])]
    with twins(["one"], models, options=["--trace-config=triton,file=trace.json"]) as calls:
        yield calls


@pytest.fixture
def both(servers: Twins):
    """Return both servers, with the settings of their start."""
    servers.revive()
    yield servers
    servers.check(
        "LogSettings", log(log_info=True, log_warning=True, log_verbose_level=0, log_format="default")
    )
    names = ("trace_level", "trace_rate", "trace_count", "log_frequency")
    for model in ("gpt", "other", ""):
        servers.check("TraceSetting", trace(model, **dict.fromkeys(names, ())))


def log(**values):
    request = pb.LogSettingsRequest()
    for name, value in values.items():
        if value is None:
            request.settings[name].SetInParent()
        else:
            field = {bool: "bool_param", int: "uint32_param", str: "string_param"}[type(value)]
            setattr(request.settings[name], field, value)
    return request


def trace(model="", **values):
    request = pb.TraceSettingRequest(model_name=model)
    for name, texts in values.items():
        request.settings[name].value.extend(texts)
        request.settings[name].SetInParent()
    return request


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"log_info": False},
        {"log_info": 1},
        {"log_info": "x"},
        {"log_info": None},
        {"log_verbose_level": 2},
        {"log_verbose_level": True},
        {"log_verbose_level": "1"},
        {"log_format": "ISO8601"},
        {"log_format": "x"},
        {"log_format": 1},
        {"log_file": ""},
        {"log_file": True},
        {"nope": "x"},
        {"log_warning": False, "log_verbose_level": 1},
    ],
    ids=str,
)
def test_settings_of_the_log(both: Twins, values):
    both.check("LogSettings", log(**values))
    both.check("LogSettings", log())


@pytest.mark.parametrize("model", ["", "gpt", "nope"])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"trace_level": ["TIMESTAMPS"]},
        {"trace_level": ["TENSORS", "TIMESTAMPS"]},
        {"trace_level": ["X"]},
        {"trace_level": ["X", "TENSORS"]},
        {"trace_level": ["OFF"]},
        {"trace_rate": ["5"]},
        {"trace_rate": ["-1"]},
        {"trace_rate": ["abc"]},
        {"trace_rate": ["5", "6"]},
        {"trace_count": ["12"]},
        {"trace_count": ["-1"]},
        {"trace_count": ["-2"]},
        {"log_frequency": ["3"]},
        {"log_frequency": ["x"]},
        {"trace_file": ["a"]},
        {"trace_file": []},
        {"trace_mode": ["opentelemetry"]},
        {"nope": ["x"]},
    ],
    ids=str,
)
def test_settings_for_traces(both: Twins, model, values):
    both.check("TraceSetting", trace(model, **values))
    for name in ("", "gpt", "other"):
        both.check("TraceSetting", trace(name))


def test_a_setting_of_a_model_and_the_global_one(both: Twins):
    for request in (
        trace("gpt", trace_rate=["9"]),
        trace("", trace_rate=["11"]),
        trace("gpt"),
        trace("other"),
        trace("gpt", trace_rate=[]),
        trace("", trace_rate=[]),
        trace("gpt"),
    ):
        both.check("TraceSetting", request)
