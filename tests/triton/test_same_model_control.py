"""I-F16: FakeTriton(explicit=True) loads and unloads models as the real server does with explicit model control."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.signature_messages import signature_from_config
from nupic_client.signature import ModelSignature, TensorSpec
from nupic_client.testing import text_signature
from triton.raw import Answer, build, strings
from triton.twins import Twins, plain, twins

PROMPT = {"text_input": strings("hi")}
MODELS = [
    text_signature("gpt", decoupled=False, options=[]),
    text_signature("gpt.streaming", options=[]),
    ModelSignature(
        "rows",
        {"x": TensorSpec("x", "FP32")},
        {"y": TensorSpec("y", "FP32")},
        max_batch_size=4,
        backend="python",
    ),
]


def break_one(real: Any) -> None:
    folder = real._models_folder / "broken"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text('name: "broken" backend: "python" input { name: "x" dims: [')


@pytest.fixture(scope="module")
def servers(needs_triton):
    options = ["--model-control-mode=explicit", *(f"--load-model={model.name}" for model in MODELS)]
    with twins(["one", " two"], MODELS, options=options, edit=break_one, explicit=True) as calls:
        yield calls


@pytest.fixture
def both(servers):
    """Return both servers, with all models loaded as they are stored."""
    servers.revive()
    for server in (servers.real, servers.fake):
        ready = {item.name for item in server.call("RepositoryIndex", ready=True).messages[0].models}
        for model in MODELS:
            config = server.call("ModelConfig", name=model.name).messages if model.name in ready else ()
            if config and signature_from_config(config[0].config) == model:
                continue
            for method in ("RepositoryModelUnload", "RepositoryModelLoad"):
                assert server.call(method, model_name=model.name).code == "OK"
    return servers


def load(calls: Twins, name: str, **parameters: Any) -> Answer:
    return calls.check("RepositoryModelLoad", load_request(name, **parameters))


def load_request(name: str, **parameters: Any) -> Any:
    return wire.pb.RepositoryModelLoadRequest(model_name=name, parameters=model_parameters(parameters))


def model_parameters(values: dict[str, Any]) -> dict[str, Any]:
    fields = {bool: "bool_param", int: "int64_param", str: "string_param", bytes: "bytes_param"}
    return {
        name: wire.pb.ModelRepositoryParameter(**{fields[type(value)]: value})
        for name, value in values.items()
    }


def unload(calls: Twins, name: str, **parameters: Any) -> Answer:
    request = wire.pb.RepositoryModelUnloadRequest(model_name=name, parameters=model_parameters(parameters))
    answer = calls.check("RepositoryModelUnload", request)
    end = time.monotonic() + 20
    while any(item.state == "UNLOADING" for item in calls.real.call("RepositoryIndex").messages[0].models):
        assert time.monotonic() < end
        time.sleep(0.05)
    return answer


def check_everything(calls: Twins, name: str) -> None:
    """Check all that a client can ask about a model."""
    for version in ("", "1", "9", "x"):
        for method in ("ModelReady", "ModelMetadata"):
            calls.check(method, wire.METHODS[method][0](name=name, version=version))
        for method in ("ModelConfig", "ModelStatistics"):
            real, fake = calls.ask(method, wire.METHODS[method][0](name=name, version=version))
            assert (fake.code, fake.details) == (real.code, real.details)
        for model in ("ModelInfer", "ModelStreamInfer"):
            calls.check(model, build(name, PROMPT, version=version, final=False))
    indexes = calls.ask("RepositoryIndex", wire.pb.RepositoryIndexRequest())
    real, fake = ([item for item in found.messages[0].models if item.name == name] for found in indexes)
    assert fake == real
    calls.check("RepositoryIndex", wire.pb.RepositoryIndexRequest(ready=True))
    listed = [
        [item.name for item in server.call("ModelStatistics").messages[0].model_stats]
        for server in (calls.real, calls.fake)
    ]
    assert listed[1] == listed[0]


@pytest.mark.parametrize("name", ["gpt", "gpt.streaming"])
def test_a_model_that_is_unloaded_and_loaded_again(both: Twins, name):
    """I-F16"""
    check_everything(both, name)
    unload(both, name)
    check_everything(both, name)
    unload(both, name)
    load(both, name)
    check_everything(both, name)


def test_a_load_begins_new_statistics(both: Twins):
    """I-F16"""
    both.check("ModelInfer", build("gpt", PROMPT, final=False))
    unload(both, "gpt")
    load(both, "gpt")
    both.check("ModelStatistics", wire.pb.ModelStatisticsRequest(name="gpt"))
    both.check("ModelInfer", build("gpt", PROMPT, final=False))
    load(both, "gpt")  # it is loaded already
    for server in (both.real, both.fake):
        (item,) = server.call("ModelStatistics", name="gpt").messages[0].model_stats
        assert item.inference_count == 1


@pytest.mark.parametrize("name", ["nope", "broken", "", "../gpt", "gpt/1"])
def test_a_model_that_cannot_be_loaded(both: Twins, name):
    """I-F16"""
    load(both, name)
    load(both, name, config="{}")
    unload(both, name)


def edited(calls: Twins, model: str, **changes: Any) -> str:
    """Return a model's configuration with changes, as JSON."""
    config = MessageToDict(
        calls.real.call("ModelConfig", name=model).messages[0].config, preserving_proto_field_name=True
    )
    config.setdefault("model_transaction_policy", {"decoupled": False})
    return json.dumps({**config, **changes})


