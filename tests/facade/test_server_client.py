"""What a server is asked, in both flavours; and how short names find models there."""

from __future__ import annotations

import asyncio

import pytest

from nupic_client import (
    ConfigurationError,
    DeadlineExceededError,
    ModelRegistry,
    ModelSpec,
    ModelUnavailableError,
    ServerClient,
    StreamingClient,
    UnknownModelError,
    user,
)
from nupic_client.testing import FakeTriton, text_signature


@pytest.fixture(params=["sync", "async"])
def ask(request):
    """Call a method by its sync name, in either flavour."""

    def call(server_client, method, *args, **kwargs):
        if request.param == "sync":
            return getattr(server_client, method)(*args, **kwargs)
        name = {"wait_until_ready": "await_until_ready"}.get(method, f"a{method}")
        return asyncio.run(getattr(server_client, name)(*args, **kwargs))

    return call


@pytest.fixture
def server():
    with FakeTriton(["Hello", " wor", "ld"]) as server:
        yield server


@pytest.fixture
def server_client(server):
    with ServerClient(server.url) as client:
        yield client


def test_a_running_server_is_live_and_ready(ask, server_client):
    assert ask(server_client, "is_live") is True
    assert ask(server_client, "is_ready") is True


def test_a_server_that_is_gone_is_neither(ask, server_client, server):
    server.stop()
    assert ask(server_client, "is_live") is False
    assert ask(server_client, "is_ready") is False
    assert ask(server_client, "is_model_ready", "gpt") is False


def test_an_exiting_server_is_not_ready(ask, server_client, server):
    server.exiting = True
    assert ask(server_client, "is_ready") is False


def test_metadata(ask, server_client):
    info = ask(server_client, "metadata")
    assert info.name
    assert info.version


def test_models_are_listed_with_what_they_are(ask, server_client):
    models = {model.name: model for model in ask(server_client, "models")}
    assert sorted(models) == ["gpt", "gpt.streaming"]
    assert models["gpt.streaming"].streams is True
    assert models["gpt"].streams is False
    assert models["gpt"].ready
    assert models["gpt"].version == "1"
    assert models["gpt.streaming"].parts.streaming


def test_models_without_details_cost_one_call(ask, server_client, server):
    models = ask(server_client, "models", details=False)
    assert {model.streams for model in models} == {None}
    assert list(server.calls) == ["RepositoryIndex"]


def test_friendly_names_and_families_are_shown(ask):
    names = ["smollm2.streaming", "nupic-sbert.base-v3", "zephyr-7b-beta.streaming"]
    with (
        FakeTriton(models=[text_signature(name) for name in names]) as server,
        ServerClient(server.url) as client,
    ):
        models = {model.name: model for model in ask(client, "models")}
    assert models["smollm2.streaming"].friendly_name == "smollm2"
    assert models["zephyr-7b-beta.streaming"].family == "zephyr"
    parts = models["nupic-sbert.base-v3"].parts
    assert (parts.vendor, parts.family, parts.size, parts.version) == ("nupic", "sbert", "base", 3)


def test_thirty_models(ask):
    names = [f"model{index:02}" for index in range(30)]
    with (
        FakeTriton(models=[text_signature(name) for name in names]) as server,
        ServerClient(server.url) as client,
    ):
        assert [model.name for model in ask(client, "models")] == names


def test_a_signature(ask, server_client):
    signature = ask(server_client, "signature", "gpt.streaming")
    assert signature.decoupled
    assert signature.inputs["text_input"].datatype == "BYTES"
    with pytest.raises(ModelUnavailableError):
        ask(server_client, "signature", "nope")


def test_model_ready(ask, server_client, server):
    assert ask(server_client, "is_model_ready", "gpt") is True
    assert ask(server_client, "is_model_ready", "nope") is False
    server.models_ready["gpt"] = False
    assert ask(server_client, "is_model_ready", "gpt") is False


def test_wait_until_ready_says_what_is_missing(ask, server_client, server):
    ask(server_client, "wait_until_ready")
    ask(server_client, "wait_until_ready", "gpt")
    with pytest.raises(DeadlineExceededError, match="no model 'nope'"):
        ask(server_client, "wait_until_ready", "nope", timeout=0.2)


def test_metadata_is_sent_and_checked(server):
    with pytest.raises(ConfigurationError):
        ServerClient(server.url, metadata={"Bad Name": "x"})
    assert "secret" not in repr(ServerClient(server.url, metadata={"authorization": "Bearer secret"}))


def test_a_closed_client_says_so(ask, server_client):
    server_client.close()
    with pytest.raises(ConfigurationError, match="closed"):
        ask(server_client, "metadata")


def test_async_context_manager(server):
    async def main() -> bool:
        async with ServerClient(server.url) as client:
            return await client.ais_ready()

    assert asyncio.run(main())


# --- discovery


def serving(*names):
    return FakeTriton(["found"], models=[text_signature(name) for name in names])


def test_a_short_name_finds_the_one_model_that_has_it(read):
    with serving("acme-zephyr-7b.streaming", "acme-zephyr-7b", "other.streaming") as server:
        with StreamingClient("zephyr", url=server.url) as client:
            _, generation = read(client, "hi")
            read(client, "hi")
        assert generation.model == "acme-zephyr-7b.streaming"
        assert list(server.calls).count("RepositoryIndex") == 1


def test_the_found_model_is_prompted_by_the_family_of_its_name(read):
    with serving("acme-zephyr-7b.streaming") as server, StreamingClient("zephyr", url=server.url) as client:
        read(client, [user("hi")])
        assert server.requests[0].prompt.startswith("<|user|>\nhi")


def test_an_exact_stem_wins_over_longer_names(read):
    with serving("zephyr.streaming", "big-zephyr.streaming") as server:
        with StreamingClient("zephyr", url=server.url) as client:
            assert read(client, "hi")[1].model == "zephyr.streaming"


def test_several_matches_are_listed(read):
    with serving("a-zephyr.streaming", "b-zephyr.streaming") as server:
        with StreamingClient("zephyr", url=server.url) as client, pytest.raises(UnknownModelError) as caught:
            read(client, "hi")
    assert caught.value.known == ("a-zephyr.streaming", "b-zephyr.streaming")
    assert "a-zephyr.streaming" in str(caught.value)


def test_no_match_lists_what_streams_there(read):
    with serving("one.streaming", "two") as server, StreamingClient("zephyr", url=server.url) as client:
        with pytest.raises(ModelUnavailableError, match=r"one\.streaming") as caught:
            read(client, "hi")
    assert "two" not in str(caught.value)


def test_a_registered_name_is_never_looked_for(read):
    registry = ModelRegistry([ModelSpec(name="zephyr", server_name="exactly.this.streaming")])
    with serving("zephyr.streaming") as server:
        with StreamingClient("zephyr", url=server.url, registry=registry) as client:
            with pytest.raises(ModelUnavailableError, match=r"exactly\.this"):
                read(client, "hi")
        assert "RepositoryIndex" not in server.calls
