"""Servers that leave special tokens out of the text, where a request cannot change that."""

from __future__ import annotations

from typing import ClassVar

from nupic_client.backends.tensors import TensorBackend
from nupic_client.errors import ConfigurationError
from nupic_client.options import BackendInputs
from nupic_client.signature import ModelSignature

__all__ = ["RemovesSpecialTokens"]


class RemovesSpecialTokens(TensorBackend):
    """A backend whose servers leave special tokens out of the text, unless they were set up not to.

    Args:
        keeps_special_tokens: whether yours were.
    """

    special_tokens_hint: ClassVar[str] = ""
    """How to set a server up so that special tokens stay in the text, for the error text."""

    def __init__(self, *, keeps_special_tokens: bool = False) -> None:
        self._keeps_special_tokens = keeps_special_tokens

    def special_token_inputs(self, signature: ModelSignature) -> BackendInputs:
        """Return no inputs if the server is set up to leave special tokens in the text.

        Raises:
            ConfigurationError: it is not.
        """
        if self._keeps_special_tokens:
            return {}
        raise ConfigurationError(
            f"model {signature.name!r} must leave special tokens in the text, because this family's tool calls or reasoning"
            f" are marked by them, but backend {self.name!r} removes them: {self.special_tokens_hint}, and give"
            f" backend={type(self).__name__}(keeps_special_tokens=True)"
        )
