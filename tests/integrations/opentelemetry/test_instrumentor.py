"""`NupicInstrumentor`, in a program and through ``opentelemetry-instrument``."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from needed import need

need("opentelemetry")

from nupic_client.integrations.opentelemetry.instrumentor import NupicInstrumentor
from nupic_client.observers import everywhere

COMMAND = Path(sys.executable).parent / "opentelemetry-instrument"
PROGRAM = """
import sys
from nupic_client import StreamingClient

with StreamingClient("gpt.streaming", sys.argv[1]) as client:
    with client.stream("hi") as stream:
        print("".join(stream))
"""


@pytest.fixture
def instrumentor():
    made = NupicInstrumentor()
    yield made
    if made.is_instrumented_by_opentelemetry:
        made.uninstrument()


def test_in_a_program(memory, client, instrumentor):
    instrumentor.instrument(**memory.providers, provider="mine", skip_dep_check=True)
    client.generate("hi")
    instrumentor.uninstrument()
    client.generate("hi")
    assert len(memory.spans) == 1
    assert memory.attributes["gen_ai.provider.name"] == "mine"
    assert everywhere.observers == ()


def test_twice_is_once(memory, client, instrumentor):
    instrumentor.instrument(**memory.providers)
    instrumentor.instrument(**memory.providers)
    client.generate("hi")
    assert len(memory.spans) == 1
    instrumentor.uninstrument()
    instrumentor.uninstrument()


def test_undoing_what_was_not_done(instrumentor):
    instrumentor._uninstrument()
    assert everywhere.observers == ()


def test_it_instruments_this_package(instrumentor):
    assert [*instrumentor.instrumentation_dependencies()] == ["nupic-client"]


def test_the_entry_point():
    (entry,) = [
        each
        for each in importlib.metadata.entry_points(group="opentelemetry_instrumentor")
        if each.name == "nupic"
    ]
    assert entry.load() is NupicInstrumentor


def instrumented(*command, **environment):
    return subprocess.run(
        [str(COMMAND), *command],
        capture_output=True,
        text=True,
        timeout=110,
        env={
            **os.environ,
            "OTEL_TRACES_EXPORTER": "console",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_SERVICE_NAME": "application",
            **environment,
        },
    )


def spans_of(output):
    """Return the spans that the console exporter has printed among other lines."""
    found, decoder, rest = [], json.JSONDecoder(), output
    while "{" in rest:
        span, end = decoder.raw_decode(rest[rest.index("{") :])
        found.append(span)
        rest = rest[rest.index("{") + end :]
    return found


@pytest.mark.parametrize("disabled", [False, True])
def test_opentelemetry_instrument_needs_no_change_of_the_program(server, disabled):
    environment = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "nupic"} if disabled else {}
    done = instrumented(sys.executable, "-c", PROGRAM, server.url, **environment)
    assert done.stdout.startswith("ab\n"), done.stderr
    spans = {span["name"]: span for span in spans_of(done.stdout)}
    call = next(span for name, span in spans.items() if name.endswith("ModelStreamInfer"))
    if disabled:
        assert "text_completion gpt.streaming" not in spans
        return
    ours = spans["text_completion gpt.streaming"]
    assert call["parent_id"] == ours["context"]["span_id"], (
        "with the instrumentation of gRPC, which it finds too"
    )
    assert ours["attributes"]["gen_ai.response.finish_reasons"] == ["stop"]
    assert ours["resource"]["attributes"]["service.name"] == "application"


def test_it_names_the_package_that_it_needs():
    program = (
        "import sys; sys.modules['opentelemetry.instrumentation.instrumentor'] = None\n"
        "try: import nupic_client.integrations.opentelemetry.instrumentor\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install opentelemetry-distro" in done.stdout


def test_the_integration_alone_needs_the_api_only():
    program = (
        "import sys\nimport nupic_client.integrations.opentelemetry\n"
        "print(*[name for name in sys.modules if name.startswith('opentelemetry.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[1] for name in done.stdout.split()}
    assert not {"sdk", "instrumentation", "semconv"} & loaded
