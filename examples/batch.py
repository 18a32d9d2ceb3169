"""Answer a batch file of OpenAI's: a chat that calls a tool, and texts that become vectors."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from nupic_client import batch

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell how the weather in a city is.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def requests(chat_model: str, embedding_model: str) -> list[dict[str, Any]]:
    """Return the lines of the file."""
    question = {"role": "user", "content": "How is the weather in Oslo?"}
    chat = {"model": chat_model, "messages": [question], "tools": [WEATHER], "tool_choice": "required"}
    texts = {"model": embedding_model, "input": ["A cat sits on the mat.", "The stock market fell."]}
    return [
        {"custom_id": "weather", "method": "POST", "url": "/v1/chat/completions", "body": chat},
        {"custom_id": "vectors", "method": "POST", "url": "/v1/embeddings", "body": texts},
    ]


def main() -> None:
    """Write the file, run it, and print what the answers are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--embedding-model", default="smollm2-embed")
    parser.add_argument("--url", default="localhost:8001")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        source, output = Path(name, "in.jsonl"), Path(name, "out.jsonl")
        lines = requests(arguments.model, arguments.embedding_model)
        source.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        batch.run(source, output, model=arguments.model, url=arguments.url, ordered=True, max_tokens=100)
        for text in output.read_text(encoding="utf-8").splitlines():
            show(json.loads(text))


def show(line: dict[str, Any]) -> None:
    """Print one answer."""
    if line["error"] is not None:
        print(f"{line['custom_id']}: {line['error']['code']}: {line['error']['message']}")
        return
    body = line["response"]["body"]
    if body["object"] == "list":
        print(
            f"{line['custom_id']}: {len(body['data'])} vectors of {len(body['data'][0]['embedding'])} numbers"
        )
        return
    for call in body["choices"][0]["message"].get("tool_calls", ()):
        print(f"{line['custom_id']}: {call['function']['name']} {call['function']['arguments']}")


if __name__ == "__main__":
    main()
