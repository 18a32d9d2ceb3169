"""A scripted model that calls tools, reads their results and keeps to a given form, for tests of programs that need that."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nupic_client.errors import ConfigurationError
from nupic_client.local.engine import GUIDE, GUIDE_TYPE, EngineRequest
from nupic_client.prompts.formatter import PromptFormatter
from nupic_client.prompts.registry import formatter_for
from nupic_client.testing.instances import instance, literal_of_grammar, text_for_pattern
from nupic_client.testing.prompt_reader import PromptReader, ReadPrompt
from nupic_client.tools import Tool, ToolCall

__all__ = ["competent_model"]

_COMMON = frozenset(
    re.findall(
        r"\w+",
        "about after all and are can did does for from get has have how into its list make not one our out please set"
        " show tell than that the then they this use user was what when where which who why will with you your",
    )
)
_GUIDES = ("structured_outputs", "guided_decoding")


def competent_model(
    formatter: str | PromptFormatter = "qwen2.5", *, reasoning: bool = False
) -> Callable[[EngineRequest], list[str]]:
    """Return a scripted model for `FakeTriton` that calls tools, reads their results, and keeps to a given form.

    It is no language model: it goes by words. The same request has the same answer.

    - Where the server is asked to enforce a form (``response_format``, a forced ``tool_choice``), it answers with a small
      value of this form. For any JSON object, the keys are the names in quotes of the user's last message.
    - After the results of tools it answers with them.
    - Where the user's last message has the name of a tool, or words of its name or description, it calls the tool. The
      arguments fit the tool's schema; values are taken from the message where there are some: numbers, quoted texts,
      names, dates, the options of an ``enum``.
    - Where the message has a JSON Schema, it answers with a value of it.
    - Else it says what it was asked.

    Args:
        formatter: the family that writes the prompts, or its formatter: the same as the client's.
        reasoning: whether each answer without a given form begins with a thought. For families whose models seldom reason,
            such as Qwen2.5, the client reads it apart with ``reasoning="separate"`` only.

    Returns:
        A function of the recorded request, for ``FakeTriton(…)`` or ``server.reply``.

    Raises:
        ConfigurationError: there is no such family, or it has no reasoning.

    Example:
        >>> with FakeTriton(competent_model("qwen3")) as server:  # doctest: +SKIP
        ...     client = StreamingClient("gpt", url=server.url, formatter="qwen3")
        ...     client.generate([user("How is the weather in Paris?")], tools=[weather]).tool_calls
        (ToolCall(id='call_…', name='weather', arguments='{"city": "Paris"}'),)
    """
    known = formatter_for(formatter) if isinstance(formatter, str) else formatter
    if not isinstance(known, PromptFormatter):
        raise ConfigurationError(
            f"formatter must be a PromptFormatter or the name of a family, not {type(formatter).__name__}",
            parameter="formatter",
        )
    if reasoning and not (known.answer and known.answer.has_reasoning):
        raise ConfigurationError(
            f"reasoning must be False for {known.family}, whose answers have none apart from the text",
            parameter="reasoning",
        )
    return _Model(PromptReader(known), reasoning=reasoning)


class _Model:
    """Answers requests."""

    def __init__(self, reader: PromptReader, *, reasoning: bool) -> None:
        self._reader = reader
        self._reasons = reasoning

    def __call__(self, request: EngineRequest) -> list[str]:
        said = self._reader.read(request.prompt)
        answer = _guided(request.inputs, said)
        if answer is None:
            answer = self._thought(request.prompt, said) + self._answer(request.prompt, said)
        return re.findall(r"\s*\S+\s*$|\s*\S+|\s+$", answer)

    def _answer(self, prompt: str, said: ReadPrompt) -> str:
        tool = _wanted(said)
        if tool is not None:
            arguments = json.dumps(instance(tool.parameters, said.user), ensure_ascii=False)
            # Mistral's ids have nine characters.
            call = ToolCall(f"c{zlib.crc32(prompt.encode()):08x}", tool.name, arguments)
            return self._reader.write(call, said.tools)
        if said.results:
            return "\n".join(said.results)
        schema = _schema_in(said.user)
        if schema is not None:
            return json.dumps(instance(schema), ensure_ascii=False)
        return f"You said: {said.user}"

    def _thought(self, prompt: str, said: ReadPrompt) -> str:
        answer = self._reader.formatter.answer
        fields = answer.fields if answer is not None else ()
        field = next((each for each in fields if each.name in {"thinking", "reasoning_content"}), None)
        if field is None or not field.open or not field.close:
            return ""
        begin, end = field.open[0], field.close[0]
        tail = prompt.rstrip()
        opened = tail.endswith(begin)
        if not self._reasons or tail.endswith(end):  # the prompt may say that there is to be no thought
            return f"{end}\n\n" if opened else ""
        thought = "I have the results." if said.results else "I look at what the user wants."
        return f"{'' if opened else begin}\n{thought}\n{end}\n\n"


def _guided(inputs: Mapping[str, Any], said: ReadPrompt) -> str | None:
    """Return a text of the form that the server is to enforce; None where there is none."""
    kind, value, user = inputs.get(GUIDE_TYPE), inputs.get(GUIDE), said.user
    if not kind:
        kind, value = _vllm_guide(inputs.get("sampling_parameters"))
    if kind in {"json_schema", "json"}:
        schema: Any = json.loads(value) if isinstance(value, str) else value
        if schema.get("type", "object") == "object" and not schema.keys() - {"type", "additionalProperties"}:
            schema = _schema_of_names(user)
        return json.dumps(instance(_chosen(schema, said), user), ensure_ascii=False)
    if kind == "json_object":
        return json.dumps(instance(_schema_of_names(user), user), ensure_ascii=False)
    if kind == "choice":
        return _choice(list(value or ()), user)
    if kind == "regex":
        return _of_pattern(str(value), user)
    return literal_of_grammar(str(value)) if kind in {"grammar", "ebnf_grammar"} else None


def _chosen(schema: Mapping[str, Any], said: ReadPrompt) -> Mapping[str, Any]:
    """Return the part to write of a schema of calls and an answer: the call that is wanted, or the answer."""
    parts = schema.get("anyOf", ())
    calls = {
        tool.name: part
        for tool in said.tools
        for part in parts
        if part.get("properties", {}).get("name") == {"const": tool.name}
    }
    if not calls or len(calls) == len(parts):
        return schema
    tool = _wanted(said)
    answer = next(part for part in parts if part not in calls.values())
    return {**schema, "anyOf": [answer if tool is None else calls.get(tool.name, answer)]}


def _schema_of_names(text: str) -> Mapping[str, Any]:
    """Return the schema of an object with the keys that stand in quotes in a text; of an empty one without any."""
    names = dict.fromkeys(name for _, name in re.findall(r"""(['"`])(\w+)\1""", text))
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": [*names],
    }


def _vllm_guide(text: Any) -> tuple[str, Any]:
    """Return the kind and the value of vLLM's guide; an empty kind where there is none."""
    fields = json.loads(text) if isinstance(text, str) and text else {}
    for name in _GUIDES:
        guide = fields.get(name)
        guide = json.loads(guide) if isinstance(guide, str) else guide
        for kind, value in (guide or {}).items():
            if value is not None:
                return kind, value
    return "", None


def _choice(options: Sequence[str], user: str) -> str:
    return next((each for each in options if each.lower() in user.lower()), options[0])


def _of_pattern(pattern: str, user: str) -> str:
    # A choice is a pattern for TensorRT-LLM.
    options = (
        [text_for_pattern(each) for each in re.split(r"(?<!\\)\|", pattern)] if "(" not in pattern else []
    )
    if len(options) > 1 and all(options):
        return _choice(options, user)
    return text_for_pattern(pattern)


def _wanted(said: ReadPrompt) -> Tool | None:
    """Return the tool to call: the one of which the user speaks most, if any and if it has not been called yet."""
    spoken = said.user.lower()
    words = _words(spoken)
    best, most = None, 0
    for tool in said.tools:
        name = tool.name.lower()
        whole = name in spoken or " ".join(_parts(name)) in spoken
        if said.results and (not whole or tool.name in said.since):
            continue  # a second call only of what the user named
        score = (
            100 * whole
            + 10 * len(words & _words(" ".join(_parts(tool.name))))
            + len(words & _words(tool.description))
        )
        if score > most:
            best, most = tool, score
    return best


def _parts(name: str) -> list[str]:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[_.-]", " ", name).lower().split()


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[^\W_]{3,}", text.lower()) if word not in _COMMON}


def _schema_in(text: str) -> Mapping[str, Any] | None:
    """Return a JSON Schema that stands in a text."""
    start = text.find("{")
    while start >= 0:
        try:
            value = json.JSONDecoder().raw_decode(text, start)[0]
        except ValueError:
            start = text.find("{", start + 1)
            continue
        return value if isinstance(value, Mapping) and isinstance(value.get("properties"), Mapping) else None
    return None
