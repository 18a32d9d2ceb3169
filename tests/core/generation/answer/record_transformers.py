"""Record what transformers' own parser makes of many answers: run it where transformers 5.13 or later is installed.

``python record_transformers.py`` writes ``transformers.json`` next to this file.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

HERE = Path(__file__).parent
FUNCTION = {"type": "function", "function": "{content}"}
NAMED = {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}}
TEXT = {"repeats": True, "join": ""}
THINK = {"open": "<think>", "close": "</think>", **TEXT}
CHATML = "<|im_start|>assistant\n"
VALUES = {"name": "json", "args": {"allow_non_json": True}}


def template(start, **fields):
    return {"version": 1, "defaults": {"role": "assistant"}, "start_anchor": start, "fields": fields}


def calls(**values):
    return {"repeats": True, "content": "json", "transform": FUNCTION, **values}


TEMPLATES = {
    "hermes": template(
        CHATML,
        thinking=THINK,
        tool_calls=calls(open="<tool_call>", close="</tool_call>"),
        content={"close": "<|im_end|>", **TEXT},
    ),
    "coder": template(
        CHATML,
        reasoning_content=THINK,
        tool_calls=calls(
            open_pattern=r"<tool_call>\s*<function=(?P<name>\w+)>",
            close="</tool_call>",
            content="xml-inline",
            content_args={
                "tag_pattern": r"<parameter=(?P<key>\w+)>\s*(?P<value>.*?)\s*</parameter>",
                "value_parser": VALUES,
            },
            transform=NAMED,
        ),
        content=TEXT,
    ),
    "glm": template(
        ["<|assistant|>"],
        thinking=THINK,
        tool_calls=calls(
            open_pattern=r"<tool_call>(?P<name>[^\n<]+)\n?",
            close="</tool_call>",
            content="xml-inline",
            content_args={
                "tag_pattern": r"<arg_key>(?P<key>.*?)</arg_key>\s*<arg_value>(?P<value>.*?)</arg_value>",
                "value_parser": VALUES,
            },
            transform=NAMED,
        ),
        content=TEXT,
    ),
    "cohere": template(
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
        content={"open": "<|START_RESPONSE|>", "close": "<|END_RESPONSE|>", **TEXT},
        thinking={"open": "<|START_THINKING|>", "close": "<|END_THINKING|>", **TEXT},
        tool_calls={
            "open": "<|START_ACTION|>",
            "close": "<|END_ACTION|>",
            "content": "json",
            "transform_each": True,
            "transform": {
                "type": "function",
                "function": {"name": "{tool_name}", "arguments": "{parameters}"},
            },
        },
    ),
    "harmony": template(
        "<|start|>assistant",
        thinking={"open": "<|channel|>analysis<|message|>", "close": "<|end|>", **TEXT},
        content={
            "open": ["<|channel|>final<|message|>", "<|channel|>commentary<|message|>"],
            "close": "<|end|>",
            **TEXT,
        },
        tool_calls=calls(
            open_pattern=r"<\|channel\|>commentary to=functions\.(?P<name>\w+).*?<\|message\|>",
            close="<|call|>",
            transform=NAMED,
        ),
    ),
    "gemma": template(
        ["<|turn>model\n", "<tool_response|>"],
        thinking={"open": "<|channel>thought\n", "close": "<channel|>", **TEXT},
        tool_calls=calls(
            open_pattern=r"<\|tool_call>call:(?P<name>\w+)",
            close="<tool_call|>",
            content_args={"unquoted_keys": True, "string_delims": [['<|"|>', '<|"|>']]},
            transform=NAMED,
        ),
        content={"close": ["<turn|>", "<|tool_response>", "<eos>"], **TEXT},
    ),
    "blocks": template(
        "<|message_model|>",
        thinking={
            "open_pattern": r"(?:<\|message_model\|>)?[^<]*<\|content_thinking\|>",
            "close": "<|end_message|>",
            "content_args": {"strip": False},
            **TEXT,
        },
        content={
            "open_pattern": r"(?:<\|message_model\|>)?[^<]*<\|content_text\|>",
            "close": "<|end_message|>",
            "content_args": {"strip": False},
            **TEXT,
        },
        tool_calls=calls(
            open_pattern=r"(?:<\|message_model\|>)?[^<]*<\|content_invoke_tool_json\|>",
            close="<|end_message|>",
            transform={
                "type": "function",
                "function": {"name": "{content.name}", "arguments": "{content.args}"},
            },
        ),
    ),
    "unopened": template(
        "Assistant:",
        thinking={"open_pattern": r"(?:^|<think>\s*)", "close": "</think>"},
        content={"open": "<response>\n", "close_pattern": r"\n?</response>"},
        tool_calls=calls(open="<tool_call>", close="</tool_call>"),
    ),
    "python": template(
        CHATML,
        tool_calls={
            "open": "<|tool_call_start|>",
            "close": "<|tool_call_end|>",
            "content": "python-call-list",
            "transform_each": True,
            "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{arguments}"}},
        },
        content=TEXT,
    ),
    "lines": template(
        CHATML,
        tool_calls=calls(
            open_pattern=r"<call (?P<name>\w+)>",
            close="</call>",
            content="kv-lines",
            content_args={"kv_sep": "=", "value_parser": VALUES},
            transform=NAMED,
        ),
        content=TEXT,
    ),
    "joined": template(
        "<|assistant|>",
        thinking={"open": "<think>", "close": "</think>", "repeats": True, "join": " "},
        content={"repeats": True, "join": " "},
    ),
    "dotted": template(
        "<|assistant|>",
        tool_calls={
            "open": "<actions>",
            "close": "</actions>",
            "content": "json",
            "transform_each": True,
            "transform": {"type": "function", "function": {"name": "{fn.name}", "arguments": "{fn.args}"}},
        },
        content=TEXT,
    ),
}
FORMS = {
    "hermes": ("hermes",),
    "coder": ("qwen3-coder",),
    "glm": ("glm-4",),
    "cohere": ("command-a",),
    "harmony": ("gpt-oss",),
    "gemma": ("gemma-4",),
    "python": ("lfm2",),
}
WRITTEN = {
    "blocks": [
        (
            "<|content_thinking|>Consider the weather.<|end_message|>"
            "<|message_model|><|content_thinking|> Rome?<|end_message|>"
            "<|message_model|><|content_text|>A moment.<|end_message|><|message_model|>weather<|content_invoke_tool_json|>"
            '{"name":"weather","args":{"city":"Rome","units":"C"}}<|end_message|><|content_model_end_sampling|>'
        ),
        "<|content_text|>Hello there.<|end_message|>",
    ],
    "unopened": [
        'I call a tool.\n</think>\n\n<tool_call>\n{"name": "now", "arguments": {"zone": "CET"}}\n</tool_call>\n</s>',
        "They greet me.\n</think>\n\n<response>\nGood morning!\n</response>\n</s>",
    ],
    "python": [
        "<|tool_call_start|>[ now ( ) , f(a=-1.5e3, b=[1, 'x'], c={'k': None}) ]<|tool_call_end|>Done",
        "<|tool_call_start|>[f(1)]<|tool_call_end|>",
        "<|tool_call_start|>[f(a='it\\'s', b=\"\\u00e9\\n\")]<|tool_call_end|>",
    ],
    "lines": [
        'See:\n<call f>\na=1\nb = two words\n\nno\nc={"x": [1]}\n</call>\nDone',
        "<call f></call>",
        "<call f>a=1",
    ],
    "joined": ["<think>first</think>middle<think>second</think>done", "<think>only</think>", "plain"],
    "dotted": [
        '<actions>[{"fn": {"name": "a", "args": {"x": 1}}}, {"fn": {"name": "b", "args": {}}}]</actions>',
        "no",
    ],
}


def texts_of(name):
    """Return the answers to try: those of the matrix, and beginnings of them."""
    sys.path.insert(0, str(HERE.parents[2]))
    from core.generation.answer.forms import FORMS as ALL  # noqa: PLC0415
    from core.generation.answer.forms import cases_of  # noqa: PLC0415

    whole = list(WRITTEN.get(name, ()))
    for form in ALL:
        if form.name in FORMS.get(name, ()):
            whole += [case.text for case in cases_of(form)]
    chance = random.Random(name)
    begun = [text[: chance.randint(1, len(text))] for text in whole for _ in range(3)]
    return list(dict.fromkeys([*whole, *begun]))


def main():
    from transformers import __version__  # noqa: PLC0415
    from transformers.utils.chat_parsing import parse_response  # noqa: PLC0415

    recorded = []
    for name, values in TEMPLATES.items():
        for text in texts_of(name):
            try:
                message = parse_response(text, values, prefix="")
            except (ValueError, KeyError):
                message = None
            recorded.append({"template": name, "text": text, "message": message})
    data = {"transformers": __version__, "templates": TEMPLATES, "answers": recorded}
    text = json.dumps(data, ensure_ascii=False, indent=1)
    (HERE / "transformers.json").write_text(text + "\n", encoding="utf-8")
    print(len(recorded), "answers,", sum(item["message"] is None for item in recorded), "of them errors")


if __name__ == "__main__":
    main()
