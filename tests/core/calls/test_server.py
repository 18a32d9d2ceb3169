"""What a server is asked: driven by hand, without a server, and through one where that says more."""

from __future__ import annotations

import asyncio
import re

import pytest

from nupic_client import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    Durations,
    InferenceError,
    ModelRegistry,
    ModelSpec,
    ModelStatistics,
    ModelUnavailableError,
    RequestError,
    RequestRejectedError,
    ServerClient,
    StreamingClient,
)
from nupic_client._core.calls.flows import ReadClock
from nupic_client._core.calls.server import ServerQueries
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.error_messages import error_from_message
from nupic_client.testing import FakeTriton, fail, text_signature

pb = wire.pb
ASK = ServerQueries(7.0, (("authorization", "Bearer x"),))


def drive(flow, *replies):
    """Answer a flow's calls; return the calls and what the flow returned."""
    calls = []
    try:
        call = next(flow)
        for reply in replies:
            calls.append(call)
            call = flow.throw(reply) if isinstance(reply, Exception) else flow.send(reply)
    except StopIteration as stop:
        return calls, stop.value
    raise AssertionError(f"the flow asks on: {call}")


def index(*entries):
    fields = ("name", "version", "state", "reason")
    models = [
        pb.RepositoryIndexResponse.ModelIndex(**dict(zip(fields, entry, strict=False))) for entry in entries
    ]
    return pb.RepositoryIndexResponse(models=models)


@pytest.mark.parametrize(
    ("flow", "method", "response"),
    [
        (ASK.is_live, "ServerLive", pb.ServerLiveResponse),
        (ASK.is_ready, "ServerReady", pb.ServerReadyResponse),
        (lambda: ASK.is_model_ready("gpt", "2"), "ModelReady", pb.ModelReadyResponse),
    ],
)
class TestFlags:
    @pytest.mark.parametrize("answer", [True, False])
    def test_the_answer_is_returned(self, flow, method, response, answer):
        key = "live" if method == "ServerLive" else "ready"
        (call,), flag = drive(flow(), response(**{key: answer}))
        assert flag is answer
        assert (call.method, call.timeout, call.metadata) == (method, 7.0, (("authorization", "Bearer x"),))

    @pytest.mark.parametrize("error", [ConnectionFailedError, ModelUnavailableError, DeadlineExceededError])
    def test_no_answer_is_a_no(self, flow, method, response, error):
        assert drive(flow(), error("no", retryable=True))[1] is False

    def test_a_wrong_certificate_is_an_error(self, flow, method, response):
        with pytest.raises(ConnectionFailedError):
            drive(flow(), ConnectionFailedError("certificate", retryable=False))

    def test_wrong_credentials_are_an_error(self, flow, method, response):
        with pytest.raises(AuthenticationError):
            drive(flow(), AuthenticationError("no"))


def test_the_model_and_version_asked_for_are_sent():
    (call,), _ = drive(ASK.is_model_ready("gpt", "2"), pb.ModelReadyResponse(ready=True))
    assert (call.request.name, call.request.version) == ("gpt", "2")
    (call,), _ = drive(ASK.statistics("gpt", "2"), pb.ModelStatisticsResponse())
    assert (call.request.name, call.request.version) == ("gpt", "2")


def test_metadata_of_the_server():
    response = pb.ServerMetadataResponse(name="triton", version="2.51.0", extensions=["a", "b"])
    _, info = drive(ASK.metadata(), response)
    assert (info.name, info.version, info.extensions) == ("triton", "2.51.0", ("a", "b"))


def test_models_are_sorted_and_described_by_the_registry():
    registry = ModelRegistry([ModelSpec(name="bot", server_name="b.streaming", family="zephyr")])
    entries = index(("b.streaming", "2", "READY"), ("b.streaming", "1", "LOADING"), ("a", "", "", "broken"))
    calls, models = drive(ASK.models(registry, details=False), entries)
    assert [call.method for call in calls] == ["RepositoryIndex"]
    assert [(model.name, model.version, model.ready) for model in models] == [
        ("a", "", False),
        ("b.streaming", "1", False),
        ("b.streaming", "2", True),
    ]
    assert (models[0].friendly_name, models[0].family, models[0].reason) == (None, None, "broken")
    assert (models[2].friendly_name, models[2].family, models[2].streams) == ("bot", "zephyr", None)


