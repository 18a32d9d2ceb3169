"""The client of a class for LlamaIndex: the one that was given, or a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from nupic_client import ConfigurationError

__all__ = ["client_of", "plain_url"]

ClientT = TypeVar("ClientT")


def client_of(
    given: ClientT | None,
    make: Callable[[], ClientT],
    options: Mapping[str, Any],
    *,
    named: str,
    parameter: str,
    kind: str,
) -> ClientT:
    """Return the client that was given, or a new one.

    Args:
        given: what the caller gave.
        make: makes another one.
        options: for that one alone.
        named: the name of the model.
        parameter: the argument that it is of.
        kind: the client's class, with its article.

    Raises:
        ConfigurationError: there is neither a client nor a name, or there are options besides a client.
    """
    if given is None:
        if not named:
            raise ConfigurationError(
                f"{parameter} must be the name of a model, or client {kind}, not nothing", parameter=parameter
            )
        return make()
    if options:
        raise ConfigurationError(
            f"{min(options)} must be an option of the client, not be given besides it", parameter=min(options)
        )
    return given


def plain_url(url: str | Sequence[str] | None, of_client: str) -> str | list[str]:
    """Return a url as LlamaIndex can write it: the caller's, or that of the client."""
    if url is None:
        return of_client
    return url if isinstance(url, str) else [*url]