def check_signature(calls: Twins, name: str) -> None:
    calls.check("ModelMetadata", wire.pb.ModelMetadataRequest(name=name))
    found = []
    for server in (calls.real, calls.fake):
        config = server.call("ModelConfig", name=name).messages[0].config
        found.append(
            (
                config.max_batch_size,
                config.model_transaction_policy.decoupled,
                config.backend,
                list(config.input),
                list(config.output),
                {key: value.string_value for key, value in config.parameters.items()},
            )
        )
    assert found[1] == found[0]


INPUT = {"name": "text_input", "data_type": "TYPE_STRING", "dims": [1]}
APPLIED: dict[str, dict[str, Any]] = {
    "as it is": {},
    "a batch size": {"max_batch_size": 2},
    "decoupled": {"model_transaction_policy": {"decoupled": True}},
    "parameters": {"parameters": {"a": {"string_value": "b"}}},
    "another input": {"input": [INPUT, {"name": "more", "data_type": "TYPE_INT32", "dims": [-1]}]},
    "an optional input": {"input": [{**INPUT, "optional": True}]},
}


@pytest.mark.parametrize("case", APPLIED)
def test_a_configuration_is_applied(both: Twins, case):
    """I-F16"""
    load(both, "gpt", config=edited(both, "gpt", **APPLIED[case]))
    check_signature(both, "gpt")
    both.check("ModelInfer", build("gpt", PROMPT, final=False))
    load(both, "gpt")  # it is loaded
    check_signature(both, "gpt")
    unload(both, "gpt")
    load(both, "gpt")  # as it is stored
    check_signature(both, "gpt")


REFUSED: dict[str, dict[str, Any]] = {
    "another name": {"name": "other"},
    "a negative batch size": {"max_batch_size": -1},
    "a batch size that is a text": {"max_batch_size": "many"},
    "a field that does not exist": {"nonsense": 1},
    "a data type that does not exist": {"input": [{**INPUT, "data_type": "TYPE_TEXT"}]},
    "an input without a data type": {"input": [{"name": "text_input", "dims": [1]}]},
    "an input without dims": {"input": [{**INPUT, "dims": []}]},
    "an input of size 0": {"input": [{**INPUT, "dims": [0]}]},
    "an input of size -2": {"input": [{**INPUT, "dims": [-2]}]},
    "an input without a name": {"input": [{"data_type": "TYPE_STRING", "dims": [1]}]},
    "an output of size 0": {"output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [0]}]},
    "an output without a name": {"output": [{"data_type": "TYPE_FP32", "dims": [1]}]},
    "a backend that does not exist": {"backend": "nonsense"},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_configuration_is_refused(both: Twins, case):
    """I-F16: a loaded model stays as it was."""
    assert load(both, "gpt", config=edited(both, "gpt", **REFUSED[case])).code != "OK"
    check_signature(both, "gpt")
    assert both.check("ModelReady", wire.pb.ModelReadyRequest(name="gpt")).messages[0].ready


@pytest.mark.parametrize("case", ["another name", "an input of size 0"])
def test_a_configuration_is_refused_of_a_model_that_is_not_loaded(both: Twins, case):
    """I-F16"""
    config = edited(both, "gpt", **REFUSED[case])
    unload(both, "gpt")
    assert load(both, "gpt", config=config).code != "OK"
    assert not both.check("ModelReady", wire.pb.ModelReadyRequest(name="gpt")).messages[0].ready


@pytest.mark.parametrize(
    "parameters",
    [
        {"config": ""},
        {"config": "hello"},
        {"config": "[1]"},
        {"config": "{"},
        {"config": 3},
        {"config": b"{}"},
        {"config": True},
        {"mine": "x"},
        {"mine": True},
        {"file:1/model.py": b"x"},
        {"file:1/model.py": "x"},
        {"file:../model.py": 1},
    ],
    ids=str,
)
def test_parameters_of_a_load(both: Twins, parameters):
    """I-F16"""
    load(both, "gpt", **parameters)
    both.check("ModelInfer", build("gpt", PROMPT, final=False))


def test_parameters_of_an_unload(both: Twins):
    """I-F16"""
    for value in ("x", 1):
        unload(both, "gpt", unload_dependents=value)
    both.check("ModelInfer", build("gpt", PROMPT, final=False))
    unload(both, "gpt", mine="x")
    check_everything(both, "gpt")
    unload(both, "gpt.streaming", unload_dependents=True)
    check_everything(both, "gpt.streaming")
    for name, method in (("gpt", "RepositoryModelLoad"), ("gpt", "RepositoryModelUnload")):
        both.check(method, wire.METHODS[method][0](model_name=name, repository_name="x"))


def test_the_server_is_ready_without_a_model(both: Twins):
    """I-F16"""
    unload(both, "rows")
    assert plain(both.real.call("ServerReady")) == plain(both.fake.call("ServerReady"))
