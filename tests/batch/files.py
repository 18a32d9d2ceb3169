"""The files of a batch, lines for them, and what happens beside a run."""

import contextlib
import json
import re
import threading

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell how the weather in a city is.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
"""A tool in the form of OpenAI."""


class Files:
    """The files of a batch, in a folder of the test."""

    def __init__(self, folder):
        self.folder = folder
        self.input = folder / "in.jsonl"
        self.output = folder / "out.jsonl"
        self.state = folder / "out.jsonl.state"
        self.errors = folder / "errors.jsonl"

    def write(self, *lines, path=None):
        """Write lines: objects as JSON, texts and bytes as they are."""
        (path or self.input).write_bytes(b"".join(line_of(line) + b"\n" for line in lines))

    def read(self, path=None):
        return [json.loads(line) for line in (path or self.output).read_bytes().splitlines()]


def line_of(line):
    if isinstance(line, bytes):
        return line
    return (line if isinstance(line, str) else json.dumps(line)).encode()


def plain(number, **columns):
    return {"id": number, "prompt": f"prompt {number}", **columns}


def chat(number, **body):
    return {
        "custom_id": f"c{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"messages": [{"role": "user", "content": f"question {number}"}], **body},
    }


def number_in(request):
    """Return the last number in a prompt, as text; the whole prompt if it has none."""
    return (re.findall(r"\d+", request.prompt) or [request.prompt])[-1]


def echo(request):
    """Answer with the number of the prompt."""
    return ["answer ", "to ", number_in(request)]


@contextlib.contextmanager
def beside(function):
    """Call a function in a thread of its own while a block runs, and wait for its end."""
    thread = threading.Thread(target=function)
    thread.start()
    yield
    thread.join()
