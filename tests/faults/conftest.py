"""The table of faults: what the tests saw, and the page that shows it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from triton.fixtures import needs_triton, pytest_collection_modifyitems

from faults.reading import COLOURS
from faults.table import Table
from nupic_client import StreamingClient
from nupic_client.testing import FakeTriton

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["needs_triton", "pytest_collection_modifyitems"]

_OPTION = "--write-fault-table"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the page."""
    parser.addoption(_OPTION, action="store_true", help="write docs/explanation/faults.md from this run")


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Iterator[Table]:
    """Take what each test has seen; written at the end if the option says so."""
    table = Table()
    yield table
    if pytestconfig.getoption(_OPTION, default=False):
        table.write()


@pytest.fixture(scope="session")
def warm() -> None:
    """Let gRPC open once what it keeps for the life of the process."""
    with FakeTriton() as server:
        for make in COLOURS:
            flavour = make()
            client = StreamingClient("gpt.streaming", url=server.url)
            assert flavour.read(client).error == "none"
            flavour.leave(client)


@pytest.fixture(autouse=True)
def _no_records_of_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pytest keep no log records of gRPC: their tracebacks keep the streams alive that they came through."""
    monkeypatch.setattr(logging.getLogger("grpc._common"), "disabled", True)
