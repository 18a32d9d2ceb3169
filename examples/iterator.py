"""Stream with an iterator. Leaving the `with` block early cancels the generation on the server."""

from __future__ import annotations

import argparse

from nupic_client import StreamingClient


def main() -> None:
    """Generate a text and say when its first token came."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--url", default="localhost:8001")
    arguments = parser.parse_args()

    with StreamingClient(arguments.model, url=arguments.url) as client:
        with client.stream("Once upon a time", max_tokens=50) as stream:
            for text in stream:
                print(text, end="", flush=True)
        generation = stream.result()
    print(f"\ntime to first token: {generation.timing.time_to_first_token:.3f} s")


if __name__ == "__main__":
    main()
