"""Which part of a conversation fits into a model's context."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence

from nupic_client._numbers import check_integer
from nupic_client.errors import PromptError
from nupic_client.messages import Message, other_texts
from nupic_client.tools import ToolLike, to_tools

__all__ = ["ContextWindow", "estimate_tokens", "renumbered", "trimmed"]

_BYTES_PER_TOKEN = 3
"""English has about four bytes a token, other languages and code fewer: rather leave out too much than too little."""
_TOKENS_PER_MESSAGE = 8
"""What a prompt format writes around a message."""
_TOKENS_PER_IMAGE = 1024
"""About what vision models make of a picture: from a few hundred up to some thousands."""


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has: one for every three bytes of its UTF-8, rounded up."""
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


class ContextWindow:
    """How much of a conversation is sent.

    Args:
        length: number of tokens of prompt and answer together; None for any number.
        reserve: tokens to keep free for the answer; None for a quarter of the length.
        count_tokens: counts the tokens of a text.

    Raises:
        ConfigurationError: a number is wrong.
    """

    def __init__(self, length: int | None, reserve: int | None, count_tokens: Callable[[str], int]) -> None:
        self._length = _checked_tokens("context_length", length, least=1)
        self._reserve = _checked_tokens("reserve", reserve, least=0)
        self._count_tokens = count_tokens

    def fitted(
        self,
        front: Sequence[Message],
        history: Sequence[Message],
        new: Sequence[Message],
        tools: Iterable[ToolLike] | None,
    ) -> list[Message]:
        """Return the messages to send: all, or without the oldest exchanges.

        Args:
            front: as for `trimmed`.
            history: as for `trimmed`.
            new: as for `trimmed`.
            tools: on offer; they are in the prompt, too.
        """
        if self._length is None:
            return [*front, *history, *new]
        reserve = self._length // 4 if self._reserve is None else self._reserve
        listed = sum(self._count_tokens(json.dumps(tool.as_dict())) for tool in to_tools(tools))
        return trimmed(front, history, new, self._length - reserve - listed, self._count_tokens)


def trimmed(
    front: Sequence[Message],
    history: Sequence[Message],
    new: Sequence[Message],
    budget: int,
    count_tokens: Callable[[str], int],
) -> list[Message]:
    """Leave out the oldest exchanges of a conversation until it fits.

    Args:
        front: the system prompt, if there is one; always kept.
        history: what was said; an exchange begins with each user message and is kept or left out as a whole.
        new: the new message, or the results of tools, whose exchange has begun before; always kept, with that.
        budget: how many tokens fit.
        count_tokens: counts the tokens of a text.

    Returns:
        The messages to send.
    """
    questions = [index for index, message in enumerate(history) if message.role == "user"]
    start = len(history)
    if new[0].role != "user" and questions:
        start = questions.pop()
    left = budget - sum(_cost(message, count_tokens) for message in (*front, *history[start:], *new))
    for begin in reversed(questions):
        left -= sum(_cost(message, count_tokens) for message in history[begin:start])
        if left < 0:
            break
        start = begin
    return [*front, *history[start:], *new]


def renumbered(error: PromptError, prompt: Sequence[Message], history: Sequence[Message]) -> PromptError:
    """Return the error of a prompt with the message called as in the conversation, which has no system prompt in it.

    Args:
        error: counts the messages of the prompt.
        prompt: what was rendered: a system prompt or none, the end of the history, and the new message.
        history: the whole history.
    """
    match = re.match(r"message (\d+)", error.message)
    if match is None:
        return error
    index, last = int(match[1]), len(prompt) - 1
    name = f"message {index - last + len(history)}"
    if index == last:
        name = "the new message"
    elif prompt[index].role == "system":
        name = "the system prompt"
    return error.with_facts(message=f"{name}{error.message[match.end() :]}")


def _cost(message: Message, count_tokens: Callable[[str], int]) -> int:
    text = "\n".join([message.text, *other_texts(message)])
    return count_tokens(text) + _TOKENS_PER_MESSAGE + _TOKENS_PER_IMAGE * len(message.images)


def _checked_tokens(name: str, count: int | None, *, least: int) -> int | None:
    return None if count is None else check_integer(name, count, f"a number of tokens >= {least}", low=least)
