"""A model for ``mo.ui.chat`` of marimo. It imports nothing of marimo: `chat_model` returns the function for the chat."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeAlias

from typing_extensions import Unpack

from nupic_client import ConfigurationError, GenerateOptions, Message, StreamingClient, system

__all__ = ["ChatModel", "chat_model"]

ChatModel: TypeAlias = Callable[[Iterable[Any], Any], AsyncIterator[str]]
"""What ``mo.ui.chat`` takes: called with the messages and the settings of the chat, it yields the new text."""

_SETTINGS = ("max_tokens", "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty")


def chat_model(
    client: StreamingClient,
    *,
    instructions: str | None = None,
    settings: Iterable[str] = (),
    **options: Unpack[GenerateOptions],
) -> ChatModel:
    """Return a function that answers the messages of ``mo.ui.chat``, chunk by chunk.

    Stopping the answer in the chat stops the model.

    Args:
        client: the model to talk to.
        instructions: the system prompt; None for the default of the model.
        settings: the options to take from the controls of the chat, such as ``["max_tokens", "temperature"]``. The others
            are not sent: the chat sets each of them whether or not somebody has touched it.
        **options: of each answer, see `GenerateOptions`.

    Raises:
        ConfigurationError: the chat has no such setting.

    Example:
        .. code-block:: python

            import marimo as mo
            from nupic_client import StreamingClient
            from nupic_client.integrations.marimo import chat_model

            chat = mo.ui.chat(chat_model(StreamingClient("smollm2"), max_tokens=300))
            chat
    """
    names = (settings,) if isinstance(settings, str) else tuple(settings)
    for name in names:
        if name not in _SETTINGS:
            raise ConfigurationError(f"settings must be some of {', '.join(_SETTINGS)}, not {name!r}")
    front = [] if instructions is None else [system(instructions)]

    async def answer(messages: Iterable[Any], config: Any) -> AsyncIterator[str]:
        chosen: Any = {
            name: getattr(config, name) for name in names if getattr(config, name, None) is not None
        }
        prompt = [*front, *map(_message, messages)]
        async with client.astream(prompt, **{**options, **chosen}) as stream:
            async for text in stream:
                yield text

    return answer


def _message(message: Any) -> Message:
    content = message.content
    if not isinstance(content, str):
        content = "".join(getattr(part, "text", "") for part in getattr(message, "parts", None) or ())
    return Message(message.role, content)
