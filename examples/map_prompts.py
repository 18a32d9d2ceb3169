"""Generate for many prompts, sixteen at a time, each as it completes. A prompt that fails is reported and skipped."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from nupic_client import NupicError, StreamingClient


def prompts(count: int) -> Iterator[str]:
    """Yield the prompts one by one: they are read only as far ahead as needed, so there may be any number."""
    for number in range(count):
        yield f"Story number {number}:"


def main() -> None:
    """Generate the stories and say how many there were."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--url", default="localhost:8001")
    arguments = parser.parse_args()

    done = 0
    with (
        StreamingClient(arguments.model, url=arguments.url, max_tokens=30) as client,
        client.map(prompts(arguments.count), concurrency=16, ordered=False, errors="return") as results,
    ):
        for number, result in results:
            if isinstance(result, NupicError):
                print(f"prompt {number}: {result}")
            else:
                done += 1
    print(f"{done} stories")


if __name__ == "__main__":
    main()
