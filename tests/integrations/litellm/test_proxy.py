"""LiteLLM's proxy with our provider in its configuration, asked as OpenAI's clients ask it."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from needed import need

need("litellm")

from fastapi.testclient import TestClient
from pages import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # what the proxy's own libraries warn of
]


@pytest.fixture
def proxy(litellm, server, tmp_path, monkeypatch):
    """The proxy with the page's configuration."""
    page = (ROOT / "docs" / "integrations" / "litellm.md").read_text(encoding="utf-8")
    (config,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    config = config.replace("gpu1:8001,gpu2:8001", server.url).replace(
        "nupic/smollm2", "nupic/gpt.streaming\n      formatter: qwen3"
    )
    path = tmp_path / "config.yaml"
    path.write_text(config)
    monkeypatch.chdir(tmp_path)
    from litellm.proxy import proxy_server  # noqa: PLC0415 - it changes settings of LiteLLM when it is imported

    litellm.custom_provider_map = []  # the configuration alone names the provider
    asyncio.run(proxy_server.initialize(config=str(path)))
    return TestClient(proxy_server.app)


def test_the_configuration_of_the_page(proxy, server):
    asked = {
        "model": "smollm2",
        "messages": [{"role": "user", "content": "Hello proxy"}],
        "n": 3,  # dropped
        "top_k": 7,
    }
    answer = proxy.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "You said: Hello proxy"
    assert answer.json()["usage"]["completion_tokens"] == 4
    assert server.requests[-1].inputs["top_k"] == 7

    answer = proxy.post("/v1/chat/completions", json={**asked, "stream": True})
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    texts = [choice["delta"].get("content") or "" for line in lines for choice in json.loads(line)["choices"]]
    assert "".join(texts) == "You said: Hello proxy"

    answer = proxy.post("/v1/chat/completions", json={**asked, "temperature": -1})
    assert answer.status_code == 400
