from __future__ import annotations

from nupic_client._core.calls.flows import Invoke

METADATA = (("authorization", "Bearer secret"),)


def test_the_repr_of_a_call_does_not_show_its_metadata():
    assert "secret" not in repr(Invoke("ServerLive", None, 1.0, METADATA))
