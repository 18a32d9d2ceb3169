"""The page of the service names every call of the protocol, and methods that exist."""

from __future__ import annotations

import re
from pathlib import Path

import nupic_client
from nupic_client._core.kserve import wire

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "service.md").read_text(encoding="utf-8")
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
            assert callable(getattr(client, f"a{method}", None)) or method == "shared_memory", method
