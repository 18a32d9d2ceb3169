"""LlamaIndex: `NupicLLM`, a chat model with tools and guided answers, and `NupicEmbedding`.

They need the extra ``llama-index``: ``pip install 'nupic-client[llama-index]'``.
"""

from __future__ import annotations

try:
    import llama_index.core  # noqa: F401 - the modules below import it
except ImportError as error:
    raise ImportError(
        "nupic_client.integrations.llama_index needs the package llama-index-core:"
        " pip install 'nupic-client[llama-index]'"
    ) from error

from nupic_client.integrations.llama_index.embedding import NupicEmbedding
from nupic_client.integrations.llama_index.llm import NupicLLM

__all__ = ["NupicEmbedding", "NupicLLM"]
