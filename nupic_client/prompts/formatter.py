"""The formatter: what users call to turn a conversation into a prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date as Date  # noqa: N812  # `date` is a parameter here
from typing import Any

from nupic_client.errors import ConfigurationError, PromptError
from nupic_client.messages import Message, MessageLike, to_messages
from nupic_client.prompts.draft import Draft
from nupic_client.prompts.family import Family, Job
from nupic_client.prompts.render import allowed, render

__all__ = ["PromptFormatter"]


class PromptFormatter:
    """Write conversations the way one family of models was trained to read them.

    A formatter is immutable: share it between threads, pickle it, use it as often as you like.

    Example:
        >>> from nupic_client.prompts import formatter_for
        >>> formatter_for("chatml")("Hello")
        '<|im_start|>user\\nHello<|im_end|>\\n<|im_start|>assistant\\n'
    """

    def __init__(self, family: Family) -> None:
        self._family = family

    @property
    def family(self) -> str:
        return self._family.name

    @property
    def stop(self) -> tuple[str, ...]:
        return self._family.stop

    @property
    def bos_token(self) -> str:
        return self._family.bos

    @property
    def eos_token(self) -> str:
        return self._family.eos

    @property
    def prints_bos(self) -> bool:
        return bool(self._family.bos) and self._family.start == self._family.bos

    @property
    def default_system(self) -> str | None:
        return self._family.default_system

    @property
    def control_tokens(self) -> tuple[str, ...]:
        tokens = (*self._family.markers, self._family.bos, self._family.eos, *self._family.stop)
        return tuple(dict.fromkeys(token for token in tokens if token))

    def __call__(
        self,
        messages: str | Iterable[MessageLike],
        system: str | None = None,
        *,
        add_generation_prompt: bool = True,
        allow_control_tokens: bool = False,
        date: Date | None = None,
        **template_variables: Any,
    ) -> str:
        conversation = _conversation(messages, system)
        job = Job(conversation, add_generation_prompt, "", template_variables)
        draft = render(self._family, job)
        if not allow_control_tokens:
            forged = draft.find_forged(self.control_tokens)
            if forged:
                raise PromptError(f"message {forged[1]} ({conversation[forged[1]].role}) contains {forged[0]!r}")
        return draft.text()

    def __repr__(self) -> str:
        return f"<PromptFormatter {self.family}>"


def _conversation(messages: str | Iterable[MessageLike], system: str | None) -> tuple[Message, ...]:
    if isinstance(messages, str):
        messages = (Message("user", messages),)
    conversation = to_messages(messages)
    if system is None:
        return conversation
    if conversation[0].role == "system":
        raise PromptError("the conversation already starts with a system message: give it there or as system=, not both")
    return (Message("system", system), *conversation)
