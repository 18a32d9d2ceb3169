"""Metadata of calls that a function of the caller's makes for each of them, such as headers for tracing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from nupic_client._core.calls.flows import FetchMetadata
from nupic_client.config import check_metadata
from nupic_client.errors import ConfigurationError

if TYPE_CHECKING:
    from nupic_client._core.calls.flows import Flow, Metadata, SentMetadata

__all__ = ["MetadataSource", "metadata_over", "metadata_under"]


class MetadataSource:
    """Metadata made for each call. Immutable; its repr shows no values.

    Args:
        *layers: fixed metadata, and functions that make some; the later ones go over the earlier ones.
        under: functions of observers, which make more, given the names of those; they must not raise.
    """

    __slots__ = ("layers", "under")

    def __init__(
        self,
        *layers: Mapping[str, str | bytes] | Callable[[], Any],
        under: tuple[Callable[[Collection[str]], Mapping[str, str | bytes]], ...] = (),
    ) -> None:
        self.layers: tuple[Mapping[str, str | bytes] | Callable[[], Any], ...] = layers
        self.under: tuple[Callable[[Collection[str]], Mapping[str, str | bytes]], ...] = under

    def resolve(self, context: Context | None) -> Flow[SentMetadata]:
        """Return the metadata of one call.

        Args:
            context: in which the functions are called; None for that of the caller.

        Raises:
            ConfigurationError: a function returns what cannot be sent, or must be awaited in a blocking call.
        """
        found: dict[str, str | bytes] = {}
        for layer in self.layers:
            if callable(layer):
                source = layer if context is None else partial(context.run, layer)
                found.update(_checked((yield FetchMetadata(source))))
            else:
                found.update(layer)
        for make in self.under:
            more = make(found.keys()) if context is None else context.run(make, found.keys())
            found = {**more, **found}
        return tuple(found.items())

    def __repr__(self) -> str:
        return "MetadataSource(…)"


def metadata_over(default: Metadata, given: Any) -> Metadata:
    """Return the metadata of a call put over that of its client; names that both have are the call's.

    Args:
        default: of the client.
        given: a mapping, a function that returns one for each call, or None.

    Raises:
        ConfigurationError: it is neither, or gRPC would refuse it.
    """
    made = callable(given) and not isinstance(given, Mapping)
    layer = given if made else check_metadata(given or {})
    if isinstance(default, MetadataSource):
        return MetadataSource(*default.layers, layer) if layer else default
    if made:
        return MetadataSource(*([dict(default)] if default else []), layer)
    return tuple({**dict(default), **layer}.items())


def metadata_under(
    given: Metadata, functions: Iterable[Callable[[Collection[str]], Mapping[str, str | bytes]]]
) -> MetadataSource:
    """Return the metadata of a call with those that observers make under it; names that both have are the call's."""
    layers = given.layers if isinstance(given, MetadataSource) else (dict(given),)
    return MetadataSource(*layers, under=tuple(functions))


def refuse_awaitable(parameter: str, found: Any) -> None:
    """Raise ConfigurationError for what an async function of the caller's returns in a blocking call."""
    if inspect.isawaitable(found):
        if inspect.iscoroutine(found):
            found.close()  # else Python warns that it was never awaited
        raise ConfigurationError(
            f"{parameter} must be a plain function in a blocking call, not an async one: give a plain function, or use the"
            " client's async methods",
            parameter=parameter,
        )


def _checked(found: Any) -> Mapping[str, str | bytes]:
    refuse_awaitable("metadata", found)
    if not isinstance(found, Mapping):
        raise ConfigurationError(
            f"metadata must be a mapping of names to values, or a function that returns one, and not"
            f" {type(found).__name__}",
            parameter="metadata",
        )
    return check_metadata(found)
