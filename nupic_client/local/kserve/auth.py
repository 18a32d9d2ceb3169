"""Bearer tokens: who may call a server."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from nupic_client._core.calls.auth import check_bearer_token
from nupic_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["check_bearer_tokens", "is_authorized"]


def check_bearer_tokens(token: str | Collection[str] | None) -> tuple[str, ...] | None:
    """Return the tokens a server accepts, or None where it asks for none.

    Raises:
        ConfigurationError: there is none among them, or one cannot be sent. They are not shown.
    """
    if token is None:
        return None
    tokens = (token,) if isinstance(token, str) else tuple(token)
    if not tokens:
        raise ConfigurationError(
            "bearer_token must be a token or several, not none of them: nobody could use the server",
            parameter="bearer_token",
        )
    return tuple(map(check_bearer_token, tokens))


def is_authorized(metadata: Mapping[str, str | bytes], tokens: Collection[str]) -> bool:
    """Tell whether a call brings one of the tokens; how long that takes says nothing about them."""
    header = metadata.get("authorization", "")
    scheme, _, given = (header if isinstance(header, str) else "").partition(" ")
    right = [hmac.compare_digest(given.encode(), token.encode()) for token in tokens]
    return scheme.lower() == "bearer" and any(right)
