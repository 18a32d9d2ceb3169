"""Prompts that end within the last message: a mark after its content says where to cut, as in Hugging Face's library."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nupic_client.errors import ConfigurationError, PromptError
from nupic_client.parts import TextPart
from nupic_client.prompts.render import named

if TYPE_CHECKING:
    from nupic_client.messages import Message

__all__ = ["cut_after", "marked"]

# The space shows whether the template trims contents: then the end of the content is trimmed too.
_MARK = "CONTINUE_FINAL_MESSAGE_TAG "


def marked(
    conversation: tuple[Message, ...], first: int, *, add_generation_prompt: bool | None
) -> tuple[Message, ...]:
    """Return the conversation with the mark after the content of its last message.

    Args:
        conversation: the messages.
        first: the number of the first one, see `Job`.
        add_generation_prompt: as the caller gave it.

    Raises:
        ConfigurationError: the last message cannot be continued.
    """
    if add_generation_prompt:
        raise _refused(
            "must not be given together with add_generation_prompt: an answer is continued, or opened anew"
        )
    last = conversation[-1]
    if last.role != "assistant":
        number = len(conversation) - 1 + first
        raise _refused(
            f"needs a last message of role 'assistant', but {named(number)} is of role {last.role!r}"
        )
    if last.tool_calls:
        raise _refused("needs a last message that is a text, not one with calls of tools")
    content = last.content
    if isinstance(content, str):
        return (*conversation[:-1], replace(last, content=content + _MARK))
    return (*conversation[:-1], replace(last, content=(*content, TextPart(_MARK))))


def cut_after(prompt: str, content: str, family: str) -> str:
    """Return a prompt up to the mark.

    Args:
        prompt: what was rendered of the marked conversation.
        content: that of the last message, without the mark.
        family: the name of the format.

    Raises:
        PromptError: there is no mark.
    """
    front, mark, behind = prompt.rpartition(_MARK.strip())
    if not mark:
        raise PromptError(
            f"continue_final_message needs a format that prints the last message, and {family} does not"
        )
    trimmed = content.rstrip()
    if behind.startswith(" ") or not trimmed:
        return front
    # The blanks at the end of the content only, never those of the format in front of an empty one.
    return front.removesuffix(content[len(trimmed) :])


def _refused(words: str) -> ConfigurationError:
    return ConfigurationError(f"continue_final_message {words}", parameter="continue_final_message")
