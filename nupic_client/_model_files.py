"""The files of a model that a caller gives to load it: contents, or paths of files to read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from nupic_client._core.calls.loading import check_file_name
from nupic_client.errors import ConfigurationError

__all__ = ["read_model_files"]


def read_model_files(files: object) -> dict[str, bytes]:
    """Return the contents of files by their names in the model's folder. Reads those that are given as paths.

    Args:
        files: contents or paths by name; None for none.

    Raises:
        ConfigurationError: a name or value is wrong, or a file cannot be read.
    """
    if files is None:
        return {}
    if not isinstance(files, Mapping):
        raise ConfigurationError(
            f"files must be a mapping of names to contents or paths, not {type(files).__name__}",
            parameter="files",
        )
    return {check_file_name(name): _content(name, value) for name, value in files.items()}


def _content(name: str, value: object) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if not isinstance(value, (str, os.PathLike)):
        raise ConfigurationError(
            f"file {name!r} must be given as bytes or as a path, not as {type(value).__name__}",
            parameter="files",
        )
    try:
        return Path(os.fsdecode(value)).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"file {name!r} must be one that can be read, not {os.fspath(value)!r}: {reason}",
            parameter="files",
        ) from None
