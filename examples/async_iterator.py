"""Stream several texts at the same time with asyncio: one client, one connection."""

from __future__ import annotations

import argparse
import asyncio

from nupic_client import StreamingClient

BEGINNINGS = ["Once upon a time", "In the beginning", "It was a dark night"]


async def tell(client: StreamingClient, beginning: str) -> str:
    """Collect one story chunk by chunk; printing each chunk would mix them up."""
    story = beginning
    async with client.astream(beginning, max_tokens=30) as stream:
        async for text in stream:
            story += text
    return story


async def main() -> None:
    """Tell the stories and print them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--url", default="localhost:8001")
    arguments = parser.parse_args()

    async with StreamingClient(arguments.model, url=arguments.url) as client:
        for story in await asyncio.gather(*(tell(client, beginning) for beginning in BEGINNINGS)):
            print(story, end="\n\n")


if __name__ == "__main__":
    asyncio.run(main())
