"""NuPIC's model names, read into their parts.

Three forms are public: ``nupic-sbert.base-v3``, the older ``nupic-sbert-1-v3`` and the oldest
``numenta-sbert-2-v2-wtokenizer``; and one rule: a GPT version that supports output streaming ends in ``.streaming``
(https://docs.numenta.com/docs/configuration, https://docs.numenta.com/docs/gpt-streaming). The names of the parts are
our own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nupic_client._public import publish

__all__ = ["STREAMING_SUFFIX", "ModelName", "parse_model_name", "streaming_name", "unary_name"]

STREAMING_SUFFIX = ".streaming"
"""NuPIC marks a GPT version that supports output streaming by this end of its name."""

_NAME = re.compile(
    r"(?P<vendor>nupic|numenta)-(?P<family>[a-z0-9]+)[.-](?P<size>[a-z0-9]+)-v(?P<version>[0-9]{1,9})(?:-(?P<variant>[a-z0-9]+))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """A model name in its parts.

    Args:
        full: the whole name, as the server knows it.
        vendor: ``"nupic"`` or ``"numenta"``; empty for names that are not NuPIC's.
        family: e.g. ``"sbert"``; for other names all but the suffix.
        size: e.g. ``"base"``, or the number that older names have in its place.
        version: the number after the ``v``, or None.
        variant: what follows the version, e.g. ``"wtokenizer"``.
        streaming: whether the name ends in ``.streaming``.
    """

    full: str
    vendor: str = ""
    family: str = ""
    size: str = ""
    version: int | None = None
    variant: str = ""
    streaming: bool = False


def parse_model_name(name: str) -> ModelName:
    """Read a model name into its parts.

    Args:
        name: any name. One that is not NuPIC's has only a family and perhaps the streaming suffix.

    Returns:
        Its parts.

    Example:
        >>> parse_model_name("nupic-sbert.base-v3").version
        3
    """
    stem = unary_name(name)
    match = _NAME.fullmatch(stem)
    streaming = stem != name
    if match is None:
        return ModelName(full=name, family=stem, streaming=streaming)
    return ModelName(
        full=name,
        vendor=match["vendor"].lower(),
        family=match["family"].lower(),
        size=match["size"].lower(),
        version=int(match["version"]),
        variant=match["variant"] or "",
        streaming=streaming,
    )


def streaming_name(name: str) -> str:
    """Return the name of a model's version that streams."""
    return name if name.endswith(STREAMING_SUFFIX) else name + STREAMING_SUFFIX


def unary_name(name: str) -> str:
    """Return the name of a model's version that does not stream."""
    return name.removesuffix(STREAMING_SUFFIX)


publish(__name__)
