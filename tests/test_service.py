"""Pages and interfaces agree: the page of the service names every call, that on migration every method of tritonclient."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tritonclient.grpc.aio

import nupic_client
from nupic_client._core.kserve import wire

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "reference" / "service.md").read_text(encoding="utf-8")
MIGRATION = (DOCS / "how-to" / "migrate-from-tritonclient.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE))


def test_every_call_of_the_service_is_in_the_table():
    """A newer protocol with another call needs a method of ours, and a row."""
    service = wire.pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert set(ROWS) == {method.name for method in service.methods} == set(wire.METHODS)


def test_the_methods_exist_with_their_twins():
    for call, text in ROWS.items():
        named = re.findall(r"`(\w+)\.(\w+)`", text)
        assert named, call
        for kind, method in named:
            client = getattr(nupic_client, kind)
            assert callable(getattr(client, method))
            twin = getattr(client, f"a{method}", None)
            assert callable(twin) or method in {"sequence", "shared_memory"}, method


@pytest.mark.parametrize(
    "module", [tritonclient.grpc, tritonclient.grpc.aio], ids=lambda module: module.__name__
)
def test_every_method_of_tritonclient_has_its_row_in_the_page_on_migration(module):
    methods = {name for name in dir(module.InferenceServerClient) if not name.startswith("_")}
    named = set(re.findall(r"\w+", " ".join(re.findall(r"^\| (.*?) \|", MIGRATION, re.MULTILINE))))
    assert methods - named <= {"close", "plugin"}
