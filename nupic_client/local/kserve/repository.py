"""The models of a server and its state: live, ready, models ready, shutting down."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nupic_client.local.kserve.requests import StatusError, check_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nupic_client.local.engine import ServedModel

__all__ = ["Repository"]


class Repository:
    """The models of one server. Thread-safe; the state attributes may be set at any time.

    Args:
        models: the models; their names must differ.
        explicit: whether clients may load and unload models.

    Raises:
        ValueError: two models have the same name.
    """

    def __init__(self, models: Iterable[ServedModel], *, explicit: bool = False) -> None:
        items = tuple(models)
        self.models: Mapping[str, ServedModel] = {model.name: model for model in items}
        if len(self.models) != len(items):
            raise ValueError(f"two models have the same name: {sorted(model.name for model in items)}")
        self.explicit = explicit
        self.ready = True
        """The answer to ServerReady."""
        self.exiting = False
        """Whether the server behaves like the real one during its shutdown."""
        self._not_ready: set[str] = set()
        self._counts: dict[str, list[int]] = {name: [0, 0] for name in self.models}
        self._lock = threading.Lock()

    def find(self, name: str, version: str = "") -> ServedModel:
        """Return a model that exists, ready or not.

        Raises:
            StatusError: there is no such model or version.
        """
        version = check_version(version) if version else ""
        model = self.models.get(name)
        if model is None:
            raise StatusError("NOT_FOUND", f"Request for unknown model: '{name}' is not found")
        if version and version not in model.versions:
            raise StatusError(
                "NOT_FOUND", f"Request for unknown model: '{name}' version {version} is not found"
            )
        return model

    def find_ready(self, name: str, version: str = "") -> ServedModel:
        """Return a model that is loaded.

        Raises:
            StatusError: there is no such model, or it is not loaded.
        """
        model = self.find(name, version)
        if not self.is_ready(name):
            raise StatusError("UNAVAILABLE", f"Request for unknown model: '{name}' has no available versions")
        return model

    def is_ready(self, name: str) -> bool:
        """Return whether a model exists and is loaded."""
        with self._lock:
            return name in self.models and name not in self._not_ready and not self.exiting

    def set_ready(self, name: str, *, ready: bool) -> None:
        """Set whether a model is loaded."""
        with self._lock:
            if ready:
                self._not_ready.discard(name)
            else:
                self._not_ready.add(name)

    def count(self, name: str, *, ok: bool) -> None:
        """Count a request that reached its model."""
        with self._lock:
            self._counts[name][not ok] += 1

    def counts(self, name: str) -> tuple[int, int]:
        """Return the numbers of a model's successful and failed requests."""
        with self._lock:
            good, bad = self._counts[name]
            return good, bad
