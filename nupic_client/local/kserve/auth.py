"""The bearer tokens that a server accepts."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from nupic_client._core.calls.auth import check_bearer_token
from nupic_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["check_bearer_tokens", "is_authorized"]


def check_bearer_tokens(token: str | Collection[str] | None) -> tuple[str, ...] | None:
    """Return the tokens that a server accepts, or None if it requires none.

    Raises:
        ConfigurationError: the collection is empty, or a token cannot be sent. Tokens are not shown.
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
    """Return whether a call has one of the tokens, in constant time."""
    header = metadata.get("authorization", "")
    scheme, _, given = (header if isinstance(header, str) else "").partition(" ")
    right = [hmac.compare_digest(given.encode(), token.encode()) for token in tokens]
    return scheme.lower() == "bearer" and any(right)
