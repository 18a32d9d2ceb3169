"""What the questions to a server share."""

from __future__ import annotations

import pytest

from nupic_client import ConfigurationError
from nupic_client._core.calls.queries import Queries

ASK = Queries(7.0, (("a", "b"),))


def test_a_call_has_the_timeout_and_the_metadata():
    call = ASK._invoke("ModelReady", name="gpt", version="2")
    assert (call.method, call.timeout, call.metadata) == ("ModelReady", 7.0, (("a", "b"),))
    assert (call.request.name, call.request.version) == ("gpt", "2")


@pytest.mark.parametrize(
    ("method", "field", "named"),
    [
        ("ModelReady", "name", "model"),
        ("ModelReady", "version", "version"),
        ("SystemSharedMemoryStatus", "name", "name"),
        ("TraceSetting", "model_name", "model_name"),
    ],
)
@pytest.mark.parametrize("value", [5, "a\ud800"])
def test_a_text_that_cannot_be_sent_is_named(method, field, named, value):
    with pytest.raises(ConfigurationError, match=f"^{named} must be") as caught:
        ASK._invoke(method, **{field: value})
    assert caught.value.parameter == named
