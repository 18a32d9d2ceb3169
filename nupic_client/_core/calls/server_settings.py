"""A server's settings for traces and for its log, as flows with Python's values.

Triton ignores a setting that it does not have, and some values, without a word. Its answer has all settings as they are
then, so what it has ignored is an error here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from nupic_client._core.calls.flows import Flow
from nupic_client._core.calls.queries import Queries
from nupic_client._core.kserve import wire
from nupic_client._numbers import as_bool, as_integer
from nupic_client._suggest import did_you_mean, listed
from nupic_client._text import check_text
from nupic_client.errors import ConfigurationError, RequestRejectedError

__all__ = ["SettingsQueries", "TraceValue"]

TraceValue: TypeAlias = int | str | tuple[str, ...]
"""A setting for traces."""

_LISTS = frozenset({"trace_level"})
"""Settings for traces that are several texts."""
_NUMBERS = frozenset(
    {
        "trace_rate",
        "trace_count",
        "log_frequency",
        "bsp_max_queue_size",
        "bsp_schedule_delay",
        "bsp_max_export_batch_size",
    }
)
"""Those that are numbers; on the wire all are texts."""


class SettingsQueries(Queries):
    """Questions for the settings of one server, and changes of them."""

    def trace_settings(self, model: str) -> Flow[dict[str, TraceValue]]:
        """Ask for the settings of a model; without a name, for the global ones."""
        response = yield self._invoke("TraceSetting", model_name=model)
        return _trace_settings(response)

    def update_trace_settings(self, settings: object, model: str) -> Flow[dict[str, TraceValue]]:
        """Change settings; None for the global one, or the server's own.

        Raises:
            ConfigurationError: a name or value cannot be sent.
            RequestRejectedError: the server refuses or ignores one.
        """
        check_text("model", model, parameter="model")
        request = wire.pb.TraceSettingRequest(model_name=model)
        asked: dict[str, TraceValue | None] = {}
        for name, value in _named(settings):
            texts = None if value is None else _trace_texts(name, value)
            request.settings[name].value.extend(texts or ())
            asked[name] = None if texts is None else _trace_value(name, texts)
        found = _trace_settings((yield self._send("TraceSetting", request)))
        _check_taken(asked, found)
        return found

    def log_settings(self) -> Flow[dict[str, bool | int | str]]:
        """Ask for the settings of the log."""
        response = yield self._invoke("LogSettings")
        return _log_settings(response)

    def update_log_settings(self, settings: object) -> Flow[dict[str, bool | int | str]]:
        """Change settings of the log. Raises as `update_trace_settings`."""
        request = wire.pb.LogSettingsRequest()
        asked: dict[str, bool | int | str] = {}
        for name, value in _named(settings):
            asked[name] = _put_log_value(request.settings[name], name, value)
        found = _log_settings((yield self._send("LogSettings", request)))
        _check_taken(asked, found)
        return found


def _named(settings: object) -> Iterable[tuple[str, object]]:
    if not isinstance(settings, Mapping):
        raise ConfigurationError(
            f"settings must be a mapping of names to values, not {type(settings).__name__}",
            parameter="settings",
        )
    for name in settings:
        check_text("the name of a setting", name, parameter="settings")
    return settings.items()


def _trace_texts(name: str, value: object) -> tuple[str, ...]:
    """Return a value as the protocol has it."""
    whole = as_integer(value)
    if whole is not None:
        return (str(whole),)
    several = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
    given = tuple(value) if several else (value,)  # type: ignore[arg-type]  # it is iterable
    texts = tuple(text for text in given if isinstance(text, str) and text)
    if not texts or len(texts) < len(given):
        raise ConfigurationError(
            f"setting {name!r} must be a text, a list of texts, an integer, or None to clear it, not {value!r}",
            parameter="settings",
        )
    for text in texts:
        check_text(f"setting {name!r}", text, parameter="settings")
    return texts


def _trace_value(name: str, texts: Iterable[str]) -> TraceValue:
    texts = tuple(texts)
    if name in _LISTS or len(texts) > 1:
        return texts
    text = texts[0] if texts else ""
    return int(text) if name in _NUMBERS and text.removeprefix("-").isdecimal() else text


def _trace_settings(response: Any) -> dict[str, TraceValue]:
    return {name: _trace_value(name, response.settings[name].value) for name in sorted(response.settings)}


def _put_log_value(setting: Any, name: str, value: object) -> bool | int | str:
    """Put a value of Python into a setting of the log and return it as it will come back."""
    flag, whole = as_bool(value), as_integer(value)
    if flag is not None:
        setting.bool_param = flag
        return flag
    if whole is not None and 0 <= whole < 1 << 32:
        setting.uint32_param = whole
        return whole
    if isinstance(value, str):
        check_text(f"setting {name!r}", value, parameter="settings")
        setting.string_param = value
        return value
    raise ConfigurationError(
        f"setting {name!r} must be a bool, a text or an integer from 0 to 2**32 - 1, not {value!r}",
        parameter="settings",
    )


def _log_settings(response: Any) -> dict[str, bool | int | str]:
    return {name: wire.parameter_value(response.settings[name]) for name in sorted(response.settings)}  # type: ignore[misc]


def _check_taken(asked: Mapping[str, object], found: Mapping[str, object]) -> None:
    for name, value in asked.items():
        if name not in found:
            raise _ignored(
                f"the server has no setting {name!r}, and ignored it: {did_you_mean(name, found)}the settings are"
                f" {listed(found)}"
            )
        same = set(value) == set(found[name]) if isinstance(value, tuple) else value == found[name]  # type: ignore[call-overload]
        if value is not None and not same:
            raise _ignored(
                f"the server does not take {value!r} for the setting {name!r}: it is {found[name]!r}"
            )


def _ignored(message: str) -> RequestRejectedError:
    return RequestRejectedError(message, status="INVALID_ARGUMENT")
