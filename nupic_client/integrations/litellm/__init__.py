"""LiteLLM: models ``nupic/…`` for ``litellm.completion``, its router and its proxy.

It needs the extra ``litellm``: ``pip install 'nupic-client[litellm]'``.
"""

from __future__ import annotations

try:
    import litellm
except ImportError as error:
    raise ImportError(
        "nupic_client.integrations.litellm needs the package litellm: pip install 'nupic-client[litellm]'"
    ) from error

from nupic_client.integrations.litellm.provider import NupicProvider

__all__ = ["NupicProvider", "provider", "register"]

provider = NupicProvider()
"""The provider that `register` gives to LiteLLM; the configuration of a proxy names it as its ``custom_handler``."""


def register(name: str = "nupic", handler: NupicProvider | None = None) -> NupicProvider:
    """Let LiteLLM answer for the models ``nupic/…``. To call it again does no harm.

    Args:
        name: what stands before the ``/`` in the names of the models.
        handler: the provider; `provider` by default.

    Returns:
        The provider. Its ``close()`` closes the connections that it has opened.

    Example:
        .. code-block:: python

            import litellm
            from nupic_client.integrations.litellm import register

            register()
            answer = litellm.completion(
                model="nupic/smollm2",
                api_base="localhost:8001",
                messages=[{"role": "user", "content": "Why is the sky blue?"}],
            )
    """
    handler = provider if handler is None else handler
    others = [item for item in litellm.custom_provider_map if item["provider"] != name]
    litellm.custom_provider_map = [*others, {"provider": name, "custom_handler": handler}]
    litellm.utils.custom_llm_setup()
    return handler
