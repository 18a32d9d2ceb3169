"""Health, metadata, configuration, repository and statistics."""

import grpc
import pytest
from local.raw_client import RawClient, request

from nupic_client._core.kserve.signature_messages import signature_from_config
from nupic_client.local.engine import ServedModel, text_signature
from nupic_client.local.kserve.repository import Repository
from nupic_client.signature import ModelSignature, TensorSpec
from nupic_client.testing import FakeTriton, ScriptedEngine, fail


@pytest.fixture
def server():
    with FakeTriton(["ok"]) as server:
        yield server


@pytest.fixture
def client(server):
    with RawClient(server.url) as client:
        yield client


def error_of(call, *args, **kwargs):
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **kwargs)
    return caught.value.code().name, caught.value.details()


def test_the_server_is_live_and_ready(client):
    assert client.unary("ServerLive").live
    assert client.unary("ServerReady").ready
    metadata = client.unary("ServerMetadata")
    assert (metadata.name, metadata.version) == ("triton", "2.51.0")
    assert "model_configuration" in metadata.extensions


def test_a_server_says_what_it_is_told_to():
    """I-F17"""
    with FakeTriton(name="other", version="9", extensions=["parameters"]) as server:
        with RawClient(server.url) as client:
            metadata = client.unary("ServerMetadata")
    assert (metadata.name, metadata.version, list(metadata.extensions)) == ("other", "9", ["parameters"])


def test_readiness_follows_the_settings(client, server):
    server.ready = False
    server.models_ready["gpt"] = False
    assert client.unary("ServerLive").live
    assert not client.unary("ServerReady").ready
    assert not client.unary("ModelReady", name="gpt").ready
    assert client.unary("ModelReady", name="gpt.streaming", version="1").ready
    assert dict(server.models_ready) == {"gpt.streaming": True, "gpt": False}
    assert len(server.models_ready) == 2
    server.models_ready["gpt"] = True
    assert client.unary("ModelReady", name="gpt").ready


def test_readiness_of_models_is_a_strict_mapping(server):
    with pytest.raises(KeyError, match="there is no model 'nope'"):
        server.models_ready["nope"] = True
    with pytest.raises(TypeError, match="cannot be removed"):
        del server.models_ready["gpt"]


def test_a_server_may_start_unready():
    with FakeTriton(ready=False) as server, RawClient(server.url) as client:
        assert not server.ready
        assert not client.unary("ServerReady").ready
        assert not client.unary("ModelReady", name="gpt").ready
        (answer,) = client.stream(request())
        assert answer.error_message == "Request for unknown model: 'gpt.streaming' has no available versions"


@pytest.mark.parametrize(("name", "version"), [("nope", ""), ("gpt", "7")])
def test_an_unknown_model_is_not_ready_with_status_ok(client, name, version):
    assert not client.unary("ModelReady", name=name, version=version).ready


@pytest.mark.parametrize("method", ["ModelMetadata", "ModelConfig"])
def test_an_unknown_model_has_no_description(client, method):
    expected = ("NOT_FOUND", "Request for unknown model: 'nope' is not found")
    assert error_of(client.unary, method, name="nope") == expected
    expected = ("NOT_FOUND", "Request for unknown model: 'gpt' version 7 is not found")
    assert error_of(client.unary, method, name="gpt", version="7") == expected


def test_an_unknown_model_has_no_statistics(client):
    expected = ("INVALID_ARGUMENT", "requested model 'nope' is not available")
    assert error_of(client.unary, "ModelStatistics", name="nope") == expected
    expected = ("INVALID_ARGUMENT", "requested model version is not available for model 'gpt'")
    assert error_of(client.unary, "ModelStatistics", name="gpt", version="7") == expected
    assert [item.name for item in client.unary("ModelStatistics", name="gpt", version="1").model_stats] == [
        "gpt"
    ]


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"])
@pytest.mark.parametrize(
    ("version", "text"),
    [
        (
            "x",
            (
                "failed to get model version from specified version string 'x' (details: stol), version "
                "should be an integral value > 0"
            ),
        ),
        ("-1", "invalid model version specified '-1' , version should be an integral value > 0"),
    ],
)
def test_a_version_that_can_be_none(client, method, version, text):
    assert error_of(client.unary, method, name="gpt", version=version) == ("INVALID_ARGUMENT", text)


@pytest.mark.parametrize("name", ["gpt.streaming", "gpt"])
def test_the_configuration_says_everything(client, name):
    config = client.unary("ModelConfig", name=name).config
    assert signature_from_config(config) == text_signature(name, decoupled=name == "gpt.streaming")
    assert (config.backend, config.default_model_filename) == ("python", "model.py")
    assert config.version_policy.latest.num_versions == 1
    assert [(group.name, group.count) for group in config.instance_group] == [(f"{name}_0", 1)]


