"""Send many inputs, eight at a time, and read the results in order. An input that fails is reported and skipped."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from nupic_client import InferenceClient, NupicError


def sentences(count: int) -> Iterator[list[str]]:
    """Yield the inputs one by one: they are read only as far ahead as needed, so there may be any number."""
    for number in range(count):
        yield [f"This is sentence number {number}."]


def main() -> None:
    """Embed the sentences and say how many there were."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--model", default="smollm2-embed")
    parser.add_argument("--url", default="localhost:8001")
    arguments = parser.parse_args()

    done = 0
    with (
        InferenceClient(arguments.model, url=arguments.url) as client,
        client.map(sentences(arguments.count), concurrency=8, errors="return") as results,
    ):
        for number, result in enumerate(results):
            if isinstance(result, NupicError):
                print(f"sentence {number}: {result}")
            else:
                done += len(result.only)  # the model's only output: a row for each text
    print(f"{done} vectors")


if __name__ == "__main__":
    main()