def test_a_family_is_guessed_where_the_registry_knows_none():
    registry = ModelRegistry([ModelSpec(name="z", server_name="zephyr-7b-beta")])
    _, models = drive(ASK.models(registry, details=False), index(("zephyr-7b-beta", "1", "READY")))
    assert (models[0].friendly_name, models[0].family) == ("z", "zephyr")


def test_details_are_asked_of_models_that_are_ready():
    entries = index(("a", "1", "READY"), ("b", "1", "UNAVAILABLE"))
    config = pb.ModelConfigResponse()
    config.config.name = "a"
    config.config.backend = "vllm"
    config.config.model_transaction_policy.decoupled = True
    calls, models = drive(ASK.models(ModelRegistry(), details=True), entries, config)
    assert [call.method for call in calls] == ["RepositoryIndex", "ModelConfig"]
    assert (calls[1].request.name, calls[1].request.version) == ("a", "1")
    assert (models[0].streams, models[0].backend) == (True, "vllm")
    assert (models[1].streams, models[1].backend) == (None, "")


def test_an_ensemble_is_told_by_its_platform():
    config = pb.ModelConfigResponse()
    config.config.name = "a"
    config.config.platform = "ensemble"
    _, models = drive(ASK.models(ModelRegistry(), details=True), index(("a", "1", "READY")), config)
    assert models[0].backend == "ensemble"


@pytest.mark.parametrize("error", [ModelUnavailableError("gone"), RequestRejectedError("not told")])
def test_a_model_that_vanishes_while_it_is_asked_is_listed_without_details(error):
    _, models = drive(ASK.models(ModelRegistry(), details=True), index(("a", "1", "READY")), error)
    assert (models[0].name, models[0].streams) == ("a", None)


def test_other_failures_of_the_details_are_raised():
    with pytest.raises(ConnectionFailedError):
        drive(
            ASK.models(ModelRegistry(), details=True),
            index(("a", "1", "READY")),
            ConnectionFailedError("broken"),
        )


def test_load_sends_a_configuration_only_where_one_is_given():
    (call,), nothing = drive(ASK.load("gpt", None), pb.RepositoryModelLoadResponse())
    assert nothing is None
    assert (call.method, call.request.model_name) == ("RepositoryModelLoad", "gpt")
    assert not call.request.parameters
    (call,), _ = drive(ASK.load("gpt", '{"backend": "python"}'), pb.RepositoryModelLoadResponse())
    assert call.request.parameters["config"].string_param == '{"backend": "python"}'
    assert (call.timeout, call.metadata) == (7.0, (("authorization", "Bearer x"),))


def not_loaded(error, config=None, model="gpt"):
    with pytest.raises(RequestError) as caught:
        drive(ASK.load(model, config), error)
    return caught.value


def rejected(text, status="INTERNAL"):
    """Return the error for a text that is the details of a status."""
    known = error_from_message(text)
    return (
        known.with_facts(status=status) if known else InferenceError(text, status=status, server_message=text)
    )


@pytest.mark.parametrize("config", [None, "{}"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "load failed for model 'gpt': version 1 is at UNAVAILABLE state: RuntimeError: no weights\n\nAt:\n  x(1): y\n",
            r"could not load model 'gpt': load failed .*RuntimeError: no weights$",
        ),
        (
            "failed to load 'gpt', failed to poll from model repository",
            "could not load model 'gpt': check that it is in the repository",
        ),
        (
            "failed to load 'gpt', no version is available",
            "could not load model 'gpt': failed to load 'gpt', no",
        ),
        ("CUDA out of memory", "could not load model 'gpt'.*: CUDA out of memory"),
    ],
)
def test_a_model_that_cannot_be_loaded(text, words, config):
    """V-F4: it is about the model, not about a request that does not fit."""
    error = not_loaded(rejected(text), config)
    assert isinstance(error, ModelUnavailableError)
    assert re.search(words, error.message), error.message
    assert (error.model, error.status, error.server_message) == ("gpt", "INTERNAL", text)
    assert ("configuration" in error.message) == (config is not None and "version" not in text)


