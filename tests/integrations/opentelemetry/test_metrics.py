"""The metrics, in both generations of the conventions, and that nothing is guessed."""

from __future__ import annotations

import pytest
from needed import need

need("opentelemetry")

from integrations.opentelemetry.recording import agenerate, amap, generate, map_

from nupic_client import RequestError, StreamingClient
from nupic_client.integrations.opentelemetry.names import LATEST, PRESENT, names_of
from nupic_client.testing import FakeTriton, abort

WAYS = pytest.mark.parametrize("ask", [generate, agenerate, map_, amap])
SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]
OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"


@WAYS
def test_a_generation(memory, client, server, ask):
    server.reply = ["a", "b", "c"]
    memory.instrument(client)
    ask(client)
    host, _, port = server.url.partition(":")
    common = {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "triton",
        "gen_ai.request.model": "gpt.streaming",
        "gen_ai.response.model": "gpt.streaming",
        "server.address": host,
        "server.port": int(port),
    }
    points = memory.points()
    assert set(points) == {
        "gen_ai.client.operation.duration",
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.operation.time_per_output_chunk",
    }
    (duration,) = points["gen_ai.client.operation.duration"]
    (first,) = points["gen_ai.client.operation.time_to_first_chunk"]
    (every,) = points["gen_ai.client.operation.time_per_output_chunk"]
    for point, count in ((duration, 1), (first, 1), (every, 2)):
        assert (dict(point.attributes), point.count) == (common, count)
        assert [*point.explicit_bounds] == pytest.approx(SECONDS)
    assert 0 < first.sum + every.sum <= duration.sum
    tokens = {point.attributes["gen_ai.token.type"]: point for point in points["gen_ai.client.token.usage"]}
    assert tokens["output"].sum == 3
    assert [*tokens["input"].explicit_bounds] == TOKENS
    assert dict(tokens["input"].attributes) == {**common, "gen_ai.token.type": "input"}


@WAYS
def test_the_newest_draft(memory, client, monkeypatch, ask):
    monkeypatch.setenv(OPT_IN, "http, gen_ai_latest_experimental")
    memory.instrument(client)
    ask(client, top_k=3)
    points = memory.points()
    assert set(points) == {
        "gen_ai.client.inference.duration",
        "gen_ai.client.inference.time_to_first_chunk",
        "gen_ai.client.inference.time_per_output_chunk",
        "gen_ai.client.inference.usage.input_tokens",
        "gen_ai.client.inference.usage.output_tokens",
        "gen_ai.client.inference.operation.input_tokens",
        "gen_ai.client.inference.operation.output_tokens",
    }
    assert points["gen_ai.client.inference.usage.output_tokens"][0].value == 2
    assert points["gen_ai.client.inference.operation.output_tokens"][0].sum == 2
    assert "gen_ai.token.type" not in points["gen_ai.client.inference.usage.output_tokens"][0].attributes
    assert memory.attributes["gen_ai.request.top_k"] == 3
    assert type(memory.attributes["gen_ai.request.top_k"]) is int


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("", PRESENT),
        ("http", PRESENT),
        ("gen_ai_latest_experimental", LATEST),
        ("database/dup ,gen_ai_latest_experimental", LATEST),
        ("gen_ai_latest_experimental_not", PRESENT),
    ],
)
def test_the_generation_is_chosen_by_the_environment(value, names):
    assert names_of({OPT_IN: value}) is names


def test_no_attribute_of_a_generation_has_the_name_of_another():
    for names in (PRESENT, LATEST):
        values = [
            getattr(names, name)
            for name in names.__dataclass_fields__
            if isinstance(getattr(names, name), str) and name != "schema"
        ]
        assert len(values) == len(set(values))


@WAYS
def test_a_failure_has_a_duration_with_its_kind(memory, client, server, ask):
    server.reply = [abort("INTERNAL", "no")]
    memory.instrument(client)
    with pytest.raises(RequestError):
        ask(client)
    points = memory.points()
    assert set(points) == {"gen_ai.client.operation.duration"}
    assert points["gen_ai.client.operation.duration"][0].attributes["error.type"] == "InferenceError"


def test_a_stream_that_was_left_is_no_failure(memory, client):
    memory.instrument(client)
    with client.stream("hi") as stream:
        next(stream)
    (point,) = memory.points()["gen_ai.client.operation.duration"]
    assert "error.type" not in point.attributes


def test_the_time_between_chunks_can_be_left_out(memory, client):
    memory.instrument(client, every_chunk=False)
    client.generate("hi")
    assert "gen_ai.client.operation.time_per_output_chunk" not in memory.points()


def test_the_scope_names_the_package_and_the_schema(memory, client):
    memory.instrument(client)
    client.generate("hi")
    scope = memory.span().instrumentation_scope
    assert scope.name == "nupic_client.integrations.opentelemetry"
    assert scope.version
    assert scope.schema_url == PRESENT.schema


def test_metrics_alone(memory, client):
    from nupic_client.integrations.opentelemetry import instrument  # noqa: PLC0415

    instrument(client, meter_provider=memory.meter_provider)
    client.generate("hi")
    assert memory.spans == []
    assert memory.points()["gen_ai.client.operation.duration"][0].count == 1


def test_several_servers_are_known_by_the_one_that_answered(memory, server):
    with FakeTriton(["a"]) as other, StreamingClient("gpt.streaming", [server.url, other.url]) as client:
        memory.instrument(client)
        endpoint = client.generate("hi").endpoint
    (point,) = memory.points()["gen_ai.client.operation.duration"]
    assert f"{point.attributes['server.address']}:{point.attributes['server.port']}" == endpoint
