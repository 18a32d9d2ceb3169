"""Sort notes with the llm library: each becomes an object of a schema, several at the same time.

pip install 'nupic-client[llm]'
python llm_notes.py --url localhost:8001
"""

from __future__ import annotations

import argparse
import asyncio
import json

import llm

NOTES = ("Buy 2 bags of flour", "Call Ann about the roof", "The train to Oslo leaves at 7")
SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["shopping", "call", "travel", "other"]},
        "subject": {"type": "string", "maxLength": 60},
    },
    "required": ["kind", "subject"],
    "additionalProperties": False,
}


async def main() -> None:
    """Print the notes with what they are about."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="nupic/smollm2")
    parser.add_argument("--url", default="localhost:8001")
    arguments = parser.parse_args()

    model = llm.get_async_model(arguments.model)

    async def sort(note: str) -> str:
        prompt = f"What kind of note is this, and what is it about? Answer as JSON. Note: {note}"
        response = model.prompt(prompt, schema=SCHEMA, url=arguments.url, max_tokens=100, temperature=0)
        return await response.text()

    for note, answer in zip(NOTES, await asyncio.gather(*map(sort, NOTES)), strict=True):
        print(note, "->", json.loads(answer))


if __name__ == "__main__":
    asyncio.run(main())
