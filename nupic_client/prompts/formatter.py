"""The formatter: what users call to turn a conversation into a prompt."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

from nupic_client.errors import ConfigurationError
from nupic_client.messages import Message, MessageLike
from nupic_client.prompts.answer import AnswerFormat
from nupic_client.prompts.answer_formats import answer_format
from nupic_client.prompts.chat_prompt import chat_prompt, conversation_of
from nupic_client.prompts.family import Family, Turn
from nupic_client.prompts.neutral import neutralised
from nupic_client.prompts.render import allowed
from nupic_client.tools import ToolLike, to_tools

__all__ = ["PromptFormatter"]


class PromptFormatter:
    """Write conversations the way one family of models was trained to read them.

    Formatters of known families come from `formatter_for`; those of any other model from `from_jinja` and
    `from_tokenizer_config`. A formatter is immutable: share it between threads, pickle it, use it as often as
    you like.

    Content that contains one of `control_tokens` is refused, because its author could forge another role: a user text
    that ends its own turn and opens the assistant's. Tokens are looked for in every content, and once more in
    the finished prompt, where a token may arise because content meets the template's text. In assistant messages, which
    the model wrote, they are neutralised instead: ``<|user|>`` is rendered as ``<| user |>``.

    Families with plain-text roles have no tokens. There a *marker* is a string that would open a turn:
    headings (``### User:``), ``USER:``, ``[INST]`` and ``GPT4 Correct User:`` anywhere, since those templates open turns
    in the middle of a line; ``User:`` and ``Assistant:`` (Falcon, DeepSeek LLM and V2) only at the start of a line, which
    their ``control_tokens`` show by a leading newline.

    Example:
        >>> from nupic_client.prompts import formatter_for
        >>> formatter_for("phi-4-mini")("Hello")
        '<|user|>Hello<|end|><|assistant|>'
    """

    __slots__ = ("_control_tokens", "_family", "_system")

    _family: Family
    _control_tokens: tuple[str, ...]
    _system: str | None

    def __init__(self, family: Family, system: str | None = None) -> None:
        if not isinstance(family, Family):
            raise ConfigurationError(
                f"family of a PromptFormatter must be a Family, not {family!r:.80}: get_prompt_formatter() returns the"
                " formatter of a family's name",
                parameter="family",
            )
        tokens = (*family.markers, family.bos, family.eos, *family.stop)
        object.__setattr__(self, "_family", family)
        object.__setattr__(self, "_system", system)
        object.__setattr__(self, "_control_tokens", tuple(dict.fromkeys(token for token in tokens if token)))

    @classmethod
    def from_jinja(
        cls,
        template: str,
        *,
        bos_token: str | None = None,
        eos_token: str | None = None,
        family: str = "jinja",
        stop: Iterable[str] = (),
        control_tokens: Iterable[str] = (),
    ) -> PromptFormatter:
        """Make a formatter of a Jinja chat template, as Hugging Face renders it.

        The template runs in Jinja2's immutable sandbox, which keeps it from Python's internals but does not
        bound its time or memory: take it from where you take the weights. Besides the given tokens, whatever
        looks like a control token or a role marker in the template's source is refused in content.

        Args:
            template: the template's source.
            bos_token: the token a prompt starts with; None where there is none.
            eos_token: the token an answer ends with, if there is one; it is also a stop string.
            family: a name for it.
            stop: more strings that end a generation.
            control_tokens: more strings to refuse in content.

        Returns:
            The formatter. It takes any template variables, e.g. ``formatter(messages,
            enable_thinking=False)``.

        Raises:
            ConfigurationError: jinja2 is not installed, or the template has a syntax error.
        """
        from nupic_client.prompts.jinja import jinja_family  # noqa: PLC0415  # the extra is needed only here

        special = {"bos_token": bos_token, "eos_token": eos_token}
        return cls(
            jinja_family(
                {"default": template}, special, name=family, stop=_stops(stop), control_tokens=control_tokens
            )
        )

    @classmethod
    def from_tokenizer_config(
        cls,
        config: str | PathLike[str] | Mapping[str, Any],
        *,
        chat_template: str | None = None,
        family: str | None = None,
        stop: Iterable[str] = (),
    ) -> PromptFormatter:
        """Make a formatter of a Hugging Face ``tokenizer_config.json``.

        Args:
            config: its path, the path of the folder it is in (where a ``chat_template.jinja`` wins), or its
                content.
            chat_template: which one, where the model has several named templates. Left out, it is
                ``tool_use`` in calls with ``tools=`` and ``default`` in others, as in Hugging Face's library.
            family: a name for it; by default the configuration's ``name_or_path`` or the folder's name.
            stop: more strings that end a generation, besides EOS and the end tokens of a ``generation_config.json`` in the
                same folder.

        Returns:
            The formatter. It takes any template variables. A ``response_template`` in the configuration is its `answer`.

        Raises:
            ConfigurationError: jinja2 is not installed, the file cannot be read, it has no chat template or
                not that one, or its ``response_template`` is wrong.
        """
        from nupic_client.prompts.tokenizer_config import family_of  # noqa: PLC0415  # the extra is needed only here

        return cls(family_of(config, chat_template=chat_template, name=family, stop=_stops(stop)))

    @property
    def family(self) -> str:
        """The family's name."""
        return self._family.name

    @property
    def stop(self) -> tuple[str, ...]:
        """The strings that end a generation."""
        return self._family.stop

    @property
    def answer(self) -> AnswerFormat | None:
        """How text, reasoning and tool calls of an answer are told apart; None where all of it is text."""
        return self._family.answer

    @property
    def reasons(self) -> bool:
        """Whether models of the family usually reason before they answer, so that every answer is read for it."""
        return self._family.reasons

    @property
    def calls_per_message(self) -> int | None:
        """How many calls of tools a message may have; None for any number."""
        tools = self._family.tools
        return None if tools is None or tools.calls is None else tools.calls.most

    @property
    def opens_user_turn(self) -> str:
        r"""The line with which a model would go on as the user, such as ``"\n<|user|>\n"``; empty where that is no line.

        An answer of a conversation that a client renders ends there. Where a turn opens in the middle of a line, as with
        ``[INST]``, an opened turn looks like a quoted one, and the answer goes on.
        """
        turn = self._family.user
        return f"\n{turn.before.lstrip()}" if isinstance(turn, Turn) and turn.before.endswith("\n") else ""

    @property
    def control_tokens(self) -> tuple[str, ...]:
        """The strings that content may not contain, unless the model wrote it."""
        return self._control_tokens

    @property
    def bos_token(self) -> str:
        """The token a prompt starts with; empty where the tokenizer has none."""
        return self._family.bos

    @property
    def eos_token(self) -> str:
        """The token an answer ends with; empty where the tokenizer has none."""
        return self._family.eos

    @property
    def prints_bos(self) -> bool:
        """Whether the prompt itself starts with BOS, so that a tokenizer must not add a second one.

        SmolLM2's BOS is the token that opens every turn. Its prompts do start with it, yet it is no BOS that
        may be taken away: this is False there.
        """
        family = self._family
        return bool(family.bos) and (family.start.startswith(family.bos) or family.bos_in_turns)

    @property
    def default_system(self) -> str | None:
        """The system prompt where none is given, with ``{date}`` for the date; None: there is no default."""
        return self._family.default_system

    @property
    def description(self) -> str:
        """The family's quirks in one line."""
        return self._family.description

    @property
    def allows(self) -> str:
        """Which conversations the family allows, in one sentence."""
        return allowed(self._family) if self._family.roles else "the template decides"

    @property
    def reference_model(self) -> str:
        """The model whose official template this is."""
        return self._family.reference_model

    @property
    def source(self) -> str:
        """Where the reference prompts were taken from."""
        return self._family.source

    @property
    def prints_date(self) -> bool:
        """Whether the family prints a date."""
        return self._family.date is not None

    @property
    def aliases(self) -> tuple[str, ...]:
        """The family's short names."""
        return self._family.aliases

    def with_system(self, system: str | None) -> PromptFormatter:
        """Return this formatter with a system prompt for conversations that have no system message.

        Args:
            system: the text; None leaves such conversations to the family (see `default_system`).
        """
        return PromptFormatter(self._family, system)

    def neutral(self, text: str) -> str:
        """Return a text in which no control token is one any more: a space breaks it.

        For text that a model is to be shown although others wrote it, such as a page that a tool has fetched. As content of
        a message it would be refused.

        Args:
            text: any text.

        Example:
            >>> from nupic_client.prompts import formatter_for
            >>> formatter_for("qwen2.5").neutral("<|im_start|>system")
            '<| im_start |>system'
        """
        tools = self._family.tools
        tokens = (*self._control_tokens, *(() if tools is None else tools.markers))
        return neutralised(text, tokens, self._family.marker_shape)

    def with_answer(self, answer: AnswerFormat | str | None) -> PromptFormatter:
        """Return this formatter with another way to read answers.

        Args:
            answer: the format, or the name of one of `ANSWER_FORMATS`; None: all of an answer is text.

        Raises:
            ConfigurationError: there is no such format.

        Example:
            >>> from nupic_client.prompts import formatter_for
            >>> formatter_for("chatml").with_answer("qwen3-coder").answer.has_tool_calls
            True
        """
        if isinstance(answer, str):
            answer = answer_format(answer)
        if answer is not None and not isinstance(answer, AnswerFormat):
            raise ConfigurationError(
                f"answer must be an AnswerFormat or the name of one, not {type(answer).__name__}",
                parameter="answer",
            )
        return PromptFormatter(
            dataclasses.replace(
                self._family, answer=answer, reasons=answer is not None and answer.has_reasoning
            ),
            self._system,
        )

    def without_bos(self, prompt: str) -> str:
        """Return a rendered prompt without the BOS token at its beginning, for servers that put one there themselves.

        A token that also opens turns, as SmolLM2's does, is not taken away. Of a formatter made of a Jinja template the
        token is taken away where it stands at the beginning only.

        Args:
            prompt: what this formatter rendered.
        """
        bos = self._family.bos
        if not bos or not prompt.startswith(bos):
            return prompt
        once = not self._family.roles and prompt.count(bos) == 1
        return prompt.removeprefix(bos) if self.prints_bos or once else prompt

    def __call__(
        self,
        messages: str | Iterable[MessageLike],
        system: str | None = None,
        *,
        add_generation_prompt: bool | None = None,
        continue_final_message: bool = False,
        tools: Iterable[ToolLike] | None = None,
        allow_control_tokens: bool = False,
        date: dt.date | None = None,
        **template_variables: Any,
    ) -> str:
        """Render a conversation.

        Args:
            messages: the conversation, or one user message's text.
            system: a system message to put before it. An empty one is not the same as none.
            add_generation_prompt: whether the prompt opens the assistant's answer, for families that make a
                difference; by default it does, unless the last message is continued.
            continue_final_message: whether the prompt ends within the last message, an assistant's, for the model to go on
                with it.
            tools: the tools that the model may call, as `to_tools` takes them.
            allow_control_tokens: whether to insert content verbatim, as the official templates do, whatever
                it contains. Then an author of content can forge turns: use it for trusted content only.
            date: the date for the families that print one; by default today, or the day that is built into
                the official template (Llama 3.1 and 3.3).
            template_variables: variables for the template, e.g. ``enable_thinking=False`` for Qwen3.
                Formatters made of Jinja templates take any.

        Returns:
            The prompt.

        Raises:
            PromptError: the family does not allow this conversation, or content that the model did not write contains
                a control token. Messages are counted from 0; where ``system`` is given, it is message 0.
            ConfigurationError: an item is not a message or a tool, a template variable is unknown, or the last message
                cannot be continued.
        """
        conversation = conversation_of(messages, system)
        first = 0
        if self._system is not None and all(message.role != "system" for message in conversation):
            conversation, first = (Message("system", self._system), *conversation), -1
        return chat_prompt(
            self._family,
            conversation,
            first,
            None if allow_control_tokens else self._control_tokens,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            tools=to_tools(tools) if tools is not None else (),
            date=date,
            variables=template_variables,
        )

    def __repr__(self) -> str:
        return f"<PromptFormatter {self._family.name}>"

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a PromptFormatter is immutable: {name!r} cannot be set")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PromptFormatter):
            return NotImplemented
        return self._family == other._family and self._system == other._system

    def __hash__(self) -> int:
        return hash(self._family.name)

    def __reduce__(self) -> tuple[type[PromptFormatter], tuple[Family, str | None]]:
        return PromptFormatter, (self._family, self._system)


def _stops(stop: Iterable[str]) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    if not all(isinstance(each, str) and each for each in stops):
        raise ConfigurationError(f"stop must be non-empty strings, not {stops!r}", parameter="stop")
    return stops
