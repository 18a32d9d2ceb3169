"""Messages as Hugging Face's chat templates read them, which differ in a few names and forms."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nupic_client.errors import PromptError
from nupic_client.parts import TextPart
from nupic_client.prompts.render import named

if TYPE_CHECKING:
    from nupic_client.messages import Message
    from nupic_client.prompts.family import Job
    from nupic_client.tools import ToolCall

__all__ = ["MessageForm", "form_of"]

_LOOPS_OVER_CONTENT = re.compile(
    r"for\s+\w+\s+in\s+\w+(?:\.content|\[\s*['\"]content['\"]\s*\])(?!\s*\.)", re.ASCII
)
_COMPARES_CONTENT_WITH_NONE = re.compile(r"(?<![a-z_])content(?:['\"]\s*\])?\s+is\s+(?:not\s+)?none")


@dataclass(frozen=True, slots=True)
class MessageForm:
    """The form of messages that one template reads, found in its source.

    Args:
        reasoning: the key of the reasoning.
        images: whether it knows images at all.
        lists: whether contents must be lists of parts, also where they are one text.
        none: whether it tells a message with nothing but calls of tools by a content that is None.
    """

    reasoning: str = "reasoning_content"
    images: bool = False
    lists: bool = False
    none: bool = False

    def written(self, job: Job, *, text_arguments: bool) -> list[dict[str, Any]]:
        """Return the messages of a job.

        Args:
            job: the conversation.
            text_arguments: whether the arguments of calls are given as a text, not as an object.

        Raises:
            PromptError: there is an image, and the template has no place for it.
        """
        return [
            self._message(message, named(index + job.first), text_arguments=text_arguments)
            for index, message in enumerate(job.messages)
        ]

    def _message(self, message: Message, name: str, *, text_arguments: bool) -> dict[str, Any]:
        written: dict[str, Any] = {"role": message.role, "content": self._content(message, name)}
        if message.reasoning is not None:
            written[self.reasoning] = message.reasoning
        if message.tool_calls:
            written["tool_calls"] = [_call(call, text_arguments) for call in message.tool_calls]
            if self.none and not message.content:
                written["content"] = None
        if message.tool_call_id is not None:
            written["tool_call_id"] = message.tool_call_id
        if message.name is not None:
            written["name"] = message.name
        return written

    def _content(self, message: Message, name: str) -> Any:
        content = message.content
        if isinstance(content, str):
            return [{"type": "text", "text": content}] if self.lists else content
        if not self.images:
            raise PromptError(
                f"{name} ({message.role}) has an image, but the chat template has no place for images"
            )
        return [
            {"type": "text", "text": part.text} if isinstance(part, TextPart) else {"type": "image"}
            for part in content
        ]


def form_of(source: str) -> MessageForm:
    """Return the form of messages that a template reads."""
    names = ("reasoning_content", "thinking", "reasoning")
    return MessageForm(
        reasoning=next((name for name in names if re.search(rf"(?:\.|['\"]){name}\b", source)), names[0]),
        images="image" in source,
        lists="image" in source
        and _LOOPS_OVER_CONTENT.search(source) is not None
        and not re.search(r"is\s+(?:not\s+)?string", source),
        none=_COMPARES_CONTENT_WITH_NONE.search(source) is not None,
    )


def _call(call: ToolCall, text_arguments: bool) -> dict[str, Any]:  # noqa: FBT001 - private
    arguments: Any = call.arguments
    if not text_arguments:
        with contextlib.suppress(ValueError):  # what is no object stays as the model wrote it
            arguments = call.parsed
    return {
        **({"id": call.id} if call.id else {}),
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }
