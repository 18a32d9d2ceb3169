"""Every call of `ServerClient` on the real server; its answers are those that tritonclient gets."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as tritonclient

from nupic_client import (
    ConfigurationError,
    InferenceClient,
    ModelUnavailableError,
    RequestRejectedError,
    ServerClient,
)
from nupic_client.local.triton.install import install
from nupic_client.local.triton.process import TritonProcess

HERE = Path(__file__).parent
MODELS = HERE / "memory_models"
CODE = (MODELS / "identity" / "1" / "model.py").read_bytes()
CONFIG = {
    "backend": "python",
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1]}],
    "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1]}],
}


@pytest.fixture(scope="module")
def triton(needs_triton, tmp_path_factory):
    traces = tmp_path_factory.mktemp("traces") / "traces.json"
    options = [
        "--model-control-mode=explicit",
        "--load-model=*",
        f"--trace-config=triton,file={traces}",
        "--trace-config=rate=1000",
        f"--cache-directory={install().server.parents[1] / 'caches'}",
        "--cache-config=local,size=1048576",
    ]
    with TritonProcess(MODELS, options=options) as process:
        yield process


@pytest.fixture
def server(triton):
    with ServerClient(triton.url) as client:
        yield client


@pytest.fixture
def peer(triton):
    with tritonclient.InferenceServerClient(triton.url) as client:
        yield client


@pytest.fixture(params=["sync", "async"])
def ask(request, server):
    """Return what calls a method of the server in one of the two ways."""

    def call(name, *args, **options):
        if request.param == "sync":
            return getattr(server, name)(*args, **options)
        return asyncio.run(getattr(server, f"a{name}")(*args, **options))

    return call


# --- models


def test_the_whole_configuration(ask, peer):
    assert ask("model_config", "repeat") == peer.get_model_config("repeat", as_json=True)["config"]
    with pytest.raises(ModelUnavailableError):
        ask("model_config", "nope")


def test_a_configuration_that_was_read_can_be_loaded(ask):
    ask("load", "identity", config=ask("model_config", "identity"))
    assert ask("is_model_ready", "identity")


@pytest.mark.parametrize("kind", ["bytes", "str", "Path"])
def test_a_model_of_files(ask, triton, tmp_path, kind):
    path = tmp_path / "model.py"
    path.write_bytes(CODE)
    code = {"bytes": CODE, "str": str(path), "Path": path}[kind]
    ask("load", "sent", config=CONFIG, files={"1/model.py": code})
    with InferenceClient("sent", triton.url) as client:
        assert client.infer([1.0, 2.0])["y"].tolist() == [1.0, 2.0]
    ask("unload", "sent")


def test_another_version_and_triton_s_own_names_of_files(ask, triton):
    config = {**CONFIG, "version_policy": {"specific": {"versions": [3]}}}
    ask("load", "third", config=json.dumps(config), files={"file:3/model.py": CODE})
    with InferenceClient("third", triton.url) as client:
        assert client.infer([1.0]).version == "3"
    ask("unload", "third")


def test_files_that_are_no_model(ask):
    with pytest.raises(ConfigurationError, match="config must be given"):
        ask("load", "sent", files={"1/model.py": CODE})
    with pytest.raises(
        ConfigurationError, match=r"file '1/model.py' must be one that can be read.*No such file"
    ):
        ask("load", "sent", config=CONFIG, files={"1/model.py": "/nope/model.py"})
    with pytest.raises(ConfigurationError, match=r"must be given as bytes or as a path, not as int"):
        ask("load", "sent", config=CONFIG, files={"1/model.py": 5})
    with pytest.raises(ConfigurationError, match=r"files must be a mapping"):
        ask("load", "sent", config=CONFIG, files=["model.py"])
    with pytest.raises(ModelUnavailableError, match=r"could not load model 'sent': .*not today"):
        ask("load", "sent", config=CONFIG, files={"1/model.py": b"raise OSError('not today')"})


# --- statistics


def test_statistics_are_tritonclient_s_in_seconds(ask, peer, triton):
    with InferenceClient("identity", triton.url) as client:
        for _ in range(3):
            client.infer({"x": np.zeros(2, np.float32)})
    (mine,) = ask("statistics", "identity")
    (theirs,) = peer.get_inference_statistics("identity").model_stats
    assert mine.last_inference == pytest.approx(theirs.last_inference / 1000)
    assert [(it.batch_size, it.compute_infer.count) for it in mine.batch_stats] == [
        (it.batch_size, it.compute_infer.count) for it in theirs.batch_stats
    ]
    assert mine.batch_stats[0].compute_infer.total == pytest.approx(
        theirs.batch_stats[0].compute_infer.ns / 1e9
    )
    assert mine.cache_hit.count == theirs.inference_stats.cache_hit.count == 0
    assert len(mine.response_stats) == len(theirs.response_stats)


def test_hits_of_the_cache_are_counted(ask, triton):
    config = {**CONFIG, "max_batch_size": 4, "response_cache": {"enable": True}}
    ask("load", "cached", config=config, files={"1/model.py": CODE})
    with InferenceClient("cached", triton.url) as client:
        first = random.random()
        for value in (first, first, first, -first):
            client.infer({"x": np.full((1, 2), value, np.float32)})
    (found,) = ask("statistics", "cached")
    assert (found.cache_hit.count, found.cache_miss.count) == (2, 2)
    assert found.cache_hit.total > 0
    ask("unload", "cached")


# --- settings


def test_trace_settings(ask, peer):
    found = ask("trace_settings")
    theirs = peer.get_trace_settings(as_json=True)["settings"]
    assert set(found) == set(theirs)
    assert (found["trace_rate"], found["trace_count"]) == (1000, -1)
    assert found["trace_level"] == tuple(theirs["trace_level"]["value"])
    changed = ask("update_trace_settings", {"trace_level": ["TIMESTAMPS"], "trace_rate": 7}, "identity")
    assert (changed["trace_rate"], changed["trace_level"]) == (7, ("TIMESTAMPS",))
    assert ask("trace_settings", "identity") == changed
    assert peer.get_trace_settings("identity", as_json=True)["settings"]["trace_rate"]["value"] == ["7"]
    assert ask("trace_settings")["trace_rate"] == 1000
    cleared = ask("update_trace_settings", {"trace_rate": None, "trace_level": None}, "identity")
    assert cleared == found == ask("trace_settings", "identity")


def test_trace_settings_that_are_not_taken(ask):
    before = ask("trace_settings")
    for settings, words in [
        ({"trace_rate": "abc"}, "Unable to parse"),
        ({"trace_file": "/tmp/x"}, "can not be updated"),
        ({"trace_mode": "opentelemetry"}, "does not take 'opentelemetry'"),
        ({"trace_levels": "OFF"}, r"did you mean 'trace_level'"),
        ({"trace_level": "X"}, "does not take"),
    ]:
        with pytest.raises(RequestRejectedError, match=words):
            ask("update_trace_settings", settings)
    assert ask("trace_settings") == before
    with pytest.raises(ModelUnavailableError):
        ask("trace_settings", "nope")


def test_log_settings(ask, peer):
    before = ask("log_settings")
    assert (before["log_info"], before["log_verbose_level"], before["log_format"]) == (True, 0, "default")
    changed = ask("update_log_settings", {"log_verbose_level": 1, "log_info": False, "log_format": "ISO8601"})
    assert (changed["log_verbose_level"], changed["log_info"], changed["log_format"]) == (1, False, "ISO8601")
    theirs = peer.get_log_settings(as_json=True)["settings"]
    assert theirs["log_format"] == {"string_param": "ISO8601"}
    del before["log_file"]  # it cannot be changed, and not be repeated either
    assert ask("update_log_settings", before).items() >= before.items()


def test_log_settings_that_are_not_taken(ask):
    for settings, words in [
        ({"log_format": "x"}, "invalid argument for log_format"),
        ({"log_file": "/tmp/x"}, "can not be updated"),
        ({"log_inf": True}, "did you mean 'log_info'"),
    ]:
        with pytest.raises(RequestRejectedError, match=words):
            ask("update_log_settings", settings)


# --- registration of shared memory


@pytest.fixture
def memory(peer):
    path = Path("/dev/shm/nupic-test-memory")
    path.write_bytes(bytes(8192))
    yield f"/{path.name}"
    path.unlink()
    peer.unregister_system_shared_memory()


def test_system_shared_memory(ask, peer, memory):
    ask("register_system_shared_memory", "a", memory, 4096)
    ask("register_system_shared_memory", "b", memory[1:], 100, 4096)  # 2.51 takes the same key once only
    found = ask("system_shared_memory")
    theirs = peer.get_system_shared_memory_status().regions
    assert {name: (it.name, it.key, it.offset, it.byte_size) for name, it in found.items()} == {
        name: (it.name, it.key, it.offset, it.byte_size) for name, it in theirs.items()
    }
    assert set(ask("system_shared_memory", "b")) == {"b"}
    ask("unregister_system_shared_memory", "b")
    assert set(ask("system_shared_memory")) == {"a"}
    ask("unregister_system_shared_memory", "nope")
    ask("unregister_system_shared_memory")
    assert ask("system_shared_memory") == {}


def test_system_shared_memory_that_cannot_be_registered(ask, memory):
    ask("register_system_shared_memory", "a", memory, 4096)
    for args, words in [
        (("a", memory, 10), "registered already"),
        (("b", "/nupic-no-such-key", 10), "must exist on the server's machine"),
        (("b", memory, 10), "registered only once"),
        (("b", memory[1:], 9000), "no smaller than registered"),
        (("b", memory[1:], 5000, 4096), "no smaller than registered"),
        (("b", memory[1:], 100, 8), "begin at a page"),
    ]:
        with pytest.raises(RequestRejectedError, match=words) as caught:
            ask("register_system_shared_memory", *args)
        assert not caught.value.retryable
    with pytest.raises(RequestRejectedError, match="no such region") as caught:
        ask("system_shared_memory", "nope")
    assert caught.value.status == "NOT_FOUND"


def test_cuda_shared_memory(ask, peer):
    """There is no GPU here: the server refuses as it refuses tritonclient."""
    assert ask("cuda_shared_memory") == {}
    with pytest.raises(RequestRejectedError, match="cannot use this memory") as caught:
        ask("register_cuda_shared_memory", "a", bytes(64), 100, 0)
    with pytest.raises(tritonclient.InferenceServerException) as theirs:
        peer.register_cuda_shared_memory("a", base64.b64encode(bytes(64)), 0, 100)
    assert caught.value.server_message == theirs.value.message()
    ask("unregister_cuda_shared_memory", "a")
    ask("unregister_cuda_shared_memory")
    with pytest.raises(RequestRejectedError, match="no such region"):
        ask("cuda_shared_memory", "nope")
