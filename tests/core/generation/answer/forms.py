"""The forms in which families of models write calls, each as a function that writes them; and the cases of the matrix."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nupic_client.prompts.answer_formats import answer_format
from nupic_client.tools import Tool

Call = tuple[str, dict[str, Any]]


def js(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def objects(calls, arguments="arguments", name="name"):
    return [js({name: who, arguments: what}) for who, what in calls]


def as_list(calls, **keys):
    return f"[{', '.join(objects(calls, **keys))}]"


def hermes(calls):
    return "\n".join(f"<tool_call>\n{text}\n</tool_call>" for text in objects(calls))


def plain(value):
    return value if isinstance(value, str) else js(value)


def coder(calls, wrap="tool_call"):
    texts = []
    for name, arguments in calls:
        body = "".join(
            f"<parameter={key}>\n{plain(value)}\n</parameter>\n" for key, value in arguments.items()
        )
        texts.append(f"<{wrap}>\n<function={name}>\n{body}</function>\n</{wrap}>")
    return "\n".join(texts)


def python_value(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {python_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(python_value, value))}]"
    return js(value) if isinstance(value, str) else repr(value)


def python_calls(calls):
    return [
        f"{name}({', '.join(f'{key}={python_value(value)}' for key, value in arguments.items())})"
        for name, arguments in calls
    ]


def deepseek_3(calls):
    texts = [
        f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{js(arguments)}\n```<｜tool▁call▁end｜>"
        for name, arguments in calls
    ]
    return "<｜tool▁calls▁begin｜>" + "\n".join(texts) + "<｜tool▁calls▁end｜>"


def deepseek_3_1(calls):
    texts = [
        f"<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{js(arguments)}<｜tool▁call▁end｜>"
        for name, arguments in calls
    ]
    return "<｜tool▁calls▁begin｜>" + "".join(texts) + "<｜tool▁calls▁end｜>"


def deepseek_4(calls):
    texts = []
    for name, arguments in calls:
        body = "".join(
            f'<｜DSML｜parameter name="{key}" string="{js(isinstance(value, str))}">{plain(value)}</｜DSML｜parameter>\n'
            for key, value in arguments.items()
        )
        texts.append(f'<｜DSML｜invoke name="{name}">\n{body}</｜DSML｜invoke>\n')
    return f"<｜DSML｜tool_calls>\n{''.join(texts)}</｜DSML｜tool_calls>"


def kimi(calls):
    texts = [
        f"<|tool_call_begin|>functions.{name}:{index}<|tool_call_argument_begin|>{js(arguments)}<|tool_call_end|>"
        for index, (name, arguments) in enumerate(calls)
    ]
    return f"<|tool_calls_section_begin|>{''.join(texts)}<|tool_calls_section_end|>"


def glm(calls):
    texts = []
    for name, arguments in calls:
        body = "".join(
            f"<arg_key>{key}</arg_key>\n<arg_value>{plain(value)}</arg_value>\n"
            for key, value in arguments.items()
        )
        texts.append(f"<tool_call>{name}\n{body}</tool_call>")
    return "\n".join(texts)


def minimax(calls):
    texts = []
    for name, arguments in calls:
        body = "".join(
            f'<parameter name="{key}">{plain(value)}</parameter>\n' for key, value in arguments.items()
        )
        texts.append(f'<invoke name="{name}">\n{body}</invoke>\n')
    return f"<minimax:tool_call>\n{''.join(texts)}</minimax:tool_call>"


def gemma_value(value, quote):
    if isinstance(value, str):
        return f"{quote}{value}{quote}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{gemma_value(item, quote)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{','.join(gemma_value(item, quote) for item in value)}]"
    return js(value)


def gemma_4(calls):
    return "".join(
        f"<|tool_call>call:{name}{gemma_value(arguments, '<|' + chr(34) + '|>')}<tool_call|>"
        for name, arguments in calls
    )


def function_gemma(calls):
    return "".join(
        f"<start_function_call>call:{name}{gemma_value(arguments, '<escape>')}<end_function_call>"
        for name, arguments in calls
    )


def harmony(calls):
    return "<|start|>assistant".join(
        f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{js(arguments)}<|call|>"
        for name, arguments in calls
    )


def harmony_role(calls):
    return "".join(
        f"<|start|>assistant to=functions.{name}<|channel|>commentary json<|message|>{js(arguments)}<|call|>"
        for name, arguments in calls
    )


def command_a(calls):
    items = [
        js({"tool_call_id": str(index), "tool_name": name, "parameters": arguments})
        for index, (name, arguments) in enumerate(calls)
    ]
    return "<|START_ACTION|>[\n    " + ",\n    ".join(items) + "\n]<|END_ACTION|>"


@dataclass(frozen=True)
class Form:
    """How one family writes its answers."""

    name: str
    format_name: str
    write: Callable[[list[Call]], str]
    thinking: tuple[str, str] | None = ("<think>\n", "\n</think>\n\n")
    text: tuple[str, str] = ("", "")
    # A list of calls that is the whole answer is none where text stands before it.
    whole: bool = False
    # No string of this form can have every character.
    escapes: dict[str, Any] = field(
        default_factory=lambda: {
            "quoted": 'He said "hello"',
            "path": "C:\\Users\\file.txt",
            "newline": "line1\nline2",
            "unicode": "emoji: 🎉",
            "tag": "a < b && c > d </",
        }
    )

    @property
    def format(self):
        return answer_format(self.format_name)


FORMS = (
    Form("hermes", "hermes", hermes),
    Form("hermes-lists", "hermes", lambda calls: f"<tool_call>{as_list(calls)}</tool_call>"),
    Form("qwen3-coder", "qwen3-coder", coder),
    Form(
        "seed-oss",
        "seed-oss",
        lambda calls: coder(calls, "seed:tool_call"),
        ("<seed:think>", "</seed:think>"),
    ),
    Form("llama-json", "llama-3", lambda calls: "; ".join(objects(calls, "parameters")), None),
    Form(
        "llama-tag", "llama-3", lambda calls: "<|python_tag|>" + ";".join(objects(calls, "parameters")), None
    ),
    Form(
        "llama-function",
        "llama-3",
        lambda calls: "\n".join(f"<function={name}>{js(what)}</function>" for name, what in calls),
        None,
    ),
    Form("llama-pythonic", "pythonic", lambda calls: f"[{', '.join(python_calls(calls))}]", None, whole=True),
    Form(
        "llama-4",
        "pythonic",
        lambda calls: f"<|python_start|>[{', '.join(python_calls(calls))}]<|python_end|>",
        None,
    ),
    Form(
        "olmo-3",
        "olmo-3",
        lambda calls: "<function_calls>\n" + "\n".join(python_calls(calls)) + "\n</function_calls>",
    ),
    Form(
        "lfm2",
        "lfm2",
        lambda calls: f"<|tool_call_start|>[{', '.join(python_calls(calls))}]<|tool_call_end|>",
    ),
    Form("mistral", "mistral", lambda calls: f"[TOOL_CALLS]{as_list(calls)}", ("[THINK]", "[/THINK]")),
    Form(
        "mistral-v11",
        "mistral",
        lambda calls: "".join(f"[TOOL_CALLS]{name}{js(what)}" for name, what in calls),
        ("[THINK]", "[/THINK]"),
    ),
    Form(
        "mistral-v13",
        "mistral",
        lambda calls: "".join(
            f"[TOOL_CALLS]{name}[CALL_ID]abcdefgh{i}[ARGS]{js(what)}" for i, (name, what) in enumerate(calls)
        ),
        ("[THINK]", "[/THINK]"),
    ),
    Form("deepseek-v3", "deepseek-v3", deepseek_3),
    Form("deepseek-v3.1", "deepseek-v3", deepseek_3_1),
    Form("deepseek-v4", "deepseek-v4", deepseek_4),
    Form("kimi-k2", "kimi-k2", kimi),
    Form("glm-4", "glm-4", glm),
    Form("minimax-m2", "minimax-m2", minimax),
    Form("granite-3", "granite-3", lambda calls: f"<|tool_call|> {as_list(calls)}"),
    Form("granite-4", "hermes", hermes),
    Form("phi-4-mini", "phi-4-mini", lambda calls: f"functools{as_list(calls)}", None),
    Form(
        "phi-4-mini-tokens", "phi-4-mini", lambda calls: f"<|tool_call|>{as_list(calls)}<|/tool_call|>", None
    ),
    Form(
        "command-r",
        "command-r",
        lambda calls: f"Action: ```json\n{as_list(calls, name='tool_name', arguments='parameters')}```",
        None,
    ),
    Form(
        "command-a",
        "command-a",
        command_a,
        ("<|START_THINKING|>", "<|END_THINKING|>"),
        ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ),
    Form("gemma-4", "gemma-4", gemma_4, ("<|channel>thought\n", "<channel|>")),
    Form("functiongemma", "functiongemma", function_gemma, None),
    Form(
        "gpt-oss",
        "gpt-oss",
        harmony,
        ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant"),
        ("<|channel|>commentary<|message|>", "<|end|><|start|>assistant"),
    ),
    Form(
        "gpt-oss-role",
        "gpt-oss",
        harmony_role,
        ("<|channel|>analysis<|message|>", "<|end|>"),
        ("<|channel|>commentary<|message|>", "<|end|>"),
    ),
    Form("bare-json", "json", lambda calls: as_list(calls), whole=True),
)

TYPES = {
    "string_field": "hello",
    "int_field": 42,
    "float_field": 3.14,
    "bool_field": True,
    "null_field": None,
    "array_field": ["a", "b", "c"],
    "object_field": {"nested": "value"},
    "empty_array": [],
    "empty_object": {},
}
_SCHEMA = {
    "string_field": {"type": "string"},
    "int_field": {"type": "integer"},
    "float_field": {"type": "number"},
    "bool_field": {"type": "boolean"},
    "null_field": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "array_field": {"type": "array"},
    "object_field": {"type": "object"},
}
TOOLS = (
    Tool("get_weather", "", {"type": "object", "properties": {"city": {"type": "string"}}}),
    Tool("get_time", "", {"type": "object", "properties": {"timezone": {"type": "string"}}}),
    Tool("test_function", "", {"type": "object", "properties": _SCHEMA}),
    Tool("refresh"),
)
WEATHER: Call = ("get_weather", {"city": "Tokyo"})
TIME: Call = ("get_time", {"timezone": "Asia/Tokyo"})


@dataclass(frozen=True)
class Case:
    """An answer of the matrix, and how it is to be read; None where only the laws hold."""

    name: str
    text: str
    content: str | None
    calls: tuple[Call, ...] | None
    reasoning: str = ""

    def thinking(self, form: Form) -> Case:
        before, after = form.thinking or ("", "")
        return Case(
            f"{self.name}-after-reasoning",
            f"{before}I need\nthe weather.{after}{self.text}",
            self.content,
            self.calls,
            "I need\nthe weather.",
        )


def cases_of(form: Form) -> list[Case]:
    """Return the eight cases of vLLM's ``ToolParserTests`` as this family writes them."""
    opened, closed = form.text
    no_call = "This is a regular response without any tool calls."
    single = form.write([WEATHER])
    before, after = "Let me check the weather.", "Done [well]."
    surrounding = f"{opened}{before}{closed}\n{single}"
    content = before
    if not form.text[0]:
        surrounding += f"\n{after}"
        content += f"\n{after}"
    cases = [
        Case("no-call", f"{opened}{no_call}{closed}", no_call, ()),
        Case("single", single, "", (WEATHER,)),
        Case("parallel", form.write([WEATHER, TIME]), "", (WEATHER, TIME)),
        Case("types", form.write([("test_function", TYPES)]), "", (("test_function", TYPES),)),
        Case("empty", form.write([("refresh", {})]), "", (("refresh", {}),)),
        Case(
            "escapes", form.write([("test_function", form.escapes)]), "", (("test_function", form.escapes),)
        ),
        Case(
            "malformed",
            single.replace("Tokyo", 'To"kyo') + " text " + single[: len(single) * 2 // 3],
            None,
            None,
        ),
    ]
    if not form.whole:
        cases.append(Case("surrounding", surrounding, content, (WEATHER,)))
    if form.thinking is not None:
        cases += [case.thinking(form) for case in cases]
    return cases


MATRIX = [(form, case) for form in FORMS for case in cases_of(form)]
