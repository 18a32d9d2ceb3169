"""How the answer to a conversation is read: as text alone, or in parts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nupic_client._tool_choice import forced_format, form_or_call
from nupic_client.errors import ConfigurationError
from nupic_client.prompts.answer import AnswerFormat
from nupic_client.prompts.answer_formats import BARE_JSON, json_call_of
from nupic_client.tools import Tool

if TYPE_CHECKING:
    from nupic_client._core.calls.options import CallOptions
    from nupic_client._output_format import OutputFormat

__all__ = ["AnswerPlan", "plan_answer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPlan:
    """How an answer with parts is read.

    Args:
        answer_format: how it is written.
        tools: the tools that were offered.
        must_call: those of which one must be called; empty where that is the model's choice.
    """

    answer_format: AnswerFormat
    tools: tuple[Tool, ...] = ()
    must_call: tuple[Tool, ...] = field(default=(), repr=False)

    @property
    def needs_special_tokens(self) -> bool:
        """Whether the parts are marked by special tokens, which the server must leave in the text."""
        return bool(self.answer_format.special_tokens)


def plan_answer(
    family: str, answer_format: AnswerFormat | None, call: CallOptions, *, reasons: bool = False
) -> tuple[AnswerPlan | None, CallOptions]:
    """Decide how an answer is read, and return the options to send.

    Args:
        family: the name of the prompt's family.
        answer_format: of that family.
        call: the options of the call.
        reasons: whether models of the family usually reason before they answer.

    Returns:
        None where all of the answer is text; and the options, with the constraint of a call that is forced.

    Raises:
        ConfigurationError: tools cannot be used with this family, or not so.
    """
    choice = call.tool_choice
    tools = choice.offered(call.tools)
    must_call = choice.allowed(tools) if choice.forces else ()
    if must_call:
        if call.output_format is not None:
            raise ConfigurationError(
                "response_format must be left out where tool_choice forces a call: the answer is the call",
                parameter="response_format",
            )
        if call.enforce == "server":
            forced = replace(call, output_format=forced_format(must_call))
            return AnswerPlan(answer_format=BARE_JSON, tools=tools, must_call=must_call), forced
    if call.output_format is not None and call.enforce == "server":
        # From its first token on the model writes what has the form, and no thoughts.
        return _call_or_form(tools, call.output_format, call) if tools else (None, call)
    if tools and (answer_format is None or not answer_format.has_tool_calls):
        raise ConfigurationError(
            f"tools cannot be used with {family}: it is not known how its models write calls",
            parameter="tools",
            hint="or give a formatter that knows: formatter.with_answer('hermes') or another of ANSWER_FORMATS",
        )
    separate = reasons if call.reasoning is None else call.reasoning == "separate"
    if answer_format is None or not (tools or (answer_format.has_reasoning and separate)):
        return None, call
    return AnswerPlan(answer_format=answer_format, tools=tools, must_call=must_call), call


def _call_or_form(
    tools: tuple[Tool, ...], form: OutputFormat, call: CallOptions
) -> tuple[AnswerPlan, CallOptions]:
    """Let the server enforce that an answer has its form, or is a call."""
    if not form.is_json:
        raise ConfigurationError(
            "response_format must be a form in JSON where tools are offered, which is enforced as one schema of the calls"
            f" and the answer, not {form.guide.kind}: give a type or a JSON Schema",
            parameter="response_format",
            hint="or set enforce='validate', or tool_choice='none'",
        )
    either = replace(call, output_format=form_or_call(tools, form))
    return AnswerPlan(answer_format=json_call_of([tool.name for tool in tools]), tools=tools), either
