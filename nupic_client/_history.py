"""Which part of a conversation fits into a model's context."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from nupic_client.errors import PromptError
from nupic_client.messages import Message, other_texts

__all__ = ["estimate_tokens", "renumbered", "trimmed"]

_BYTES_PER_TOKEN = 3
"""English has about four bytes a token, other languages and code fewer: rather leave out too much than too little."""
_TOKENS_PER_MESSAGE = 8
"""What a prompt format writes around a message."""
_TOKENS_PER_IMAGE = 1024
"""About what vision models make of a picture: from a few hundred up to some thousands."""


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has: one for every three bytes of its UTF-8, rounded up."""
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


def trimmed(
    front: Sequence[Message],
    history: Sequence[Message],
    question: Message,
    budget: int,
    count_tokens: Callable[[str], int],
) -> list[Message]:
    """Leave out the oldest exchanges of a conversation until it fits.

    Args:
        front: the system prompt, if there is one; always kept.
        history: what was said; an exchange begins with each user message and is kept or left out as a whole.
        question: the new message; always kept.
        budget: how many tokens fit.
        count_tokens: counts the tokens of a text.

    Returns:
        The messages to send.
    """
    left = budget - sum(_cost(message, count_tokens) for message in (*front, question))
    start = len(history)
    for begin in reversed([index for index, message in enumerate(history) if message.role == "user"]):
        left -= sum(_cost(message, count_tokens) for message in history[begin:start])
        if left < 0:
            break
        start = begin
    return [*front, *history[start:], question]


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
