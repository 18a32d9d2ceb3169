from __future__ import annotations

import pytest
from integrations.counts import count


def pytest_configure(config: pytest.Config) -> None:
    count(config, "pydantic_ai", {}, packages=("pydantic-ai-slim",), kind="recipes")
