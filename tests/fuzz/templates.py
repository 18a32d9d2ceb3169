"""Targets: chat templates and tokenizer configurations, which are foreign code and foreign data.

A template may fail, but only with our errors; it may not print without bounds, or reach out of the sandbox: an audit hook
sees whatever it would open, import, run or connect to. It may take long, or much memory: what does is no finding, and stays
out of the corpus.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import jinja2.constants  # or the first template that calls `lipsum` imports it
import jinja2.debug  # noqa: F401 - or the first template that fails imports it

from nupic_client import ConfigurationError, PromptError
from nupic_client.prompts import PromptFormatter

from .reference import explained

CONVERSATIONS = (
    [{"role": "user", "content": "Hello"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why? {{ 7 * 7 }} {% raw %}"},
        {"role": "assistant", "content": "Because."},
        {"role": "user", "content": "a" * 300},
    ],
)
LONGEST = 17 * 2**20
"""More characters than a prompt may have, for conversations as small as these."""

_FORBIDDEN = (
    "open", "exec", "compile", "import", "os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pty.", "marshal.",
    "pickle.", "builtins.input", "tempfile.", "glob.",
)  # fmt: skip
_JINJA_EXCEPTION = "__jinja_exception__"
_RAISE = f"raise {_JINJA_EXCEPTION}"
_watch = threading.local()


class EscapeError(BaseException):
    """A template reached out of the sandbox. No Exception: nothing may swallow it."""


def _audit(event: str, args: tuple) -> None:
    if getattr(_watch, "on", False) and event.startswith(_FORBIDDEN) and not _is_traceback(event, args):
        _watch.on = False
        _watch.seen = f"{event} {args!r}"
        raise EscapeError(_watch.seen)


def _is_traceback(event: str, args: tuple) -> bool:
    """Jinja compiles and runs one line of its own to give an exception the template's line."""
    if event == "compile":
        return args[0] is not None and args[0].strip() in (_RAISE, _RAISE.encode())
    return event == "exec" and _JINJA_EXCEPTION in args[0].co_names


@contextmanager
def watched():
    """Fail if what is done inside reaches out; the hook cannot be removed, only be switched off."""
    if not hasattr(_watch, "installed"):
        _watch.installed = True
        sys.addaudithook(_audit)
    _watch.seen, _watch.on = None, True
    try:
        yield
    finally:
        _watch.on = False
    assert _watch.seen is None, f"a template reached out: {_watch.seen}"


def chat_template(data: bytes) -> None:
    """Any text as a template, with conversations that are more or less harmless."""
    source = data.decode(errors="surrogateescape")
    try:
        formatter = PromptFormatter.from_jinja(source, bos_token="<s>", eos_token="</s>")
    except ConfigurationError as error:
        explained(error)
        return
    _render(formatter)


def _render(formatter: PromptFormatter) -> None:
    day = dt.date(2026, 1, 2)
    for messages in CONVERSATIONS:
        for options in ({}, {"allow_control_tokens": True, "tools": [{"name": "f"}]}):
            try:
                with watched():
                    prompt = formatter(messages, date=day, **options)
            except PromptError as error:
                explained(error)
                continue
            assert isinstance(prompt, str)
            assert len(prompt) < LONGEST


def tokenizer_config(data: bytes) -> None:
    """Any bytes as a ``tokenizer_config.json``, and as the template file beside a good one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokenizer_config.json")
        path.write_bytes(data)
        for chosen in (None, "tool_use"):
            _load(path, chosen)
        path.write_text('{"bos_token": "<s>"}')
        Path(folder, "chat_template.jinja").write_bytes(data)
        _load(Path(folder), None)
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(values, dict):
        _load(values, None)


def _load(config, chosen: str | None) -> None:
    try:
        formatter = PromptFormatter.from_tokenizer_config(config, chat_template=chosen)
    except ConfigurationError as error:
        explained(error)
        return
    assert isinstance(formatter.bos_token, str)
    assert isinstance(formatter.eos_token, str)
    assert all(isinstance(token, str) and token for token in formatter.control_tokens)
    _render(formatter)
