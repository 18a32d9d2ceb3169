"""The part of `ServerClient` that reads and changes a server's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from nupic_client._connected import Connected
from nupic_client._core.calls.server_settings import SettingsQueries, TraceValue
from nupic_client.registry import ModelRegistry

__all__ = ["ServerSettings"]

TraceSettings: TypeAlias = Mapping[str, int | str | Sequence[str] | None]
LogSettings: TypeAlias = Mapping[str, bool | int | str]


class ServerSettings(Connected):
    """The settings for traces and for the log. Its subclass sets ``_settings`` and ``_registry``."""

    _settings: SettingsQueries
    _registry: ModelRegistry

    def trace_settings(self, model: str = "") -> dict[str, TraceValue]:
        """Return the settings for traces of requests. Blocks; thread-safe.

        ``trace_level`` is a tuple of texts, ``trace_rate``, ``trace_count`` and ``log_frequency`` are integers, and the
        others are texts. https://github.com/triton-inference-server/server/blob/main/docs/user_guide/trace.md explains
        them.

        Args:
            model: the server's name or a friendly name; empty for the global settings.

        Raises:
            ModelUnavailableError: the server does not have the model.
            RequestError: the call failed.
        """
        return self._transport.run(self._settings.trace_settings(self._name(model)))

    async def atrace_settings(self, model: str = "") -> dict[str, TraceValue]:
        """Return the settings for traces. The async twin of `trace_settings`, with the same arguments and errors."""
        return await self._async_transport.run(self._settings.trace_settings(self._name(model)))

    def update_trace_settings(self, settings: TraceSettings, model: str = "") -> dict[str, TraceValue]:
        """Change settings for traces, and return all of them. Blocks; thread-safe.

        Triton does not let its clients change ``trace_file`` and ``trace_mode``, and traces nothing if it was started
        without a file for traces.

        Args:
            settings: values by name: a text, a list of texts, or an integer. None clears a setting: that of a model
                becomes the global one, a global one that of the server's start.
            model: the server's name or a friendly name; empty for the global settings.

        Raises:
            ConfigurationError: a name or value cannot be sent.
            ModelUnavailableError: the server does not have the model.
            RequestRejectedError: the server refuses a setting, or has ignored one and applied the others.
            RequestError: the call failed.

        Example:
            .. code-block:: python

                server.update_trace_settings({"trace_level": ["TIMESTAMPS"], "trace_rate": 100}, "gpt")
        """
        return self._transport.run(self._settings.update_trace_settings(settings, self._name(model)))

    async def aupdate_trace_settings(self, settings: TraceSettings, model: str = "") -> dict[str, TraceValue]:
        """Change settings for traces. The async twin of `update_trace_settings`, with the same arguments and errors."""
        return await self._async_transport.run(
            self._settings.update_trace_settings(settings, self._name(model))
        )

    def log_settings(self) -> dict[str, bool | int | str]:
        """Return the settings of the server's log, such as ``log_verbose_level``. Blocks; thread-safe.

        Raises:
            RequestError: the call failed.
        """
        return self._transport.run(self._settings.log_settings())

    async def alog_settings(self) -> dict[str, bool | int | str]:
        """Return the settings of the server's log. The async twin of `log_settings`, with the same errors."""
        return await self._async_transport.run(self._settings.log_settings())

    def update_log_settings(self, settings: LogSettings) -> dict[str, bool | int | str]:
        """Change settings of the server's log, and return all of them. Blocks; thread-safe.

        Triton does not let its clients change ``log_file``.

        Args:
            settings: values by name.

        Raises:
            ConfigurationError: a name or value cannot be sent.
            RequestRejectedError: the server refuses a setting, or has ignored one and applied the others.
            RequestError: the call failed.

        Example:
            .. code-block:: python

                server.update_log_settings({"log_verbose_level": 1})
        """
        return self._transport.run(self._settings.update_log_settings(settings))

    async def aupdate_log_settings(self, settings: LogSettings) -> dict[str, bool | int | str]:
        """Change settings of the server's log. The async twin of `update_log_settings`, with the same errors."""
        return await self._async_transport.run(self._settings.update_log_settings(settings))

    def _name(self, model: str) -> str:
        return self._registry.resolve(model).server_name if model else ""
