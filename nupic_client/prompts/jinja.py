"""Families made of Jinja chat templates."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nupic_client.errors import ConfigurationError, PromptError
from nupic_client.prompts.family import Family
from nupic_client.prompts.template_messages import MessageForm, form_of
from nupic_client.prompts.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jinja2 import Template

    from nupic_client.prompts.builder import PromptBuilder
    from nupic_client.prompts.family import Job

__all__ = ["JinjaScript", "jinja_family"]

_MAX_MESSAGE = 500
# The longest prompt, in characters: some four million tokens, which few models read and every machine holds.
# The contents of the messages come on top, eight times: a template may print them again, or escape them for JSON. So
# the limit stops a template that prints without end, and never a conversation that is long itself.
_LONGEST = 16 * 2**20
_LONGEST_PER_CHARACTER = 8
_RESERVED = ("messages", "tools", "strftime_now", "raise_exception")

# The shape of a control token, in any text.
_TOKEN_SHAPE = re.compile(r"<\|[\w./:-]{1,64}\|>|<｜[^<>｜\s]{1,64}｜>|\[\|\w{1,64}\|\]")
# Strings that count as control tokens where the template's source contains them.
_TOKEN_IN_SOURCE = re.compile(
    rf"{_TOKEN_SHAPE.pattern}|</?s>|<[be]os>|\[/?[A-Z_]{{2,32}}\]|<</?SYS>>"
    r"|</?\w{0,32}(?:turn|start|end|user|assistant|system|message|role|image)\w{0,32}>"
    r"|### ?[A-Z]\w{1,32}:?|\b(?:USER|ASSISTANT|SYSTEM|HUMAN|BOT):"
)
# Everyday words: they open a turn at the start of a line only.
_ROLE_IN_SOURCE = re.compile(r"\b(?:User|Assistant|System|Human|Bot|Falcon|Question|Answer):")


@dataclass(frozen=True)
class JinjaScript:
    """Render with a Jinja template. Compiled at the first use, and again in another process.

    Args:
        templates: names and sources.
        chosen: the one to use; None: ``tool_use`` where tools are given and there is such a template, else
            ``default``.
        special_tokens: the tokenizer's special tokens by the names templates use.
    """

    templates: Mapping[str, str]
    chosen: str | None = None
    special_tokens: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, family: Family, job: Job, builder: PromptBuilder) -> None:
        """Render the job. The prompt is one literal: the template's own text and the contents cannot be distinguished."""
        reserved = [name for name in _RESERVED if name in job.variables]
        if reserved:
            raise ConfigurationError(f"the template variable {reserved[0]!r} is set by the formatter itself")
        name = self._choose(job)
        if job.tools and self.chosen is None and name == "default" and "tools" not in self.templates[name]:
            raise PromptError(
                f"tools must not be given, because the chat template of {family.name} has no place for them"
            )
        form = self.forms[name]
        variables = {
            **self.special_tokens,
            "documents": None,
            **job.variables,
            "tools": [tool.as_dict() for tool in job.tools] or None,
            "messages": form.written(job, text_arguments=False),
            "add_generation_prompt": job.add_generation_prompt,
        }
        try:
            prompt = self._render(family, name, variables, job)
        except PromptError as error:
            # Hugging Face gives arguments as objects; a few templates (DeepSeek's) join them to texts, as OpenAI's are.
            if not isinstance(error.__cause__, TypeError) or not any(it.tool_calls for it in job.messages):
                raise
            variables["messages"] = form.written(job, text_arguments=True)
            prompt = self._render(family, name, variables, job)
        builder.literal(prompt)

    @cached_property
    def forms(self) -> Mapping[str, MessageForm]:
        """The form of messages that each template reads."""
        return {name: form_of(source) for name, source in self.templates.items()}

    def __reduce__(self) -> tuple[type[JinjaScript], tuple[Any, ...]]:
        return JinjaScript, (dict(self.templates), self.chosen, dict(self.special_tokens))

    @cached_property
    def compiled(self) -> Mapping[str, Template]:
        """The templates, compiled."""
        try:
            from jinja2 import TemplateSyntaxError  # noqa: PLC0415  # an optional extra

            from nupic_client.prompts.sandbox import chat_environment  # noqa: PLC0415
        except ImportError as error:
            raise ConfigurationError(
                "rendering a Jinja chat template needs jinja2: pip install 'nupic-client[jinja]'"
            ) from error
        environment = chat_environment()
        compiled = {}
        for name, source in self.templates.items():
            try:
                compiled[name] = environment.from_string(source)
            except TemplateSyntaxError as error:
                raise ConfigurationError(
                    f"the chat template {name!r} has an error in line {error.lineno}: {error.message}"
                ) from error
            except Exception as error:
                # Python's own compiler fails on too deep nesting and too big numbers with SyntaxError, RecursionError,
                # MemoryError and more. Jinja also calls filters here, where all is constant.
                raise ConfigurationError(
                    f"the chat template {name!r} cannot be compiled: {_said(error)}"
                ) from error
        return compiled

    def _choose(self, job: Job) -> str:
        if self.chosen is not None:
            return self.chosen
        return "tool_use" if job.tools and "tool_use" in self.templates else "default"

    def _render(self, family: Family, name: str, variables: dict[str, Any], job: Job) -> str:
        template = self.compiled[name]
        from jinja2 import TemplateError  # noqa: PLC0415  # an optional extra

        from nupic_client.prompts.sandbox import strftime_now  # noqa: PLC0415

        longest = _LONGEST + _LONGEST_PER_CHARACTER * _length(job)
        left, pieces = longest, []
        try:
            for piece in template.generate(variables, strftime_now=strftime_now(job.day)):
                pieces.append(piece)
                left -= len(piece)
                if left < 0:
                    break
        except TemplateError as error:
            said = str(error)[:_MAX_MESSAGE]
            raise PromptError(
                f"the chat template of {family.name} refuses this conversation: {said}"
            ) from error
        except Exception as error:  # a template is foreign code: it can fail in any way
            raise PromptError(f"the chat template of {family.name} failed: {_said(error)}") from error
        if left < 0:
            raise PromptError(
                f"the chat template of {family.name} was stopped: the prompt of this conversation must have at "
                f"most {longest:,} characters, not more. Look for a loop that prints too often in the template"
            )
        return "".join(pieces)