def test_a_configuration_that_is_refused():
    """V-F4: the caller's."""
    refused = RequestRejectedError("it", status="INVALID_ARGUMENT", server_message="unknown field 'foo'")
    error = not_loaded(refused, '{"foo": 1}')
    assert (type(error), error.message) == (
        RequestRejectedError,
        "the server could not load model 'gpt': check its configuration: unknown field 'foo'",
    )
    assert type(not_loaded(refused)) is ModelUnavailableError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            error_from_message("explicit model load / unload is not allowed if polling is enabled"),
            "--model-control-mode",
        ),
        (AuthenticationError("not you"), "not you"),
        (ConnectionFailedError("gone", retryable=True), "gone"),
    ],
)
def test_what_is_not_about_the_model_stays(error, words):
    """I-F3: RequestRejectedError where the server does not load models at all."""
    found = not_loaded(error)
    assert (type(found), found.model) == (type(error), "gpt")
    assert words in found.message


def test_loading_that_takes_too_long_goes_on():
    """V-F4."""
    error = not_loaded(DeadlineExceededError("no complete answer in time"))
    assert error.message == (
        "model 'gpt' was not loaded within the timeout of 7 s: the server goes on loading it. Wait for it with"
        " wait_until_ready, or give load a longer timeout"
    )
    assert (error.limit, error.model) == (7.0, "gpt")


@pytest.mark.parametrize(("given", "sent"), [({}, 600.0), ({"timeout": 5}, 5.0), ({"timeout": None}, None)])
@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_loading_has_its_own_timeout(monkeypatch, given, sent, flavour):
    """V-F4: a model of 135 M took 70 s under vLLM, and the client's default is 30 s."""
    seen = []

    def load(self, model, config, files):
        assert not files
        seen.append((self._timeout, self._metadata, model, config))
        yield ReadClock()

    monkeypatch.setattr(ServerQueries, "load", load)
    with ServerClient("localhost:1", timeout=30, metadata={"a": "b"}) as client:
        client.load("gpt", **given) if flavour == "sync" else asyncio.run(client.aload("gpt", **given))
    assert seen == [(sent, (("a", "b"),), "gpt", None)]


def test_a_wrong_timeout_for_loading():
    with ServerClient("localhost:1") as client, pytest.raises(ConfigurationError, match="positive number"):
        client.load("gpt", timeout=-1)


@pytest.mark.parametrize(
    ("said", "state"), [("State.READY", "READY"), ("READY", "READY"), ("a.b.LOADING", "LOADING"), ("", "")]
)
def test_states_may_be_names_of_an_enum(said, state):
    """I-F6: MLServer's."""
    _, (model,) = drive(ASK.models(ModelRegistry(), details=False), index(("a", "1", said)))
    assert (model.state, model.ready) == (state, state == "READY")


def test_details_are_asked_of_models_of_mlserver_too():
    """I-F6."""
    config = pb.ModelConfigResponse()
    config.config.backend = "sklearn"
    calls, (model,) = drive(
        ASK.models(ModelRegistry(), details=True), index(("a", "1", "State.READY")), config
    )
    assert ([call.method for call in calls], model.backend) == (["RepositoryIndex", "ModelConfig"], "sklearn")


def test_a_model_that_mlserver_does_not_have_is_not_ready():
    """I-F15."""
    error = error_from_message("Unexpected <class 'mlserver.errors.ModelNotFound'>: Model nope not found")
    assert drive(ASK.is_model_ready("nope", ""), error)[1] is False


def test_a_configuration_may_be_a_mapping():
    """I-F10."""
    (call,), _ = drive(ASK.load("gpt", {"backend": "python"}), pb.RepositoryModelLoadResponse())
    assert call.request.parameters["config"].string_param == '{"backend": "python"}'


@pytest.mark.parametrize("config", [5, b"{}", ["a"], {"a": object()}])
def test_a_configuration_that_is_none_is_refused_in_words(config):
    """I-F10."""
    with pytest.raises(
        ConfigurationError, match=r"config (must be JSON text or a mapping|cannot be sent as JSON)"
    ):
        drive(ASK.load("gpt", config), pb.RepositoryModelLoadResponse())


@pytest.mark.parametrize("dependents", [True, False])
def test_unload_says_whether_dependents_go_too(dependents):
    response = pb.RepositoryModelUnloadResponse()
    (call,), _ = drive(ASK.unload("gpt", dependents=dependents), response)
    assert (call.method, call.request.model_name) == ("RepositoryModelUnload", "gpt")
    assert call.request.parameters["unload_dependents"].bool_param is dependents


