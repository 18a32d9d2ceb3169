"""The page for those who come from openai-python: its code runs, against a small endpoint too, and its names exist."""

from __future__ import annotations

import inspect
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from needed import need
from pages import run_blocks
from recipes.servers import RECIPES

import nupic_client
from nupic_client import GenerateOptions, StreamingClient
from nupic_client.testing import FakeTriton, text_signature

need("web")

import openai

PAGE = RECIPES / "migrate-from-openai.md"


class Endpoint(BaseHTTPRequestHandler):
    """As much of OpenAI's API as the page uses."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        head = {"id": "1", "created": 1, "model": asked["model"]}
        if asked.get("stream"):
            deltas = [{"role": "assistant", "content": "Scat"}, {"content": "tering."}]
            chunks = [
                {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}
                for delta in deltas
            ]
            body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
            kind = "text/event-stream"
        else:
            message = {"role": "assistant", "content": "Scattering."}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
            body = json.dumps({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
            kind = "application/json"
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_) -> None:
        pass


def test_the_code_of_the_page(monkeypatch, capsys) -> None:
    endpoint = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=endpoint.serve_forever)
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{endpoint.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    try:
        with FakeTriton(["Scat", "tering."], models=[text_signature("smollm2.streaming")]) as triton:
            names = run_blocks(PAGE, triton.url)
            assert "assistant\nScattering.<|im_end|>" in triton.requests[-1].prompt
            names["openai"].close()
    finally:
        endpoint.shutdown()
        thread.join()
        endpoint.server_close()
    assert capsys.readouterr().out.count("Scattering.") == 5


def table() -> list[tuple[list[str], list[str]]]:
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    return [
        ([*re.findall(r"`(.+?)`", theirs)], [*re.findall(r"`(.+?)`", ours)])
        for theirs, ours in rows
        if "openai`" not in theirs
    ]


def test_the_options_of_the_table_exist() -> None:
    theirs = inspect.signature(openai.OpenAI(api_key="none").chat.completions.create).parameters
    rows = {name: ours for left, ours in table() for name in left if re.fullmatch(r"[a-z_]+", name)}
    same = [name for name, ours in rows.items() if name in theirs and name in GenerateOptions.__annotations__]
    assert {"temperature", "seed", "stop", "tools", "tool_choice", "presence_penalty"} <= {*same}
    assert {name for name in rows if name in theirs} >= {"max_completion_tokens", "max_tokens", "extra_body"}
    for ours in rows.values():
        for name in ours:
            if re.fullmatch(r"[a-z_]+", name):
                known = {
                    *GenerateOptions.__annotations__,
                    "url",
                    *inspect.signature(StreamingClient).parameters,
                }
                assert name in known, name


def test_the_classes_of_the_table_exist() -> None:
    count = 0
    for left, ours in table():
        names = [name for name in left if re.fullmatch(r"[A-Z]\w+", name)]
        count += len(names)
        assert all(hasattr(openai, name) for name in names)
        assert all(hasattr(nupic_client, name) for name in ours if re.fullmatch(r"[A-Z]\w+", name))
    assert count >= 12
