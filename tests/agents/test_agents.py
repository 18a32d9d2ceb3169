"""P-F1: an application that is traced works as it does without: the agents that are common, instrumented as they say.

``nox -s agents`` has them, and there a missing one is a failure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agents.program import NAMES, PATIENCE
from nupic_client.testing import FakeTriton, Reply, abort, fail, silence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nupic_client.local.engine import EngineRequest

if not os.environ.get("NUPIC_REQUIRE_AGENTS"):
    pytest.skip("nox -s agents has the agents", allow_module_level=True)

PROGRAM = Path(__file__).with_name("program.py")
BIN = Path(sys.executable).parent
QUIET = {
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "DD_TRACE_AGENT_URL": "http://127.0.0.1:9",
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "NEW_RELIC_DEVELOPER_MODE": "true",
    "NEW_RELIC_LICENSE_KEY": "0" * 40,
    "NEW_RELIC_APP_NAME": "application",
    "NEW_RELIC_LOG": "stderr",
}
"""Settings with which no agent talks to anybody."""
COMMANDS: dict[str, tuple[str, ...]] = {
    "otel": (),
    "otel-command": ("opentelemetry-instrument",),
    "elastic": (),
    "sentry": (),
    "datadog": (),
    "datadog-command": ("ddtrace-run",),
    "newrelic": (),
    "newrelic-command": ("newrelic-admin", "run-program"),
}
"""The agents, and the commands that instrument without a change of the program."""


@pytest.fixture(scope="module")
def server() -> Iterator[FakeTriton]:
    def reply(request: EngineRequest) -> Reply | list[object]:
        prompt, _, about = request.prompt.partition("? ")
        if prompt == "cancelled":
            end = time.monotonic() + PATIENCE / 2
            while time.monotonic() < end and about not in {item.request_id for item in server.cancellations}:
                time.sleep(0.02)
            return ["yes" if about in {item.request_id for item in server.cancellations} else "no"]
        return {
            "whole": ["one", " two"],
            "silent": ["one", silence()],
            "late": [silence()],
            "broken": ["one", fail("the GPU is on fire")],
            "lost": ["one", abort("RESOURCE_EXHAUSTED", "no")],
        }[prompt]

    with FakeTriton(reply) as server:
        yield server


@pytest.fixture(scope="module")
def outcome(request: pytest.FixtureRequest, server: FakeTriton) -> dict[str, str | None]:
    """Run the program under an agent and return what failed in it."""
    command = COMMANDS[request.param]
    if command:
        command = (str(BIN / command[0]), *command[1:])
    done = subprocess.run(
        [*command, sys.executable, str(PROGRAM), request.param, server.url],
        env={**os.environ, **QUIET},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    found = {}
    for line in done.stdout.splitlines():
        if line.startswith('{"check"'):
            item = json.loads(line)
            found[item["check"]] = item["failure"]
    found["process"] = None if done.returncode == 0 else f"{done.returncode}: {done.stderr[-4000:]}"
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("outcome", COMMANDS, indirect=True)
@pytest.mark.parametrize("check", [*NAMES, "process"])
def test_a_traced_application_works(outcome: dict[str, str | None], check: str) -> None:
    assert check in outcome, outcome["process"]
    assert outcome[check] is None, outcome[check]