def test_statistics_are_in_seconds():
    response = pb.ModelStatisticsResponse()
    entry = response.model_stats.add(name="gpt", version="1", inference_count=6, execution_count=3)
    entry.inference_stats.success.count = 2
    entry.inference_stats.success.ns = 3_000_000_000
    entry.inference_stats.queue.ns = 5
    _, (statistics,) = drive(ASK.statistics("", ""), response)
    nothing = Durations(count=0, total=0.0)
    assert statistics == ModelStatistics(
        name="gpt",
        version="1",
        inference_count=6,
        execution_count=3,
        success=Durations(count=2, total=3.0),
        fail=nothing,
        queue=Durations(count=0, total=5e-9),
        compute_input=nothing,
        compute_infer=nothing,
        compute_output=nothing,
    )
    assert (statistics.success.mean, nothing.mean) == (1.5, None)


# --- through a server


@pytest.fixture
def server():
    with FakeTriton(explicit=True) as server:
        yield server


@pytest.fixture(params=["sync", "async"])
def ask(request, server):
    """Call a method of a client by its sync name, in either flavour."""
    with ServerClient(server.url) as client:

        def call(method, *args, **kwargs):
            if request.param == "sync":
                return getattr(client, method)(*args, **kwargs)
            return asyncio.run(getattr(client, f"a{method}")(*args, **kwargs))

        yield call


def test_requests_are_counted(ask, server):
    with StreamingClient("gpt.streaming", url=server.url) as client:
        client.generate("Hi")
        client.generate("Hi")
        server.reply = [fail("boom")]
        with pytest.raises(InferenceError):
            client.generate("Hi")
    by_name = {statistics.name: statistics for statistics in ask("statistics")}
    assert sorted(by_name) == ["gpt", "gpt.streaming"]
    # A failure of the model counts as a success: so counts the real server.
    assert (by_name["gpt.streaming"].success.count, by_name["gpt.streaming"].fail.count) == (3, 0)
    assert by_name["gpt"].success.count == 0
    (one,) = ask("statistics", "gpt.streaming")
    assert one == by_name["gpt.streaming"]
    with pytest.raises(ModelUnavailableError):
        ask("statistics", "nope")


def test_a_model_is_unloaded_and_loaded_again(ask):
    ask("unload", "gpt")
    assert ask("is_model_ready", "gpt") is False
    model = {model.name: model for model in ask("models")}["gpt"]
    assert (model.ready, model.streams) == (False, None)
    ask("load", "gpt")
    assert ask("is_model_ready", "gpt") is True
    ask("load", "gpt", config='{"backend": "python"}')
    ask("unload", "gpt", dependents=True)
    assert ask("is_model_ready", "gpt") is False


def test_a_model_that_does_not_exist_cannot_be_loaded(ask):
    with pytest.raises(RequestError, match="nope"):
        ask("load", "nope")


def test_a_server_without_model_control_refuses():
    with FakeTriton() as server, ServerClient(server.url) as client:
        with pytest.raises(RequestError):
            client.unload("gpt")
        with pytest.raises(RequestError):
            client.load("gpt")
        assert client.is_model_ready("gpt") is True


def test_friendly_names_are_known_to_every_question():
    registry = ModelRegistry([ModelSpec(name="bot", server_name="gpt.streaming")])
    with (
        FakeTriton(models=[text_signature("gpt.streaming")], explicit=True) as server,
        ServerClient(server.url, registry=registry) as client,
    ):
        assert client.is_model_ready("bot")
        assert client.signature("bot").name == "gpt.streaming"
        assert client.statistics("bot")[0].name == "gpt.streaming"
        client.wait_until_ready("bot", timeout=5)
        client.unload("bot")
        assert not client.is_model_ready("bot")
        client.load("bot")
        assert client.is_model_ready("bot")
        assert client.models()[0].friendly_name == "bot"


def test_no_timeout_and_a_wrong_one(server):
    with ServerClient(server.url, timeout=None) as client:
        assert client.is_live()
    with pytest.raises(ConfigurationError):
        ServerClient(server.url, timeout=0)
