from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

if os.environ.get("NUPIC_INTEGRATION") == "jupyter":
    from nupic_client.testing import FakeTriton, sleep, text_signature

    @pytest.fixture
    def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTriton]:
        """A server of SmolLM2 that takes its time; kernels and programs find it by the environment."""
        reply = ["**Paris** ", sleep(0.02), "is", sleep(0.02), " <script>x</script>", sleep(0.02), " big."]
        models = [text_signature("smollm2.streaming"), text_signature("smollm2", decoupled=False)]
        with FakeTriton(reply, models=models) as server:
            monkeypatch.setenv("NUPIC_URL", server.url)
            yield server
