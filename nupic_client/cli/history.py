"""The messages that were typed in earlier chats, in a file that only its user can read."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from nupic_client._files import replace_file
from nupic_client._folders import user_state_folder

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["VARIABLE", "ChatHistory"]

VARIABLE = "NUPIC_HISTORY"
"""The environment variable with the file, or ``off``."""
_MOST_ENTRIES = 1000
_MOST_BYTES = 1 << 20
_LONGEST_ENTRY = 1 << 16
_OWNER_ONLY = 0o600
_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(?:sk|pk|hf|gh[opsur]|github_pat|glpat|xox[abprs]|nvapi|pypi|AIza|AKIA|ya29|eyJ)[-_.A-Za-z0-9]{16,}"
    r"|\b(?:bearer|basic)\s+[-_.=+/A-Za-z0-9]{12,}"
    r"|(?:password|passwd|passphrase|secret|api[-_ ]?key|token|credentials?)[\"']?\s*(?:[:=]|is\b)\s*\S"
    r"|\w+://[^\s/@:]+:[^\s/@]+@",
    re.IGNORECASE,
)
"""What looks like a secret: keys of well-known services, and what is given as a password."""


class ChatHistory:
    """What was typed, the oldest first: this chat's in memory, and in a file for the next one.

    A message that begins with a blank, or has what looks like a secret, is not kept. A file that cannot be used is none, and
    neither is a device or a pipe, as ``/dev/null``: its permissions are everybody's, and a pipe would wait for somebody.

    Args:
        path: the file; None keeps nothing.
        secrets: texts that are never kept, such as the token of this run.
    """

    def __init__(self, path: Path | None, secrets: Collection[str] = ()) -> None:
        self._path = path if path is not None and _may_be_used(path) else None
        self._secrets = [secret for secret in secrets if secret]
        self.entries: list[str] = self._read()

    @classmethod
    def of_user(cls, *, kept: bool, secrets: Collection[str] = ()) -> ChatHistory:
        """Return the history of this user.

        Args:
            kept: false for a history of this chat alone.
            secrets: as for the constructor.
        """
        given = os.environ.get(VARIABLE, "").strip()
        if not kept or given.lower() in {"off", "0", "no", "false"}:
            return cls(None, secrets)
        try:
            path = Path(given).expanduser() if given else user_state_folder() / "chat-history"
        except RuntimeError:  # there is no home
            path = None
        return cls(path, secrets)

    def add(self, text: str) -> bool:
        """Keep a message; return whether it is kept."""
        if not self._may_be_kept(text) or text == (self.entries or [""])[-1]:
            return False
        self.entries.append(text)
        with contextlib.suppress(OSError):
            self._append(text)
        return True

    def _may_be_kept(self, text: str) -> bool:
        return (
            bool(text.strip())
            and not text.startswith((" ", "\t"))
            and len(text) <= _LONGEST_ENTRY
            and not _SECRETS.search(text)
            and not any(secret in text for secret in self._secrets)
        )

    def _append(self, text: str) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _OWNER_ONLY)
        try:
            if hasattr(os, "fchmod"):
                os.fchmod(descriptor, _OWNER_ONLY)
            # In one piece, because other chats may be writing to it, too.
            os.write(descriptor, f"{json.dumps(text)}\n".encode())
        finally:
            os.close(descriptor)

    def _read(self) -> list[str]:
        if self._path is None:
            return []
        try:
            data = self._path.read_bytes()
            lines = data.decode(errors="replace").splitlines()
            entries = [entry for line in lines if (entry := _entry(line))][-_MOST_ENTRIES:]
            if len(data) > _MOST_BYTES or len(lines) > 2 * _MOST_ENTRIES:
                entries = self._shortened(entries)
        except OSError:
            return []
        return entries

    def _shortened(self, entries: list[str]) -> list[str]:
        """Write the newest entries anew, half of what the file may have."""
        kept: list[str] = []
        size = 0
        for entry in reversed(entries):
            size += len(json.dumps(entry)) + 1
            if size > _MOST_BYTES // 2:
                break
            kept.insert(0, entry)
        if self._path is not None:
            replace_file(self._path, "".join(f"{json.dumps(entry)}\n" for entry in kept).encode())
        return kept


def _may_be_used(path: Path) -> bool:
    try:
        return path.is_file() or not path.exists()
    except OSError:
        return False


def _entry(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    return entry if isinstance(entry, str) else ""
