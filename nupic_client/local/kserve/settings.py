"""The settings for the log and for traces, for a server of tests: they are kept and checked as the real server does."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from nupic_client._core.kserve import wire
from nupic_client.local.kserve.status import StatusError, invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Settings"]

_LOG: Mapping[str, bool | int | str] = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "default",
}
_FIELDS = {bool: ("bool_param", "boolean"), int: ("uint32_param", "int32"), str: ("string_param", "string")}
_TRACE: Mapping[str, tuple[str, ...]] = {
    "trace_file": ("trace.json",),
    "trace_level": ("OFF",),
    "trace_rate": ("1000",),
    "trace_count": ("-1",),
    "log_frequency": ("0",),
    "trace_mode": ("triton",),
}
_LEVELS = ("TIMESTAMPS", "TENSORS")
_NUMBERS = frozenset({"trace_rate", "trace_count", "log_frequency"})


class Settings:
    """The settings of one server, as Triton has them with ``--trace-config=triton,file=trace.json``. Thread-safe.

    Args:
        knows: whether there is a model of this name.
    """

    def __init__(self, knows: Callable[[str], bool]) -> None:
        self._knows = knows
        self._lock = threading.Lock()
        self._log = dict(_LOG)
        self._trace: dict[str, dict[str, tuple[str, ...]]] = {"": dict(_TRACE)}
        """Those of a model by its name, and the global ones with an empty name."""

    def calls(self) -> Mapping[str, Callable[[Any, Any], Any]]:
        """Return the methods of the service that are about settings."""
        return {"LogSettings": self._log_settings, "TraceSetting": self._trace_setting}

    def _log_settings(self, request: Any, _context: Any) -> Any:
        with self._lock:
            self._log.update(
                {name: _log_value(name, it) for name, it in request.settings.items() if name in _LOG}
            )
            response = wire.pb.LogSettingsResponse()
            for name, value in self._log.items():
                setattr(response.settings[name], _FIELDS[type(value)][0], value)
        return response

    def _trace_setting(self, request: Any, _context: Any) -> Any:
        model = request.model_name
        if model and not self._knows(model):
            raise invalid(f"Request for unknown model : {model}")
        with self._lock:
            own = dict(self._trace.get(model, {}))
            for name, setting in request.settings.items():
                _change(own, name, tuple(setting.value), _TRACE if not model else {})
            self._trace[model] = own
            response = wire.pb.TraceSettingResponse()
            for name, values in {**self._trace[""], **own}.items():
                response.settings[name].value.extend(values)
        return response


def _log_value(name: str, setting: Any) -> bool | int | str:
    if name == "log_file":
        raise StatusError("UNIMPLEMENTED", "log file location can not be updated through network protocol")
    field, kind = _FIELDS[type(_LOG[name])]
    if setting.WhichOneof("parameter_choice") != field:
        raise invalid(f"expect {kind} for '{name}'")
    value: bool | int | str = getattr(setting, field)
    if name == "log_format" and value not in {"default", "ISO8601"}:
        raise invalid(f"invalid argument for log_format, got: {value}")
    return value


def _change(
    settings: dict[str, tuple[str, ...]],
    name: str,
    values: tuple[str, ...],
    cleared: Mapping[str, tuple[str, ...]],
) -> None:
    """Change one setting; what the real server ignores is left as it is.

    Args:
        settings: are changed.
        name: of the setting.
        values: its new values; none clears it.
        cleared: what it is then; without an entry it is the global one.
    """
    if name == "trace_file":
        raise StatusError("UNIMPLEMENTED", "trace file location can not be updated through network protocol")
    if name not in _NUMBERS and name != "trace_level":
        return
    if not values:
        settings.pop(name, None)
        settings.update({name: cleared[name]} if name in cleared else {})
    elif name == "trace_level":
        known = tuple(level for level in _LEVELS if level in values)
        if known or "OFF" in values:
            settings[name] = known or ("OFF",)
    else:
        settings[name] = (_number(name, values),)


def _number(name: str, values: tuple[str, ...]) -> str:
    if len(values) > 1:
        raise invalid(f"expect only 1 value for '{name}'")
    try:
        number = int(values[0])
    except ValueError:
        raise invalid(f"Unable to parse '{name}', got: {values[0]}") from None
    if name == "trace_count" and number < -1:
        raise invalid(f"Unable to parse '{name}'. Expecting value >= -1, got: {number}")
    return str(number if name == "trace_count" else number % (1 << 32))
