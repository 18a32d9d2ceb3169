"""The models of a server and its state: live, ready, models ready, shutting down."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nupic_client.local.kserve.settings import Settings
from nupic_client.local.kserve.shared_memory import NoMemory, SharedMemory
from nupic_client.local.kserve.statistics import ModelCounter
from nupic_client.local.kserve.status import StatusError
from nupic_client.local.kserve.versions import check_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nupic_client.local.engine import ServedModel

__all__ = ["Repository"]


class Repository:
    """The models of one server. Thread-safe; the state attributes may be set at any time.

    Args:
        models: the models; their names must differ.
        explicit: whether clients may load and unload models.
        tests: whether it is for tests: clients may register shared memory and change settings.

    Raises:
        ValueError: two models have the same name.
    """

    def __init__(self, models: Iterable[ServedModel], *, explicit: bool = False, tests: bool = False) -> None:
        items = tuple(models)
        self.models: Mapping[str, ServedModel] = {model.name: model for model in items}
        """The models as they are served: a client may have loaded one with another configuration."""
        if len(self.models) != len(items):
            raise ValueError(f"two models have the same name: {sorted(model.name for model in items)}")
        self.stored: dict[str, ServedModel] = self.models
        """The models as they were given."""
        self.explicit = explicit
        self.memory: SharedMemory | NoMemory = SharedMemory() if tests else NoMemory()
        """The shared memory that clients have registered."""
        self.settings: Settings | None = Settings(self.is_ready) if tests else None
        """The settings for log and traces, where clients may ask for them."""
        self.ready = True
        """The answer to ServerReady."""
        self.exiting = False
        """Whether the server behaves like the real one during its shutdown."""
        self._not_ready: dict[str, str] = {}
        self._counters = {name: ModelCounter() for name in self.models}
        self._lock = threading.Lock()

    def find(self, name: str, version: str = "") -> ServedModel:
        """Return a model that is loaded.

        Raises:
            StatusError: there is no such model or version, or it is not loaded.
        """
        subject = f"Request for unknown model: '{name}'"
        version = check_version(version)
        model = self.models.get(name)
        if model is None:
            raise StatusError("NOT_FOUND", f"{subject} is not found")
        if version and version not in model.versions:
            raise StatusError("NOT_FOUND", f"{subject} version {version} is not found")
        if not self.is_ready(name):
            if version:
                raise StatusError("UNAVAILABLE", f"{subject} version {version} is not at ready state")
            raise StatusError("NOT_FOUND", f"{subject} has no available versions")
        return model

    def is_ready(self, name: str) -> bool:
        """Return whether a model exists and is loaded."""
        with self._lock:
            return name in self.models and name not in self._not_ready and not self.exiting

    def reason(self, name: str) -> str:
        """Return why a model is not loaded; empty if it is or if there is nothing to say."""
        with self._lock:
            return self._not_ready.get(name, "")

    def set_ready(self, name: str, *, ready: bool, reason: str = "") -> None:
        """Set whether a model is loaded.

        Args:
            name: the model's name.
            ready: whether it is loaded.
            reason: why it is not.
        """
        with self._lock:
            if ready:
                self._not_ready.pop(name, None)
            else:
                self._not_ready[name] = reason

    def load(self, model: ServedModel) -> None:
        """Serve a model in this form. Its statistics begin anew, unless it was served like this already."""
        with self._lock:
            if model.name in self._not_ready or self.models[model.name] != model:
                self._counters[model.name] = ModelCounter()
            self.models = {**self.models, model.name: model}
            self._not_ready.pop(model.name, None)

    def counter(self, name: str) -> ModelCounter:
        """Return the statistics of a model since it was loaded."""
        with self._lock:
            return self._counters[name]
