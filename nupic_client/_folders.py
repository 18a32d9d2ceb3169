"""The folders that an operating system has for a user's files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["user_cache_folder", "user_config_folder", "user_state_folder"]


def user_config_folder() -> Path:
    """Return the folder for the user's settings of this package; it need not exist."""
    return _folder("APPDATA", "Roaming", "Application Support", "XDG_CONFIG_HOME", ".config")


def user_cache_folder() -> Path:
    """Return the folder for files of this package that can be fetched again; it need not exist."""
    return _folder("LOCALAPPDATA", "Local", "Caches", "XDG_CACHE_HOME", ".cache")


def user_state_folder() -> Path:
    """Return the folder for what this package remembers of a user from one run to the next; it need not exist."""
    return _folder("LOCALAPPDATA", "Local", "Application Support", "XDG_STATE_HOME", ".local/state")


def _folder(windows: str, windows_default: str, macos: str, xdg: str, xdg_default: str) -> Path:
    home = Path.home()
    if sys.platform == "win32":
        folder = Path(os.environ.get(windows) or home / "AppData" / windows_default)
    elif sys.platform == "darwin":
        folder = home / "Library" / macos
    else:
        folder = Path(os.environ.get(xdg) or home / xdg_default)
    return folder / "nupic_client"