def test_metadata_lists_tensors_with_their_types(client):
    metadata = client.unary("ModelMetadata", name="gpt")
    assert (metadata.name, list(metadata.versions), metadata.platform) == ("gpt", ["1"], "python")
    shapes = {item.name: (item.datatype, list(item.shape)) for item in metadata.inputs}
    assert shapes["text_input"] == ("BYTES", [1])
    assert shapes["stop"] == ("BYTES", [-1])
    assert shapes["seed"] == ("UINT64", [1])
    assert [item.name for item in metadata.outputs] == [
        "text_output",
        "finish_reason",
        "num_input_tokens",
        "num_output_tokens",
    ]


def test_a_batch_dimension_stands_in_metadata_but_not_in_the_configuration():
    signature = ModelSignature(
        "embed",
        {"text_input": TensorSpec("text_input", "BYTES")},
        {"embedding": TensorSpec("embedding", "FP32", (4,))},
        max_batch_size=8,
        backend="python",
        parameters={"family": "bert"},
    )
    with FakeTriton(models=[signature]) as server, RawClient(server.url) as client:
        metadata = client.unary("ModelMetadata", name="embed")
        assert [list(item.shape) for item in (*metadata.inputs, *metadata.outputs)] == [[-1, 1], [-1, 4]]
        config = client.unary("ModelConfig", name="embed").config
        assert signature_from_config(config) == signature


def test_the_index_lists_models_and_their_state(client, server):
    server.models_ready["gpt"] = False
    index = {(item.name, item.version, item.state) for item in client.unary("RepositoryIndex").models}
    assert index == {("gpt.streaming", "1", "READY"), ("gpt", "1", "UNAVAILABLE")}
    assert [item.name for item in client.unary("RepositoryIndex", ready=True).models] == ["gpt.streaming"]


def test_the_index_is_sorted_and_knows_no_repositories(client):
    assert [item.name for item in client.unary("RepositoryIndex").models] == ["gpt", "gpt.streaming"]
    expected = ("UNIMPLEMENTED", "'repository_name' specification is not supported")
    assert error_of(client.unary, "RepositoryIndex", repository_name="x") == expected


def test_models_are_not_loaded_by_clients_unless_allowed(client):
    expected = ("UNAVAILABLE", "explicit model load / unload is not allowed if polling is enabled")
    assert error_of(client.unary, "RepositoryModelLoad", model_name="gpt") == expected
    assert error_of(client.unary, "RepositoryModelUnload", model_name="gpt") == expected


def test_models_are_loaded_and_unloaded():
    with FakeTriton(explicit=True) as server, RawClient(server.url) as client:
        client.unary("RepositoryModelUnload", model_name="gpt")
        assert not client.unary("ModelReady", name="gpt").ready
        assert error_of(client.unary, "ModelInfer", request(model="gpt")) == (
            "NOT_FOUND",
            "Request for unknown model: 'gpt' has no available versions",
        )
        client.unary("RepositoryModelLoad", model_name="gpt")
        assert client.unary("ModelReady", name="gpt").ready
        expected = ("INTERNAL", "failed to load 'nope', failed to poll from model repository")
        assert error_of(client.unary, "RepositoryModelLoad", model_name="nope") == expected


def test_a_server_that_shuts_down_answers_as_the_real_one(client, server):
    assert not server.exiting
    server.exiting = True
    assert error_of(client.unary, "ServerLive") == ("UNAVAILABLE", "Server exiting")
    assert error_of(client.unary, "ServerReady") == ("UNAVAILABLE", "Server exiting")
    assert error_of(client.unary, "ModelReady", name="gpt") == ("UNAVAILABLE", "Server not ready")
    (answer,) = client.stream(request())
    assert answer.error_message == "Request for unknown model: 'gpt.streaming' has no available versions"


def test_statistics_count_answers_and_failures(client, server):
    client.unary("ModelInfer", request(model="gpt"))
    server.reply = [fail("no")]
    list(client.stream(request(model="gpt")))
    (item,) = client.unary("ModelStatistics", name="gpt").model_stats
    assert (item.name, item.version, item.inference_count) == ("gpt", "1", 2)
    # What the model answers is a success, also a failure: so counts the real server.
    assert (item.inference_stats.success.count, item.inference_stats.fail.count) == (2, 0)
    assert len(client.unary("ModelStatistics").model_stats) == 2


def test_two_models_of_one_name_are_a_mistake():
    model = ServedModel("a", text_signature("a"), ScriptedEngine([]))
    with pytest.raises(ValueError, match="same name"):
        Repository([model, model])


def test_an_option_that_does_not_exist_is_a_mistake():
    with pytest.raises(ValueError, match="there is no option 'max_token'"):
        text_signature("a", options=["max_token"])


def test_a_model_without_text_has_no_text_tensors():
    signature = ModelSignature(
        "a",
        {"x": TensorSpec("x", "FP32")},
        {"y": TensorSpec("y", "FP32"), "label": TensorSpec("label", "BYTES")},
    )
    model = ServedModel("a", signature, ScriptedEngine([]))
    assert (model.text_input, model.text_output) == ("", "label")
