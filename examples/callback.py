"""Stream with a callback, which is called with each chunk of text; `generate` returns the whole."""

from __future__ import annotations

import argparse

from nupic_client import StreamingClient


def callback(text: str) -> None:
    """Print a chunk of text as soon as it is there."""
    print(text, end="", flush=True)


def main() -> None:
    """Generate a text and say how many tokens it has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--url", default="localhost:8001")
    arguments = parser.parse_args()

    with StreamingClient(arguments.model, url=arguments.url) as client:
        generation = client.generate("Once upon a time", callback=callback, max_tokens=50)
    print(f"\n{generation.usage.output_tokens} tokens, finish reason: {generation.finish_reason}")


if __name__ == "__main__":
    main()
