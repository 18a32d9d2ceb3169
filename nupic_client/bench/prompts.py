"""The prompts of a benchmark: made up, given, or from a file."""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nupic_client.bench.settings import BenchSettings
from nupic_client.errors import ConfigurationError
from nupic_client.messages import system, user

__all__ = ["BenchPrompt", "PromptSource", "prompt_source"]

_SHORT_WORDS = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you"
    " were all her she there would their we him been has when who will no more if out so up said what its about than into"
    " them can only other time new some could these two may first then do any like my now over such our man me even most"
    " made after also did many off before must well back through years much where your way down should because long each"
    " just state those people how too little good world make very year still see work life get day part old place"
)
_WORDS = tuple(_SHORT_WORDS.split())
"""Words that are one token each in the vocabularies of most language models, with the space before them."""
_KEYS = ("text", "text_input", "prompt", "messages")
"""What a JSON line has its prompt in: genai-perf's names, those of a batch, and a conversation."""


@dataclass(frozen=True, slots=True)
class BenchPrompt:
    """A prompt to send.

    Args:
        prompt: a text, or a list of messages.
        words: its number of words, which stands for its tokens where the server does not count them.
        max_tokens: how long the answer may be; None leaves that to the options.
    """

    prompt: Any
    words: int
    max_tokens: int | None = None


class PromptSource:
    """Prompts without an end.

    Args:
        prompts: an iterator that does not end.
        settings: of the benchmark.
    """

    def __init__(self, prompts: Iterator[Any], settings: BenchSettings) -> None:
        self._prompts = prompts
        self._settings = settings
        # Of its own, so that prompts and answers are as long as in any other run with this seed.
        self._random = random.Random(f"{settings.random_seed} output")  # noqa: S311 - no secret

    def next(self) -> BenchPrompt:
        """Return the next prompt."""
        settings, prompt = self._settings, next(self._prompts)
        words = _words(prompt)
        if isinstance(prompt, str) and (settings.chat or settings.system is not None):
            prompt = [user(prompt)]
            if settings.system is not None:
                prompt.insert(0, system(settings.system))
        mean, max_tokens = settings.output_tokens_mean, None
        if mean is not None:
            max_tokens = max(1, round(self._random.gauss(mean, settings.output_tokens_stddev)))
        return BenchPrompt(prompt, words, max_tokens)


def prompt_source(settings: BenchSettings) -> PromptSource:
    """Return the prompts of a benchmark.

    Raises:
        ConfigurationError: a file cannot be read or has a line that is no prompt, or there is no prompt.
    """
    if settings.input_file is not None:
        return PromptSource(_of_file(Path(settings.input_file)), settings)
    if settings.prompts is not None:
        return PromptSource(_of_list(settings.prompts), settings)
    return PromptSource(_synthetic(settings), settings)


def _synthetic(settings: BenchSettings) -> Iterator[str]:
    """Yield texts of random words, each another one: a server that remembers prompts has no use of that."""
    source = random.Random(settings.random_seed)  # noqa: S311 - no secret
    while True:
        length = source.gauss(settings.synthetic_input_tokens_mean, settings.synthetic_input_tokens_stddev)
        yield " ".join(source.choices(_WORDS, k=max(1, round(length))))


def _of_list(prompts: Iterable[Any]) -> Iterator[Any]:
    if isinstance(prompts, (str, bytes)) or not isinstance(prompts, Iterable):
        raise ConfigurationError(
            f"prompts must be a list of what generate takes, not {type(prompts).__name__}: put a single prompt into a list",
            parameter="prompts",
        )
    found = list(prompts)
    if not found:
        raise ConfigurationError("prompts must be at least one, not an empty list", parameter="prompts")
    return itertools.cycle(found)


def _of_file(path: Path) -> Iterator[Any]:
    """Yield the prompts of a file again and again, a line at a time; all lines are checked first."""
    if not sum(1 for _ in _lines(path)):
        raise _wrong(path, "must have at least one prompt: it has none")
    return itertools.chain.from_iterable(_lines(path) for _ in itertools.count())


def _lines(path: Path) -> Iterator[Any]:
    is_json = path.suffix in {".jsonl", ".json", ".ndjson"}
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _of_json(path, number, line) if is_json else line.rstrip("\r\n")
    except OSError as error:
        raise _wrong(path, f"must be a file that can be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _wrong(path, "must be UTF-8 text, which it is not") from None


def _of_json(path: Path, number: int, line: str) -> Any:
    try:
        columns = json.loads(line)
    except ValueError as error:
        raise _wrong(path, f"must have a JSON object on each line: line {number} is none ({error})") from None
    for key in _KEYS:
        if isinstance(columns, dict) and columns.get(key):
            return columns[key]
    raise _wrong(path, f"must have {' or '.join(_KEYS)} on each line: line {number} has not")


def _wrong(path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(f"input_file {os.fspath(path)!r} {reason}", parameter="input_file")


def _words(prompt: Any) -> int:
    if isinstance(prompt, str):
        return len(prompt.split())
    contents = (
        message.get("content") if isinstance(message, dict) else getattr(message, "content", "")
        for message in prompt
    )
    return sum(len(content.split()) for content in contents if isinstance(content, str))
