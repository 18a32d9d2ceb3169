"""LangChain: the chat model `ChatNupic`, the text model `NupicLLM` and `NupicEmbeddings`.

They need the extra ``langchain``: ``pip install 'nupic-client[langchain]'``.
"""

from __future__ import annotations

try:
    import langchain_core  # noqa: F401 - all modules here need it
except ImportError as error:
    raise ImportError(
        "nupic_client.integrations.langchain needs the package langchain-core: pip install 'nupic-client[langchain]'"
    ) from error

from nupic_client.integrations.langchain.chat_model import ChatNupic
from nupic_client.integrations.langchain.embeddings import NupicEmbeddings
from nupic_client.integrations.langchain.llm import NupicLLM

__all__ = ["ChatNupic", "NupicEmbeddings", "NupicLLM"]