def _length(job: Job) -> int:
    """Return the number of characters that a conversation and its tools have."""
    length = sum(len(message.text) for message in job.messages)
    if job.tools:
        length += sum(len(json.dumps(tool.as_dict())) for tool in job.tools)
    for message in job.messages:
        length += len(message.reasoning or "") + sum(len(call.arguments) for call in message.tool_calls)
    return length


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_MAX_MESSAGE]


def jinja_family(
    templates: Mapping[str, str],
    special_tokens: Mapping[str, Any],
    *,
    name: str,
    chosen: str | None = None,
    stop: Iterable[str] = (),
    control_tokens: Iterable[str] = (),
    source: str = "",
) -> Family:
    """Make a family of Jinja chat templates.

    Args:
        templates: names and sources.
        special_tokens: the special tokens by the names templates use; empty ones are left out, as Hugging
            Face does.
        name: the family's name.
        chosen: the template to use.
        stop: strings that end a generation, besides EOS.
        control_tokens: strings to refuse in content, besides those found in the templates.
        source: where the templates come from.

    Raises:
        ConfigurationError: jinja2 is not installed, or a template has a syntax error.
    """
    given = {key: value for key, value in special_tokens.items() if value}
    script = JinjaScript(dict(templates), chosen, given)
    script.compiled  # noqa: B018  # errors show now, not at the first conversation
    bos, eos = given.get("bos_token", ""), given.get("eos_token", "")
    markers = [*control_tokens]
    for template in templates.values():
        markers += _TOKEN_IN_SOURCE.findall(template)
        markers += [f"\n{role}" for role in _ROLE_IN_SOURCE.findall(template)]
    bare = Turn("", "")
    return Family(
        name=name,
        source=source,
        description="the model's own Jinja template",
        bos=bos,
        eos=eos,
        stop=tuple(dict.fromkeys(token for token in (eos, *stop) if token)),
        markers=tuple(dict.fromkeys(markers)),
        marker_shape=_TOKEN_SHAPE,
        start=bos
        if any(re.match(r"\s*\{\{-?\s*bos_token", template) for template in templates.values())
        else "",
        system=bare,
        user=bare,
        assistant=bare,
        roles=(),
        variables=None,
        script=script,
    )
