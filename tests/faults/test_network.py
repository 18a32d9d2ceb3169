"""Faults of the network between the client and a server, by a proxy."""

from __future__ import annotations

import contextlib
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from triton.fixtures import lent_server

from faults.harness import Script, check, until_whole
from faults.leaks import Leaks
from faults.network import PATIENT, SCENARIOS, Scenario
from faults.proxy import Proxy
from faults.reading import COLOURS, Colour, Outcome
from faults.rows import BEFORE_CONNECTION, BEFORE_TOKEN, IN_STREAM
from nupic_client import RetryPolicy, StreamingClient
from nupic_client.testing import FakeTriton

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults.table import Table

pytestmark = pytest.mark.slow

SERVERS = {"FakeTriton": FakeTriton, "Triton": lent_server}
CASES = [
    pytest.param(
        *(scenario, make, name),
        id=f"{scenario.id}-{make.name}-{name}",
        marks=pytest.mark.triton if name == "Triton" else (),
    )
    for scenario in SCENARIOS
    for make in COLOURS
    for name in SERVERS
    if name == "FakeTriton" or scenario.real
]


@contextlib.contextmanager
def served(name: str) -> Iterator[tuple[Any, Script, Proxy]]:
    script = Script()
    with SERVERS[name](script) as server, Proxy(server.url) as proxy:
        try:
            yield server, script, proxy
        finally:
            script.go_on.set()


def read_with_fault(
    scenario: Scenario, flavour: Colour, client: StreamingClient, script: Script, proxy: Proxy
) -> Outcome:
    """Generate, with the fault at its moment."""

    def on_piece(count: int) -> None:
        if scenario.row.where == IN_STREAM and count == 2:
            scenario.inject(proxy)
            if not scenario.endless:
                script.go_on.set()

    if scenario.row.where == IN_STREAM:
        script.go_on.clear()
    elif scenario.row.where == BEFORE_TOKEN:
        script.on_request = lambda: scenario.inject(proxy)
    else:
        scenario.inject(proxy)
    try:
        return flavour.read(client, on_piece, timeout=scenario.timeouts)
    finally:
        script.on_request = lambda: None
        if not scenario.endless:
            script.go_on.set()


@pytest.mark.parametrize(("scenario", "make_colour", "name"), CASES)
def test_a_fault_of_the_network(scenario: Scenario, make_colour: Any, name: str, warm: None, table: Table):
    with served(name) as (server, script, proxy), contextlib.ExitStack() as stack:
        leaks = Leaks()
        flavour = stack.enter_context(contextlib.closing(make_colour()))
        client = StreamingClient(
            "gpt.streaming",
            url=scenario.url or proxy.url,
            timeout=replace(PATIENT, connect=scenario.timeouts.connect),
            max_retries=RetryPolicy(initial_backoff=0.2, max_backoff=0.4),
            channel_options=scenario.channel_options,
        )
        if scenario.row.where != BEFORE_CONNECTION:
            until_whole(flavour, client, 10)
        outcome = read_with_fault(scenario, flavour, client, script, proxy)
        check(scenario.row, outcome)
        proxy.heal()
        server.reply = script if not scenario.endless else Script()
        streams = [outcome.stream]
        again = None
        if not (scenario.channel_options and scenario.row.where == BEFORE_CONNECTION) and not scenario.url:
            whole, again = until_whole(flavour, client, 10)
            streams.append(whole.stream)
        script.go_on.set()
        flavour.leave(client)
        gone = weakref.ref(client)
        del client
        leaks.check([proxy.port], [gone, *streams])
    table.record(scenario.row, outcome, again, name)
