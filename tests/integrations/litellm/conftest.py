from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from integrations.counts import count

from nupic_client.testing import FakeTriton, competent_model, text_signature

if os.environ.get("NUPIC_INTEGRATION") == "litellm":
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks GitHub for one when it is imported
    os.environ["LITELLM_MODE"] = "PRODUCTION"  # it reads no .env


def pytest_configure(config: pytest.Config) -> None:
    count(config, "litellm", {}, packages=("litellm",))


@pytest.fixture(autouse=True)
def litellm() -> Iterator[Any]:
    """LiteLLM with our provider, and as it was afterwards."""
    # It is not there where all tests are collected.
    import litellm  # noqa: PLC0415

    from nupic_client.integrations.litellm import provider, register  # noqa: PLC0415

    before = litellm.custom_provider_map
    litellm.suppress_debug_info = True
    register()
    yield litellm
    provider.close()
    litellm.custom_provider_map = before
    litellm.drop_params = False


@pytest.fixture
def server() -> Iterator[FakeTriton]:
    """A server whose model calls tools and keeps to forms."""
    with FakeTriton(
        competent_model("qwen3"), models=[text_signature("gpt.streaming", guided=True)]
    ) as server:
        yield server
