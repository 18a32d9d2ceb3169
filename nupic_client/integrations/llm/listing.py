"""The names of the models: those of the registry, and those of the server at ``$NUPIC_URL``.

The server is asked once in a while only, and shortly: the answer, also that there was none, is kept in a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import llm

from nupic_client import ModelSignature, default_registry
from nupic_client.errors import NupicError

__all__ = ["LIMIT", "embedding_models", "text_models", "token"]

LIMIT = 0.5
"""Seconds for an answer of the server, and in which the last question about a model is asked."""
_FRESH = 60.0
"""Seconds for which an answer counts."""
_TEXT, _VECTORS = "text", "vectors"
_NUMBERS = frozenset({"FP16", "BF16", "FP32", "FP64"})


def text_models() -> list[str]:
    """Return the names of the models that generate text.

    Raises:
        ConfigurationError: a file of models cannot be read.
    """
    return _names(_TEXT)


def embedding_models() -> list[str]:
    """Return the names of the models that make vectors.

    Raises:
        ConfigurationError: a file of models cannot be read.
    """
    return _names(_VECTORS)


def token() -> str | None:
    """Return the bearer token: ``llm keys set nupic``, else ``$NUPIC_TOKEN``; None for none."""
    key: str | None = llm.get_key(alias="nupic", env="NUPIC_TOKEN")
    return key


def _names(kind: str) -> list[str]:
    registry = default_registry()
    names = [name for name, spec in registry.items() if (spec.family is None) == (kind == _VECTORS)]
    names += [name for name, found in _of_server().items() if found == kind and name not in registry]
    return names


@dataclass(frozen=True)
class _Known:
    """An answer of a server: when it was asked, and the kinds of its models by their names."""

    url: str
    asked: float
    models: dict[str, str]


def _of_server() -> Mapping[str, str]:
    """Return the kinds of the server's models by their names; none where there is no server, or it does not say."""
    url = os.environ.get("NUPIC_URL")
    if not url:
        return {}
    place = llm.user_dir() / "nupic_models.json"
    known = _read(place)
    if known is None or known.url != url or not 0 <= time.time() - known.asked < _FRESH:
        known = _Known(url, time.time(), dict(_ask(url)))
        _write(place, known)
    return known.models


def _ask(url: str) -> Iterator[tuple[str, str]]:
    from nupic_client import ServerClient  # noqa: PLC0415 - with gRPC, which takes time

    try:
        with ServerClient(url, timeout=LIMIT, bearer_token=token()) as server:
            end = time.monotonic() + LIMIT
            names = {model.name for model in server.models(details=False) if model.state in ("READY", "")}
            for name in sorted(names):
                kind = _kind(server.signature(name)) if time.monotonic() < end else _TEXT
                if kind is not None:
                    yield name, kind
    except NupicError:  # what is known by then is better than nothing
        return


def _kind(signature: ModelSignature) -> str | None:
    """Return what a model makes of texts; None for one that is there for other models only, such as their tokenizers."""
    inputs, outputs = (
        {spec.datatype for spec in specs.values()} for specs in (signature.inputs, signature.outputs)
    )
    if "BYTES" not in inputs:
        return None
    if "BYTES" in outputs:
        return _TEXT
    return _VECTORS if outputs & _NUMBERS else None


def _read(place: Path) -> _Known | None:
    try:
        known = json.loads(place.read_text(encoding="utf-8"))
        return _Known(str(known["url"]), float(known["asked"]), dict(known["models"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(place: Path, known: _Known) -> None:
    unfinished = place.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):  # without the file the server is asked again
        unfinished.write_text(json.dumps(asdict(known)), encoding="utf-8")
        unfinished.replace(place)
