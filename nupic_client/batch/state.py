"""The side file of a run: of which model, options and input the answers are, so that a resumed run cannot mix them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from hashlib import blake2b
from pathlib import Path
from typing import Any

from nupic_client.batch.errors import BatchFileError
from nupic_client.errors import ConfigurationError
from nupic_client.tools import to_tools

__all__ = ["RunState", "fingerprint", "fingerprint_of_file", "state_path"]

VERSION = 1
_ENDS = 2**16
"""Bytes of the beginning and of the end of the input that its hash covers: enough to tell files apart, and quick."""
_WITHOUT_EFFECT = frozenset(
    {"timeout", "max_retries", "max_output_bytes", "metadata", "signature", "unsupported", "request_id"}
)
"""Options that do not change an answer, or are secret."""


def state_path(output: Path) -> Path:
    """Return the side file of an output."""
    return output.with_name(f"{output.name}.state")


def fingerprint(
    *, model: str, formatter: str | None, system: str | None, chat: bool, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the answers of a run depend on, without its input."""
    given = {
        name: value for name, value in options.items() if name not in _WITHOUT_EFFECT and value is not None
    }
    if "tools" in given:  # a function is another object in each run
        given["tools"] = [tool.as_dict() for tool in to_tools(given["tools"])]
    return {
        "model": model,
        "formatter": formatter,
        "system": system,
        "chat": chat,
        "options": json.loads(json.dumps(given, default=repr, sort_keys=True)),
    }


def fingerprint_of_file(path: Path) -> dict[str, Any]:
    """Return the size of a file and the hash of its two ends.

    Not its time: a file that is copied or fetched again is the same file.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            found = blake2b(file.read(_ENDS), digest_size=16)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _ENDS, 0))
            found.update(file.read(_ENDS))
    except OSError as error:
        raise ConfigurationError(
            f"input must be a file that can be read, not {os.fspath(path)!r}: {error.strerror or error}",
            parameter="input",
        ) from None
    return {"bytes": size, "hash": found.hexdigest()}


class RunState:
    """The side file of a run.

    Args:
        path: of the file.
        facts: the fingerprint of the run.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self.path = path
        self._facts = dict(facts)
        self._started = datetime.now(timezone.utc).isoformat(timespec="seconds")

    def check(self) -> None:
        """Compare this run with the one that wrote the file, and take over when that one started.

        Raises:
            ConfigurationError: there is none, or it was of something else.
        """
        hint = "or give overwrite=True to start anew"
        try:
            old = json.loads(self.path.read_text(encoding="utf-8"))
            version, started, facts = old["version"], str(old["started"]), old["fingerprint"]
        except FileNotFoundError:
            raise ConfigurationError(
                f"resume needs the file {os.fspath(self.path)!r}, which a run leaves beside its output until all lines are"
                f" answered, and there is none: give another output",
                parameter="resume",
                hint=hint,
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"resume needs the file {os.fspath(self.path)!r}, and it cannot be read ({error}): give another output",
                parameter="resume",
                hint=hint,
            ) from None
        if version != VERSION:
            raise ConfigurationError(
                f"resume needs a state of version {VERSION}, not {version!r}, in {os.fspath(self.path)!r}: use the"
                " release that began the run",
                parameter="resume",
                hint=hint,
            )
        different = _differences(facts, self._facts)
        if different:
            raise ConfigurationError(
                f"resume must be with what the run began with on {started}, and now {'; '.join(different)}:"
                " go back to that",
                parameter="resume",
                hint=hint,
            )
        self._started = started

    def save(self, counts: Mapping[str, int]) -> None:
        """Write the file, all of it or nothing.

        Raises:
            BatchFileError: it cannot be written.
        """
        content = {
            "version": VERSION,
            "fingerprint": self._facts,
            "started": self._started,
            "counts": dict(counts),
        }
        new = self.path.with_name(f"{self.path.name}.new")
        try:
            with new.open("w", encoding="utf-8") as file:
                file.write(json.dumps(content, indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except OSError as error:
            raise BatchFileError(
                f"{os.fspath(self.path)!r} cannot be written: {error.strerror or error}"
            ) from error

    def remove(self) -> None:
        """Remove the file, if it is there."""
        with contextlib.suppress(OSError):
            self.path.unlink()


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    found = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if name == "formatter":
            found.append("the prompt format is another one")
        elif name == "input":
            sizes = [
                f"{it['bytes']} bytes" if isinstance(it, Mapping) else "no file" for it in (before, after)
            ]
            found.append(
                f"the input has {sizes[1]}, and had {sizes[0]}"
                if sizes[0] != sizes[1]
                else "the input has another content"
            )
        elif isinstance(before, Mapping) and isinstance(after, Mapping):
            found += [
                f"{key} is {_shown(after.get(key))}, and was {_shown(before.get(key))}"
                for key in sorted({*before, *after})
                if before.get(key) != after.get(key)
            ]
        else:
            found.append(f"{name} is {_shown(after)}, and was {_shown(before)}")
    return found


def _shown(value: Any) -> str:
    text = "not given" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
