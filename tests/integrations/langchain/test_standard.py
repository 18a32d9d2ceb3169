"""LangChain's own tests of chat models and embeddings, on a scripted model and on the embedded one."""

from __future__ import annotations

import pytest
from needed import need

need("langchain")

from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from nupic_client.integrations.langchain import ChatNupic, NupicEmbeddings
from nupic_client.testing import FakeTriton, competent_model, text_signature

pytestmark = pytest.mark.slow

OTHER = "other.streaming"


@pytest.fixture(scope="module")
def scripted_server():
    models = [text_signature(name, guided=True) for name in ("smollm2.streaming", OTHER)]
    with FakeTriton(competent_model("smollm2"), models=models) as server:
        yield server


class Features:
    """What is switched on for all suites."""

    url = "localhost:1"

    @property
    def chat_model_class(self):
        return ChatNupic

    @property
    def chat_model_params(self):
        return {"model": "smollm2", "url": self.url}

    @property
    def has_tool_calling(self):
        return True

    @property
    def has_tool_choice(self):
        return True

    @property
    def has_structured_output(self):
        return True

    @property
    def supports_json_mode(self):
        return True

    @property
    def returns_usage_metadata(self):
        return True

    @property
    def supports_anthropic_inputs(self):
        return True

    @property
    def supports_model_override(self):
        return True

    @property
    def model_override_value(self):
        return OTHER


class TestUnit(Features, ChatModelUnitTests):
    @property
    def init_from_env_params(self):
        return (
            {"NUPIC_URL": "triton:8001", "NUPIC_TOKEN": "secret"},
            {"model": "smollm2", "allow_insecure_token": True},
            {"url": "triton:8001", "token": "secret"},
        )


class TestScripted(Features, ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def server(self, scripted_server):
        self.url = scripted_server.url

    @property
    def chat_model_params(self):
        return {"model": "smollm2", "url": self.url, "formatter": "smollm2"}


@pytest.mark.model
class TestEmbedded(Features, ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def server(self, local_server):
        self.url = local_server.url

    @property
    def chat_model_params(self):
        # Without the penalty a model this small says the same again until max_tokens.
        options = {"temperature": 0, "max_tokens": 100, "repetition_penalty": 1.3}
        return {"model": "smollm2", "url": self.url, "formatter": "smollm2", **options}

    @property
    def model_override_value(self):
        return "smollm2.streaming"


class OfEmbeddings:
    url = "localhost:1"

    @property
    def embeddings_class(self):
        return NupicEmbeddings

    @property
    def embedding_model_params(self):
        return {"model": "smollm2-embed", "url": self.url}


class TestEmbeddingsUnit(OfEmbeddings, EmbeddingsUnitTests):
    @property
    def init_from_env_params(self):
        return (
            {"NUPIC_URL": "triton:8001", "NUPIC_TOKEN": "secret"},
            {"model": "smollm2-embed", "allow_insecure_token": True},
            {"url": "triton:8001", "token": "secret"},
        )


@pytest.mark.model
class TestEmbeddings(OfEmbeddings, EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def server(self, local_server):
        self.url = local_server.url
